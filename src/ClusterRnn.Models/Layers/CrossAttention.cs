// Attention of several heads from a decoder to its encoder's outputs, as a part of layers: queries come from the decoder, keys
// and values from the encoder; a row sees all of its source and none of the padding. What nn.MultiheadAttention keeps in one
// in_proj_weight [3 E, E] lies in two tensors here: q_proj is its first third, kv_proj the rest, so that the encoder may have
// another width.
//
// Keys and values are formed once for all time steps, when the encoder has run. On the way back queries, keys and values are
// overwritten with their gradients.
using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>Attention: <c>q_proj.*</c> [E, E], <c>kv_proj.*</c> [2 E, M], <c>out_proj.*</c> [E, E].</summary>
internal sealed unsafe class CrossAttention : ICellMap
{
    private readonly LinearPart query;
    private readonly LinearPart memoryProjection;
    private readonly LinearPart output;
    private readonly AttentionHeads heads;
    private readonly int width;
    private readonly int memoryWidth;
    private readonly int stride;
    private readonly int headWidth;
    private EncodedMemory memory = null!;
    private float* queries; // [T, B, stride]
    private float* pairs; // [S, B, 2 stride]: keys and values

    /// <summary>Names the tensors.</summary>
    /// <param name="layer">The layer whose index keys the dropout.</param>
    /// <param name="dropoutPart">The dropout's number within the layer.</param>
    /// <param name="prefix">The first part of the tensors' names.</param>
    /// <param name="width">E.</param>
    /// <param name="memoryWidth">M.</param>
    /// <param name="heads">How many heads; they divide E.</param>
    /// <param name="dropoutRate">The share of weights that is dropped.</param>
    /// <param name="kernelInitializer">How the weights are drawn.</param>
    public CrossAttention(Layer layer, uint dropoutPart, string prefix, int width, int memoryWidth, int heads, double dropoutRate, InitializerKind kernelInitializer)
    {
        this.width = width;
        this.memoryWidth = memoryWidth;
        this.heads = new AttentionHeads(width, heads, new DropoutPart(layer, dropoutPart, dropoutRate));
        stride = ColumnGroups.Pad(width);
        headWidth = width / heads;
        InitializerKind joint = kernelInitializer == InitializerKind.PyTorch ? InitializerKind.GlorotUniform : kernelInitializer;
        var zero = new Initializer(InitializerKind.Zeros, width, width);

        // The bound is that of the joint projection, as in PyTorch.
        query = new LinearPart($"{prefix}q_proj.weight", $"{prefix}q_proj.bias", width, ColumnGroups.Padded(width), new Initializer(joint, width, 3L * width), zero);
        memoryProjection = new LinearPart($"{prefix}kv_proj.weight", $"{prefix}kv_proj.bias", memoryWidth, ColumnGroups.Gates(2, width), new Initializer(joint, memoryWidth, 3L * width, 2), zero);
        output = new LinearPart($"{prefix}out_proj.weight", $"{prefix}out_proj.bias", width, ColumnGroups.Padded(width), new Initializer(kernelInitializer, width, width), zero);
    }

    /// <summary>The widest operand of its weights' gradients.</summary>
    public int WidestOperand => Math.Max(3 * stride, memoryWidth);

    private int PairStride => 2 * stride;

