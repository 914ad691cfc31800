using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One level of a plain recurrent network, h = f(W_ih x + b_ih + W_hh h + b_hh).</summary>
internal sealed unsafe class RnnLayer(string name, int level, int inputWidth, RnnConfig config, bool returnSequences)
    : RecurrentLayer(name, level, inputWidth, config, gateCount: 1, gateSlots: 1, returnSequences)
{
    private readonly Activation activation = Activations.Of(config.Activation);
    private PackedMatrix state = null!; // h -> pre-activation
    private PackedMatrix? stateBack; // its gradient -> dh

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        state = new PackedMatrix(plan.Arena, HiddenColumns, HiddenColumns);
        stateBack = plan.IsTraining ? new PackedMatrix(plan.Arena, HiddenColumns, HiddenColumns) : null;
    }

    /// <inheritdoc/>
    protected override void PackCell(float* parameters, PackedMatrix input)
    {
        input.SetBias(parameters + InputBias.Offset, parameters + StateBias.Offset);
        state.PackTransposed(parameters + StateWeight.Offset, Hidden);
        stateBack?.Pack(parameters + StateWeight.Offset, Hidden);
    }

    /// <inheritdoc/>
    protected override void StepForward(int time, Workspace workspace) =>
        Rnn.StepForward(activation, Rows, Hidden, GatesAt(time), StateAt(time), state, StateAt(time + 1), Lengths, time, workspace);

    /// <inheritdoc/>
    protected override void StepBackward(int time, Workspace workspace) =>
        Rnn.StepBackward(activation, Rows, Hidden, GatesAt(time), StateAt(time + 1), GradientAbove(time), StateGradient, IsStart && time == 0 ? null : stateBack, Lengths, time, workspace);

    /// <inheritdoc/>
    protected override bool SharesGateColumns => true;

    /// <inheritdoc/>
    protected override void BackwardTensors(TrainingStep step, bool hasStateWeight)
    {
        if (!hasStateWeight)
        {
            WeightsGradient(step, GateColumns, States, HiddenStride, HiddenColumns, StateWeight.Offset);
        }

        BiasGradient(step, GateColumns, InputBias);
        step.CopyGradient(InputBias, StateBias);
    }
}
