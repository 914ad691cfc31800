// Stochastic gradient descent with momentum and Nesterov's form, as torch.optim.SGD:
//     g = scale gradient + decay p;  b = momentum b + g;  p -= rate (nesterov ? g + momentum b : b)
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>Stochastic gradient descent.</summary>
public static unsafe class Sgd
{
    /// <summary>Without momentum: LearningRate, WeightDecay, Scale.</summary>
    public static readonly Kernel<UpdateArguments> PlainKernel = UpdateLoop.Of<PlainRule>("optimizer.sgd");

    /// <summary>With momentum (Decay1): First is the momentum buffer, +0 at the start.</summary>
    public static readonly Kernel<UpdateArguments> MomentumKernel = UpdateLoop.Of<MomentumRule>("optimizer.sgd-momentum");

    /// <summary>Updates a range. Without momentum <paramref name="buffer"/> may be null.</summary>
    public static void Run(long count, float* parameters, float* gradients, float* buffer, float scale, float learningRate, float momentum, bool nesterov, float weightDecay)
    {
        var arguments = new UpdateArguments { Count = count, Parameters = parameters, Gradients = gradients, First = buffer, Scale = scale, LearningRate = learningRate, Decay1 = momentum, Nesterov = nesterov, WeightDecay = weightDecay };
        (momentum == 0f ? PlainKernel : MomentumKernel).Run(arguments);
    }
}

internal readonly unsafe struct PlainRule : IUpdateRule
{
    public static bool UsesFirst => false;

    public static bool UsesSecond => false;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, gradient * a->Scale);
        parameter = MathF.FusedMultiplyAdd(-a->LearningRate, g, parameter);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, gradient * V.Broadcast(a->Scale));
        parameter = V.NegativeMultiplyAdd(V.Broadcast(a->LearningRate), g, parameter);
    }
}

internal readonly unsafe struct MomentumRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => false;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, gradient * a->Scale);
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Decay1, first, g));
        parameter = MathF.FusedMultiplyAdd(-a->LearningRate, a->Nesterov ? MathF.FusedMultiplyAdd(a->Decay1, first, g) : first, parameter);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, gradient * V.Broadcast(a->Scale));
        V momentum = V.Broadcast(a->Decay1);
        first = VectorMath<V>.Flush(V.MultiplyAdd(momentum, first, g));
        V step = a->Nesterov ? V.MultiplyAdd(momentum, first, g) : first;
        parameter = V.NegativeMultiplyAdd(V.Broadcast(a->LearningRate), step, parameter);
    }
}
