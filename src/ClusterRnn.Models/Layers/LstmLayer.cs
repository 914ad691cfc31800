using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>One direction of one level of an LSTM. Gates in PyTorch's order: input, forget, cell, output.</summary>
/// <param name="place">Where it stands.</param>
/// <param name="config">Its configuration.</param>
internal sealed unsafe class LstmLayer(RecurrentPlace place, LstmConfig config) : RecurrentLayer(place, config, gateCount: 4, gateSlots: 4)
{
    private PackedMatrix state = null!; // h -> gates
    private PackedMatrix? stateBack; // gates' gradients -> dh
    private float* cells; // [T + 1, B, HiddenStride], in slots as the hidden states
    private float* cellTanhs; // [T, B, HiddenStride]: of the cells after each time step, kept for the way back; null where nothing is trained, with peepholes and with normalised cells
    private float* cellGradient; // [B, HiddenStride]
    private float* lastCellGradient; // [B, HiddenStride]: what a decoder adds to the gradient of the last cell states
    private float* enteringCells; // with documents, [T, B, HiddenStride]: the cells before each time step, begun anew where one begins
    private float* begunCells; // with documents and a learned initial state, [T, B, HiddenStride]: the gradients of what was begun anew
    private ParameterTensor? initialCell;
    private float* initial; // [H], in the flat vector; null: zero
    private ParameterTensor? peepholeWeight;
    private float* peepholes; // [3, HiddenStride]: input, forget, output; null without
    private readonly CellNormalization? cellNorm = config.LayerNorm ? new CellNormalization(place.Name, place.Suffix, config.Units) : null;

    /// <inheritdoc/>
    public override int StateWidth => 2 * Hidden;

    /// <inheritdoc/>
    public override bool HasCell => true;

    /// <inheritdoc/>
    protected override float* FirstCellGradient => cellGradient;

    /// <inheritdoc/>
    protected override double? ForgetBias => config.ForgetBias;

    /// <inheritdoc/>
    protected override GateMemory? Memory => config.LongestLag is int lag ? new GateMemory(lag, KeepGate: 1, WriteGate: 0) : null;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        base.Declare(declarations);
        if (config.LearnedInitialState)
        {
            declarations.Add($"{Name}.initial_c_{Place.Suffix}", new Initializer(InitializerKind.Zeros, Hidden, Hidden), Hidden);
        }

