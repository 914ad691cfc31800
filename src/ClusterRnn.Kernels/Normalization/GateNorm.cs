// Layer normalisation (Ba, Kiros and Hinton, 2016) of what goes into a recurrent cell's gates: some gates of a row share mean and
// variance, and lie in slots with padding between them, which takes no part. Unlike LayerNorm it keeps the normalised values,
// n = (x - mean) / sqrt(variance + epsilon), for the way back, and can add y = n gain + bias to what is there already: a gate
// sums its normalised input part and its normalised recurrent part.
//
// Sums run in 16 lanes (Sums): first the whole blocks of 16 of all gates, then the rest of each.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Normalization;

/// <summary>The operands of <see cref="GateNorm"/>. HP is the width rounded up to 16; gate g of a row begins at g x HP.</summary>
public unsafe struct GateNormArguments
{
    /// <summary>Rows.</summary>
    public int Rows;

    /// <summary>G: gates that share a row's mean and variance.</summary>
    public int Gates;

    /// <summary>H: units of a gate.</summary>
    public int Width;

    /// <summary>Floats from one row to the next, in all buffers of rows.</summary>
    public nint Stride;

    /// <summary>Forward: x; may be <see cref="Normals"/>.</summary>
    public float* Source; // [rows, G x HP]

    /// <summary>n = (x - mean) / sqrt(variance + epsilon): written forward, read backward.</summary>
    public float* Normals; // [rows, G x HP]

    /// <summary>1 / sqrt(variance + epsilon) of each row: written forward, read backward.</summary>
    public float* Inverses; // [rows]

    /// <summary>The factor of each element.</summary>
    public float* Gain; // [G x H]

    /// <summary>Forward: what is added to each element.</summary>
    public float* Bias; // [G x H]

    /// <summary>Forward: n gain + bias, or null where nobody asks.</summary>
    public float* Target; // [rows, G x HP]

    /// <summary>Whether results are added to what <see cref="Target"/>, or backward <see cref="SourceGradient"/>, holds.</summary>
    public bool Adds;

    /// <summary>What is added to the variance.</summary>
    public float Epsilon;

    /// <summary>Backward: dL/dy.</summary>
    public float* Gradient; // [rows, G x HP]

    /// <summary>Backward: dL/dx, tiny values as +0.</summary>
    public float* SourceGradient; // [rows, G x HP]
}

/// <summary>Normalises gates.</summary>
public static unsafe class GateNorm
{
    /// <summary>Source -> Normals, Inverses and Target; a target that is not added to has +0 in the padding that gate kernels read.</summary>
    public static readonly Kernel<GateNormArguments> ForwardKernel = new("gate-norm.forward", &ForwardReference, &Forward<Lanes4>, &Forward<Lanes8>, &Forward<Lanes16>);

    /// <summary>Gradient -> SourceGradient.</summary>
    public static readonly Kernel<GateNormArguments> BackwardKernel = new("gate-norm.backward", &BackwardReference, &Backward<Lanes4>, &Backward<Lanes8>, &Backward<Lanes16>);

