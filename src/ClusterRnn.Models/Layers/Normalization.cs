// Layer normalisation as a part of layers: its two tensors, each cell's statistics, forward and backward.
using ClusterRnn.Kernels.Normalization;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>y = (x - mean) / sqrt(variance + epsilon) weight + bias, each cell by itself: <c>weight</c> and <c>bias</c> [N].</summary>
/// <param name="name">The first part of its tensors' names.</param>
/// <param name="width">N.</param>
/// <param name="epsilon">What is added to the variance.</param>
internal sealed unsafe class Normalization(string name, int width, double epsilon)
{
    private ParameterTensor weight = null!;
    private ParameterTensor bias = null!;
    private float* statistics; // [T, B, 2]
    private float* gains; // [N], in the flat vector
    private float* biases; // [N], in the flat vector

    /// <summary>Declares the tensors: ones and zeros at first.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        declarations.Add($"{name}.weight", Initializer.Of(1.0), width);
        declarations.Add($"{name}.bias", Initializer.Of(0.0), width);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        weight = layout[$"{name}.weight"];
        bias = layout[$"{name}.bias"];
    }

    /// <summary>Takes room for the statistics.</summary>
    public void Plan(LayerPlan plan) => statistics = plan.Arena.Floats(2 * plan.MaximumCells);

    /// <summary>Takes over new parameters.</summary>
    public void Pack(float* parameters)
    {
        gains = parameters + weight.Offset;
        biases = parameters + bias.Offset;
    }

    /// <summary>Normalises the cells of <paramref name="scope"/> in [From, T).</summary>
    /// <param name="scope">The time axis.</param>
    /// <param name="source">[T, B, stride]: x.</param>
    /// <param name="sourceStride">Floats from one x to the next.</param>
    /// <param name="target">[T, B, stride]: y, overwritten.</param>
    /// <param name="targetStride">Floats from one y to the next.</param>
    public void Forward(StepScope scope, float* source, int sourceStride, float* target, int targetStride)
    {
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            LayerNorm.ForwardKernel.Run(Arguments((nint)time * scope.Rows, cells, source, sourceStride, target, targetStride));
        }
    }

    /// <summary>Both parameters' gradients, and dL/dx if there is room for it.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis.</param>
    /// <param name="source">[T, B, stride]: x.</param>
    /// <param name="sourceStride">Floats from one x, or its gradient, to the next.</param>
    /// <param name="gradient">[T, B, stride]: dL/dy, used up.</param>
    /// <param name="gradientStride">Floats from one dL/dy to the next.</param>
    /// <param name="sourceGradient">[T, B, stride]: dL/dx, overwritten in [From, T), or null.</param>
    /// <param name="around">[T, B, stride]: what is added to dL/dx, or null; may be <paramref name="sourceGradient"/>.</param>
    public void Backward(TrainingStep step, StepScope scope, float* source, int sourceStride, float* gradient, int gradientStride, float* sourceGradient, float* around = null)
    {
        ColumnGroups columns = ColumnGroups.Padded(width);
        WeightGradient.ColumnSums(step.Merge, scope.Shards, gradient, gradientStride, columns, step.SubtreeGradients, bias.Offset, step.Workspace, !step.IsEnd);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            nint cell = (nint)time * scope.Rows;
            LayerNormArguments arguments = Arguments(cell, cells, source, sourceStride, gradient, gradientStride);
            arguments.SourceGradient = sourceGradient is null ? null : sourceGradient + (cell * sourceStride);
            arguments.Around = around is null ? null : around + (cell * sourceStride);
            LayerNorm.BackwardKernel.Run(arguments);
        }

        WeightGradient.ColumnSums(step.Merge, scope.Shards, gradient, gradientStride, columns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd);
    }

    private LayerNormArguments Arguments(nint cell, int cells, float* source, int sourceStride, float* target, int targetStride) => new()
    {
        Rows = cells,
        Width = width,
        Source = source + (cell * sourceStride),
        SourceStride = sourceStride,
        Statistics = statistics + (2 * cell),
        Gain = gains,
        Bias = biases,
        Target = target + (cell * targetStride),
        TargetStride = targetStride,
        Epsilon = (float)epsilon,
    };
}
