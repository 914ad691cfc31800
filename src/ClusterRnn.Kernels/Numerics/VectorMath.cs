// ScalarMath's float functions on vectors: the same operations in the same order, lane by lane. Change both or neither.
using System.Runtime.CompilerServices;

namespace ClusterRnn.Kernels.Numerics;

internal static class VectorMath<V>
    where V : struct, ILanes<V>
{
    private static V SignBit
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => V.Broadcast(-0f);
    }

    private static V MagnitudeBits
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Bits(0x7FFFFFFF);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Magnitude(V x) => x & MagnitudeBits;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Negate(V x) => SignBit - x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Flush(V x) => V.SelectLess(Magnitude(x), V.Broadcast(ScalarMath.Tiny), V.Broadcast(0f), x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        V largest = V.Broadcast(ScalarMath.ExpLargest), smallest = V.Broadcast(ScalarMath.ExpSmallest);
        x = V.Lesser(largest, x);
        x = V.Greater(smallest, x);
        V magic = V.Broadcast(ScalarMath.RoundingMagic);
        V shifted = V.MultiplyAdd(x, V.Broadcast(ScalarMath.Log2E), magic);
        V n = shifted - magic;
        V y = V.Broadcast(1f) + ReducedExpMinusOne(x, n);
        V power = V.SubtractIntegers(shifted, magic);
        V half = V.ShiftRight(power, 1);
        return y * PowerOfTwo(half) * PowerOfTwo(V.SubtractIntegers(power, half));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Log(V x)
    {
        V subnormal = V.LessThan(x, V.Broadcast(1.17549435e-38f));
        V scaled = V.Select(subnormal, x * V.Broadcast(8388608f), x);
        V offset = Bits(ScalarMath.LogOffset);
        V bits = V.SubtractIntegers(scaled, offset);
        V n = V.IntegersToFloats(V.ShiftRight(bits, 23)) - V.Select(subnormal, V.Broadcast(23f), V.Broadcast(0f));
        V f = V.AddIntegers(bits & Bits(0x007FFFFF), offset) - V.Broadcast(1f);
        V p = V.MultiplyAdd(V.Broadcast(ScalarMath.Log11), f, V.Broadcast(ScalarMath.Log10));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log9));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log8));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log7));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log6));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log5));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log4));
        p = V.MultiplyAdd(p, f, V.Broadcast(ScalarMath.Log3));
        V square = f * f;
        V tail = V.MultiplyAdd(p * f, square, n * V.Broadcast(ScalarMath.Ln2Low));
        tail = V.MultiplyAdd(V.Broadcast(-0.5f) * f, f, tail);
        V result = V.MultiplyAdd(n, V.Broadcast(ScalarMath.Ln2High), f + tail);
        result = V.SelectLess(x, V.Broadcast(float.PositiveInfinity), result, x);
        result = V.Select(V.Equal(x, V.Broadcast(0f)), V.Broadcast(float.NegativeInfinity), result);
        return V.SelectLess(x, V.Broadcast(0f), V.Broadcast(float.NaN), result);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Tanh(V x)
    {
        V magnitude = Magnitude(x), largest = V.Broadcast(ScalarMath.TanhLargest);
        magnitude = V.Lesser(largest, magnitude);
        V twice = magnitude + magnitude;
        V magic = V.Broadcast(ScalarMath.RoundingMagic);
        V shifted = V.MultiplyAdd(twice, V.Broadcast(ScalarMath.Log2E), magic);
        V n = shifted - magic;
        V q = ReducedExpMinusOne(twice, n);
        V scale = PowerOfTwo(shifted);
        V expMinusOne = V.MultiplyAdd(scale, q, scale - V.Broadcast(1f));
        V two = V.Broadcast(2f), denominator = expMinusOne + two;
        V result = Quotient(expMinusOne, denominator, expMinusOne - (denominator - two));
        return result | (x & SignBit);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid(V x)
    {
        V one = V.Broadcast(1f), e = Exp(x | SignBit), denominator = one + e;
        return Quotient(V.SelectLess(x, V.Broadcast(0f), e, one), denominator, e - (denominator - one));
    }

    // Flush(Sigmoid(x)) with fewer operations: beyond +-80 the exponential is below 2^-100 either way, and within it scaling
    // by 2^n in one step is exact.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V GateSigmoid(V x)
    {
        V one = V.Broadcast(1f), least = V.Broadcast(-80f), zero = V.Broadcast(0f);
        V negative = x | SignBit;
        negative = V.Greater(least, negative);
        V magic = V.Broadcast(ScalarMath.RoundingMagic);
        V shifted = V.MultiplyAdd(negative, V.Broadcast(ScalarMath.Log2E), magic);
        V y = one + ReducedExpMinusOne(negative, shifted - magic);
        V e = y * PowerOfTwo(shifted);
        V denominator = one + e;
        V result = Quotient(V.SelectLess(x, zero, e, one), denominator, e - (denominator - one));
        return V.SelectLess(result, V.Broadcast(ScalarMath.Tiny), zero, result);
    }

    // Φ(-t) for 0 <= t <= 12, and exp(-t²/2).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V NormalTail(V t, out V exponential)
    {
        V w = V.Broadcast(1f) / V.MultiplyAdd(V.Broadcast(ScalarMath.TailSlope), t, V.Broadcast(1f));
        V p = V.MultiplyAdd(V.Broadcast(ScalarMath.Tail9), w, V.Broadcast(ScalarMath.Tail8));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail7));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail6));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail5));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail4));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail3));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail2));
        p = V.MultiplyAdd(p, w, V.Broadcast(ScalarMath.Tail1));
        V minusHalf = V.Broadcast(-0.5f), square = t * t, e = Exp(minusHalf * square);
        exponential = V.MultiplyAdd(e, minusHalf * V.MultiplyAdd(t, t, Negate(square)), e);
        return exponential * (p * w);
    }

    // x where x > 0 or x is NaN, else +0.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Relu(V x) => V.SelectLess(x, V.Broadcast(0f), V.Broadcast(0f), x + V.Broadcast(0f));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Bits(int bits) => V.Broadcast(BitConverter.Int32BitsToSingle(bits));

    // 2^n of the integer lanes n, or of n + RoundingMagic, whose bits are those of n but for the highest nine.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V PowerOfTwo(V n) => V.AddIntegers(V.ShiftLeft(n, 23), V.Broadcast(1f));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Quotient(V numerator, V denominator, V rest)
    {
        V inverse = V.Broadcast(1f) / denominator, quotient = numerator * inverse;
        V remainder = V.NegativeMultiplyAdd(quotient, rest, V.NegativeMultiplyAdd(quotient, denominator, numerator));
        return V.MultiplyAdd(remainder, inverse, quotient);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V ReducedExpMinusOne(V x, V n)
    {
        V r = V.MultiplyAdd(n, V.Broadcast(-ScalarMath.Ln2High), x);
        r = V.MultiplyAdd(n, V.Broadcast(-ScalarMath.Ln2Low), r);
        V p = V.MultiplyAdd(V.Broadcast(ScalarMath.Exp7), r, V.Broadcast(ScalarMath.Exp6));
        p = V.MultiplyAdd(p, r, V.Broadcast(ScalarMath.Exp5));
        p = V.MultiplyAdd(p, r, V.Broadcast(ScalarMath.Exp4));
        p = V.MultiplyAdd(p, r, V.Broadcast(ScalarMath.Exp3));
        p = V.MultiplyAdd(p, r, V.Broadcast(ScalarMath.Exp2));
        return V.MultiplyAdd(r * r, p, r);
    }
}
