// The gated recurrent unit (Cho et al., 2014), gates in PyTorch's order r, z, n, in both forms:
//     reset after the product (PyTorch):   n = tanh(x-part + r (h' Wᵀ + b_hn))
//     reset before the product (textbook): n = tanh(x-part + (r h') Wᵀ)
//     r, z = sigmoid(...), h = (1 - z) n + z h'
// The gate buffer has four slots, r, z, n and one that keeps what the backward pass needs: h' Wᵀ + b_hn, or r h'.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

/// <summary>One time step of a GRU, forward and backward, over all rows.</summary>
public static unsafe class Gru
{
    /// <summary>Reset after, forward: reads Gates (pre-activations r, z, n, and the recurrent part of n), HiddenBefore; writes Gates, Hidden.</summary>
    public static readonly Kernel<GateArguments> ForwardKernel = new("gru.forward", &ForwardReference, &Forward<Lanes4>, &ForwardAvx2, &ForwardAvx512);

    /// <summary>Reset after, backward: reads Gates, HiddenBefore, GradientAbove; updates HiddenGradient; writes the gradients of all four slots over Gates.</summary>
    public static readonly Kernel<GateArguments> BackwardKernel = new("gru.backward", &BackwardReference, &Backward<Lanes4>, &BackwardAvx2, &BackwardAvx512);

    /// <summary>Reset before, first half forward: r, z and r h' from the pre-activations of r and z.</summary>
    public static readonly Kernel<GateArguments> ResetForwardKernel = new("gru.reset-forward", &ResetForwardReference, &ResetForward<Lanes4>, &ResetForwardAvx2, &ResetForwardAvx512);

    /// <summary>Reset before, second half forward: n and h.</summary>
    public static readonly Kernel<GateArguments> CandidateForwardKernel = new("gru.candidate-forward", &CandidateForwardReference, &CandidateForward<Lanes4>, &CandidateForwardAvx2, &CandidateForwardAvx512);

    /// <summary>Reset before, first half backward: the gradients of n and z; sets CellGradient, that of r h', to +0.</summary>
    public static readonly Kernel<GateArguments> CandidateBackwardKernel = new("gru.candidate-backward", &CandidateBackwardReference, &CandidateBackward<Lanes4>, &CandidateBackwardAvx2, &CandidateBackwardAvx512);

    /// <summary>Reset before, second half backward: the gradient of r from that of r h' (CellGradient).</summary>
    public static readonly Kernel<GateArguments> ResetBackwardKernel = new("gru.reset-backward", &ResetBackwardReference, &ResetBackward<Lanes4>, &ResetBackwardAvx2, &ResetBackwardAvx512);

    /// <summary>Where the input's product r, z, n lies in a row of [rows, 4 x HP].</summary>
    public static ColumnGroups InputGates(int hidden) => ColumnGroups.Gates(3, hidden);

    /// <summary>Reset after: where the recurrent product r, z, n lies in a row of [rows, 4 x HP]; also where dW_hh's left operand lies.</summary>
    public static ColumnGroups RecurrentGates(int hidden)
    {
        int padded = ColumnGroups.Pad(hidden);
        return new ColumnGroups(3, hidden, true, 0, padded, 3 * padded);
    }

    /// <summary>Reset before: r and z.</summary>
    public static ColumnGroups ResetAndUpdate(int hidden) => ColumnGroups.Gates(2, hidden);

    /// <summary>Reset before: the candidate n.</summary>
    public static ColumnGroups Candidate(int hidden) => new(1, hidden, true, 2 * ColumnGroups.Pad(hidden));

    /// <summary>Reset before: the slot that holds r h', the right operand of dW_hn.</summary>
    public static ColumnGroups ResetHidden(int hidden) => new(1, hidden, true, 3 * ColumnGroups.Pad(hidden));

    /// <summary>Reset after, one step forward.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in slots r, z, n the input's part with its biases (b_ir + b_hr, b_iz + b_hz, b_in); out the activations and the recurrent part of n.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="recurrent">weight_hh: inner Padded(H), columns <see cref="RecurrentGates"/>(H), bias of group 2 = b_hn. Null: the gates hold the recurrent part already, n's in the fourth slot.</param>
    /// <param name="hiddenAfter">[B, HP], out.</param>
    /// <param name="workspace">Scratch.</param>
    /// <param name="left">[B, HP]: what is multiplied with weight_hh where it is not <paramref name="hiddenBefore"/> (dropout of the state), or null.</param>
    public static void StepForward(int rows, int hidden, float* gates, float* hiddenBefore, PackedMatrix? recurrent, float* hiddenAfter, Workspace workspace, float* left = null)
    {
        var tile = ForwardTile(rows, hidden, gates, hiddenBefore, hiddenAfter);
        RecurrentStep.Forward(ForwardKernel, tile, left is null ? hiddenBefore : left, tile.Stride, recurrent, freshGroup: 2, workspace);
    }

