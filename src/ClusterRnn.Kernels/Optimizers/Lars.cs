// LARS (You, Gitman, Ginsburg, 2017): each tensor has a rate of its own,
//     local = trust |p| / (|g| + decay |p| + eps) (1 where |p| or |g| is 0);  b = momentum b + rate local (g + decay p);  p -= b
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Optimizers;

/// <summary>LARS. A range must hold whole tensors, so that the norms are local.</summary>
public static unsafe class Lars
{
    /// <summary>The kernel: LearningRate is the global rate times the tensor's.</summary>
    public static readonly Kernel<UpdateArguments> Kernel = UpdateLoop.Of<LarsRule>("optimizer.lars");

    /// <summary>Updates one tensor; the momentum buffer is +0 at the start.</summary>
    /// <param name="count">The tensor's elements; padding must be +0 in parameters and gradients.</param>
    /// <param name="parameters">[count], updated.</param>
    /// <param name="gradients">[count].</param>
    /// <param name="buffer">[count]: momentum.</param>
    /// <param name="scale">The gradient is multiplied by this first (clipping by norm).</param>
    /// <param name="learningRate">The global learning rate.</param>
    /// <param name="momentum">Momentum.</param>
    /// <param name="weightDecay">Weight decay.</param>
    /// <param name="trust">The trust coefficient (0.001 in the paper).</param>
    /// <param name="epsilon">Added to the denominator.</param>
    /// <param name="adapt">False for biases and gains, which keep the global rate without decay.</param>
    public static void Run(long count, float* parameters, float* gradients, float* buffer, float scale, double learningRate, float momentum, double weightDecay, double trust, double epsilon, bool adapt)
    {
        double rate = learningRate;
        if (adapt)
        {
            double parameterNorm = Math.Sqrt(Sums.SquareSum(count, parameters)), gradientNorm = Math.Sqrt(Sums.SquareSum(count, gradients)) * Math.Abs((double)scale);
            if (parameterNorm > 0 && gradientNorm > 0)
            {
                rate *= trust * parameterNorm / (gradientNorm + (weightDecay * parameterNorm) + epsilon);
            }
        }

        Kernel.Run(new UpdateArguments { Count = count, Parameters = parameters, Gradients = gradients, First = buffer, Scale = scale, LearningRate = (float)rate, Decay1 = momentum, WeightDecay = adapt ? (float)weightDecay : 0f });
    }
}

internal readonly unsafe struct LarsRule : IUpdateRule
{
    public static bool UsesFirst => true;

    public static bool UsesSecond => false;

    public static void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second)
    {
        float g = MathF.FusedMultiplyAdd(a->WeightDecay, parameter, gradient * a->Scale);
        first = ScalarMath.Flush(MathF.FusedMultiplyAdd(a->Decay1, first, a->LearningRate * g));
        parameter -= first;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>
    {
        V g = V.MultiplyAdd(V.Broadcast(a->WeightDecay), parameter, gradient * V.Broadcast(a->Scale));
        first = VectorMath<V>.Flush(V.MultiplyAdd(V.Broadcast(a->Decay1), first, V.Broadcast(a->LearningRate) * g));
        parameter -= first;
    }
}
