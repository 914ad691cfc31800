using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>One of several dropouts within a layer, keyed by (seed, layer and part, version, global row slot, absolute time, element).</summary>
/// <param name="layer">The layer whose index keys it.</param>
/// <param name="part">Its number within the layer, from 1 on.</param>
/// <param name="rate">The share that is dropped.</param>
internal sealed unsafe class DropoutPart(Layer layer, uint part, double rate)
{
    /// <summary>The share that is dropped.</summary>
    public float Rate => (float)rate;

    /// <summary>Whether anything is dropped in this step.</summary>
    public bool IsActive(TrainingStep step) => step.IsTraining && rate > 0.0;

    /// <summary>The family of its random numbers.</summary>
    public RandomKey Key(TrainingStep step) => new(step.Seed, RandomPurpose.Dropout, (uint)layer.Index | (part << 16), (ulong)step.Version);

    /// <summary>target = source x mask over the cells in [From, T), if it is active; target may be the source.</summary>
    /// <returns>What holds the result: the target, or the source where nothing is dropped.</returns>
    public float* Apply(TrainingStep step, StepScope scope, int width, int stride, float* source, float* target)
    {
        if (!IsActive(step))
        {
            return source;
        }

        RandomKey key = Key(step);
        for (int time = scope.From; time < scope.Time; time++)
        {
            nint first = (nint)time * scope.Rows * stride;
            scope.Drop(key, rate, scope.RowsAt(time), width, stride, scope.StartTime + time, source + first, target + first);
        }

        return target;
    }
}
