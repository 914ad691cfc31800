// A branch with a residual way around it, as Transformers are built of: with the norm before (Xiong et al. 2020)
// y = x + dropout(f(norm(x))), with the norm after (Vaswani et al. 2017) y = norm(x + dropout(f(x))). All cells of the window
// have results.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>A function from cells to cells of the same width: attention or a feed-forward network.</summary>
internal unsafe interface ICellMap
{
    /// <summary>Takes the buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="inputs">How the values lie in a row of the input.</param>
    void Plan(LayerPlan plan, ColumnGroups inputs);

    /// <summary>Packs new parameters.</summary>
    void Pack(float* parameters);

    /// <summary>y = f(x).</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="y">[T, B, width rounded up to 16], overwritten.</param>
    void Forward(TrainingStep step, StepScope scope, float* x, int xStride, float* y);

    /// <summary>Parameters' gradients and dL/dx.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="dy">[T, B, width rounded up to 16].</param>
    /// <param name="dx">Likewise: overwritten, or added to.</param>
    /// <param name="accumulates">Whether it is added.</param>
    void Backward(TrainingStep step, StepScope scope, float* x, int xStride, float* dy, float* dx, bool accumulates);
}

/// <summary>One branch.</summary>
/// <param name="map">f.</param>
/// <param name="width">E.</param>
/// <param name="norm">The normalisation.</param>
/// <param name="dropout">What is dropped of f's values.</param>
/// <param name="normsFirst">Whether the norm comes before.</param>
internal sealed unsafe class CellBranch(ICellMap map, int width, Normalization norm, DropoutPart dropout, bool normsFirst)
{
    private readonly int stride = ColumnGroups.Pad(width);
    private float* normal; // [T, B, stride]: norm(x), or x + f(x)
    private float* branch; // [T, B, stride]: f's values
    private float* branchGradient; // [T, B, stride]

    /// <summary>Takes the buffers.</summary>
    public void Plan(LayerPlan plan, ColumnGroups inputs)
    {
        norm.Plan(plan);
        map.Plan(plan, normsFirst ? ColumnGroups.Padded(width) : inputs);
        normal = plan.Arena.Floats(plan.MaximumCells * stride);
        branch = plan.Arena.Floats(plan.MaximumCells * stride);
        branchGradient = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * stride) : null;
    }

    /// <summary>Packs new parameters.</summary>
    public void Pack(float* parameters)
    {
        norm.Pack(parameters);
        map.Pack(parameters);
    }

    /// <summary>Computes y.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="y">[T, B, stride], overwritten.</param>
    public void Forward(TrainingStep step, StepScope scope, float* x, int xStride, float* y)
    {
        if (normsFirst)
        {
            norm.Forward(scope, x, xStride, normal, stride);
            map.Forward(step, scope, normal, stride, branch);
            AddAround(step, scope, x, xStride, y);
            return;
        }

        map.Forward(step, scope, x, xStride, branch);
        AddAround(step, scope, x, xStride, normal);
        norm.Forward(scope, normal, stride, y, stride);
    }

    /// <summary>Computes all gradients.</summary>
    /// <param name="step">The step.</param>
    /// <param name="scope">The time axis.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="dy">[T, B, stride]: used up.</param>
    /// <param name="dx">[T, B, stride], overwritten; not dy.</param>
    public void Backward(TrainingStep step, StepScope scope, float* x, int xStride, float* dy, float* dx)
    {
        if (normsFirst)
        {
            float* dropped = dropout.Apply(step, scope, width, stride, dy, branch);
            map.Backward(step, scope, normal, stride, dropped, branchGradient, accumulates: false);
            norm.Backward(step, scope, x, xStride, branchGradient, stride, dx, around: dy);
            return;
        }

        norm.Backward(step, scope, normal, stride, dy, stride, dx);
        float* gradient = dropout.Apply(step, scope, width, stride, dx, branch);
        if (gradient == dx)
        {
            // The map reads the gradient that it adds to.
            NativeMemory.Copy(dx, branch, (nuint)scope.Time * (nuint)scope.Rows * (nuint)stride * sizeof(float));
            gradient = branch;
        }

        map.Backward(step, scope, x, xStride, gradient, dx, accumulates: true);
    }

    private void AddAround(TrainingStep step, StepScope scope, float* x, int xStride, float* target)
    {
        dropout.Apply(step, scope, width, stride, branch, branch);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int cells);
            nint first = (nint)time * scope.Rows;
            if (xStride == stride)
            {
                ElementwiseFunctions.Add((long)cells * stride, x + (first * stride), branch + (first * stride), target + (first * stride));
                continue;
            }

            for (nint cell = first; cell < first + cells; cell++)
            {
                ElementwiseFunctions.Add(width, x + (cell * xStride), branch + (cell * stride), target + (cell * stride));
            }
        }
    }
}
