// The LSTM with layer normalisation (Ba, Kiros and Hinton, 2016): its gates come normalised (GateNorm), and so does what its output
// sees of the cell. The cell itself goes on from step to step as it is.
//     i, f, o = sigmoid(...), g = tanh(...), c = f c' + i g, n = normal(c), h = o tanh(gain n + bias)     order in memory: i, f, g, o
// A row's cells must all be there before one of them can be normalised, so a step has two kernels each way.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Normalization;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Gates;

/// <summary>What one time step of an LSTM needs to normalise its cells.</summary>
/// <param name="gain">[H], and the same padded with +0 to HP, then the padded bias: [2, HP].</param>
/// <param name="padded">See <paramref name="gain"/>.</param>
/// <param name="normals">[B, HP]: the normalised cells.</param>
/// <param name="inverses">[B]: 1 / sqrt(variance + epsilon).</param>
/// <param name="epsilon">What is added to the variance.</param>
public readonly unsafe struct CellNorm(float* gain, float* padded, float* normals, float* inverses, float epsilon)
{
    internal readonly float* Gain = gain;
    internal readonly float* Padded = padded;
    internal readonly float* Normals = normals;
    internal readonly float* Inverses = inverses;
    internal readonly float Epsilon = epsilon;
}

/// <summary>One time step of an LSTM with layer normalisation, forward and backward, over rows that have not ended; the recurrent part is in the gates.</summary>
public static unsafe class NormalizedLstm
{
    /// <summary>First half forward: reads Gates (pre-activations) and CellBefore, writes Gates and Cell.</summary>
    public static readonly Kernel<GateArguments> CellForwardKernel = new("lstm.normalized-cell-forward", &CellForwardReference, &CellForward<Lanes4>, &CellForwardAvx2, &CellForwardAvx512);

    /// <summary>Second half forward: reads o of Gates, Normals and NormalParameters, writes Hidden.</summary>
    public static readonly Kernel<GateArguments> OutputForwardKernel = new("lstm.normalized-output-forward", &OutputForwardReference, &OutputForward<Lanes4>, &OutputForwardAvx2, &OutputForwardAvx512);

    /// <summary>First half backward: reads o of Gates, Normals, NormalParameters, GradientAbove and HiddenGradient; writes o's gradient over o and NormalGradient, sets HiddenGradient to what the product is added to.</summary>
    public static readonly Kernel<GateArguments> OutputBackwardKernel = new("lstm.normalized-output-backward", &OutputBackwardReference, &OutputBackward<Lanes4>, &OutputBackwardAvx2, &OutputBackwardAvx512);

    /// <summary>Second half backward: reads i, f, g of Gates, CellBefore and CellGradient (all of it); writes their gradients over the gates, and the gradient of the cell before over CellGradient.</summary>
    public static readonly Kernel<GateArguments> CellBackwardKernel = new("lstm.normalized-cell-backward", &CellBackwardReference, &CellBackward<Lanes4>, &CellBackwardAvx2, &CellBackwardAvx512);

    /// <summary>One step forward.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the pre-activations, out the activations.</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="cell">[B, HP], out.</param>
    /// <param name="norm">The cells' normalisation; its normals and inverses are written.</param>
    /// <param name="hiddenAfter">[B, HP], out.</param>
    public static void StepForward(int rows, int hidden, float* gates, float* cellBefore, float* cell, in CellNorm norm, float* hiddenAfter)
    {
        var tile = Tile(rows, hidden, gates, norm);
        tile.CellBefore = cellBefore;
        tile.Cell = cell;
        tile.Hidden = hiddenAfter;
        CellForwardKernel.Run(tile);
        GateNorm.ForwardKernel.Run(new() { Rows = rows, Gates = 1, Width = hidden, Stride = tile.Stride, Source = cell, Normals = norm.Normals, Inverses = norm.Inverses, Gain = norm.Gain, Epsilon = norm.Epsilon });
        OutputForwardKernel.Run(tile);
    }

