// Sums over an array. They run in 16 lanes, lane j over elements j, j + 16, ..., which are then joined 8 apart, 4 apart, 2
// apart, 1 apart: the same on every machine, however wide its vectors are.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Reduction;

/// <summary>The operands of a sum.</summary>
public unsafe struct SumArguments
{
    /// <summary>Elements.</summary>
    public long Count;

    /// <summary>First operand.</summary>
    public float* First;

    /// <summary>Second operand, where there is one.</summary>
    public float* Second;

    /// <summary>[1], out.</summary>
    public double* Result;
}

/// <summary>Sums in a fixed order.</summary>
public static unsafe class Sums
{
    /// <summary>The lanes in which every sum runs.</summary>
    public const int Lanes = 16;

    /// <summary>Result = Σ First Second in double, each term added by a fused multiply-add of exact operands.</summary>
    public static readonly Kernel<SumArguments> DotKernel = new("reduction.dot", &DotReference, &Dot128, &Dot256, &Dot512);

    /// <summary>Σ x² in double.</summary>
    public static double SquareSum(long count, float* x) => Dot(count, x, x);

    /// <summary>Σ x y in double.</summary>
    public static double Dot(long count, float* x, float* y)
    {
        double result;
        DotKernel.Run(new SumArguments { Count = count, First = x, Second = y, Result = &result });
        return result;
    }

    /// <summary>Whether all elements are finite.</summary>
    public static bool AllFinite(long count, float* x)
    {
        for (long i = 0; i < count; i++)
        {
            if (!float.IsFinite(x[i]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>For each shard s: sums[s] = Σ values[row] over its rows in order (a chain of additions from +0).</summary>
    public static void PerShard(ShardRows rows, double* values, double* sums)
    {
        ArgumentNullException.ThrowIfNull(rows);
        for (int shard = 0; shard < rows.Shards; shard++)
        {
            int* list = rows.Rows(shard);
            double sum = 0;
            for (int i = 0; i < rows.Count(shard); i++)
            {
                sum += values[list[i]];
            }

            sums[shard] = sum;
        }
    }

    // Σ x in float.
    internal static float SumReference(float* x, int count)
    {
        float* lanes = stackalloc float[Lanes];
        new Span<float>(lanes, Lanes).Clear();
        for (int i = 0; i < count; i++)
        {
            lanes[i % Lanes] += x[i];
        }

        return JoinLanes(lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static float Sum<V>(float* x, int count)
        where V : struct, ILanes<V>
    {
        float* lanes = stackalloc float[Lanes];
        int whole = count / Lanes * Lanes;
        for (int first = 0; first < Lanes; first += V.Width)
        {
            V sum = V.Broadcast(0f);
            for (int i = first; i < whole; i += Lanes)
            {
                sum += V.Load(x + i);
            }

            sum.Store(lanes + first);
        }

        for (int i = whole; i < count; i++)
        {
            lanes[i - whole] += x[i];
        }

        return JoinLanes(lanes);
    }

    // The lanes joined; they are overwritten.
    internal static float JoinLanes(float* lanes)
    {
        for (int half = Lanes / 2; half > 0; half /= 2)
        {
            for (int i = 0; i < half; i++)
            {
                lanes[i] += lanes[i + half];
            }
        }

        return lanes[0];
    }

    private static double JoinLanes(double* lanes)
    {
        for (int half = Lanes / 2; half > 0; half /= 2)
        {
            for (int i = 0; i < half; i++)
            {
                lanes[i] += lanes[i + half];
            }
        }

        return lanes[0];
    }

    private static void DotReference(SumArguments* a)
    {
        double* lanes = stackalloc double[Lanes];
        new Span<double>(lanes, Lanes).Clear();
        DotRest(a, 0, lanes);
    }

    // The elements from start on, a multiple of 16, added to lanes; then the result.
    private static void DotRest(SumArguments* a, long start, double* lanes)
    {
        for (long i = start; i < a->Count; i++)
        {
            lanes[i % Lanes] = Math.FusedMultiplyAdd(a->First[i], a->Second[i], lanes[i % Lanes]);
        }

        *a->Result = JoinLanes(lanes);
    }

    private static void Dot128(SumArguments* a)
    {
        double* lanes = stackalloc double[Lanes];
        long whole = a->Count / Lanes * Lanes;
        for (int first = 0; first < Lanes; first += 4)
        {
            Vector128<double> low = Vector128<double>.Zero, high = Vector128<double>.Zero;
            for (long i = first; i < whole; i += Lanes)
            {
                var (xLow, xHigh) = Vector128.Widen(Vector128.Load(a->First + i));
                var (yLow, yHigh) = Vector128.Widen(Vector128.Load(a->Second + i));
                low = Vector128.FusedMultiplyAdd(xLow, yLow, low);
                high = Vector128.FusedMultiplyAdd(xHigh, yHigh, high);
            }

            low.Store(lanes + first);
            high.Store(lanes + first + 2);
        }

        DotRest(a, whole, lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot256(SumArguments* a)
    {
        double* lanes = stackalloc double[Lanes];
        long whole = a->Count / Lanes * Lanes;
        Vector256<double> s0 = Vector256<double>.Zero, s1 = s0, s2 = s0, s3 = s0;
        for (long i = 0; i < whole; i += Lanes)
        {
            float* x = a->First + i, y = a->Second + i;
            s0 = Fma.MultiplyAdd(Avx.ConvertToVector256Double(Sse.LoadVector128(x)), Avx.ConvertToVector256Double(Sse.LoadVector128(y)), s0);
            s1 = Fma.MultiplyAdd(Avx.ConvertToVector256Double(Sse.LoadVector128(x + 4)), Avx.ConvertToVector256Double(Sse.LoadVector128(y + 4)), s1);
            s2 = Fma.MultiplyAdd(Avx.ConvertToVector256Double(Sse.LoadVector128(x + 8)), Avx.ConvertToVector256Double(Sse.LoadVector128(y + 8)), s2);
            s3 = Fma.MultiplyAdd(Avx.ConvertToVector256Double(Sse.LoadVector128(x + 12)), Avx.ConvertToVector256Double(Sse.LoadVector128(y + 12)), s3);
        }

        Avx.Store(lanes, s0);
        Avx.Store(lanes + 4, s1);
        Avx.Store(lanes + 8, s2);
        Avx.Store(lanes + 12, s3);
        DotRest(a, whole, lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot512(SumArguments* a)
    {
        double* lanes = stackalloc double[Lanes];
        long whole = a->Count / Lanes * Lanes;
        Vector512<double> s0 = Vector512<double>.Zero, s1 = s0;
        for (long i = 0; i < whole; i += Lanes)
        {
            float* x = a->First + i, y = a->Second + i;
            s0 = Avx512F.FusedMultiplyAdd(Avx512F.ConvertToVector512Double(Avx.LoadVector256(x)), Avx512F.ConvertToVector512Double(Avx.LoadVector256(y)), s0);
            s1 = Avx512F.FusedMultiplyAdd(Avx512F.ConvertToVector512Double(Avx.LoadVector256(x + 8)), Avx512F.ConvertToVector512Double(Avx.LoadVector256(y + 8)), s1);
        }

        Avx512F.Store(lanes, s0);
        Avx512F.Store(lanes + 8, s1);
        DotRest(a, whole, lanes);
    }
}
