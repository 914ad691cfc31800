// Scaled dot-product attention (Vaswani et al., Attention is all you need, 2017) of one head of one row: each query takes
// the mean of the values, weighted by the softmax of its scaled products with the keys.
//
// Queries are taken in blocks of 32, on a grid that begins at time 0, so that a block's scores stay in L1 and what a causal
// mask hides is hardly computed: a block sees the keys up to its end. Weights that the mask hides are +0, and products that
// they are part of are stored with tiny values as +0: a query's result has the same bits whatever keys come after it.
// Backward the weights are computed again from each query's greatest score and sum (Dao et al., FlashAttention, 2022), so
// nothing is kept that grows with the square of the time. The sum Σ w dL/dw over a query's keys is result . dL/dresult.
//
// Every element of a product is one chain of fused multiply-adds over ascending k: scores over D, results and queries'
// gradients over keys, keys' and values' gradients over queries, block after block.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Attention;

/// <summary>Attention of one head of one row.</summary>
public static unsafe class ScaledAttention
{
    /// <summary>Query, Key, Value -> Result and Statistics.</summary>
    public static readonly Kernel<AttentionArguments> ForwardKernel = new(
        "product.attention-forward", &ForwardReference, &AttentionDriver<Vector128Tiles, Lanes4>.Forward, &AttentionDriver<Avx2Tiles, Lanes8>.Forward, &AttentionDriver<Avx512Tiles, Lanes16>.Forward);

    /// <summary>ResultGradient -> the gradients of Query, Key and Value, in their places.</summary>
    public static readonly Kernel<AttentionArguments> BackwardKernel = new(
        "product.attention-backward", &BackwardReference, &AttentionDriver<Vector128Tiles, Lanes4>.Backward, &AttentionDriver<Avx2Tiles, Lanes8>.Backward, &AttentionDriver<Avx512Tiles, Lanes16>.Backward);

    /// <summary>Queries of a block.</summary>
    internal const int Block = 32;

    /// <summary>Computes the result of one head of one row.</summary>
    public static void Forward(AttentionArguments arguments, AttentionScratch scratch)
    {
        ArgumentNullException.ThrowIfNull(scratch);
        arguments.Buffers = scratch.Buffers;
        ForwardKernel.Run(arguments);
    }

    /// <summary>Computes the gradients of one head of one row.</summary>
    public static void Backward(AttentionArguments arguments, AttentionScratch scratch)
    {
        ArgumentNullException.ThrowIfNull(scratch);
        arguments.Buffers = scratch.Buffers;
        BackwardKernel.Run(arguments);
    }

    /// <summary>Where the block of query <paramref name="first"/> ends.</summary>
    internal static int EndOfBlock(AttentionArguments* a, int first) => Math.Min(a->Queries, (((a->FirstQuery + first) / Block) + 1) * Block - a->FirstQuery);

    /// <summary>The keys that some query of a block sees.</summary>
    internal static int KeysOfBlock(AttentionArguments* a, int end) => a->IsCausal ? Math.Min(a->Keys, a->FirstQuery + end) : a->Keys;

    /// <summary>The keys that a query sees.</summary>
    internal static int KeysOf(AttentionArguments* a, int query) => a->IsCausal ? Math.Min(a->Keys, a->FirstQuery + query + 1) : a->Keys;

    /// <summary>target = the weights or gradients of a query's keys that the dropout keeps, scaled.</summary>
    internal static void Drop(AttentionArguments* a, int query, int keys, float* source, float* target) => Dropout.Kernel.Run(new DropoutArguments
    {
        Rows = 1,
        Width = keys,
        Source = source,
        Target = target,
        Key = a->DropKey,
        FirstSlot = a->Slot,
        Time = a->Time + query,
        FirstElement = a->FirstElement,
        Threshold = a->DropThreshold,
        Scale = a->KeptScale,
    });

