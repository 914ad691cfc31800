// The input's part of a recurrent layer's gates, b + W x for every cell of the window, and its way back.
//
// There are two ways. The product: one product over all cells, and backward one for the weight and one for the input.
// Through the table: where the input is an embedding and a shard has at least as many cells as there are tokens, each
// token's row is projected once, [V, I] x [I, G H], and gathered. Forward that gives the same bits, since every row of a
// product is a chain of its own. Backward, the gates' gradients are first summed per shard and token in the contract's
// order, and weight and table get their gradients from these sums, tokens ascending: other bits than the product's, so
// the model's configuration decides, never the worker.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>gates = b + W x.</summary>
internal abstract unsafe class InputProjection
{
    /// <summary>x -> gates, with the bias that the cell sets.</summary>
    public abstract PackedMatrix Weight { get; }

    /// <summary>Packs the weight; the bias is set before.</summary>
    public abstract void Pack(float* parameters);

    /// <summary>Prepares the window, or computes it whole.</summary>
    public abstract void BeginForward(float* gates, Workspace workspace);

    /// <summary>Completes the input's part of the gates of one time step.</summary>
    public abstract void Forward(int time, float* gates);

    /// <summary>Prepares the way back, once a window.</summary>
    public abstract void BeginBackward(TrainingStep step);

    /// <summary>Takes note of the gradients of one time step's gates, on the layer's way back through time.</summary>
    public abstract void Backward(int time, float* gateGradients);

    /// <summary>Computes the gradients of the weight and of what lies below from those of all gates.</summary>
    /// <param name="step">The step.</param>
    /// <param name="gateGradients">[T, B, stride]: the gradients of the gates.</param>
    /// <param name="recurrent">The recurrent weight, where it sees the gates in the same columns.</param>
    /// <param name="bias">The bias of the gates in the input's columns, or null where its gradient is not the sum of these.</param>
    /// <returns>
    /// Whether the gates' gradients were read: then the bias's gradient was formed along with the weight's, and the recurrent
    /// weight's, where they were given.
    /// </returns>
    public abstract bool EndBackward(TrainingStep step, float* gateGradients, in RecurrentOperand recurrent, ParameterTensor? bias);
}

/// <summary>What the gradient of a recurrent weight is formed from beside the gates' gradients.</summary>
/// <param name="states">[T + 1, B, stride]: the state before each cell's time step has the cell's number. Null: there is none.</param>
/// <param name="stride">Floats from one state to the next.</param>
/// <param name="columns">How a state lies in its row.</param>
/// <param name="offset">Where the weight begins in the flat vector.</param>
internal readonly unsafe struct RecurrentOperand(float* states, nint stride, ColumnGroups columns, long offset)
{
    public readonly float* States = states;
    public readonly nint Stride = stride;
    public readonly ColumnGroups Columns = columns;
    public readonly long Offset = offset;
}

/// <summary>The projection as a product over all cells.</summary>
/// <param name="plan">Where its buffers come from.</param>
/// <param name="input">x.</param>
/// <param name="weight">W.</param>
/// <param name="columns">How the input's part lies in a row of gates.</param>
/// <param name="gateStride">Floats from one row of gates to the next.</param>
/// <param name="addsToGradient">Whether the chains of the input's gradient go on from what another direction left there.</param>
internal sealed unsafe class ProductProjection(LayerPlan plan, Signal input, ParameterTensor weight, ColumnGroups columns, int gateStride, bool addsToGradient) : InputProjection
{
    private readonly PackedMatrix? back = input.HasGradient ? new PackedMatrix(plan.Arena, columns, ColumnGroups.Padded(input.Width)) : null; // gates' gradients -> dx

