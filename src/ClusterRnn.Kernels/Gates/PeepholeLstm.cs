// The LSTM with peepholes (Gers, Schraudolph and Schmidhuber, 2002): the gates also see the cell state, each unit its own.
//     i = sigmoid(... + p_i c'), f = sigmoid(... + p_f c'), g = tanh(...), c = f c' + i g, o = sigmoid(... + p_o c), h = o tanh(c)
// Order of the gates in memory as without peepholes: i, f, g, o; of the peepholes: i, f, o.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

/// <summary>One time step of an LSTM with peepholes, forward and backward, over rows that have not ended.</summary>
public static unsafe class PeepholeLstm
{
    /// <summary>The gate kernel, forward: reads Gates (pre-activations without the peepholes' part), Peepholes, CellBefore; writes Gates, Cell, Hidden.</summary>
    public static readonly Kernel<GateArguments> ForwardKernel = new("lstm.peephole-forward", &ForwardReference, &Forward<Lanes4>, &ForwardAvx2, &ForwardAvx512);

    /// <summary>The gate kernel, backward: reads Gates (activations), Peepholes, CellBefore, Cell, GradientAbove; updates HiddenGradient and CellGradient; writes the pre-activations' gradients over Gates.</summary>
    public static readonly Kernel<GateArguments> BackwardKernel = new("lstm.peephole-backward", &BackwardReference, &Backward<Lanes4>, &BackwardAvx2, &BackwardAvx512);

