// The encoder's half of a model from one sequence to another: it reads the rows' sources whole, on a time axis and in an order of
// rows of its own, and leaves its outputs and last states for the decoder's layers (EncodedMemory). On the way back it goes on
// from the gradients that those have left there.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>An encoder within an executor.</summary>
internal sealed unsafe class EncoderPass
{
    private readonly StepScope scope;
    private readonly StepScope last;
    private readonly int[] rowCounts;

    /// <summary>Takes the buffers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="layers">The encoder's layers.</param>
    /// <param name="arena">Where the buffers come from.</param>
    /// <param name="maximumTime">The longest source.</param>
    /// <param name="maximumRows">The most rows.</param>
    /// <param name="maximumShards">The most shards.</param>
    /// <param name="isTraining">Whether there is a way back.</param>
    public EncoderPass(Model model, Layer[] layers, Arena arena, int maximumTime, int maximumRows, int maximumShards, bool isTraining)
    {
        Layers = layers;
        rowCounts = new int[maximumShards];
        scope = new StepScope(arena, maximumTime, maximumTime, maximumRows, maximumShards);
        last = new StepScope(arena, 1, 1, maximumRows, maximumShards);
        Order = new RowOrder(arena, model, model.Input == InputKind.Tokens, maximumTime, 0, maximumRows);
        var flowing = new Signal(model.InputWidth) { Stride = model.InputWidth, MaximumTime = maximumTime, Scope = scope };
        foreach (Layer layer in layers)
        {
            layer.Input = flowing;
            flowing = new Signal(layer.OutputWidth) { Scope = scope, MaximumTime = maximumTime };
            layer.Output = flowing;
        }

        EncoderLevel[] levels = [.. layers.Select(LevelOf).OfType<EncoderLevel>()];
        var plan = new LayerPlan(arena, maximumTime, maximumTime, maximumRows, maximumShards, isTraining);
        foreach (Layer layer in layers)
        {
            layer.Bind(model.Layout);
            layer.Plan(plan);
        }

        Memory = new EncodedMemory(flowing, levels, Order, () => last.Shards);
    }

    /// <summary>Its layers in forward order.</summary>
    public Layer[] Layers { get; }

    /// <summary>What it leaves for the decoder.</summary>
    public EncodedMemory Memory { get; }

    /// <summary>The order in which it computes the rows.</summary>
    public RowOrder Order { get; }

    /// <summary>What its layers know of the step.</summary>
    public TrainingStep Step { get; } = new() { IsReset = true };

    /// <summary>Reads a batch's sources.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="rowStarts">The rows of each shard as bounds, or empty where nothing is summed.</param>
    /// <param name="decoder">The decoder's step, which says what there is to know beside rows and times.</param>
    public void Forward(SpanBatch batch, ReadOnlySpan<int> rowStarts, TrainingStep decoder)
    {
        int shards = Math.Max(0, rowStarts.Length - 1);
        for (int shard = 0; shard < shards; shard++)
        {
            rowCounts[shard] = rowStarts[shard + 1] - rowStarts[shard];
        }

        Order.Load(batch);
        scope.Load(batch, Order, 0, batch.Time, 0, rowStarts[..shards], rowCounts.AsSpan(0, shards));
        last.LoadLast(batch, Order, rowStarts[..shards], rowCounts.AsSpan(0, shards));
        Step.Batch = batch;
        Step.RowOrder = Order;
        Step.ShardRows = last.Shards;
        Step.RowStarts = decoder.RowStarts;
        Step.Merge = decoder.Merge;
        Step.SubtreeGradients = decoder.SubtreeGradients;
        Step.Seed = decoder.Seed;
        Step.Version = decoder.Version;
        Step.IsTraining = decoder.IsTraining;
        Step.Workspace = decoder.Workspace;
        Signal input = Layers[0].Input;
        input.Tokens = batch.Tokens is null ? null : Order.Tokens(batch.Tokens, batch.Time);
        input.Values = batch.Features is null ? null : Order.Features(batch.Features, batch.Time, batch.FeatureWidth);
        foreach (Layer layer in Layers)
        {
            if (layer.StateWidth > 0)
            {
                layer.LoadState(null, 0);
            }

            layer.Forward(Step);
        }

        Memory.RowsPerSource = 1;
    }

    private static EncoderLevel? LevelOf(Layer layer)
    {
        IReadOnlyList<RecurrentLayer> directions = layer switch
        {
            RecurrentLayer one => [one],
            BidirectionalLayer both => both.Directions,
            ResidualLayer around => LevelOf(around.Inner)?.Directions ?? [],
            _ => [],
        };
        foreach (RecurrentLayer direction in directions)
        {
            direction.GivesLastStates = true;
        }

        return directions.Count == 0 ? null : new EncoderLevel(directions);
    }
}
