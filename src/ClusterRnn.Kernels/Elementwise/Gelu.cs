// The Gaussian error linear unit (Hendrycks and Gimpel, 2016): y = x Φ(x), with Φ the normal distribution function, or with
// its approximation by tanh. One pass gives y and, in the place of x, the derivative: the way back is then a product, and
// nothing is computed twice.
//
// Φ(-t) for t >= 0 is exp(-t²/2) R(t), and R a polynomial of ninth degree in w = 1 / (1 + 0.35 t) without constant term,
// fitted to the least greatest relative error (3.1e-8) over [0, 12.5]. The exponent's rounding is made good, so the error
// stays relative far into the tail, where 1 + erf has none of its digits left. Beyond 12 everything is below 2^-100.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Elementwise;

/// <summary>The Gaussian error linear unit.</summary>
public static unsafe class Gelu
{
    /// <summary>Result = First Φ(First), and Second = its derivative; Second may be First.</summary>
    public static readonly Kernel<ElementwiseArguments> ExactKernel = Of<Exact>("activation.gelu");

    /// <summary>Result = 0.5 First (1 + tanh(sqrt(2/π) (First + 0.044715 First³))), and Second = its derivative; Second may be First.</summary>
    public static readonly Kernel<ElementwiseArguments> TanhKernel = Of<ByTanh>("activation.gelu-tanh");

    private const float Limit = 12f;

    /// <summary>y = x Φ(x), tiny values as +0.</summary>
    /// <param name="count">Elements.</param>
    /// <param name="x">[count], overwritten with the derivatives.</param>
    /// <param name="y">[count], overwritten.</param>
    /// <param name="byTanh">Whether Φ is approximated by tanh.</param>
    public static void Forward(long count, float* x, float* y, bool byTanh) =>
        (byTanh ? TanhKernel : ExactKernel).Run(new() { Count = count, First = x, Second = x, Result = y });

    private interface IFunction
    {
        static abstract void Apply(float x, out float y, out float slope);

        static abstract void Apply<V>(V x, out V y, out V slope)
            where V : struct, ILanes<V>;
    }

    private static Kernel<ElementwiseArguments> Of<F>(string name)
        where F : struct, IFunction => new(name, &Reference<F>, &Vectors<Lanes4, F>, &Vectors<Lanes8, F>, &Vectors<Lanes16, F>);

    private static void Reference<F>(ElementwiseArguments* a)
        where F : struct, IFunction => Rest<F>(a, 0);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Vectors<V, F>(ElementwiseArguments* a)
        where V : struct, ILanes<V>
        where F : struct, IFunction
    {
        long i = 0;
        for (; i <= a->Count - V.Width; i += V.Width)
        {
            F.Apply(V.Load(a->First + i), out V y, out V slope);
            y.Store(a->Result + i);
            slope.Store(a->Second + i);
        }

        Rest<F>(a, i);
    }

    private static void Rest<F>(ElementwiseArguments* a, long start)
        where F : struct, IFunction
    {
        for (long i = start; i < a->Count; i++)
        {
            F.Apply(a->First[i], out float y, out float slope);
            a->Result[i] = y;
            a->Second[i] = slope;
        }
    }

    private readonly struct Exact : IFunction
    {
        public static void Apply(float x, out float y, out float slope)
        {
            float t = MathF.Abs(x);
            t = Limit < t ? Limit : t;
            float tail = ScalarMath.NormalTail(t, out float exponential);
            y = ScalarMath.Flush(MathF.FusedMultiplyAdd(-t, tail, x < 0f ? 0f : x));
            float falling = MathF.FusedMultiplyAdd(-ScalarMath.NormalDensity * t, exponential, tail);
            slope = ScalarMath.Flush(x < 0f ? falling : 1f - falling);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<V>(V x, out V y, out V slope)
            where V : struct, ILanes<V>
        {
            V zero = V.Broadcast(0f), limit = V.Broadcast(Limit), t = VectorMath<V>.Magnitude(x);
            t = V.SelectLess(limit, t, limit, t);
            V tail = VectorMath<V>.NormalTail(t, out V exponential);
            y = VectorMath<V>.Flush(V.NegativeMultiplyAdd(t, tail, V.SelectLess(x, zero, zero, x)));
            V falling = V.MultiplyAdd(V.Broadcast(-ScalarMath.NormalDensity) * t, exponential, tail);
            slope = VectorMath<V>.Flush(V.SelectLess(x, zero, falling, V.Broadcast(1f) - falling));
        }
    }

    // 1 + tanh(z) = 2 sigmoid(2 z).
    private readonly struct ByTanh : IFunction
    {
        private const float TwiceRoot = 1.5957691216057308f; // 2 sqrt(2 / π)
        private const float Cubic = 0.044715f;

        public static void Apply(float x, out float y, out float slope)
        {
            float least = x < -Limit ? -Limit : x, within = Limit < least ? Limit : least, square = within * within;
            float share = ScalarMath.Sigmoid(TwiceRoot * within * MathF.FusedMultiplyAdd(Cubic, square, 1f));
            y = ScalarMath.Flush(least * share);
            float steepness = TwiceRoot * MathF.FusedMultiplyAdd(3f * Cubic, square, 1f);
            slope = ScalarMath.Flush(MathF.FusedMultiplyAdd(within * steepness, MathF.FusedMultiplyAdd(-share, share, share), share));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<V>(V x, out V y, out V slope)
            where V : struct, ILanes<V>
        {
            V limit = V.Broadcast(Limit), lowest = V.Broadcast(-Limit), one = V.Broadcast(1f), root = V.Broadcast(TwiceRoot);
            V least = V.SelectLess(x, lowest, lowest, x), within = V.SelectLess(limit, least, limit, least), square = within * within;
            V share = VectorMath<V>.Sigmoid(root * within * V.MultiplyAdd(V.Broadcast(Cubic), square, one));
            y = VectorMath<V>.Flush(least * share);
            V steepness = root * V.MultiplyAdd(V.Broadcast(3f * Cubic), square, one);
            slope = VectorMath<V>.Flush(V.MultiplyAdd(within * steepness, V.NegativeMultiplyAdd(share, share, share), share));
        }
    }
}
