using ClusterRnn.Kernels.Gates;

namespace ClusterRnn.Models;

/// <summary>One level of a plain recurrent network, h = f(W_ih x + b_ih + W_hh h + b_hh).</summary>
internal sealed unsafe class RnnLayer(string name, int level, int inputWidth, RnnConfig config, bool returnSequences)
    : RecurrentLayer(name, inputWidth, config.Units, returnSequences)
{
    private readonly Activation activation = Activations.Of(config.Activation);
    private GateWeights weights = null!;
    private float* gates; // [T, B, HiddenStride]: pre-activations, then their gradients

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) => GateWeights.Declare(declarations, Name, level, 1, InputWidth, config);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => weights = new GateWeights(layout, Name, level, 1, InputWidth, Hidden);

    /// <inheritdoc/>
    public override void Pack(float* parameters) => weights.Pack(parameters);

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        weights.Plan(plan, Input);
        gates = plan.Arena.Floats(plan.MaximumCells * HiddenStride);
    }

    /// <inheritdoc/>
    protected override void ForwardWindow(TrainingStep step)
    {
        weights.ProjectInput(Input, gates, step.Workspace);
        for (int time = 0; time < Window.Time; time++)
        {
            Rnn.StepForward(activation, Window.Rows, Hidden, GatesAt(time), StateAt(time), weights.State, StateAt(time + 1), Lengths, time, step.Workspace);
        }
    }

    /// <inheritdoc/>
    protected override void BackwardWindow(TrainingStep step)
    {
        for (int time = Window.Time - 1; time >= 0; time--)
        {
            Rnn.StepBackward(activation, Window.Rows, Hidden, GatesAt(time), StateAt(time + 1), GradientAbove(time), StateGradient, time > 0 ? weights.StateBack : null, Lengths, time, step.Workspace);
        }

        weights.Gradients(step, Input, gates, States);
    }

    private float* GatesAt(int time) => gates + (long)time * Window.Rows * HiddenStride;
}
