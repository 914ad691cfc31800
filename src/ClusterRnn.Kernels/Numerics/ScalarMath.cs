// exp, log, pow, tanh, sigmoid, sin, cos and the normal deviate, from + - * / sqrt, fused multiply-add, comparisons and bit
// operations alone: every machine gives the same bits. The float functions here are the reference of VectorMath, which does
// the same operations on each lane. The double functions serve schedules, losses and initialisers, one number at a time.
//
// Greatest errors measured over all floats (tests/ClusterRnn.Tests/Kernels/ScalarMathTests.cs; the whole range in its long
// form), in units in the last place: see each function.
using System.Runtime.CompilerServices;

namespace ClusterRnn.Kernels.Numerics;

/// <summary>Elementary functions that give the same bits on every machine.</summary>
public static partial class ScalarMath
{
    /// <summary>What is smaller in magnitude is stored as +0 by gates, gradients and moments (2^-100): vanishing gradients would otherwise become subnormal, and those make a product 240 times slower.</summary>
    public const float Tiny = 7.8886090522101181e-31f;

    internal const float RoundingMagic = 12582912f; // 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits
    internal const float Log2E = 1.44269504088896341f;
    internal const float Ln2High = 0.693145751953125f; // 16 bits: n * Ln2High is exact
    internal const float Ln2Low = 1.42860677e-6f;
    internal const float ExpLargest = 88.8f;
    internal const float ExpSmallest = -104f;
    internal const float Exp2 = 5.0000001201e-1f; // exp(r) - 1 = r + r^2 (Exp2 + Exp3 r + ...), |r| <= ln(2)/2 (Moshier, Cephes)
    internal const float Exp3 = 1.6666665459e-1f;
    internal const float Exp4 = 4.1665795894e-2f;
    internal const float Exp5 = 8.3334519073e-3f;
    internal const float Exp6 = 1.3981999507e-3f;
    internal const float Exp7 = 1.9875691500e-4f;
    internal const float TanhLargest = 10f;

    internal const float Log3 = 3.3333331174e-1f; // log(1 + f) = f - f^2/2 + f^3 (Log3 + Log4 f + ...) (Moshier, Cephes)
    internal const float Log4 = -2.4999993993e-1f;
    internal const float Log5 = 2.0000714765e-1f;
    internal const float Log6 = -1.6668057665e-1f;
    internal const float Log7 = 1.4249322787e-1f;
    internal const float Log8 = -1.2420140846e-1f;
    internal const float Log9 = 1.1676998740e-1f;
    internal const float Log10 = -1.1514610310e-1f;
    internal const float Log11 = 7.0376836292e-2f;
    internal const int LogOffset = 0x3F3504F3; // sqrt(1/2)

    internal const float NormalDensity = 0.3989422804014327f; // 1 / sqrt(2 π)
    internal const float TailSlope = 0.35f; // Φ(-t) = exp(-t²/2) w (Tail1 + Tail2 w + ...), w = 1 / (1 + TailSlope t): see Elementwise/Gelu.cs
    internal const float Tail1 = 0.139622211f;
    internal const float Tail2 = 0.139848322f;
    internal const float Tail3 = 0.119927503f;
    internal const float Tail4 = 0.105146378f;
    internal const float Tail5 = -0.0222804733f;
    internal const float Tail6 = 0.158001214f;
    internal const float Tail7 = -0.254711956f;
    internal const float Tail8 = 0.143497124f;
    internal const float Tail9 = -0.0290503372f;

    /// <summary><paramref name="x"/>, or +0 when it is smaller than 2^-100 in magnitude. NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Flush(float x) => MathF.Abs(x) < Tiny ? 0f : x;

    /// <summary>e to the power <paramref name="x"/>; at most 1.02 ulp off over all floats.</summary>
    public static float Exp(float x)
    {
        x = x > ExpLargest ? ExpLargest : x;
        x = x < ExpSmallest ? ExpSmallest : x;
        float shifted = Fma(x, Log2E, RoundingMagic);
        float n = shifted - RoundingMagic;
        float y = 1f + ReducedExpMinusOne(x, n);
        int power = BitConverter.SingleToInt32Bits(shifted) - BitConverter.SingleToInt32Bits(RoundingMagic);
        int half = power >> 1;
        return y * PowerOfTwo(half) * PowerOfTwo(power - half);
    }

