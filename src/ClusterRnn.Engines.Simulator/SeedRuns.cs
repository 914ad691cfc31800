// Seeds: one, or many side by side; and what to say of one that failed.
//
//     SeedVerdict verdict = SeedRuns.Run(17);                       // one seed
//     SeedReport report = SeedRuns.RunMany(0, 1000, 2, progress);   // [0, 1000) on two threads
//
// A failure is a seed. What is printed of one: the seed, the commit, the checker that fired, the schedule of faults cut down to
// those that are needed, and the command that replays it.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Network;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator;

/// <summary>What of a seed's run is left out.</summary>
public sealed record SeedCut
{
    /// <summary>The faults that are played, by their number in the seed's schedule; null for all.</summary>
    public IReadOnlyList<int>? Only { get; init; }

    /// <summary>Whether the network loses, copies and delays nothing by itself.</summary>
    public bool IsCalm { get; init; }
}

/// <summary>How the run of a seed ended.</summary>
public sealed record SeedVerdict
{
    /// <summary>The seed.</summary>
    public required long Seed { get; init; }

    /// <summary>The checker that fired, or null when all held.</summary>
    public string? Checker { get; init; }

    /// <summary>What it says.</summary>
    public string Text { get; init; } = "";

    /// <summary>What the run was: the job, the processes, the network.</summary>
    public required string Setting { get; init; }

    /// <summary>The faults that were played, one line each, in the order of the schedule.</summary>
    public required IReadOnlyList<string> Faults { get; init; }

    /// <summary>The last lines of the trace, when a checker fired.</summary>
    public IReadOnlyList<string> LastLines { get; init; } = [];

    /// <summary>The hash of the trace.</summary>
    public required ulong TraceHash { get; init; }

    /// <summary>Whether it was cut short because a lone wrong answer was committed, which nobody can tell from a right one.</summary>
    public bool IsInconclusive { get; init; }

    /// <summary>How many things happened.</summary>
    public required long Events { get; init; }

    /// <summary>Virtual time, in microseconds.</summary>
    public required long Ticks { get; init; }

    /// <summary>Why the job ended, in words.</summary>
    public string Reason { get; init; } = "";

    /// <summary>The command that replays it.</summary>
    public required string Command { get; init; }

    /// <summary>Whether all held.</summary>
    public bool Passed => Checker is null;
}

/// <summary>What many seeds came to.</summary>
/// <param name="Passed">How many held.</param>
/// <param name="Inconclusive">How many of those were cut short by a lone wrong answer.</param>
/// <param name="Failures">The others, by seed.</param>
/// <param name="Seen">What was seen in all of them, by name.</param>
/// <param name="Elapsed">Wall time.</param>
public sealed record SeedReport(
    long Passed, long Inconclusive, IReadOnlyList<SeedVerdict> Failures, IReadOnlyDictionary<string, long> Seen, TimeSpan Elapsed);

/// <summary>Runs seeds.</summary>
public static class SeedRuns
{
    /// <summary>The commit the program was built from, or "unknown".</summary>
    public static string Commit => typeof(SeedRuns).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion is { } version
        && version.IndexOf('+', StringComparison.Ordinal) is > 0 and var plus ? version[(plus + 1)..] : "unknown";

    /// <summary>Runs a seed.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="cut">What is left out of it; null for nothing.</param>
    /// <param name="trace">Is given the trace; null for nobody.</param>
    public static SeedVerdict Run(long seed, SeedCut? cut = null, TextWriter? trace = null) => Run(SeededPlans.Of(seed), cut, trace).Verdict;

    /// <summary>Runs the seeds from <paramref name="first"/> to <paramref name="end"/> - 1.</summary>
    /// <param name="first">The first.</param>
    /// <param name="end">The one after the last.</param>
    /// <param name="threads">On how many threads.</param>
    /// <param name="progress">Is told how many are done and how many of them failed; from any thread.</param>
    /// <param name="cancellation">Ends it after the seeds that are under way.</param>
    public static SeedReport RunMany(long first, long end, int threads, Action<long, long>? progress = null, CancellationToken cancellation = default)
        => RunMany(first, end, threads, PlantedFault.None, progress, cancellation);