    private static void ForwardReference(GateNormArguments* a)
    {
        float* lanes = stackalloc float[Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes, padded = ColumnGroups.Pad(a->Width);
        for (int row = 0; row < a->Rows; row++)
        {
            float* x = a->Source + (row * a->Stride);
            new Span<float>(lanes, Sums.Lanes).Clear();
            for (int gate = 0; gate < a->Gates; gate++)
            {
                for (int i = 0; i < blocks; i++)
                {
                    lanes[i % Sums.Lanes] += x[(gate * padded) + i];
                }
            }

            float mean = Mean(a, x, blocks, lanes);
            new Span<float>(lanes, Sums.Lanes).Clear();
            for (int gate = 0; gate < a->Gates; gate++)
            {
                for (int i = 0; i < blocks; i++)
                {
                    float distance = x[(gate * padded) + i] - mean;
                    lanes[i % Sums.Lanes] = MathF.FusedMultiplyAdd(distance, distance, lanes[i % Sums.Lanes]);
                }
            }

            float inverse = Inverse(a, row, x, blocks, mean, lanes);
            for (int gate = 0; gate < a->Gates; gate++)
            {
                ForwardRest(a, row, gate, 0, mean, inverse);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V>(GateNormArguments* a)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes, whole = a->Width / V.Width * V.Width, padded = ColumnGroups.Pad(a->Width);
        for (int row = 0; row < a->Rows; row++)
        {
            float* x = a->Source + (row * a->Stride);
            for (int first = 0; first < Sums.Lanes; first += V.Width)
            {
                V sum = V.Broadcast(0f);
                for (int gate = 0; gate < a->Gates; gate++)
                {
                    for (int i = first; i < blocks; i += Sums.Lanes)
                    {
                        sum += V.Load(x + (gate * padded) + i);
                    }
                }

                sum.Store(lanes + first);
            }

            float mean = Mean(a, x, blocks, lanes);
            V means = V.Broadcast(mean);
            for (int first = 0; first < Sums.Lanes; first += V.Width)
            {
                V sum = V.Broadcast(0f);
                for (int gate = 0; gate < a->Gates; gate++)
                {
                    for (int i = first; i < blocks; i += Sums.Lanes)
                    {
                        V distance = V.Load(x + (gate * padded) + i) - means;
                        sum = V.MultiplyAdd(distance, distance, sum);
                    }
                }

                sum.Store(lanes + first);
            }

            float inverse = Inverse(a, row, x, blocks, mean, lanes);
            V inverses = V.Broadcast(inverse);
            for (int gate = 0; gate < a->Gates; gate++)
            {
                float* source = x + (gate * padded), normals = a->Normals + (row * a->Stride) + (gate * padded);
                float* gain = a->Gain + (gate * a->Width), bias = a->Bias + (gate * a->Width);
                float* target = a->Target == null ? null : a->Target + (row * a->Stride) + (gate * padded);
                for (int i = 0; i < whole; i += V.Width)
                {
                    V normal = (V.Load(source + i) - means) * inverses;
                    normal.Store(normals + i);
                    if (target != null)
                    {
                        V result = V.MultiplyAdd(normal, V.Load(gain + i), V.Load(bias + i));
                        (a->Adds ? V.Load(target + i) + result : result).Store(target + i);
                    }
                }

                ForwardRest(a, row, gate, whole, mean, inverse);
            }
        }
    }

    private static void BackwardReference(GateNormArguments* a)
    {
        float* lanes = stackalloc float[2 * Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes;
        for (int row = 0; row < a->Rows; row++)
        {
            new Span<float>(lanes, 2 * Sums.Lanes).Clear();
            for (int gate = 0; gate < a->Gates; gate++)
            {
                Terms(a, row, gate, 0, blocks, lanes);
            }

            Means(a, row, blocks, lanes, out float plainMean, out float weightedMean);
            for (int gate = 0; gate < a->Gates; gate++)
            {
                BackwardRest(a, row, gate, 0, plainMean, weightedMean);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V>(GateNormArguments* a)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[2 * Sums.Lanes];
        int blocks = a->Width / Sums.Lanes * Sums.Lanes, whole = a->Width / V.Width * V.Width, padded = ColumnGroups.Pad(a->Width);
        for (int row = 0; row < a->Rows; row++)
        {
            float* allNormals = a->Normals + (row * a->Stride), allGradients = a->Gradient + (row * a->Stride);
            for (int first = 0; first < Sums.Lanes; first += V.Width)
            {
                V plain = V.Broadcast(0f), weighted = plain;
                for (int gate = 0; gate < a->Gates; gate++)
                {
                    float* dy = allGradients + (gate * padded), normals = allNormals + (gate * padded), gain = a->Gain + (gate * a->Width);
                    for (int i = first; i < blocks; i += Sums.Lanes)
                    {
                        V scaled = V.Load(dy + i) * V.Load(gain + i);
                        plain += scaled;
                        weighted = V.MultiplyAdd(scaled, V.Load(normals + i), weighted);
                    }
                }

                plain.Store(lanes + first);
                weighted.Store(lanes + Sums.Lanes + first);
            }

            Means(a, row, blocks, lanes, out float plainMean, out float weightedMean);
            V plainMeans = V.Broadcast(plainMean), weightedMeans = V.Broadcast(weightedMean), inverse = V.Broadcast(a->Inverses[row]);
            for (int gate = 0; gate < a->Gates; gate++)
            {
                float* dy = allGradients + (gate * padded), normals = allNormals + (gate * padded), gain = a->Gain + (gate * a->Width);
                float* dx = a->SourceGradient + (row * a->Stride) + (gate * padded);
                for (int i = 0; i < whole; i += V.Width)
                {
                    V change = V.NegativeMultiplyAdd(V.Load(normals + i), weightedMeans, (V.Load(dy + i) * V.Load(gain + i)) - plainMeans) * inverse;
                    VectorMath<V>.Flush(a->Adds ? V.Load(dx + i) + change : change).Store(dx + i);
                }

                BackwardRest(a, row, gate, whole, plainMean, weightedMean);
            }
        }
    }

    // The mean, once lanes hold the sums of the whole blocks.
    private static float Mean(GateNormArguments* a, float* x, int blocks, float* lanes)
    {
        int padded = ColumnGroups.Pad(a->Width);
        for (int gate = 0; gate < a->Gates; gate++)
        {
            for (int i = blocks; i < a->Width; i++)
            {
                lanes[i - blocks] += x[(gate * padded) + i];
            }
        }

        return Sums.JoinLanes(lanes) / (a->Gates * a->Width);
    }

    // 1 / sqrt(variance + epsilon), once lanes hold the squared distances of the whole blocks.
    private static float Inverse(GateNormArguments* a, int row, float* x, int blocks, float mean, float* lanes)
    {
        int padded = ColumnGroups.Pad(a->Width);
        for (int gate = 0; gate < a->Gates; gate++)
        {
            for (int i = blocks; i < a->Width; i++)
            {
                float distance = x[(gate * padded) + i] - mean;
                lanes[i - blocks] = MathF.FusedMultiplyAdd(distance, distance, lanes[i - blocks]);
            }
        }

        float inverse = 1f / MathF.Sqrt((Sums.JoinLanes(lanes) / (a->Gates * a->Width)) + a->Epsilon);
        a->Inverses[row] = inverse;
        return inverse;
    }

    // The elements of a gate from start on.
    private static void ForwardRest(GateNormArguments* a, int row, int gate, int start, float mean, float inverse)
    {
        nint at = (row * a->Stride) + (gate * ColumnGroups.Pad(a->Width));
        int first = gate * a->Width;
        for (int i = start; i < a->Width; i++)
        {
            float normal = (a->Source[at + i] - mean) * inverse;
            a->Normals[at + i] = normal;
            if (a->Target != null)
            {
                float result = MathF.FusedMultiplyAdd(normal, a->Gain[first + i], a->Bias[first + i]);
                a->Target[at + i] = a->Adds ? a->Target[at + i] + result : result;
            }
        }

        for (int i = a->Width; a->Target != null && !a->Adds && i < ColumnGroups.Padded(a->Width).Reach; i++)
        {
            a->Target[at + i] = 0f;
        }
    }

    // The elements [start, end) of a gate added to both sets of lanes; start is a multiple of 16.
    private static void Terms(GateNormArguments* a, int row, int gate, int start, int end, float* lanes)
    {
        nint at = (row * a->Stride) + (gate * ColumnGroups.Pad(a->Width));
        for (int i = start; i < end; i++)
        {
            int lane = i % Sums.Lanes;
            float scaled = a->Gradient[at + i] * a->Gain[(gate * a->Width) + i];
            lanes[lane] += scaled;
            lanes[Sums.Lanes + lane] = MathF.FusedMultiplyAdd(scaled, a->Normals[at + i], lanes[Sums.Lanes + lane]);
        }
    }

    // The means of dL/dn and of dL/dn n, once lanes hold the sums of the whole blocks.
    private static void Means(GateNormArguments* a, int row, int blocks, float* lanes, out float plain, out float weighted)
    {
        for (int gate = 0; gate < a->Gates; gate++)
        {
            Terms(a, row, gate, blocks, a->Width, lanes);
        }

        plain = Sums.JoinLanes(lanes) / (a->Gates * a->Width);
        weighted = Sums.JoinLanes(lanes + Sums.Lanes) / (a->Gates * a->Width);
    }

    private static void BackwardRest(GateNormArguments* a, int row, int gate, int start, float plainMean, float weightedMean)
    {
        nint at = (row * a->Stride) + (gate * ColumnGroups.Pad(a->Width));
        for (int i = start; i < a->Width; i++)
        {
            float scaled = a->Gradient[at + i] * a->Gain[(gate * a->Width) + i];
            float change = MathF.FusedMultiplyAdd(-a->Normals[at + i], weightedMean, scaled - plainMean) * a->Inverses[row];
            a->SourceGradient[at + i] = ScalarMath.Flush(a->Adds ? a->SourceGradient[at + i] + change : change);
        }
    }
}
