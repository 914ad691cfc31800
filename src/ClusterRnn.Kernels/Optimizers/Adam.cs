// Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), as torch.optim:
//     m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g²;  p -= (rate / c1) m / (sqrt(v) / sqrt(c2) + eps),  c = 1 - b^t
// Adam adds decay p to g; AdamW first multiplies p by 1 - rate decay.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>Adam and AdamW.</summary>
public static unsafe class Adam
{
    /// <summary>Adam.</summary>
    public static readonly Kernel<UpdateArguments> Kernel = UpdateLoop.Of<AdamRule>("optimizer.adam");

    /// <summary>AdamW.</summary>
    public static readonly Kernel<UpdateArguments> DecoupledKernel = UpdateLoop.Of<AdamWRule>("optimizer.adamw");

    /// <summary>Updates a range; both moments are +0 at the start.</summary>
    /// <param name="count">Parameters in the range.</param>
    /// <param name="parameters">[count], updated.</param>
    /// <param name="gradients">[count].</param>
    /// <param name="first">[count]: m.</param>
    /// <param name="second">[count]: v.</param>
    /// <param name="decoupled">AdamW instead of Adam.</param>
    /// <param name="scale">The gradient is multiplied by this first (clipping by norm).</param>
    /// <param name="learningRate">The learning rate.</param>
    /// <param name="beta1">Decay of the first moment.</param>
    /// <param name="beta2">Decay of the second moment.</param>
    /// <param name="epsilon">Added to the denominator.</param>
    /// <param name="weightDecay">Weight decay.</param>
    /// <param name="step">t: 1 at the first update.</param>
    public static void Run(long count, float* parameters, float* gradients, float* first, float* second, bool decoupled, float scale, double learningRate, double beta1, double beta2, float epsilon, double weightDecay, long step)
    {
        var arguments = Arguments(count, parameters, gradients, first, second, scale, beta1, beta2, epsilon, step);
        arguments.LearningRate = (float)(learningRate / (1 - ScalarMath.Pow(beta1, step)));
        arguments.WeightDecay = decoupled ? (float)(1 - (learningRate * weightDecay)) : (float)weightDecay;
        (decoupled ? DecoupledKernel : Kernel).Run(arguments);
    }

    internal static UpdateArguments Arguments(long count, float* parameters, float* gradients, float* first, float* second, float scale, double beta1, double beta2, float epsilon, long step) => new()
    {
        Count = count,
        Parameters = parameters,
        Gradients = gradients,
        First = first,
        Second = second,
        Scale = scale,
        Decay1 = (float)beta1,
        Complement1 = (float)(1 - beta1),
        Decay2 = (float)beta2,
        Complement2 = (float)(1 - beta2),
        Correction1 = (float)(1 - ScalarMath.Pow(beta1, step)),
        RootCorrection2 = (float)Math.Sqrt(1 - ScalarMath.Pow(beta2, step)),
        Epsilon = epsilon,
    };
}

internal readonly unsafe struct AdamRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => true;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, gradient * a->Scale);
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement1, g, first * a->Decay1));
        second = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement2 * g, g, second * a->Decay2));
        parameter = MathF.FusedMultiplyAdd(-a->LearningRate, first / ((MathF.Sqrt(second) / a->RootCorrection2) + a->Epsilon), parameter);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, gradient * V.Broadcast(a->Scale));
        first = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement1), g, first * V.Broadcast(a->Decay1)));
        second = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement2) * g, g, second * V.Broadcast(a->Decay2)));
        parameter = V.NegativeMultiplyAdd(V.Broadcast(a->LearningRate), first / ((V.SquareRoot(second) / V.Broadcast(a->RootCorrection2)) + V.Broadcast(a->Epsilon)), parameter);
    }
}

internal readonly unsafe struct AdamWRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => true;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = gradient * a->Scale;
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement1, g, first * a->Decay1));
        second = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement2 * g, g, second * a->Decay2));
        parameter = MathF.FusedMultiplyAdd(-a->LearningRate, first / ((MathF.Sqrt(second) / a->RootCorrection2) + a->Epsilon), parameter * a->WeightDecay);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = gradient * V.Broadcast(a->Scale);
        first = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement1), g, first * V.Broadcast(a->Decay1)));
        second = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement2) * g, g, second * V.Broadcast(a->Decay2)));
        parameter = V.NegativeMultiplyAdd(V.Broadcast(a->LearningRate), first / ((V.SquareRoot(second) / V.Broadcast(a->RootCorrection2)) + V.Broadcast(a->Epsilon)), parameter * V.Broadcast(a->WeightDecay));
    }
}