    /// <summary>Cuts the schedule of a seed that failed down to what is needed for it to fail by the same checker.</summary>
    /// <param name="failed">What it came to.</param>
    /// <param name="mostRuns">How many runs that may take.</param>
    /// <returns>The verdict of the smallest run that was found.</returns>
    public static SeedVerdict Shrink(SeedVerdict failed, int mostRuns = 200)
    {
        ArgumentNullException.ThrowIfNull(failed);
        return Shrink(SeededPlans.Of(failed.Seed), failed, mostRuns);
    }

    /// <summary>What is printed of a seed that failed.</summary>
    public static string Describe(SeedVerdict failed)
    {
        ArgumentNullException.ThrowIfNull(failed);
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"seed {failed.Seed} fails at commit {Commit}: {failed.Checker}");
        text.AppendLine(CultureInfo.InvariantCulture, $"  {failed.Text.ReplaceLineEndings("\n  ")}");
        text.AppendLine(CultureInfo.InvariantCulture, $"  {failed.Setting}");
        text.AppendLine(failed.Faults.Count == 0 ? "  without any fault" : "  faults:");
        foreach (string fault in failed.Faults)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"    {fault}");
        }

        text.Append(CultureInfo.InvariantCulture, $"  replay: {failed.Command}");
        return text.ToString();
    }

    internal static SeedReport RunMany(long first, long end, int threads, PlantedFault planted, Action<long, long>? progress, CancellationToken cancellation)
    {
        var watch = Stopwatch.StartNew();
        var failures = new ConcurrentBag<SeedVerdict>();
        var seen = new SortedDictionary<string, long>(StringComparer.Ordinal);
        long passed = 0, inconclusive = 0, done = 0;
        try
        {
            Parallel.For(first, end, new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = cancellation }, seed =>
            {
                (SeedVerdict verdict, IReadOnlyDictionary<string, long> counted) = Run(SeededPlans.Of(seed) with { Planted = planted }, null, null);
                if (verdict.Passed)
                {
                    Interlocked.Increment(ref passed);
                    Interlocked.Add(ref inconclusive, verdict.IsInconclusive ? 1 : 0);
                }
                else
                {
                    failures.Add(verdict);
                }

                lock (seen)
                {
                    foreach ((string what, long times) in counted)
                    {
                        seen[what] = seen.GetValueOrDefault(what) + times;
                    }
                }

                progress?.Invoke(Interlocked.Increment(ref done), failures.Count);
            });
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // What is done is done; the report says how many that are.
        }

        return new SeedReport(passed, inconclusive, [.. failures.OrderBy(failure => failure.Seed)], seen, watch.Elapsed);
    }

    internal static (SeedVerdict Verdict, IReadOnlyDictionary<string, long> Seen) Run(SimulationPlan plan, SeedCut? cut, TextWriter? trace)
    {
        plan = Cut(plan, cut);
        using var run = new Simulation(plan, trace);
        Outcome outcome = run.Run();
        return (new SeedVerdict
        {
            Seed = plan.Seed,
            Checker = outcome.Checker,
            Text = outcome.Text,
            Setting = plan.ToString(),
            Faults = [.. plan.Faults.Select(fault => fault.ToString())],
            LastLines = outcome.LastLines,
            TraceHash = outcome.TraceHash,
            IsInconclusive = outcome.IsInconclusive,
            Events = outcome.Events,
            Ticks = outcome.Ticks,
            Reason = outcome.End?.Reason ?? "",
            Command = CommandOf(plan.Seed, cut),
        }, outcome.Seen);
    }

    internal static SeedVerdict Shrink(SimulationPlan plan, SeedVerdict failed, int mostRuns)
    {
        var shrinker = new Shrinker(plan, failed, mostRuns);
        return shrinker.Shrink();
    }

    private static SimulationPlan Cut(SimulationPlan plan, SeedCut? cut) => plan with
    {
        Faults = cut?.Only is { } only ? [.. plan.Faults.Where((_, i) => only.Contains(i))] : plan.Faults,
        Network = cut is { IsCalm: true } ? NetworkProfile.Calm : plan.Network,
    };

    private static string CommandOf(long seed, SeedCut? cut)
    {
        var command = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $"clusterrnn simulate --seed {seed}"));
        if (cut?.Only is { } only)
        {
            command.Append(only.Count == 0 ? " --only none" : string.Create(CultureInfo.InvariantCulture, $" --only {string.Join(',', only)}"));
        }

        return command.Append(cut is { IsCalm: true } ? " --calm" : "").ToString();
    }
}
