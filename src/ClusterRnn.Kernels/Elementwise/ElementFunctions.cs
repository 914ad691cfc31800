using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Elementwise;

// A function of up to two elements and a number, as a type, so that each loop is compiled for it.
internal interface IElementFunction
{
    static abstract bool IsBinary { get; }

    static abstract float Apply(float first, float second, float number);

    static abstract V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V>;
}

internal readonly struct ExpFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Exp(first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Exp(first);
}

internal readonly struct LogFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Log(first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Log(first);
}

internal readonly struct TanhFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Tanh(first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Tanh(first);
}

internal readonly struct SigmoidFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Sigmoid(first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Sigmoid(first);
}

internal readonly struct AddFunction : IElementFunction
{
    public static bool IsBinary => true;

    public static float Apply(float first, float second, float number) => first + second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => first + second;
}

internal readonly struct MultiplyFunction : IElementFunction
{
    public static bool IsBinary => true;

    public static float Apply(float first, float second, float number) => first * second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => first * second;
}

internal readonly struct ScaleFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => first * number;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => first * number;
}

internal readonly struct AddScaledFunction : IElementFunction
{
    public static bool IsBinary => true;

    public static float Apply(float first, float second, float number) => MathF.FusedMultiplyAdd(number, second, first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => V.MultiplyAdd(number, second, first);
}

internal readonly struct FlushFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Flush(first);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Flush(first);
}

internal readonly struct ClampFunction : IElementFunction
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => first > number ? number : first < -number ? -number : first;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => V.SelectLess(number, first, number, V.SelectLess(first, VectorMath<V>.Negate(number), VectorMath<V>.Negate(number), first));
}

internal readonly struct ActivationForward<A> : IElementFunction
    where A : struct, IActivation
{
    public static bool IsBinary => false;

    public static float Apply(float first, float second, float number) => ScalarMath.Flush(A.Value(first));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Flush(A.Value(first));
}

internal readonly struct ActivationBackward<A> : IElementFunction
    where A : struct, IActivation
{
    public static bool IsBinary => true;

    public static float Apply(float first, float second, float number) => ScalarMath.Flush(A.Gradient(first, second));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply<V>(V first, V second, V number)
        where V : struct, ILanes<V> => VectorMath<V>.Flush(A.Gradient(first, second));
}
