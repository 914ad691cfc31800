// Attention of a recurrent decoder to its encoder's outputs, as Luong, Pham and Manning (2015) place it: the state h of a time step
// scores the outputs, c is their mean by the softmax of the scores, and the result is tanh(W_c [c, h] + b_c). It couples no time
// steps, so all of them are computed together; the recurrent layer below doesn't read the result (no input feeding).
//
// Scores dot and general run on the products' tiles with the outputs as keys and values; the additive score (Bahdanau, Cho and
// Bengio 2015) has a kernel of its own. A row sees all of its source and none of the padding.
using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>
/// Attention with one head: <c>combine.*</c> [U, M + I]; for the score general <c>query.*</c> [M, I]; for the additive one <c>query.*</c> [A, I],
/// <c>key.*</c> [A, M] and <c>score.weight</c> [A].
/// </summary>
internal sealed unsafe class CrossAttentionLayer : Layer
{
    private readonly AttentionScore score;
    private readonly int inputWidth;
    private readonly int memoryWidth;
    private readonly int queryWidth;
    private readonly int queryStride;
    private readonly int valueStride;
    private readonly int joinedWidth;
    private readonly int joinedStride;
    private readonly int units;
    private readonly LinearPart? query;
    private readonly LinearPart? key;
    private readonly LinearPart combine;
    private readonly Initializer vectorInitializer;
    private ParameterTensor? vector;
    private float* vectorValues; // [A], in the flat vector
    private EncodedMemory memory = null!;
    private AttentionScratch scaledScratch = null!;
    private AdditiveScratch additiveScratch = null!;
    private float* queries; // [T, B, queryStride]: as they are scored, on the way back their gradients
    private float* pairs; // [S, B, 2 valueStride]: the outputs twice, as keys and values, on the way back their gradients
    private float* keys; // [S, B, queryStride]: for the additive score, likewise
    private float* joined; // [T, B, joinedStride]: c, h
    private float* joinedGradient; // [T, B, joinedStride]
    private float* statistics; // [T, B, 2]
    private float* weights; // [T, B, weightStride]: for the additive score
    private float* vectorGradients; // [T, B, queryStride]: what each cell adds to v's gradient
    private int weightStride;

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="inputWidth">I: h's width.</param>
    /// <param name="memoryWidth">M: the width of the encoder's outputs.</param>
    /// <param name="config">Its configuration.</param>
    public CrossAttentionLayer(string name, int inputWidth, int memoryWidth, CrossAttentionConfig config)
        : base(name)
    {
        score = config.Score;
        this.inputWidth = inputWidth;
        this.memoryWidth = memoryWidth;
        units = config.Units ?? inputWidth;
        queryWidth = score == AttentionScore.Additive ? config.ScoreUnits ?? inputWidth : memoryWidth;
        queryStride = ColumnGroups.Pad(queryWidth);
        valueStride = ColumnGroups.Pad(memoryWidth);
        joinedWidth = memoryWidth + inputWidth;
        joinedStride = ColumnGroups.Pad(joinedWidth);
        query = score == AttentionScore.Dot ? null : Linear("query", inputWidth, queryWidth);
        key = score == AttentionScore.Additive ? Linear("key", memoryWidth, queryWidth) : null;
        combine = Linear("combine", joinedWidth, units);
        vectorInitializer = new Initializer(config.KernelInitializer == InitializerKind.Orthogonal ? InitializerKind.PyTorch : config.KernelInitializer, queryWidth, 1);

        LinearPart Linear(string part, int inputs, int outputs)
        {
            var rule = new Initializer(config.KernelInitializer, inputs, outputs);
            return new LinearPart($"{name}.{part}.weight", $"{name}.{part}.bias", inputs, ColumnGroups.Padded(outputs), rule, config.KernelInitializer == InitializerKind.Orthogonal ? Initializer.Of(0.0) : rule);
        }
    }

    /// <inheritdoc/>
    public override int OutputWidth => units;

    /// <inheritdoc/>
    public override int WidestOperand => Math.Max(joinedStride, Math.Max(2 * valueStride, queryStride));

