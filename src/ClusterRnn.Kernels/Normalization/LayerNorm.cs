// Layer normalisation (Ba, Kiros and Hinton, 2016) of each row by itself: y = (x - mean) / sqrt(variance + epsilon) gain + bias.
// Mean, variance and the two sums of the way back run in 16 lanes (Sums), whatever the vectors' width.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Normalization;

/// <summary>The operands of <see cref="LayerNorm"/>.</summary>
public unsafe struct LayerNormArguments
{
    /// <summary>Rows.</summary>
    public long Rows;

    /// <summary>N: elements of a row.</summary>
    public int Width;

    /// <summary>x.</summary>
    public float* Source; // [rows, width]

    /// <summary>Floats from one row of the source, and of its gradient, to the next.</summary>
    public nint SourceStride;

    /// <summary>Each row's mean and 1 / sqrt(variance + epsilon): written forward, read backward.</summary>
    public float* Statistics; // [rows, 2]

    /// <summary>The factor of each element.</summary>
    public float* Gain; // [width]

    /// <summary>What is added to each element.</summary>
    public float* Bias; // [width]

    /// <summary>Forward: y, overwritten. Backward: dL/dy, overwritten with the terms of the gain's gradient, dL/dy (x - mean) / sqrt(variance + epsilon).</summary>
    public float* Target; // [rows, width]

    /// <summary>Floats from one row of the target to the next.</summary>
    public nint TargetStride;

    /// <summary>What is added to the variance.</summary>
    public float Epsilon;

    /// <summary>Backward: dL/dx, overwritten, or null.</summary>
    public float* SourceGradient; // [rows, width]

    /// <summary>Backward: what is added to dL/dx (the gradient that went round the normalisation), or null; may be <see cref="SourceGradient"/>.</summary>
    public float* Around; // [rows, width]
}

/// <summary>Normalises rows.</summary>
public static unsafe class LayerNorm
{
    /// <summary>Source -> Target and Statistics.</summary>
    public static readonly Kernel<LayerNormArguments> ForwardKernel = new("layer-norm.forward", &ForwardReference, &Forward<Lanes4>, &Forward<Lanes8>, &Forward<Lanes16>);

    /// <summary>The gradients, tiny values as +0.</summary>
    public static readonly Kernel<LayerNormArguments> BackwardKernel = new("layer-norm.backward", &BackwardReference, &Backward<Lanes4>, &Backward<Lanes8>, &Backward<Lanes16>);

