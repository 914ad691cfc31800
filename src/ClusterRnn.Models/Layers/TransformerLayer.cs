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
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>
/// Attention and a feed-forward network, each with a residual way around it: <c>self_attn.*</c> as in nn.MultiheadAttention,
/// <c>linear1.*</c> [F, E], <c>linear2.*</c> [E, F], <c>norm1.*</c> and <c>norm2.*</c> [E].
/// </summary>
internal sealed unsafe class TransformerLayer : Layer
{
    private readonly TransformerConfig config;
    private readonly bool isCausal;
    private readonly int width;
    private readonly int stride;
    private readonly SelfAttention attention;
    private readonly FeedForwardPart feedForward;
    private readonly Normalization firstNorm;
    private readonly Normalization secondNorm;
    private readonly DropoutPart attentionDropout;
    private readonly DropoutPart outputDropout;
    private float* normal; // [T, B, stride]: norm1(x), or norm1(sum)
    private float* sum; // [T, B, stride]: x + attention
    private float* secondNormal; // [T, B, stride]: norm2(sum); with the norm after, what norm2 is given
    private float* branch; // [T, B, stride]: what a branch adds
    private float* branchGradient; // [T, B, stride]
    private float* sumGradient; // [T, B, stride]

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="width">E.</param>
    /// <param name="config">The stack's configuration.</param>
    /// <param name="isCausal">Whether a time step sees itself and earlier ones alone.</param>
    public TransformerLayer(string name, int width, TransformerConfig config, bool isCausal)
        : base(name)
    {
        this.config = config;
        this.isCausal = isCausal;
        this.width = width;
        stride = ColumnGroups.Pad(width);
        attention = new SelfAttention(this, $"{name}.self_attn.", width, config.Heads, isCausal, config.Dropout, config.KernelInitializer);
        feedForward = new FeedForwardPart(this, name, width, config);
        firstNorm = new Normalization($"{name}.norm1", width, config.Epsilon);
        secondNorm = new Normalization($"{name}.norm2", width, config.Epsilon);
        attentionDropout = new DropoutPart(this, 2, config.Dropout);
        outputDropout = new DropoutPart(this, 4, config.Dropout);
    }

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool NeedsContext => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => !isCausal;

    /// <inheritdoc/>
    public override int WidestOperand => Math.Max(width, feedForward.WidestOperand);

    private bool NormsFirst => config.Norm == NormPlace.Pre;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        attention.Declare(declarations);
        feedForward.Declare(declarations);
        firstNorm.Declare(declarations);
        secondNorm.Declare(declarations);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        attention.Bind(layout);
        feedForward.Bind(layout);
        firstNorm.Bind(layout);
        secondNorm.Bind(layout);
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        ColumnGroups padded = ColumnGroups.Padded(width);
        attention.Plan(plan, NormsFirst ? padded : Input.Columns, plan.IsTraining && (NormsFirst || Input.HasGradient));
        feedForward.Plan(plan, padded);
        firstNorm.Plan(plan);
        secondNorm.Plan(plan);
        normal = Cells(stride);
        sum = Cells(stride);
        secondNormal = Cells(stride);
        branch = Cells(stride);
        branchGradient = plan.IsTraining ? Cells(stride) : null;
        sumGradient = plan.IsTraining ? Cells(stride) : null;

        float* Cells(int floats) => plan.Arena.Floats(plan.MaximumCells * floats);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        attention.Pack(parameters);
        feedForward.Pack(parameters);
        firstNorm.Pack(parameters);
        secondNorm.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void Reorder(int* from, int rows, int time) => attention.Reorder(from, rows, time);

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
            feedForward.Forward(step, scope, secondNormal, stride, branch);
            AddAround(step, outputDropout, sum, stride, Output.Values);
            return;
        }

        attention.Forward(step, window, Input.Values, Input.Stride, scope, branch);
        AddAround(step, attentionDropout, Input.Values, Input.Stride, sum);
        firstNorm.Forward(scope, sum, stride, normal, stride);
        feedForward.Forward(step, scope, normal, stride, branch);
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

    // branchGradient (+)= dL/dx of the feed-forward network, from the gradient of what it was added to.
    private void FeedForwardBackward(TrainingStep step, float* x, float* gradient, bool accumulates)
    {
        StepScope scope = Output.Scope;
        float* dropped = outputDropout.Apply(step, scope, width, stride, gradient, branch);
        feedForward.Backward(step, scope, x, stride, dropped, branchGradient, accumulates);
    }

    private void Copy(int cells, float* source, int sourceStride, float* target, int targetStride)
    {
        for (nint cell = 0; cell < cells; cell++)
        {
            new ReadOnlySpan<float>(source + (cell * sourceStride), width).CopyTo(new Span<float>(target + (cell * targetStride), width));
        }
    }
}
