// Which kernel updates a range, with which constants. The gradient: sum / count, times the clip scale, clamped, then
// + l1 sign(w) + l2 w; the usual case (no clamp, no l1) is two kernels over the range. Frozen tensors are left out: they are
// not updated, penalised or decayed, and the optimizer's state of them stays zero.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Optimizers;
using ClusterRnn.Models;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Training.Optimizers;

/// <summary>Updates a range's parameters.</summary>
internal sealed unsafe class OptimizerUpdate
{
    private readonly OptimizerConfig config;
    private readonly float limit;
    private readonly float l1;
    private readonly float l2;
    private readonly double weightDecay;
    private readonly (long Offset, long Floats, bool Adapt)[] parts; // tensors where the optimizer needs them whole, else what lies between frozen ones

    public OptimizerUpdate(ParameterLayout layout, BlockRange blocks, TrainingSettings settings)
    {
        config = settings.Optimizer;
        limit = (float)(settings.Clip.Value ?? double.PositiveInfinity);
        weightDecay = config.ResolvedWeightDecay();
        l1 = (float)settings.Regularization.L1;
        l2 = (float)settings.Regularization.L2;
        parts = config.NeedsWholeTensors ? TensorsOf(layout, blocks) : TrainedOf(layout, blocks);
    }

    /// <summary>Updates parameters and moments.</summary>
    /// <param name="numbers">The verdict's numbers.</param>
    /// <param name="parameters">[floats], updated.</param>
    /// <param name="gradient">[floats], the summed gradient; overwritten.</param>
    /// <param name="moments">[moments, floats], updated.</param>
    /// <param name="floats">The range's floats.</param>
    public void Run(in UpdateNumbers numbers, float* parameters, float* gradient, float* moments, long floats)
    {
        foreach ((long at, long count, bool adapt) in parts)
        {
            Run(numbers, parameters + at, gradient + at, moments + at, moments + floats + at, count, adapt);
        }
    }

    private void Run(in UpdateNumbers numbers, float* parameters, float* gradient, float* moments, float* second, long floats, bool adapt)
    {
        float scale = numbers.ClipScale;
        GradientPreparation.Run(floats, gradient, parameters, numbers.Count);
        if (float.IsFinite(limit) || l1 != 0 || l2 != 0)
        {
            // Clipping by value and penalties come after clipping by norm.
            ElementwiseFunctions.Scale(floats, gradient, scale, gradient);
            ElementwiseFunctions.Clamp(floats, gradient, limit, gradient);
            GradientPreparation.Run(floats, gradient, parameters, 1, l1, l2);
            scale = 1;
        }

        float rate = (float)numbers.LearningRate;
        float decay = (float)weightDecay;
        switch (config)
        {
            case SgdConfig sgd:
                Sgd.Run(floats, parameters, gradient, sgd.Momentum > 0 ? moments : null, scale, rate, (float)sgd.Momentum, sgd.Nesterov, decay);
                break;
            case RmsPropConfig rmsProp:
                RmsProp.Run(floats, parameters, gradient, second, moments, scale, rate, rmsProp.Alpha, (float)rmsProp.Momentum, (float)rmsProp.Epsilon, decay);
                break;
            case AdamConfig adam:
                Adam.Run(floats, parameters, gradient, moments, second, false, scale, numbers.LearningRate, adam.Beta1, adam.Beta2, (float)adam.Epsilon, weightDecay, numbers.Number);
                break;
            case AdamWConfig adam:
                Adam.Run(floats, parameters, gradient, moments, second, true, scale, numbers.LearningRate, adam.Beta1, adam.Beta2, (float)adam.Epsilon, weightDecay, numbers.Number);
                break;
            case LarsConfig lars:
                Lars.Run(floats, parameters, gradient, moments, scale, numbers.LearningRate, (float)lars.Momentum, weightDecay, lars.Trust, lars.Epsilon, adapt);
                break;
            case LambConfig lamb:
                Lamb.Run(floats, parameters, gradient, moments, second, scale, numbers.LearningRate, lamb.Beta1, lamb.Beta2, (float)lamb.Epsilon, weightDecay, numbers.Number, adapt);
                break;
            default:
                throw new NotSupportedException($"No update for {config.GetType().Name}.");
        }
    }

    private static (long Offset, long Floats, bool Adapt)[] TrainedOf(ParameterLayout layout, BlockRange blocks)
    {
        var runs = new List<(long Offset, long Floats, bool Adapt)>();
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            int first = Math.Max(tensor.FirstBlock, blocks.First), end = Math.Min(tensor.FirstBlock + tensor.BlockCount, blocks.End);
            if (tensor.IsFrozen || end <= first)
            {
                continue;
            }

            long offset = (long)(first - blocks.First) * ParameterLayout.BlockSize, floats = (long)(end - first) * ParameterLayout.BlockSize;
            if (runs.Count > 0 && runs[^1].Offset + runs[^1].Floats == offset)
            {
                (offset, floats) = (runs[^1].Offset, runs[^1].Floats + floats);
                runs.RemoveAt(runs.Count - 1);
            }

            runs.Add((offset, floats, false));
        }

        return [.. runs];
    }

    private static (long Offset, long Floats, bool Adapt)[] TensorsOf(ParameterLayout layout, BlockRange blocks)
    {
        var tensors = new List<(long, long, bool)>();
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            int end = tensor.FirstBlock + tensor.BlockCount;
            if (tensor.FirstBlock >= blocks.First && end <= blocks.End)
            {
                if (!tensor.IsFrozen)
                {
                    // Biases and gains keep the global rate without decay.
                    tensors.Add((tensor.Offset - blocks.FirstFloat, tensor.Count, tensor.Shape.Length > 1));
                }
            }
            else if (tensor.FirstBlock < blocks.End && end > blocks.First)
            {
                throw new ArgumentException($"The optimizer needs whole tensors, but the blocks {blocks} cut {tensor.Name}.", nameof(blocks));
            }
        }

        return [.. tensors];
    }
}
