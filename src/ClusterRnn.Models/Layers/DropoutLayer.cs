using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>Drops values at random in training, keyed by (seed, layer, version, global row slot, absolute time, element).</summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">Values a position.</param>
/// <param name="rate">The share that is dropped.</param>
/// <param name="isVariational">Whether a row's mask is the same at all time steps of a window (Gal and Ghahramani 2016): the key leaves out the time.</param>
internal sealed unsafe class DropoutLayer(string name, int width, double rate, bool isVariational) : Layer(name)
{
    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.ReserveValues(plan);
        if (Input.HasGradient)
        {
            Output.ReserveGradient(plan);
        }
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        // The input's rows may lie closer than the output's: copy, then drop in place.
        Copy(Input.Values, Input.Stride, Output.Values, Output.Stride);
        if (step.IsTraining && rate > 0.0)
        {
            Apply(step, Output.Values, Output.Values);
        }
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        if (Input.HasGradient && !step.IsTraining)
        {
            Copy(Output.Gradient, Output.Stride, Input.Gradient, Input.Stride);
        }
        else if (Input.HasGradient)
        {
            Apply(step, Output.Gradient, Input.Gradient);
            Output.Scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }

    private void Apply(TrainingStep step, float* source, float* target)
    {
        StepScope scope = Output.Scope;
        var key = new RandomKey(step.Seed, RandomPurpose.Dropout, (uint)Index, (ulong)step.Version);
        for (int time = scope.From; time < scope.Time; time++)
        {
            long first = (long)time * scope.Rows;
            scope.Drop(key, rate, scope.RowsAt(time), width, Output.Stride, isVariational ? 0 : scope.StartTime + time, source + first * Output.Stride, target + first * Output.Stride);
        }
    }

    private void Copy(float* source, int sourceStride, float* target, int targetStride)
    {
        StepScope scope = Output.Scope;
        for (int cell = scope.FirstCell; cell < scope.FirstCell + scope.Cells; cell++)
        {
            new ReadOnlySpan<float>(source + (long)cell * sourceStride, width).CopyTo(new Span<float>(target + (long)cell * targetStride, width));
        }
    }
}
