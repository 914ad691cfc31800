// What recurrent layers have in common: one level of a stack over a whole window.
//
// Forward, the input's part of all gates comes from the projection, then step by step the recurrent product and the
// gates. Backward runs time in reverse and overwrites each step's gates with the gradients of their pre-activations;
// weight gradients and the input's gradient are again products over the window, weight gradients per shard.
//
// The hidden states lie in [T + 1, B, stride] with the incoming state first, so that the state before step t has the
// cell number of step t: one list of cells serves both weights. A row that has ended keeps its state to the window's end
// and hands its gradient through, so the last slot holds each row's last state whatever its length.
//
// Of a window in segments these buffers hold one segment; the state's gradient stays where it is from one to the next.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One recurrent level: <c>weight_ih_l*</c> [G H, I], <c>weight_hh_l*</c> [G H, H], <c>bias_ih_l*</c> and <c>bias_hh_l*</c> [G H].</summary>
/// <param name="name">The layer's name.</param>
/// <param name="level">Its place in the stack.</param>
/// <param name="inputWidth">I.</param>
/// <param name="config">Its configuration; H is its units.</param>
/// <param name="gateCount">G.</param>
/// <param name="gateSlots">Places of H (padded) in a row of gates, at least G.</param>
/// <param name="returnSequences">Whether every time step is returned.</param>
internal abstract unsafe class RecurrentLayer(string name, int level, int inputWidth, RecurrentConfig config, int gateCount, int gateSlots, bool returnSequences) : Layer(name)
{
    private InputProjection projection = null!;
    private bool isEnd;

    /// <inheritdoc/>
    public override int OutputWidth => Hidden;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReturnsLast => !returnSequences;

    /// <inheritdoc/>
    public override int StateWidth => Hidden;

    /// <summary>H.</summary>
    protected int Hidden { get; } = config.Units;

    /// <summary>H rounded up to 16.</summary>
    protected int HiddenStride { get; } = ColumnGroups.Pad(config.Units);

    /// <summary>How a state lies in its row.</summary>
    protected ColumnGroups HiddenColumns { get; } = ColumnGroups.Padded(config.Units);

    /// <summary>How the gates' input part lies in its row.</summary>
    protected ColumnGroups GateColumns { get; } = ColumnGroups.Gates(gateCount, config.Units);

    /// <summary>Floats from one row of gates to the next.</summary>
    protected int GateStride { get; } = gateSlots * ColumnGroups.Pad(config.Units);

    /// <summary>Pre-activations, then gates, after backward the gradients of the pre-activations.</summary>
    protected float* Gates { get; private set; } // [T, B, GateStride]

    /// <summary>The hidden states, the incoming one first.</summary>
    protected float* States { get; private set; } // [T + 1, B, HiddenStride]

    /// <summary>Backward: what the steps after add to the gradient of a step's state.</summary>
    protected float* StateGradient { get; private set; } // [B, HiddenStride]

    protected ParameterTensor InputWeight { get; private set; } = null!;

    protected ParameterTensor StateWeight { get; private set; } = null!;

    protected ParameterTensor InputBias { get; private set; } = null!;

    protected ParameterTensor StateBias { get; private set; } = null!;

    /// <summary>Backward: whether time step 0 is the window's first, so that nobody asks for the gradient of the state before it.</summary>
    protected bool IsStart { get; private set; }

    /// <summary>The shape of the window, or of the segment of it that is computed.</summary>
    protected StepScope Window => Input.Scope;

    /// <summary>B.</summary>
    protected int Rows => Window.Rows;

    /// <summary>The rows' lengths, or null when none ends within the window.</summary>
    protected int* Lengths => Window.IsRagged ? Window.Lengths : null;

