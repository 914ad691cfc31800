using System.Diagnostics;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Random;

/// <summary>What a random number is for: different purposes never share numbers. The values are part of the one answer; never renumber them.</summary>
public enum RandomPurpose
{
    /// <summary>Initial parameters.</summary>
    Initialize = 1,

    /// <summary>Dropout masks.</summary>
    Dropout = 2,

    /// <summary>The order of examples within a pass.</summary>
    Shuffle = 3,

    /// <summary>Generated data sets.</summary>
    Generate = 4,

    /// <summary>Tokens sampled from a trained model.</summary>
    Sample = 5,

    /// <summary>The order of buckets.</summary>
    Bucket = 6,

    /// <summary>Choosing a validation part.</summary>
    Split = 7,

    /// <summary>Choosing hyperparameters.</summary>
    Search = 8,

    /// <summary>Scheduled sampling, teacher forcing and noise added to inputs.</summary>
    Noise = 9,
}

/// <summary>Names a family of random numbers; each number in it is addressed by (row slot, absolute time, element).</summary>
/// <param name="Seed">The job's seed.</param>
/// <param name="Purpose">What the numbers are for.</param>
/// <param name="Layer">The layer, tensor or variable they belong to.</param>
/// <param name="Step">The step, version or pass.</param>
public readonly record struct RandomKey(ulong Seed, RandomPurpose Purpose, uint Layer, ulong Step)
{
    /// <summary>The Philox key of the family.</summary>
    public ulong Key { get; } = Derive(Seed, Purpose, Layer, Step);

    /// <summary>A number in [0, 1) with 24 bits.</summary>
    /// <param name="slot">The global row slot, below 2^32.</param>
    /// <param name="time">The absolute time, not negative.</param>
    /// <param name="element">The element within the row, not negative.</param>
    public float Uniform(long slot, long time, int element) => (Bits(slot, time, element) >> 8) * (1f / (1 << 24));

    /// <summary>32 random bits. Elements 4i to 4i + 3 are the words of one Philox block.</summary>
    /// <inheritdoc cref="Uniform" path="/param"/>
    public uint Bits(long slot, long time, int element)
    {
        Debug.Assert((ulong)slot < 1UL << 32 && time >= 0 && element >= 0, "a random number's address is out of range");
        var block = Philox.Block(Key, ((ulong)slot << 32) | (uint)(element >> 2), (ulong)time);
        return (element & 3) switch { 0 => block.Word0, 1 => block.Word1, 2 => block.Word2, _ => block.Word3 };
    }

    /// <summary>A number in [0, 1) with 53 bits, from another stream than <see cref="Uniform"/>.</summary>
    /// <inheritdoc cref="Uniform" path="/param"/>
    public double UniformDouble(long slot, long time, int element)
    {
        var block = WideBlock(slot, time, element);
        return (Join(block.Word0, block.Word1) >> 11) * (1.0 / (1L << 53));
    }

    /// <summary>An integer in [0, <paramref name="bound"/>), without bias worth measuring (64 bits are scaled down).</summary>
    /// <inheritdoc cref="Uniform" path="/param"/>
    /// <param name="slot">The global row slot, below 2^32.</param>
    /// <param name="time">The absolute time, not negative.</param>
    /// <param name="element">The element within the row, not negative.</param>
    /// <param name="bound">One more than the largest result; at least 1.</param>
    public long Below(long slot, long time, int element, long bound)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bound, 1);
        var block = WideBlock(slot, time, element);
        return (long)Math.BigMul(Join(block.Word0, block.Word1), (ulong)bound, out _);
    }

    /// <summary>A standard normal deviate (Box and Muller), from another stream than <see cref="Uniform"/>.</summary>
    /// <inheritdoc cref="Uniform" path="/param"/>
    public double NormalDeviateDouble(long slot, long time, int element)
    {
        var block = WideBlock(slot, time, element);
        double radius = ((Join(block.Word0, block.Word1) >> 12) + 0.5) * (1.0 / (1L << 52)); // (0, 1)
        double turns = (Join(block.Word2, block.Word3) >> 11) * (1.0 / (1L << 53)); // [0, 1)
        return ScalarMath.NormalDeviate(radius, turns);
    }

    /// <summary><see cref="NormalDeviateDouble"/> rounded to float.</summary>
    /// <inheritdoc cref="Uniform" path="/param"/>
    public float NormalDeviate(long slot, long time, int element) => (float)NormalDeviateDouble(slot, time, element);

    private static ulong Join(uint low, uint high) => ((ulong)high << 32) | low;

    private static ulong Derive(ulong seed, RandomPurpose purpose, uint layer, ulong step)
    {
        var block = Philox.Block(seed, ((ulong)(uint)purpose << 32) | layer, step);
        return Join(block.Word0, block.Word1);
    }

    // One whole block for each element, apart from the blocks of Bits by the top bit of time.
    private (uint Word0, uint Word1, uint Word2, uint Word3) WideBlock(long slot, long time, int element)
    {
        Debug.Assert((ulong)slot < 1UL << 32 && time >= 0 && element >= 0, "a random number's address is out of range");
        return Philox.Block(Key, ((ulong)slot << 32) | (uint)element, (ulong)time | (1UL << 63));
    }
}