    private static void ForwardReference(LayerNormArguments* a)
    {
        float* lanes = stackalloc float[Sums.Lanes];
        for (long row = 0; row < a->Rows; row++)
        {
            float* x = a->Source + ((nint)row * a->SourceStride), y = a->Target + ((nint)row * a->TargetStride);
            float mean = Sums.SumReference(x, a->Width) / a->Width;
            new Span<float>(lanes, Sums.Lanes).Clear();
            SquareRest(a, x, 0, mean, lanes);
            float inverse = Store(a, row, mean, lanes);
            ForwardRest(a, x, y, 0, mean, inverse);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V>(LayerNormArguments* a)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes, whole = a->Width / V.Width * V.Width;
        for (long row = 0; row < a->Rows; row++)
        {
            float* x = a->Source + ((nint)row * a->SourceStride), y = a->Target + ((nint)row * a->TargetStride);
            float mean = Sums.Sum<V>(x, a->Width) / a->Width;
            V means = V.Broadcast(mean);
            for (int first = 0; first < Sums.Lanes; first += V.Width)
            {
                V sum = V.Broadcast(0f);
                for (int i = first; i < blocks; i += Sums.Lanes)
                {
                    V distance = V.Load(x + i) - means;
                    sum = V.MultiplyAdd(distance, distance, sum);
                }

                sum.Store(lanes + first);
            }

            SquareRest(a, x, blocks, mean, lanes);
            float inverse = Store(a, row, mean, lanes);
            V inverses = V.Broadcast(inverse);
            for (int i = 0; i < whole; i += V.Width)
            {
                V.MultiplyAdd((V.Load(x + i) - means) * inverses, V.Load(a->Gain + i), V.Load(a->Bias + i)).Store(y + i);
            }

            ForwardRest(a, x, y, whole, mean, inverse);
        }
    }

    private static void BackwardReference(LayerNormArguments* a)
    {
        float* lanes = stackalloc float[2 * Sums.Lanes];
        for (long row = 0; row < a->Rows; row++)
        {
            new Span<float>(lanes, 2 * Sums.Lanes).Clear();
            SumRest(a, row, 0, lanes);
            BackwardRest(a, row, 0, Sums.JoinLanes(lanes) / a->Width, Sums.JoinLanes(lanes + Sums.Lanes) / a->Width);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V>(LayerNormArguments* a)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[2 * Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes, whole = a->Width / V.Width * V.Width;
        for (long row = 0; row < a->Rows; row++)
        {
            float* x = a->Source + ((nint)row * a->SourceStride), dy = a->Target + ((nint)row * a->TargetStride);
            V mean = V.Broadcast(a->Statistics[2 * row]), inverse = V.Broadcast(a->Statistics[(2 * row) + 1]);
            for (int first = 0; first < Sums.Lanes; first += V.Width)
            {
                V plain = V.Broadcast(0f), weighted = plain;
                for (int i = first; i < blocks; i += Sums.Lanes)
                {
                    V scaled = V.Load(dy + i) * V.Load(a->Gain + i);
                    plain += scaled;
                    weighted = V.MultiplyAdd(scaled, (V.Load(x + i) - mean) * inverse, weighted);
                }

                plain.Store(lanes + first);
                weighted.Store(lanes + Sums.Lanes + first);
            }

            SumRest(a, row, blocks, lanes);
            float plainMean = Sums.JoinLanes(lanes) / a->Width, weightedMean = Sums.JoinLanes(lanes + Sums.Lanes) / a->Width;
            V plainMeans = V.Broadcast(plainMean), weightedMeans = V.Broadcast(weightedMean);
            float* dx = a->SourceGradient is null ? null : a->SourceGradient + ((nint)row * a->SourceStride);
            float* around = a->Around is null ? null : a->Around + ((nint)row * a->SourceStride);
            for (int i = 0; i < whole; i += V.Width)
            {
                V normal = (V.Load(x + i) - mean) * inverse, gradient = V.Load(dy + i);
                VectorMath<V>.Flush(gradient * normal).Store(dy + i);
                if (dx != null)
                {
                    V change = V.NegativeMultiplyAdd(normal, weightedMeans, (gradient * V.Load(a->Gain + i)) - plainMeans) * inverse;
                    VectorMath<V>.Flush(around == null ? change : change + V.Load(around + i)).Store(dx + i);
                }
            }

            BackwardRest(a, row, whole, plainMean, weightedMean);
        }
    }

    // The elements from start on, a multiple of 16, added to lanes.
    private static void SquareRest(LayerNormArguments* a, float* x, int start, float mean, float* lanes)
    {
        for (int i = start; i < a->Width; i++)
        {
            float distance = x[i] - mean;
            lanes[i % Sums.Lanes] = MathF.FusedMultiplyAdd(distance, distance, lanes[i % Sums.Lanes]);
        }
    }

    private static float Store(LayerNormArguments* a, long row, float mean, float* lanes)
    {
        float inverse = 1f / MathF.Sqrt((Sums.JoinLanes(lanes) / a->Width) + a->Epsilon);
        a->Statistics[2 * row] = mean;
        a->Statistics[(2 * row) + 1] = inverse;
        return inverse;
    }

    private static void ForwardRest(LayerNormArguments* a, float* x, float* y, int start, float mean, float inverse)
    {
        for (int i = start; i < a->Width; i++)
        {
            y[i] = MathF.FusedMultiplyAdd((x[i] - mean) * inverse, a->Gain[i], a->Bias[i]);
        }
    }

    // The elements from start on, a multiple of 16, added to both sets of lanes.
    private static void SumRest(LayerNormArguments* a, long row, int start, float* lanes)
    {
        float* x = a->Source + ((nint)row * a->SourceStride), dy = a->Target + ((nint)row * a->TargetStride);
        float mean = a->Statistics[2 * row], inverse = a->Statistics[(2 * row) + 1];
        for (int i = start; i < a->Width; i++)
        {
            int lane = i % Sums.Lanes;
            float scaled = dy[i] * a->Gain[i];
            lanes[lane] += scaled;
            lanes[Sums.Lanes + lane] = MathF.FusedMultiplyAdd(scaled, (x[i] - mean) * inverse, lanes[Sums.Lanes + lane]);
        }
    }

    private static void BackwardRest(LayerNormArguments* a, long row, int start, float plainMean, float weightedMean)
    {
        float* x = a->Source + ((nint)row * a->SourceStride), dy = a->Target + ((nint)row * a->TargetStride);
        float* dx = a->SourceGradient is null ? null : a->SourceGradient + ((nint)row * a->SourceStride);
        float* around = a->Around is null ? null : a->Around + ((nint)row * a->SourceStride);
        float mean = a->Statistics[2 * row], inverse = a->Statistics[(2 * row) + 1];
        for (int i = start; i < a->Width; i++)
        {
            float normal = (x[i] - mean) * inverse, gradient = dy[i];
            dy[i] = ScalarMath.Flush(gradient * normal);
            if (dx != null)
            {
                float change = MathF.FusedMultiplyAdd(-normal, weightedMean, (gradient * a->Gain[i]) - plainMean) * inverse;
                dx[i] = ScalarMath.Flush(around == null ? change : change + around[i]);
            }
        }
    }
}
