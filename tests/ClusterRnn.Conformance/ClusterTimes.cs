// How long a fault lasts, and what many workers cost: measured on this machine and printed. The answer is checked as well.
//
//     CLUSTERRNN_LONG_TESTS=1 dotnet test tests/ClusterRnn.Conformance -c Release --filter "FullyQualifiedName~ClusterTimes" --logger "console;verbosity=detailed"
//
// The figures of one run are in tests/ClusterRnn.Benchmarks/Results/faults.md.
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class ClusterTimes(ITestOutputHelper output)
{
    private const int Repetitions = 3, Workers = 3, Servers = 2, Shards = 7;
    private static readonly TimeSpan s_mostUntilDetected = TimeSpan.FromSeconds(1.5), s_mostUntilTraining = TimeSpan.FromSeconds(3);

    private static readonly Job s_job = new("times", Repository.Config("tiny.yaml"), "--set", "stop.epochs=32", "--set", "checkpoint.every=100", "--set", "evaluate.every=400");

    private static readonly Job s_wide = new(
        "many", Repository.Config("tiny.yaml"), "--set", "batch.size=64", "--set", "batch.shards=64", "--set", "data.characters=20000",
        "--set", "stop.epochs=6", "--set", "checkpoint.every=1000", "--set", "evaluate.every=1000");

    private static readonly Job s_large = new(
        "large-blocks", Repository.Config("tiny.yaml"), "--set", "model.layers=[{type: embedding, units: 32}, {type: lstm, units: 2560}, dense]", "--set", "batch.size=16",
        "--set", "batch.span=16", "--set", "batch.lookBack=16", "--set", "batch.shards=2", "--set", "accumulate=1", "--set", "data.characters=6000", "--set", "stop.epochs=6",
        "--set", "checkpoint.every=100000", "--set", "evaluate.every=100000");

    [Fact]
    public async Task DetectionAndTrainingAgain()
    {
        LongTests.SkipUnlessOn();
        var rows = new List<Row>();
        foreach (Fault fault in Enum.GetValues<Fault>())
        {
            for (int i = 0; i < Repetitions; i++)
            {
                rows.Add(await MeasureAsync(fault, place: i % Servers));
            }
        }

        output.WriteLine($"{Workers} workers, {Servers} servers (two copies of each range), 1 coordinator; {Repetitions} times each, milliseconds, median (longest)");
        output.WriteLine("| fault | detected | next step after that | longest pause between two steps | shards computed again: lost, late |");
        output.WriteLine("|---|---|---|---|---|");
        foreach (IGrouping<Fault, Row> group in rows.GroupBy(row => row.Fault))
        {
            output.WriteLine($"| {group.Key} | {Of(group, row => row.Detected)} | {Of(group, row => row.Again)} | {Of(group, row => row.Pause)} | "
                + $"{string.Join(" ", group.Select(row => row.Lost))}, {string.Join(" ", group.Select(row => row.Late))} |");
        }

        Assert.All(rows, row => Assert.True(row.Detected <= s_mostUntilDetected, $"{row.Fault} was detected after {row.Detected}"));
        Assert.All(rows, row => Assert.True(row.Again <= s_mostUntilTraining, $"{row.Fault}: training went on after {row.Again}"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(32)]
    [InlineData(64)]
    public async Task ManyWorkers(int workers)
    {
        LongTests.SkipUnlessOn();
        FinishedRun undisturbed = await s_wide.UndisturbedAsync();
        await using RunningCluster cluster = await RunningCluster.StartWithoutNodesAsync(s_wide, servers: 1);
        for (int i = 0; i < workers; i++)
        {
            RunningProgram worker = await cluster.AddWorkerAsync("--delay", "0");
            if (i % 4 == 3)
            {
                await RunningCluster.JoinedAsync(worker); // not all runtimes start at once
            }
        }

        foreach (RunningProgram worker in cluster.Workers)
        {
            await RunningCluster.JoinedAsync(worker);
        }

        await cluster.AddServerAsync(); // training begins with it, and with everyone
        await cluster.StepsAsync(40);
        (long bytes, TimeSpan processor, long started) = (cluster.JournalBytes(), cluster.Coordinator.ProcessorTime, Stopwatch.GetTimestamp());
        await cluster.StepsAsync(80);
        bytes = cluster.JournalBytes() - bytes;
        (processor, TimeSpan elapsed) = (cluster.Coordinator.ProcessorTime - processor, Stopwatch.GetElapsedTime(started));
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        double steps = bytes / ((double)cluster.JournalBytes() / run.Number("steps"));
        output.WriteLine(outcome.Error);
        output.WriteLine("| workers | steps measured | ms a step | coordinator's processor ms a step | evictions | workers lost | late shards computed twice |");
        output.WriteLine("|---|---|---|---|---|---|---|");
        output.WriteLine($"| {workers} | {steps:F0} | {elapsed.TotalMilliseconds / steps:F2} | {processor.TotalMilliseconds / steps:F2} | "
            + $"{run.Counter("evictions")} | {run.Counter("workersLost")} | {run.Counter("speculativeShards")} |");
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(0, run.Counter("evictions"));
        Assert.Equal(0, run.Counter("workersLost"));
    }

    /// <summary>An LSTM whose parameters and gradients are 105 MB each: blocks go to and fro while both cores compute.</summary>
    [Fact]
    public async Task HeartbeatsBesideLargeBlocks()
    {
        LongTests.SkipUnlessOn();
        const double MostMilliseconds = 50;
        await using RunningCluster cluster = await RunningCluster.StartAsync(s_large, workers: 2, servers: 1);
        (_, Outcome outcome) = await cluster.FinishAsync();
        output.WriteLine(outcome.Error);
        foreach (RunningProgram node in cluster.Workers.Concat(cluster.Servers))
        {
            string said = (await node.WaitAsync()).Error;
            output.WriteLine(said);
            Match match = Regex.Match(said, @"99 % within ([\d.]+) ms");
            Assert.True(match.Success, "the node had no answer to a heartbeat");
            Assert.InRange(double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), 0, MostMilliseconds);
        }
    }

    private static string Of(IEnumerable<Row> rows, Func<Row, TimeSpan> part)
    {
        TimeSpan[] ordered = [.. rows.Select(part).Order()];
        return $"{ordered[ordered.Length / 2].TotalMilliseconds:F0} ({ordered[^1].TotalMilliseconds:F0})";
    }

    private async Task<Row> MeasureAsync(Fault fault, int place)
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(s_job, Workers, Servers, "--replicas", "2");
        await cluster.StepsAsync(60);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var growth = new List<TimeSpan>();
        long hit = Stopwatch.GetTimestamp();
        Task watching = WatchAsync(cluster, growth, hit, ending.Token);
        RunningProgram observer = fault == Fault.CoordinatorKilled ? cluster.Workers[0] : cluster.Coordinator;
        Func<string, bool> sign = fault switch
        {
            Fault.CoordinatorKilled => line => line.Contains("has no coordinator", StringComparison.Ordinal),
            Fault.WorkerStopped => line => line.Contains("is late with shards", StringComparison.Ordinal),
            _ => line => line.Contains("is lost", StringComparison.Ordinal),
        };
        Task<TimeSpan> detection = DetectAsync(observer, sign, hit);
        switch (fault)
        {
            case Fault.WorkerKilled:
                cluster.Workers[place].Kill();
                break;
            case Fault.ServerKilled:
                cluster.Servers[place].Kill();
                break;
            case Fault.CoordinatorKilled:
                cluster.Coordinator.Kill();
                await cluster.StartCoordinatorAsync();
                break;
            case Fault.WorkerStopped:
                cluster.Workers[place].Signal(Signals.Stop);
                break;
        }

        TimeSpan detected = await detection;
        TimeSpan window = s_mostUntilTraining + TimeSpan.FromSeconds(1);
        await Task.Delay(detected < window ? window - detected : TimeSpan.Zero, TestContext.Current.CancellationToken);
        await ending.CancelAsync();
        await watching;
        if (fault == Fault.WorkerStopped)
        {
            cluster.Workers[place].Signal(Signals.Continue);
        }
        else if (fault == Fault.ServerKilled)
        {
            await cluster.AddServerAsync();
        }

        TimeSpan again = growth.FirstOrDefault(time => time > detected, TimeSpan.MaxValue);
        TimeSpan pause = growth.Prepend(TimeSpan.Zero).Zip(growth, (before, after) => after - before).DefaultIfEmpty(TimeSpan.MaxValue).Max();
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        output.WriteLine($"{fault}: detected {detected.TotalMilliseconds:F0} ms, again {again.TotalMilliseconds:F0} ms, pause {pause.TotalMilliseconds:F0} ms\n{outcome.Error}");
        Assert.Equal((await s_job.UndisturbedAsync()).Answer, run.Answer);
        Assert.Equal(0, run.Counter("rollbacks"));
        Assert.InRange(run.Counter("lostShards"), 0, fault == Fault.WorkerKilled ? ShardsOfTheLost(outcome.Error) : Shards);
        return new Row(fault, detected, again, pause, run.Counter("lostShards"), run.Counter("speculativeShards"));
    }

    /// <summary>How many shards of the open step the lost worker had, by the coordinator's own word.</summary>
    private static long ShardsOfTheLost(string said)
    {
        Match match = Regex.Match(said, @"worker \d+ is lost: .*; it had (\d+) shard");
        return match.Success ? long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
    }

    private static async Task<TimeSpan> DetectAsync(RunningProgram observer, Func<string, bool> sign, long since)
    {
        Assert.True(await observer.WillSayAsync(sign), "the fault was not noticed");
        return Stopwatch.GetElapsedTime(since);
    }

    // When steps were committed.
    private static async Task WatchAsync(RunningCluster cluster, List<TimeSpan> growth, long since, CancellationToken ending)
    {
        const int BytesOfAStep = 150; // at least; a claimed epoch alone has less
        long bytes = cluster.JournalBytes();
        while (!ending.IsCancellationRequested)
        {
            await Task.Delay(1, CancellationToken.None);
            if (cluster.JournalBytes() is var now && now >= bytes + BytesOfAStep)
            {
                bytes = now;
                growth.Add(Stopwatch.GetElapsedTime(since));
            }
        }
    }

    /// <summary>What is done to the cluster.</summary>
    private enum Fault
    {
        WorkerKilled,
        WorkerStopped,
        ServerKilled,
        CoordinatorKilled,
    }

    private sealed record Row(Fault Fault, TimeSpan Detected, TimeSpan Again, TimeSpan Pause, long Lost, long Late);
}
