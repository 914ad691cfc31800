// Texts with a class: how a review judges, what a message is about, what somebody wants. How many are right stands beside
// always naming the most frequent class; some that it takes for others are shown, the surest first.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Classes of texts.</summary>
public sealed class SentimentTask : SequenceTask
{
    private const int Shown = 10;
    private const int ShownCharacters = 100;

    /// <inheritdoc/>
    public override bool ReadsLines => true;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        (LabelledExamples examples, string part) = LabelledPredictions.PartOf(data);
        IReadOnlyList<string> labels = LabelledPredictions.LabelsOf(trained);
        List<PredictedExample> predicted = LabelledPredictions.Of(trained.Model, examples);
        var mistakes = predicted.Where(example => example.Classes[0] != example.Example.Classes[0]).OrderByDescending(example => example.Probabilities[0]).Take(Shown);
        FigureTable shown = new(
            $"The surest mistakes of the {part} part",
            ["text", "taken for", "is", "probability"],
            [.. mistakes.Select(example => (IReadOnlyList<string>)[TextOf(trained, example), labels[example.Classes[0]], labels[example.Example.Classes[0]], LabelledPredictions.Percent(example.Probabilities[0])])]);
        return new TaskOutcome(
            [LabelledPredictions.Accuracy(predicted, labels, part, "classes")],
            [LabelledPredictions.ClassTable(predicted, labels, part), .. shown.Rows.Count > 0 ? new[] { shown } : []],
            [],
            null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        if (request.Input is not { } input || string.IsNullOrWhiteSpace(input))
        {
            throw new DataException("predict", "a text", "none", "Put it after the run, or name a file with one a line: predict RUN 'a fine film', predict RUN --file texts.txt");
        }

        var config = (SentimentData)trained.Job.Data;
        IReadOnlyList<string> labels = LabelledPredictions.LabelsOf(trained);
        List<string> texts = [.. LabelledInput.Lines(input).Where(line => !string.IsNullOrWhiteSpace(line))];
        List<LabelledExample> examples = texts.ConvertAll(text => new LabelledExample(text, LabelledInput.Tokens(text, config, trained.Artefact), null, [0]));
        if (examples.Count == 0)
        {
            throw new DataException(input, "a text on some line", "empty lines", "Write one a line");
        }

        List<PredictedExample> predicted = LabelledPredictions.Of(trained.Model, new LabelledExamples(examples, 0, everyStep: false, ""), cancellation);
        return new Prediction(
            null,
            [new FigureTable("Classes", ["text", "class", "probability"], [.. predicted.Select(example => (IReadOnlyList<string>)[Short(example.Example.Name), labels[example.Classes[0]], LabelledPredictions.Percent(example.Probabilities[0])])])],
            []);
    }

    private static string TextOf(TaskModel trained, PredictedExample example) => Short(trained.Artefact.Vocabulary!.Decode(example.Example.Tokens!).Trim());

    private static string Short(string text) => text.Length <= ShownCharacters ? text : $"{text[..ShownCharacters]}…";
}
