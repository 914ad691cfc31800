// Which inputs a prediction rests on: gradient x input, summed over the values of each time step (Shrikumar et al., Not just a
// black box: learning important features through propagating activation differences, 2016). Where classes are predicted it
// is of the logarithm of the prediction's probability (of a translation, of all that was written), where values are, of the first
// value. For a model that is linear in its inputs the parts sum to the prediction less what it is for inputs of zero; for others
// they are a first approximation.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training.Insight;

/// <summary>Why a model predicts what it predicts.</summary>
/// <param name="Predicted">The prediction in words.</param>
/// <param name="Quantity">What the parts are parts of, in words.</param>
/// <param name="Labels">What each time step read, in words.</param>
/// <param name="Parts">For each time step gradient x input: above 0 where it speaks for the prediction, below 0 where against it.</param>
/// <param name="Attention">What the time steps attend to, layer by layer and head by head.</param>
public sealed record Explanation(string Predicted, string Quantity, IReadOnlyList<string> Labels, IReadOnlyList<double> Parts, IReadOnlyList<AttentionMap> Attention)
{
    /// <summary>What a decoder wrote, token by token; empty in a model without one.</summary>
    public IReadOnlyList<string> Written { get; init; } = [];

    /// <summary>Explains what a model predicts for one row.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="row">One row; its targets are overwritten with the prediction.</param>
    /// <param name="labels">What each time step read.</param>
    /// <param name="say">Says what the outputs predict, in words.</param>
    /// <exception cref="ModelException">The loss is one whose outputs are no prediction by themselves.</exception>
    public static unsafe Explanation Of(TrainedModel trained, SpanBatch row, IReadOnlyList<string> labels, Func<float[], string> say)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(row);
        ArgumentNullException.ThrowIfNull(say);
        Model model = trained.Model;
        if (model.Loss is not (LossKind.CrossEntropy or LossKind.BinaryCrossEntropy or LossKind.MeanSquaredError))
        {
            throw new ModelException("loss", $"With the loss {model.Loss} no single output is the prediction; there is no explanation of it. Leave out --explain.");
        }

        using var glass = new GlassModel(trained);
        float[] outputs = glass.Predict(row, logits: true);
        int likeliest = LargestOf(outputs), cell = row.TargetTime - 1;
        bool hasClasses = row.TargetTokens is not null;
        for (int time = 0; time < row.TargetTime && hasClasses; time++)
        {
            row.TargetTokens[time] = time == cell ? likeliest : -1;
        }

        for (int i = 0; i < outputs.Length && !hasClasses; i++)
        {
            // Half a unit below the first value: the loss's slope there is 1. The others are where they are: 0.
            bool isBinary = model.Loss == LossKind.BinaryCrossEntropy;
            row.TargetValues[(cell * outputs.Length) + i] = isBinary ? (outputs[i] > 0 ? 1 : 0) : outputs[i] - (i == 0 ? 0.5f : 0);
        }

        ModelView view = glass.Look(row);
        double[] parts = PartsOf(view, row.Time, model.Loss == LossKind.MeanSquaredError ? 1 : -1); // of -log p the slope is turned round
        string quantity = model.Loss == LossKind.MeanSquaredError ? "the first predicted value, as scaled" : "the logarithm of its probability";
        return new Explanation(say(outputs), quantity, labels, parts, view.Attention);
    }

    /// <summary>Explains what a model with an encoder and a decoder wrote: the parts are those of its source in the logarithm of all of its target's probability.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="row">One source, and what was written as its targets, with the end.</param>
    /// <param name="labels">The source token by token.</param>
    /// <param name="written">What was written, token by token, with the end.</param>
    /// <param name="predicted">What was written, in words.</param>
    public static unsafe Explanation OfPair(TrainedModel trained, SpanBatch row, IReadOnlyList<string> labels, IReadOnlyList<string> written, string predicted)
    {
        ArgumentNullException.ThrowIfNull(row);
        using var glass = new GlassModel(trained);
        ModelView view = glass.Look(row);
        return new Explanation(predicted, "the logarithm of the translation's probability", labels, PartsOf(view, row.Lengths[0], -1), view.Attention) { Written = written };
    }

    // Gradient x input of each time step.
    private static double[] PartsOf(ModelView view, int time, double sign)
    {
        double[] parts = new double[time];
        for (int i = 0; i < time * view.Width; i++)
        {
            parts[i / view.Width] += sign * view.Values[i] * view.ValueGradients[i];
        }

        return parts;
    }

    /// <summary>The largest output, the lowest of equals.</summary>
    internal static int LargestOf(ReadOnlySpan<float> values)
    {
        int largest = 0;
        for (int i = 1; i < values.Length; i++)
        {
            largest = values[i] > values[largest] ? i : largest;
        }

        return largest;
    }
}
