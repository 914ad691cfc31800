// One layer of a Transformer's encoder (Vaswani et al., Attention is all you need, 2017), with the tensors and the
// arithmetic of PyTorch's nn.TransformerEncoderLayer. With the norm before (Xiong et al. 2020):
//
//     middle = x + dropout(attention(norm1(x)))
//     y = middle + dropout(linear2(dropout(f(linear1(norm2(middle))))))
//
// and with the norm after, as first published:
//
//     middle = norm1(x + dropout(attention(x)))
//     y = norm2(middle + dropout(linear2(dropout(f(linear1(middle))))))
//
// Keys and values are computed for the whole window, everything else from the output's first time step on.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>
/// Attention and a feed-forward network, each with a residual way around it: <c>self_attn.*</c> as in nn.MultiheadAttention,
/// <c>linear1.*</c> [F, E], <c>linear2.*</c> [E, F], <c>norm1.*</c> and <c>norm2.*</c> [E].
/// </summary>
internal sealed unsafe class TransformerLayer : Layer
{
    // Cells that go through the feed-forward network together, so that its wide rows stay in L2: whole tiles of the products.
    private const int NearCells = 98;

    private readonly TransformerConfig config;
    private readonly int width;
    private readonly int stride;
    private readonly int innerWidth;
    private readonly int innerStride;
    private readonly SelfAttention attention;
    private readonly LinearPart first;
    private readonly LinearPart second;
    private readonly Normalization firstNorm;
    private readonly Normalization secondNorm;
    private readonly DropoutPart attentionDropout;
    private readonly DropoutPart innerDropout;
    private readonly DropoutPart outputDropout;
    private float* normal; // [T, B, stride]: norm1(x), or norm1(sum)
    private float* sum; // [T, B, stride]: x + attention
    private float* secondNormal; // [T, B, stride]: norm2(sum); with the norm after, what norm2 is given
    private float* branch; // [T, B, stride]: what a branch adds
    private float* inner; // [T, B, innerStride]: linear1, then the function's derivative (its values for relu)
    private float* active; // [T, B, innerStride]: the function's values
    private float* branchGradient; // [T, B, stride]
    private float* sumGradient; // [T, B, stride]
    private float* innerGradient; // [T, B, innerStride]

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="width">E.</param>
    /// <param name="config">The stack's configuration.</param>
    public TransformerLayer(string name, int width, TransformerConfig config)
        : base(name)
    {
        this.config = config;
        this.width = width;
        stride = ColumnGroups.Pad(width);
        innerWidth = config.Units ?? 4 * width;
        innerStride = ColumnGroups.Pad(innerWidth);
        attention = new SelfAttention(this, $"{name}.self_attn.", width, config.Heads, config.Causal, config.Dropout, config.KernelInitializer);
        first = Linear("linear1", width, innerWidth);
        second = Linear("linear2", innerWidth, width);
        firstNorm = new Normalization($"{name}.norm1", width, config.Epsilon);
        secondNorm = new Normalization($"{name}.norm2", width, config.Epsilon);
        attentionDropout = new DropoutPart(this, 2, config.Dropout);
        innerDropout = new DropoutPart(this, 3, config.Dropout);
        outputDropout = new DropoutPart(this, 4, config.Dropout);

        LinearPart Linear(string part, int inputs, int outputs) => new(
            $"{name}.{part}.weight", $"{name}.{part}.bias", inputs, ColumnGroups.Padded(outputs), new Initializer(config.KernelInitializer, inputs, outputs), new Initializer(config.BiasInitializer, inputs, outputs));
    }

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool NeedsContext => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => !config.Causal;

    /// <inheritdoc/>
    public override int WidestOperand => Math.Max(width, innerWidth);

