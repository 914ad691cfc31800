// The feed-forward network of a Transformer as a part of layers: linear2(dropout(f(linear1(x)))), each cell by itself. Without
// dropout cells go through it a few at a time, so that their wide rows stay in L2.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>A feed-forward network: <c>linear1.*</c> [F, E] and <c>linear2.*</c> [E, F].</summary>
internal sealed unsafe class FeedForwardPart : ICellMap
{
    // Whole tiles of the products.
    private const int NearCells = 98;

    private readonly TransformerConfig config;
    private readonly int stride;
    private readonly int innerWidth;
    private readonly int innerStride;
    private readonly LinearPart first;
    private readonly LinearPart second;
    private readonly DropoutPart innerDropout;
    private float* inner; // [T, B, innerStride]: linear1, then the function's derivative (its values for relu)
    private float* active; // [T, B, innerStride]: the function's values
    private float* innerGradient; // [T, B, innerStride]

    /// <summary>Names the tensors.</summary>
    /// <param name="layer">The layer whose index keys the dropout, as its part 3.</param>
    /// <param name="name">The first part of the tensors' names.</param>
    /// <param name="width">E.</param>
    /// <param name="config">The stack's configuration.</param>
    public FeedForwardPart(Layer layer, string name, int width, TransformerConfig config)
    {
        this.config = config;
        stride = ColumnGroups.Pad(width);
        innerWidth = config.Units ?? 4 * width;
        innerStride = ColumnGroups.Pad(innerWidth);
        first = Linear("linear1", width, innerWidth);
        second = Linear("linear2", innerWidth, width);
        innerDropout = new DropoutPart(layer, 3, config.Dropout);

        LinearPart Linear(string part, int inputs, int outputs) => new(
            $"{name}.{part}.weight", $"{name}.{part}.bias", inputs, ColumnGroups.Padded(outputs), new Initializer(config.KernelInitializer, inputs, outputs), new Initializer(config.BiasInitializer, inputs, outputs));
    }

    /// <summary>The widest operand of its weights' gradients.</summary>
    public int WidestOperand => Math.Max(stride, innerWidth);

    /// <summary>Declares the tensors.</summary>
    public void Declare(ParameterDeclarations declarations)
    {
        first.Declare(declarations);
        second.Declare(declarations);
    }

    /// <summary>Learns where the tensors lie.</summary>
    public void Bind(ParameterLayout layout)
    {
        first.Bind(layout);
        second.Bind(layout);
    }

    /// <inheritdoc/>
    public void Plan(LayerPlan plan, ColumnGroups inputs, bool hasInputGradient)
    {
        first.Plan(plan, inputs, hasInputGradient);
        second.Plan(plan, ColumnGroups.Padded(innerWidth), plan.IsTraining);
        inner = Cells();
        active = config.Activation == TransformerActivation.Relu ? inner : Cells();
        innerGradient = plan.IsTraining ? Cells() : null;

        float* Cells() => plan.Arena.Floats(plan.MaximumCells * innerStride);
    }

    /// <inheritdoc/>
    public void Pack(float* parameters)
    {
        first.Pack(parameters);
        second.Pack(parameters);
    }

    /// <inheritdoc/>
    public void Forward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* y)
    {
        bool drops = innerDropout.IsActive(step);
        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int all);
            nint end = ((nint)time * scope.Rows) + all;
            for (nint cell = end - all; cell < end; cell += NearCells)
            {
                int cells = (int)Math.Min(NearCells, end - cell);
                first.Forward(cell, cells, x, xStride, inner, innerStride, step.Workspace);
                Activate(cell, cells);
                if (!drops)
                {
                    second.Forward(cell, cells, active, innerStride, y, stride, step.Workspace);
                }
            }
        }

        if (drops)
        {
            innerDropout.Apply(step, scope, innerWidth, innerStride, active, active);
            second.Forward(scope, active, innerStride, y, stride, step.Workspace);
        }
    }

    /// <inheritdoc/>
    public void Backward(TrainingStep step, StepScope input, float* x, int xStride, StepScope scope, float* dy, float* dx, bool accumulates)
    {
        bool drops = innerDropout.IsActive(step);
        second.Gradients(step, scope, dy, stride, active, innerStride);
        if (drops)
        {
            second.Backward(scope, dy, stride, innerGradient, innerStride, accumulates: false, step.Workspace);
            innerDropout.Apply(step, scope, innerWidth, innerStride, innerGradient, innerGradient);
        }

        for (int time = scope.From, next; time < scope.Time; time = next)
        {
            next = scope.Piece(time, out int all);
            nint end = ((nint)time * scope.Rows) + all;
            for (nint cell = end - all; cell < end; cell += NearCells)
            {
                int cells = (int)Math.Min(NearCells, end - cell);
                if (!drops)
                {
                    second.Backward(cell, cells, dy, stride, innerGradient, innerStride, accumulates: false, step.Workspace);
                }

                BackThroughActivation(cell, cells);
                if (dx is not null)
                {
                    first.Backward(cell, cells, innerGradient, innerStride, dx, stride, accumulates, step.Workspace);
                }
            }
        }

        first.Gradients(step, scope, innerGradient, innerStride, x, xStride);
    }

    // inner -> active, and with GELU the derivative in inner's place.
    private void Activate(nint cell, int cells)
    {
        nint from = cell * innerStride;
        long count = (long)cells * innerStride;
        if (config.Activation == TransformerActivation.Relu)
        {
            ElementwiseFunctions.Forward(Activation.Relu, count, inner + from, inner + from);
        }
        else
        {
            Gelu.Forward(count, inner + from, active + from, config.Activation == TransformerActivation.GeluTanh);
        }
    }

    private void BackThroughActivation(nint cell, int cells)
    {
        nint from = cell * innerStride;
        long count = (long)cells * innerStride;
        if (config.Activation == TransformerActivation.Relu)
        {
            // Where dropout took a value its gradient is +0 already.
            ElementwiseFunctions.Backward(Activation.Relu, count, inner + from, innerGradient + from, innerGradient + from);
        }
        else
        {
            ElementwiseFunctions.Multiply(count, innerGradient + from, inner + from, innerGradient + from);
        }
    }
}
