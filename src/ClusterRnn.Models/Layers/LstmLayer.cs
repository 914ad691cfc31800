using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Gates;

namespace ClusterRnn.Models;

/// <summary>One level of an LSTM. Gates in PyTorch's order: input, forget, cell, output.</summary>
internal sealed unsafe class LstmLayer(string name, int level, int inputWidth, LstmConfig config, bool returnSequences)
    : RecurrentLayer(name, inputWidth, config.Units, returnSequences)
{
    private GateWeights weights = null!;
    private float* gates; // [T, B, 4, HiddenStride]: gates after forward, gradients of pre-activations after backward
    private float* cells; // [T + 1, B, HiddenStride], the incoming one first
    private float* cellGradient; // [B, HiddenStride]

    /// <inheritdoc/>
    public override int StateWidth => 2 * Hidden;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) =>
        GateWeights.Declare(declarations, Name, level, 4, InputWidth, config, config.ForgetBias);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => weights = new GateWeights(layout, Name, level, 4, InputWidth, Hidden);

    /// <inheritdoc/>
    public override void Pack(float* parameters) => weights.Pack(parameters);

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
        weights.Plan(plan, Input);
        gates = plan.Arena.Floats(plan.MaximumCells * weights.GateStride);
        cells = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * HiddenStride);
        cellGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
    }

    /// <inheritdoc/>
    protected override void ForwardWindow(TrainingStep step)
    {
        weights.ProjectInput(Input, gates, step.Workspace);
        for (int time = 0; time < Window.Time; time++)
        {
            Lstm.StepForward(Window.Rows, Hidden, GatesAt(time), StateAt(time), weights.State, CellsAt(time), CellsAt(time + 1), StateAt(time + 1), Lengths, time, step.Workspace);
        }
    }

    /// <inheritdoc/>
    protected override void BackwardWindow(TrainingStep step)
    {
        NativeMemory.Clear(cellGradient, (nuint)Window.Rows * (nuint)HiddenStride * sizeof(float));
        for (int time = Window.Time - 1; time >= 0; time--)
        {
            Lstm.StepBackward(Window.Rows, Hidden, GatesAt(time), CellsAt(time), CellsAt(time + 1), GradientAbove(time), StateGradient, cellGradient, time > 0 ? weights.StateBack : null, Lengths, time, step.Workspace);
        }

        weights.Gradients(step, Input, gates, States);
    }

    private float* GatesAt(int time) => gates + (long)time * Window.Rows * weights.GateStride;

    private float* CellsAt(int slot) => cells + (long)slot * Window.Rows * HiddenStride;
}
