// What recurrent layers have in common: one direction of one level of a stack over a whole window.
//
// Forward, the input's part of all gates comes from the projection, then step by step the recurrent product and the
// gates. Backward runs the steps in reverse and overwrites each step's gates with the gradients of their pre-activations;
// weight gradients and the input's gradient are again products over the window, weight gradients per shard.
//
// The hidden states lie in T + 1 slots [T + 1, B, stride]. Forward in time, slot t is the state before time step t: the first
// holds the incoming state, and a row of length n has its last state in slot n. Backward in time, slot t is the state after
// time step t: a row of length n starts from its state in slot n, at its own end, and has its last state in slot 0. Either way
// the states before a step lie at a fixed distance from its cells, so one list of cells serves both weights.
//
// Only rows that have not ended are computed (StepScope). A row's gradient of the state stays where it is until the steps
// are its own.
//
// Of a window in segments these buffers hold one segment; the state's gradient stays where it is from one to the next.
//
// Documents that begin within a row (Model.DocumentStart) start from zero, or from what was learned: what a time step goes on
// from is then copied, begun anew where a document begins, and a gradient ends there, or goes to what was learned.
//
// Variational dropout of the state (Gal and Ghahramani 2016): one mask a row for all time steps of a window; what goes into
// the recurrent product is the masked state, what a GRU carries on is the state itself.
//
// Where a window starts from zero, its first recurrent product and what it would add to the recurrent weight's gradient are left
// out: every term is zero.
//
// With layer normalisation (GateNormalization) the projection and the recurrent product end in buffers of their own, from which
// the gates' pre-activations are formed, and on the way back the gradients of both products from those of the gates.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>Which direction of which level of a stack.</summary>
/// <param name="Name">The layer's name.</param>
/// <param name="Level">Its place in the stack.</param>
/// <param name="InputWidth">I.</param>
/// <param name="ReturnSequences">Whether every time step is returned.</param>
/// <param name="IsBidirectional">Whether it is one of two directions; then no state is carried from window to window.</param>
/// <param name="IsReverse">Whether it runs from each row's end to its start, and adds to the input's gradient.</param>
internal sealed record RecurrentPlace(string Name, int Level, int InputWidth, bool ReturnSequences, bool IsBidirectional = false, bool IsReverse = false)
{
    /// <summary>The last part of its tensors' names, PyTorch's.</summary>
    public string Suffix => IsReverse ? $"l{Level}_reverse" : $"l{Level}";
}

/// <summary>One direction of a recurrent level: <c>weight_ih_l*</c> [G H, I], <c>weight_hh_l*</c> [G H, H], <c>bias_ih_l*</c> and <c>bias_hh_l*</c> [G H].</summary>
/// <param name="place">Where it stands.</param>
/// <param name="config">Its configuration; H is its units.</param>
/// <param name="gateCount">G.</param>
/// <param name="gateSlots">Places of H (padded) in a row of gates, at least G.</param>
internal abstract unsafe class RecurrentLayer(RecurrentPlace place, RecurrentConfig config, int gateCount, int gateSlots) : Layer(place.Name)
{
    private const uint RecurrentMask = 1u << 20;
    private const uint ReverseMask = 1u << 21;

    private readonly GateNormalization? norm = config.LayerNorm ? NormOf(place, config.Units, gateCount, gateSlots) : null;
    private InputProjection projection = null!;
    private ParameterTensor? initialState;
    private float* initial; // [H], in the flat vector; null: zero
    private float* lastStates; // [B, HiddenStride], of rows of unequal length
    private float* lastGradient; // [B, HiddenStride]: what a decoder adds to the gradient of the last states
    private float* mask; // [B, HiddenStride]: 0 or 1 / (1 - p)
    private float* dropped; // [T, B, HiddenStride]: the masked states before each time step
    private float* droppedGradient; // [B, HiddenStride]
    private float* entering; // with documents, [T, B, HiddenStride]: the states before each time step, begun anew where one begins
    private float* begun; // with documents and a learned initial state, [T, B, HiddenStride]: the gradients of what was begun anew
    private bool isDropping;
    private bool startsFromZero; // the loaded states are zero
    private bool isEnd;
    private bool isStart;
    private bool isReset;

