// The long short-term memory cell (Hochreiter and Schmidhuber, 1997; with forget gate, Gers et al., 2000), PyTorch's gates:
//     i, f, o = sigmoid(...), g = tanh(...), c = f c' + i g, h = o tanh(c)        order in memory: i, f, g, o
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

/// <summary>One time step of an LSTM, forward and backward, over all rows.</summary>
public static unsafe class Lstm
{
    /// <summary>The gate kernel, forward: reads Gates (pre-activations), CellBefore; writes Gates, Cell, CellTanh, Hidden.</summary>
    public static readonly Kernel<GateArguments> ForwardKernel = new("lstm.forward", &ForwardReference, &Forward<Lanes4>, &ForwardAvx2, &ForwardAvx512);

    /// <summary>The gate kernel, backward: reads Gates (activations), CellBefore, CellTanh, GradientAbove; updates HiddenGradient and CellGradient; writes the pre-activations' gradients over Gates.</summary>
    public static readonly Kernel<GateArguments> BackwardKernel = new("lstm.backward", &BackwardReference, &Backward<Lanes4>, &BackwardAvx2, &BackwardAvx512);

    /// <summary>How the gates lie in a row of [rows, 4 x HP]: i, f, g, o.</summary>
    public static ColumnGroups Gates(int hidden) => ColumnGroups.Gates(4, hidden);

    /// <summary>One step forward: gates += hiddenBefore Wᵀ, then the gate kernel, tile by tile.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the input's part of the pre-activations, biases included; out the activations.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="recurrent">weight_hh: inner <see cref="ColumnGroups.Padded"/>(H), columns <see cref="Gates"/>(H). Null: the states before are zero, there is nothing to add.</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="cell">[B, HP], out.</param>
    /// <param name="cellTanh">[B, HP], out, for the way back; or null.</param>
    /// <param name="hiddenAfter">[B, HP], out.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepForward(int rows, int hidden, float* gates, float* hiddenBefore, PackedMatrix? recurrent, float* cellBefore, float* cell, float* cellTanh, float* hiddenAfter, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.CellBefore = cellBefore;
        tile.Cell = cell;
        tile.CellTanh = cellTanh;
        tile.Hidden = hiddenAfter;
        RecurrentStep.Forward(ForwardKernel, tile, hiddenBefore, tile.Stride, recurrent, freshGroup: -1, workspace);
    }

    /// <summary>One step backward: the gate kernel, then hiddenGradient += gates' gradients W.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the activations, out the gradients of the pre-activations.</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="cellTanh">[B, HP]: tanh of the cell state, as the way there left it.</param>
    /// <param name="gradientAbove">[B, HP]: the gradient of this step's output from the layers above, or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="cellGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="recurrent">weight_hh as it stands: inner <see cref="Gates"/>(H), columns <see cref="ColumnGroups.Padded"/>(H). Null: the gradient of the state before is not needed.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepBackward(int rows, int hidden, float* gates, float* cellBefore, float* cellTanh, float* gradientAbove, float* hiddenGradient, float* cellGradient, PackedMatrix? recurrent, Workspace workspace)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.CellBefore = cellBefore;
        tile.CellTanh = cellTanh;
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
                i = ScalarMath.Flush(ScalarMath.Sigmoid(i));
                f = ScalarMath.Flush(ScalarMath.Sigmoid(f));
                g = ScalarMath.Flush(ScalarMath.Tanh(g));
                o = ScalarMath.Flush(ScalarMath.Sigmoid(o));
                float c = ScalarMath.Flush(MathF.FusedMultiplyAdd(f, a->CellBefore[at], i * g));
                float tanhCell = ScalarMath.Tanh(c);
                a->Cell[at] = c;
                a->Hidden[at] = ScalarMath.Flush(o * tanhCell);
                if (a->CellTanh is not null)
                {
                    a->CellTanh[at] = tanhCell;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            float* cellBefore = a->CellBefore + (row * stride), cell = a->Cell + (row * stride), hidden = a->Hidden + (row * stride);
            float* cellTanh = a->CellTanh is null ? null : a->CellTanh + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V i = VectorMath<V>.GateSigmoid(V.Load(gates + unit));
                V f = VectorMath<V>.GateSigmoid(V.Load(gates + stride + unit));
                V g = VectorMath<V>.Flush(VectorMath<V>.Tanh(V.Load(gates + (2 * stride) + unit)));
                V o = VectorMath<V>.GateSigmoid(V.Load(gates + (3 * stride) + unit));
                V c = VectorMath<V>.Flush(V.MultiplyAdd(f, V.Load(cellBefore + unit), i * g));
                i.Store(gates + unit);
                f.Store(gates + stride + unit);
                g.Store(gates + (2 * stride) + unit);
                o.Store(gates + (3 * stride) + unit);
                c.Store(cell + unit);
                V tanhCell = VectorMath<V>.Tanh(c);
                VectorMath<V>.Flush(o * tanhCell).Store(hidden + unit);
                if (cellTanh is not null)
                {
                    tanhCell.Store(cellTanh + unit);
                }
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
                float i = gi, f = gf, g = gg, o = go, tanhCell = a->CellTanh[at];
                float cellGradient = MathF.FusedMultiplyAdd(d * o, MathF.FusedMultiplyAdd(-tanhCell, tanhCell, 1f), a->CellGradient[at]);
                gi = ScalarMath.Flush(cellGradient * g * MathF.FusedMultiplyAdd(-i, i, i));
                gf = ScalarMath.Flush(cellGradient * a->CellBefore[at] * MathF.FusedMultiplyAdd(-f, f, f));
                gg = ScalarMath.Flush(cellGradient * i * MathF.FusedMultiplyAdd(-g, g, 1f));
                go = ScalarMath.Flush(d * tanhCell * MathF.FusedMultiplyAdd(-o, o, o));
                a->CellGradient[at] = ScalarMath.Flush(cellGradient * f);
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
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + (row * stride);
            float* hiddenGradient = a->HiddenGradient + (row * stride), cellGradient = a->CellGradient + (row * stride);
            float* cellBefore = a->CellBefore + (row * stride), cellTanh = a->CellTanh + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V i = V.Load(gates + unit), f = V.Load(gates + stride + unit), g = V.Load(gates + (2 * stride) + unit), o = V.Load(gates + (3 * stride) + unit);
                V d = V.Load(hiddenGradient + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                V tanhCell = V.Load(cellTanh + unit);
                V dCell = V.MultiplyAdd(d * o, V.NegativeMultiplyAdd(tanhCell, tanhCell, one), V.Load(cellGradient + unit));
                VectorMath<V>.Flush(dCell * g * V.NegativeMultiplyAdd(i, i, i)).Store(gates + unit);
                VectorMath<V>.Flush(dCell * V.Load(cellBefore + unit) * V.NegativeMultiplyAdd(f, f, f)).Store(gates + stride + unit);
                VectorMath<V>.Flush(dCell * i * V.NegativeMultiplyAdd(g, g, one)).Store(gates + (2 * stride) + unit);
                VectorMath<V>.Flush(d * tanhCell * V.NegativeMultiplyAdd(o, o, o)).Store(gates + (3 * stride) + unit);
                VectorMath<V>.Flush(dCell * f).Store(cellGradient + unit);
                zero.Store(hiddenGradient + unit);
            }
        }
    }
}
