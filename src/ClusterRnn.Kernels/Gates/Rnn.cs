// The simple recurrent network (Elman, 1990): h = f(x-part + h' Wᵀ), f one of four activations.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

/// <summary>One time step of a simple recurrent network, forward and backward, over all rows.</summary>
public static unsafe class Rnn
{
    /// <summary>Forward, one kernel for each <see cref="Activation"/>: reads Gates (pre-activations), writes Hidden (which may be Gates).</summary>
    public static readonly Kernel<GateArguments>[] ForwardKernels =
    [
        ForwardOf<IdentityActivation>("rnn.forward-identity"), ForwardOf<TanhActivation>("rnn.forward-tanh"),
        ForwardOf<ReluActivation>("rnn.forward-relu"), ForwardOf<SigmoidActivation>("rnn.forward-sigmoid"),
    ];

    /// <summary>Backward, one kernel for each <see cref="Activation"/>: reads Hidden, GradientAbove, HiddenGradient; writes the pre-activations' gradient to Gates and sets HiddenGradient to what the product is added to.</summary>
    public static readonly Kernel<GateArguments>[] BackwardKernels =
    [
        BackwardOf<IdentityActivation>("rnn.backward-identity"), BackwardOf<TanhActivation>("rnn.backward-tanh"),
        BackwardOf<ReluActivation>("rnn.backward-relu"), BackwardOf<SigmoidActivation>("rnn.backward-sigmoid"),
    ];

    /// <summary>One step forward.</summary>
    /// <param name="activation">f.</param>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, HP]: the input's part of the pre-activations with all biases; the recurrent part is added to it.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="recurrent">weight_hh: inner Padded(H), columns Padded(H). Null: the gates hold the recurrent part already.</param>
    /// <param name="hiddenAfter">[B, HP], out; may be <paramref name="gates"/>.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepForward(Activation activation, int rows, int hidden, float* gates, float* hiddenBefore, PackedMatrix? recurrent, float* hiddenAfter, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 1);
        tile.Gates = gates;
        tile.Hidden = hiddenAfter;
        RecurrentStep.Forward(ForwardKernels[(int)activation], tile, hiddenBefore, tile.Stride, recurrent, freshGroup: -1, workspace);
    }

    /// <summary>One step backward.</summary>
    /// <param name="activation">f.</param>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, HP], out: the gradient of the pre-activations; may be <paramref name="hiddenAfter"/>.</param>
    /// <param name="hiddenAfter">[B, HP]: the state that the forward step wrote.</param>
    /// <param name="gradientAbove">[B, HP] or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="recurrent">weight_hh as it stands: inner Padded(H), columns Padded(H). Null: the gradient of the state before is not needed.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepBackward(Activation activation, int rows, int hidden, float* gates, float* hiddenAfter, float* gradientAbove, float* hiddenGradient, PackedMatrix? recurrent, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 1);
        tile.Gates = gates;
        tile.Hidden = hiddenAfter;
        tile.GradientAbove = gradientAbove;
        tile.HiddenGradient = hiddenGradient;
        RecurrentStep.Backward(BackwardKernels[(int)activation], tile, recurrent, workspace);
    }

    private static Kernel<GateArguments> ForwardOf<A>(string name)
        where A : struct, IActivation => new(name, &ForwardReference<A>, &Forward<Lanes4, A>, &ForwardAvx2<A>, &ForwardAvx512<A>);

    private static Kernel<GateArguments> BackwardOf<A>(string name)
        where A : struct, IActivation => new(name, &BackwardReference<A>, &Backward<Lanes4, A>, &BackwardAvx2<A>, &BackwardAvx512<A>);

    private static void ForwardAvx2<A>(GateArguments* a)
        where A : struct, IActivation => GateWidths.Run(a, 8, &Forward<Lanes8x2, A>, &Forward<Lanes8, A>, null);

    private static void ForwardAvx512<A>(GateArguments* a)
        where A : struct, IActivation => GateWidths.Run(a, 16, &Forward<Lanes16x2, A>, &Forward<Lanes16, A>, &Forward<Lanes8, A>);

    private static void ForwardReference<A>(GateArguments* a)
        where A : struct, IActivation
    {
        for (int row = 0; row < a->Rows; row++)
        {
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                float x = a->Gates[((nint)row * a->GateStride) + unit];
                a->Hidden[at] = ScalarMath.Flush(A.Value(x));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V, A>(GateArguments* a)
        where V : struct, ILanes<V>
        where A : struct, IActivation
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), hidden = a->Hidden + ((nint)row * a->Stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                VectorMath<V>.Flush(A.Value(V.Load(gates + unit))).Store(hidden + unit);
            }
        }
    }

    private static void BackwardAvx2<A>(GateArguments* a)
        where A : struct, IActivation => GateWidths.Run(a, 8, &Backward<Lanes8, A>, &Backward<Lanes8, A>, null);

    private static void BackwardAvx512<A>(GateArguments* a)
        where A : struct, IActivation => GateWidths.Run(a, 16, &Backward<Lanes16, A>, &Backward<Lanes16, A>, &Backward<Lanes8, A>);

    private static void BackwardReference<A>(GateArguments* a)
        where A : struct, IActivation
    {
        for (int row = 0; row < a->Rows; row++)
        {
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float gate = ref a->Gates[((nint)row * a->GateStride) + unit];
                float d = a->GradientAbove is null ? a->HiddenGradient[at] : a->HiddenGradient[at] + a->GradientAbove[at];
                gate = ScalarMath.Flush(A.Gradient(a->Hidden[at], d));
                a->HiddenGradient[at] = 0f;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V, A>(GateArguments* a)
        where V : struct, ILanes<V>
        where A : struct, IActivation
    {
        V zero = V.Broadcast(0f);
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), hidden = a->Hidden + ((nint)row * a->Stride), hiddenGradient = a->HiddenGradient + ((nint)row * a->Stride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + ((nint)row * a->Stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V d = V.Load(hiddenGradient + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                VectorMath<V>.Flush(A.Gradient(V.Load(hidden + unit), d)).Store(gates + unit);
                zero.Store(hiddenGradient + unit);
            }
        }
    }
}