    /// <inheritdoc/>
    public override int OutputWidth => Hidden;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReturnsLast => !place.ReturnSequences;

    /// <inheritdoc/>
    public override int StateWidth => Hidden;

    /// <summary>Whether there is a cell state beside the hidden one.</summary>
    public virtual bool HasCell => false;

    /// <summary>In an encoder: whether its last states have gradients beside those of its outputs; set before <see cref="Plan"/>.</summary>
    public bool GivesLastStates { get; set; }

    /// <summary>In a decoder: where rows start, from the encoder's last states; null: from zero, or what is learned.</summary>
    public StateBridge? Bridge { get; set; }

    /// <summary>Where the input is an embedding's table, in training: what both directions of a level share. The reverse one is given the other's before <see cref="Plan"/>.</summary>
    public TokenSums? TokenSums { get; set; }

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

    /// <summary>Backward: what the steps after add to the gradient of a step's state.</summary>
    protected float* StateGradient { get; private set; } // [B, HiddenStride]

    protected ParameterTensor InputWeight { get; private set; } = null!;

    protected ParameterTensor StateWeight { get; private set; } = null!;

    protected ParameterTensor InputBias { get; private set; } = null!;

    protected ParameterTensor StateBias { get; private set; } = null!;

    /// <summary>Where it stands.</summary>
    protected RecurrentPlace Place => place;

    /// <summary>The shape of the window, or of the segment of it that is computed.</summary>
    protected StepScope Window => Input.Scope;

    /// <summary>B.</summary>
    protected int Rows => Window.Rows;

    /// <summary>What the forget gate's biases sum to at first, or null.</summary>
    protected virtual double? ForgetBias => null;

    /// <summary>Which gates are drawn for long memory, or null.</summary>
    protected virtual GateMemory? Memory => null;

    /// <summary>The hidden states.</summary>
    private float* States { get; set; } // [T + 1, B, HiddenStride]

    /// <summary>The gradient of the cell states before the first step, once the way back has come there; null without cells.</summary>
    protected virtual float* FirstCellGradient => null;

    /// <summary>Whether both parts of the gates are normalised before they are added.</summary>
    protected bool IsNormalized => norm is not null;

    private bool HasDropout => config.RecurrentDropout > 0.0;

    /// <summary>Floats from a step's cells to the states before it.</summary>
    private long BeforeOffset => place.IsReverse ? (long)Rows * HiddenStride : 0;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        int rows = gateCount * Hidden;
        Initializer Of(InitializerKind kind, int columns) => new(kind, kind == InitializerKind.PyTorch ? Hidden : columns, rows, gateCount);
        declarations.Add($"{Name}.weight_ih_{place.Suffix}", Of(config.KernelInitializer, place.InputWidth), rows, place.InputWidth);
        declarations.Add($"{Name}.weight_hh_{place.Suffix}", Of(config.RecurrentInitializer, Hidden), rows, Hidden);
        declarations.Add($"{Name}.bias_ih_{place.Suffix}", Of(config.BiasInitializer, place.InputWidth) with { ForgetBias = ForgetBias, Memory = Memory }, rows);
        declarations.Add($"{Name}.bias_hh_{place.Suffix}", Of(config.BiasInitializer, Hidden) with { ForgetBias = ForgetBias is null ? null : 0.0, Memory = Memory is { } memory ? memory with { LongestLag = 0 } : null }, rows);
        if (config.LearnedInitialState)
        {
            declarations.Add($"{Name}.initial_h_{place.Suffix}", new Initializer(InitializerKind.Zeros, Hidden, Hidden), Hidden);
        }

        norm?.Declare(declarations);
        Bridge?.Declare(declarations);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        InputWeight = layout[$"{Name}.weight_ih_{place.Suffix}"];
        StateWeight = layout[$"{Name}.weight_hh_{place.Suffix}"];
        InputBias = layout[$"{Name}.bias_ih_{place.Suffix}"];
        StateBias = layout[$"{Name}.bias_hh_{place.Suffix}"];
        initialState = layout.Find($"{Name}.initial_h_{place.Suffix}");
        norm?.Bind(layout, InputBias, StateBias);
        Bridge?.Bind(layout);
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        long state = (long)plan.MaximumRows * HiddenStride;
        if (Input.Embedding is not null && plan.IsTraining && !place.IsReverse)
        {
            TokenSums = new TokenSums(plan, Input, TokenProjection.WidthOf(GateColumns));
        }