    /// <summary>Reset after, one step backward.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in what the forward step left; out the gradients: r, z, n for the input (<see cref="InputGates"/>), r, z, slot 3 for the recurrent weights (<see cref="RecurrentGates"/>).</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="gradientAbove">[B, HP] or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="recurrent">weight_hh as it stands: inner <see cref="RecurrentGates"/>(H), columns Padded(H). Null: only h' z reaches the state before.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepBackward(int rows, int hidden, float* gates, float* hiddenBefore, float* gradientAbove, float* hiddenGradient, PackedMatrix? recurrent, Workspace workspace)
    {
        var tile = BackwardTile(rows, hidden, gates, hiddenBefore, gradientAbove, hiddenGradient);
        RecurrentStep.Backward(BackwardKernel, tile, recurrent, workspace);
    }

    /// <summary>Reset before, one step forward.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in slots r, z, n the input's part with all biases; out the activations, and r h' in slot 3.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="resetAndUpdate">The first 2H rows of weight_hh: inner Padded(H), columns <see cref="ResetAndUpdate"/>(H).</param>
    /// <param name="candidate">The last H rows of weight_hh: inner <see cref="ResetHidden"/>(H), columns <see cref="Candidate"/>(H).</param>
    /// <param name="hiddenAfter">[B, HP], out.</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepForwardResetBefore(int rows, int hidden, float* gates, float* hiddenBefore, PackedMatrix resetAndUpdate, PackedMatrix candidate, float* hiddenAfter, Workspace workspace)
    {
        var tile = ForwardTile(rows, hidden, gates, hiddenBefore, hiddenAfter);
        RecurrentStep.Forward(ResetForwardKernel, tile, hiddenBefore, tile.Stride, resetAndUpdate, freshGroup: -1, workspace);
        RecurrentStep.Forward(CandidateForwardKernel, tile, gates, tile.GateStride, candidate, freshGroup: -1, workspace);
    }

    /// <summary>Reset before, one step backward.</summary>
    /// <param name="rows">B.</param>
    /// <param name="hidden">H.</param>
    /// <param name="gates">[B, 4 x HP]: in what the forward step left; out the gradients of r, z, n; slot 3 keeps r h'.</param>
    /// <param name="hiddenBefore">[B, HP].</param>
    /// <param name="gradientAbove">[B, HP] or null.</param>
    /// <param name="hiddenGradient">[B, HP]: in from the step after (+0 at the last), out for the step before.</param>
    /// <param name="resetGradient">[B, HP]: scratch for the gradient of r h'.</param>
    /// <param name="resetAndUpdate">The first 2H rows of weight_hh as they stand: inner <see cref="ResetAndUpdate"/>(H), columns Padded(H).</param>
    /// <param name="candidate">The last H rows of weight_hh as they stand: inner <see cref="Candidate"/>(H), columns Padded(H).</param>
    /// <param name="workspace">Scratch.</param>
    public static void StepBackwardResetBefore(int rows, int hidden, float* gates, float* hiddenBefore, float* gradientAbove, float* hiddenGradient, float* resetGradient, PackedMatrix resetAndUpdate, PackedMatrix candidate, Workspace workspace)
    {
        var tile = BackwardTile(rows, hidden, gates, hiddenBefore, gradientAbove, hiddenGradient);
        tile.CellGradient = resetGradient;
        CandidateBackwardKernel.Run(candidate.Set, tile);
        Product.Multiply(rows, gates, tile.GateStride, candidate, resetGradient, tile.Stride, ProductStart.Accumulate, workspace);
        RecurrentStep.Backward(ResetBackwardKernel, tile, resetAndUpdate, workspace);
    }

