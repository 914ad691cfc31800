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
    /// <param name="lastTargetAlone">Whether the loss looked at is that of the row's last target, and not the sum over all of them.</param>
    /// <returns>Gradients by time step, and attention.</returns>
    /// <exception cref="InvalidOperationException">The executor was not constructed for training, or the window is computed in segments.</exception>
    /// <exception cref="ArgumentException">The batch has several rows, or a row that ends before its window.</exception>
    public ModelView Look(SpanBatch batch, bool lastTargetAlone = false)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (!training || batch.Time > segmentTime)
        {
            throw new InvalidOperationException("Looking into a model needs an executor for training whose windows are computed whole.");
        }

        if (batch.Rows != 1 || (encoder is null && batch.Lengths[0] != batch.Time))
        {
            throw new ArgumentException($"Expected one row of as many time steps as the window has, found {batch.Rows} rows.", nameof(batch));
        }

        var watched = new StateGradients();
        var maps = new List<AttentionMap>();
        var gradients = new SortedDictionary<int, double[]>();
        using var parameters = new NativeBuffer<float>(Model.Layout.Length); // their gradients, which nobody reads
        float* into = parameters.Pointer;
        TrainingSlice slice = TrainingSlice.Whole(1, 0, resetState: true);
        step.SubtreeGradients = &into;
        step.Watched = watched;
        try
        {
            batch = Begin(batch, slice, new ShardSums(Model.Metrics, 1), isTraining: false);
            LoadScopes(batch, slice);
            Forward(batch, null);
            foreach (Layer layer in encoder?.Layers ?? [])
            {
                layer.ReadAttention(encoder!.Step, maps);
            }

            foreach (Layer layer in layers)
            {
                layer.ReadAttention(step, maps);
            }

            loss.Forward(batch, rowOrder, new ShardSums(Model.Metrics, 1));
            Signal outputs = layers[^1].Output;
            int last = outputs.Scope.Lengths[0] - 1;
            if (lastTargetAlone && last > outputs.Scope.From)
            {
                new Span<float>(outputs.GradientAt(outputs.Scope.From), (last - outputs.Scope.From) * outputs.Stride).Clear();
            }

            encoder?.Memory.ClearGradients();
            BackAndSee(layers, step, gradients);
            if (encoder is not null)
            {
                encoder.Step.Watched = watched;
                BackAndSee(encoder.Layers, encoder.Step, gradients);
            }
        }
        finally
        {
            step.Watched = null;
            step.SubtreeGradients = null;
            if (encoder is not null)
            {
                encoder.Step.Watched = null;
                encoder.Step.SubtreeGradients = null;
            }
        }

        foreach ((int layer, double[] norms) in watched.Norms)
        {
            gradients.Add(layer, norms);
        }

        Signal first = (encoder is null ? layers : encoder.Layers)[0].Output;
        return new ModelView(
            [.. gradients.Select(pair => pair.Key < Model.EncoderLayerCount ? Of(pair, SequenceSide.Source, encoder!.Memory.Scope) : Of(pair, encoder is null ? SequenceSide.Source : SequenceSide.Target, windowScope))],
            first.Width,
            Copy(first, first.Values, 0),
            Copy(first, first.Gradient, first.Scope.From),
            maps);

        // A row of a pair may be shorter than the window.
        static LayerGradients Of(KeyValuePair<int, double[]> pair, SequenceSide side, StepScope scope) => new(pair.Key, side, scope.IsRagged ? pair.Value[..scope.Lengths[0]] : pair.Value);
    }

    private static void BackAndSee(Layer[] layers, TrainingStep step, SortedDictionary<int, double[]> gradients)
    {
        for (int i = layers.Length - 1; i >= 0; i--)
        {
            layers[i].Backward(step);
            if (layers[i].NeedsContext && layers[i].CouplesTime && layers[i].Input.HasGradient)
            {
                gradients.Add(layers[i].Index, NormsOf(layers[i].Input));
            }
        }
    }

    private static double[] NormsOf(Signal signal)
    {
        double[] norms = new double[signal.Scope.Time];
        for (int time = signal.Scope.From; time < signal.Scope.Lengths[0]; time++)
        {
            norms[time] = Math.Sqrt(Sums.SquareSum(signal.Width, signal.GradientAt(time)));
        }

        return norms;
    }

    private static float[] Copy(Signal signal, float* values, int from)
    {
        float[] copy = new float[signal.Scope.Time * signal.Width];
        for (int time = from; time < signal.Scope.Lengths[0] && values is not null; time++)
        {
            new ReadOnlySpan<float>(values + ((long)time * signal.Stride), signal.Width).CopyTo(copy.AsSpan(time * signal.Width));
        }

        return copy;
    }
}
