// What one application adds to the training of a model: from the trained model back to something a person can judge.
// One file for each application; SequenceTask.Of is the list of them. Loading is Dataset's, losses are the model's.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>A trained model with what it was trained from.</summary>
/// <param name="Job">The resolved config.</param>
/// <param name="Model">The model with its parameters.</param>
/// <param name="Artefact">Its vocabulary or scaler.</param>
/// <param name="BaseFolder">Where the config's relative paths start.</param>
public sealed record TaskModel(JobConfig Job, TrainedModel Model, DataArtefact Artefact, string BaseFolder);

/// <summary>What to predict.</summary>
/// <param name="Input">A prompt, lines, or a file's path, as the application takes it; null for its default.</param>
/// <param name="Generate">How text is drawn.</param>
/// <param name="Steps">How many steps ahead, or null for the application's default.</param>
/// <param name="OnText">Called with pieces of text as they are written, or null.</param>
public sealed record PredictionRequest(string? Input, GenerateConfig Generate, int? Steps = null, Action<string>? OnText = null)
{
    /// <summary>What is to be ranked, or null.</summary>
    public IReadOnlyList<string>? Candidates { get; init; }
}

/// <summary>A prediction.</summary>
/// <param name="Text">What was written, or null.</param>
/// <param name="Tables">Predicted values.</param>
/// <param name="Charts">Predicted values as lines.</param>
public sealed record Prediction(string? Text, IReadOnlyList<FigureTable> Tables, IReadOnlyList<Chart> Charts)
{
    /// <summary>What was written that is no text: a sound, a picture.</summary>
    public IReadOnlyList<PredictedFile> Files { get; init; } = [];
}

/// <summary>A file that a prediction consists of.</summary>
/// <param name="Name">What it is called where nothing else is said.</param>
/// <param name="Bytes">Its contents.</param>
public sealed record PredictedFile(string Name, byte[] Bytes);

/// <summary>An application.</summary>
public abstract class SequenceTask
{
    /// <summary>Whether its input is text, one line for each thing to predict, that may also come from a file or the standard input.</summary>
    public virtual bool ReadsLines => false;

    /// <summary>Whether it ranks given candidates: <see cref="PredictionRequest.Candidates"/>.</summary>
    public virtual bool RanksCandidates => false;

    /// <summary>Shows what a trained model is worth: figures, tables, charts and a sample.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="data">The data it was trained on.</param>
    /// <param name="trainLoss">The mean training loss of the last epoch or step, or null.</param>
    /// <param name="validationLoss">The last validation loss, or null.</param>
    public abstract TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss);

    /// <summary>Uses a trained model.</summary>
    /// <exception cref="DataException">The input can't be read or doesn't fit the model.</exception>
    public abstract Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default);

    /// <summary>Says which inputs a prediction rests on.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="input">A prompt, a file's path or an example's number, as the application takes it; null for its default.</param>
    /// <exception cref="DataException">The input can't be read or doesn't fit the model, or the application explains nothing.</exception>
    public virtual Explanation Explain(TaskModel trained, string? input) =>
        throw new DataException("predict --explain", "a model of text, of texts with a class, of a series, of examples or of translations", "one of another kind", "Leave out --explain");

    /// <summary>The application of a `data:` section.</summary>
    public static SequenceTask Of(DataConfig data) => data switch
    {
        TextData => new TextTask(),
        SeriesData => new SeriesTask(),
        ExamplesData => new ExamplesTask(),
        TranslationData => new TranslationTask(),
        AudioData => new AudioTask(),
        ImagesData => new ImageTask(),
        SentimentData => new ClassifiedTextTask("text", "class", "classes", likeliest: 1),
        IntentData => new ClassifiedTextTask("utterance", "intent", "intents", likeliest: 5),
        AnswerSelectionData => new AnswerSelectionTask(),
        RecommendationData => new RecommendationTask(),
        TaggingData => new TaggingTask(),
        SpokenWordsData => new SpokenWordsTask(),
        SpeechData => new SpeechTask(),
        _ => throw new ArgumentException($"No task for {data?.GetType().Name}.", nameof(data)),
    };

    /// <summary>A number with four significant digits, as it is shown in tables.</summary>
    internal static string Show(double value) => value.ToString("G4", CultureInfo.InvariantCulture);

    /// <summary>A share as percent.</summary>
    internal static string Percent(double share) => string.Create(CultureInfo.InvariantCulture, $"{100.0 * share:F1} %");

    /// <summary>A share as percent, or a dash of nothing.</summary>
    internal static string Share(long part, long all) => all == 0 ? "-" : Percent(part / (double)all);
}