    /// <summary>One step backward, but for the recurrent product.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in the activations, out the gradients of the pre-activations.</param>
    /// <param name="cellBefore">[B, HP].</param>
    /// <param name="norm">The cells' normalisation, as the forward step left it.</param>
    /// <param name="normalGradient">[B, HP], out: the gradient of gain n + bias.</param>
    /// <param name="gradientAbove">[B, HP]: the gradient of this step's output from the layers above, or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out +0, to which the product is added.</param>
    /// <param name="cellGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    public static void StepBackward(int rows, int hidden, float* gates, float* cellBefore, in CellNorm norm, float* normalGradient, float* gradientAbove, float* hiddenGradient, float* cellGradient)
    {
        var tile = Tile(rows, hidden, gates, norm);
        tile.CellBefore = cellBefore;
        tile.NormalGradient = normalGradient;
        tile.GradientAbove = gradientAbove;
        tile.HiddenGradient = hiddenGradient;
        tile.CellGradient = cellGradient;
        OutputBackwardKernel.Run(tile);
        GateNorm.BackwardKernel.Run(new() { Rows = rows, Gates = 1, Width = hidden, Stride = tile.Stride, Normals = norm.Normals, Inverses = norm.Inverses, Gain = norm.Gain, Gradient = normalGradient, SourceGradient = cellGradient, Adds = true });
        CellBackwardKernel.Run(tile);
    }

