// One level of a GRU in both forms. Gates in PyTorch's order: reset, update, new.
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

/// <summary>One level of a GRU.</summary>
internal sealed unsafe class GruLayer(string name, int level, int inputWidth, GruConfig config, bool returnSequences)
    : RecurrentLayer(name, inputWidth, config.Units, returnSequences)
{
    private readonly bool resetBefore = config.ResetGate == GruResetGate.Before;
    private ParameterTensor inputWeight = null!;
    private ParameterTensor stateWeight = null!;
    private ParameterTensor inputBias = null!;
    private ParameterTensor stateBias = null!;
    private PackedMatrix input = null!; // x -> r, z, n, with the biases
    private PackedMatrix state = null!; // after: h -> r, z, n's state part, with its bias; before: h -> r, z
    private PackedMatrix? candidate; // before: r * h -> n
    private PackedMatrix? inputBack; // dr, dz, dn -> dx
    private PackedMatrix? stateBack; // the gradients of state's outputs -> dh
    private PackedMatrix? candidateBack; // before: dn -> d(r * h)
    private float* gates; // [T, B, 4, HiddenStride]
    private float* resetGradient; // before: [B, HiddenStride]

    private int GateStride => 4 * HiddenStride;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) => GateWeights.Declare(declarations, Name, level, 3, InputWidth, config);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        inputWeight = layout[$"{Name}.weight_ih_l{level}"];
        stateWeight = layout[$"{Name}.weight_hh_l{level}"];
        inputBias = layout[$"{Name}.bias_ih_l{level}"];
        stateBias = layout[$"{Name}.bias_hh_l{level}"];
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        float* candidateWeight = parameters + stateWeight.Offset + 2L * Hidden * Hidden;
        float* bias = parameters + inputBias.Offset, biasOfState = parameters + stateBias.Offset;
        input.PackTransposed(parameters + inputWeight.Offset, InputWidth);
        input.SetBias(0, bias, biasOfState);
        input.SetBias(1, bias + Hidden, biasOfState + Hidden);
        input.SetBias(2, bias + 2 * Hidden, resetBefore ? biasOfState + 2 * Hidden : null);
        state.PackTransposed(parameters + stateWeight.Offset, Hidden);
        if (!resetBefore)
        {
            state.SetBias(2, biasOfState + 2 * Hidden);
        }

        candidate?.PackTransposed(candidateWeight, Hidden);
        inputBack?.Pack(parameters + inputWeight.Offset, InputWidth);
        stateBack?.Pack(parameters + stateWeight.Offset, Hidden);
        candidateBack?.Pack(candidateWeight, Hidden);
    }

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        ColumnGroups h = ColumnGroups.Padded(Hidden), ofState = resetBefore ? Gru.ResetAndUpdate(Hidden) : Gru.RecurrentGates(Hidden);
        input = new PackedMatrix(plan.Arena, Input.Columns, Gru.InputGates(Hidden));
        state = new PackedMatrix(plan.Arena, h, ofState);
        candidate = resetBefore ? new PackedMatrix(plan.Arena, Gru.ResetHidden(Hidden), Gru.Candidate(Hidden)) : null;
        gates = plan.Arena.Floats(plan.MaximumCells * GateStride);
        if (plan.IsTraining)
        {
            inputBack = Input.HasGradient ? new PackedMatrix(plan.Arena, Gru.InputGates(Hidden), ColumnGroups.Padded(InputWidth)) : null;
            stateBack = new PackedMatrix(plan.Arena, ofState, h);
            candidateBack = resetBefore ? new PackedMatrix(plan.Arena, Gru.Candidate(Hidden), h) : null;
            resetGradient = resetBefore ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        }
    }

    /// <inheritdoc/>
    protected override void ForwardWindow(TrainingStep step)
    {
        Product.Multiply(Window.Cells, Input.Values, Input.Stride, input, gates, GateStride, ProductStart.Bias, step.Workspace);
        for (int time = 0; time < Window.Time; time++)
        {
            if (resetBefore)
            {
                Gru.StepForwardResetBefore(Window.Rows, Hidden, GatesAt(time), StateAt(time), state, candidate!, StateAt(time + 1), Lengths, time, step.Workspace);
            }
            else
            {
                Gru.StepForward(Window.Rows, Hidden, GatesAt(time), StateAt(time), state, StateAt(time + 1), Lengths, time, step.Workspace);
            }
        }
    }

    /// <inheritdoc/>
    protected override void BackwardWindow(TrainingStep step)
    {
        for (int time = Window.Time - 1; time >= 0; time--)
        {
            if (resetBefore)
            {
                Gru.StepBackwardResetBefore(Window.Rows, Hidden, GatesAt(time), StateAt(time), GradientAbove(time), StateGradient, resetGradient, stateBack!, candidateBack!, Lengths, time, step.Workspace);
            }
            else
            {
                Gru.StepBackward(Window.Rows, Hidden, GatesAt(time), StateAt(time), GradientAbove(time), StateGradient, time > 0 ? stateBack : null, Lengths, time, step.Workspace);
            }
        }

        ColumnGroups h = ColumnGroups.Padded(Hidden), ofInput = Gru.InputGates(Hidden);
        WeightsGradient(step, ofInput, Input.Values, Input.Stride, Input.Columns, inputWeight.Offset);
        if (resetBefore)
        {
            WeightsGradient(step, Gru.ResetAndUpdate(Hidden), States, HiddenStride, h, stateWeight.Offset);
            WeightsGradient(step, Gru.Candidate(Hidden), gates, GateStride, Gru.ResetHidden(Hidden), stateWeight.Offset + 2L * Hidden * Hidden);
            BiasGradient(step, ofInput, inputBias);
            step.CopyGradient(inputBias, stateBias);
        }
        else
        {
            WeightsGradient(step, Gru.RecurrentGates(Hidden), States, HiddenStride, h, stateWeight.Offset);
            BiasGradient(step, ofInput, inputBias);
            BiasGradient(step, Gru.RecurrentGates(Hidden), stateBias);
        }

        if (inputBack is not null)
        {
            Product.Multiply(Window.Cells, gates, GateStride, inputBack, Input.Gradient, Input.Stride, ProductStart.Zero, step.Workspace, flush: true);
        }
    }

    private void WeightsGradient(TrainingStep step, ColumnGroups rows, float* values, nint stride, ColumnGroups columns, long offset) =>
        WeightGradient.Compute(step.Merge, Window.Shards, gates, GateStride, rows, values, stride, columns, step.SubtreeGradients, offset, step.Workspace);

    private void BiasGradient(TrainingStep step, ColumnGroups rows, ParameterTensor bias) =>
        WeightGradient.ColumnSums(step.Merge, Window.Shards, gates, GateStride, rows, step.SubtreeGradients, bias.Offset, step.Workspace);

    private float* GatesAt(int time) => gates + (long)time * Window.Rows * GateStride;
}
