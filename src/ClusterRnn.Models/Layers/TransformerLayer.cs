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
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>
/// Attention and a feed-forward network, each with a residual way around it: <c>self_attn.*</c> as in nn.MultiheadAttention,
/// <c>linear1.*</c> [F, E], <c>linear2.*</c> [E, F], <c>norm1.*</c> and <c>norm2.*</c> [E].
/// </summary>
internal sealed unsafe class TransformerLayer : Layer
{
    private readonly bool isCausal;
    private readonly int width;
    private readonly int stride;
    private readonly SelfAttention attention;
    private readonly FeedForwardPart feedForward;
    private readonly Normalization firstNorm;
    private readonly Normalization secondNorm;
    private readonly CellBranch first;
    private readonly CellBranch second;
    private float* middle; // [T, B, stride]: after the first branch
    private float* middleGradient; // [T, B, stride]

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="width">E.</param>
    /// <param name="config">The stack's configuration.</param>
    /// <param name="isCausal">Whether a time step sees itself and earlier ones alone.</param>
    public TransformerLayer(string name, int width, TransformerConfig config, bool isCausal)
        : base(name)
    {
        this.isCausal = isCausal;
        this.width = width;
        stride = ColumnGroups.Pad(width);
        attention = new SelfAttention(this, $"{name}.self_attn.", width, config.Heads, isCausal, config.Dropout, config.KernelInitializer);
        feedForward = new FeedForwardPart(this, name, width, config);
        firstNorm = new Normalization($"{name}.norm1", width, config.Epsilon);
        secondNorm = new Normalization($"{name}.norm2", width, config.Epsilon);
        bool normsFirst = config.Norm == NormPlace.Pre;
        first = new CellBranch(attention, width, firstNorm, new DropoutPart(this, 2, config.Dropout), normsFirst);
        second = new CellBranch(feedForward, width, secondNorm, new DropoutPart(this, 4, config.Dropout), normsFirst);
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
        var scratch = new BranchScratch(plan, width);
        first.Plan(plan, Input.Columns, Input.HasGradient, scratch);
        second.Plan(plan, ColumnGroups.Padded(width), hasInputGradient: true, scratch);
        middle = plan.Arena.Floats(plan.MaximumCells * stride);
        middleGradient = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        first.Pack(parameters);
        second.Pack(parameters);
    }

    /// <inheritdoc/>
    public override void Reorder(int* from, int rows, int time) => attention.Reorder(from, rows, time);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        first.Forward(step, Input.Scope, Input.Values, Input.Stride, Output.Scope, middle);
        second.Forward(step, Output.Scope, middle, stride, Output.Scope, Output.Values);
    }

    /// <inheritdoc/>
    public override void ReadAttention(TrainingStep step, ICollection<AttentionMap> maps) => attention.ReadMaps(this, step, Input.Scope, Output.Scope, maps);

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        second.Backward(step, Output.Scope, middle, stride, Output.Scope, Output.Gradient, middleGradient);
        first.Backward(step, Input.Scope, Input.Values, Input.Stride, Output.Scope, middleGradient, Input.HasGradient ? Input.Gradient : null);
        if (Input.HasGradient)
        {
            Input.Scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }
}