    private bool NormsFirst => config.Norm == NormPlace.Pre;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        attention.Declare(declarations);
        first.Declare(declarations);
        second.Declare(declarations);
        firstNorm.Declare(declarations);
        secondNorm.Declare(declarations);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        attention.Bind(layout);
        first.Bind(layout);
        second.Bind(layout);
        firstNorm.Bind(layout);
        secondNorm.Bind(layout);
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        ColumnGroups padded = ColumnGroups.Padded(width);
        attention.Plan(plan, NormsFirst ? padded : Input.Columns, plan.IsTraining && (NormsFirst || Input.HasGradient));
        first.Plan(plan, padded, plan.IsTraining);
        second.Plan(plan, ColumnGroups.Padded(innerWidth), plan.IsTraining);
        firstNorm.Plan(plan);
        secondNorm.Plan(plan);
        normal = Cells(stride);
        sum = Cells(stride);
        secondNormal = Cells(stride);
        branch = Cells(stride);
        inner = Cells(innerStride);
        active = config.Activation == TransformerActivation.Relu ? inner : Cells(innerStride);
        branchGradient = plan.IsTraining ? Cells(stride) : null;
        sumGradient = plan.IsTraining ? Cells(stride) : null;
        innerGradient = plan.IsTraining ? Cells(innerStride) : null;

        float* Cells(int floats) => plan.Arena.Floats(plan.MaximumCells * floats);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        attention.Pack(parameters);
        first.Pack(parameters);
        second.Pack(parameters);
        firstNorm.Pack(parameters);
        secondNorm.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope window = Input.Scope, scope = Output.Scope;
        if (NormsFirst)
        {
            firstNorm.Forward(window, Input.Values, Input.Stride, normal, stride);
            attention.Forward(step, window, normal, stride, scope, branch);
            AddAround(step, attentionDropout, Input.Values, Input.Stride, sum);
            secondNorm.Forward(scope, sum, stride, secondNormal, stride);
            FeedForward(step, secondNormal);
            AddAround(step, outputDropout, sum, stride, Output.Values);
            return;
        }