    /// <inheritdoc/>
    public override PackedMatrix Weight { get; } = new(plan.Arena, input.Columns, columns);

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        Weight.PackTransposed(parameters + weight.Offset, input.Width);
        back?.Pack(parameters + weight.Offset, input.Width);
    }

    /// <inheritdoc/>
    public override void BeginForward(float* gates, Workspace workspace) =>
        input.Scope.Multiply(input.Values, input.Stride, Weight, gates, gateStride, ProductStart.Bias, workspace);

    /// <inheritdoc/>
    public override void Forward(int time, float* gates)
    {
    }

    /// <inheritdoc/>
    public override void BeginBackward(TrainingStep step)
    {
    }

    /// <inheritdoc/>
    public override void Backward(int time, float* gateGradients)
    {
    }

    /// <inheritdoc/>
    public override bool EndBackward(TrainingStep step, float* gateGradients, in RecurrentOperand recurrent, ParameterTensor? bias)
    {
        if (recurrent.States is not null)
        {
            WeightGradient.ComputePair(
                step.Merge, input.Scope.Shards, gateGradients, gateStride, columns, input.Values, input.Stride, input.Columns, weight.Offset,
                recurrent.States, recurrent.Stride, recurrent.Columns, recurrent.Offset, step.SubtreeGradients, step.Workspace, !step.IsEnd, bias?.Offset);
        }
        else
        {
            WeightGradient.Compute(step.Merge, input.Scope.Shards, gateGradients, gateStride, columns, input.Values, input.Stride, input.Columns, step.SubtreeGradients, weight.Offset, step.Workspace, !step.IsEnd, bias?.Offset);
        }

        if (back is not null)
        {
            input.Scope.Multiply(gateGradients, gateStride, back, input.Gradient, input.Stride, addsToGradient ? ProductStart.Accumulate : ProductStart.Zero, step.Workspace, flush: true);
            input.Scope.ClearEnded(input.Gradient, input.Stride);
        }

        return true;
    }
}

/// <summary>The projection through an embedding's table.</summary>
internal sealed unsafe class TokenProjection : InputProjection
{
    private readonly Signal input;
    private readonly EmbeddingLayer embedding;
    private readonly ParameterTensor weight;
    private readonly ColumnGroups columns;
    private readonly int gateStride;
    private readonly int gateWidth; // floats of the input's part in a row of gates
    private readonly int embeddingStride;
    private readonly float* projected; // [V + 1, gateWidth]: b + W e of each token, and b alone for a cell without token
    private readonly float* noToken; // [embeddingStride]: +0
    private readonly PackedMatrix? back; // gates' gradients -> de
    private readonly TokenSums? sums;
    private readonly bool isFirst;
    private readonly bool isLast;
    private bool isProjected;

    /// <summary>Takes its buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="input">The tokens.</param>
    /// <param name="weight">W.</param>
    /// <param name="columns">How the input's part lies in a row of gates.</param>
    /// <param name="gateStride">Floats from one row of gates to the next.</param>
    /// <param name="place">Where the layer stands: of two directions the second one adds to the table's gradient and completes it.</param>
    /// <param name="sums">What both directions of a level share on the way back; null where nothing is trained.</param>
    public TokenProjection(LayerPlan plan, Signal input, ParameterTensor weight, ColumnGroups columns, int gateStride, RecurrentPlace place, TokenSums? sums)
    {
        this.input = input;
        this.weight = weight;
        this.columns = columns;
        this.gateStride = gateStride;
        this.sums = sums;
        isFirst = !place.IsReverse;
        isLast = place.IsReverse || !place.IsBidirectional;
        embedding = input.Embedding!;
        gateWidth = WidthOf(columns);
        embeddingStride = ColumnGroups.Pad(input.Width);
        Weight = new PackedMatrix(plan.Arena, ColumnGroups.Dense(input.Width), columns);
        projected = plan.Arena.Floats((embedding.Vocabulary + 1L) * gateWidth);
        noToken = plan.Arena.Floats(embeddingStride);
        back = plan.IsTraining ? new PackedMatrix(plan.Arena, columns, ColumnGroups.Padded(input.Width)) : null;
    }

    /// <inheritdoc/>
    public override PackedMatrix Weight { get; }

    /// <summary>Floats of the input's part in a row of gates.</summary>
    public static int WidthOf(ColumnGroups columns) => columns.Count * ColumnGroups.Pad(columns.Width);

