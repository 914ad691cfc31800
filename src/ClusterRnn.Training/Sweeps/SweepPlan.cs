// Which trials there are, for how many steps each rung trains and who goes on: all of it decided by the sweep's config and
// the results, never by the order in which they come.
using System.Globalization;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Sweeps;

/// <summary>A combination of values.</summary>
/// <param name="Number">Its number, from 1.</param>
/// <param name="Values">Key and value, by key in ordinal order.</param>
public sealed record Trial(int Number, IReadOnlyList<(string Key, string Value)> Values)
{
    /// <summary>The values as assignments to a job's config.</summary>
    public IEnumerable<ConfigAssignment> Assignments => Values.Select(v => new ConfigAssignment($"trial {Number}: {v.Key}", v.Key, v.Value));

    /// <summary>The values in a line.</summary>
    public override string ToString() => string.Join("  ", Values.Select(v => $"{v.Key}={v.Value}"));
}

/// <summary>A rung: trials that train to the same share of their steps before they are compared.</summary>
/// <param name="Number">Its number, from 1.</param>
/// <param name="Trials">How many trials reach it.</param>
/// <param name="Divisor">What the steps of the last rung are divided by.</param>
public sealed record Rung(int Number, int Trials, long Divisor)
{
    /// <summary>The step to which a trial trains.</summary>
    /// <param name="lastSteps">The steps of the last rung: the job's own, which depend on the trial's batch, or those of the search.</param>
    public long StepsOf(long lastSteps) => Divisor == 1 ? lastSteps : Math.Max(1, (lastSteps + Divisor - 1) / Divisor);
}

/// <summary>Trials and rungs of a sweep.</summary>
public sealed class SweepPlan
{
    private SweepPlan(IReadOnlyList<Trial> trials, IReadOnlyList<Rung> rungs)
    {
        Trials = trials;
        Rungs = rungs;
    }

    /// <summary>The trials, by number.</summary>
    public IReadOnlyList<Trial> Trials { get; }

    /// <summary>The rungs in order; one where nobody is dropped on the way.</summary>
    public IReadOnlyList<Rung> Rungs { get; }

    /// <summary>The plan of a sweep.</summary>
    public static SweepPlan Of(SweepConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        (string Key, SweptKey Over)[] keys = [.. config.Keys.Select(k => (k.Key, k.Value)).OrderBy(k => k.Key, StringComparer.Ordinal)];
        return config.Search switch
        {
            RandomSearch random => new SweepPlan(Draw(config.Seed, keys, random.Trials), [new Rung(1, random.Trials, 1)]),
            HalvingSearch halving => new SweepPlan(Draw(config.Seed, keys, halving.Trials), Halve(halving)),
            _ => Whole(Grid(keys)),
        };
    }

    /// <summary>The trials of a rung that go on to the next, or of the last one the winner: the best first, ties by trial number.</summary>
    /// <param name="scores">Trial number and score; one that failed has no finite score and comes last.</param>
    /// <param name="goal">Which score is better.</param>
    /// <param name="count">How many.</param>
    public static IReadOnlyList<int> Best(IEnumerable<(int Trial, double Score)> scores, SweepGoal goal, int count)
        => [.. scores
            .OrderBy(s => double.IsFinite(s.Score) ? 0 : 1)
            .ThenBy(s => !double.IsFinite(s.Score) ? 0 : goal == SweepGoal.Minimum ? s.Score : -s.Score)
            .ThenBy(s => s.Trial)
            .Take(count)
            .Select(s => s.Trial)];

    private static SweepPlan Whole(IReadOnlyList<Trial> trials) => new(trials, [new Rung(1, trials.Count, 1)]);

    private static List<Trial> Grid((string Key, SweptKey Over)[] keys)
    {
        IEnumerable<IReadOnlyList<(string, string)>> combinations = [[]];
        foreach ((string key, SweptKey over) in keys)
        {
            combinations = combinations.SelectMany(c => over.Values!.Select(value => (IReadOnlyList<(string, string)>)[.. c, (key, value)]));
        }

        return [.. combinations.Select((values, i) => new Trial(i + 1, values))];
    }

    private static List<Trial> Draw(ulong seed, (string Key, SweptKey Over)[] keys, int trials)
    {
        var drawn = new List<Trial>(trials);
        for (int trial = 1; trial <= trials; trial++)
        {
            // Each key has numbers of its own: trial 5 is the same whatever else is drawn.
            var random = new RandomKey(seed, RandomPurpose.Search, 0, (ulong)trial);
            drawn.Add(new Trial(trial, [.. keys.Select((k, i) => (k.Key, Value(k.Over, random, i)))]));
        }

        return drawn;
    }

    private static string Value(SweptKey over, RandomKey random, int place)
    {
        if (over.Values is { } values)
        {
            return values[(int)random.Below(0, 0, place, values.Count)];
        }

        double low = over.Minimum!.Value, high = over.Maximum!.Value;
        if (over.Whole && over.Scale == SweptScale.Linear)
        {
            long first = (long)Math.Ceiling(low);
            return (first + random.Below(0, 0, place, Math.Max(1, (long)Math.Floor(high) - first + 1))).ToString(CultureInfo.InvariantCulture);
        }

        double share = random.UniformDouble(0, 0, place);
        double value = over.Scale == SweptScale.Logarithmic
            ? ScalarMath.Exp(ScalarMath.Log(low) + (share * (ScalarMath.Log(high) - ScalarMath.Log(low))))
            : low + (share * (high - low));
        value = Math.Clamp(value, low, high);
        // Four digits say all that matters, and can be typed again.
        return over.Whole
            ? Math.Round(value).ToString(CultureInfo.InvariantCulture)
            : double.Parse(value.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture).ToString("R", CultureInfo.InvariantCulture);
    }

    private static List<Rung> Halve(HalvingSearch halving)
    {
        var rungs = new List<Rung>();
        for (int trials = halving.Trials; ; trials = (trials + halving.Factor - 1) / halving.Factor)
        {
            rungs.Add(new Rung(rungs.Count + 1, trials, 1));
            if (trials == 1)
            {
                break;
            }
        }

        long divisor = 1;
        for (int i = rungs.Count - 1; i >= 0; i--)
        {
            rungs[i] = rungs[i] with { Divisor = divisor };
            divisor = divisor > long.MaxValue / halving.Factor ? divisor : divisor * halving.Factor;
        }

        return rungs;
    }
}
