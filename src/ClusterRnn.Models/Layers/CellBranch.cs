// A branch with a residual way around it, as Transformers are built of: with the norm before (Xiong et al. 2020)
// y = x + dropout(f(norm(x))), with the norm after (Vaswani et al. 2017) y = norm(x + dropout(f(x))).
//
// Results may begin later than the window: what lies before them is read, by attention, and has no way around it; its gradient
// comes through keys and values alone.
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
    /// <param name="hasInputGradient">Whether anybody asks for the input's gradient.</param>
    void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient);

    /// <summary>Packs new parameters.</summary>
    void Pack(float* parameters);

    /// <summary>y = f(x).</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis; whoever looks at a cell alone reads what has a result.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="scope">The output's time axis.</param>
    /// <param name="y">[T, B, width rounded up to 16], overwritten in the output's [From, T).</param>
    void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* y);

    /// <summary>Parameters' gradients and dL/dx.</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="scope">The output's time axis.</param>
    /// <param name="dy">[T, B, width rounded up to 16].</param>
    /// <param name="dx">Likewise: overwritten, or added to, or null.</param>
    /// <param name="accumulates">Whether it is added.</param>
    void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* dy, float* dx, bool accumulates);
}

/// <summary>What a layer's branches use one after the other.</summary>
internal sealed unsafe class BranchScratch(LayerPlan plan, int width)
{
    /// <summary>f's values; on the way back the gradient that goes into f.</summary>
    public float* Values { get; } = plan.Arena.Floats(plan.MaximumCells * ColumnGroups.Pad(width)); // [T, B, width rounded up to 16]

    /// <summary>The gradient that comes out of it.</summary>
    public float* Gradient { get; } = plan.IsTraining ? plan.Arena.Floats(plan.MaximumCells * ColumnGroups.Pad(width)) : null; // likewise
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
    private BranchScratch scratch = null!;
    private float* normal; // [T, B, stride]: norm(x), or x + f(x)

    /// <summary>Takes the buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="inputs">How the values lie in a row of x.</param>
    /// <param name="hasInputGradient">Whether anybody asks for dL/dx.</param>
    /// <param name="shared">What the layer's branches share.</param>
    public void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient, BranchScratch shared)
    {
        norm.Plan(plan);
        map.Plan(plan, normsFirst ? ColumnGroups.Padded(width) : inputs, plan.IsTraining && (normsFirst || hasInputGradient));
        normal = plan.Arena.Floats(plan.MaximumCells * stride);
        scratch = shared;
    }

    /// <summary>Packs new parameters.</summary>
    public void Pack(float* parameters)
    {
        norm.Pack(parameters);
        map.Pack(parameters);
    }

    /// <summary>Computes y.</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis.</param>
    /// <param name="x">[T, B, xStride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="scope">The output's time axis.</param>
    /// <param name="y">[T, B, stride], overwritten in the output's [From, T).</param>
    public void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* y)
    {
        if (normsFirst)
        {
            norm.Forward(input, x, xStride, normal, stride);
            map.Forward(step, input, normal, stride, scope, scratch.Values);
            AddAround(step, scope, x, xStride, y);
            return;
        }

        map.Forward(step, input, x, xStride, scope, scratch.Values);
        AddAround(step, scope, x, xStride, normal);
        norm.Forward(scope, normal, stride, y, stride);
    }

    /// <summary>Computes all gradients.</summary>
    /// <param name="step">The step.</param>
    /// <param name="input">The input's time axis.</param>
    /// <param name="x">[T, B, stride].</param>
    /// <param name="xStride">Floats from one x to the next.</param>
    /// <param name="scope">The output's time axis.</param>
    /// <param name="dy">[T, B, stride]: used up.</param>
    /// <param name="dx">[T, B, stride], overwritten, not dy; or null.</param>
    public void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* dy, float* dx)
    {
        bool isShorter = input.FirstCell < scope.FirstCell;
        if (normsFirst)
        {
            float* dropped = dropout.Apply(step, scope, width, stride, dy, scratch.Values);
            map.Backward(step, input, normal, stride, scope, dropped, scratch.Gradient, accumulates: false);
            if (isShorter)
            {
                ClearBefore(scope, dy);
            }

            norm.Backward(step, input, x, xStride, scratch.Gradient, stride, dx, around: dy);
            return;
        }

        float* around = dx is null ? scratch.Gradient : dx;
        norm.Backward(step, scope, normal, stride, dy, stride, around);
        if (isShorter)
        {
            ClearBefore(scope, around);
        }

        float* gradient = dropout.Apply(step, scope, width, stride, around, scratch.Values);
        if (gradient == dx)
        {
            // The map reads the gradient that it adds to.
            nint first = (nint)scope.FirstCell * stride;
            NativeMemory.Copy(dx + first, scratch.Values + first, (nuint)scope.Cells * (nuint)stride * sizeof(float));
            gradient = scratch.Values;
        }

        map.Backward(step, input, x, xStride, scope, gradient, dx, accumulates: true);
    }

    private void AddAround(TrainingStep step, StepScope scope, float* x, int xStride, float* target)
    {
        float* branch = scratch.Values;
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

    private void ClearBefore(StepScope scope, float* gradient) => NativeMemory.Clear(gradient, (nuint)scope.FirstCell * (nuint)stride * sizeof(float));
}
