using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One level of an LSTM. Gates in PyTorch's order: input, forget, cell, output.</summary>
internal sealed unsafe class LstmLayer(string name, int level, int inputWidth, LstmConfig config, bool returnSequences)
    : RecurrentLayer(name, level, inputWidth, config, gateCount: 4, gateSlots: 4, returnSequences)
{
    private PackedMatrix state = null!; // h -> gates
    private PackedMatrix? stateBack; // gates' gradients -> dh
    private float* cells; // [T + 1, B, HiddenStride], the incoming one first
    private float* cellGradient; // [B, HiddenStride]

    /// <inheritdoc/>
    public override int StateWidth => 2 * Hidden;

    /// <inheritdoc/>
    protected override double? ForgetBias => config.ForgetBias;

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride)
    {
        base.LoadState(states, stride);
        Load(cells, states is null ? null : states + Hidden, stride);
    }

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride)
    {
        base.StoreState(time, states, stride);
        Store(CellsAt(time), states + Hidden, stride);
    }

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        state = new PackedMatrix(plan.Arena, HiddenColumns, GateColumns);
        stateBack = plan.IsTraining ? new PackedMatrix(plan.Arena, GateColumns, HiddenColumns) : null;
        cells = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * HiddenStride);
        cellGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
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
        Lstm.StepForward(Rows, Hidden, GatesAt(time), StateAt(time), state, CellsAt(time), CellsAt(time + 1), StateAt(time + 1), Lengths, time, workspace);

    /// <inheritdoc/>
    protected override void BeginBackward() => NativeMemory.Clear(cellGradient, (nuint)Rows * (nuint)HiddenStride * sizeof(float));

    /// <inheritdoc/>
    protected override void StepBackward(int time, Workspace workspace) =>
        Lstm.StepBackward(Rows, Hidden, GatesAt(time), CellsAt(time), CellsAt(time + 1), GradientAbove(time), StateGradient, cellGradient, IsStart && time == 0 ? null : stateBack, Lengths, time, workspace);

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

    private float* CellsAt(int slot) => cells + (long)slot * Rows * HiddenStride;
}