    /// <inheritdoc/>
    public override void Pack(float* parameters)
    {
        Weight.PackTransposed(parameters + weight.Offset, input.Width);
        back?.Pack(parameters + weight.Offset, input.Width);
        isProjected = false;
    }

    /// <inheritdoc/>
    public override void BeginForward(float* gates, Workspace workspace)
    {
        if (isProjected)
        {
            return;
        }

        Product.Multiply(embedding.Vocabulary, embedding.Table, input.Width, Weight, projected, gateWidth, ProductStart.Bias, workspace);
        Product.Multiply(1, noToken, embeddingStride, Weight, projected + (long)embedding.Vocabulary * gateWidth, gateWidth, ProductStart.Bias, workspace);
        isProjected = true;
    }

    /// <inheritdoc/>
    public override void Forward(int time, float* gates)
    {
        int* tokens = input.Tokens + (long)time * input.Scope.Rows;
        for (int row = 0, rows = input.Scope.RowsAt(time); row < rows; row++)
        {
            int token = (uint)tokens[row] < (uint)embedding.Vocabulary ? tokens[row] : embedding.Vocabulary;
            NativeMemory.Copy(projected + (long)token * gateWidth, gates + (long)row * gateStride, (nuint)gateWidth * sizeof(float));
        }
    }

    /// <inheritdoc/>
    public override void BeginBackward(TrainingStep step)
    {
        if (isFirst)
        {
            sums!.ListTokens(step);
        }

        sums!.Clear();
    }

    /// <inheritdoc/>
    public override void Backward(int time, float* gateGradients)
    {
        // Against the direction of time the last comes first; the contract's sums begin with the last.
        if (isFirst)
        {
            sums!.Add(time, gateGradients, gateStride);
        }
    }

    /// <inheritdoc/>
    public override bool EndBackward(TrainingStep step, float* gateGradients, in RecurrentOperand recurrent, ParameterTensor? bias)
    {
        if (!step.IsStart)
        {
            return false; // more terms are to come
        }

        for (int time = input.Scope.Time - 1; !isFirst && time >= 0; time--)
        {
            sums!.Add(time, gateGradients + (long)time * input.Scope.Rows * gateStride, gateStride);
        }

        WeightGradient.Compute(step.Merge, sums!.Groups, sums.Sums, gateWidth, columns, sums.Vectors, embeddingStride, ColumnGroups.Padded(input.Width), step.SubtreeGradients, weight.Offset, step.Workspace);
        Product.Multiply(sums.Groups.Total, sums.Sums, gateWidth, back!, sums.Gradients, embeddingStride, isFirst ? ProductStart.Zero : ProductStart.Accumulate, step.Workspace, flush: true);
        if (isLast)
        {
            sums.TableGradient(step);
        }

        return false;
    }
}

/// <summary>
/// The way back through an embedding's table: the sums of the gates' gradients per shard and token, and from them the table's
/// gradient. Both directions of a level share one: the sums are the one's, then the other's, the vectors' gradients are of both.
/// </summary>
internal sealed unsafe class TokenSums
{
    private readonly Signal input;
    private readonly EmbeddingLayer embedding;
    private readonly int width;
    private readonly int stride; // of a vector
    private readonly EmbeddingRows rows;
    private readonly int* groupOf; // [shards, V]: the group of a shard's token, or -1
    private readonly int* tokenOf; // [groups]: the token of a group; groups are sorted by shard, then token
    private readonly int* shardOf; // [B]: the shard of a row
    private readonly int[] firstGroups; // [shards]
    private readonly int[] groupCounts; // [shards]

