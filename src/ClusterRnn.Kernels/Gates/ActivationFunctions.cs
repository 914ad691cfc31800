using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Gates;

// An activation as a type, so that each loop is compiled for it. Slope takes the function's value y, not its argument.
internal interface IActivation
{
    static abstract float Value(float x);

    static abstract float Gradient(float y, float d);

    static abstract V Value<V>(V x)
        where V : struct, ILanes<V>;

    static abstract V Gradient<V>(V y, V d)
        where V : struct, ILanes<V>;
}

internal readonly struct IdentityActivation : IActivation
{
    public static float Value(float x) => x;

    public static float Gradient(float y, float d) => d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, ILanes<V> => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Gradient<V>(V y, V d)
        where V : struct, ILanes<V> => d;
}

internal readonly struct TanhActivation : IActivation
{
    public static float Value(float x) => ScalarMath.Tanh(x);

    public static float Gradient(float y, float d) => d * MathF.FusedMultiplyAdd(-y, y, 1f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, ILanes<V> => VectorMath<V>.Tanh(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Gradient<V>(V y, V d)
        where V : struct, ILanes<V> => d * V.NegativeMultiplyAdd(y, y, V.Broadcast(1f));
}

internal readonly struct ReluActivation : IActivation
{
    public static float Value(float x) => x > 0f || float.IsNaN(x) ? x : 0f;

    // y is NaN only where x was: there the gradient passes.
    public static float Gradient(float y, float d) => y > 0f || float.IsNaN(y) ? d : 0f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, ILanes<V> => VectorMath<V>.Relu(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Gradient<V>(V y, V d)
        where V : struct, ILanes<V> => V.Select(V.Equal(VectorMath<V>.Relu(y), V.Broadcast(0f)), V.Broadcast(0f), d);
}

internal readonly struct SigmoidActivation : IActivation
{
    public static float Value(float x) => ScalarMath.Sigmoid(x);

    public static float Gradient(float y, float d) => d * MathF.FusedMultiplyAdd(-y, y, y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<V>(V x)
        where V : struct, ILanes<V> => VectorMath<V>.Sigmoid(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Gradient<V>(V y, V d)
        where V : struct, ILanes<V> => d * V.NegativeMultiplyAdd(y, y, y);
}
