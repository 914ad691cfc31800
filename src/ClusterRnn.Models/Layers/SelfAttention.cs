// Self-attention of several heads as a part of layers, with the tensors of PyTorch's nn.MultiheadAttention: the projection
// of each cell to query, key and value in one product, attention row by row and head by head, the projection of the heads'
// results. Rows never couple; a row's padding is neither a query nor a key.
//
// Queries are computed for all of the window, results from the output's first time step on: what lies before has keys and
// values only. On the way back the projections' buffer is overwritten with its own gradient.
//
// A context (ModelExecutor.Continue) keeps keys and values of the time steps computed before, head by head: a new time
// step attends to them with the operations, in the order, of the whole window.
using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>Attention: <c>in_proj_weight</c> [3 E, E], <c>in_proj_bias</c> [3 E], <c>out_proj.weight</c> [E, E], <c>out_proj.bias</c> [E].</summary>
internal sealed unsafe class SelfAttention : ICellMap
{
    private readonly LinearPart projection;
    private readonly LinearPart output;
    private readonly AttentionHeads heads;
    private readonly int width;
    private readonly int stride;
    private readonly int headWidth;
    private readonly bool isCausal;
    private float* projected; // [T, B, 3 stride]: query, key and value; after the way back their gradients
    private float* pastKeys; // [B, heads, context, head width]
    private float* pastValues; // [B, heads, context, head width]
    private float* rearranged; // [B, heads, context, head width]: room to reorder either
    private int contextTime;

    /// <summary>Names the tensors.</summary>
    /// <param name="layer">The layer whose index keys the dropout.</param>
    /// <param name="prefix">The first part of the tensors' names.</param>
    /// <param name="width">E.</param>
    /// <param name="heads">How many heads; they divide E.</param>
    /// <param name="isCausal">Whether a time step sees itself and earlier ones alone.</param>
    /// <param name="dropoutRate">The share of weights that is dropped.</param>
    /// <param name="kernelInitializer">How the weights are drawn.</param>
    public SelfAttention(Layer layer, string prefix, int width, int heads, bool isCausal, double dropoutRate, InitializerKind kernelInitializer)
    {
        this.width = width;
        this.isCausal = isCausal;
        this.heads = new AttentionHeads(width, heads, new DropoutPart(layer, 1, dropoutRate));
        stride = ColumnGroups.Pad(width);
        headWidth = width / heads;

        // PyTorch draws the joint projection by Glorot's rule and leaves both biases at zero.
        InitializerKind joint = kernelInitializer == InitializerKind.PyTorch ? InitializerKind.GlorotUniform : kernelInitializer;
        var zero = new Initializer(InitializerKind.Zeros, width, width);
        projection = new LinearPart($"{prefix}in_proj_weight", $"{prefix}in_proj_bias", width, ColumnGroups.Gates(3, width), new Initializer(joint, width, 3L * width, 3), zero);
        output = new LinearPart($"{prefix}out_proj.weight", $"{prefix}out_proj.bias", width, ColumnGroups.Padded(width), new Initializer(kernelInitializer, width, width), zero);
    }

    private int ProjectedStride => 3 * stride;