    /// <summary>The natural logarithm; at most 0.76 ulp off. -inf at 0, NaN below.</summary>
    public static float Log(float x)
    {
        bool subnormal = x < 1.17549435e-38f;
        float scaled = subnormal ? x * 8388608f : x;
        int bits = BitConverter.SingleToInt32Bits(scaled) - LogOffset;
        float n = (bits >> 23) - (subnormal ? 23f : 0f);
        float f = BitConverter.Int32BitsToSingle((bits & 0x007FFFFF) + LogOffset) - 1f;
        float p = Fma(Log11, f, Log10);
        p = Fma(p, f, Log9);
        p = Fma(p, f, Log8);
        p = Fma(p, f, Log7);
        p = Fma(p, f, Log6);
        p = Fma(p, f, Log5);
        p = Fma(p, f, Log4);
        p = Fma(p, f, Log3);
        float square = f * f;
        float tail = Fma(p * f, square, n * Ln2Low);
        tail = Fma(-0.5f * f, f, tail);
        float result = Fma(n, Ln2High, f + tail);
        result = x < float.PositiveInfinity ? result : x;
        result = x == 0f ? float.NegativeInfinity : result;
        return x < 0f ? float.NaN : result;
    }

    /// <summary>The hyperbolic tangent; at most 1.7 ulp off, odd, +-1 beyond +-9.02.</summary>
    public static float Tanh(float x)
    {
        float magnitude = MathF.Abs(x);
        magnitude = magnitude > TanhLargest ? TanhLargest : magnitude;
        float twice = magnitude + magnitude;
        float shifted = Fma(twice, Log2E, RoundingMagic);
        float n = shifted - RoundingMagic;
        float q = ReducedExpMinusOne(twice, n);
        float scale = PowerOfTwo(BitConverter.SingleToInt32Bits(shifted) - BitConverter.SingleToInt32Bits(RoundingMagic));
        float expMinusOne = Fma(scale, q, scale - 1f);
        float denominator = expMinusOne + 2f;
        float result = Quotient(expMinusOne, denominator, expMinusOne - (denominator - 2f));
        return BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(result) | (BitConverter.SingleToInt32Bits(x) & int.MinValue));
    }

    /// <summary>The logistic function 1 / (1 + exp(-x)); at most 1.5 ulp off.</summary>
    public static float Sigmoid(float x)
    {
        float e = Exp(-MathF.Abs(x));
        float denominator = 1f + e;
        return Quotient(x < 0f ? e : 1f, denominator, e - (denominator - 1f));
    }

    /// <summary>The normal distribution function Φ(x) = (1 + erf(x / sqrt(2))) / 2; at most 6.5 ulp off, also where it is tiny, down to x = -12.</summary>
    public static float NormalDistribution(float x)
    {
        float t = MathF.Abs(x), tail = NormalTail(t > 12f ? 12f : t, out _);
        return x < 0f ? tail : 1f - tail;
    }

    /// <summary>Φ(-t) for t from 0 to 12, and exp(-t²/2).</summary>
    internal static float NormalTail(float t, out float exponential)
    {
        float w = 1f / Fma(TailSlope, t, 1f);
        float p = Fma(Tail9, w, Tail8);
        p = Fma(p, w, Tail7);
        p = Fma(p, w, Tail6);
        p = Fma(p, w, Tail5);
        p = Fma(p, w, Tail4);
        p = Fma(p, w, Tail3);
        p = Fma(p, w, Tail2);
        p = Fma(p, w, Tail1);
        float square = t * t, e = Exp(-0.5f * square);
        exponential = Fma(e, -0.5f * Fma(t, t, -square), e); // the square's rounding made good
        return exponential * (p * w);
    }

    /// <summary><paramref name="x"/> to the power <paramref name="y"/>, computed in double and rounded: at most 0.51 ulp off. Special cases as in C99.</summary>
    public static float Pow(float x, float y) => (float)Pow((double)x, y);

    /// <summary>The cosine of <paramref name="x"/> radians, computed in double and rounded. See <see cref="Cos(double)"/> for the range.</summary>
    public static float Cos(float x) => (float)Cos((double)x);

    /// <summary>The sine of <paramref name="x"/> radians, computed in double and rounded. See <see cref="Cos(double)"/> for the range.</summary>
    public static float Sin(float x) => (float)Sin((double)x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Fma(float a, float b, float c) => MathF.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float PowerOfTwo(int n) => BitConverter.Int32BitsToSingle((n + 127) << 23);

    // numerator / (denominator + rest): the quotient corrected by its remainder, with one division.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Quotient(float numerator, float denominator, float rest)
    {
        float inverse = 1f / denominator, quotient = numerator * inverse;
        float remainder = Fma(-quotient, rest, Fma(-quotient, denominator, numerator));
        return Fma(remainder, inverse, quotient);
    }

    // exp(r) - 1 with r = x - n ln(2).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float ReducedExpMinusOne(float x, float n)
    {
        float r = Fma(n, -Ln2High, x);
        r = Fma(n, -Ln2Low, r);
        float p = Fma(Exp7, r, Exp6);
        p = Fma(p, r, Exp5);
        p = Fma(p, r, Exp4);
        p = Fma(p, r, Exp3);
        p = Fma(p, r, Exp2);
        return Fma(r * r, p, r);
    }
}
