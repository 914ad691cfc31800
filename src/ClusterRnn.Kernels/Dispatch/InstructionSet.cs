// Which instructions the kernels use. Every kernel gives the same bits with each of them; only the speed differs.
using System.Runtime.Intrinsics.X86;

namespace ClusterRnn.Kernels.Dispatch;

/// <summary>The instruction sets for which the kernels have variants, slowest first.</summary>
public enum InstructionSet
{
    /// <summary>Plain C#: the algorithmic reference, and the fallback where there is nothing better.</summary>
    Scalar = 0,

    /// <summary>128-bit vectors through the portable API (SSE with FMA on x64, NEON on ARM).</summary>
    Vector128 = 1,

    /// <summary>256-bit AVX2 with FMA.</summary>
    Avx2 = 2,

    /// <summary>AVX-512 F and DQ.</summary>
    Avx512 = 3,
}

/// <summary>What this machine supports and what the kernels use.</summary>
public static class InstructionSets
{
    /// <summary>The environment variable that forces an instruction set: <c>scalar</c>, <c>vector128</c>, <c>avx2</c> or <c>avx512</c>.</summary>
    public const string EnvironmentVariable = "CLUSTERRNN_INSTRUCTION_SET";

    /// <summary>How many there are.</summary>
    public const int Count = 4;

    /// <summary>The sets this machine can execute, ascending.</summary>
    // Before Current: static members are initialised in the order of the text.
    public static IReadOnlyList<InstructionSet> Supported { get; } = [.. Enum.GetValues<InstructionSet>().Where(IsSupported)];

    /// <summary>The one in use: the forced one, or the best this machine has.</summary>
    /// <remarks>Chosen by what the CPU can execute, not by <c>Vector512.IsHardwareAccelerated</c>, which is false on some CPUs on which AVX-512 pays.</remarks>
    public static InstructionSet Current { get; } = Choose(Environment.GetEnvironmentVariable(EnvironmentVariable));

    /// <summary>Whether this machine can execute <paramref name="set"/>.</summary>
    public static bool IsSupported(InstructionSet set) => set switch
    {
        InstructionSet.Scalar => true,
        InstructionSet.Vector128 => System.Runtime.Intrinsics.Vector128.IsHardwareAccelerated,
        InstructionSet.Avx2 => Avx2.IsSupported && Fma.IsSupported,
        InstructionSet.Avx512 => Avx512F.IsSupported && Avx512DQ.IsSupported && Avx2.IsSupported && Fma.IsSupported,
        _ => false,
    };

    /// <summary>The set that <paramref name="wish"/> names, or the best supported one for null or an empty string.</summary>
    /// <exception cref="InvalidOperationException">The name is unknown, or this machine can't execute it.</exception>
    public static InstructionSet Choose(string? wish)
    {
        if (string.IsNullOrWhiteSpace(wish))
        {
            // 128-bit vectors without fused multiply-add would call a library routine for each lane: no better than scalar.
            InstructionSet best = Supported[^1];
            return best == InstructionSet.Vector128 && !Fma.IsSupported && !System.Runtime.Intrinsics.Arm.AdvSimd.IsSupported ? InstructionSet.Scalar : best;
        }

        if (!Enum.TryParse(wish.Trim(), ignoreCase: true, out InstructionSet set) || !Enum.IsDefined(set))
        {
            throw new InvalidOperationException($"{EnvironmentVariable}: expected scalar, vector128, avx2 or avx512, found '{wish}'.");
        }

        return IsSupported(set)
            ? set
            : throw new InvalidOperationException($"{EnvironmentVariable}: this machine can't execute {wish}; it has {string.Join(", ", Supported).ToLowerInvariant()}.");
    }
}