    /// <summary>Declares the tensors.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        query.Declare(declarations);
        memoryProjection.Declare(declarations);
        output.Declare(declarations);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        query.Bind(layout);
        memoryProjection.Bind(layout);
        output.Bind(layout);
    }

    /// <inheritdoc/>
    public void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient)
    {
        memory = plan.Memory!;
        query.Plan(plan, inputs, hasInputGradient);
        memoryProjection.Plan(plan, memory.Output.Columns, memory.Output.HasGradient);
        output.Plan(plan, ColumnGroups.Padded(width), plan.IsTraining);
        heads.Plan(plan, memory.Output.MaximumTime);
        queries = plan.Arena.Floats(plan.MaximumCells * stride);
        pairs = plan.Arena.Floats((long)memory.Output.MaximumTime * plan.MaximumRows * PairStride);
    }

    /// <inheritdoc/>
    public void Pack(float* parameters)
    {
        query.Pack(parameters);
        memoryProjection.Pack(parameters);
        output.Pack(parameters);
    }

    /// <summary>Forms keys and values of the source.</summary>
    public void ReadMemory(TrainingStep step) =>
        memoryProjection.Forward(memory.Scope, memory.Output.Values, memory.Output.Stride, pairs, PairStride, step.Workspace);

    /// <inheritdoc/>
    public void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* y)
    {
        query.Forward(scope, x, xStride, queries, stride, step.Workspace);
        for (int place = 0; place < scope.Rows; place++)
        {
            if (scope.Lengths[place] == 0)
            {
                continue;
            }

            if (memory.LengthOf(place) == 0)
            {
                Nothing(scope, place); // an empty source: there is nothing to take the mean of
                continue;
            }

            for (int head = 0; head < heads.Count; head++)
            {
                ScaledAttention.Forward(Head(step, scope, place, head), heads.Scratch);
            }
        }

        output.Forward(scope, heads.Results, stride, y, stride, step.Workspace);
    }

    /// <inheritdoc/>
    public void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* dy, float* dx, bool accumulates)
    {
        output.Gradients(step, scope, dy, stride, heads.Results, stride);
        output.Backward(scope, dy, stride, heads.ResultGradients, stride, accumulates: false, step.Workspace);
        for (int place = 0; place < scope.Rows; place++)
        {
            int source = memory.LengthOf(place);
            bool attends = scope.Lengths[place] > 0 && source > 0;
            for (int head = 0; head < heads.Count && attends; head++)
            {
                ScaledAttention.Backward(Head(step, scope, place, head), heads.Scratch);
            }

            for (int time = 0; time < source && !attends; time++)
            {
                new Span<float>(pairs + ((((nint)time * memory.Scope.Rows) + memory.PlaceOf(place)) * PairStride), PairStride).Clear();
            }

            for (int time = 0; time < scope.Lengths[place] && !attends; time++)
            {
                new Span<float>(queries + ((((nint)time * scope.Rows) + place) * stride), stride).Clear();
            }
        }

        Signal outputs = memory.Output;
        memoryProjection.Gradients(step, memory.Scope, pairs, PairStride, outputs.Values, outputs.Stride);
        if (outputs.HasGradient)
        {
            memoryProjection.Backward(memory.Scope, pairs, PairStride, outputs.Gradient, outputs.Stride, accumulates: true, step.Workspace);
        }

        query.Gradients(step, scope, queries, stride, x, xStride);
        if (dx is not null)
        {
            query.Backward(scope, queries, stride, dx, stride, accumulates, step.Workspace);
        }
    }

    /// <summary>After <see cref="Forward"/>, before the way back: the weights of the first row.</summary>
    public void ReadMaps(string layer, TrainingStep step, StepScope scope, ICollection<AttentionMap> maps)
    {
        for (int head = 0; head < heads.Count && scope.Lengths[0] > 0 && memory.LengthOf(0) > 0; head++)
        {
            maps.Add(AttentionMap.Of(layer, head, SequenceSide.Target, SequenceSide.Source, Head(step, scope, 0, head)));
        }
    }

    private void Nothing(StepScope scope, int place)
    {
        for (int time = 0; time < scope.Lengths[place]; time++)
        {
            new Span<float>(heads.Results + ((((nint)time * scope.Rows) + place) * stride), stride).Clear();
        }
    }

    private AttentionArguments Head(TrainingStep step, StepScope scope, int place, int head)
    {
        float* pair = pairs + ((nint)memory.PlaceOf(place) * PairStride) + (head * headWidth);
        AttentionArguments arguments = heads.Arguments(step, scope, place, head, first: 0);
        arguments.Keys = memory.LengthOf(place);
        arguments.Query = queries + ((nint)place * stride) + (head * headWidth);
        arguments.QueryStride = (nint)scope.Rows * stride;
        arguments.Key = pair;
        arguments.Value = pair + stride;
        arguments.KeyStride = (nint)memory.Scope.Rows * PairStride;
        return arguments;
    }
}
