// Randomness that is a function of its key: nothing is drawn in an order, so whoever computes a number gets the same one.
namespace ClusterRnn.Kernels.Random;

/// <summary>Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): a counter-based generator.</summary>
public static class Philox
{
    /// <summary>The four 32-bit words of the block with this key and counter.</summary>
    /// <param name="key">The 64-bit key, low word first.</param>
    /// <param name="counterHigh">Words 2 and 3 of the counter.</param>
    /// <param name="counterLow">Words 0 and 1 of the counter.</param>
    public static (uint Word0, uint Word1, uint Word2, uint Word3) Block(ulong key, ulong counterHigh, ulong counterLow)
    {
        const uint multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57, weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
        uint c0 = (uint)counterLow, c1 = (uint)(counterLow >> 32), c2 = (uint)counterHigh, c3 = (uint)(counterHigh >> 32);
        uint k0 = (uint)key, k1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = (ulong)multiplier0 * c0, product1 = (ulong)multiplier1 * c2;
            (c0, c1, c2, c3) = ((uint)(product1 >> 32) ^ c1 ^ k0, (uint)product1, (uint)(product0 >> 32) ^ c3 ^ k1, (uint)product0);
            k0 += weyl0;
            k1 += weyl1;
        }

        return (c0, c1, c2, c3);
    }
}
