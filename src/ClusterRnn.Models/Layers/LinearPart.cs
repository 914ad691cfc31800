// An affine map as a part of layers: y = W x + b over cells, its tensors, and the three products around it.
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>y = W x + b: a weight [N, K] and a bias [N], N in one or more groups of columns.</summary>
/// <param name="weightName">The weight's tensor.</param>
/// <param name="biasName">The bias's tensor.</param>
/// <param name="inputs">How K lies in a row of x.</param>
/// <param name="outputs">How N lies in a row of y.</param>
/// <param name="weightInitializer">How the weight is drawn.</param>
/// <param name="biasInitializer">How the bias is drawn.</param>
internal sealed unsafe class LinearPart(string weightName, string biasName, int inputs, ColumnGroups outputs, Initializer weightInitializer, Initializer biasInitializer)
{
    private ParameterTensor weight = null!;
    private ParameterTensor bias = null!;
    private PackedMatrix forward = null!; // x -> y, with the bias
    private PackedMatrix? backward; // dy -> dx
    private ColumnGroups inputColumns;

    /// <summary>Declares the tensors.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        declarations.Add(weightName, weightInitializer, outputs.Total, inputs);
        declarations.Add(biasName, biasInitializer, outputs.Total);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        weight = layout[weightName];
        bias = layout[biasName];
    }

    /// <summary>Takes room for the packed weights.</summary>
    /// <param name="plan">Where it comes from.</param>
    /// <param name="columns">How K lies in a row of x.</param>
    /// <param name="hasBackward">Whether anybody asks for dL/dx.</param>
    public void Plan(LayerPlan plan, ColumnGroups columns, bool hasBackward)
    {
        inputColumns = columns;
        forward = new PackedMatrix(plan.Arena, columns, outputs);
        backward = hasBackward ? new PackedMatrix(plan.Arena, outputs, columns) : null;
    }

    /// <summary>Packs new parameters.</summary>
    public void Pack(float* parameters)
    {
        forward.PackTransposed(parameters + weight.Offset, inputs);
        forward.SetBias(parameters + bias.Offset);
        backward?.Pack(parameters + weight.Offset, inputs);
    }

    /// <summary>y of the cells of <paramref name="scope"/> in [From, T).</summary>
    /// <param name="scope">The time axis.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="y">[T, B, stride], overwritten.</param>
    /// <param name="yStride">Floats from one y to the next.</param>
    /// <param name="workspace">Scratch.</param>
    public void Forward(StepScope scope, float* x, int xStride, float* y, int yStride, Workspace workspace) =>
        scope.Multiply(x, xStride, forward, y, yStride, ProductStart.Bias, workspace);

    /// <summary>y of some cells that lie in one piece.</summary>
    /// <param name="cell">The first of them.</param>
    /// <param name="cells">How many they are.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="y">[T, B, stride], overwritten.</param>
    /// <param name="yStride">Floats from one y to the next.</param>
    /// <param name="workspace">Scratch.</param>
    public void Forward(nint cell, int cells, float* x, int xStride, float* y, int yStride, Workspace workspace) =>
        Product.Multiply(cells, x + (cell * xStride), xStride, forward, y + (cell * yStride), yStride, ProductStart.Bias, workspace);

    /// <summary>dL/dx of some cells that lie in one piece, tiny values as +0.</summary>
    /// <param name="cell">The first of them.</param>
    /// <param name="cells">How many they are.</param>
    /// <param name="dy">[T, B, stride].</param>
    /// <param name="dyStride">Floats from one dL/dy to the next.</param>
    /// <param name="dx">[T, B, stride]: overwritten, or what the product is added to.</param>
    /// <param name="dxStride">Floats from one dL/dx to the next.</param>
    /// <param name="accumulates">Whether it is added.</param>
    /// <param name="workspace">Scratch.</param>
    public void Backward(nint cell, int cells, float* dy, int dyStride, float* dx, int dxStride, bool accumulates, Workspace workspace) =>
        Product.Multiply(cells, dy + (cell * dyStride), dyStride, backward!, dx + (cell * dxStride), dxStride, accumulates ? ProductStart.Accumulate : ProductStart.Zero, workspace, flush: true);

    /// <summary>The gradients of weight and bias.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis over whose cells they sum.</param>
    /// <param name="dy">[T, B, stride].</param>
    /// <param name="dyStride">Floats from one dL/dy to the next.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    public void Gradients(TrainingStep step, StepScope scope, float* dy, int dyStride, float* x, int xStride) =>
        Gradients(step, scope.Shards, dy, dyStride, x, xStride);

    /// <summary>The gradients of weight and bias.</summary>
    /// <param name="step">The step.</param>
    /// <param name="cells">The cells over which they sum, by shard.</param>
    /// <param name="dy">[cells, stride].</param>
    /// <param name="dyStride">Floats from one dL/dy to the next.</param>
    /// <param name="x">[cells, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    public void Gradients(TrainingStep step, ShardRows cells, float* dy, int dyStride, float* x, int xStride)
    {
        WeightGradient.Compute(step.Merge, cells, dy, dyStride, outputs, x, xStride, inputColumns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd, bias.Offset);
    }

    /// <summary>dL/dx of the cells in [From, T), tiny values as +0.</summary>
    /// <param name="scope">The time axis.</param>
    /// <param name="dy">[T, B, stride].</param>
    /// <param name="dyStride">Floats from one dL/dy to the next.</param>
    /// <param name="dx">[T, B, stride]: overwritten, or what the product is added to.</param>
    /// <param name="dxStride">Floats from one dL/dx to the next.</param>
    /// <param name="accumulates">Whether it is added.</param>
    /// <param name="workspace">Scratch.</param>
    public void Backward(StepScope scope, float* dy, int dyStride, float* dx, int dxStride, bool accumulates, Workspace workspace) =>
        scope.Multiply(dy, dyStride, backward!, dx, dxStride, accumulates ? ProductStart.Accumulate : ProductStart.Zero, workspace, flush: true);
}
