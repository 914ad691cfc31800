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
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>Attention: <c>in_proj_weight</c> [3 E, E], <c>in_proj_bias</c> [3 E], <c>out_proj.weight</c> [E, E], <c>out_proj.bias</c> [E].</summary>
internal sealed unsafe class SelfAttention : ICellMap
{
    private readonly LinearPart projection;
    private readonly LinearPart output;
    private readonly DropoutPart dropout;
    private readonly int width;
    private readonly int stride;
    private readonly int heads;
    private readonly int headWidth;
    private readonly bool isCausal;
    private readonly float scale;
    private AttentionScratch scratch = null!;
    private float* projected; // [T, B, 3 stride]: query, key and value; after the way back their gradients
    private float* results; // [T, B, stride]
    private float* resultGradients; // [T, B, stride]
    private float* statistics; // [T, B, heads, 2]
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
        this.heads = heads;
        this.isCausal = isCausal;
        stride = ColumnGroups.Pad(width);
        headWidth = width / heads;
        scale = (float)(1.0 / Math.Sqrt(headWidth));
        dropout = new DropoutPart(layer, 1, dropoutRate);

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

    /// <summary>Takes the buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="inputs">How E lies in a row of the input.</param>
    /// <param name="hasInputGradient">Whether anybody asks for the input's gradient.</param>
    public void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient)
    {
        projection.Plan(plan, inputs, hasInputGradient);
        output.Plan(plan, ColumnGroups.Padded(width), plan.IsTraining);
        contextTime = plan.ContextTime;
        scratch = new AttentionScratch(plan.Arena, Math.Max(plan.MaximumTime, contextTime), headWidth, plan.IsTraining);
        projected = plan.Arena.Floats(plan.MaximumCells * ProjectedStride);
        results = plan.Arena.Floats(plan.MaximumCells * stride);
        resultGradients = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
        statistics = plan.Arena.Floats(plan.MaximumCells * heads * 2);
        pastKeys = plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
        pastValues = plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
        rearranged = plan.Memory is null ? null : plan.Arena.Floats((long)plan.MaximumRows * contextTime * width);
    }

    /// <summary>Packs new parameters.</summary>
    public void Pack(float* parameters)
    {
        projection.Pack(parameters);
        output.Pack(parameters);
    }

    /// <summary>y = attention(x).</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis: the whole window.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="target">The output's time axis.</param>
    /// <param name="y">[T, B, stride], overwritten in the target's [From, T).</param>
    public void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope target, float* y)
    {
        projection.Forward(input, x, xStride, projected, ProjectedStride, step.Workspace);
        for (int row = 0; row < input.Rows; row++)
        {
            for (int head = 0; head < heads; head++)
            {
                if (step.HasContext)
                {
                    Remember(step, input, row, head);
                }

                if (input.Lengths[row] > target.From)
                {
                    ScaledAttention.Forward(Head(step, input, target, row, head), scratch);
                }
            }
        }

        output.Forward(target, results, stride, y, stride, step.Workspace);
    }

    /// <summary>All gradients.</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis: the whole window.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x, and its gradient, to the next.</param>
    /// <param name="target">The output's time axis.</param>
    /// <param name="dy">[T, B, stride]: dL/dy.</param>
    /// <param name="dx">[T, B, stride]: dL/dx, overwritten or added to in the input's [From, T), or null.</param>
    /// <param name="accumulates">Whether it is added.</param>
    public void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope target, float* dy, float* dx, bool accumulates)
    {
        output.Gradients(step, target, dy, stride, results, stride);
        output.Backward(target, dy, stride, resultGradients, stride, accumulates: false, step.Workspace);
        for (int row = 0; row < input.Rows; row++)
        {
            bool attends = input.Lengths[row] > target.From;
            for (int head = 0; head < heads && attends; head++)
            {
                ScaledAttention.Backward(Head(step, input, target, row, head), scratch);
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

    /// <summary>After <see cref="Forward"/>, before the way back: the weights of the first row, computed again for people.</summary>
    public void ReadMaps(string layer, StepScope input, StepScope target, ICollection<AttentionMap> maps)
    {
        int length = input.Lengths[0];
        nint rowStride = (nint)input.Rows * ProjectedStride;
        for (int head = 0; head < heads; head++)
        {
            float[] weights = new float[length * length]; // [queries, keys]
            for (int query = target.From; query < length; query++)
            {
                float* q = projected + (query * rowStride) + (head * headWidth);
                int keys = isCausal ? query + 1 : length;
                double greatest = double.NegativeInfinity, sum = 0;
                double[] scores = new double[keys];
                for (int key = 0; key < keys; key++)
                {
                    float* k = projected + (key * rowStride) + (head * headWidth) + stride;
                    scores[key] = Sums.Dot(headWidth, q, k) * scale;
                    greatest = Math.Max(greatest, scores[key]);
                }

                for (int key = 0; key < keys; key++)
                {
                    scores[key] = ScalarMath.Exp(scores[key] - greatest);
                    sum += scores[key];
                }

                for (int key = 0; key < keys; key++)
                {
                    weights[(query * length) + key] = (float)(scores[key] / sum);
                }
            }

            maps.Add(new AttentionMap(layer, head, length, weights));
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
                for (int head = 0; head < heads; head++)
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

    void ICellMap.Plan(LayerPlan plan, ColumnGroups inputs) => Plan(plan, inputs, plan.IsTraining);

    void ICellMap.Forward(TrainingStep step, StepScope scope, float* x, int xStride, float* y) => Forward(step, scope, x, xStride, scope, y);

    void ICellMap.Backward(TrainingStep step, StepScope scope, float* x, int xStride, float* dy, float* dx, bool accumulates) => Backward(step, scope, x, xStride, scope, dy, dx, accumulates);

    // The operands of a row's head.
    private AttentionArguments Head(TrainingStep step, StepScope input, StepScope target, int row, int head)
    {
        int first = target.From, length = input.Lengths[row];
        nint rowStride = (nint)input.Rows * ProjectedStride, cell = ((nint)first * input.Rows) + row;
        float* query = projected + ((nint)row * ProjectedStride) + (head * headWidth);
        bool drops = dropout.IsActive(step);
        var arguments = new AttentionArguments
        {
            Queries = length - first,
            Keys = length,
            HeadWidth = headWidth,
            IsCausal = isCausal,
            FirstQuery = first,
            Query = query + (first * rowStride),
            QueryStride = rowStride,
            Key = query + stride,
            Value = query + (2 * stride),
            KeyStride = rowStride,
            Scale = scale,
            Result = results + (cell * stride) + (head * headWidth),
            ResultGradient = resultGradients + (cell * stride) + (head * headWidth),
            ResultStride = (nint)input.Rows * stride,
            Statistics = statistics + (((cell * heads) + head) * 2),
            StatisticsStride = (nint)input.Rows * heads * 2,
            DropThreshold = drops ? Dropout.ThresholdOf(dropout.Rate) : 0,
            KeptScale = Dropout.ScaleOf(dropout.Rate),
            DropKey = drops ? dropout.Key(step).Key : 0,
            Slot = input.SlotOf(row),
            Time = input.StartTime + first,
            FirstElement = head << 20,
        };
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

    private nint Past(int row, int head) => (((nint)row * heads) + head) * contextTime * headWidth;

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
