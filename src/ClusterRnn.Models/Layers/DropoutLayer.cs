using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>Drops values at random in training, keyed by (seed, layer, version, global row slot, absolute time, element).</summary>
internal sealed unsafe class DropoutLayer(string name, int width, double rate) : Layer(name)
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
        Copy(Input.Values, Output.Values);
        if (step.IsTraining && rate > 0.0)
        {
            Apply(step, Output.Values, Output.Values);
        }
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        if (Input.HasGradient)
        {
            Apply(step, Output.Gradient, Input.Gradient);
        }
    }

    private void Apply(TrainingStep step, float* source, float* target)
    {
        StepScope scope = Output.Scope;
        var key = new RandomKey(step.Seed, RandomPurpose.Dropout, (uint)Index, (ulong)step.Version);
        for (int time = scope.From; time < scope.Time; time++)
        {
            long first = (long)time * scope.Rows;
            Dropout.Apply(key, (float)rate, scope.Rows, width, Output.Stride, scope.FirstRow, scope.StartTime + time, source + first * Output.Stride, target + first * Output.Stride);
        }
    }

    private void Copy(float* source, float* target)
    {
        StepScope scope = Output.Scope;
        for (int cell = scope.FirstCell; cell < scope.FirstCell + scope.Cells; cell++)
        {
            new ReadOnlySpan<float>(source + (long)cell * Input.Stride, width).CopyTo(new Span<float>(target + (long)cell * Output.Stride, width));
        }
    }
}