    private static GateArguments Tile(int rows, int hidden, float* gates, in CellNorm norm)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.Normals = norm.Normals;
        tile.NormalParameters = norm.Padded;
        return tile;
    }

    private static void CellForwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &CellForward<Lanes8x2>, &CellForward<Lanes8>, null);

    private static void CellForwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &CellForward<Lanes16x2>, &CellForward<Lanes16>, &CellForward<Lanes8>);

    private static void CellForwardReference(GateArguments* a)
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
                a->Cell[at] = ScalarMath.Flush(MathF.FusedMultiplyAdd(f, a->CellBefore[at], i * g));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CellForward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), cellBefore = a->CellBefore + (row * stride), cell = a->Cell + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V i = VectorMath<V>.GateSigmoid(V.Load(gates + unit));
                V f = VectorMath<V>.GateSigmoid(V.Load(gates + stride + unit));
                V g = VectorMath<V>.Flush(VectorMath<V>.Tanh(V.Load(gates + (2 * stride) + unit)));
                VectorMath<V>.GateSigmoid(V.Load(gates + (3 * stride) + unit)).Store(gates + (3 * stride) + unit);
                VectorMath<V>.Flush(V.MultiplyAdd(f, V.Load(cellBefore + unit), i * g)).Store(cell + unit);
                i.Store(gates + unit);
                f.Store(gates + stride + unit);
                g.Store(gates + (2 * stride) + unit);
            }
        }
    }

    private static void OutputForwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &OutputForward<Lanes8x2>, &OutputForward<Lanes8>, null);

    private static void OutputForwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &OutputForward<Lanes16x2>, &OutputForward<Lanes16>, &OutputForward<Lanes8>);

    private static void OutputForwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                float o = a->Gates[((nint)row * a->GateStride) + (3 * a->Stride) + unit];
                float seen = MathF.FusedMultiplyAdd(a->Normals[at], a->NormalParameters[unit], a->NormalParameters[a->Stride + unit]);
                a->Hidden[at] = ScalarMath.Flush(o * ScalarMath.Tanh(seen));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OutputForward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        float* gain = a->NormalParameters, bias = a->NormalParameters + stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* o = a->Gates + ((nint)row * a->GateStride) + (3 * stride), normals = a->Normals + (row * stride), hidden = a->Hidden + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V seen = V.MultiplyAdd(V.Load(normals + unit), V.Load(gain + unit), V.Load(bias + unit));
                VectorMath<V>.Flush(V.Load(o + unit) * VectorMath<V>.Tanh(seen)).Store(hidden + unit);
            }
        }
    }

    private static void OutputBackwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &OutputBackward<Lanes8x2>, &OutputBackward<Lanes8>, null);

    private static void OutputBackwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &OutputBackward<Lanes16x2>, &OutputBackward<Lanes16>, &OutputBackward<Lanes8>);

    private static void OutputBackwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float go = ref a->Gates[((nint)row * a->GateStride) + (3 * a->Stride) + unit];
                float d = a->GradientAbove is null ? a->HiddenGradient[at] : a->HiddenGradient[at] + a->GradientAbove[at], o = go;
                float tanh = ScalarMath.Tanh(MathF.FusedMultiplyAdd(a->Normals[at], a->NormalParameters[unit], a->NormalParameters[a->Stride + unit]));
                a->NormalGradient[at] = ScalarMath.Flush(d * o * MathF.FusedMultiplyAdd(-tanh, tanh, 1f));
                go = ScalarMath.Flush(d * tanh * MathF.FusedMultiplyAdd(-o, o, o));
                a->HiddenGradient[at] = 0f;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OutputBackward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        float* gain = a->NormalParameters, bias = a->NormalParameters + stride;
        V one = V.Broadcast(1f), zero = V.Broadcast(0f);
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride) + (3 * stride), normals = a->Normals + (row * stride);
            float* hiddenGradient = a->HiddenGradient + (row * stride), normalGradient = a->NormalGradient + (row * stride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V d = V.Load(hiddenGradient + unit), o = V.Load(gates + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                V tanh = VectorMath<V>.Tanh(V.MultiplyAdd(V.Load(normals + unit), V.Load(gain + unit), V.Load(bias + unit)));
                VectorMath<V>.Flush(d * o * V.NegativeMultiplyAdd(tanh, tanh, one)).Store(normalGradient + unit);
                VectorMath<V>.Flush(d * tanh * V.NegativeMultiplyAdd(o, o, o)).Store(gates + unit);
                zero.Store(hiddenGradient + unit);
            }
        }
    }

    private static void CellBackwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &CellBackward<Lanes8>, &CellBackward<Lanes8>, null);

    private static void CellBackwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &CellBackward<Lanes16>, &CellBackward<Lanes16>, &CellBackward<Lanes8>);

    private static void CellBackwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float gi = ref gates[unit], gf = ref gates[a->Stride + unit], gg = ref gates[(2 * a->Stride) + unit];
                float i = gi, f = gf, g = gg, cellGradient = a->CellGradient[at];
                gi = ScalarMath.Flush(cellGradient * g * MathF.FusedMultiplyAdd(-i, i, i));
                gf = ScalarMath.Flush(cellGradient * a->CellBefore[at] * MathF.FusedMultiplyAdd(-f, f, f));
                gg = ScalarMath.Flush(cellGradient * i * MathF.FusedMultiplyAdd(-g, g, 1f));
                a->CellGradient[at] = ScalarMath.Flush(cellGradient * f);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CellBackward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        V one = V.Broadcast(1f);
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), cellBefore = a->CellBefore + (row * stride), cellGradient = a->CellGradient + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V i = V.Load(gates + unit), f = V.Load(gates + stride + unit), g = V.Load(gates + (2 * stride) + unit), dCell = V.Load(cellGradient + unit);
                VectorMath<V>.Flush(dCell * g * V.NegativeMultiplyAdd(i, i, i)).Store(gates + unit);
                VectorMath<V>.Flush(dCell * V.Load(cellBefore + unit) * V.NegativeMultiplyAdd(f, f, f)).Store(gates + stride + unit);
                VectorMath<V>.Flush(dCell * i * V.NegativeMultiplyAdd(g, g, one)).Store(gates + (2 * stride) + unit);
                VectorMath<V>.Flush(dCell * f).Store(cellGradient + unit);
            }
        }
    }
}
