// y = f(W x + b) at every time step. Where W is an embedding's table (Press and Wolf 2017), its gradient has two parts. Each is
// formed per shard; this layer keeps its own, and the embedding adds them shard by shard before it joins the shards.
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>y = f(W x + b) at every time step.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="inputWidth">I.</param>
/// <param name="units">O.</param>
/// <param name="activation">f, unless the loss takes it over.</param>
/// <param name="config">Its configuration.</param>
/// <param name="tied">The embedding whose table is W, or null.</param>
internal sealed unsafe class DenseLayer(string name, int inputWidth, int units, ActivationKind activation, DenseConfig config, EmbeddingLayer? tied) : Layer(name)
{
    private ParameterTensor weight = null!;
    private ParameterTensor bias = null!;
    private PackedMatrix forward = null!; // x -> y, with the bias
    private PackedMatrix? backward; // dy -> dx

    /// <inheritdoc/>
    public override int OutputWidth => units;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        if (tied is null)
        {
            declarations.Add($"{Name}.weight", new Initializer(config.KernelInitializer, inputWidth, units), units, inputWidth);
        }

        declarations.Add($"{Name}.bias", new Initializer(config.BiasInitializer, inputWidth, units), units);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        weight = tied is null ? layout[$"{Name}.weight"] : tied.Weight;
        bias = layout[$"{Name}.bias"];
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        forward = new PackedMatrix(plan.Arena, Input.Columns, Output.Columns);
        backward = Input.HasGradient ? new PackedMatrix(plan.Arena, Output.Columns, Input.Columns) : null;
        if (plan.IsTraining)
        {
            tied?.ReserveOtherGradients(plan);
        }
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        forward.PackTransposed(parameters + weight.Offset, inputWidth);
        forward.SetBias(parameters + bias.Offset);
        backward?.Pack(parameters + weight.Offset, inputWidth);
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        scope.Multiply(Input.Values, Input.Stride, forward, Output.Values, Output.Stride, ProductStart.Bias, step.Workspace);
        scope.ClearEnded(Output.Values, Output.Stride);
        Activations.Forward(activation, scope.Cells, units, Output.At(scope.From), Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        Activations.Backward(activation, scope.Cells, units, Output.At(scope.From), Output.GradientAt(scope.From), Output.Stride);
        if (tied is null)
        {
            WeightGradient.Compute(step.Merge, scope.Shards, Output.Gradient, Output.Stride, Output.Columns, Input.Values, Input.Stride, Input.Columns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd, bias.Offset);
        }
        else
        {
            WeightGradient.Compute(step.Merge.Apart, scope.Shards, Output.Gradient, Output.Stride, Output.Columns, Input.Values, Input.Stride, Input.Columns, tied.OtherGradients, 0, step.Workspace, !step.IsEnd);
            WeightGradient.ColumnSums(step.Merge, scope.Shards, Output.Gradient, Output.Stride, Output.Columns, step.SubtreeGradients, bias.Offset, step.Workspace, !step.IsEnd);
        }

        if (backward is not null)
        {
            scope.Multiply(Output.Gradient, Output.Stride, backward, Input.Gradient, Input.Stride, ProductStart.Zero, step.Workspace, flush: true);
            scope.ClearEnded(Input.Gradient, Input.Stride);
        }
    }
}
