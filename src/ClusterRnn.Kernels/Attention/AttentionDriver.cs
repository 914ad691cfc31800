// Attention on the tiles of the products: what a head's products read on their right is rearranged once, then block after
// block of queries goes through scores, softmax and the products with the weights.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Attention;

internal static unsafe class AttentionDriver<T, V>
    where T : struct, ITiles
    where V : struct, ILanes<V>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Forward(AttentionArguments* a)
    {
        AttentionBuffers buffers = a->Buffers;
        int width = a->HeadWidth;
        Down(a->Key, a->KeyStride, a->Keys, width, buffers.KeysDown);
        Along(a->Value, a->KeyStride, a->Keys, width, buffers.Along);
        for (int first = 0, end; first < a->Queries; first = end)
        {
            end = ScaledAttention.EndOfBlock(a, first);
            int all = ScaledAttention.KeysOfBlock(a, end);
            Scores(a, a->Query + (first * a->QueryStride), a->QueryStride, end - first, all, buffers.KeysDown, buffers.Scores);
            for (int query = first; query < end; query++)
            {
                int keys = ScaledAttention.KeysOf(a, query);
                float* weights = buffers.Scores + ((query - first) * buffers.ScoreStride);
                Softmax(a, query, weights, keys, all);
                if (a->DropThreshold > 0)
                {
                    ScaledAttention.Drop(a, query, keys, weights, weights);
                }
            }

            Weighted(a, buffers.Scores, end - first, all, a->Result + (first * a->ResultStride), a->ResultStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Backward(AttentionArguments* a)
    {
        AttentionBuffers buffers = a->Buffers;
        int width = a->HeadWidth;
        nint stride = ColumnGroups.Pad(width);
        Down(a->Key, a->KeyStride, a->Keys, width, buffers.KeysDown);
        Down(a->Value, a->KeyStride, a->Keys, width, buffers.ValuesDown);
        Along(a->Key, a->KeyStride, a->Keys, width, buffers.Along);
        new Span<float>(buffers.KeyGradient, (int)(a->Keys * stride)).Clear();
        new Span<float>(buffers.ValueGradient, (int)(a->Keys * stride)).Clear();
        for (int first = 0, end; first < a->Queries; first = end)
        {
            end = ScaledAttention.EndOfBlock(a, first);
            int all = ScaledAttention.KeysOfBlock(a, end), count = end - first;
            float* query = a->Query + (first * a->QueryStride), gradient = a->ResultGradient + (first * a->ResultStride);
            Scores(a, query, a->QueryStride, count, all, buffers.KeysDown, buffers.Weights);
            Scores(a, gradient, a->ResultStride, count, all, buffers.ValuesDown, buffers.Scores);
            for (int i = 0; i < count; i++)
            {
                ScoreGradients(a, first + i, i, all);
            }

            float* weights = a->DropThreshold > 0 ? buffers.Dropped : buffers.Weights;
            Along(gradient, a->ResultStride, count, width, buffers.Block);
            Gathered(a, weights, count, all, buffers.ValueGradient);
            Along(query, a->QueryStride, count, width, buffers.Block);
            Gathered(a, buffers.Scores, count, all, buffers.KeyGradient);
            Weighted(a, buffers.Scores, count, all, query, a->QueryStride);
        }

        for (int key = 0; key < a->Keys; key++)
        {
            Flushed(buffers.KeyGradient + (key * stride), a->Key + (key * a->KeyStride), width);
            Flushed(buffers.ValueGradient + (key * stride), a->Value + (key * a->KeyStride), width);
        }
    }

    // panels of [D, count]: the rows of source become columns.
    private static void Down(float* source, nint sourceStride, int count, int width, float* panels)
    {
        var arguments = new PackingArguments { Source = source, SourceStride = sourceStride, K = width, Columns = count, Panels = panels, PanelStride = (long)width * T.PanelWidth };
        Packing.Transposed<T>(&arguments);
    }

    // panels of [count, D].
    private static void Along(float* source, nint sourceStride, int count, int width, float* panels)
    {
        var arguments = new PackingArguments { Source = source, SourceStride = sourceStride, K = count, Columns = width, Panels = panels, PanelStride = (long)count * T.PanelWidth };
        Packing.Plain<T>(&arguments);
    }

    private static int Panels(int columns) => (columns + T.PanelWidth - 1) / T.PanelWidth;

    // scores[count, all] = rows . (the first columns of panels)
    private static void Scores(AttentionArguments* a, float* rows, nint stride, int count, int all, float* panels, float* scores)
    {
        var product = new ProductArguments
        {
            Rows = count,
            A = rows,
            Lda = stride,
            Inner = ColumnGroups.Dense(a->HeadWidth),
            C = scores,
            Ldc = a->Buffers.ScoreStride,
            Columns = ColumnGroups.Padded(all),
            Panels = panels,
            PanelStride = (long)a->HeadWidth * T.PanelWidth,
            PanelsPerGroup = Panels(all),
        };
        Run(a, &product);
    }

    // result[count, D] = weights[count, all] . Along
    private static void Weighted(AttentionArguments* a, float* weights, int count, int all, float* result, nint stride)
    {
        var product = new ProductArguments
        {
            Rows = count,
            A = weights,
            Lda = a->Buffers.ScoreStride,
            Inner = ColumnGroups.Padded(all),
            C = result,
            Ldc = stride,
            Columns = ColumnGroups.Dense(a->HeadWidth),
            Panels = a->Buffers.Along,
            PanelStride = (long)a->Keys * T.PanelWidth,
            PanelsPerGroup = Panels(a->HeadWidth),
            Flush = true,
        };
        Run(a, &product);
    }

    // sums[all, D] += weights[count, all]ᵀ . Block
    private static void Gathered(AttentionArguments* a, float* weights, int count, int all, float* sums)
    {
        var product = new ProductArguments
        {
            Rows = all,
            A = weights,
            Lda = a->Buffers.ScoreStride,
            IsLeftTransposed = true,
            Inner = ColumnGroups.Dense(count),
            C = sums,
            Ldc = ColumnGroups.Pad(a->HeadWidth),
            Columns = ColumnGroups.Padded(a->HeadWidth),
            Panels = a->Buffers.Block,
            PanelStride = (long)count * T.PanelWidth,
            PanelsPerGroup = Panels(a->HeadWidth),
            Start = ProductStart.Accumulate,
        };
        Run(a, &product);
    }

    private static void Run(AttentionArguments* a, ProductArguments* product)
    {
        product->FreshGroup = -1;
        product->Left = a->Buffers.Left;
        product->Tile = a->Buffers.Tile;
        product->Zeros = a->Buffers.Zeros;
        ProductDriver<T>.Run(product);
    }

    // A query's scores -> its weights; +0 from keys to all, rounded up to 16.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Softmax(AttentionArguments* a, int query, float* row, int keys, int all)
    {
        float* lanes = stackalloc float[16];
        int read = ColumnGroups.Pad(keys), rest = ColumnGroups.Pad(all) - keys;
        new Span<float>(row + keys, rest).Fill(float.NegativeInfinity);
        V greatestLanes = V.Broadcast(float.NegativeInfinity);
        for (int i = 0; i < read; i += V.Width)
        {
            V score = V.Load(row + i);
            greatestLanes = V.SelectLess(greatestLanes, score, score, greatestLanes);
        }

        greatestLanes.Store(lanes);
        float greatest = lanes[0];
        for (int i = 1; i < V.Width; i++)
        {
            greatest = greatest < lanes[i] ? lanes[i] : greatest;
        }

        greatest *= a->Scale;
        V scale = V.Broadcast(a->Scale), shift = V.Broadcast(-greatest);
        for (int i = 0; i < read; i += V.Width)
        {
            VectorMath<V>.Exp(V.MultiplyAdd(V.Load(row + i), scale, shift)).Store(row + i);
        }

        new Span<float>(row + keys, rest).Clear();
        float inverse = 1f / Sums.Sum<V>(row, read);
        V inverses = V.Broadcast(inverse);
        for (int i = 0; i < read; i += V.Width)
        {
            VectorMath<V>.Flush(V.Load(row + i) * inverses).Store(row + i);
        }

        new Span<float>(row + keys, read - keys).Clear(); // +0 even where the sum is no number
        a->Statistics[query * a->StatisticsStride] = greatest;
        a->Statistics[(query * a->StatisticsStride) + 1] = inverse;
    }

    // Weights (a query's scores) -> its weights; Scores (dL/dweights) -> dL/dscores.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScoreGradients(AttentionArguments* a, int query, int row, int all)
    {
        AttentionBuffers* buffers = &a->Buffers;
        float* weights = buffers->Weights + (row * buffers->ScoreStride), scores = buffers->Scores + (row * buffers->ScoreStride);
        int keys = ScaledAttention.KeysOf(a, query), read = ColumnGroups.Pad(keys), rest = ColumnGroups.Pad(all) - keys;
        V scale = V.Broadcast(a->Scale), shift = V.Broadcast(-a->Statistics[query * a->StatisticsStride]), inverse = V.Broadcast(a->Statistics[(query * a->StatisticsStride) + 1]);
        for (int i = 0; i < read; i += V.Width)
        {
            VectorMath<V>.Flush(VectorMath<V>.Exp(V.MultiplyAdd(V.Load(weights + i), scale, shift)) * inverse).Store(weights + i);
        }

        new Span<float>(weights + keys, rest).Clear();
        if (a->DropThreshold > 0)
        {
            float* dropped = buffers->Dropped + (row * buffers->ScoreStride);
            ScaledAttention.Drop(a, query, keys, weights, dropped);
            new Span<float>(dropped + keys, rest).Clear();
            ScaledAttention.Drop(a, query, keys, scores, scores);
        }

        V mean = V.Broadcast(Dot(a->Result + (query * a->ResultStride), a->ResultGradient + (query * a->ResultStride), a->HeadWidth));
        for (int i = 0; i < read; i += V.Width)
        {
            VectorMath<V>.Flush(V.Load(weights + i) * (V.Load(scores + i) - mean) * scale).Store(scores + i);
        }

        new Span<float>(scores + keys, rest).Clear();
    }

    // a . b in 16 lanes.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot(float* a, float* b, int count)
    {
        float* lanes = stackalloc float[Sums.Lanes];
        int whole = count / Sums.Lanes * Sums.Lanes;
        for (int first = 0; first < Sums.Lanes; first += V.Width)
        {
            V sum = V.Broadcast(0f);
            for (int i = first; i < whole; i += Sums.Lanes)
            {
                sum = V.MultiplyAdd(V.Load(a + i), V.Load(b + i), sum);
            }

            sum.Store(lanes + first);
        }

        for (int i = whole; i < count; i++)
        {
            lanes[i - whole] = MathF.FusedMultiplyAdd(a[i], b[i], lanes[i - whole]);
        }

        return Sums.JoinLanes(lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Flushed(float* source, float* target, int count)
    {
        int i = 0;
        for (; i <= count - V.Width; i += V.Width)
        {
            VectorMath<V>.Flush(V.Load(source + i)).Store(target + i);
        }

        for (; i < count; i++)
        {
            target[i] = ScalarMath.Flush(source[i]);
        }
    }
}
