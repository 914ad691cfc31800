// Additive attention (Bahdanau, Cho and Bengio, Neural machine translation by jointly learning to align and translate, 2015) of
// one row: query i scores key j by v . tanh(query + key), and takes the mean of the values weighted by the softmax of its scores.
//
// The keys are turned so that lanes run over them: a score is one chain of fused multiply-adds over ascending elements of v. A
// query's result is a chain over ascending keys, gradients of keys and values are chains over ascending queries; the sums over
// a query's keys (its own gradient, its part of v's) run in 16 lanes. Weights are kept, tanh is computed again on the way back.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Attention;

/// <summary>The operands of <see cref="AdditiveAttention"/>: one row.</summary>
public unsafe struct AdditiveArguments
{
    /// <summary>Queries.</summary>
    public int Queries;

    /// <summary>Keys, at least 1.</summary>
    public int Keys;

    /// <summary>A: elements of a query or key.</summary>
    public int Width;

    /// <summary>D: elements of a value.</summary>
    public int ValueWidth;

    /// <summary>Backward: overwritten with its gradient.</summary>
    public float* Query; // [queries, A]

    /// <summary>Floats from one query to the next.</summary>
    public nint QueryStride;

    /// <summary>Backward: overwritten with its gradient.</summary>
    public float* Key; // [keys, A]

    /// <summary>Floats from one key to the next.</summary>
    public nint KeyStride;

    /// <summary>What the weights average.</summary>
    public float* Value; // [keys, D]

    /// <summary>Backward: the values' gradients are added here.</summary>
    public float* ValueGradient; // [keys, D]

    /// <summary>Floats from one value, and one gradient of it, to the next.</summary>
    public nint ValueStride;

    /// <summary>v.</summary>
    public float* Vector; // [A]

    /// <summary>Backward: what each query adds to v's gradient, overwritten.</summary>
    public float* VectorGradient; // [queries, A]

    /// <summary>Floats from one query's part of v's gradient to the next.</summary>
    public nint VectorGradientStride;

    /// <summary>The weights: written forward with +0 up to the next multiple of 16 keys, read backward.</summary>
    public float* Weights; // [queries, keys]

    /// <summary>Floats from one query's weights to the next, at least the keys rounded up to 16.</summary>
    public nint WeightStride;

    /// <summary>The weighted means of the values: written forward, read backward.</summary>
    public float* Result; // [queries, D]

    /// <summary>Backward: dL/dResult.</summary>
    public float* ResultGradient; // [queries, D]

    /// <summary>Floats from one result, and one gradient of it, to the next.</summary>
    public nint ResultStride;

    internal AdditiveBuffers Buffers;
}

// Scratch; P: the keys rounded up to 16.
internal unsafe struct AdditiveBuffers
{
    public float* Down; // [A, P]: the keys turned
    public float* DownGradient; // [A, P]
    public float* Scores; // [P]
    public float* First; // [P]
    public float* Second; // [P]
}

/// <summary>Scratch memory of one computing thread for additive attention. Nothing in it outlives a call.</summary>
public sealed unsafe class AdditiveScratch
{
    /// <summary>Takes the room from <paramref name="arena"/>.</summary>
    /// <param name="arena">Where the scratch lives.</param>
    /// <param name="maximumKeys">The most keys of a row.</param>
    /// <param name="width">A.</param>
    /// <param name="isTraining">Whether there is a way back.</param>
    public AdditiveScratch(Arena arena, int maximumKeys, int width, bool isTraining)
    {
        ArgumentNullException.ThrowIfNull(arena);
        long keys = ColumnGroups.Pad(maximumKeys);
        Buffers = new AdditiveBuffers
        {
            Down = arena.Floats(keys * width),
            DownGradient = isTraining ? arena.Floats(keys * width) : null,
            Scores = arena.Floats(keys),
            First = arena.Floats(keys),
            Second = arena.Floats(keys),
        };
    }

    internal AdditiveBuffers Buffers { get; }
}

/// <summary>Additive attention of one row.</summary>
public static unsafe class AdditiveAttention
{
    /// <summary>Query, Key, Value, Vector -> Weights and Result.</summary>
    public static readonly Kernel<AdditiveArguments> ForwardKernel = new("attention.additive-forward", &ForwardReference, &Forward<Lanes4>, &Forward<Lanes8>, &Forward<Lanes16>);

    /// <summary>ResultGradient -> the gradients of Query and Key in their places, of Value and Vector in theirs.</summary>
    public static readonly Kernel<AdditiveArguments> BackwardKernel = new("attention.additive-backward", &BackwardReference, &Backward<Lanes4>, &Backward<Lanes8>, &Backward<Lanes16>);

    /// <summary>Computes weights and results of one row.</summary>
    public static void Forward(AdditiveArguments arguments, AdditiveScratch scratch)
    {
        ArgumentNullException.ThrowIfNull(scratch);
        arguments.Buffers = scratch.Buffers;
        ForwardKernel.Run(arguments);
    }

