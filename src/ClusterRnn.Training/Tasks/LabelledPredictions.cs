// What a model makes of examples with labels, and what that is worth: shared by the applications that name classes.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>An example with the classes found for it.</summary>
/// <param name="Example">The example.</param>
/// <param name="Classes">For each of its targets the likeliest class, of equals the lowest.</param>
/// <param name="Probabilities">How likely each is.</param>
internal sealed record PredictedExample(LabelledExample Example, int[] Classes, float[] Probabilities);

/// <summary>Finds classes.</summary>
internal static unsafe class LabelledPredictions
{
    private const int BatchRows = 64;

    /// <summary>The part of a data set that tells most: what tests, else what validates, else what trains.</summary>
    public static (LabelledExamples Examples, string Part) PartOf(Dataset data)
    {
        (IBatchSource source, string part) = data.Test is not null ? (data.Test, "test") : data.Validation is not null ? (data.Validation, "validation") : (data.Training, "training");
        return ((LabelledExamples)((IExampleSource)source).Examples, part);
    }

    /// <summary>What the classes are called.</summary>
    public static IReadOnlyList<string> LabelsOf(TaskModel trained) =>
        trained.Artefact.Labels ?? throw new DataException("checkpoint", "the names of classes", "none", "Take a run that was trained on data with labels");

    /// <summary>The classes of all examples, in order.</summary>
    public static List<PredictedExample> Of(TrainedModel model, LabelledExamples examples, CancellationToken cancellation = default)
    {
        int count = checked((int)examples.Count), rows = Math.Min(BatchRows, count), width = model.Model.OutputWidth;
        var predicted = new List<PredictedExample>(count);
        using var batch = new SpanBatch(examples.Time, rows, examples.FeatureWidth, 0);
        using ModelExecutor executor = model.CreateExecutor(examples.Time, examples.TargetTime, rows);
        using var outputs = new NativeBuffer<float>((long)examples.TargetTime * rows * width);
        for (int first = 0; first < count; first += rows)
        {
            cancellation.ThrowIfCancellationRequested();
            batch.Rows = Math.Min(rows, count - first);
            batch.Time = 1;
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.Time = Math.Max(batch.Time, examples.LengthOf(first + row));
            }

            batch.TargetTime = examples.TargetTime == 1 ? 1 : batch.Time;
            WindowSource.Clear(batch);
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.RowIds[row] = first + row;
                batch.Lengths[row] = examples.Read(first + row, batch, row);
            }

            executor.Predict(batch, null, null, outputs.Pointer, logits: true);
            for (int row = 0; row < batch.Rows; row++)
            {
                int targets = examples[first + row].Classes.Length;
                int[] classes = new int[targets];
                float[] probabilities = new float[targets];
                for (int time = 0; time < targets; time++)
                {
                    (classes[time], probabilities[time]) = Likeliest(new ReadOnlySpan<float>(outputs.Pointer + ((((long)time * batch.Rows) + row) * width), width));
                }

                predicted.Add(new PredictedExample(examples[first + row], classes, probabilities));
            }
        }

        return predicted;
    }

    /// <summary>Right answers, beside always naming the most frequent class.</summary>
    public static Figure Accuracy(IReadOnlyList<PredictedExample> predicted, IReadOnlyList<string> labels, string part, string what)
    {
        long right = 0, all = 0;
        long[] actual = new long[labels.Count];
        foreach (PredictedExample example in predicted)
        {
            for (int i = 0; i < example.Classes.Length; i++, all++)
            {
                right += example.Classes[i] == example.Example.Classes[i] ? 1 : 0;
                actual[example.Example.Classes[i]]++;
            }
        }

        int most = Array.IndexOf(actual, actual.Max());
        return new Figure($"{part}Accuracy", $"Right {what}, {part} part", right / (double)all, $"{Percent(right / (double)all)} ({right} of {all})", $"always '{labels[most]}': {Percent(actual[most] / (double)all)}");
    }

    /// <summary>For each class how many there are and were found, precision, recall and F1, and what it is taken for most.</summary>
    public static FigureTable ClassTable(IReadOnlyList<PredictedExample> predicted, IReadOnlyList<string> labels, string part)
    {
        int[,] confusion = new int[labels.Count, labels.Count]; // [actual, found]
        foreach (PredictedExample example in predicted)
        {
            for (int i = 0; i < example.Classes.Length; i++)
            {
                confusion[example.Example.Classes[i], example.Classes[i]]++;
            }
        }

        var rows = new List<IReadOnlyList<string>>();
        for (int label = 0; label < labels.Count; label++)
        {
            int actual = 0, found = 0, hits = confusion[label, label], worst = -1;
            for (int other = 0; other < labels.Count; other++)
            {
                actual += confusion[label, other];
                found += confusion[other, label];
                worst = other != label && confusion[label, other] > (worst < 0 ? 0 : confusion[label, worst]) ? other : worst;
            }

            rows.Add([labels[label], $"{actual}", $"{found}", Share(hits, found), Share(hits, actual), Share(2 * hits, actual + found), worst < 0 ? "-" : $"{labels[worst]} ({confusion[label, worst]})"]);
        }

        return new FigureTable($"Classes of the {part} part", ["class", "there are", "found", "precision", "recall", "F1", "most taken for"], rows);
    }

    /// <summary>A share as percent, or a dash of nothing.</summary>
    public static string Share(long part, long all) => all == 0 ? "-" : Percent(part / (double)all);

    /// <summary>A share as percent.</summary>
    public static string Percent(double share) => string.Create(CultureInfo.InvariantCulture, $"{100.0 * share:F1} %");

    private static (int Class, float Probability) Likeliest(ReadOnlySpan<float> logits)
    {
        int largest = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            largest = logits[i] > logits[largest] ? i : largest;
        }

        double sum = 0;
        foreach (float logit in logits)
        {
            sum += Kernels.Numerics.ScalarMath.Exp((double)logit - logits[largest]);
        }

        return (largest, (float)(1 / sum));
    }
}
