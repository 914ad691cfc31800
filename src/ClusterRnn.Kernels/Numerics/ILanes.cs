// Kernels that treat each element alike are written once, over ILanes, and compiled for each width. All operations are
// exact or correctly rounded, so the width can't change a bit.
using System.Diagnostics.CodeAnalysis;

namespace ClusterRnn.Kernels.Numerics;

/// <summary>A vector of <see cref="Width"/> floats. Masks are vectors whose lanes are all ones or all zeros.</summary>
/// <typeparam name="TSelf">The vector itself.</typeparam>
internal unsafe interface ILanes<TSelf>
    where TSelf : struct, ILanes<TSelf>
{
    static abstract int Width { get; }

    static abstract TSelf Load(float* source);

    static abstract TSelf Broadcast(float number);

    void Store(float* target);

    static abstract TSelf operator +(TSelf a, TSelf b);

    static abstract TSelf operator -(TSelf a, TSelf b);

    static abstract TSelf operator *(TSelf a, TSelf b);

    static abstract TSelf operator /(TSelf a, TSelf b);

    static abstract TSelf operator &(TSelf a, TSelf b);

    static abstract TSelf operator |(TSelf a, TSelf b);

    // a b + c, rounded once.
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    // c - a b, rounded once.
    static abstract TSelf NegativeMultiplyAdd(TSelf a, TSelf b, TSelf c);

    static abstract TSelf SquareRoot(TSelf a);

    // False where either is NaN.
    static abstract TSelf LessThan(TSelf a, TSelf b);

    // False where either is NaN.
    static abstract TSelf Equal(TSelf a, TSelf b);

    static abstract TSelf Select(TSelf mask, TSelf yes, TSelf no);

    // Select(LessThan(a, b), yes, no) in one expression, so that a mask register is not made a vector in between.
    static abstract TSelf SelectLess(TSelf a, TSelf b, TSelf yes, TSelf no);

    // a < b ? a : b, so b where either is NaN.
    static abstract TSelf Lesser(TSelf a, TSelf b);

    // a > b ? a : b, so b where either is NaN.
    static abstract TSelf Greater(TSelf a, TSelf b);

    // The lanes' bits as 32-bit integers.
    static abstract TSelf AddIntegers(TSelf a, TSelf b);

    static abstract TSelf SubtractIntegers(TSelf a, TSelf b);

    static abstract TSelf ShiftLeft(TSelf a, [ConstantExpected] byte count);

    // Arithmetic: the sign is copied in.
    static abstract TSelf ShiftRight(TSelf a, [ConstantExpected] byte count);

    static abstract TSelf IntegersToFloats(TSelf a);
}