        projection = Input.Embedding is null
            ? new ProductProjection(plan, Input, InputWeight, GateColumns, GateStride, place.IsReverse)
            : new TokenProjection(plan, Input, InputWeight, GateColumns, GateStride, place, TokenSums);
        Gates = plan.Arena.Floats(plan.MaximumCells * GateStride);
        States = plan.Arena.Floats((plan.MaximumTime + 1L) * state);
        StateGradient = plan.IsTraining ? plan.Arena.Floats(state) : null;
        lastGradient = plan.IsTraining && GivesLastStates ? plan.Arena.Floats(state) : null;
        lastStates = ReturnsLast && !place.IsReverse ? plan.Arena.Floats(state) : null;
        if (plan.IsTraining && HasDropout)
        {
            mask = plan.Arena.Floats(state);
            dropped = plan.Arena.Floats(plan.MaximumTime * state);
            droppedGradient = plan.Arena.Floats(state);
        }

        if (plan.HasDocuments)
        {
            entering = plan.Arena.Floats(plan.MaximumTime * state);
            begun = plan.IsTraining && initialState is not null ? plan.Arena.Floats(plan.MaximumTime * state) : null;
        }

        if (!Output.HasGradient)
        {
            Output.ReserveGradient(plan);
        }

        norm?.Plan(plan);
        Bridge?.Plan(plan);
        PlanCell(plan);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        initial = initialState is null ? null : parameters + initialState.Offset;
        norm?.Pack(parameters);
        Bridge?.Pack(parameters);
        PackCell(parameters);
        if (!IsNormalized)
        {
            PackBiases(parameters, projection.Weight);
        }

