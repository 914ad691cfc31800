using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>y = f(W x + b) at every time step.</summary>
internal sealed unsafe class DenseLayer(string name, int inputWidth, int units, ActivationKind activation, DenseConfig config) : Layer(name)
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
        declarations.Add($"{Name}.weight", new Initializer(config.KernelInitializer, inputWidth, units), units, inputWidth);
        declarations.Add($"{Name}.bias", new Initializer(config.BiasInitializer, inputWidth, units), units);
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout)
    {
        weight = layout[$"{Name}.weight"];
        bias = layout[$"{Name}.bias"];
    }

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.Reserve(plan);
        forward = new PackedMatrix(plan.Arena, Input.Columns, Output.Columns);
        backward = Input.HasGradient ? new PackedMatrix(plan.Arena, Output.Columns, Input.Columns) : null;
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
        Product.Multiply(scope.Cells, Input.At(scope.From), Input.Stride, forward, Output.At(scope.From), Output.Stride, ProductStart.Bias, step.Workspace);
        Activations.Forward(activation, scope.Cells, units, Output.At(scope.From), Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        Activations.Backward(activation, scope.Cells, units, Output.At(scope.From), Output.GradientAt(scope.From), Output.Stride);
        WeightGradient.Compute(step.Merge, scope.Shards, Output.Gradient, Output.Stride, Output.Columns, Input.Values, Input.Stride, Input.Columns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd);
        WeightGradient.ColumnSums(step.Merge, scope.Shards, Output.Gradient, Output.Stride, Output.Columns, step.SubtreeGradients, bias.Offset, step.Workspace, !step.IsEnd);
        if (backward is not null)
        {
            Product.Multiply(scope.Cells, Output.GradientAt(scope.From), Output.Stride, backward, Input.GradientAt(scope.From), Input.Stride, ProductStart.Zero, step.Workspace, flush: true);
        }
    }
}
