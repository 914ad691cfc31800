// All chance in a simulation comes from here: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014). Small, seekable by seed, and the same on every version of the framework.
namespace ClusterRnn.Engines.Simulator.Events;

/// <summary>A seeded source of numbers. What draws for one purpose has dice of its own, so that drawing more of one thing does not change another.</summary>
/// <param name="seed">The seed.</param>
internal sealed class Dice(ulong seed)
{
    private ulong _state = seed;

    /// <summary>Dice for another purpose, from the same seed.</summary>
    public static Dice For(long seed, ulong purpose) => new(((ulong)seed * 0x9E3779B97F4A7C15) ^ (purpose * 0xD1B54A32D192ED03) ^ 0x5851F42D4C957F2D);

    /// <summary>64 bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>A whole number from 0 to <paramref name="end"/> - 1.</summary>
    public int Below(int end) => (int)(((Next() >> 32) * (ulong)end) >> 32);

    /// <summary>A whole number from <paramref name="first"/> to <paramref name="end"/> - 1.</summary>
    public int Below(int first, int end) => first + Below(end - first);

    /// <summary>A whole number from <paramref name="first"/> to <paramref name="end"/> - 1; spans are less than 2^32.</summary>
    public long Between(long first, long end) => end <= first ? first : first + (long)(((Next() >> 32) * (ulong)(end - first)) >> 32);

    /// <summary>From 0 to just below 1.</summary>
    public double Unit() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Whether something of this probability happens.</summary>
    public bool Chance(double probability) => probability > 0 && Unit() < probability;
}