        projection.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void ReadMemory(TrainingStep step) => Bridge?.Forward(step);

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride)
    {
        startsFromZero = states is null && Bridge is null && initial is null;
        Load(States, states, stride, initial, isCell: false);
    }

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride) => Store(States, time, states, stride);

    /// <inheritdoc/>
    public sealed override void Forward(TrainingStep step)
    {
        isDropping = HasDropout && step.IsTraining;
        if (isDropping)
        {
            DrawMask(step);
        }

        float* inputPart = norm is null ? Gates : norm.Input;
        projection.BeginForward(inputPart, step.Workspace);
        for (int i = 0; i < Window.Time; i++)
        {
            int time = place.IsReverse ? Window.Time - 1 - i : i, rows = Window.RowsAt(time);
            if (rows > 0)
            {
                projection.Forward(time, GatesOf(inputPart, time));
                if (step.DocumentTokens is not null)
                {
                    BeginDocuments(step, time, rows);
                }

                if (isDropping)
                {
                    ElementwiseFunctions.Multiply((long)rows * HiddenStride, StateBefore(time), mask, DroppedAt(time));
                }

                StepForward(time, rows, step.Workspace);
            }
        }

        Output.Values = ReturnsLast ? LastStates() : StateAt(place.IsReverse ? 0 : 1);
        if (!ReturnsLast && !place.IsReverse)
        {
            Window.ClearEnded(Output.Values, HiddenStride);
        }
    }

    /// <inheritdoc/>
    public sealed override void Backward(TrainingStep step)
    {
        isEnd = step.IsEnd;
        isStart = step.IsStart;
        isReset = place.IsBidirectional || step.IsReset;
        if (isEnd)
        {
            nuint bytes = (nuint)Rows * (nuint)HiddenStride * sizeof(float);
            if (lastGradient is not null || ReturnsLast)
            {
                NativeMemory.Copy(lastGradient is null ? Output.Gradient : lastGradient, StateGradient, bytes);
            }
            else
            {
                NativeMemory.Clear(StateGradient, bytes);
            }

            projection.BeginBackward(step);
            BeginBackward();
        }

        ClearBegun();
        float* inputGradient = norm is null ? Gates : norm.InputGradient;
        for (int i = 0; i < Window.Time; i++)
        {
            int time = place.IsReverse ? i : Window.Time - 1 - i, rows = Window.RowsAt(time);
            if (rows > 0)
            {
                step.Watched?.Add(Index, place.IsReverse, Window.Time, time, Hidden, StateGradient, GradientAbove(time));
                StepBackward(time, rows, step.Workspace);
                if (step.DocumentTokens is not null)
                {
                    EndDocuments(step, time, rows);
                }

                projection.Backward(time, GatesOf(inputGradient, time));
            }
        }

        if (norm is null)
        {
            var recurrent = SharesGateColumns ? StatesBefore : default;
            bool hasInputTensors = projection.EndBackward(step, Gates, recurrent, InputBias);
            GateTensors(step, hasInputTensors);
        }
        else
        {
            NormalizedTensors(step, norm);
        }

        CellTensors(step);
        if (initialState is not null)
        {
            InitialGradient(step, initialState, StateGradient, begun);
        }

        Bridge?.Backward(step, StateGradient, FirstCellGradient);
    }

    /// <summary>The last state of the row at a place; valid after <see cref="Forward"/>.</summary>
    public float* LastState(int row) => StateAt(place.IsReverse ? 0 : Window.Lengths[row]) + ((long)row * HiddenStride);

    /// <summary>The gradient of <see cref="LastState"/> beside that of the outputs.</summary>
    public float* LastStateGradient(int row) => lastGradient + ((long)row * HiddenStride);

    /// <summary>The last cell state of the row at a place; valid after <see cref="Forward"/>.</summary>
    public virtual float* LastCell(int row) => throw new InvalidOperationException($"{Name} has no cell state.");

    /// <summary>The gradient of <see cref="LastCell"/>.</summary>
    public virtual float* LastCellGradient(int row) => throw new InvalidOperationException($"{Name} has no cell state.");

    /// <summary>Sets the gradients of the last states to +0.</summary>
    public virtual void ClearLastGradients() => NativeMemory.Clear(lastGradient, (nuint)Rows * (nuint)HiddenStride * sizeof(float));

    /// <summary>Takes the cell's own buffers and packed weights.</summary>
    protected abstract void PlanCell(LayerPlan plan);

    /// <summary>Packs the cell's own weights.</summary>
    protected abstract void PackCell(float* parameters);

    /// <summary>Sets the biases from which the input's part starts, and the cell's own products; with normalisation they come after it.</summary>
    protected abstract void PackBiases(float* parameters, PackedMatrix input);

    /// <summary>From the input's part of the gates and the states before <paramref name="time"/>: the gates and the states after.</summary>
    protected abstract void StepForward(int time, int rows, Workspace workspace);

    /// <summary>Readies the cell's own gradients for the last step.</summary>
    protected virtual void BeginBackward()
    {
    }

    /// <summary>From the gradient of the states after <paramref name="time"/>: the gates' gradients, and <see cref="StateGradient"/> for the step before.</summary>
    protected abstract void StepBackward(int time, int rows, Workspace workspace);

    /// <summary>Takes what a time step goes on from, begun anew where a document begins.</summary>
    protected virtual void BeginDocuments(TrainingStep step, int time, int rows) => Enter(step, time, rows, StateAt(time), entering, initial);

    /// <summary>Ends the gradient of the states before a time step where a document begins.</summary>
    protected virtual void EndDocuments(TrainingStep step, int time, int rows) => Leave(step, time, rows, StateGradient, begun);

    /// <summary>Readies room for the gradients of what documents begin from.</summary>
    protected virtual void ClearBegun() => Clear(begun);

    /// <summary>Whether weight_hh is one product of the states with the gates' gradients in the columns that weight_ih has.</summary>
    protected virtual bool SharesGateColumns => false;

    /// <summary>Computes the gradients of weight_hh and both biases, without normalisation.</summary>
    /// <param name="step">The step.</param>
    /// <param name="hasInputTensors">Whether that of bias_ih was formed along with weight_ih, and that of weight_hh where it <see cref="SharesGateColumns"/>.</param>
    protected abstract void GateTensors(TrainingStep step, bool hasInputTensors);

    /// <summary>Computes the gradients of what is the cell's own beside them.</summary>
    protected virtual void CellTensors(TrainingStep step)
    {
    }

    /// <summary>The right operand of weight_hh's gradient: what went into the recurrent product, by cell.</summary>
    protected RecurrentOperand StatesBefore =>
        new(isDropping ? dropped : entering is not null ? entering : States + BeforeOffset, HiddenStride, HiddenColumns, StateWeight.Offset);

    /// <summary>The gates of one time step.</summary>
    protected float* GatesAt(int time) => GatesOf(Gates, time);

    /// <summary>One time step of what lies as the gates do.</summary>
    private float* GatesOf(float* gates, int time) => gates + (long)time * Rows * GateStride;

    /// <summary>The first cell of a time step.</summary>
    protected long CellAt(int time) => (long)time * Rows;

    /// <summary>The weight that a step multiplies and adds to its gates by itself; null where the states before are zero, and where they are normalised: then that is done here.</summary>
    protected PackedMatrix? Recurrent(int time, int rows, PackedMatrix state, Workspace workspace)
    {
        if (norm is null)
        {
            return startsFromZero && IsFirstStep(time) ? null : state;
        }

        Product.Multiply(rows, ProductInput(time), HiddenStride, state, GatesOf(norm.StateProduct, time), GateStride, ProductStart.Zero, workspace);
        norm.Forward(CellAt(time), rows, Gates);
        return null;
    }

    /// <summary>The states before time step <paramref name="time"/>.</summary>
    protected float* StateBefore(int time) => entering is null ? StateAt(SlotBefore(time)) : CellsOf(entering, time);

    /// <summary>The states after time step <paramref name="time"/>.</summary>
    protected float* StateAfter(int time) => StateAt(SlotAfter(time));

    /// <summary>The slot of the states before time step <paramref name="time"/>.</summary>
    protected int SlotBefore(int time) => place.IsReverse ? time + 1 : time;

    /// <summary>The slot of the states after time step <paramref name="time"/>.</summary>
    protected int SlotAfter(int time) => place.IsReverse ? time : time + 1;

    /// <summary>What goes into the recurrent product of time step <paramref name="time"/>: the states before it, masked where states are dropped.</summary>
    protected float* ProductInput(int time) => isDropping ? DroppedAt(time) : StateBefore(time);

    /// <summary>The weight through which a time step's gradient goes on to the states before it, or null where nobody asks, or where <see cref="PassOn"/> does it.</summary>
    protected PackedMatrix? Way(int time, PackedMatrix? stateBack) => isDropping || IsNormalized || IsFirst(time) ? null : stateBack;

    /// <summary>Where states are dropped, or gates normalised: adds to <see cref="StateGradient"/> what the gates' gradients send back through normalisation, weight and mask.</summary>
    protected void PassOn(int time, int rows, PackedMatrix? stateBack, Workspace workspace)
    {
        norm?.Backward(CellAt(time), rows, Gates);
        if ((!isDropping && norm is null) || IsFirst(time))
        {
            return;
        }

        float* gradients = GatesOf(norm is null ? Gates : norm.StateGradient, time);
        if (!isDropping)
        {
            Product.Multiply(rows, gradients, GateStride, stateBack!, StateGradient, HiddenStride, ProductStart.Accumulate, workspace);
            return;
        }

        long count = (long)rows * HiddenStride;
        Product.Multiply(rows, gradients, GateStride, stateBack!, droppedGradient, HiddenStride, ProductStart.Zero, workspace);
        ElementwiseFunctions.Multiply(count, droppedGradient, mask, droppedGradient);
        ElementwiseFunctions.Add(count, StateGradient, droppedGradient, StateGradient);
    }

    /// <summary>What the layers above add to the gradient of the states after time step <paramref name="time"/>, or null.</summary>
    protected float* GradientAbove(int time) => !ReturnsLast && time >= Output.Scope.From ? Output.GradientAt(time) : null;

    /// <summary>A weight's gradient from the gates' columns and values that lie by cell, without those of cells before <paramref name="firstCell"/>, which are zero, and that of the bias in the same columns, from one of its elements on.</summary>
    protected void WeightsGradient(TrainingStep step, ColumnGroups gates, float* values, nint stride, ColumnGroups columns, long offset, ParameterTensor bias, long first = 0, int firstCell = 0) =>
        WeightGradient.Compute(step.Merge, Window.Shards, Gates, GateStride, gates, values, stride, columns, step.SubtreeGradients, offset, step.Workspace, !step.IsEnd, bias.Offset + first, firstCell);

    /// <summary>The gradients of weight_hh and of a bias from the gates' columns.</summary>
    protected void StateWeightGradient(TrainingStep step, ColumnGroups gates, ParameterTensor bias)
    {
        RecurrentOperand states = StatesBefore;
        WeightsGradient(step, gates, states.States, states.Stride, states.Columns, states.Offset, bias, firstCell: startsFromZero && !place.IsReverse ? Rows : 0);
    }

    /// <summary>A bias's gradient, from one of its elements on, from the gates' columns.</summary>
    protected void BiasGradient(TrainingStep step, ColumnGroups gates, ParameterTensor bias, long first = 0) =>
        WeightGradient.ColumnSums(step.Merge, Window.Shards, Gates, GateStride, gates, step.SubtreeGradients, bias.Offset + first, step.Workspace, !step.IsEnd);

    /// <summary>The gradient of a learned initial state: the sum over the rows that started from it, per shard.</summary>
    /// <param name="step">The step.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="gradient">[B, HiddenStride]: that of the states before the window.</param>
    /// <param name="ofDocuments">[T, B, HiddenStride]: those of the states that documents began from, or null.</param>
    protected void InitialGradient(TrainingStep step, ParameterTensor tensor, float* gradient, float* ofDocuments)
    {
        if (ofDocuments is not null)
        {
            for (int row = 0; step.IsStart && isReset && row < Window.RowsAt(0); row++)
            {
                if (!Begins(step, 0, row))
                {
                    Row(gradient, row).CopyTo(Row(ofDocuments, row));
                }
            }

            WeightGradient.ColumnSums(step.Merge, Window.Shards, ofDocuments, HiddenStride, HiddenColumns, step.SubtreeGradients, tensor.Offset, step.Workspace, !step.IsEnd);
            return;
        }

        if (!step.IsStart)
        {
            return; // the way back hasn't come to the window's start
        }

        if (isReset)
        {
            WeightGradient.ColumnSums(step.Merge, step.ShardRows, gradient, HiddenStride, HiddenColumns, step.SubtreeGradients, tensor.Offset, step.Workspace);
            return;
        }

        for (int i = 0; i < step.Merge.Subtrees.Length; i++)
        {
            new Span<float>(step.SubtreeGradients[i] + tensor.Offset, (int)tensor.Count).Clear();
        }
    }

    /// <summary>Fills each row's first slot [HiddenStride] with the incoming state, or with what the encoder left, or with <paramref name="start"/>, or zero.</summary>
    protected void Load(float* slots, float* states, nint stride, float* start, bool isCell)
    {
        for (int row = 0; row < Rows; row++)
        {
            int slot = place.IsReverse ? Window.Lengths[row] : 0;
            var target = new Span<float>(slots + (((long)slot * Rows) + row) * HiddenStride, HiddenStride);
            target.Clear();
            float* from = states is not null ? states + (row * stride) : Bridge is not null ? Bridge.StateOf(row, isCell) : start;
            if (from is not null)
            {
                new ReadOnlySpan<float>(from, Hidden).CopyTo(target);
            }
        }
    }

    /// <summary>Copies each row's state after <paramref name="time"/> steps, or its last one, out.</summary>
    protected void Store(float* slots, int time, float* states, nint stride)
    {
        for (int row = 0; row < Rows; row++)
        {
            int slot = Math.Min(time, Window.Lengths[row]);
            new ReadOnlySpan<float>(slots + (((long)slot * Rows) + row) * HiddenStride, Hidden).CopyTo(new Span<float>(states + row * stride, Hidden));
        }
    }

    /// <summary>Copies what lies before a time step; where a document begins, <paramref name="start"/> or zero.</summary>
    protected void Enter(TrainingStep step, int time, int rows, float* before, float* into, float* start)
    {
        float* target = CellsOf(into, time);
        NativeMemory.Copy(before, target, (nuint)rows * (nuint)HiddenStride * sizeof(float));
        for (int row = 0; row < rows; row++)
        {
            if (Begins(step, time, row))
            {
                Span<float> state = Row(target, row);
                state.Clear();
                if (start is not null)
                {
                    new ReadOnlySpan<float>(start, Hidden).CopyTo(state);
                }
            }
        }
    }

    /// <summary>Takes the gradient of what documents began from out of that of the states before.</summary>
    protected void Leave(TrainingStep step, int time, int rows, float* gradient, float* into)
    {
        for (int row = 0; row < rows; row++)
        {
            if (Begins(step, time, row))
            {
                if (into is not null)
                {
                    Row(gradient, row).CopyTo(Row(CellsOf(into, time), row));
                }

                Row(gradient, row).Clear();
            }
        }
    }

    /// <summary>Zero for every cell of the window.</summary>
    protected void Clear(float* gradients)
    {
        if (gradients is not null)
        {
            NativeMemory.Clear(gradients, (nuint)Window.Time * (nuint)Rows * (nuint)HiddenStride * sizeof(float));
        }
    }

    /// <summary>The cells of one time step among those of the window.</summary>
    protected float* CellsOf(float* cells, int time) => cells + ((long)time * Rows * HiddenStride);

    private bool Begins(TrainingStep step, int time, int row) => step.DocumentTokens[((long)time * Rows) + row] == step.DocumentStart;

    private Span<float> Row(float* states, int row) => new(states + ((long)row * HiddenStride), HiddenStride);

    private float* StateAt(int slot) => States + (long)slot * Rows * HiddenStride;

    private float* DroppedAt(int time) => dropped + (long)time * Rows * HiddenStride;

    // Of an LSTM all gates share mean and variance; of a GRU reset and update gate do, the candidate has its own.
    private static GateNormalization NormOf(RecurrentPlace place, int hidden, int gateCount, int gateSlots)
    {
        ColumnGroups gates = ColumnGroups.Gates(gateCount, hidden), ofState = gateCount == 3 ? Gru.RecurrentGates(hidden) : gates;
        return new(place.Name, place.Suffix, gates, ofState, gateSlots * ColumnGroups.Pad(hidden), gateCount == 3 ? [2, 1] : [gateCount]);
    }

    private void NormalizedTensors(TrainingStep step, GateNormalization norm)
    {
        projection.EndBackward(step, norm.InputGradient, default, null);
        RecurrentOperand states = StatesBefore;
        WeightGradient.Compute(
            step.Merge, Window.Shards, norm.StateGradient, GateStride, norm.State, states.States, states.Stride, states.Columns, step.SubtreeGradients, states.Offset, step.Workspace, !step.IsEnd);
        norm.Tensors(step, Window.Shards, Gates);
    }

    // Whether nobody asks for the gradient of the states before a time step.
    private bool IsFirst(int time) => isStart && ((initialState is null && Bridge is null) || (!isReset && begun is null)) && IsFirstStep(time);

    // Whether it is the first of the time steps, in the layer's direction.
    private bool IsFirstStep(int time) => time == (place.IsReverse ? Window.Time - 1 : 0);

    private float* LastStates()
    {
        if (place.IsReverse || !Window.IsRagged)
        {
            return StateAt(place.IsReverse ? 0 : Window.Time);
        }

        for (int row = 0; row < Rows; row++)
        {
            new ReadOnlySpan<float>(StateAt(Window.Lengths[row]) + (long)row * HiddenStride, HiddenStride).CopyTo(new Span<float>(lastStates + (long)row * HiddenStride, HiddenStride));
        }

        return lastStates;
    }

    private void DrawMask(TrainingStep step)
    {
        uint layer = (uint)Index | RecurrentMask | (place.IsReverse ? ReverseMask : 0);
        var key = new RandomKey(step.Seed, RandomPurpose.Dropout, layer, (ulong)step.Version);
        new Span<float>(mask, Rows * HiddenStride).Fill(1f);
        Window.Drop(key, config.RecurrentDropout, Rows, Hidden, HiddenStride, 0, mask, mask);
    }
}
