// Randomness that is a function of its key: nothing is drawn in an order, so whoever computes a number gets the same one.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ClusterRnn.Kernels.Random;

/// <summary>Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): a counter-based generator.</summary>
public static unsafe class Philox
{
    private const uint Multiplier0 = 0xD2511F53, Multiplier1 = 0xCD9E8D57, Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;

    /// <summary>The four 32-bit words of the block with this key and counter.</summary>
    /// <param name="key">The 64-bit key, low word first.</param>
    /// <param name="counterHigh">Words 2 and 3 of the counter.</param>
    /// <param name="counterLow">Words 0 and 1 of the counter.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (uint Word0, uint Word1, uint Word2, uint Word3) Block(ulong key, ulong counterHigh, ulong counterLow)
    {
        uint c0 = (uint)counterLow, c1 = (uint)(counterLow >> 32), c2 = (uint)counterHigh, c3 = (uint)(counterHigh >> 32);
        uint k0 = (uint)key, k1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = (ulong)Multiplier0 * c0, product1 = (ulong)Multiplier1 * c2;
            (c0, c1, c2, c3) = ((uint)(product1 >> 32) ^ c1 ^ k0, (uint)product1, (uint)(product0 >> 32) ^ c3 ^ k1, (uint)product0);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        return (c0, c1, c2, c3);
    }

    // The high 24 bits of the words of the blocks counterHigh to counterHigh + 3, in order; needs AVX2. Each 64-bit lane is
    // one block: its words sit in the low halves of c0 to c3.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void FourBlocks(ulong key, ulong counterHigh, ulong counterLow, uint* words)
    {
        var low = Vector256.Create((ulong)uint.MaxValue);
        Vector256<ulong> c0 = Vector256.Create(counterLow & uint.MaxValue), c1 = Vector256.Create(counterLow >> 32);
        var high = Avx2.Add(Vector256.Create(counterHigh), Vector256.Create(0UL, 1, 2, 3));
        Vector256<ulong> c2 = Avx2.And(high, low), c3 = Avx2.ShiftRightLogical(high, 32);
        var multiplier0 = Vector256.Create((ulong)Multiplier0).AsUInt32();
        var multiplier1 = Vector256.Create((ulong)Multiplier1).AsUInt32();
        uint k0 = (uint)key, k1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            Vector256<ulong> product0 = Avx2.Multiply(multiplier0, c0.AsUInt32()), product1 = Avx2.Multiply(multiplier1, c2.AsUInt32());
            c0 = Avx2.Xor(Avx2.Xor(Avx2.ShiftRightLogical(product1, 32), c1), Vector256.Create((ulong)k0));
            c2 = Avx2.Xor(Avx2.Xor(Avx2.ShiftRightLogical(product0, 32), c3), Vector256.Create((ulong)k1));
            c1 = Avx2.And(product1, low);
            c3 = Avx2.And(product0, low);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        var words01 = Avx2.Or(c0, Avx2.ShiftLeftLogical(c1, 32));
        var words23 = Avx2.Or(c2, Avx2.ShiftLeftLogical(c3, 32));
        Vector256<ulong> even = Avx2.UnpackLow(words01, words23), odd = Avx2.UnpackHigh(words01, words23);
        Avx.Store(words, Avx2.ShiftRightLogical(Avx2.Permute2x128(even, odd, 0x20).AsUInt32(), 8));
        Avx.Store(words + 8, Avx2.ShiftRightLogical(Avx2.Permute2x128(even, odd, 0x31).AsUInt32(), 8));
    }
}