        cellNorm?.Declare(declarations);
        if (config.Peepholes)
        {
            // Each cell sees one number, its own: fan in and fan out say nothing, so the bound is that of the other weights.
            InitializerKind kind = config.RecurrentInitializer == InitializerKind.Zeros ? InitializerKind.Zeros : InitializerKind.PyTorch;
            declarations.Add($"{Name}.weight_peephole_{Place.Suffix}", new Initializer(kind, Hidden, 3), 3, Hidden);
        }
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        base.Bind(layout);
        initialCell = layout.Find($"{Name}.initial_c_{Place.Suffix}");
        cellNorm?.Bind(layout);
        peepholeWeight = layout.Find($"{Name}.weight_peephole_{Place.Suffix}");
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        base.Pack(parameters);
        cellNorm?.Pack(parameters);
        initial = initialCell is null ? null : parameters + initialCell.Offset;
        for (int gate = 0; peepholeWeight is not null && gate < 3; gate++)
        {
            new ReadOnlySpan<float>(parameters + peepholeWeight.Offset + ((long)gate * Hidden), Hidden).CopyTo(new Span<float>(peepholes + ((long)gate * HiddenStride), Hidden));
        }
    }

    /// <inheritdoc/>
    public override void LoadState(float* states, nint stride)
    {
        base.LoadState(states, stride);
        Load(cells, states is null ? null : states + Hidden, stride, initial, isCell: true);
    }

    /// <inheritdoc/>
    public override void StoreState(int time, float* states, nint stride)
    {
        base.StoreState(time, states, stride);
        Store(cells, time, states + Hidden, stride);
    }

    /// <inheritdoc/>
    public override float* LastCell(int row) => CellsAt(Place.IsReverse ? 0 : Window.Lengths[row]) + ((long)row * HiddenStride);

    /// <inheritdoc/>
    public override float* LastCellGradient(int row) => lastCellGradient + ((long)row * HiddenStride);

    /// <inheritdoc/>
    public override void ClearLastGradients()
    {
        base.ClearLastGradients();
        NativeMemory.Clear(lastCellGradient, (nuint)Rows * (nuint)HiddenStride * sizeof(float));
    }

    /// <inheritdoc/>
    protected override void PlanCell(LayerPlan plan)
    {
        state = new PackedMatrix(plan.Arena, HiddenColumns, GateColumns);
        stateBack = plan.IsTraining ? new PackedMatrix(plan.Arena, GateColumns, HiddenColumns) : null;
        cells = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * HiddenStride);
        cellTanhs = plan.IsTraining && cellNorm is null && !config.Peepholes ? plan.Arena.Floats(plan.MaximumCells * HiddenStride) : null;
        cellGradient = plan.IsTraining ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        lastCellGradient = plan.IsTraining && GivesLastStates ? plan.Arena.Floats((long)plan.MaximumRows * HiddenStride) : null;
        if (plan.HasDocuments)
        {
            enteringCells = plan.Arena.Floats(plan.MaximumCells * HiddenStride);
            begunCells = plan.IsTraining && initialCell is not null ? plan.Arena.Floats(plan.MaximumCells * HiddenStride) : null;
        }

        cellNorm?.Plan(plan);
        peepholes = config.Peepholes ? plan.Arena.Floats(3L * HiddenStride) : null;
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
    protected override void StepForward(int time, int rows, Workspace workspace)
    {
        float* before = CellsBefore(time), after = CellsAt(SlotAfter(time));
        PackedMatrix? recurrent = Recurrent(time, rows, state, workspace);
        if (cellNorm is not null)
        {
            NormalizedLstm.StepForward(rows, Hidden, GatesAt(time), before, after, cellNorm.At(CellAt(time)), StateAfter(time));
        }
        else if (peepholes is null)
        {
            Lstm.StepForward(rows, Hidden, GatesAt(time), ProductInput(time), recurrent, before, after, cellTanhs is null ? null : CellsOf(cellTanhs, time), StateAfter(time), workspace);
        }
        else
        {
            PeepholeLstm.StepForward(rows, Hidden, GatesAt(time), ProductInput(time), recurrent, peepholes, before, after, StateAfter(time), workspace);
        }
    }

    /// <inheritdoc/>
    protected override void BeginBackward()
    {
        nuint bytes = (nuint)Rows * (nuint)HiddenStride * sizeof(float);
        if (lastCellGradient is null)
        {
            NativeMemory.Clear(cellGradient, bytes);
        }
        else
        {
            NativeMemory.Copy(lastCellGradient, cellGradient, bytes);
        }
    }

    /// <inheritdoc/>
    protected override void BeginDocuments(TrainingStep step, int time, int rows)
    {
        base.BeginDocuments(step, time, rows);
        Enter(step, time, rows, CellsAt(time), enteringCells, initial);
    }

    /// <inheritdoc/>
    protected override void ClearBegun()
    {
        base.ClearBegun();
        Clear(begunCells);
    }

    /// <inheritdoc/>
    protected override void EndDocuments(TrainingStep step, int time, int rows)
    {
        base.EndDocuments(step, time, rows);
        Leave(step, time, rows, cellGradient, begunCells);
    }

    /// <inheritdoc/>
    protected override void StepBackward(int time, int rows, Workspace workspace)
    {
        float* before = CellsBefore(time);
        PackedMatrix? way = Way(time, stateBack);
        if (cellNorm is not null)
        {
            long cell = CellAt(time);
            NormalizedLstm.StepBackward(rows, Hidden, GatesAt(time), before, cellNorm.At(cell), cellNorm.GradientAt(cell), GradientAbove(time), StateGradient, cellGradient);
        }
        else if (peepholes is null)
        {
            Lstm.StepBackward(rows, Hidden, GatesAt(time), before, CellsOf(cellTanhs, time), GradientAbove(time), StateGradient, cellGradient, way, workspace);
        }
        else
        {
            PeepholeLstm.StepBackward(rows, Hidden, GatesAt(time), peepholes, before, CellsAt(SlotAfter(time)), GradientAbove(time), StateGradient, cellGradient, way, workspace);
        }

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

    /// <inheritdoc/>
    protected override void CellTensors(TrainingStep step)
    {
        cellNorm?.Tensors(step, Window.Shards);
        if (initialCell is not null)
        {
            InitialGradient(step, initialCell, cellGradient, begunCells);
        }

        if (peepholeWeight is not null)
        {
            PeepholeGradient(step, peepholeWeight);
        }
    }

    // Input and forget gate look at the cells before, the output gate at those after.
    private void PeepholeGradient(TrainingStep step, ParameterTensor weight)
    {
        for (int gate = 0; gate < 3; gate++)
        {
            var columns = new ColumnGroups(1, Hidden, true, (gate < 2 ? gate : 3) * HiddenStride);
            float* seen = gate < 2 ? CellsBefore(0) : CellsAt(SlotAfter(0));
            WeightGradient.ColumnProducts(
                step.Merge, Window.Shards, Gates, GateStride, columns, seen, HiddenStride, step.SubtreeGradients, weight.Offset + ((long)gate * Hidden), step.Workspace, !step.IsEnd);
        }
    }

    private float* CellsBefore(int time) => enteringCells is null ? CellsAt(SlotBefore(time)) : CellsOf(enteringCells, time);

    private float* CellsAt(int slot) => cells + (long)slot * Rows * HiddenStride;
}
