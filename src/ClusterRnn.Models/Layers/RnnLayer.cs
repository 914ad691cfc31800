using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One direction of one level of a plain recurrent network, h = f(W_ih x + b_ih + W_hh h + b_hh).</summary>
internal sealed unsafe class RnnLayer(RecurrentPlace place, RnnConfig config) : RecurrentLayer(place, config, gateCount: 1, gateSlots: 1)
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
    protected override void PackCell(float* parameters)
    {
        state.PackTransposed(parameters + StateWeight.Offset, Hidden);
        stateBack?.Pack(parameters + StateWeight.Offset, Hidden);
    }

    /// <inheritdoc/>
    protected override void PackBiases(float* parameters, PackedMatrix input) => input.SetBias(parameters + InputBias.Offset, parameters + StateBias.Offset);

    /// <inheritdoc/>
    protected override void StepForward(int time, int rows, Workspace workspace) =>
        Rnn.StepForward(activation, rows, Hidden, GatesAt(time), ProductInput(time), Recurrent(time, rows, state, workspace), StateAfter(time), workspace);

    /// <inheritdoc/>
    protected override void StepBackward(int time, int rows, Workspace workspace)
    {
        Rnn.StepBackward(activation, rows, Hidden, GatesAt(time), StateAfter(time), GradientAbove(time), StateGradient, Way(time, stateBack), workspace);
        PassOn(time, rows, stateBack, workspace);
    }

    /// <inheritdoc/>
    protected override bool SharesGateColumns => true;

    /// <inheritdoc/>
    protected override void GateTensors(TrainingStep step, bool hasInputTensors)
    {
        if (!hasInputTensors)
        {
            StateWeightGradient(step, GateColumns, InputBias);
        }

        step.CopyGradient(InputBias, StateBias);
    }
}