    /// <summary>Computes the gradients of one row.</summary>
    public static void Backward(AdditiveArguments arguments, AdditiveScratch scratch)
    {
        ArgumentNullException.ThrowIfNull(scratch);
        arguments.Buffers = scratch.Buffers;
        BackwardKernel.Run(arguments);
    }

    private static void ForwardReference(AdditiveArguments* a)
    {
        for (int query = 0; query < a->Queries; query++)
        {
            float* q = a->Query + (query * a->QueryStride), weights = a->Weights + (query * a->WeightStride);
            float greatest = float.NegativeInfinity;
            for (int key = 0; key < a->Keys; key++)
            {
                float* k = a->Key + (key * a->KeyStride);
                float score = 0f;
                for (int i = 0; i < a->Width; i++)
                {
                    score = MathF.FusedMultiplyAdd(a->Vector[i], ScalarMath.Tanh(q[i] + k[i]), score);
                }

                weights[key] = score;
                greatest = greatest < score ? score : greatest;
            }

            for (int key = 0; key < a->Keys; key++)
            {
                weights[key] = ScalarMath.Exp(weights[key] - greatest);
            }

            float inverse = 1f / Sums.SumReference(weights, a->Keys);
            for (int key = 0; key < ColumnGroups.Pad(a->Keys); key++)
            {
                weights[key] = key < a->Keys ? ScalarMath.Flush(weights[key] * inverse) : 0f;
            }

            for (int i = 0; i < a->ValueWidth; i++)
            {
                a->Result[(query * a->ResultStride) + i] = ScalarMath.Flush(Mean(a, weights, i));
            }
        }
    }