    private static void ForwardReference(AttentionArguments* a)
    {
        float* weights = a->Buffers.Scores;
        for (int query = 0; query < a->Queries; query++)
        {
            int keys = KeysOf(a, query), all = KeysOfBlock(a, EndOfBlock(a, query));
            float* q = a->Query + (query * a->QueryStride);
            float greatest = float.NegativeInfinity;
            for (int key = 0; key < keys; key++)
            {
                weights[key] = Chain(q, a->Key + (key * a->KeyStride), a->HeadWidth);
                greatest = greatest < weights[key] ? weights[key] : greatest;
            }

            greatest *= a->Scale;
            for (int key = 0; key < keys; key++)
            {
                weights[key] = ScalarMath.Exp(MathF.FusedMultiplyAdd(weights[key], a->Scale, -greatest));
            }

            float inverse = 1f / Sums.SumReference(weights, keys);
            for (int key = 0; key < all; key++)
            {
                weights[key] = key < keys ? ScalarMath.Flush(weights[key] * inverse) : 0f;
            }

            a->Statistics[query * a->StatisticsStride] = greatest;
            a->Statistics[(query * a->StatisticsStride) + 1] = inverse;
            if (a->DropThreshold > 0)
            {
                Drop(a, query, keys, weights, weights);
            }

            for (int i = 0; i < a->HeadWidth; i++)
            {
                float sum = 0f;
                for (int key = 0; key < all; key++)
                {
                    sum = MathF.FusedMultiplyAdd(weights[key], a->Value[(key * a->KeyStride) + i], sum);
                }

                a->Result[(query * a->ResultStride) + i] = ScalarMath.Flush(sum);
            }
        }
    }

    private static void BackwardReference(AttentionArguments* a)
    {
        AttentionBuffers buffers = a->Buffers;
        int width = a->HeadWidth;
        nint stride = ColumnGroups.Pad(width);
        new Span<float>(buffers.KeyGradient, (int)(a->Keys * stride)).Clear();
        new Span<float>(buffers.ValueGradient, (int)(a->Keys * stride)).Clear();
        for (int query = 0; query < a->Queries; query++)
        {
            int keys = KeysOf(a, query), all = KeysOfBlock(a, EndOfBlock(a, query));
            float* q = a->Query + (query * a->QueryStride), result = a->Result + (query * a->ResultStride), gradient = a->ResultGradient + (query * a->ResultStride);
            float greatest = a->Statistics[query * a->StatisticsStride], inverse = a->Statistics[(query * a->StatisticsStride) + 1], mean = Dot(result, gradient, width);
            float* scores = buffers.Scores, weights = buffers.Weights, dropped = weights;
            new Span<float>(scores, all).Clear();
            new Span<float>(weights, all).Clear();
            for (int key = 0; key < keys; key++)
            {
                float score = Chain(q, a->Key + (key * a->KeyStride), width);
                weights[key] = ScalarMath.Flush(ScalarMath.Exp(MathF.FusedMultiplyAdd(score, a->Scale, -greatest)) * inverse);
                scores[key] = Chain(gradient, a->Value + (key * a->KeyStride), width);
            }

            if (a->DropThreshold > 0)
            {
                dropped = buffers.Dropped;
                new Span<float>(dropped, all).Clear();
                Drop(a, query, keys, weights, dropped);
                Drop(a, query, keys, scores, scores);
            }

            for (int key = 0; key < keys; key++)
            {
                scores[key] = ScalarMath.Flush(weights[key] * (scores[key] - mean) * a->Scale);
            }

            for (int key = 0; key < all; key++)
            {
                for (int i = 0; i < width; i++)
                {
                    ref float value = ref buffers.ValueGradient[(key * stride) + i], keyGradient = ref buffers.KeyGradient[(key * stride) + i];
                    value = MathF.FusedMultiplyAdd(dropped[key], gradient[i], value);
                    keyGradient = MathF.FusedMultiplyAdd(scores[key], q[i], keyGradient);
                }
            }

            for (int i = 0; i < width; i++)
            {
                float sum = 0f;
                for (int key = 0; key < all; key++)
                {
                    sum = MathF.FusedMultiplyAdd(scores[key], a->Key[(key * a->KeyStride) + i], sum);
                }

                q[i] = ScalarMath.Flush(sum);
            }
        }

        for (int key = 0; key < a->Keys; key++)
        {
            for (int i = 0; i < width; i++)
            {
                a->Key[(key * a->KeyStride) + i] = ScalarMath.Flush(buffers.KeyGradient[(key * stride) + i]);
                a->Value[(key * a->KeyStride) + i] = ScalarMath.Flush(buffers.ValueGradient[(key * stride) + i]);
            }
        }
    }

    private static float Chain(float* a, float* b, int count)
    {
        float sum = 0f;
        for (int i = 0; i < count; i++)
        {
            sum = MathF.FusedMultiplyAdd(a[i], b[i], sum);
        }

        return sum;
    }

    /// <summary>a . b in 16 lanes.</summary>
    internal static float Dot(float* a, float* b, int count)
    {
        float* lanes = stackalloc float[Sums.Lanes];
        new Span<float>(lanes, Sums.Lanes).Clear();
        for (int i = 0; i < count; i++)
        {
            lanes[i % Sums.Lanes] = MathF.FusedMultiplyAdd(a[i], b[i], lanes[i % Sums.Lanes]);
        }

        return Sums.JoinLanes(lanes);
    }
}
