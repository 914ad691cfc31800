// What is measured beside the loss, and how joined sums and counts become numbers for people.
//
// Sums:   [0] loss, then absolute error, then squared error where asked for.
// Counts: [0] targets, then correct ones, then for each class: true positives, predicted, actual.
using System.ComponentModel;
using System.Text.Json.Serialization;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>What can be measured beside the loss.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<MetricKind>))]
public enum MetricKind
{
    /// <summary>The share of targets whose most likely class (of equals the lowest) is right; for binary targets, logit above 0.</summary>
    [Description("Share of targets predicted right.")]
    [JsonStringEnumMemberName("accuracy")]
    Accuracy,

    /// <summary>True positives by predicted ones, the plain mean over the classes that occur; a class never predicted counts as 0.</summary>
    [Description("True positives by predicted positives, mean over classes.")]
    [JsonStringEnumMemberName("precision")]
    Precision,

    /// <summary>True positives by actual ones, the plain mean over the classes that occur.</summary>
    [Description("True positives by actual positives, mean over classes.")]
    [JsonStringEnumMemberName("recall")]
    Recall,

    /// <summary>The harmonic mean of precision and recall, the plain mean over the classes that occur.</summary>
    [Description("Harmonic mean of precision and recall, mean over classes.")]
    [JsonStringEnumMemberName("f1")]
    F1,

    /// <summary>The mean absolute error.</summary>
    [Description("Mean absolute error.")]
    [JsonStringEnumMemberName("mean-absolute-error")]
    MeanAbsoluteError,

    /// <summary>The root of the mean squared error.</summary>
    [Description("Root of the mean squared error.")]
    [JsonStringEnumMemberName("root-mean-squared-error")]
    RootMeanSquaredError,

    /// <summary>exp(loss).</summary>
    [Description("exp(loss in nats).")]
    [JsonStringEnumMemberName("perplexity")]
    Perplexity,

    /// <summary>loss / ln 2: for a character-level model, bits per character.</summary>
    [Description("Loss in bits per target: bits per character for a character-level model.")]
    [JsonStringEnumMemberName("bits-per-character")]
    BitsPerCharacter,
}

/// <summary>One measured number.</summary>
/// <param name="Name">Its key in metrics files: <c>loss</c>, <c>accuracy</c>, <c>precision</c>, <c>recall</c>, <c>f1</c>, <c>meanAbsoluteError</c>, <c>rootMeanSquaredError</c>, <c>perplexity</c>, <c>bitsPerCharacter</c>.</param>
/// <param name="Value">Its value.</param>
public readonly record struct MetricValue(string Name, double Value);

/// <summary>Which sums and counts a model's shards report, and what they mean.</summary>
public sealed class MetricSchema
{
    private const double Ln2 = 0.693147180559945309417232121458;

    internal MetricSchema(LossKind loss, IReadOnlyList<MetricKind> metrics, int outputWidth)
    {
        Loss = loss;
        Metrics = metrics;
        SumWidth = 1;
        CountWidth = 1;
        AbsoluteErrorSum = metrics.Contains(MetricKind.MeanAbsoluteError) ? SumWidth++ : -1;
        bool rootOfLoss = loss == LossKind.MeanSquaredError;
        SquaredErrorSum = metrics.Contains(MetricKind.RootMeanSquaredError) ? rootOfLoss ? 0 : SumWidth++ : -1;
        CorrectCount = metrics.Contains(MetricKind.Accuracy) ? CountWidth++ : -1;
        ConfusionCount = -1;
        if (metrics.Contains(MetricKind.Precision) || metrics.Contains(MetricKind.Recall) || metrics.Contains(MetricKind.F1))
        {
            ConfusionCount = CountWidth;
            Classes = outputWidth;
            CountWidth = checked(CountWidth + 3 * outputWidth);
        }
    }

    /// <summary>The model's loss.</summary>
    public LossKind Loss { get; }

    /// <summary>What is measured beside it.</summary>
    public IReadOnlyList<MetricKind> Metrics { get; }

    /// <summary>Sums a shard, the loss first.</summary>
    public int SumWidth { get; }

    /// <summary>Counts a shard, the targets first.</summary>
    public int CountWidth { get; }

    internal int AbsoluteErrorSum { get; }

    internal int SquaredErrorSum { get; }

    internal int CorrectCount { get; }

    internal int ConfusionCount { get; }

    internal int Classes { get; }

    /// <summary>The measured numbers, the loss first; with no targets each is NaN.</summary>
    /// <param name="sums">[<see cref="SumWidth"/>], joined over all shards (and batches).</param>
    /// <param name="counts">[<see cref="CountWidth"/>], likewise.</param>
    public IReadOnlyList<MetricValue> Finish(ReadOnlySpan<double> sums, ReadOnlySpan<long> counts)
    {
        double targets = counts[0] == 0 ? double.NaN : counts[0];
        double loss = sums[0] / targets;
        var values = new List<MetricValue> { new("loss", loss) };
        foreach (MetricKind metric in Metrics)
        {
            values.Add(metric switch
            {
                MetricKind.Accuracy => new("accuracy", counts[CorrectCount] / targets),
                MetricKind.MeanAbsoluteError => new("meanAbsoluteError", sums[AbsoluteErrorSum] / targets),
                MetricKind.RootMeanSquaredError => new("rootMeanSquaredError", Math.Sqrt(sums[SquaredErrorSum] / targets)),
                MetricKind.Perplexity => new("perplexity", ScalarMath.Exp(loss)),
                MetricKind.BitsPerCharacter => new("bitsPerCharacter", loss / Ln2),
                MetricKind.Precision => new("precision", OverClasses(counts, static (hit, predicted, actual) => predicted == 0 ? 0.0 : (double)hit / predicted)),
                MetricKind.Recall => new("recall", OverClasses(counts, static (hit, predicted, actual) => actual == 0 ? 0.0 : (double)hit / actual)),
                MetricKind.F1 => new("f1", OverClasses(counts, static (hit, predicted, actual) => 2.0 * hit / (predicted + actual))),
                _ => throw new ArgumentOutOfRangeException(nameof(sums), metric, "no such metric"),
            });
        }

        return values;
    }

    /// <summary>The plain mean over the classes that are predicted or actual at least once.</summary>
    private double OverClasses(ReadOnlySpan<long> counts, Func<long, long, long, double> of)
    {
        double sum = 0.0;
        int classes = 0;
        for (int c = 0; c < Classes; c++)
        {
            ReadOnlySpan<long> confusion = counts.Slice(ConfusionCount + 3 * c, 3);
            if (confusion[1] + confusion[2] > 0)
            {
                sum += of(confusion[0], confusion[1], confusion[2]);
                classes++;
            }
        }

        return classes == 0 ? double.NaN : sum / classes;
    }
}
