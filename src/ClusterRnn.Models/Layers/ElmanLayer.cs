// Elman's network (Finding structure in time, 1990) in the form in which state and output are both linear in input and
// previous state together:
//
//     h_t = f(i2h [x_t, h_(t-1)])        o_t = i2o [x_t, h_(t-1)]
//
// The pairs [x_t, h_(t-1)] are kept for the whole window; they are the right operand of both weight gradients.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>Elman's network with its output.</summary>
internal sealed unsafe class ElmanLayer(string name, int inputWidth, ElmanConfig config, int outputs) : Layer(name)
{
    private readonly Activation activation = Activations.Of(config.Activation);
    private readonly int hidden = config.Units;
    private readonly int hiddenStride = ColumnGroups.Pad(config.Units);
    private readonly int pairStride = ColumnGroups.Pad(inputWidth + config.Units);
    private readonly int outputStride = ColumnGroups.Pad(outputs);
    private ParameterTensor stateWeight = null!;
    private ParameterTensor stateBias = null!;
    private ParameterTensor outputWeight = null!;
    private ParameterTensor outputBias = null!;
    private PackedMatrix state = null!; // pair -> h, with the bias
    private PackedMatrix output = null!; // pair -> o, with the bias
    private PackedMatrix? stateBack;
    private PackedMatrix? outputBack;
    private float* states; // [T + 1, B, hiddenStride], the incoming one first
    private float* pairs; // [T, B, pairStride]
    private float* pairGradient; // [T, B, pairStride]
    private float* stateGradient; // [T, B, hiddenStride]: of the pre-activations
    private float* carried; // [B, hiddenStride]: the gradient of the state after the step
    private float* outputsOfWindow; // [T, B, outputStride], when only the last step is returned
    private float* outputGradient; // likewise

    private StepScope Window => Input.Scope;

    private int PairWidth => inputWidth + hidden;

    /// <inheritdoc/>
    public override int OutputWidth => outputs;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool ReturnsLast => !config.ReturnSequences;

