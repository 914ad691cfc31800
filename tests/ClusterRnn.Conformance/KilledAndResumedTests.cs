// The second promise, where it hurts most: SIGKILL at any moment, any number of times. The run is resumed until it is done
// and must end with the bits and the metrics of a run that nothing happened to.
//     CLUSTERRNN_KILL_SEED=N replays the moments of a run that failed (as far as the machine is as fast).
using System.Diagnostics;
using System.Globalization;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class KilledAndResumedTests(ITestOutputHelper output)
{
    private readonly int _seed = int.TryParse(Environment.GetEnvironmentVariable("CLUSTERRNN_KILL_SEED"), CultureInfo.InvariantCulture, out int seed)
        ? seed
        : (int)(Stopwatch.GetTimestamp() & 0xFFFFFF);

    [Fact]
    public Task AtRandomMoments() => KillAndResume(Job.Enduring, KillAtRandomMoment, kills: 4);

    [Fact]
    public async Task WhileACheckpointIsWritten()
    {
        int torn = await KillAndResume(Job.Enduring, KillWhileWriting, kills: 4);
        output.WriteLine($"{torn} of the kills left a half-written checkpoint behind");
    }

    [Fact]
    public Task AsSoonAsACheckpointIsThere() => KillAndResume(Job.Enduring, KillAfterCheckpoint, kills: 3);

    [Fact]
    public async Task ManyTimes()
    {
        LongTests.SkipUnlessOn();
        var random = new Random(_seed);
        Func<RunningProgram, string, Random, Task>[] ways = [KillAtRandomMoment, KillWhileWriting, KillAfterCheckpoint];
        var longer = new Job("killed-often", Repository.Config("tiny.yaml"), "--set", "stop.epochs=300", "--set", "checkpoint.every=15", "--set", "evaluate.every=100");
        int torn = await KillAndResume(longer, (program, folder, r) => ways[random.Next(ways.Length)](program, folder, r), kills: 60);
        Assert.True(torn > 0, "of the kills none hit a checkpoint that was being written");
    }

    /// <summary>Trains, is killed, resumes, ... and at last is left alone.</summary>
    /// <returns>How many kills left a half-written checkpoint behind.</returns>
    private async Task<int> KillAndResume(Job job, Func<RunningProgram, string, Random, Task> kill, int kills)
    {
        output.WriteLine($"CLUSTERRNN_KILL_SEED={_seed}");
        var random = new Random(_seed);
        FinishedRun undisturbed = await job.UndisturbedAsync();
        string folder = TemporaryFolders.NewRun("killed");
        int torn = 0;
        for (int i = 0; i < kills; i++)
        {
            await using RunningProgram program = await StartOrResume(job, folder, random);
            // The first one waits for a checkpoint, so that there is something to go on from.
            await (i == 0 ? KillAfterCheckpoint(program, folder, random) : kill(program, folder, random));
            program.Kill();
            Outcome outcome = await program.WaitAsync();
            bool isTorn = Directory.Exists(Path.Combine(folder, "checkpoints")) && Directory.EnumerateDirectories(Path.Combine(folder, "checkpoints"), ".*").Any();
            torn += isTorn ? 1 : 0;
            output.WriteLine($"killed after {outcome.Elapsed.TotalSeconds:F2} s, newest checkpoint {Path.GetFileName(FinishedRun.CheckpointsIn(folder).LastOrDefault())}{(isTorn ? ", another half written" : "")}");
            Assert.True(outcome.ExitCode is 0 or 137, outcome.ToString());
            if (outcome.ExitCode == 0)
            {
                break; // done before it was killed
            }
        }

        (FinishedRun run, Outcome last) = await job.ResumeAsync(folder, "--workers", $"{random.Next(1, 4)}", "--servers", $"{random.Next(1, 4)}");
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
        Assert.True(run.Number("resumedFromStep") > 0, last.ToString());
        Assert.Empty(Directory.EnumerateDirectories(Path.Combine(folder, "checkpoints"), ".*"));
        return torn;
    }

    private static Task<RunningProgram> StartOrResume(Job job, string folder, Random random)
    {
        string[] cluster = ["--verbose", "--workers", $"{random.Next(1, 4)}", "--servers", $"{random.Next(1, 3)}"];
        return ProgramUnderTest.StartAsync(Directory.Exists(folder) ? job.ResumeArguments(folder, cluster) : job.Arguments(folder, cluster));
    }

    /// <summary>Anywhere between the start of the process and about its end.</summary>
    private static async Task KillAtRandomMoment(RunningProgram program, string folder, Random random)
    {
        TimeSpan whole = (await Job.Enduring.UndisturbedAsync()).Elapsed;
        await Task.Delay(whole * random.NextDouble(), TestContext.Current.CancellationToken);
    }

    /// <summary>A moment after the folder of a checkpoint that is being written has appeared.</summary>
    private static async Task KillWhileWriting(RunningProgram program, string folder, Random random)
    {
        var appeared = new TaskCompletionSource();
        using FileSystemWatcher watcher = Watch(folder, ".writing-*");
        // Killed in the watcher's own thread: a checkpoint of so small a model is written in a few milliseconds.
        double milliseconds = random.NextDouble() * 3;
        watcher.Created += (_, _) =>
        {
            long start = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < milliseconds)
            {
            }

            program.Kill();
            appeared.TrySetResult();
        };
        watcher.EnableRaisingEvents = true;
        await Task.WhenAny(appeared.Task, program.WaitAsync());
    }

    /// <summary>As soon as a checkpoint has its name: what it counts on must be on the disk by then.</summary>
    private static async Task KillAfterCheckpoint(RunningProgram program, string folder, Random random)
    {
        var appeared = new TaskCompletionSource();
        using FileSystemWatcher watcher = Watch(folder, "step-*");
        watcher.Renamed += (_, _) =>
        {
            program.Kill();
            appeared.TrySetResult();
        };
        watcher.EnableRaisingEvents = true;
        await Task.WhenAny(appeared.Task, program.WaitAsync());
    }

    private static FileSystemWatcher Watch(string folder, string filter)
    {
        // A named run folder may be there before the run, as long as it is empty; so the watcher sits one above.
        string parent = Path.GetDirectoryName(folder)!;
        return new FileSystemWatcher(parent, filter) { IncludeSubdirectories = true, NotifyFilter = NotifyFilters.DirectoryName };
    }
}