    private static void BackwardReference(AdditiveArguments* a)
    {
        AdditiveBuffers buffers = a->Buffers;
        int keys = a->Keys;
        nint stride = ColumnGroups.Pad(keys);
        for (int query = 0; query < a->Queries; query++)
        {
            float* weights = a->Weights + (query * a->WeightStride), gradient = a->ResultGradient + (query * a->ResultStride);
            float mean = ScaledAttention.Dot(a->Result + (query * a->ResultStride), gradient, a->ValueWidth);
            for (int key = 0; key < keys; key++)
            {
                float* value = a->Value + (key * a->ValueStride), into = a->ValueGradient + (key * a->ValueStride);
                buffers.Scores[key] = ScalarMath.Flush(weights[key] * (ScaledAttention.Dot(gradient, value, a->ValueWidth) - mean));
                for (int i = 0; i < a->ValueWidth; i++)
                {
                    into[i] = MathF.FusedMultiplyAdd(weights[key], gradient[i], into[i]);
                }
            }

            for (int i = 0; i < a->Width; i++)
            {
                float* own = a->Query + (query * a->QueryStride) + i;
                float* down = buffers.DownGradient + (i * stride);
                for (int key = 0; key < keys; key++)
                {
                    float t = ScalarMath.Tanh(*own + a->Key[(key * a->KeyStride) + i]);
                    buffers.First[key] = buffers.Scores[key] * (a->Vector[i] * MathF.FusedMultiplyAdd(-t, t, 1f));
                    buffers.Second[key] = buffers.Scores[key] * t;
                    down[key] = (query == 0 ? 0f : down[key]) + buffers.First[key];
                }

                *own = ScalarMath.Flush(Sums.SumReference(buffers.First, keys));
                a->VectorGradient[(query * a->VectorGradientStride) + i] = ScalarMath.Flush(Sums.SumReference(buffers.Second, keys));
            }
        }

        KeyGradients(a, stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward<V>(AdditiveArguments* a)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[16];
        int keys = a->Keys, room = ColumnGroups.Pad(keys);
        Turn(a, room);
        for (int query = 0; query < a->Queries; query++)
        {
            float* q = a->Query + (query * a->QueryStride), weights = a->Weights + (query * a->WeightStride);
            for (int first = 0; first < room; first += V.Width)
            {
                V score = V.Broadcast(0f);
                float* down = a->Buffers.Down + first;
                for (int i = 0; i < a->Width; i++, down += room)
                {
                    score = V.MultiplyAdd(V.Broadcast(a->Vector[i]), VectorMath<V>.Tanh(V.Broadcast(q[i]) + V.Load(down)), score);
                }

                score.Store(weights + first);
            }

            new Span<float>(weights + keys, room - keys).Fill(float.NegativeInfinity);
            V greatestLanes = V.Broadcast(float.NegativeInfinity);
            for (int first = 0; first < room; first += V.Width)
            {
                V score = V.Load(weights + first);
                greatestLanes = V.SelectLess(greatestLanes, score, score, greatestLanes);
            }

            greatestLanes.Store(lanes);
            float greatest = lanes[0];
            for (int i = 1; i < V.Width; i++)
            {
                greatest = greatest < lanes[i] ? lanes[i] : greatest;
            }

            V shift = V.Broadcast(greatest);
            for (int first = 0; first < room; first += V.Width)
            {
                VectorMath<V>.Exp(V.Load(weights + first) - shift).Store(weights + first);
            }

            new Span<float>(weights + keys, room - keys).Clear();
            V inverse = V.Broadcast(1f / Sums.Sum<V>(weights, room));
            for (int first = 0; first < room; first += V.Width)
            {
                VectorMath<V>.Flush(V.Load(weights + first) * inverse).Store(weights + first);
            }

            new Span<float>(weights + keys, room - keys).Clear(); // +0 even where the sum is no number
            float* result = a->Result + (query * a->ResultStride);
            int element = 0;
            for (; element <= a->ValueWidth - V.Width; element += V.Width)
            {
                V sum = V.Broadcast(0f);
                float* value = a->Value + element;
                for (int key = 0; key < keys; key++, value += a->ValueStride)
                {
                    sum = V.MultiplyAdd(V.Broadcast(weights[key]), V.Load(value), sum);
                }

                VectorMath<V>.Flush(sum).Store(result + element);
            }

            for (; element < a->ValueWidth; element++)
            {
                result[element] = ScalarMath.Flush(Mean(a, weights, element));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward<V>(AdditiveArguments* a)
        where V : struct, ILanes<V>
    {
        AdditiveBuffers buffers = a->Buffers;
        int keys = a->Keys, room = ColumnGroups.Pad(keys);
        V one = V.Broadcast(1f);
        Turn(a, room);
        new Span<float>(buffers.DownGradient, a->Width * room).Clear();
        for (int query = 0; query < a->Queries; query++)
        {
            float* weights = a->Weights + (query * a->WeightStride), gradient = a->ResultGradient + (query * a->ResultStride);
            float mean = ScaledAttention.Dot(a->Result + (query * a->ResultStride), gradient, a->ValueWidth);
            for (int key = 0; key < keys; key++)
            {
                float* value = a->Value + (key * a->ValueStride), into = a->ValueGradient + (key * a->ValueStride);
                buffers.Scores[key] = ScalarMath.Flush(weights[key] * (ScaledAttention.Dot(gradient, value, a->ValueWidth) - mean));
                V weight = V.Broadcast(weights[key]);
                int element = 0;
                for (; element <= a->ValueWidth - V.Width; element += V.Width)
                {
                    V.MultiplyAdd(weight, V.Load(gradient + element), V.Load(into + element)).Store(into + element);
                }

                for (; element < a->ValueWidth; element++)
                {
                    into[element] = MathF.FusedMultiplyAdd(weights[key], gradient[element], into[element]);
                }
            }

            new Span<float>(buffers.Scores + keys, room - keys).Clear();
            for (int i = 0; i < a->Width; i++)
            {
                float* own = a->Query + (query * a->QueryStride) + i;
                float* down = buffers.Down + ((nint)i * room), into = buffers.DownGradient + ((nint)i * room);
                V q = V.Broadcast(*own), v = V.Broadcast(a->Vector[i]);
                for (int first = 0; first < room; first += V.Width)
                {
                    V t = VectorMath<V>.Tanh(q + V.Load(down + first)), score = V.Load(buffers.Scores + first);
                    V part = score * (v * V.NegativeMultiplyAdd(t, t, one));
                    part.Store(buffers.First + first);
                    (score * t).Store(buffers.Second + first);
                    (V.Load(into + first) + part).Store(into + first);
                }

                new Span<float>(buffers.First + keys, room - keys).Clear();
                new Span<float>(buffers.Second + keys, room - keys).Clear();
                *own = ScalarMath.Flush(Sums.Sum<V>(buffers.First, room));
                a->VectorGradient[(query * a->VectorGradientStride) + i] = ScalarMath.Flush(Sums.Sum<V>(buffers.Second, room));
            }
        }

        KeyGradients(a, room);
    }

    private static float Mean(AdditiveArguments* a, float* weights, int element)
    {
        float sum = 0f;
        for (int key = 0; key < a->Keys; key++)
        {
            sum = MathF.FusedMultiplyAdd(weights[key], a->Value[(key * a->ValueStride) + element], sum);
        }

        return sum;
    }

    private static void Turn(AdditiveArguments* a, int room)
    {
        for (int i = 0; i < a->Width; i++)
        {
            float* down = a->Buffers.Down + ((nint)i * room), key = a->Key + i;
            for (int k = 0; k < a->Keys; k++, key += a->KeyStride)
            {
                down[k] = *key;
            }

            new Span<float>(down + a->Keys, room - a->Keys).Clear();
        }
    }

    private static void KeyGradients(AdditiveArguments* a, nint stride)
    {
        for (int key = 0; key < a->Keys; key++)
        {
            float* into = a->Key + (key * a->KeyStride), down = a->Buffers.DownGradient + key;
            for (int i = 0; i < a->Width; i++, down += stride)
            {
                into[i] = ScalarMath.Flush(*down);
            }
        }
    }
}