    /// <summary>What the forget gate's biases sum to at first, or null.</summary>
    protected virtual double? ForgetBias => null;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        int rows = gateCount * Hidden;
        Initializer Of(InitializerKind kind, int columns) => new(kind, kind == InitializerKind.PyTorch ? Hidden : columns, rows, gateCount);
        declarations.Add($"{Name}.weight_ih_l{level}", Of(config.KernelInitializer, inputWidth), rows, inputWidth);
        declarations.Add($"{Name}.weight_hh_l{level}", Of(config.RecurrentInitializer, Hidden), rows, Hidden);
        declarations.Add($"{Name}.bias_ih_l{level}", Of(config.BiasInitializer, inputWidth) with { ForgetBias = ForgetBias }, rows);
        declarations.Add($"{Name}.bias_hh_l{level}", Of(config.BiasInitializer, Hidden) with { ForgetBias = ForgetBias is null ? null : 0.0 }, rows);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        InputWeight = layout[$"{Name}.weight_ih_l{level}"];
        StateWeight = layout[$"{Name}.weight_hh_l{level}"];
        InputBias = layout[$"{Name}.bias_ih_l{level}"];
        StateBias = layout[$"{Name}.bias_hh_l{level}"];
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        projection = Input.Embedding is null
            ? new ProductProjection(plan, Input, InputWeight, GateColumns, GateStride)
            : new TokenProjection(plan, Input, InputWeight, GateColumns, GateStride);
        Gates = plan.Arena.Floats(plan.MaximumCells * GateStride);
        States = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * HiddenStride);
        StateGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        Output.ReserveGradient(plan);
        PlanCell(plan);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        PackCell(parameters, projection.Weight);
        projection.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride) => Load(States, states, stride);

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride) => Store(StateAt(time), states, stride);

    /// <inheritdoc/>
    public sealed override void Forward(TrainingStep step)
    {
        projection.BeginForward(Gates, step.Workspace);
        for (int time = 0; time < Window.Time; time++)
        {
            projection.Forward(time, GatesAt(time));
            StepForward(time, step.Workspace);
        }

        Output.Values = StateAt(ReturnsLast ? Window.Time : 1);
    }

    /// <inheritdoc/>
    public sealed override void Backward(TrainingStep step)
    {
        isEnd = step.IsEnd;
        IsStart = step.IsStart;
        if (isEnd)
        {
            NativeMemory.Clear(StateGradient, (nuint)Rows * (nuint)HiddenStride * sizeof(float));
            projection.BeginBackward(step);
            BeginBackward();
        }

        for (int time = Window.Time - 1; time >= 0; time--)
        {
            StepBackward(time, step.Workspace);
            projection.Backward(time, GatesAt(time));
        }

        var recurrent = SharesGateColumns ? new RecurrentOperand(States, HiddenStride, HiddenColumns, StateWeight.Offset) : default;
        bool hasStateWeight = projection.EndBackward(step, Gates, recurrent);
        BackwardTensors(step, hasStateWeight);
    }

    /// <summary>Takes the cell's own buffers and packed weights.</summary>
    protected abstract void PlanCell(LayerPlan plan);

    /// <summary>Packs the cell's own weights, and sets the biases from which the input's part starts.</summary>
    protected abstract void PackCell(float* parameters, PackedMatrix input);

    /// <summary>From the input's part of the gates and the states before <paramref name="time"/>: the gates and the states after.</summary>
    protected abstract void StepForward(int time, Workspace workspace);

    /// <summary>Readies the cell's own gradients for the last step.</summary>
    protected virtual void BeginBackward()
    {
    }

    /// <summary>From the gradient of the states after <paramref name="time"/>: the gates' gradients, and <see cref="StateGradient"/> for the step before.</summary>
    protected abstract void StepBackward(int time, Workspace workspace);

    /// <summary>Whether weight_hh is one product of the states with the gates' gradients in the columns that weight_ih has.</summary>
    protected virtual bool SharesGateColumns => false;

    /// <summary>Computes the gradients of weight_hh, unless it was formed along with weight_ih, and both biases.</summary>
    protected abstract void BackwardTensors(TrainingStep step, bool hasStateWeight);

    /// <summary>The gates of one time step.</summary>
    protected float* GatesAt(int time) => Gates + (long)time * Rows * GateStride;

    /// <summary>The states before time step <paramref name="slot"/>.</summary>
    protected float* StateAt(int slot) => States + (long)slot * Rows * HiddenStride;

    /// <summary>What the layers above add to the gradient of the states after time step <paramref name="time"/>, or null.</summary>
    protected float* GradientAbove(int time)
    {
        if (ReturnsLast)
        {
            return isEnd && time == Window.Time - 1 ? Output.Gradient : null;
        }

        return time >= Output.Scope.From ? Output.GradientAt(time) : null;
    }

    /// <summary>A weight's gradient from the gates' columns and values that lie by cell.</summary>
    protected void WeightsGradient(TrainingStep step, ColumnGroups gates, float* values, nint stride, ColumnGroups columns, long offset) =>
        WeightGradient.Compute(step.Merge, Window.Shards, Gates, GateStride, gates, values, stride, columns, step.SubtreeGradients, offset, step.Workspace, !step.IsEnd);

    /// <summary>A bias's gradient, from one of its elements on, from the gates' columns.</summary>
    protected void BiasGradient(TrainingStep step, ColumnGroups gates, ParameterTensor bias, long first = 0) =>
        WeightGradient.ColumnSums(step.Merge, Window.Shards, Gates, GateStride, gates, step.SubtreeGradients, bias.Offset + first, step.Workspace, !step.IsEnd);

    /// <summary>Fills a slot [B, HiddenStride] with the incoming state, or zero.</summary>
    protected void Load(float* into, float* states, nint stride)
    {
        for (int row = 0; row < Rows; row++)
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
        for (int row = 0; row < Rows; row++)
        {
            new ReadOnlySpan<float>(from + (long)row * HiddenStride, Hidden).CopyTo(new Span<float>(states + row * stride, Hidden));
        }
    }
}
