// From a sum over the batch to the gradient an optimizer sees.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>
/// gradient = sum / count + l1 sign(p) + l2 p, then limited to +-limit: the mean over the batch, regularisation as part of the
/// loss, clipping by value. The only division by the count.
/// </summary>
public static unsafe class GradientPreparation
{
    /// <summary>The kernel: LearningRate is the count, Decay1 is l1, WeightDecay is l2, Epsilon the limit (positive infinity: none).</summary>
    public static readonly Kernel<UpdateArguments> Kernel = UpdateLoop.Of<PreparationRule>("optimizer.prepare");

    /// <summary>Prepares a range in place.</summary>
    /// <param name="length">Parameters in the range.</param>
    /// <param name="gradients">[length]: in sums, out gradients.</param>
    /// <param name="parameters">[length].</param>
    /// <param name="count">What the sums are divided by; at least 1.</param>
    /// <param name="l1">The weight of |p| in the loss.</param>
    /// <param name="l2">The weight of p²/2 in the loss.</param>
    /// <param name="limit">Clipping by value, or positive infinity.</param>
    public static void Run(long length, float* gradients, float* parameters, long count, float l1 = 0f, float l2 = 0f, float limit = float.PositiveInfinity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        Kernel.Run(new UpdateArguments { Count = length, Gradients = gradients, Parameters = parameters, LearningRate = count, Decay1 = l1, WeightDecay = l2, Epsilon = limit });
    }
}

internal readonly unsafe struct PreparationRule : IUpdateRule
{
    public static bool UsesFirst => false;

    public static bool UsesSecond => false;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float sign = parameter > 0f ? a->Decay1 : parameter < 0f ? -a->Decay1 : 0f;
        float mean = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, (gradient / a->LearningRate) + sign);
        gradient = mean > a->Epsilon ? a->Epsilon : mean < -a->Epsilon ? -a->Epsilon : mean;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V zero = V.Broadcast(0f), l1 = V.Broadcast(a->Decay1), limit = V.Broadcast(a->Epsilon);
        V sign = V.SelectLess(zero, parameter, l1, V.SelectLess(parameter, zero, VectorMath<V>.Negate(l1), zero));
        V mean = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, (gradient / V.Broadcast(a->LearningRate)) + sign);
        V low = VectorMath<V>.Negate(limit);
        gradient = V.SelectLess(limit, mean, limit, V.SelectLess(mean, low, low, mean));
    }
}
