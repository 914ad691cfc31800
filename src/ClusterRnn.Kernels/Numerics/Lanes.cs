// The four widths of ILanes.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ClusterRnn.Kernels.Numerics;

/// <summary>One lane: the rest of a row that does not fill a vector.</summary>
internal readonly unsafe struct Lanes1(float value) : ILanes<Lanes1>
{
    private readonly float value = value;

    public static int Width => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Load(float* source) => new(*source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Broadcast(float number) => new(number);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => *target = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator +(Lanes1 a, Lanes1 b) => new(a.value + b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator -(Lanes1 a, Lanes1 b) => new(a.value - b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator *(Lanes1 a, Lanes1 b) => new(a.value * b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator /(Lanes1 a, Lanes1 b) => new(a.value / b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator &(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) & BitConverter.SingleToInt32Bits(b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 operator |(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) | BitConverter.SingleToInt32Bits(b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 MultiplyAdd(Lanes1 a, Lanes1 b, Lanes1 c) => new(MathF.FusedMultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 NegativeMultiplyAdd(Lanes1 a, Lanes1 b, Lanes1 c) => new(MathF.FusedMultiplyAdd(-a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 SquareRoot(Lanes1 a) => new(MathF.Sqrt(a.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 LessThan(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(a.value < b.value ? -1 : 0));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Equal(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(a.value == b.value ? -1 : 0));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Select(Lanes1 mask, Lanes1 yes, Lanes1 no) => new(BitConverter.SingleToInt32Bits(mask.value) < 0 ? yes.value : no.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 SelectLess(Lanes1 a, Lanes1 b, Lanes1 yes, Lanes1 no) => new(a.value < b.value ? yes.value : no.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Lesser(Lanes1 a, Lanes1 b) => new(a.value < b.value ? a.value : b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 Greater(Lanes1 a, Lanes1 b) => new(a.value > b.value ? a.value : b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 AddIntegers(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) + BitConverter.SingleToInt32Bits(b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 SubtractIntegers(Lanes1 a, Lanes1 b) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) - BitConverter.SingleToInt32Bits(b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 ShiftLeft(Lanes1 a, [ConstantExpected] byte count) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) << count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 ShiftRight(Lanes1 a, [ConstantExpected] byte count) => new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.value) >> count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes1 IntegersToFloats(Lanes1 a) => new(BitConverter.SingleToInt32Bits(a.value));
}

/// <summary>Four lanes through the portable API.</summary>
internal readonly unsafe struct Lanes4(Vector128<float> value) : ILanes<Lanes4>
{
    private readonly Vector128<float> value = value;

    public static int Width => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Load(float* source) => new(Vector128.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Broadcast(float number) => new(Vector128.Create(number));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator +(Lanes4 a, Lanes4 b) => new(a.value + b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator -(Lanes4 a, Lanes4 b) => new(a.value - b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator *(Lanes4 a, Lanes4 b) => new(a.value * b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator /(Lanes4 a, Lanes4 b) => new(a.value / b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator &(Lanes4 a, Lanes4 b) => new(a.value & b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 operator |(Lanes4 a, Lanes4 b) => new(a.value | b.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 MultiplyAdd(Lanes4 a, Lanes4 b, Lanes4 c) => new(Vector128.FusedMultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 NegativeMultiplyAdd(Lanes4 a, Lanes4 b, Lanes4 c) => new(Vector128.FusedMultiplyAdd(-a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 SquareRoot(Lanes4 a) => new(Vector128.Sqrt(a.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 LessThan(Lanes4 a, Lanes4 b) => new(Vector128.LessThan(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Equal(Lanes4 a, Lanes4 b) => new(Vector128.Equals(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Select(Lanes4 mask, Lanes4 yes, Lanes4 no) => new(Vector128.ConditionalSelect(mask.value, yes.value, no.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 SelectLess(Lanes4 a, Lanes4 b, Lanes4 yes, Lanes4 no) => new(Vector128.ConditionalSelect(Vector128.LessThan(a.value, b.value), yes.value, no.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Lesser(Lanes4 a, Lanes4 b) => new(Vector128.ConditionalSelect(Vector128.LessThan(a.value, b.value), a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 Greater(Lanes4 a, Lanes4 b) => new(Vector128.ConditionalSelect(Vector128.GreaterThan(a.value, b.value), a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 AddIntegers(Lanes4 a, Lanes4 b) => new((a.value.AsInt32() + b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 SubtractIntegers(Lanes4 a, Lanes4 b) => new((a.value.AsInt32() - b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 ShiftLeft(Lanes4 a, [ConstantExpected] byte count) => new((a.value.AsInt32() << count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 ShiftRight(Lanes4 a, [ConstantExpected] byte count) => new((a.value.AsInt32() >> count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes4 IntegersToFloats(Lanes4 a) => new(Vector128.ConvertToSingle(a.value.AsInt32()));
}

/// <summary>Eight lanes of AVX2 with FMA.</summary>
internal readonly unsafe struct Lanes8(Vector256<float> value) : ILanes<Lanes8>
{
    private readonly Vector256<float> value = value;

    public static int Width => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Load(float* source) => new(Avx.LoadVector256(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Broadcast(float number) => new(Vector256.Create(number));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => Avx.Store(target, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator +(Lanes8 a, Lanes8 b) => new(Avx.Add(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator -(Lanes8 a, Lanes8 b) => new(Avx.Subtract(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator *(Lanes8 a, Lanes8 b) => new(Avx.Multiply(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator /(Lanes8 a, Lanes8 b) => new(Avx.Divide(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator &(Lanes8 a, Lanes8 b) => new(Avx.And(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 operator |(Lanes8 a, Lanes8 b) => new(Avx.Or(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 MultiplyAdd(Lanes8 a, Lanes8 b, Lanes8 c) => new(Fma.MultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 NegativeMultiplyAdd(Lanes8 a, Lanes8 b, Lanes8 c) => new(Fma.MultiplyAddNegated(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 SquareRoot(Lanes8 a) => new(Avx.Sqrt(a.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 LessThan(Lanes8 a, Lanes8 b) => new(Avx.CompareLessThan(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Equal(Lanes8 a, Lanes8 b) => new(Avx.CompareEqual(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Select(Lanes8 mask, Lanes8 yes, Lanes8 no) => new(Avx.BlendVariable(no.value, yes.value, mask.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 SelectLess(Lanes8 a, Lanes8 b, Lanes8 yes, Lanes8 no) => new(Avx.BlendVariable(no.value, yes.value, Avx.CompareLessThan(a.value, b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Lesser(Lanes8 a, Lanes8 b) => new(Avx.Min(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 Greater(Lanes8 a, Lanes8 b) => new(Avx.Max(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 AddIntegers(Lanes8 a, Lanes8 b) => new(Avx2.Add(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 SubtractIntegers(Lanes8 a, Lanes8 b) => new(Avx2.Subtract(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 ShiftLeft(Lanes8 a, [ConstantExpected] byte count) => new(Avx2.ShiftLeftLogical(a.value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 ShiftRight(Lanes8 a, [ConstantExpected] byte count) => new(Avx2.ShiftRightArithmetic(a.value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8 IntegersToFloats(Lanes8 a) => new(Avx.ConvertToVector256Single(a.value.AsInt32()));
}

/// <summary>Sixteen lanes of AVX-512.</summary>
internal readonly unsafe struct Lanes16(Vector512<float> value) : ILanes<Lanes16>
{
    private readonly Vector512<float> value = value;

    public static int Width => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Load(float* source) => new(Avx512F.LoadVector512(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Broadcast(float number) => new(Vector512.Create(number));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => Avx512F.Store(target, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator +(Lanes16 a, Lanes16 b) => new(Avx512F.Add(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator -(Lanes16 a, Lanes16 b) => new(Avx512F.Subtract(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator *(Lanes16 a, Lanes16 b) => new(Avx512F.Multiply(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator /(Lanes16 a, Lanes16 b) => new(Avx512F.Divide(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator &(Lanes16 a, Lanes16 b) => new(Avx512DQ.And(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 operator |(Lanes16 a, Lanes16 b) => new(Avx512DQ.Or(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 MultiplyAdd(Lanes16 a, Lanes16 b, Lanes16 c) => new(Avx512F.FusedMultiplyAdd(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 NegativeMultiplyAdd(Lanes16 a, Lanes16 b, Lanes16 c) => new(Avx512F.FusedMultiplyAddNegated(a.value, b.value, c.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 SquareRoot(Lanes16 a) => new(Avx512F.Sqrt(a.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 LessThan(Lanes16 a, Lanes16 b) => new(Avx512F.CompareLessThan(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Equal(Lanes16 a, Lanes16 b) => new(Avx512F.CompareEqual(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Select(Lanes16 mask, Lanes16 yes, Lanes16 no) => new(Avx512F.BlendVariable(no.value, yes.value, mask.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 SelectLess(Lanes16 a, Lanes16 b, Lanes16 yes, Lanes16 no) => new(Avx512F.BlendVariable(no.value, yes.value, Avx512F.CompareLessThan(a.value, b.value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Lesser(Lanes16 a, Lanes16 b) => new(Avx512F.Min(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 Greater(Lanes16 a, Lanes16 b) => new(Avx512F.Max(a.value, b.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 AddIntegers(Lanes16 a, Lanes16 b) => new(Avx512F.Add(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 SubtractIntegers(Lanes16 a, Lanes16 b) => new(Avx512F.Subtract(a.value.AsInt32(), b.value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 ShiftLeft(Lanes16 a, [ConstantExpected] byte count) => new(Avx512F.ShiftLeftLogical(a.value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 ShiftRight(Lanes16 a, [ConstantExpected] byte count) => new(Avx512F.ShiftRightArithmetic(a.value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16 IntegersToFloats(Lanes16 a) => new(Avx512F.ConvertToVector512Single(a.value.AsInt32()));
}

/// <summary>Two vectors of 8 lanes, every operation on both: a long chain of dependent operations has another to fill its waits.</summary>
internal readonly unsafe struct Lanes8x2(Vector256<float> low, Vector256<float> high) : ILanes<Lanes8x2>
{
    private readonly Vector256<float> low = low;
    private readonly Vector256<float> high = high;

    public static int Width => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Load(float* source) => new(Avx.LoadVector256(source), Avx.LoadVector256(source + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Broadcast(float number) => new(Vector256.Create(number), Vector256.Create(number));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target)
    {
        Avx.Store(target, low);
        Avx.Store(target + 8, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator +(Lanes8x2 a, Lanes8x2 b) => new(Avx.Add(a.low, b.low), Avx.Add(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator -(Lanes8x2 a, Lanes8x2 b) => new(Avx.Subtract(a.low, b.low), Avx.Subtract(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator *(Lanes8x2 a, Lanes8x2 b) => new(Avx.Multiply(a.low, b.low), Avx.Multiply(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator /(Lanes8x2 a, Lanes8x2 b) => new(Avx.Divide(a.low, b.low), Avx.Divide(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator &(Lanes8x2 a, Lanes8x2 b) => new(Avx.And(a.low, b.low), Avx.And(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 operator |(Lanes8x2 a, Lanes8x2 b) => new(Avx.Or(a.low, b.low), Avx.Or(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 MultiplyAdd(Lanes8x2 a, Lanes8x2 b, Lanes8x2 c) => new(Fma.MultiplyAdd(a.low, b.low, c.low), Fma.MultiplyAdd(a.high, b.high, c.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 NegativeMultiplyAdd(Lanes8x2 a, Lanes8x2 b, Lanes8x2 c) => new(Fma.MultiplyAddNegated(a.low, b.low, c.low), Fma.MultiplyAddNegated(a.high, b.high, c.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 SquareRoot(Lanes8x2 a) => new(Avx.Sqrt(a.low), Avx.Sqrt(a.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 LessThan(Lanes8x2 a, Lanes8x2 b) => new(Avx.CompareLessThan(a.low, b.low), Avx.CompareLessThan(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Equal(Lanes8x2 a, Lanes8x2 b) => new(Avx.CompareEqual(a.low, b.low), Avx.CompareEqual(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Select(Lanes8x2 mask, Lanes8x2 yes, Lanes8x2 no) => new(Avx.BlendVariable(no.low, yes.low, mask.low), Avx.BlendVariable(no.high, yes.high, mask.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 SelectLess(Lanes8x2 a, Lanes8x2 b, Lanes8x2 yes, Lanes8x2 no) => new(Avx.BlendVariable(no.low, yes.low, Avx.CompareLessThan(a.low, b.low)), Avx.BlendVariable(no.high, yes.high, Avx.CompareLessThan(a.high, b.high)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Lesser(Lanes8x2 a, Lanes8x2 b) => new(Avx.Min(a.low, b.low), Avx.Min(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 Greater(Lanes8x2 a, Lanes8x2 b) => new(Avx.Max(a.low, b.low), Avx.Max(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 AddIntegers(Lanes8x2 a, Lanes8x2 b) => new(Avx2.Add(a.low.AsInt32(), b.low.AsInt32()).AsSingle(), Avx2.Add(a.high.AsInt32(), b.high.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 SubtractIntegers(Lanes8x2 a, Lanes8x2 b) => new(Avx2.Subtract(a.low.AsInt32(), b.low.AsInt32()).AsSingle(), Avx2.Subtract(a.high.AsInt32(), b.high.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 ShiftLeft(Lanes8x2 a, [ConstantExpected] byte count) => new(Avx2.ShiftLeftLogical(a.low.AsInt32(), count).AsSingle(), Avx2.ShiftLeftLogical(a.high.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 ShiftRight(Lanes8x2 a, [ConstantExpected] byte count) => new(Avx2.ShiftRightArithmetic(a.low.AsInt32(), count).AsSingle(), Avx2.ShiftRightArithmetic(a.high.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes8x2 IntegersToFloats(Lanes8x2 a) => new(Avx.ConvertToVector256Single(a.low.AsInt32()), Avx.ConvertToVector256Single(a.high.AsInt32()));
}

/// <summary>Two vectors of 16 lanes, every operation on both: a long chain of dependent operations has another to fill its waits.</summary>
internal readonly unsafe struct Lanes16x2(Vector512<float> low, Vector512<float> high) : ILanes<Lanes16x2>
{
    private readonly Vector512<float> low = low;
    private readonly Vector512<float> high = high;

    public static int Width => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Load(float* source) => new(Avx512F.LoadVector512(source), Avx512F.LoadVector512(source + 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Broadcast(float number) => new(Vector512.Create(number), Vector512.Create(number));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target)
    {
        Avx512F.Store(target, low);
        Avx512F.Store(target + 16, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator +(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Add(a.low, b.low), Avx512F.Add(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator -(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Subtract(a.low, b.low), Avx512F.Subtract(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator *(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Multiply(a.low, b.low), Avx512F.Multiply(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator /(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Divide(a.low, b.low), Avx512F.Divide(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator &(Lanes16x2 a, Lanes16x2 b) => new(Avx512DQ.And(a.low, b.low), Avx512DQ.And(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 operator |(Lanes16x2 a, Lanes16x2 b) => new(Avx512DQ.Or(a.low, b.low), Avx512DQ.Or(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 MultiplyAdd(Lanes16x2 a, Lanes16x2 b, Lanes16x2 c) => new(Avx512F.FusedMultiplyAdd(a.low, b.low, c.low), Avx512F.FusedMultiplyAdd(a.high, b.high, c.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 NegativeMultiplyAdd(Lanes16x2 a, Lanes16x2 b, Lanes16x2 c) => new(Avx512F.FusedMultiplyAddNegated(a.low, b.low, c.low), Avx512F.FusedMultiplyAddNegated(a.high, b.high, c.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 SquareRoot(Lanes16x2 a) => new(Avx512F.Sqrt(a.low), Avx512F.Sqrt(a.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 LessThan(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.CompareLessThan(a.low, b.low), Avx512F.CompareLessThan(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Equal(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.CompareEqual(a.low, b.low), Avx512F.CompareEqual(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Select(Lanes16x2 mask, Lanes16x2 yes, Lanes16x2 no) => new(Avx512F.BlendVariable(no.low, yes.low, mask.low), Avx512F.BlendVariable(no.high, yes.high, mask.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 SelectLess(Lanes16x2 a, Lanes16x2 b, Lanes16x2 yes, Lanes16x2 no) => new(Avx512F.BlendVariable(no.low, yes.low, Avx512F.CompareLessThan(a.low, b.low)), Avx512F.BlendVariable(no.high, yes.high, Avx512F.CompareLessThan(a.high, b.high)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Lesser(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Min(a.low, b.low), Avx512F.Min(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 Greater(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Max(a.low, b.low), Avx512F.Max(a.high, b.high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 AddIntegers(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Add(a.low.AsInt32(), b.low.AsInt32()).AsSingle(), Avx512F.Add(a.high.AsInt32(), b.high.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 SubtractIntegers(Lanes16x2 a, Lanes16x2 b) => new(Avx512F.Subtract(a.low.AsInt32(), b.low.AsInt32()).AsSingle(), Avx512F.Subtract(a.high.AsInt32(), b.high.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 ShiftLeft(Lanes16x2 a, [ConstantExpected] byte count) => new(Avx512F.ShiftLeftLogical(a.low.AsInt32(), count).AsSingle(), Avx512F.ShiftLeftLogical(a.high.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 ShiftRight(Lanes16x2 a, [ConstantExpected] byte count) => new(Avx512F.ShiftRightArithmetic(a.low.AsInt32(), count).AsSingle(), Avx512F.ShiftRightArithmetic(a.high.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes16x2 IntegersToFloats(Lanes16x2 a) => new(Avx512F.ConvertToVector512Single(a.low.AsInt32()), Avx512F.ConvertToVector512Single(a.high.AsInt32()));
}
