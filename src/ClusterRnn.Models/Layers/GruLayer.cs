// One direction of one level of a GRU in both forms. Gates in PyTorch's order: reset, update, new.
//
// Reset after (PyTorch):  n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
// Reset before (Cho):     n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)
// In both                 h' = (1 - z) * n + z * h
//
// A row of gates has a fourth slot for the state's part of n, or for r * h; where the gradients lie afterwards is said
// beside the kernels (Gru).
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One direction of one level of a GRU.</summary>
internal sealed unsafe class GruLayer(RecurrentPlace place, GruConfig config) : RecurrentLayer(place, config, gateCount: 3, gateSlots: 4)
{
    private readonly bool resetBefore = config.ResetGate == GruResetGate.Before;
    private PackedMatrix state = null!; // after: h -> r, z, n's state part, with its bias; before: h -> r, z
    private PackedMatrix? candidate; // before: r * h -> n
    private PackedMatrix? stateBack; // the gradients of state's outputs -> dh
    private PackedMatrix? candidateBack; // before: dn -> d(r * h)
    private float* resetGradient; // before: [B, HiddenStride]
    private float* candidateBias; // after: b_hn [H], in the flat vector

    /// <inheritdoc/>
    protected override GateMemory? Memory => config.LongestLag is int lag ? new GateMemory(lag, KeepGate: 1, WriteGate: -1) : null;

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        ColumnGroups ofState = resetBefore ? Gru.ResetAndUpdate(Hidden) : Gru.RecurrentGates(Hidden);
        state = new PackedMatrix(plan.Arena, HiddenColumns, ofState);
        candidate = resetBefore ? new PackedMatrix(plan.Arena, Gru.ResetHidden(Hidden), Gru.Candidate(Hidden)) : null;
        if (plan.IsTraining)
        {
            stateBack = new PackedMatrix(plan.Arena, ofState, HiddenColumns);
            candidateBack = resetBefore ? new PackedMatrix(plan.Arena, Gru.Candidate(Hidden), HiddenColumns) : null;
            resetGradient = resetBefore ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        }
    }

    /// <inheritdoc/>
    protected override void PackCell(float* parameters)
    {
        float* candidateWeight = parameters + StateWeight.Offset + 2L * Hidden * Hidden;
        state.PackTransposed(parameters + StateWeight.Offset, Hidden);
        stateBack?.Pack(parameters + StateWeight.Offset, Hidden);
        candidate?.PackTransposed(candidateWeight, Hidden);
        candidateBack?.Pack(candidateWeight, Hidden);
    }

    /// <inheritdoc/>
    protected override void PackBiases(float* parameters, PackedMatrix input)
    {
        float* bias = parameters + InputBias.Offset, biasOfState = parameters + StateBias.Offset;
        input.SetBias(0, bias, biasOfState);
        input.SetBias(1, bias + Hidden, biasOfState + Hidden);
        input.SetBias(2, bias + 2 * Hidden, resetBefore ? biasOfState + 2 * Hidden : null);
        if (!resetBefore)
        {
            candidateBias = biasOfState + 2 * Hidden;
            state.SetBias(2, candidateBias);
        }
    }

    /// <inheritdoc/>
    protected override void StepForward(int time, int rows, Workspace workspace)
    {
        if (resetBefore)
        {
            Gru.StepForwardResetBefore(rows, Hidden, GatesAt(time), StateBefore(time), state, candidate!, StateAfter(time), workspace);
        }
        else
        {
            PackedMatrix? recurrent = Recurrent(time, rows, state, workspace);
            for (int row = 0; recurrent is null && !IsNormalized && row < rows; row++)
            {
                // Of a state of zeros n's state part is its bias.
                new ReadOnlySpan<float>(candidateBias, Hidden).CopyTo(new Span<float>(GatesAt(time) + ((long)row * GateStride) + (3L * HiddenStride), Hidden));
            }

            Gru.StepForward(rows, Hidden, GatesAt(time), StateBefore(time), recurrent, StateAfter(time), workspace, ProductInput(time));
        }
    }

    /// <inheritdoc/>
    protected override void StepBackward(int time, int rows, Workspace workspace)
    {
        if (resetBefore)
        {
            Gru.StepBackwardResetBefore(rows, Hidden, GatesAt(time), StateBefore(time), GradientAbove(time), StateGradient, resetGradient, stateBack!, candidateBack!, workspace);
        }
        else
        {
            Gru.StepBackward(rows, Hidden, GatesAt(time), StateBefore(time), GradientAbove(time), StateGradient, Way(time, stateBack), workspace);
            PassOn(time, rows, stateBack, workspace);
        }
    }

    /// <inheritdoc/>
    protected override void GateTensors(TrainingStep step, bool hasInputTensors)
    {
        if (resetBefore)
        {
            StateWeightGradient(step, Gru.ResetAndUpdate(Hidden), StateBias);
            WeightsGradient(step, Gru.Candidate(Hidden), Gates, GateStride, Gru.ResetHidden(Hidden), StateWeight.Offset + 2L * Hidden * Hidden, StateBias, 2L * Hidden);
            step.CopyGradient(StateBias, InputBias);
            return;
        }

        StateWeightGradient(step, Gru.RecurrentGates(Hidden), StateBias);
        if (!hasInputTensors)
        {
            step.CopyGradient(StateBias, InputBias, 2L * Hidden); // r and z; n has its own
            BiasGradient(step, Gru.Candidate(Hidden), InputBias, 2L * Hidden);
        }
    }
}
