// How far back a model learns from: the norm of the gradient of the loss at a row's last target by the states before it,
// against the lag in time steps (Bengio, Simard and Frasconi, Learning long-term dependencies with gradient descent is
// difficult, 1994). A line that falls steeply is a gradient that vanishes, one that rises a gradient that explodes.
//
// An encoder has time steps of its own: of its layers the lag is counted from the source's end, and the loss is that of all of the
// target, of which any part may rest on any part of the source.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training.Insight;

/// <summary>The gradient of one layer by lag.</summary>
/// <param name="Layer">The layer's number.</param>
/// <param name="Name">Its name.</param>
/// <param name="Side">Whose time steps it runs along.</param>
/// <param name="Norms">By lag, 0 the last target's own time step (of an encoder the source's last): the root of the mean over rows of |dL/dh|², NaN where no row reaches so far.</param>
public sealed record LagLine(int Layer, string Name, SequenceSide Side, double[] Norms);

/// <summary>Gradients by lag.</summary>
public static class GradientFlow
{
    /// <summary>The most time steps that are looked back.</summary>
    public const int MostLags = 512;

    private const int MostRows = 16;

    /// <summary>The lines of a model's recurrent layers and those with attention, on the first rows of some data; empty when it has none.</summary>
    /// <param name="trained">The model.</param>
    /// <param name="source">The data.</param>
    public static IReadOnlyList<LagLine> Of(TrainedModel trained, IBatchSource source)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(source);
        using var glass = new GlassModel(trained);
        var squares = new SortedDictionary<int, (SequenceSide Side, double[] Sums, int[] Counts)>();
        foreach (SpanBatch row in SingleRow.Of(trained.Model, source, MostRows, MostLags))
        {
            using (row)
            {
                IEnumerable<LayerGradients> layers = trained.Model.IsEncoderDecoder
                    ? [.. glass.Look(row).Gradients.Where(layer => layer.Side == SequenceSide.Source), .. glass.Look(row, lastTargetAlone: true).Gradients.Where(layer => layer.Side == SequenceSide.Target)]
                    : glass.Look(row).Gradients;
                foreach (LayerGradients layer in layers)
                {
                    if (!squares.TryGetValue(layer.Layer, out (SequenceSide Side, double[] Sums, int[] Counts) of))
                    {
                        squares.Add(layer.Layer, of = (layer.Side, new double[MostLags], new int[MostLags]));
                    }

                    int last = Math.Min(layer.Norms.Length, MostLags) - 1;
                    for (int lag = 0; lag <= last; lag++)
                    {
                        double norm = layer.Norms[layer.Norms.Length - 1 - lag];
                        of.Sums[lag] += norm * norm;
                        of.Counts[lag]++;
                    }
                }
            }
        }

        return [.. squares.Select(pair => new LagLine(pair.Key, trained.Model.LayerNames[pair.Key], pair.Value.Side, Means(pair.Value.Sums, pair.Value.Counts)))];
    }

    private static double[] Means(double[] sums, int[] counts) =>
        [.. sums.Take(Array.FindLastIndex(counts, count => count > 0) + 1).Select((sum, lag) => Math.Sqrt(sum / counts[lag]))];
}
