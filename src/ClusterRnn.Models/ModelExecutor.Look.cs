// Looking into a model: one row, forward and back without dropout, and what people want to see of it. It is for reports and
// explanations: it allocates, and no training goes through it.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <content>Looking into a model.</content>
public sealed unsafe partial class ModelExecutor
{
    /// <summary>Forward, loss and backward over one row that starts from the beginning, without dropout.</summary>
    /// <param name="batch">One row, of at most as many time steps as a window has, with its targets.</param>
    /// <returns>Gradients by time step, and attention.</returns>
    /// <exception cref="InvalidOperationException">The executor was not constructed for training, or the window is computed in segments.</exception>
    /// <exception cref="ArgumentException">The batch has several rows.</exception>
    public ModelView Look(SpanBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (encoder is not null)
        {
            throw new InvalidOperationException("A model of an encoder and a decoder can't be looked into.");
        }

        if (!training || batch.Time > segmentTime)
        {
            throw new InvalidOperationException("Looking into a model needs an executor for training whose windows are computed whole.");
        }

        if (batch.Rows != 1 || batch.Lengths[0] != batch.Time)
        {
            throw new ArgumentException($"Expected one row of as many time steps as the window has, found {batch.Rows} rows.", nameof(batch));
        }

        var watched = new StateGradients();
        var maps = new List<AttentionMap>();
        var gradients = new SortedDictionary<int, double[]>();
        using var parameters = new NativeBuffer<float>(Model.Layout.Length); // their gradients, which nobody reads
        float* into = parameters.Pointer;
        TrainingSlice slice = TrainingSlice.Whole(1, 0, resetState: true);
        Begin(batch, slice, new ShardSums(Model.Metrics, 1), isTraining: false);
        LoadScopes(batch, slice);
        step.SubtreeGradients = &into;
        step.Watched = watched;
        try
        {
            Forward(batch, null);
            foreach (Layer layer in layers)
            {
                layer.ReadAttention(maps);
            }

            loss.Forward(batch, rowOrder, new ShardSums(Model.Metrics, 1));
            for (int i = layers.Length - 1; i >= 0; i--)
            {
                layers[i].Backward(step);
                if (layers[i].NeedsContext && layers[i].CouplesTime && layers[i].Input.HasGradient)
                {
                    gradients.Add(i, NormsOf(layers[i].Input));
                }
            }
        }
        finally
        {
            step.Watched = null;
            step.SubtreeGradients = null;
        }

        foreach ((int layer, double[] norms) in watched.Norms)
        {
            gradients.Add(layer, norms);
        }

        Signal first = layers[0].Output;
        return new ModelView(
            [.. gradients.Select(pair => new LayerGradients(pair.Key, pair.Value))],
            first.Width,
            Copy(first, first.Values, 0),
            Copy(first, first.Gradient, first.Scope.From),
            maps);
    }

    private static double[] NormsOf(Signal signal)
    {
        double[] norms = new double[signal.Scope.Time];
        for (int time = signal.Scope.From; time < norms.Length; time++)
        {
            norms[time] = Math.Sqrt(Sums.SquareSum(signal.Width, signal.GradientAt(time)));
        }

        return norms;
    }

    private static float[] Copy(Signal signal, float* values, int from)
    {
        float[] copy = new float[signal.Scope.Time * signal.Width];
        for (int time = from; time < signal.Scope.Time && values is not null; time++)
        {
            new ReadOnlySpan<float>(values + ((long)time * signal.Stride), signal.Width).CopyTo(copy.AsSpan(time * signal.Width));
        }

        return copy;
    }
}