    /// <inheritdoc/>
    public override int StateWidth => hidden;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        declarations.Add($"{Name}.i2h.weight", new Initializer(config.KernelInitializer, PairWidth, hidden), hidden, PairWidth);
        declarations.Add($"{Name}.i2h.bias", new Initializer(config.BiasInitializer, PairWidth, hidden), hidden);
        declarations.Add($"{Name}.i2o.weight", new Initializer(config.KernelInitializer, PairWidth, outputs), outputs, PairWidth);
        declarations.Add($"{Name}.i2o.bias", new Initializer(config.BiasInitializer, PairWidth, outputs), outputs);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        stateWeight = layout[$"{Name}.i2h.weight"];
        stateBias = layout[$"{Name}.i2h.bias"];
        outputWeight = layout[$"{Name}.i2o.weight"];
        outputBias = layout[$"{Name}.i2o.bias"];
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        ColumnGroups pair = ColumnGroups.Padded(PairWidth);
        Output.Reserve(plan);
        state = new PackedMatrix(plan.Arena, pair, ColumnGroups.Padded(hidden));
        output = new PackedMatrix(plan.Arena, pair, ColumnGroups.Padded(outputs));
        states = plan.Arena.Floats((plan.MaximumTime + 1L) * plan.MaximumRows * hiddenStride);
        pairs = plan.Arena.Floats(plan.MaximumCells * pairStride);
        outputsOfWindow = ReturnsLast ? plan.Arena.Floats(plan.MaximumCells * outputStride) : null;
        if (plan.IsTraining)
        {
            stateBack = new PackedMatrix(plan.Arena, ColumnGroups.Padded(hidden), pair);
            outputBack = new PackedMatrix(plan.Arena, ColumnGroups.Padded(outputs), pair);
            pairGradient = plan.Arena.Floats(plan.MaximumCells * pairStride);
            stateGradient = plan.Arena.Floats(plan.MaximumCells * hiddenStride);
            carried = plan.Arena.Floats((long)plan.MaximumRows * hiddenStride);
            outputGradient = ReturnsLast ? plan.Arena.Floats(plan.MaximumCells * outputStride) : null;
        }
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        state.PackTransposed(parameters + stateWeight.Offset, PairWidth);
        state.SetBias(parameters + stateBias.Offset);
        output.PackTransposed(parameters + outputWeight.Offset, PairWidth);
        output.SetBias(parameters + outputBias.Offset);
        stateBack?.Pack(parameters + stateWeight.Offset, PairWidth);
        outputBack?.Pack(parameters + outputWeight.Offset, PairWidth);
    }

    /// <inheritdoc/>
    public override void LoadState(float* from, nint stride)
    {
        for (int row = 0; row < Window.Rows; row++)
        {
            var target = new Span<float>(states + (long)row * hiddenStride, hiddenStride);
            target.Clear();
            if (from is not null)
            {
                new ReadOnlySpan<float>(from + row * stride, hidden).CopyTo(target);
            }
        }
    }

    /// <inheritdoc/>
    public override void StoreState(int time, float* into, nint stride)
    {
        for (int row = 0; row < Window.Rows; row++)
        {
            State(Math.Min(time, Window.Time), row)[..hidden].CopyTo(new Span<float>(into + row * stride, hidden));
        }
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        int rows = Window.Rows;
        for (int time = 0; time < Window.Time; time++)
        {
            for (int row = 0; row < rows; row++)
            {
                Span<float> pair = Row(pairs, pairStride, time, row);
                new ReadOnlySpan<float>(Input.At(time) + (long)row * Input.Stride, inputWidth).CopyTo(pair);
                State(time, row)[..hidden].CopyTo(pair[inputWidth..]);
            }

            float* after = states + (time + 1L) * rows * hiddenStride;
            Product.Multiply(rows, pairs + (long)time * rows * pairStride, pairStride, state, after, hiddenStride, ProductStart.Bias, step.Workspace);
            ElementwiseFunctions.Forward(activation, (long)rows * hiddenStride, after, after);
            for (int row = 0; Window.IsRagged && row < rows; row++)
            {
                if (time >= Window.Lengths[row])
                {
                    State(time, row).CopyTo(State(time + 1, row));
                }
            }
        }

        float* into = ReturnsLast ? outputsOfWindow : Output.Values;
        int from = ReturnsLast ? 0 : Output.Scope.From, cells = (Window.Time - from) * rows;
        long first = (long)from * rows;
        Product.Multiply(cells, pairs + first * pairStride, pairStride, output, into + first * outputStride, outputStride, ProductStart.Bias, step.Workspace);
        for (int row = 0; ReturnsLast && row < rows; row++)
        {
            int last = LastTime(step, row);
            if ((uint)last < (uint)Window.Time)
            {
                Row(outputsOfWindow, outputStride, last, row).CopyTo(Row(Output.Values, outputStride, 0, row));
            }
        }
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        int rows = Window.Rows, from = ReturnsLast ? 0 : Output.Scope.From, cells = (Window.Time - from) * rows;
        float* above = Output.Gradient;
        if (ReturnsLast)
        {
            above = outputGradient;
            Clear(above, (long)Window.Cells * outputStride);
            for (int row = 0; row < rows; row++)
            {
                int last = LastTime(step, row);
                if (Window.Lengths[row] > 0 && (uint)last < (uint)Window.Time)
                {
                    Row(Output.Gradient, outputStride, 0, row).CopyTo(Row(above, outputStride, last, row));
                }
            }
        }

        long first = (long)from * rows;
        Clear(pairGradient, first * pairStride);
        Product.Multiply(cells, above + first * outputStride, outputStride, outputBack!, pairGradient + first * pairStride, pairStride, ProductStart.Zero, step.Workspace, flush: true);
        if (step.IsEnd)
        {
            Clear(carried, (long)rows * hiddenStride);
        }

        for (int time = Window.Time - 1; time >= 0; time--)
        {
            float* gradient = stateGradient + (long)time * rows * hiddenStride;
            ElementwiseFunctions.Backward(activation, (long)rows * hiddenStride, states + (time + 1L) * rows * hiddenStride, carried, gradient);
            for (int row = 0; Window.IsRagged && row < rows; row++)
            {
                if (time >= Window.Lengths[row])
                {
                    Row(stateGradient, hiddenStride, time, row).Clear();
                }
            }

            float* pair = pairGradient + (long)time * rows * pairStride;
            Product.Multiply(rows, gradient, hiddenStride, stateBack!, pair, pairStride, ProductStart.Accumulate, step.Workspace, flush: true);
            for (int row = 0; row < rows; row++)
            {
                if (time < Window.Lengths[row])
                {
                    Row(pairGradient, pairStride, time, row).Slice(inputWidth, hidden).CopyTo(Row(carried, hiddenStride, 0, row));
                }

                if (Input.HasGradient)
                {
                    Row(pairGradient, pairStride, time, row)[..inputWidth].CopyTo(new Span<float>(Input.GradientAt(time) + (long)row * Input.Stride, inputWidth));
                }
            }
        }

        ColumnGroups columns = ColumnGroups.Padded(PairWidth);
        Gradient(step, Window.Shards, stateGradient, hiddenStride, ColumnGroups.Padded(hidden), columns, stateWeight, stateBias);
        Gradient(step, ReturnsLast ? Window.Shards : Output.Scope.Shards, above, outputStride, ColumnGroups.Padded(outputs), columns, outputWeight, outputBias);
    }

    private static void Clear(float* values, long count) => NativeMemory.Clear(values, (nuint)count * sizeof(float));

    private void Gradient(TrainingStep step, ShardRows cells, float* gradient, int stride, ColumnGroups rows, ColumnGroups columns, ParameterTensor weight, ParameterTensor bias)
    {
        WeightGradient.Compute(step.Merge, cells, gradient, stride, rows, pairs, pairStride, columns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd, bias.Offset);
    }

    // A row's last time step; outside the segment if it lies in another one.
    private int LastTime(TrainingStep step, int row) => Math.Max(0, (Window.IsShortened ? Window.Lengths[row] : step.RowOrder.Lengths[row]) - 1) - Window.Start;

    private Span<float> State(int slot, int row) => Row(states, hiddenStride, slot, row);

    private Span<float> Row(float* buffer, int stride, int time, int row) => new(buffer + ((long)time * Window.Rows + row) * stride, stride);
}