    /// <summary>Declares the tensors.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        projection.Declare(declarations);
        output.Declare(declarations);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        projection.Bind(layout);
        output.Bind(layout);
    }

    /// <inheritdoc/>
    public void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient)
    {
        projection.Plan(plan, inputs, hasInputGradient);
        output.Plan(plan, ColumnGroups.Padded(width), plan.IsTraining);
        contextTime = plan.ContextTime;
        heads.Plan(plan, Math.Max(plan.MaximumTime, contextTime));
        projected = plan.Arena.Floats(plan.MaximumCells * ProjectedStride);
        pastKeys = plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
        pastValues = plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
        rearranged = plan.Memory is null ? null : plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
    }

    /// <inheritdoc/>
    public void Pack(float* parameters)
    {
        projection.Pack(parameters);
        output.Pack(parameters);
    }

    /// <inheritdoc/>
    public void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope target, float* y)
    {
        projection.Forward(input, x, xStride, projected, ProjectedStride, step.Workspace);
        for (int row = 0; row < input.Rows; row++)
        {
            for (int head = 0; head < heads.Count; head++)
            {
                if (step.HasContext)
                {
                    Remember(step, input, row, head);
                }

                if (input.Lengths[row] > target.From)
                {
                    ScaledAttention.Forward(Head(step, input, target, row, head), heads.Scratch);
                }
            }
        }

        output.Forward(target, heads.Results, stride, y, stride, step.Workspace);
    }

    /// <inheritdoc/>
    public void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope target, float* dy, float* dx, bool accumulates)
    {
        output.Gradients(step, target, dy, stride, heads.Results, stride);
        output.Backward(target, dy, stride, heads.ResultGradients, stride, accumulates: false, step.Workspace);
        for (int row = 0; row < input.Rows; row++)
        {
            bool attends = input.Lengths[row] > target.From;
            for (int head = 0; head < heads.Count && attends; head++)
            {
                ScaledAttention.Backward(Head(step, input, target, row, head), heads.Scratch);
            }

            for (int time = 0; time < Math.Min(target.From, input.Lengths[row]); time++)
            {
                // What comes before the first result has no gradient as a query, and none at all where nobody attends to it.
                float* cell = projected + (((nint)time * input.Rows) + row) * ProjectedStride;
                new Span<float>(cell, attends ? stride : ProjectedStride).Clear();
            }
        }

        projection.Gradients(step, input, projected, ProjectedStride, x, xStride);
        if (dx is not null)
        {
            projection.Backward(input, projected, ProjectedStride, dx, xStride, accumulates, step.Workspace);
        }
    }

    /// <summary>After <see cref="Forward"/>, before the way back: the weights of the first row.</summary>
    public void ReadMaps(Layer layer, TrainingStep step, StepScope input, StepScope target, ICollection<AttentionMap> maps)
    {
        SequenceSide side = layer.IsDecoder ? SequenceSide.Target : SequenceSide.Source;
        for (int head = 0; head < heads.Count && input.Lengths[0] > target.From; head++)
        {
            maps.Add(AttentionMap.Of(layer.Name, head, side, side, Head(step, input, target, 0, head)));
        }
    }

    /// <summary>Lets each row go on from the time steps kept of another; in a decoder only.</summary>
    /// <param name="from">[rows]: whose.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="time">Time steps that are kept.</param>
    public void Reorder(int* from, int rows, int time)
    {
        for (int pass = 0; pass < 2; pass++)
        {
            for (int row = 0; row < rows; row++)
            {
                for (int head = 0; head < heads.Count; head++)
                {
                    int floats = time * headWidth;
                    new ReadOnlySpan<float>(pastKeys + Past(from[row], head), floats).CopyTo(new Span<float>(rearranged + Past(row, head), floats));
                }
            }

            float* used = pastKeys;
            pastKeys = pastValues;
            pastValues = rearranged; // after two turns keys are keys again
            rearranged = used;
        }
    }

    // The operands of a row's head.
    private AttentionArguments Head(TrainingStep step, StepScope input, StepScope target, int row, int head)
    {
        int first = target.From, length = input.Lengths[row];
        nint rowStride = (nint)input.Rows * ProjectedStride;
        float* query = projected + ((nint)row * ProjectedStride) + (head * headWidth);
        AttentionArguments arguments = heads.Arguments(step, input, row, head, first);
        arguments.Keys = length;
        arguments.IsCausal = isCausal;
        arguments.FirstQuery = first;
        arguments.Query = query + (first * rowStride);
        arguments.QueryStride = rowStride;
        arguments.Key = query + stride;
        arguments.Value = query + (2 * stride);
        arguments.KeyStride = rowStride;
        if (step.HasContext)
        {
            arguments.Keys += step.PastTime;
            arguments.FirstQuery += step.PastTime;
            arguments.Key = pastKeys + Past(row, head);
            arguments.Value = pastValues + Past(row, head);
            arguments.KeyStride = headWidth;
        }

        return arguments;
    }

    private nint Past(int row, int head) => (((nint)row * heads.Count) + head) * contextTime * headWidth;

    // Adds a row's new keys and values to the context.
    private void Remember(TrainingStep step, StepScope input, int row, int head)
    {
        for (int time = 0; time < input.Time; time++)
        {
            float* cell = projected + ((((nint)time * input.Rows) + row) * ProjectedStride) + (head * headWidth);
            nint at = Past(row, head) + ((nint)(step.PastTime + time) * headWidth);
            new ReadOnlySpan<float>(cell + stride, headWidth).CopyTo(new Span<float>(pastKeys + at, headWidth));
            new ReadOnlySpan<float>(cell + (2 * stride), headWidth).CopyTo(new Span<float>(pastValues + at, headWidth));
        }
    }
}
