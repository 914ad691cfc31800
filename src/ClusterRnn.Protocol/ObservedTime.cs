namespace ClusterRnn.Protocol;

/// <summary>
/// What a wait usually takes: a smoothed mean and deviation in ticks (Jacobson and Karels, "Congestion Avoidance and
/// Control", 1988). Deadlines come from it, so a big model gets long ones and a small one short ones. A wait that
/// needed repetitions is not observed (Karn's rule), or each loss would lengthen the next one, with two exceptions: the
/// first wait there is, and one longer than any repetition takes: that is how long it takes here.
/// </summary>
public struct ObservedTime
{
    private const long LongestTicks = 1L << 48; // nine years: nothing below overflows

    private long _scaledMean; // 8 x mean
    private long _scaledDeviation; // 4 x deviation

    /// <summary>How many observations there were.</summary>
    public long Count { get; private set; }

    /// <summary>The smoothed mean in ticks.</summary>
    public readonly long Mean => _scaledMean / 8;

    /// <summary>Mean plus four deviations: what almost every wait ends within.</summary>
    public readonly long Expected => Mean + _scaledDeviation;

    /// <summary>Takes in one observation.</summary>
    public void Add(long ticks)
    {
        ticks = Math.Clamp(ticks, 0, LongestTicks);
        if (Count++ == 0)
        {
            _scaledMean = ticks * 8;
            _scaledDeviation = ticks * 2;
            return;
        }

        long error = ticks - (_scaledMean / 8);
        _scaledMean += error;
        _scaledDeviation += Math.Abs(error) - (_scaledDeviation / 4);
    }

    /// <summary>Takes in a wait from the first question to the answer.</summary>
    /// <param name="ticks">How long it took.</param>
    /// <param name="repetitions">How often it was asked again meanwhile.</param>
    /// <param name="times">The host's times.</param>
    public void Observe(long ticks, int repetitions, ProtocolTimes times)
    {
        if (repetitions <= 0 || Count == 0 || ticks > times.RetryCeilingTicks)
        {
            Add(ticks);
        }
    }

    /// <summary>When to ask again, the <paramref name="attempt"/>th time (from 0): doubled each time, within the host's bounds.</summary>
    public readonly long RetryAfter(ProtocolTimes times, int attempt)
    {
        long first = Math.Max(times.RetryFloorTicks, Count == 0 ? 0 : Expected * Limits.RetryFactor);
        return first >= times.RetryCeilingTicks ? times.RetryCeilingTicks : Math.Min(times.RetryCeilingTicks, first << Math.Min(attempt, 16));
    }

    /// <summary>
    /// After how long the wait has failed for good. Before the first observation that is a time that is long for the
    /// largest of models; later a multiple of what was observed, which for long waits exceeds them by that time at most.
    /// </summary>
    public readonly long FailAfter(ProtocolTimes times)
    {
        long longest = Math.Max(times.FirstFailureTicks, times.FailureFloorTicks);
        return Count == 0
            ? longest
            : Math.Max(times.FailureFloorTicks, Math.Min(Expected * Limits.FailureFactor, longest + (Expected * Limits.RetryFactor)));
    }
}
