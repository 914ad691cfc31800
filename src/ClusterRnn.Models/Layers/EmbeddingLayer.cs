using ClusterRnn.Kernels.Elementwise;

namespace ClusterRnn.Models;

/// <summary>A learned vector for each token.</summary>
internal sealed unsafe class EmbeddingLayer(string name, int vocabulary, EmbeddingConfig config) : Layer(name)
{
    private ParameterTensor weight = null!;
    private EmbeddingRows rows = null!;
    private float* table; // [V, E], in the flat vector

    /// <inheritdoc/>
    public override int OutputWidth => config.Units;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) =>
        declarations.Add($"{Name}.weight", new Initializer(config.Initializer, vocabulary, config.Units, StandardNormal: true), vocabulary, config.Units);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => weight = layout[$"{Name}.weight"];

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        rows = new EmbeddingRows(plan.Arena, vocabulary, config.Units, plan.MaximumCells);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters) => table = parameters + weight.Offset;

    /// <inheritdoc/>
    public override void Forward(TrainingStep step) =>
        rows.Gather(table, Input.Tokens + Output.Scope.FirstCell, Output.Scope.Cells, Output.At(Output.Scope.From), Output.Stride);

    /// <inheritdoc/>
    public override void Backward(TrainingStep step) =>
        rows.Gradient(step.Merge, Output.Scope.Shards, Input.Tokens, Output.Gradient, Output.Stride, step.SubtreeGradients, weight.Offset);
}
