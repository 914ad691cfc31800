// One layer of a Transformer's decoder (Vaswani et al., Attention is all you need, 2017), with the arithmetic of PyTorch's
// nn.TransformerDecoderLayer: masked self-attention, attention to the encoder's outputs, a feed-forward network, each a branch
// with a residual way around it.
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>
/// Three branches: <c>self_attn.*</c> as in nn.MultiheadAttention, <c>multihead_attn.*</c> (<see cref="CrossAttention"/>), <c>linear1.*</c>
/// [F, E] and <c>linear2.*</c> [E, F], <c>norm1.*</c> to <c>norm3.*</c> [E].
/// </summary>
internal sealed unsafe class TransformerDecoderLayer : Layer
{
    private readonly int width;
    private readonly int stride;
    private readonly SelfAttention selfAttention;
    private readonly CrossAttention crossAttention;
    private readonly FeedForwardPart feedForward;
    private readonly Normalization[] norms;
    private readonly CellBranch[] branches;
    private float* attended; // [T, B, stride]: after the first branch
    private float* crossed; // [T, B, stride]: after the second
    private float* attendedGradient; // [T, B, stride]
    private float* crossedGradient; // [T, B, stride]

    /// <summary>Names the tensors.</summary>
    /// <param name="name">The layer's name.</param>
    /// <param name="width">E.</param>
    /// <param name="memoryWidth">The width of the encoder's outputs.</param>
    /// <param name="config">The stack's configuration.</param>
    public TransformerDecoderLayer(string name, int width, int memoryWidth, TransformerConfig config)
        : base(name)
    {
        this.width = width;
        stride = ColumnGroups.Pad(width);
        selfAttention = new SelfAttention(this, $"{name}.self_attn.", width, config.Heads, isCausal: true, config.Dropout, config.KernelInitializer);
        crossAttention = new CrossAttention(this, 5, $"{name}.multihead_attn.", width, memoryWidth, config.Heads, config.Dropout, config.KernelInitializer);
        feedForward = new FeedForwardPart(this, name, width, config);
        norms = [.. Enumerable.Range(1, 3).Select(number => new Normalization($"{name}.norm{number}", width, config.Epsilon))];
        bool normsFirst = config.Norm == NormPlace.Pre;
        branches =
        [
            new CellBranch(selfAttention, width, norms[0], new DropoutPart(this, 2, config.Dropout), normsFirst),
            new CellBranch(crossAttention, width, norms[1], new DropoutPart(this, 6, config.Dropout), normsFirst),
            new CellBranch(feedForward, width, norms[2], new DropoutPart(this, 4, config.Dropout), normsFirst),
        ];
    }

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool NeedsContext => true;

    /// <inheritdoc/>
    public override int WidestOperand => Math.Max(crossAttention.WidestOperand, feedForward.WidestOperand);

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        selfAttention.Declare(declarations);
        crossAttention.Declare(declarations);
        feedForward.Declare(declarations);
        foreach (Normalization norm in norms)
        {
            norm.Declare(declarations);
        }
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        selfAttention.Bind(layout);
        crossAttention.Bind(layout);
        feedForward.Bind(layout);
        foreach (Normalization norm in norms)
        {
            norm.Bind(layout);
        }
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        var scratch = new BranchScratch(plan, width);
        branches[0].Plan(plan, Input.Columns, Input.HasGradient, scratch);
        branches[1].Plan(plan, ColumnGroups.Padded(width), hasInputGradient: true, scratch);
        branches[2].Plan(plan, ColumnGroups.Padded(width), hasInputGradient: true, scratch);

        attended = Cells(true);
        crossed = Cells(true);
        attendedGradient = Cells(plan.IsTraining);
        crossedGradient = Cells(plan.IsTraining);

        float* Cells(bool areNeeded) => areNeeded ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        foreach (CellBranch branch in branches)
        {
            branch.Pack(parameters);
        }
    }

    /// <inheritdoc/>
    public override void ReadMemory(TrainingStep step) => crossAttention.ReadMemory(step);

    /// <inheritdoc/>
    public override void Reorder(int* from, int rows, int time) => selfAttention.Reorder(from, rows, time);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        branches[0].Forward(step, scope, Input.Values, Input.Stride, scope, attended);
        branches[1].Forward(step, scope, attended, stride, scope, crossed);
        branches[2].Forward(step, scope, crossed, stride, scope, Output.Values);
    }

    /// <inheritdoc/>
    public override void ReadAttention(TrainingStep step, ICollection<AttentionMap> maps)
    {
        selfAttention.ReadMaps(this, step, Output.Scope, Output.Scope, maps);
        crossAttention.ReadMaps(Name, step, Output.Scope, maps);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        branches[2].Backward(step, scope, crossed, stride, scope, Output.Gradient, crossedGradient);
        branches[1].Backward(step, scope, attended, stride, scope, crossedGradient, attendedGradient);
        branches[0].Backward(step, scope, Input.Values, Input.Stride, scope, attendedGradient, Input.HasGradient ? Input.Gradient : null);
        if (Input.HasGradient)
        {
            scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }
}
