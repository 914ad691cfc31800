namespace ClusterRnn.Kernels.Random;

/// <summary>
/// A pseudo-random permutation of [0, count) in constant memory: a balanced Feistel network over the next even number of
/// bits, walked until it lands below count (Black and Rogaway, Ciphers with arbitrary finite domains, 2002).
/// </summary>
public readonly struct KeyedPermutation
{
    private const int Rounds = 6;
    private readonly ulong key;
    private readonly int halfBits;

    /// <summary>The permutation of this seed, purpose and epoch.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative or above 2^62.</exception>
    public KeyedPermutation(ulong seed, RandomPurpose purpose, ulong epoch, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 1L << 62);
        Count = count;
        key = new RandomKey(seed, purpose, 0, epoch).Key;
        int bits = count <= 1 ? 0 : 64 - (int)long.LeadingZeroCount(count - 1);
        halfBits = Math.Max(1, (bits + 1) / 2);
    }

    /// <summary>How many items are permuted.</summary>
    public long Count { get; }

    /// <summary>The item at place <paramref name="index"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is not in [0, <see cref="Count"/>).</exception>
    public long At(long index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)index, (ulong)Count, nameof(index));
        ulong value = (ulong)index;
        do
        {
            value = Encrypt(value);
        }
        while (value >= (ulong)Count);

        return (long)value;
    }

    // The finaliser of MurmurHash3 (Appleby, public domain).
    private static ulong Mix(ulong x)
    {
        x ^= x >> 33;
        x *= 0xFF51AFD7ED558CCD;
        x ^= x >> 33;
        x *= 0xC4CEB9FE1A85EC53;
        return x ^ (x >> 33);
    }

    private ulong Encrypt(ulong value)
    {
        ulong mask = (1UL << halfBits) - 1;
        ulong left = value >> halfBits, right = value & mask;
        for (int round = 0; round < Rounds; round++)
        {
            ulong roundKey = key + ((ulong)(round + 1) * 0x9E3779B97F4A7C15);
            (left, right) = (right, left ^ (Mix(right ^ roundKey) & mask));
        }

        return (left << halfBits) | right;
    }
}
