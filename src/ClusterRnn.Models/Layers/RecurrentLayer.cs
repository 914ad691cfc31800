// What recurrent layers have in common: one level of a stack over a whole window.
//
// Forward, the input projection is one product over all cells of the window; then, step by step, a recurrent product and
// the gates. Backward runs time in reverse and overwrites each step's gates with the gradients of their pre-activations;
// weight gradients and the input's gradient are again products over the window, weight gradients per shard.
//
// The hidden states lie in [T + 1, B, stride] with the incoming state first, so that the state before step t has the
// cell number of step t: one list of cells serves both weights. A row that has ended keeps its state to the window's end
// and hands its gradient through, so the last slot holds each row's last state whatever its length.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One recurrent level.</summary>
internal abstract unsafe class RecurrentLayer(string name, int inputWidth, int hidden, bool returnSequences) : Layer(name)
{
    /// <inheritdoc/>
    public override int OutputWidth => Hidden;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReturnsLast => !returnSequences;

    /// <inheritdoc/>
    public override int StateWidth => Hidden;

    /// <summary>I.</summary>
    protected int InputWidth { get; } = inputWidth;

    /// <summary>H.</summary>
    protected int Hidden { get; } = hidden;

    /// <summary>H rounded up to 16.</summary>
    protected int HiddenStride { get; } = ColumnGroups.Pad(hidden);

    /// <summary>The hidden states, the incoming one first.</summary>
    protected float* States { get; private set; } // [T + 1, B, HiddenStride]

    /// <summary>Backward: what the steps after add to the gradient of a step's state.</summary>
    protected float* StateGradient { get; private set; } // [B, HiddenStride]

    /// <summary>The window's shape.</summary>
    protected StepScope Window => Input.Scope;

    /// <summary>The rows' lengths, or null when none ends within the window.</summary>
    protected int* Lengths => Window.IsRagged ? Window.Lengths : null;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        States = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * HiddenStride);
        StateGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        Output.ReserveGradient(plan);
        PlanCell(plan);
    }

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride) => Load(States, states, stride);

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride) => Store(StateAt(time), states, stride);

    /// <inheritdoc/>
    public sealed override void Forward(TrainingStep step)
    {
        ForwardWindow(step);
        Output.Values = StateAt(ReturnsLast ? Window.Time : 1);
    }

    /// <inheritdoc/>
    public sealed override void Backward(TrainingStep step)
    {
        NativeMemory.Clear(StateGradient, (nuint)Window.Rows * (nuint)HiddenStride * sizeof(float));
        BackwardWindow(step);
    }

    /// <summary>Takes the cell's buffers and packed weights.</summary>
    protected abstract void PlanCell(LayerPlan plan);

    /// <summary>Computes <see cref="States"/> from the input.</summary>
    protected abstract void ForwardWindow(TrainingStep step);

    /// <summary>Computes the gradients of the tensors and of the input from the output's gradient; <see cref="StateGradient"/> is +0.</summary>
    protected abstract void BackwardWindow(TrainingStep step);

    /// <summary>The states before time step <paramref name="slot"/>.</summary>
    protected float* StateAt(int slot) => States + (long)slot * Window.Rows * HiddenStride;

    /// <summary>What the layers above add to the gradient of the states after time step <paramref name="time"/>, or null.</summary>
    protected float* GradientAbove(int time)
    {
        if (ReturnsLast)
        {
            return time == Window.Time - 1 ? Output.Gradient : null;
        }

        return time >= Output.Scope.From ? Output.GradientAt(time) : null;
    }

    /// <summary>Fills a slot [B, HiddenStride] with the incoming state, or zero.</summary>
    protected void Load(float* into, float* states, nint stride)
    {
        for (int row = 0; row < Window.Rows; row++)
        {
            var target = new Span<float>(into + (long)row * HiddenStride, HiddenStride);
            target.Clear();
            if (states is not null)
            {
                new ReadOnlySpan<float>(states + row * stride, Hidden).CopyTo(target);
            }
        }
    }

    /// <summary>Copies a slot's states out.</summary>
    protected void Store(float* from, float* states, nint stride)
    {
        for (int row = 0; row < Window.Rows; row++)
        {
            new ReadOnlySpan<float>(from + (long)row * HiddenStride, Hidden).CopyTo(new Span<float>(states + row * stride, Hidden));
        }
    }
}