        attention.Forward(step, window, Input.Values, Input.Stride, scope, branch);
        AddAround(step, attentionDropout, Input.Values, Input.Stride, sum);
        firstNorm.Forward(scope, sum, stride, normal, stride);
        FeedForward(step, normal);
        AddAround(step, outputDropout, normal, stride, secondNormal);
        secondNorm.Forward(scope, secondNormal, stride, Output.Values, Output.Stride);
    }

    /// <inheritdoc/>
    public override void ReadAttention(ICollection<AttentionMap> maps) => attention.ReadMaps(Name, Input.Scope, Output.Scope, maps);

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope window = Input.Scope, scope = Output.Scope;
        float* inputGradient = Input.HasGradient ? Input.Gradient : null;
        if (NormsFirst)
        {
            FeedForwardBackward(step, secondNormal, Output.Gradient, accumulates: false);
            secondNorm.Backward(step, scope, sum, stride, branchGradient, stride, sumGradient, around: Output.Gradient);
            float* attended = attentionDropout.Apply(step, scope, width, stride, sumGradient, branchGradient);

            // What comes before the first result has no residual way around the attention; its gradient comes through keys and values.
            NativeMemory.Clear(sumGradient, (nuint)scope.FirstCell * (nuint)stride * sizeof(float));
            attention.Backward(step, window, normal, stride, scope, attended, branchGradient, accumulates: false);
            firstNorm.Backward(step, window, Input.Values, Input.Stride, branchGradient, stride, inputGradient, around: sumGradient);
            EndBackward(window, inputGradient);
            return;
        }

        secondNorm.Backward(step, scope, secondNormal, stride, Output.Gradient, Output.Stride, sumGradient);
        Copy(scope.Cells, sumGradient + First(scope), stride, branchGradient + First(scope), stride);
        FeedForwardBackward(step, normal, sumGradient, accumulates: true);
        firstNorm.Backward(step, scope, sum, stride, branchGradient, stride, sumGradient);
        if (inputGradient is not null)
        {
            nint from = (nint)scope.FirstCell * Input.Stride;
            NativeMemory.Clear(inputGradient, (nuint)from * sizeof(float));
            Copy(scope.Cells, sumGradient + First(scope), stride, inputGradient + from, Input.Stride);
        }

        float* gradient = attentionDropout.Apply(step, scope, width, stride, sumGradient, branchGradient);
        attention.Backward(step, window, Input.Values, Input.Stride, scope, gradient, inputGradient, accumulates: true);
        EndBackward(window, inputGradient);
    }

    private void EndBackward(StepScope window, float* inputGradient)
    {
        if (inputGradient is not null)
        {
            window.ClearEnded(inputGradient, Input.Stride);
        }
    }

    private nint First(StepScope scope) => (nint)scope.FirstCell * stride;

    // target = around + dropout(branch)
    private void AddAround(TrainingStep step, DropoutPart dropout, float* around, int aroundStride, float* target)
    {
        StepScope scope = Output.Scope;
        dropout.Apply(step, scope, width, stride, branch, branch);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            nint first = (nint)time * scope.Rows;
            if (aroundStride == stride)
            {
                ElementwiseFunctions.Add((long)cells * stride, around + (first * stride), branch + (first * stride), target + (first * stride));
                continue;
            }

            for (nint cell = first; cell < first + cells; cell++)
            {
                ElementwiseFunctions.Add(width, around + (cell * aroundStride), branch + (cell * stride), target + (cell * stride));
            }
        }
    }

    // branch = linear2(dropout(f(linear1(x))))
    private void FeedForward(TrainingStep step, float* x)
    {
        StepScope scope = Output.Scope;
        bool drops = innerDropout.IsActive(step);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int all);
            nint end = ((nint)time * scope.Rows) + all;
            for (nint cell = end - all; cell < end; cell += NearCells)
            {
                int cells = (int)Math.Min(NearCells, end - cell);
                first.Forward(cell, cells, x, stride, inner, innerStride, step.Workspace);
                Activate(cell, cells);
                if (!drops)
                {
                    second.Forward(cell, cells, active, innerStride, branch, stride, step.Workspace);
                }
            }
        }

        if (drops)
        {
            innerDropout.Apply(step, scope, innerWidth, innerStride, active, active);
            second.Forward(scope, active, innerStride, branch, stride, step.Workspace);
        }
    }

    // branchGradient (+)= dL/dx of linear2(dropout(f(linear1(x)))), from the gradient of what it was added to.
    private void FeedForwardBackward(TrainingStep step, float* x, float* gradient, bool accumulates)
    {
        StepScope scope = Output.Scope;
        bool drops = innerDropout.IsActive(step);
        float* dropped = outputDropout.Apply(step, scope, width, stride, gradient, branch);
        second.Gradients(step, scope, dropped, stride, active, innerStride);
        if (drops)
        {
            second.Backward(scope, dropped, stride, innerGradient, innerStride, accumulates: false, step.Workspace);
            innerDropout.Apply(step, scope, innerWidth, innerStride, innerGradient, innerGradient);
        }

        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int all);
            nint end = ((nint)time * scope.Rows) + all;
            for (nint cell = end - all; cell < end; cell += NearCells)
            {
                int cells = (int)Math.Min(NearCells, end - cell);
                if (!drops)
                {
                    second.Backward(cell, cells, dropped, stride, innerGradient, innerStride, accumulates: false, step.Workspace);
                }

                BackThroughActivation(cell, cells);
                first.Backward(cell, cells, innerGradient, innerStride, branchGradient, stride, accumulates, step.Workspace);
            }
        }

        first.Gradients(step, scope, innerGradient, innerStride, x, stride);
    }

    // inner -> active, and with GELU the derivative in inner's place.
    private void Activate(nint cell, int cells)
    {
        nint from = cell * innerStride;
        long count = (long)cells * innerStride;
        if (config.Activation == TransformerActivation.Relu)
        {
            ElementwiseFunctions.Forward(Activation.Relu, count, inner + from, inner + from);
        }
        else
        {
            Gelu.Forward(count, inner + from, active + from, config.Activation == TransformerActivation.GeluTanh);
        }
    }

    private void BackThroughActivation(nint cell, int cells)
    {
        nint from = cell * innerStride;
        long count = (long)cells * innerStride;
        if (config.Activation == TransformerActivation.Relu)
        {
            // Where dropout took a value its gradient is +0 already.
            ElementwiseFunctions.Backward(Activation.Relu, count, inner + from, innerGradient + from, innerGradient + from);
        }
        else
        {
            ElementwiseFunctions.Multiply(count, innerGradient + from, inner + from, innerGradient + from);
        }
    }

    private void Copy(int cells, float* source, int sourceStride, float* target, int targetStride)
    {
        for (nint cell = 0; cell < cells; cell++)
        {
            new ReadOnlySpan<float>(source + (cell * sourceStride), width).CopyTo(new Span<float>(target + (cell * targetStride), width));
        }
    }
}
