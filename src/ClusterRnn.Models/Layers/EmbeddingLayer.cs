using ClusterRnn.Kernels.Elementwise;

namespace ClusterRnn.Models;

/// <summary>A learned vector for each token.</summary>
/// <param name="name">The layer's name.</param>
/// <param name="vocabulary">V.</param>
/// <param name="config">Its configuration; E is its units.</param>
/// <param name="isProjected">Whether a recurrent layer follows that reads tokens through the table (<see cref="TokenProjection"/>): then nothing is gathered here and the table's gradient is formed there.</param>
internal sealed unsafe class EmbeddingLayer(string name, int vocabulary, EmbeddingConfig config, bool isProjected) : Layer(name)
{
    private EmbeddingRows rows = null!;
    private bool isTied;
    private float** otherGradients; // [shards]: [V, E] each, of a dense layer that shares the table

    /// <summary>V.</summary>
    public int Vocabulary => vocabulary;

    /// <summary>The table's tensor.</summary>
    public ParameterTensor Weight { get; private set; } = null!;

    /// <summary>The table, in the flat vector.</summary>
    public float* Table { get; private set; } // [V, E]

    /// <summary>The gradients that a dense layer with the same weights has formed, one [V, E] a shard of the slice; null: there is none.</summary>
    public float** OtherGradients => otherGradients;

    /// <summary>E.</summary>
    public int Units => config.Units;

    /// <inheritdoc/>
    public override int OutputWidth => config.Units;

    /// <summary>Lends its table to a dense layer; false when another one has it.</summary>
    public bool TryTie()
    {
        bool isFree = !isTied;
        isTied = true;
        return isFree;
    }

    /// <summary>Takes room for <see cref="OtherGradients"/>.</summary>
    public void ReserveOtherGradients(LayerPlan plan)
    {
        long floats = (long)vocabulary * config.Units;
        float** pointers = plan.Arena.Pointers(plan.MaximumShards);
        float* gradients = plan.Arena.Floats(plan.MaximumShards * floats);
        for (int shard = 0; pointers is not null && shard < plan.MaximumShards; shard++)
        {
            pointers[shard] = gradients + (shard * floats);
        }

        otherGradients = pointers;
    }

    /// <inheritdoc/>
    public override void Declare(ParameterDeclarations declarations) =>
        declarations.Add($"{Name}.weight", new Initializer(config.Initializer, vocabulary, config.Units, StandardNormal: true), vocabulary, config.Units);

    /// <inheritdoc/>
    public override void Bind(ParameterLayout layout) => Weight = layout[$"{Name}.weight"];

    /// <inheritdoc/>
    public override void Plan(LayerPlan plan)
    {
        if (isProjected)
        {
            Output.Embedding = this;
            return;
        }

        Output.Reserve(plan);
        rows = new EmbeddingRows(plan.Arena, vocabulary, config.Units, plan.MaximumCells);
    }

    /// <inheritdoc/>
    public override void Pack(float* parameters) => Table = parameters + Weight.Offset;

    /// <inheritdoc/>
    public override void Forward(TrainingStep step)
    {
        if (isProjected)
        {
            Output.Tokens = Input.Tokens;
            return;
        }

        rows.Gather(Table, Input.Tokens + Output.Scope.FirstCell, Output.Scope.Cells, Output.At(Output.Scope.From), Output.Stride);
    }

    /// <inheritdoc/>
    public override void Backward(TrainingStep step)
    {
        if (!isProjected)
        {
            rows.Gradient(step.Merge, Output.Scope.Shards, Input.Tokens, Output.Gradient, Output.Stride, step.SubtreeGradients, Weight.Offset, !step.IsEnd, step.IsStart ? otherGradients : null);
        }
    }
}
