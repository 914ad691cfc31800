using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>
/// Adds to each cell a vector for its place in the window: sines and cosines of geometrically growing periods (Vaswani et
/// al. 2017), or learned, <c>weight</c> [L, E]. Places count from the window's first time step, where the context begins.
/// </summary>
/// <param name="name">The layer's name.</param>
/// <param name="width">E.</param>
/// <param name="config">Its configuration.</param>
internal sealed unsafe class PositionsLayer(string name, int width, PositionsConfig config) : Layer(name)
{
    private ParameterTensor? weight;
    private EmbeddingRows? rows;
    private float* vectors; // [places, vectorStride]
    private int vectorStride;
    private int* places; // [T, B]: the place of each cell

    /// <inheritdoc/>
    public override int OutputWidth => width;

    /// <inheritdoc/>
    public override bool NeedsContext => true;

    private bool IsLearned => config.Kind == PositionKind.Learned;

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations)
    {
        if (IsLearned)
        {
            declarations.Add($"{Name}.weight", new Initializer(config.Initializer, config.MaximumLength, width, StandardNormal: true), config.MaximumLength, width);
        }
    }

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => weight = IsLearned ? layout[$"{Name}.weight"] : null;

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        Output.ReserveValues(plan);
        if (IsLearned || Input.HasGradient)
        {
            Output.ReserveGradient(plan);
        }

        int most = Math.Max(plan.MaximumTime, plan.ContextTime);
        if (!IsLearned)
        {
            vectorStride = width;
            vectors = plan.Arena.Floats((long)most * width);
            Fill(plan.Arena.IsMeasuring ? 0 : most);
            return;
        }

        if (most > config.MaximumLength)
        {
            throw new ModelException("layers", $"{Name} has learned vectors for {config.MaximumLength} time steps, the window has {most}. Set its maximumLength to at least {most}.");
        }

        if (plan.IsTraining)
        {
            rows = new EmbeddingRows(plan.Arena, config.MaximumLength, width, plan.MaximumCells);
            places = plan.Arena.Ints(plan.MaximumCells);
        }
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        if (weight is not null)
        {
            vectors = parameters + weight.Offset;
            vectorStride = width;
        }
    }

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        for (int time = scope.From; time < scope.Time; time++)
        {
            float* vector = vectors + ((nint)(step.PastTime + time) * vectorStride);
            for (int row = 0; row < scope.Rows; row++)
            {
                nint cell = ((nint)time * scope.Rows) + row;
                ElementwiseFunctions.Add(width, Input.Values + (cell * Input.Stride), vector, Output.Values + (cell * Output.Stride));
            }
        }
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        StepScope scope = Output.Scope;
        if (rows is not null)
        {
            for (int cell = scope.FirstCell; cell < scope.FirstCell + scope.Cells; cell++)
            {
                places[cell] = cell / scope.Rows;
            }

            rows.Gradient(step.Merge, scope.Shards, places, Output.Gradient, Output.Stride, step.SubtreeGradients, weight!.Offset, !step.IsEnd);
        }

        for (int cell = scope.FirstCell; Input.HasGradient && cell < scope.FirstCell + scope.Cells; cell++)
        {
            new ReadOnlySpan<float>(Output.Gradient + ((nint)cell * Output.Stride), width).CopyTo(new Span<float>(Input.Gradient + ((nint)cell * Input.Stride), width));
        }
    }

    // Place p, element 2 i: sin(p / 10000^(2 i / E)), and 2 i + 1: its cosine.
    private void Fill(int most)
    {
        for (int place = 0; place < most; place++)
        {
            for (int element = 0; element < width; element++)
            {
                double angle = place / ScalarMath.Pow(10000.0, (element & ~1) / (double)width);
                vectors[((nint)place * width) + element] = (float)(element % 2 == 0 ? ScalarMath.Sin(angle) : ScalarMath.Cos(angle));
            }
        }
    }
}
