namespace ClusterRnn.Protocol;

/// <summary>
/// A point in time as the protocol sees it: whole microseconds since an arbitrary start. The state machines are given it,
/// they never read a clock, so that a simulator can run them under virtual time.
/// </summary>
/// <param name="Ticks">Microseconds.</param>
public readonly record struct Instant(long Ticks) : IComparable<Instant>
{
    /// <summary>How many ticks a second has.</summary>
    public const long TicksPerSecond = 1_000_000;

    /// <summary>How many ticks a millisecond has.</summary>
    public const long TicksPerMillisecond = 1_000;

    /// <summary>Later than any instant that is reached.</summary>
    public static readonly Instant Never = new(long.MaxValue);

    /// <summary>The instant <paramref name="ticks"/> later; <see cref="Never"/> on overflow.</summary>
    public static Instant operator +(Instant instant, long ticks)
        => ticks >= long.MaxValue - instant.Ticks ? Never : new Instant(instant.Ticks + ticks);

    /// <summary>Ticks from <paramref name="earlier"/> to <paramref name="later"/>.</summary>
    public static long operator -(Instant later, Instant earlier) => later.Ticks - earlier.Ticks;

    /// <summary>Whether <paramref name="left"/> comes before <paramref name="right"/>.</summary>
    public static bool operator <(Instant left, Instant right) => left.Ticks < right.Ticks;

    /// <summary>Whether <paramref name="left"/> comes after <paramref name="right"/>.</summary>
    public static bool operator >(Instant left, Instant right) => left.Ticks > right.Ticks;

    /// <summary>Whether <paramref name="left"/> does not come after <paramref name="right"/>.</summary>
    public static bool operator <=(Instant left, Instant right) => left.Ticks <= right.Ticks;

    /// <summary>Whether <paramref name="left"/> does not come before <paramref name="right"/>.</summary>
    public static bool operator >=(Instant left, Instant right) => left.Ticks >= right.Ticks;

    /// <summary>The earlier of the two.</summary>
    public static Instant Earlier(Instant left, Instant right) => left < right ? left : right;

    /// <inheritdoc/>
    public int CompareTo(Instant other) => Ticks.CompareTo(other.Ticks);

    /// <inheritdoc/>
    public override string ToString()
        => Ticks == long.MaxValue ? "never" : $"{Ticks / TicksPerSecond}.{Ticks % TicksPerSecond:D6} s";
}