    private int PairStride => 2 * valueStride;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        query?.Declare(declarations);
        key?.Declare(declarations);
        if (key is not null)
        {
            declarations.Add($"{Name}.score.weight", vectorInitializer, queryWidth);
        }

        combine.Declare(declarations);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        query?.Bind(layout);
        key?.Bind(layout);
        combine.Bind(layout);
        vector = layout.Find($"{Name}.score.weight");
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        memory = plan.Memory!;
        int most = memory.Output.MaximumTime;
        long sourceCells = (long)most * plan.MaximumRows;
        bool isTraining = plan.IsTraining;
        query?.Plan(plan, Input.Columns, isTraining && Input.HasGradient);
        key?.Plan(plan, memory.Output.Columns, memory.Output.HasGradient);
        combine.Plan(plan, ColumnGroups.Padded(joinedWidth), isTraining);
        queries = plan.Arena.Floats(plan.MaximumCells * queryStride);
        joined = plan.Arena.Floats(plan.MaximumCells * joinedStride);
        joinedGradient = isTraining ? plan.Arena.Floats(plan.MaximumCells * joinedStride) : null;
        if (key is null)
        {
            scaledScratch = new AttentionScratch(plan.Arena, most, memoryWidth, isTraining);
            pairs = plan.Arena.Floats(sourceCells * PairStride);
            statistics = plan.Arena.Floats(plan.MaximumCells * 2);
            return;
        }

