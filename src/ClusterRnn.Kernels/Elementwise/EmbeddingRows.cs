// Rows of a table by number (embeddings): gathered forward, summed backward.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Elementwise;

/// <summary>Gathers rows of an embedding table and sums their gradients per shard.</summary>
public sealed unsafe class EmbeddingRows
{
    private static readonly Kernel<ElementwiseArguments> add = ElementwiseFunctions.AddKernel;

    private readonly int vocabulary;
    private readonly int width;
    private readonly int* starts; // [vocabulary + 1]: where each token's cells begin in cells
    private readonly int* cells; // [maximum cells]: places in the list of rows, by token, in order
    private readonly float* stack; // [stack depth, width]

    /// <summary>Takes the scratch for the backward pass from <paramref name="arena"/>.</summary>
    /// <param name="arena">Where the scratch lives.</param>
    /// <param name="vocabulary">V: rows of the table.</param>
    /// <param name="width">E: columns of the table.</param>
    /// <param name="maximumCells">The most cells (time x rows) of a span.</param>
    public EmbeddingRows(Arena arena, int vocabulary, int width, long maximumCells)
    {
        ArgumentNullException.ThrowIfNull(arena);
        this.vocabulary = vocabulary;
        this.width = width;
        starts = arena.Ints((long)vocabulary + 2);
        cells = arena.Ints(maximumCells);
        stack = arena.Floats(33L * width);
    }

    /// <summary>output[i] = table[tokens[i]]; a token outside the vocabulary gives +0.</summary>
    /// <param name="table">[V, E].</param>
    /// <param name="tokens">[count].</param>
    /// <param name="count">Rows to gather.</param>
    /// <param name="output">[count, E], rows <paramref name="stride"/> apart; padding columns become +0.</param>
    /// <param name="stride">Floats from one output row to the next.</param>
    public void Gather(float* table, int* tokens, long count, float* output, nint stride)
    {
        for (long i = 0; i < count; i++, output += stride)
        {
            var row = new Span<float>(output, (int)stride);
            if ((uint)tokens[i] < (uint)vocabulary)
            {
                new ReadOnlySpan<float>(table + ((nint)tokens[i] * width), width).CopyTo(row);
                row[width..].Clear();
            }
            else
            {
                row.Clear();
            }
        }
    }

    /// <summary>
    /// For each subtree i: outputs[i][offset + v x E + e] = the tree's sum over its shards of Σ gradient[row, e] over the
    /// shard's rows that hold token v; rows without the token count as +0. The whole table is overwritten.
    /// </summary>
    /// <param name="program">The shards and how they are joined.</param>
    /// <param name="rows">The rows of each shard, in order.</param>
    /// <param name="tokens">[cells]: the token of each row; those outside the vocabulary are left out.</param>
    /// <param name="gradient">[cells, E], rows <paramref name="stride"/> apart.</param>
    /// <param name="stride">Floats from one gradient row to the next.</param>
    /// <param name="outputs">[subtrees]: gradients in the flat layout.</param>
    /// <param name="offset">Where the table begins in them.</param>
    /// <param name="continues">Whether each sum goes on from what is in the outputs instead of +0; the program must then leave the shards apart.</param>
    /// <param name="plus">[shards]: another part of each shard's gradient [V, E], added to its sums before they are joined, or null.</param>
    public void Gradient(MergeProgram program, ShardRows rows, int* tokens, float* gradient, nint stride, float** outputs, long offset, bool continues = false, float** plus = null)
    {
        SortByToken(rows, tokens);
        for (int i = 0; !continues && plus is null && i < program.Subtrees.Length; i++)
        {
            for (int token = 0; token < vocabulary; token++)
            {
                new Span<float>(outputs[i] + offset + ((nint)token * width), width).Clear();
            }
        }

        int* list = rows.Rows(0);
        for (int token = 0; token < vocabulary; token++)
        {
            int next = starts[token], end = starts[token + 1];
            if (next == end && plus is null)
            {
                continue;
            }

            int depth = 0;
            for (int shard = 0; shard < program.Range.Count; shard++)
            {
                float* sum = stack + ((nint)depth++ * width);
                if (continues)
                {
                    new ReadOnlySpan<float>(outputs[program.OutputAfter[shard]] + offset + ((nint)token * width), width).CopyTo(new Span<float>(sum, width));
                }
                else
                {
                    new Span<float>(sum, width).Clear();
                }

                int last = (int)(rows.Rows(shard) - list) + rows.Count(shard);
                for (; next < end && cells[next] < last; next++)
                {
                    Add(sum, gradient + (list[cells[next]] * stride));
                }

                if (plus is not null)
                {
                    Add(sum, plus[shard] + ((nint)token * width));
                }

                for (int merge = 0; merge < program.MergesAfter[shard]; merge++)
                {
                    depth--;
                    Add(stack + ((nint)(depth - 1) * width), stack + ((nint)depth * width));
                }

                if (program.OutputAfter[shard] >= 0)
                {
                    depth--;
                    float* target = outputs[program.OutputAfter[shard]] + offset + ((nint)token * width);
                    new ReadOnlySpan<float>(stack + ((nint)depth * width), width).CopyTo(new Span<float>(target, width));
                }
            }
        }
    }

    private void Add(float* sum, float* term) => add.Run(new ElementwiseArguments { Count = width, First = sum, Second = term, Result = sum });

    // A stable counting sort: within a token, cells stay in order of shard, then of the shard's rows.
    private void SortByToken(ShardRows rows, int* tokens)
    {
        int* list = rows.Rows(0);
        int* ends = starts + 1; // ends[v] counts, then runs from the token's start to its end
        new Span<int>(starts, vocabulary + 2).Clear();
        for (int i = 0; i < rows.Total; i++)
        {
            int token = tokens[list[i]];
            if ((uint)token < (uint)vocabulary)
            {
                ends[token + 1]++;
            }
        }

        for (int token = 0; token < vocabulary; token++)
        {
            ends[token + 1] += ends[token];
        }

        for (int i = 0; i < rows.Total; i++)
        {
            int token = tokens[list[i]];
            if ((uint)token < (uint)vocabulary)
            {
                cells[ends[token]++] = i;
            }
        }
    }
}
