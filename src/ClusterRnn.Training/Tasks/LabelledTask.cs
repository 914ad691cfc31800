// What the applications that name classes have in common: judged is the part of the data that tells most, and asked is what the
// input has, read as the training data was. How a part is judged, how input is read and how answers are shown is each one's own.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>An application that names classes of examples.</summary>
public abstract class LabelledTask : SequenceTask
{
    /// <summary>Whether each time step has a class.</summary>
    private protected virtual bool HasTags => false;

    /// <inheritdoc/>
    public sealed override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        return Judge(LabelledPart.Of(trained, data), data);
    }

    /// <inheritdoc/>
    public sealed override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        IReadOnlyList<LabelledExample> examples = Read(trained, request);
        int width = examples[0].Tokens is null ? trained.Model.Model.InputWidth : 0;
        return Answer(new LabelledPart(trained, new LabelledExamples(examples, width, HasTags ? LabelPlaces.EveryStep : LabelPlaces.Last, ""), "input"), request, cancellation);
    }

    /// <summary>Shows what the model is worth on a part of the data.</summary>
    private protected abstract TaskOutcome Judge(LabelledPart part, Dataset data);

    /// <summary>Reads what is asked; their classes are not known and 0.</summary>
    /// <exception cref="DataException">There is nothing, or it can't be read.</exception>
    private protected abstract IReadOnlyList<LabelledExample> Read(TaskModel trained, PredictionRequest request);

    /// <summary>Shows what the model makes of what is asked.</summary>
    private protected abstract Prediction Answer(LabelledPart asked, PredictionRequest request, CancellationToken cancellation);

    /// <summary>The lines of the input that have something on them.</summary>
    /// <param name="request">What is asked.</param>
    /// <param name="unit">What a line is, as in "a text".</param>
    /// <param name="example">How it is written, as in "predict RUN 'a fine film'".</param>
    /// <exception cref="DataException">There is none.</exception>
    private protected static List<string> LinesOf(PredictionRequest request, string unit, string example)
    {
        List<string> lines = [.. (request.Input ?? "").Split('\n').Select(line => line.TrimEnd('\r')).Where(line => !string.IsNullOrWhiteSpace(line))];
        return lines.Count > 0 ? lines : throw new DataException("predict", unit, "none", $"Put it after the run, or name a file with one a line: {example}, predict RUN --file lines.txt");
    }

    /// <summary>The class of each example, as a table.</summary>
    internal static Prediction NamesOf(LabelledPart asked, string title, string unit, string what, Func<LabelledExample, string> show, CancellationToken cancellation) => new(
        null,
        [new FigureTable(title, [unit, what, "probability"], [.. asked.Predict(cancellation).Select(example => (IReadOnlyList<string>)[show(example.Example), asked.Labels[example.Classes[0]], Percent(example.Probabilities[0])])])],
        []);
}