    /// <summary>One step forward: gates += hiddenBefore Wᵀ, then the gate kernel, tile by tile.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the input's part of the pre-activations, biases included; out the activations.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="recurrent">weight_hh, as for <see cref="Lstm.StepForward"/>.</param>
    /// <param name="peepholes">[3, HP].</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="cell">[B, HP], out.</param>
    /// <param name="hiddenAfter">[B, HP], out.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepForward(int rows, int hidden, float* gates, float* hiddenBefore, PackedMatrix? recurrent, float* peepholes, float* cellBefore, float* cell, float* hiddenAfter, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.Peepholes = peepholes;
        tile.CellBefore = cellBefore;
        tile.Cell = cell;
        tile.Hidden = hiddenAfter;
        RecurrentStep.Forward(ForwardKernel, tile, hiddenBefore, tile.Stride, recurrent, freshGroup: -1, workspace);
    }

    /// <summary>One step backward: the gate kernel, then hiddenGradient += gates' gradients W.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the activations, out the gradients of the pre-activations.</param>
    /// <param name="peepholes">[3, HP].</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="cell">[B, HP].</param>
    /// <param name="gradientAbove">[B, HP]: the gradient of this step's output from the layers above, or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="cellGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="recurrent">weight_hh, as for <see cref="Lstm.StepBackward"/>, or null.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepBackward(int rows, int hidden, float* gates, float* peepholes, float* cellBefore, float* cell, float* gradientAbove, float* hiddenGradient, float* cellGradient, PackedMatrix? recurrent, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.Peepholes = peepholes;
        tile.CellBefore = cellBefore;
        tile.Cell = cell;
        tile.GradientAbove = gradientAbove;
        tile.HiddenGradient = hiddenGradient;
        tile.CellGradient = cellGradient;
        RecurrentStep.Backward(BackwardKernel, tile, recurrent, workspace);
    }

    private static void ForwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &Forward<Lanes8x2>, &Forward<Lanes8>, null);

    private static void ForwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &Forward<Lanes16x2>, &Forward<Lanes16>, &Forward<Lanes8>);

    private static void ForwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float i = ref gates[unit], f = ref gates[a->Stride + unit], g = ref gates[(2 * a->Stride) + unit], o = ref gates[(3 * a->Stride) + unit];
                float before = a->CellBefore[at];
                i = ScalarMath.Flush(ScalarMath.Sigmoid(MathF.FusedMultiplyAdd(a->Peepholes[unit], before, i)));
                f = ScalarMath.Flush(ScalarMath.Sigmoid(MathF.FusedMultiplyAdd(a->Peepholes[a->Stride + unit], before, f)));
                g = ScalarMath.Flush(ScalarMath.Tanh(g));
                float c = ScalarMath.Flush(MathF.FusedMultiplyAdd(f, before, i * g));
                o = ScalarMath.Flush(ScalarMath.Sigmoid(MathF.FusedMultiplyAdd(a->Peepholes[(2 * a->Stride) + unit], c, o)));
                a->Cell[at] = c;
                a->Hidden[at] = ScalarMath.Flush(o * ScalarMath.Tanh(c));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        float* peepholes = a->Peepholes;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            float* cellBefore = a->CellBefore + (row * stride), cell = a->Cell + (row * stride), hidden = a->Hidden + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V before = V.Load(cellBefore + unit);
                V i = VectorMath<V>.GateSigmoid(V.MultiplyAdd(V.Load(peepholes + unit), before, V.Load(gates + unit)));
                V f = VectorMath<V>.GateSigmoid(V.MultiplyAdd(V.Load(peepholes + stride + unit), before, V.Load(gates + stride + unit)));
                V g = VectorMath<V>.Flush(VectorMath<V>.Tanh(V.Load(gates + (2 * stride) + unit)));
                V c = VectorMath<V>.Flush(V.MultiplyAdd(f, before, i * g));
                V o = VectorMath<V>.GateSigmoid(V.MultiplyAdd(V.Load(peepholes + (2 * stride) + unit), c, V.Load(gates + (3 * stride) + unit)));
                i.Store(gates + unit);
                f.Store(gates + stride + unit);
                g.Store(gates + (2 * stride) + unit);
                o.Store(gates + (3 * stride) + unit);
                c.Store(cell + unit);
                VectorMath<V>.Flush(o * VectorMath<V>.Tanh(c)).Store(hidden + unit);
            }
        }
    }

    private static void BackwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &Backward<Lanes8>, &Backward<Lanes8>, null);

    private static void BackwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &Backward<Lanes16>, &Backward<Lanes16>, &Backward<Lanes8>);

    private static void BackwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float gi = ref gates[unit], gf = ref gates[a->Stride + unit], gg = ref gates[(2 * a->Stride) + unit], go = ref gates[(3 * a->Stride) + unit];
                float d = a->GradientAbove is null ? a->HiddenGradient[at] : a->HiddenGradient[at] + a->GradientAbove[at];
                float i = gi, f = gf, g = gg, o = go, tanhCell = ScalarMath.Tanh(a->Cell[at]);
                go = ScalarMath.Flush(d * tanhCell * MathF.FusedMultiplyAdd(-o, o, o));
                float later = MathF.FusedMultiplyAdd(go, a->Peepholes[(2 * a->Stride) + unit], a->CellGradient[at]);
                float cellGradient = MathF.FusedMultiplyAdd(d * o, MathF.FusedMultiplyAdd(-tanhCell, tanhCell, 1f), later);
                gi = ScalarMath.Flush(cellGradient * g * MathF.FusedMultiplyAdd(-i, i, i));
                gf = ScalarMath.Flush(cellGradient * a->CellBefore[at] * MathF.FusedMultiplyAdd(-f, f, f));
                gg = ScalarMath.Flush(cellGradient * i * MathF.FusedMultiplyAdd(-g, g, 1f));
                float seen = MathF.FusedMultiplyAdd(gi, a->Peepholes[unit], gf * a->Peepholes[a->Stride + unit]);
                a->CellGradient[at] = ScalarMath.Flush(MathF.FusedMultiplyAdd(cellGradient, f, seen));
                a->HiddenGradient[at] = 0f;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        V one = V.Broadcast(1f), zero = V.Broadcast(0f);
        float* peepholes = a->Peepholes;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + (row * stride);
            float* hiddenGradient = a->HiddenGradient + (row * stride), cellGradient = a->CellGradient + (row * stride);
            float* cellBefore = a->CellBefore + (row * stride), cell = a->Cell + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V i = V.Load(gates + unit), f = V.Load(gates + stride + unit), g = V.Load(gates + (2 * stride) + unit), o = V.Load(gates + (3 * stride) + unit);
                V d = V.Load(hiddenGradient + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                V tanhCell = VectorMath<V>.Tanh(V.Load(cell + unit));
                V dOutput = VectorMath<V>.Flush(d * tanhCell * V.NegativeMultiplyAdd(o, o, o));
                V later = V.MultiplyAdd(dOutput, V.Load(peepholes + (2 * stride) + unit), V.Load(cellGradient + unit));
                V dCell = V.MultiplyAdd(d * o, V.NegativeMultiplyAdd(tanhCell, tanhCell, one), later);
                V dInput = VectorMath<V>.Flush(dCell * g * V.NegativeMultiplyAdd(i, i, i));
                V dForget = VectorMath<V>.Flush(dCell * V.Load(cellBefore + unit) * V.NegativeMultiplyAdd(f, f, f));
                dInput.Store(gates + unit);
                dForget.Store(gates + stride + unit);
                VectorMath<V>.Flush(dCell * i * V.NegativeMultiplyAdd(g, g, one)).Store(gates + (2 * stride) + unit);
                dOutput.Store(gates + (3 * stride) + unit);
                V seen = V.MultiplyAdd(dInput, V.Load(peepholes + unit), dForget * V.Load(peepholes + stride + unit));
                VectorMath<V>.Flush(V.MultiplyAdd(dCell, f, seen)).Store(cellGradient + unit);
                zero.Store(hiddenGradient + unit);
            }
        }
    }
}