    private static GateArguments ForwardTile(int rows, int hidden, float* gates, float* hiddenBefore, float* hiddenAfter)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.HiddenBefore = hiddenBefore;
        tile.Hidden = hiddenAfter;
        return tile;
    }

    private static GateArguments BackwardTile(int rows, int hidden, float* gates, float* hiddenBefore, float* gradientAbove, float* hiddenGradient)
    {
        var tile = GateArguments.Tile(rows, hidden, 4);
        tile.Gates = gates;
        tile.HiddenBefore = hiddenBefore;
        tile.GradientAbove = gradientAbove;
        tile.HiddenGradient = hiddenGradient;
        return tile;
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
                ref float r = ref gates[unit], z = ref gates[a->Stride + unit], n = ref gates[(2 * a->Stride) + unit], recurrent = ref gates[(3 * a->Stride) + unit];
                float before = a->HiddenBefore[at];
                r = ScalarMath.Flush(ScalarMath.Sigmoid(r));
                z = ScalarMath.Flush(ScalarMath.Sigmoid(z));
                n = ScalarMath.Flush(ScalarMath.Tanh(MathF.FusedMultiplyAdd(r, recurrent, n)));
                recurrent = ScalarMath.Flush(recurrent);
                a->Hidden[at] = ScalarMath.Flush(MathF.FusedMultiplyAdd(z, before - n, n));
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
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride), hidden = a->Hidden + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V r = VectorMath<V>.GateSigmoid(V.Load(gates + unit));
                V z = VectorMath<V>.GateSigmoid(V.Load(gates + stride + unit));
                V recurrent = V.Load(gates + (3 * stride) + unit);
                V n = VectorMath<V>.Flush(VectorMath<V>.Tanh(V.MultiplyAdd(r, recurrent, V.Load(gates + (2 * stride) + unit))));
                r.Store(gates + unit);
                z.Store(gates + stride + unit);
                n.Store(gates + (2 * stride) + unit);
                VectorMath<V>.Flush(recurrent).Store(gates + (3 * stride) + unit);
                VectorMath<V>.Flush(V.MultiplyAdd(z, V.Load(before + unit) - n, n)).Store(hidden + unit);
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
                ref float gr = ref gates[unit], gz = ref gates[a->Stride + unit], gn = ref gates[(2 * a->Stride) + unit], gRecurrent = ref gates[(3 * a->Stride) + unit];
                float d = a->GradientAbove is null ? a->HiddenGradient[at] : a->HiddenGradient[at] + a->GradientAbove[at];
                float r = gr, z = gz, n = gn, recurrent = gRecurrent;
                float dn = d * (1f - z) * MathF.FusedMultiplyAdd(-n, n, 1f);
                gz = ScalarMath.Flush(d * (a->HiddenBefore[at] - n) * MathF.FusedMultiplyAdd(-z, z, z));
                gn = ScalarMath.Flush(dn);
                gr = ScalarMath.Flush(dn * recurrent * MathF.FusedMultiplyAdd(-r, r, r));
                gRecurrent = ScalarMath.Flush(dn * r);
                a->HiddenGradient[at] = ScalarMath.Flush(d * z);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        V one = V.Broadcast(1f);
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride), hiddenGradient = a->HiddenGradient + (row * stride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V r = V.Load(gates + unit), z = V.Load(gates + stride + unit), n = V.Load(gates + (2 * stride) + unit), recurrent = V.Load(gates + (3 * stride) + unit);
                V d = V.Load(hiddenGradient + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                V dn = d * (one - z) * V.NegativeMultiplyAdd(n, n, one);
                VectorMath<V>.Flush(d * (V.Load(before + unit) - n) * V.NegativeMultiplyAdd(z, z, z)).Store(gates + stride + unit);
                VectorMath<V>.Flush(dn).Store(gates + (2 * stride) + unit);
                VectorMath<V>.Flush(dn * recurrent * V.NegativeMultiplyAdd(r, r, r)).Store(gates + unit);
                VectorMath<V>.Flush(dn * r).Store(gates + (3 * stride) + unit);
                VectorMath<V>.Flush(d * z).Store(hiddenGradient + unit);
            }
        }
    }

    private static void ResetForwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &ResetForward<Lanes8x2>, &ResetForward<Lanes8>, null);

    private static void ResetForwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &ResetForward<Lanes16x2>, &ResetForward<Lanes16>, &ResetForward<Lanes8>);

    private static void ResetForwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                ref float r = ref gates[unit], z = ref gates[a->Stride + unit], resetHidden = ref gates[(3 * a->Stride) + unit];
                r = ScalarMath.Flush(ScalarMath.Sigmoid(r));
                z = ScalarMath.Flush(ScalarMath.Sigmoid(z));
                resetHidden = ScalarMath.Flush(r * a->HiddenBefore[((nint)row * a->Stride) + unit]);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ResetForward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V r = VectorMath<V>.GateSigmoid(V.Load(gates + unit));
                V z = VectorMath<V>.GateSigmoid(V.Load(gates + stride + unit));
                V resetHidden = VectorMath<V>.Flush(r * V.Load(before + unit));
                r.Store(gates + unit);
                z.Store(gates + stride + unit);
                resetHidden.Store(gates + (3 * stride) + unit);
            }
        }
    }

    private static void CandidateForwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &CandidateForward<Lanes8x2>, &CandidateForward<Lanes8>, null);

    private static void CandidateForwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &CandidateForward<Lanes16x2>, &CandidateForward<Lanes16>, &CandidateForward<Lanes8>);

    private static void CandidateForwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float n = ref gates[(2 * a->Stride) + unit];
                n = ScalarMath.Flush(ScalarMath.Tanh(n));
                a->Hidden[at] = ScalarMath.Flush(MathF.FusedMultiplyAdd(gates[a->Stride + unit], a->HiddenBefore[at] - n, n));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CandidateForward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride), hidden = a->Hidden + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V beforeUnit = V.Load(before + unit);
                V n = VectorMath<V>.Flush(VectorMath<V>.Tanh(V.Load(gates + (2 * stride) + unit)));
                V h = VectorMath<V>.Flush(V.MultiplyAdd(V.Load(gates + stride + unit), beforeUnit - n, n));
                n.Store(gates + (2 * stride) + unit);
                h.Store(hidden + unit);
            }
        }
    }

    private static void CandidateBackwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &CandidateBackward<Lanes8>, &CandidateBackward<Lanes8>, null);

    private static void CandidateBackwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &CandidateBackward<Lanes16>, &CandidateBackward<Lanes16>, &CandidateBackward<Lanes8>);

    private static void CandidateBackwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float gz = ref gates[a->Stride + unit], gn = ref gates[(2 * a->Stride) + unit];
                float d = a->GradientAbove is null ? a->HiddenGradient[at] : a->HiddenGradient[at] + a->GradientAbove[at];
                a->CellGradient[at] = 0f;
                float z = gz, n = gn;
                gz = ScalarMath.Flush(d * (a->HiddenBefore[at] - n) * MathF.FusedMultiplyAdd(-z, z, z));
                gn = ScalarMath.Flush(d * (1f - z) * MathF.FusedMultiplyAdd(-n, n, 1f));
                a->HiddenGradient[at] = ScalarMath.Flush(d * z);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CandidateBackward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        V one = V.Broadcast(1f), zero = V.Broadcast(0f);
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride);
            float* hiddenGradient = a->HiddenGradient + (row * stride), resetGradient = a->CellGradient + (row * stride);
            float* above = a->GradientAbove is null ? null : a->GradientAbove + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V z = V.Load(gates + stride + unit), n = V.Load(gates + (2 * stride) + unit), d = V.Load(hiddenGradient + unit);
                if (above is not null)
                {
                    d += V.Load(above + unit);
                }

                V gz = VectorMath<V>.Flush(d * (V.Load(before + unit) - n) * V.NegativeMultiplyAdd(z, z, z));
                V gn = VectorMath<V>.Flush(d * (one - z) * V.NegativeMultiplyAdd(n, n, one));
                V rest = VectorMath<V>.Flush(d * z);
                gz.Store(gates + stride + unit);
                gn.Store(gates + (2 * stride) + unit);
                rest.Store(hiddenGradient + unit);
                zero.Store(resetGradient + unit);
            }
        }
    }

    private static void ResetBackwardAvx2(GateArguments* a) => GateWidths.Run(a, 8, &ResetBackward<Lanes8>, &ResetBackward<Lanes8>, null);

    private static void ResetBackwardAvx512(GateArguments* a) => GateWidths.Run(a, 16, &ResetBackward<Lanes16>, &ResetBackward<Lanes16>, &ResetBackward<Lanes8>);

    private static void ResetBackwardReference(GateArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride);
            for (int unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                nint at = ((nint)row * a->Stride) + unit;
                ref float gr = ref gates[unit];
                float r = gr, d = a->CellGradient[at];
                gr = ScalarMath.Flush(d * a->HiddenBefore[at] * MathF.FusedMultiplyAdd(-r, r, r));
                a->HiddenGradient[at] = ScalarMath.Flush(MathF.FusedMultiplyAdd(d, r, a->HiddenGradient[at]));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ResetBackward<V>(GateArguments* a)
        where V : struct, ILanes<V>
    {
        nint stride = a->Stride;
        for (int row = 0; row < a->Rows; row++)
        {
            float* gates = a->Gates + ((nint)row * a->GateStride), before = a->HiddenBefore + (row * stride);
            float* hiddenGradient = a->HiddenGradient + (row * stride), resetGradient = a->CellGradient + (row * stride);
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit += V.Width)
            {
                V r = V.Load(gates + unit), d = V.Load(resetGradient + unit), carried = V.Load(hiddenGradient + unit);
                V gr = VectorMath<V>.Flush(d * V.Load(before + unit) * V.NegativeMultiplyAdd(r, r, r));
                V rest = VectorMath<V>.Flush(V.MultiplyAdd(d, r, carried));
                gr.Store(gates + unit);
                rest.Store(hiddenGradient + unit);
            }
        }
    }
}
