// Runs of seeds: new ones with every commit, all that ever failed, and the same one twice.
using System.Globalization;
using ClusterRnn.Engines.Simulator;

namespace ClusterRnn.Simulation;

public class SeedTests
{
    private const int Threads = 2;

    private static bool IsLong => Environment.GetEnvironmentVariable("CLUSTERRNN_LONG_TESTS") == "1";

    [Fact]
    public void New_seeds_hold_with_every_commit()
    {
        long count = IsLong ? 10_000 : 600;
        long first = FirstSeedOf(SeedRuns.Commit);
        TestContext.Current.TestOutputHelper?.WriteLine($"seeds {first}..{first + count - 1} of commit {SeedRuns.Commit}");
        SeedReport report = SeedRuns.RunMany(first, first + count, Threads, cancellation: TestContext.Current.CancellationToken);
        TestContext.Current.TestOutputHelper?.WriteLine($"{report.Passed} hold, {report.Inconclusive} of them cut short, {report.Elapsed.TotalSeconds:0.0} s");
        Assert.True(
            report.Failures.Count == 0,
            $"{report.Failures.Count} of the seeds {first}..{first + count - 1} fail. {(report.Failures.Count == 0 ? "" : SeedRuns.Describe(SeedRuns.Shrink(report.Failures[0])))}");

        // A schedule that never does what it is there for proves nothing.
        foreach (string what in (string[])["promotions", "refills", "rollbacks", "reproducedSteps", "evictions", "refusedMessages", "Quarantined", "Speculated",
            "failedCheckpoints", "lostServers", "lostWorkers", "leaves", "skippedSteps", "failed as the undisturbed run does", "answers that are not finite",
            "wrong answers", "Coordinator gave up", "Server left", "Worker left"])
        {
            Assert.True(report.Seen.GetValueOrDefault(what) > 0, $"no {what} in {count} seeds: {string.Join(", ", report.Seen)}");
        }

        foreach (string kind in Enum.GetNames<Engines.Simulator.Faults.FaultKind>())
        {
            Assert.True(report.Seen.GetValueOrDefault("fault " + kind) > 5, $"{report.Seen.GetValueOrDefault("fault " + kind)} x {kind} in {count} seeds");
        }
    }

    [Fact]
    public void Seeds_that_ever_failed_hold()
    {
        string[] lines = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "regressions.txt"));
        long[] seeds = [.. lines.Where(line => line.Length > 0 && line[0] != '#').Select(line => long.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture))];
        Assert.NotEmpty(seeds);
        foreach (long seed in seeds)
        {
            SeedVerdict verdict = SeedRuns.Run(seed);
            Assert.True(verdict.Passed, SeedRuns.Describe(verdict));
        }
    }

    [Theory]
    [InlineData(3)]
    [InlineData(10)]
    [InlineData(50)]
    public void The_same_seed_gives_the_same_trace_byte_for_byte(long seed)
    {
        using var first = new StringWriter();
        using var second = new StringWriter();
        SeedVerdict one = SeedRuns.Run(seed, trace: first), two = SeedRuns.Run(seed, trace: second);
        Assert.True(one.Events > 100);
        Assert.Equal(one.TraceHash, two.TraceHash);
        Assert.Equal(first.ToString(), second.ToString());
        Assert.NotEqual(one.TraceHash, SeedRuns.Run(seed + 1).TraceHash);
    }

    // Another machine, another day, another thread: the traces of these seeds are the same. Whoever changes the state machines or
    // the simulator changes them, and sees here that he did.
    [Fact]
    public void Threads_change_no_trace()
    {
        ulong[] alone = [.. Enumerable.Range(20, 12).Select(seed => SeedRuns.Run(seed).TraceHash)];
        ulong[] together = new ulong[alone.Length];
        Parallel.For(0, alone.Length, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i => together[i] = SeedRuns.Run(20 + i).TraceHash);
        Assert.Equal(alone, together);
    }

    private static long FirstSeedOf(string commit)
        => commit.Length >= 8 && long.TryParse(commit.AsSpan(0, 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out long seed) ? seed * 1_000 : 1_000_000;
}
