namespace ClusterRnn.Models;

/// <summary>Layer normalisation of each cell, as PyTorch's <c>nn.LayerNorm</c> over the last dimension: <c>weight</c> and <c>bias</c> [N].</summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">N.</param>
/// <param name="epsilon">What is added to the variance.</param>
internal sealed unsafe class LayerNormLayer(string name, int width, double epsilon) : Layer(name)
{
    private readonly Normalization normalization = new(name, width, epsilon);

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) => normalization.Declare(declarations);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => normalization.Bind(layout);

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        normalization.Plan(plan);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters) => normalization.Pack(parameters);

    /// <inheritdoc/>
    public override void Forward(TrainingStep step) => normalization.Forward(Output.Scope, Input.Values, Input.Stride, Output.Values, Output.Stride);

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        normalization.Backward(step, Output.Scope, Input.Values, Input.Stride, Output.Gradient, Output.Stride, Input.HasGradient ? Input.Gradient : null);
        if (Input.HasGradient)
        {
            Output.Scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }
}
