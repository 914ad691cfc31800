// Recordings of a word each, told apart by their spectra. How many are right stands beside always naming the most frequent word.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>Words of recordings.</summary>
public sealed class SpokenWordsTask : SequenceTask
{
    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        (LabelledExamples examples, string part) = LabelledPredictions.PartOf(data);
        IReadOnlyList<string> labels = LabelledPredictions.LabelsOf(trained);
        List<PredictedExample> predicted = LabelledPredictions.Of(trained.Model, examples);
        return new TaskOutcome([LabelledPredictions.Accuracy(predicted, labels, part, "words")], [LabelledPredictions.ClassTable(predicted, labels, part)], [], null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        if (request.Input is not { } input)
        {
            throw new DataException("predict", "a recording, a folder or a glob of them", "none", "Put it after the run: predict RUN word.wav");
        }

        IReadOnlyList<string> labels = LabelledPredictions.LabelsOf(trained);
        List<LabelledExample> examples = LabelledInput.Recordings(input, (SpokenWordsData)trained.Job.Data, trained.Artefact);
        List<PredictedExample> predicted = LabelledPredictions.Of(trained.Model, new LabelledExamples(examples, trained.Model.Model.InputWidth, everyStep: false, ""), cancellation);
        return new Prediction(
            null,
            [new FigureTable("Words", ["recording", "word", "probability"], [.. predicted.Select(example => (IReadOnlyList<string>)[Path.GetFileName(example.Example.Name), labels[example.Classes[0]], LabelledPredictions.Percent(example.Probabilities[0])])])],
            []);
    }
}
