namespace ClusterRnn.Models;

/// <summary>Self-attention alone, without a residual way around it, as PyTorch's <c>nn.MultiheadAttention</c>.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">E.</param>
/// <param name="config">Its configuration.</param>
/// <param name="isCausal">Whether a time step sees itself and earlier ones alone.</param>
internal sealed unsafe class AttentionLayer(string name, int width, AttentionConfig config, bool isCausal) : Layer(name)
{
    private SelfAttention attention = null!;

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override bool CouplesTime => true;

    /// <inheritdoc/>
    public override bool NeedsContext => true;

    /// <inheritdoc/>
    public override bool ReadsAhead => !isCausal;

    private SelfAttention Attention => attention ??= new SelfAttention(this, $"{Name}.", width, config.Heads, isCausal, config.Dropout, config.KernelInitializer);

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) => Attention.Declare(declarations);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => Attention.Bind(layout);

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        Attention.Plan(plan, Input.Columns, Input.HasGradient);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters) => Attention.Pack(parameters);

    /// <inheritdoc/>
    public override void Reorder(int* from, int rows, int time) => Attention.Reorder(from, rows, time);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step) => Attention.Forward(step, Input.Scope, Input.Values, Input.Stride, Output.Scope, Output.Values);

    /// <inheritdoc/>
    public override void ReadAttention(TrainingStep step, ICollection<AttentionMap> maps) => Attention.ReadMaps(this, step, Input.Scope, Output.Scope, maps);

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        Attention.Backward(step, Input.Scope, Input.Values, Input.Stride, Output.Scope, Output.Gradient, Input.HasGradient ? Input.Gradient : null, accumulates: false);
        if (Input.HasGradient)
        {
            Input.Scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }
}
