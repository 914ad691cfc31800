// LAMB (You et al., 2020), with bias correction as in the paper:
//     r = (m / c1) / (sqrt(v / c2) + eps);  u = r + decay p;  p -= rate (|p| / |u|) u   (ratio 1 where either norm is 0)
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>LAMB. A range must hold whole tensors, so that the norms are local.</summary>
public static unsafe class Lamb
{
    /// <summary>The first half: moments, and the direction u over Gradients.</summary>
    public static readonly Kernel<UpdateArguments> DirectionKernel = UpdateLoop.Of<LambRule>("optimizer.lamb-direction");

    /// <summary>Updates one tensor; both moments are +0 at the start. The gradients are overwritten.</summary>
    /// <param name="count">The tensor's elements; padding must be +0 in parameters and gradients.</param>
    /// <param name="parameters">[count], updated.</param>
    /// <param name="gradients">[count], overwritten.</param>
    /// <param name="first">[count]: m.</param>
    /// <param name="second">[count]: v.</param>
    /// <param name="scale">The gradient is multiplied by this first (clipping by norm).</param>
    /// <param name="learningRate">The learning rate.</param>
    /// <param name="beta1">Decay of the first moment.</param>
    /// <param name="beta2">Decay of the second moment.</param>
    /// <param name="epsilon">Added to the denominator.</param>
    /// <param name="weightDecay">Weight decay.</param>
    /// <param name="step">t: 1 at the first update.</param>
    /// <param name="adapt">False for biases and gains, which keep the global rate without decay.</param>
    public static void Run(long count, float* parameters, float* gradients, float* first, float* second, float scale, double learningRate, double beta1, double beta2, float epsilon, double weightDecay, long step, bool adapt)
    {
        var arguments = Adam.Arguments(count, parameters, gradients, first, second, scale, beta1, beta2, epsilon, step);
        arguments.WeightDecay = adapt ? (float)weightDecay : 0f;
        DirectionKernel.Run(arguments);
        double rate = learningRate;
        if (adapt)
        {
            double parameterNorm = Math.Sqrt(Sums.SquareSum(count, parameters)), directionNorm = Math.Sqrt(Sums.SquareSum(count, gradients));
            if (parameterNorm > 0 && directionNorm > 0)
            {
                rate *= parameterNorm / directionNorm;
            }
        }

        Sgd.Run(count, parameters, gradients, null, 1f, (float)rate, 0f, false, 0f);
    }
}

internal readonly unsafe struct LambRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => true;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = gradient * a->Scale;
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement1, g, first * a->Decay1));
        second = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Complement2 * g, g, second * a->Decay2));
        float direction = first / a->Correction1 / ((MathF.Sqrt(second) / a->RootCorrection2) + a->Epsilon);
        gradient = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, direction);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = gradient * V.Broadcast(a->Scale);
        first = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement1), g, first * V.Broadcast(a->Decay1)));
        second = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Complement2) * g, g, second * V.Broadcast(a->Decay2)));
        V direction = first / V.Broadcast(a->Correction1) / ((V.SquareRoot(second) / V.Broadcast(a->RootCorrection2)) + V.Broadcast(a->Epsilon));
        gradient = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, direction);
    }
}
