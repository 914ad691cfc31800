// Two directions of one level side by side (Schuster and Paliwal 1997): one reads each row from its start, the other from its
// own end, and the output is [forward, reverse] at each time step, as PyTorch's. Returning the last step only, it is each
// direction's last state: the forward one at the row's end, the reverse one at its start.
//
// An output depends on later time steps. So a window is computed whole, and no state is carried from one window to the next:
// both directions start from zero, or from their learned initial states.
namespace ClusterRnn.Models;

/// <summary>A recurrent level that reads its input in both directions.</summary>
/// <param name="forward">The direction of time.</param>
/// <param name="reverse">The other one; it adds to the input's gradient.</param>
internal sealed unsafe class BidirectionalLayer(RecurrentLayer forward, RecurrentLayer reverse) : Layer(forward.Name)
{
    /// <summary>The direction of time, then the other one.</summary>
    public IReadOnlyList<RecurrentLayer> Directions { get; } = [forward, reverse];

    /// <inheritdoc/>
    public override int OutputWidth => 2 * forward.OutputWidth;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => true;

    /// <inheritdoc/>
    public override bool ReturnsLast => forward.ReturnsLast;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        forward.Declare(declarations);
        reverse.Declare(declarations);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        forward.Bind(layout);
        reverse.Bind(layout);
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        Plan(forward, plan);
        reverse.TokenSums = forward.TokenSums;
        Plan(reverse, plan);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        forward.Pack(parameters);
        reverse.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        forward.LoadState(null, 0);
        reverse.LoadState(null, 0);
        forward.Forward(step);
        reverse.Forward(step);
        for (int time = Output.Scope.From; time < Output.Scope.Time; time++)
        {
            Join(forward, time, 0);
            Join(reverse, time, forward.OutputWidth);
        }

        Output.Scope.ClearEnded(Output.Values, Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        for (int time = Output.Scope.From; time < Output.Scope.Time; time++)
        {
            Part(forward, time, 0);
            Part(reverse, time, forward.OutputWidth);
        }

        forward.Backward(step);
        reverse.Backward(step);
    }

    private void Plan(RecurrentLayer direction, LayerPlan plan)
    {
        direction.Index = Index;
        direction.Input = Input;
        direction.Output = new Signal(direction.OutputWidth) { Scope = Output.Scope, MaximumTime = Output.MaximumTime };
        direction.Plan(plan);
    }

    // One direction's part of the output of a time step.
    private void Join(RecurrentLayer direction, int time, int first)
    {
        float* from = direction.Output.At(time), into = Output.At(time) + first;
        for (int row = 0, rows = Output.Scope.RowsAt(time); row < rows; row++, from += direction.Output.Stride, into += Output.Stride)
        {
            new ReadOnlySpan<float>(from, direction.OutputWidth).CopyTo(new Span<float>(into, direction.OutputWidth));
        }
    }

    // Its part of the gradient; a row without time steps has none.
    private void Part(RecurrentLayer direction, int time, int first)
    {
        float* from = Output.GradientAt(time) + first, into = direction.Output.GradientAt(time);
        for (int row = 0, rows = Output.Scope.Rows; row < rows; row++, from += Output.Stride, into += direction.Output.Stride)
        {
            new ReadOnlySpan<float>(from, direction.OutputWidth).CopyTo(new Span<float>(into, direction.OutputWidth));
        }
    }
}
