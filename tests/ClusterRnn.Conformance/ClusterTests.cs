// A cluster of processes gives the answer of one process, whatever is killed, stopped, slow, late or gone. Every test also
// asserts by a counter that what it did to the cluster was noticed.
using System.Text.Json.Nodes;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class ClusterTests(ITestOutputHelper output)
{
    private const int Shards = 7;

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 2, 2)]
    public async Task ProcessesGiveTheAnswerOfOneProcess(int workers, int servers, int replicas)
    {
        FinishedRun run = await Job.Tiny.TrainAsync("--engine", EngineUnderTest.Name, "--workers", $"{workers}", "--servers", $"{servers}", "--replicas", $"{replicas}");
        Assert.Equal((await Job.Tiny.UndisturbedAsync()).Answer, run.Answer);
        Assert.Equal(EngineUnderTest.Name, run.Text("engine"));
        Assert.Equal(0, run.Counter("workersLost"));
        Assert.Equal((await Job.Tiny.UndisturbedAsync()).Metrics(), run.Metrics());
        FinishedRun other = await Job.Tiny.TrainAsync("--engine", EngineUnderTest.Name, "--seed", "2");
        Assert.NotEqual(run.ModelSha256, other.ModelSha256);
    }

    [Fact]
    public async Task ALocalClusterStartsADeadWorkerAgainAndEndsWithWhoeverStartedIt()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc");
        string folder = TemporaryFolders.NewRun("local");
        Job job = EngineUnderTest.Name == EngineUnderTest.Tcp ? Job.ClusteredForLong : Job.ClusteredForVeryLong;
        string[] cluster = job.Arguments(folder, "--engine", EngineUnderTest.Name, "--workers", "2", "--servers", "1");
        int[] nodes;
        await using (RunningProgram program = await ProgramUnderTest.StartAsync(cluster))
        {
            Assert.True(await program.SaysAsync(line => line.StartsWith("step ", StringComparison.Ordinal)), "no step");
            Signals.Send(program.Children().First(child => child.CommandLine.Contains(" worker ", StringComparison.Ordinal)).Id, Signals.Killed);
            Assert.True(await program.SaysAsync(line => line.Contains("was killed by signal 9 and is started again", StringComparison.Ordinal)), "nobody noticed");
            Assert.True(await program.SaysAsync(line => line.Contains("joined", StringComparison.Ordinal)), "the worker that was started again did not join");
            nodes = [.. program.Children().Select(child => child.Id)];
            Assert.Equal(EngineUnderTest.Name == EngineUnderTest.Tcp ? 3 : 1, nodes.Length);
            program.Kill();
            await program.WaitAsync();
        }

        for (long until = Environment.TickCount64 + 10_000; nodes.Any(id => Directory.Exists($"/proc/{id}")); await Task.Delay(20, TestContext.Current.CancellationToken))
        {
            Assert.True(Environment.TickCount64 < until, "nodes outlived the process that started them");
        }

        (FinishedRun run, _) = await job.ResumeAsync(folder, "--engine", EngineUnderTest.Name, "--workers", "2", "--servers", "1");
        Assert.Equal((await job.UndisturbedAsync()).Answer, run.Answer);
    }

    [Fact]
    public async Task AWorkerIsKilledInTheMiddleOfAStep()
    {
        Job job = EngineUnderTest.Name == EngineUnderTest.Tcp ? Job.Clustered : Job.ClusteredForLong;
        await using RunningCluster cluster = await RunningCluster.StartAsync(job, workers: 2, servers: 1);
        await cluster.StepsAsync(20);
        cluster.Workers[0].Kill();
        FinishedRun run = await ExpectTheAnswer(cluster, job);
        Assert.Equal(1, run.Counter("workersLost"));
        Assert.InRange(run.Number("recomputedShards"), 0, Shards + run.Counter("speculativeShards"));
    }

    [Fact]
    public async Task EveryWorkerIsKilledInTurn()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 1);
        await cluster.StepsAsync(10);
        for (int i = 0; i < 2; i++)
        {
            await cluster.AddWorkerAsync();
            cluster.Workers[i].Kill();
            await cluster.StepsAsync(10);
        }

        FinishedRun run = await ExpectTheAnswer(cluster);
        Assert.Equal(2, run.Counter("workersLost"));
        Assert.True(run.Counter("workersJoined") >= 2, "the workers that joined in mid-run were not counted");
    }

    [Fact]
    public async Task AWorkerIsStoppedPastItsLeaseAndGoesOn()
    {
        Signals.SkipWithoutThem();
        bool isTcp = EngineUnderTest.Name == EngineUnderTest.Tcp;
        Job job = isTcp ? Job.ClusteredForLong : Job.ClusteredForLonger;
        await using RunningCluster cluster = await RunningCluster.StartAsync(job, workers: 2, servers: 1);
        await cluster.StepsAsync(10);
        cluster.Workers[0].Signal(Signals.Stop);
        await Task.Delay(TimeSpan.FromSeconds(6), TestContext.Current.CancellationToken);
        cluster.Workers[0].Signal(Signals.Continue);
        FinishedRun run = await ExpectTheAnswer(cluster, job);
        Assert.True(run.Counter("workersLost") > 0, "the stopped worker was not missed");
        if (isTcp)
        {
            Assert.True(run.Counter("evictions") > 0, "the stopped worker kept its lease"); // a membership may be faster than the lease
        }
    }

    [Fact]
    public async Task AServerWithAReplicaIsKilled()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 2, "--replicas", "2");
        await cluster.StepsAsync(20);
        cluster.Servers[0].Kill();
        await cluster.AddServerAsync();
        FinishedRun run = await ExpectTheAnswer(cluster);
        Assert.True(run.Counter("promotions") > 0, "no replica was promoted");
        Assert.Equal(0, run.Counter("rollbacks"));
    }

    [Fact]
    public async Task AServerWithoutAReplicaIsKilled()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 2);
        await cluster.StepsAsync(60);
        cluster.Servers[1].Kill();
        FinishedRun run = await ExpectTheAnswer(cluster);
        Assert.Equal(1, run.Counter("rollbacks"));
        Assert.True(run.Counter("reproducedSteps") > 0, "no step was executed again and compared with the journal");
    }

    [Fact]
    public async Task TheCoordinatorIsKilledAndStartedAgain()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 2);
        await cluster.StepsAsync(30);
        cluster.Coordinator.Kill();
        await cluster.StartCoordinatorAsync();
        // What observers had been told and not yet written when the coordinator was killed is missing in the metrics, no more.
        FinishedRun run = await ExpectTheAnswer(cluster, mayMissMetrics: true);
        Assert.True(File.Exists(Path.Combine(cluster.Folder, "journal", "journal.2")), "no second epoch was claimed");
        // An engine with a membership takes out nodes that have lost their only coordinator: they come back as new ones, with nothing.
        Assert.Equal(EngineUnderTest.Name == EngineUnderTest.Tcp ? 0 : 1, run.Counter("rollbacks"));
        output.WriteLine($"went on from step {run.Number("resumedFromStep")}");
    }

    [Fact]
    public async Task AWorkerWithoutTheDataIsSentItsRowsAndOneWithOtherDataIsRefused()
    {
        string text = Path.Combine(TemporaryFolders.New("text"), "text.txt");
        await File.WriteAllTextAsync(text, string.Concat(Enumerable.Range(0, 300).Select(i => $"{i} and {i} is {2 * i}. ")), TestContext.Current.CancellationToken);
        var job = new Job("rows", ConfigOf(text), "--set", "stop.epochs=1");
        FinishedRun expected = await job.TrainAsync("--workers", "1");
        await using RunningCluster cluster = await RunningCluster.StartAsync(job, workers: 0, servers: 1);
        string other = Path.Combine(TemporaryFolders.New("text"), "other.txt");
        await File.WriteAllTextAsync(other, (await File.ReadAllTextAsync(text, TestContext.Current.CancellationToken)).Replace('7', '8'), TestContext.Current.CancellationToken);
        RunningProgram refused = await cluster.AddWorkerAsync("--data", other);
        Outcome refusal = (await refused.WaitAsync()).Expect(1);
        refusal.ExpectError("SHA-256");
        cluster.Workers.Remove(refused);
        string moved = text + ".moved";
        File.Move(text, moved);
        RunningProgram sent = await cluster.AddWorkerAsync();
        Assert.True(await sent.SaysAsync(line => line.Contains("the coordinator sends the rows", StringComparison.Ordinal)), "the worker found data where there is none");
        await cluster.AddWorkerAsync("--data", moved);
        (FinishedRun run, _) = await cluster.FinishAsync();
        Assert.Equal(expected.Answer, run.Answer);
    }

    [Fact]
    public async Task AWorkerSlowedTenfoldAndTheStatusThatSaysSo()
    {
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 0, servers: 1);
        RunningProgram slow = await cluster.AddWorkerAsync("--delay", "0.15");
        await RunningCluster.JoinedAsync(slow);
        await RunningCluster.JoinedAsync(await cluster.AddWorkerAsync());
        await cluster.StepsAsync(30);
        Outcome table = (await cluster.StatusAsync()).Expect(0);
        Assert.Contains("worker 1", table.Output, StringComparison.Ordinal);
        JsonNode status = JsonNode.Parse((await cluster.StatusAsync("--json")).Expect(0).Output)!;
        double[] perShard = [.. status["nodes"]!.AsArray().Where(n => n!["role"]!.GetValue<string>() == "worker").Select(n => n!["shardSeconds"]!.GetValue<double>()).Order()];
        Assert.True(perShard[^1] > 2 * perShard[0], $"the status does not show the slow worker: {status}");
        await ExpectTheAnswer(cluster);
    }

    [Fact]
    public async Task AWorkerThatIsAskedToLeaveFinishesWhatItHas()
    {
        Signals.SkipWithoutThem();
        await using RunningCluster cluster = await RunningCluster.StartAsync(Job.Clustered, workers: 2, servers: 1);
        await cluster.StepsAsync(10);
        cluster.Workers[1].Signal(Signals.Terminate);
        Outcome left = await cluster.Workers[1].WaitAsync();
        Assert.Contains("left as asked", left.Error, StringComparison.Ordinal);
        cluster.Workers.RemoveAt(1);
        FinishedRun run = await ExpectTheAnswer(cluster);
        Assert.Equal(1, run.Counter("workersLeft"));
        Assert.Equal(0, run.Counter("workersLost"));
    }

    private static string ConfigOf(string text)
    {
        string path = Path.Combine(TemporaryFolders.New("config"), "rows.yaml");
        File.WriteAllText(path, $$"""
            data: { source: text, path: {{text}}, validation: 0.2 }
            model:
              layers: [{ type: embedding, units: 8 }, { type: gru, units: 12 }, dense]
            batch: { size: 6, span: 8, lookBack: 12 }
            stop: { epochs: 1 }
            """);
        return path;
    }

    private async Task<FinishedRun> ExpectTheAnswer(RunningCluster cluster, Job? job = null, bool mayMissMetrics = false)
    {
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        output.WriteLine(outcome.Error);
        FinishedRun undisturbed = await (job ?? Job.Clustered).UndisturbedAsync();
        Assert.Equal(undisturbed.Answer, run.Answer);
        if (mayMissMetrics)
        {
            Assert.Equal(run.Metrics().Distinct().Count(), run.Metrics().Length);
            Assert.Subset(undisturbed.Metrics().ToHashSet(), run.Metrics().ToHashSet());
        }
        else
        {
            Assert.Equal(undisturbed.Metrics(), run.Metrics());
        }

        return run;
    }
}
