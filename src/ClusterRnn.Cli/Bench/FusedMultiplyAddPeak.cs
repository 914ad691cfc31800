// The most multiply-adds a core can do: loops of independent fused multiply-adds in registers, one for each instruction set.
// A share of this figure says how well a product uses the machine, whatever its clock.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ClusterRnn.Cli.Bench;

/// <summary>Measures the peak of one core.</summary>
internal static class FusedMultiplyAddPeak
{
    private const int Chains = 12; // more than latency x units on any core so far
    private const int Rounds = 200_000;

    private static float s_kept; // so that nothing is optimised away

    /// <summary>For each instruction set of this machine, the best of some short runs on this thread: floating-point operations a second.</summary>
    public static SortedDictionary<string, double> Measure(int runs = 20)
    {
        var peaks = new SortedDictionary<string, double>(StringComparer.Ordinal);
        if (Avx512F.IsSupported)
        {
            peaks["avx512"] = Best(runs, 16, Run512);
        }

        if (Fma.IsSupported)
        {
            peaks["avx2"] = Best(runs, 8, Run256);
        }

        peaks["vector128"] = Best(runs, 4, Run128);
        return peaks;
    }

    private static double Best(int runs, int lanes, Func<float> run)
    {
        double best = 0;
        for (int i = 0; i < runs; i++)
        {
            long started = Stopwatch.GetTimestamp();
            s_kept = run();
            best = Math.Max(best, 2.0 * Chains * Rounds * lanes / Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return best;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Run512()
    {
        Vector512<float> x = Vector512.Create(0.5f), y = Vector512.Create(1f);
        Vector512<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int round = 0; round < Rounds; round++)
        {
            a = Avx512F.FusedMultiplyAdd(a, x, y);
            b = Avx512F.FusedMultiplyAdd(b, x, y);
            c = Avx512F.FusedMultiplyAdd(c, x, y);
            d = Avx512F.FusedMultiplyAdd(d, x, y);
            e = Avx512F.FusedMultiplyAdd(e, x, y);
            f = Avx512F.FusedMultiplyAdd(f, x, y);
            g = Avx512F.FusedMultiplyAdd(g, x, y);
            h = Avx512F.FusedMultiplyAdd(h, x, y);
            i = Avx512F.FusedMultiplyAdd(i, x, y);
            j = Avx512F.FusedMultiplyAdd(j, x, y);
            k = Avx512F.FusedMultiplyAdd(k, x, y);
            l = Avx512F.FusedMultiplyAdd(l, x, y);
        }

        return (a + b + c + d + e + f + g + h + i + j + k + l).GetElement(0);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Run256()
    {
        Vector256<float> x = Vector256.Create(0.5f), y = Vector256.Create(1f);
        Vector256<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int round = 0; round < Rounds; round++)
        {
            a = Fma.MultiplyAdd(a, x, y);
            b = Fma.MultiplyAdd(b, x, y);
            c = Fma.MultiplyAdd(c, x, y);
            d = Fma.MultiplyAdd(d, x, y);
            e = Fma.MultiplyAdd(e, x, y);
            f = Fma.MultiplyAdd(f, x, y);
            g = Fma.MultiplyAdd(g, x, y);
            h = Fma.MultiplyAdd(h, x, y);
            i = Fma.MultiplyAdd(i, x, y);
            j = Fma.MultiplyAdd(j, x, y);
            k = Fma.MultiplyAdd(k, x, y);
            l = Fma.MultiplyAdd(l, x, y);
        }

        return (a + b + c + d + e + f + g + h + i + j + k + l).GetElement(0);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Run128()
    {
        Vector128<float> x = Vector128.Create(0.5f), y = Vector128.Create(1f);
        Vector128<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int round = 0; round < Rounds; round++)
        {
            a = Vector128.FusedMultiplyAdd(a, x, y);
            b = Vector128.FusedMultiplyAdd(b, x, y);
            c = Vector128.FusedMultiplyAdd(c, x, y);
            d = Vector128.FusedMultiplyAdd(d, x, y);
            e = Vector128.FusedMultiplyAdd(e, x, y);
            f = Vector128.FusedMultiplyAdd(f, x, y);
            g = Vector128.FusedMultiplyAdd(g, x, y);
            h = Vector128.FusedMultiplyAdd(h, x, y);
            i = Vector128.FusedMultiplyAdd(i, x, y);
            j = Vector128.FusedMultiplyAdd(j, x, y);
            k = Vector128.FusedMultiplyAdd(k, x, y);
            l = Vector128.FusedMultiplyAdd(l, x, y);
        }

        return (a + b + c + d + e + f + g + h + i + j + k + l).GetElement(0);
    }
}