        additiveScratch = new AdditiveScratch(plan.Arena, most, queryWidth, isTraining);
        weightStride = ColumnGroups.Pad(most);
        keys = plan.Arena.Floats(sourceCells * queryStride);
        weights = plan.Arena.Floats(plan.MaximumCells * weightStride);
        vectorGradients = isTraining ? plan.Arena.Floats(plan.MaximumCells * queryStride) : null;
        pairs = isTraining ? plan.Arena.Floats(sourceCells * valueStride) : null; // the values' gradients alone
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        query?.Pack(parameters);
        key?.Pack(parameters);
        combine.Pack(parameters);
        vectorValues = vector is null ? null : parameters + vector.Offset;
    }

    /// <inheritdoc/>
    public override void ReadMemory(TrainingStep step)
    {
        Signal outputs = memory.Output;
        if (key is not null)
        {
            key.Forward(memory.Scope, outputs.Values, outputs.Stride, keys, queryStride, step.Workspace);
            return;
        }

        for (int time = 0; time < memory.Scope.Time; time++)
        {
            for (int place = 0, rows = memory.Scope.RowsAt(time); place < rows; place++)
            {
                nint cell = ((nint)time * memory.Scope.Rows) + place;
                var values = new ReadOnlySpan<float>(outputs.Values + (cell * outputs.Stride), memoryWidth);
                values.CopyTo(new Span<float>(pairs + (cell * PairStride), memoryWidth));
                values.CopyTo(new Span<float>(pairs + (cell * PairStride) + valueStride, memoryWidth));
            }
        }
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        query?.Forward(scope, Input.Values, Input.Stride, queries, queryStride, step.Workspace);
        for (int time = 0; time < scope.Time; time++)
        {
            for (int place = 0, rows = scope.RowsAt(time); place < rows; place++)
            {
                nint cell = ((nint)time * scope.Rows) + place;
                var h = new ReadOnlySpan<float>(Input.Values + (cell * Input.Stride), inputWidth);
                h.CopyTo(new Span<float>(joined + (cell * joinedStride) + memoryWidth, inputWidth));
                if (query is null)
                {
                    h.CopyTo(new Span<float>(queries + (cell * queryStride), inputWidth));
                }

                if (memory.LengthOf(place) == 0)
                {
                    new Span<float>(joined + (cell * joinedStride), memoryWidth).Clear(); // an empty source: there is nothing to take the mean of
                }
            }
        }

        for (int place = 0; place < scope.Rows; place++)
        {
            if (scope.Lengths[place] > 0 && memory.LengthOf(place) > 0)
            {
                if (key is null)
                {
                    ScaledAttention.Forward(Scaled(scope, place), scaledScratch);
                }
                else
                {
                    AdditiveAttention.Forward(Additive(scope, place), additiveScratch);
                }
            }
        }

        combine.Forward(scope, joined, joinedStride, Output.Values, Output.Stride, step.Workspace);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            float* y = Output.At(time);
            ElementwiseFunctions.Forward(Activation.Tanh, (long)cells * Output.Stride, y, y);
        }

        scope.ClearEnded(Output.Values, Output.Stride);
    }

    /// <inheritdoc/>
    public override void ReadAttention(TrainingStep step, ICollection<AttentionMap> maps)
    {
        if (Output.Scope.Lengths[0] == 0 || memory.LengthOf(0) == 0)
        {
            return;
        }

        if (key is null)
        {
            maps.Add(AttentionMap.Of(Name, 0, SequenceSide.Target, SequenceSide.Source, Scaled(Output.Scope, 0)));
            return;
        }

        int queryCount = Output.Scope.Lengths[0], keyCount = memory.LengthOf(0);
        float[] copy = new float[queryCount * keyCount];
        for (int time = 0; time < queryCount; time++)
        {
            new ReadOnlySpan<float>(weights + ((nint)time * Output.Scope.Rows * weightStride), keyCount).CopyTo(copy.AsSpan(time * keyCount));
        }

        maps.Add(new AttentionMap(Name, 0, SequenceSide.Target, SequenceSide.Source, queryCount, keyCount, copy));
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        float* gradient = Output.Gradient;
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            float* dy = Output.GradientAt(time);
            ElementwiseFunctions.Backward(Activation.Tanh, (long)cells * Output.Stride, Output.At(time), dy, dy);
        }

        combine.Gradients(step, scope, gradient, Output.Stride, joined, joinedStride);
        combine.Backward(scope, gradient, Output.Stride, joinedGradient, joinedStride, accumulates: false, step.Workspace);
        ClearPairs();
        for (int place = 0; place < scope.Rows; place++)
        {
            int length = scope.Lengths[place];
            if (length > 0 && memory.LengthOf(place) > 0)
            {
                if (key is null)
                {
                    ScaledAttention.Backward(Scaled(scope, place), scaledScratch);
                }
                else
                {
                    AdditiveAttention.Backward(Additive(scope, place), additiveScratch);
                }

                continue;
            }

            for (int time = 0; time < length; time++)
            {
                nint cell = ((nint)time * scope.Rows) + place;
                new Span<float>(queries + (cell * queryStride), queryStride).Clear();
                if (key is not null)
                {
                    new Span<float>(vectorGradients + (cell * queryStride), queryStride).Clear();
                }
            }
        }

        MemoryGradient(step);
        query?.Gradients(step, scope, queries, queryStride, Input.Values, Input.Stride);
        if (vector is not null)
        {
            WeightGradient.ColumnSums(step.Merge, scope.Shards, vectorGradients, queryStride, ColumnGroups.Padded(queryWidth), step.SubtreeGradients, vector.Offset, step.Workspace, !step.IsEnd);
        }

        if (Input.HasGradient)
        {
            InputGradient(step, scope);
        }
    }

    // Rows that nobody attends to, and with the additive score all values, start from +0.
    private void ClearPairs()
    {
        StepScope source = memory.Scope;
        for (int place = 0; place < Output.Scope.Rows; place++)
        {
            if (key is null && Output.Scope.Lengths[place] > 0)
            {
                continue;
            }

            for (int time = 0, at = memory.PlaceOf(place); time < source.Lengths[at]; time++)
            {
                nint cell = ((nint)time * source.Rows) + at;
                int stride = key is null ? PairStride : valueStride;
                new Span<float>(pairs + (cell * stride), stride).Clear();
                if (key is not null && Output.Scope.Lengths[place] == 0)
                {
                    new Span<float>(keys + (cell * queryStride), queryStride).Clear();
                }
            }
        }
    }

    private void MemoryGradient(TrainingStep step)
    {
        Signal outputs = memory.Output;
        StepScope source = memory.Scope;
        key?.Gradients(step, source, keys, queryStride, outputs.Values, outputs.Stride);
        if (!outputs.HasGradient)
        {
            return;
        }

        int stride = key is null ? PairStride : valueStride;
        for (int time = 0; time < source.Time; time++)
        {
            for (int place = 0, rows = source.RowsAt(time); place < rows; place++)
            {
                nint cell = ((nint)time * source.Rows) + place;
                float* into = outputs.Gradient + (cell * outputs.Stride), from = pairs + (cell * stride);
                ElementwiseFunctions.Add(memoryWidth, into, from, into);
                if (key is null)
                {
                    ElementwiseFunctions.Add(memoryWidth, into, from + valueStride, into);
                }
            }
        }

        key?.Backward(source, keys, queryStride, outputs.Gradient, outputs.Stride, accumulates: true, step.Workspace);
    }

    private void InputGradient(TrainingStep step, StepScope scope)
    {
        for (int time = 0; time < scope.Time; time++)
        {
            for (int place = 0, rows = scope.RowsAt(time); place < rows; place++)
            {
                nint cell = ((nint)time * scope.Rows) + place;
                float* into = Input.Gradient + (cell * Input.Stride), direct = joinedGradient + (cell * joinedStride) + memoryWidth;
                if (query is null)
                {
                    ElementwiseFunctions.Add(inputWidth, direct, queries + (cell * queryStride), into);
                }
                else
                {
                    new ReadOnlySpan<float>(direct, inputWidth).CopyTo(new Span<float>(into, inputWidth));
                }
            }
        }

        query?.Backward(scope, queries, queryStride, Input.Gradient, Input.Stride, accumulates: true, step.Workspace);
        scope.ClearEnded(Input.Gradient, Input.Stride);
    }

    private AttentionArguments Scaled(StepScope scope, int place)
    {
        float* pair = pairs + ((nint)memory.PlaceOf(place) * PairStride);
        return new AttentionArguments
        {
            Queries = scope.Lengths[place],
            Keys = memory.LengthOf(place),
            HeadWidth = memoryWidth,
            Query = queries + ((nint)place * queryStride),
            QueryStride = (nint)scope.Rows * queryStride,
            Key = pair,
            Value = pair + valueStride,
            KeyStride = (nint)memory.Scope.Rows * PairStride,
            Scale = 1f,
            Result = joined + ((nint)place * joinedStride),
            ResultGradient = joinedGradient + ((nint)place * joinedStride),
            ResultStride = (nint)scope.Rows * joinedStride,
            Statistics = statistics + ((nint)place * 2),
            StatisticsStride = (nint)scope.Rows * 2,
        };
    }

    private AdditiveArguments Additive(StepScope scope, int place)
    {
        Signal outputs = memory.Output;
        int source = memory.PlaceOf(place);
        return new AdditiveArguments
        {
            Queries = scope.Lengths[place],
            Keys = memory.LengthOf(place),
            Width = queryWidth,
            ValueWidth = memoryWidth,
            Query = queries + ((nint)place * queryStride),
            QueryStride = (nint)scope.Rows * queryStride,
            Key = keys + ((nint)source * queryStride),
            KeyStride = (nint)memory.Scope.Rows * queryStride,
            Value = outputs.Values + ((nint)source * outputs.Stride),
            ValueGradient = pairs + ((nint)source * valueStride),
            ValueStride = (nint)memory.Scope.Rows * outputs.Stride,
            Vector = vectorValues,
            VectorGradient = vectorGradients + ((nint)place * queryStride),
            VectorGradientStride = (nint)scope.Rows * queryStride,
            Weights = weights + ((nint)place * weightStride),
            WeightStride = (nint)scope.Rows * weightStride,
            Result = joined + ((nint)place * joinedStride),
            ResultGradient = joinedGradient + ((nint)place * joinedStride),
            ResultStride = (nint)scope.Rows * joinedStride,
        };
    }
}
