// RMSprop (Tieleman and Hinton, 2012), as torch.optim.RMSprop without centring:
//     g = scale gradient + decay p;  v = alpha v + (1 - alpha) g²;  b = momentum b + g / (sqrt(v) + eps);  p -= rate b
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>RMSprop.</summary>
public static unsafe class RmsProp
{
    /// <summary>The kernel: First is the momentum buffer (momentum Decay1), Second the mean square (alpha Decay2, Complement2).</summary>
    public static readonly Kernel<UpdateArguments> Kernel = UpdateLoop.Of<RmsPropRule>("optimizer.rmsprop");

    /// <summary>Updates a range; both buffers are +0 at the start.</summary>
    public static void Run(long count, float* parameters, float* gradients, float* momentumBuffer, float* meanSquare, float scale, float learningRate, double alpha, float momentum, float epsilon, float weightDecay) =>
        Kernel.Run(new UpdateArguments
        {
            Count = count,
            Parameters = parameters,
            Gradients = gradients,
            First = momentumBuffer,
            Second = meanSquare,
            Scale = scale,
            LearningRate = learningRate,
            Decay1 = momentum,
            Decay2 = (float)alpha,
            Complement2 = (float)(1 - alpha),
            Epsilon = epsilon,
            WeightDecay = weightDecay,
        });
}

internal readonly unsafe struct RmsPropRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => true;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, gradient * a->Scale);
        second = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement2 * g, g, second * a->Decay2));
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Decay1, first, g / (MathF.Sqrt(second) + a->Epsilon)));
        parameter = MathF.FusedMultiplyAdd(-a->LearningRate, first, parameter);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, gradient * V.Broadcast(a->Scale));
        second = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement2) * g, g, second * V.Broadcast(a->Decay2)));
        first = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Decay1), first, g / (V.SquareRoot(second) + V.Broadcast(a->Epsilon))));
        parameter = V.NegativeMultiplyAdd(V.Broadcast(a->LearningRate), first, parameter);
    }
}