    /// <summary>Takes its buffers.</summary>
    /// <param name="plan">Where they come from.</param>
    /// <param name="input">The tokens.</param>
    /// <param name="width">Floats of the input's part in a row of gates.</param>
    public TokenSums(LayerPlan plan, Signal input, int width)
    {
        this.input = input;
        this.width = width;
        embedding = input.Embedding!;
        stride = ColumnGroups.Pad(input.Width);
        long most = Math.Min(plan.WindowCells, (long)plan.MaximumShards * embedding.Vocabulary);
        rows = new EmbeddingRows(plan.Arena, embedding.Vocabulary, input.Width, most);
        Groups = new ShardRows(plan.Arena, 1, (int)most, plan.MaximumShards);
        groupOf = plan.Arena.Ints((long)plan.MaximumShards * embedding.Vocabulary);
        tokenOf = plan.Arena.Ints(most);
        shardOf = plan.Arena.Ints(plan.MaximumRows);
        Sums = plan.Arena.Floats(most * width);
        Vectors = plan.Arena.Floats(most * stride);
        Gradients = plan.Arena.Floats(most * stride);
        firstGroups = new int[plan.MaximumShards];
        groupCounts = new int[plan.MaximumShards];
    }

    /// <summary>The groups of each shard: one for each of its tokens.</summary>
    public ShardRows Groups { get; }

    /// <summary>The summed gradients of the gates.</summary>
    public float* Sums { get; } // [groups, width]

    /// <summary>Each group's vector.</summary>
    public float* Vectors { get; } // [groups, stride]

    /// <summary>The gradient of each group's vector.</summary>
    public float* Gradients { get; } // [groups, stride]

    /// <summary>Finds each shard's tokens, and their vectors.</summary>
    public void ListTokens(TrainingStep step)
    {
        // All tokens of the window, also where the way back goes segment by segment: their sums run through all of it.
        SpanBatch batch = step.Batch;
        int[] rowStarts = step.RowStarts;
        int vocabulary = embedding.Vocabulary, groupCount = 0, shards = step.Merge.Range.Count;
        new Span<int>(groupOf, shards * vocabulary).Fill(-1);
        for (int shard = 0; shard < shards; shard++)
        {
            int* ofShard = groupOf + (long)shard * vocabulary;
            for (int row = rowStarts[shard]; row < rowStarts[shard + 1]; row++)
            {
                shardOf[step.RowOrder.Places is null ? row : step.RowOrder.Places[row]] = shard;
                for (int time = 0; time < batch.Lengths[row]; time++)
                {
                    int token = batch.Tokens[((long)time * batch.Rows) + row];
                    if ((uint)token < (uint)vocabulary)
                    {
                        ofShard[token] = 0;
                    }
                }
            }

            firstGroups[shard] = groupCount;
            for (int token = 0; token < vocabulary; token++)
            {
                if (ofShard[token] == 0)
                {
                    tokenOf[groupCount] = token;
                    ofShard[token] = groupCount++;
                }
            }

            groupCounts[shard] = groupCount - firstGroups[shard];
        }

        Groups.Build(0, 1, groupCount, firstGroups.AsSpan(0, shards), groupCounts.AsSpan(0, shards), null);
        rows.Gather(embedding.Table, tokenOf, groupCount, Vectors, stride);
    }

    /// <summary>Sets the sums to +0.</summary>
    public void Clear() => NativeMemory.Clear(Sums, (nuint)Groups.Total * (nuint)width * sizeof(float));

    /// <summary>Adds the gradients of one time step's gates, rows ascending. Times must descend from call to call: the contract's order within each sum.</summary>
    public void Add(int time, float* gateGradients, nint gateStride)
    {
        StepScope scope = input.Scope;
        int* tokens = input.Tokens + (long)time * scope.Rows;
        for (int row = 0, rowCount = scope.RowsAt(time); row < rowCount; row++)
        {
            if ((uint)tokens[row] < (uint)embedding.Vocabulary)
            {
                float* sum = Sums + (long)groupOf[(long)shardOf[row] * embedding.Vocabulary + tokens[row]] * width;
                ElementwiseFunctions.Add(width, sum, gateGradients + (row * gateStride), sum);
            }
        }
    }

    /// <summary>From the vectors' gradients the table's.</summary>
    public void TableGradient(TrainingStep step) =>
        rows.Gradient(step.Merge, Groups, tokenOf, Gradients, stride, step.SubtreeGradients, embedding.Weight.Offset, plus: embedding.OtherGradients);
}
