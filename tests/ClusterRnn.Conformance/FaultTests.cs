// Workers that fail, are late, join, leave or answer nonsense in the middle of the job. The program itself has no switch
// for that: the plan of faults is handed to the engine, which runs the same job as the command line, and both must end with
// the same bits. Each test also asserts that what it plans did happen.
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Conformance;

public sealed class FaultTests
{
    private const int Shards = 7;

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(7, 3)]
    public async Task AWorkerThatFailsInTheMiddleOfAStep(int workers, int servers)
    {
        using RunResult result = await Run(workers, servers, new FailWorker(0, 7, Replace: workers > 3), new FailWorker(1, 31, Replace: true));
        await ExpectTheSame(result);
        Assert.Equal(2, result.Counters.LostWorkers);
        // What is computed again is what the lost workers held: something, and no more than a batch each.
        Assert.InRange(result.Counters.LostShards, 1, 2 * Shards);
        Assert.Equal(result.Counters.LostShards, result.Counters.RecomputedShards);
    }

    [Fact]
    public async Task TheOnlyWorkerFailsAndIsReplaced()
    {
        using RunResult result = await Run(1, 1, new FailWorker(0, 20, Replace: true), new FailWorker(1, 45, Replace: true));
        await ExpectTheSame(result);
        Assert.Equal(2, result.Counters.LostWorkers);
        Assert.Equal(2 * Shards, result.Counters.LostShards);
    }

    [Fact]
    public async Task AllButOneFailOneAfterTheOther()
    {
        using RunResult result = await Run(4, 2, new FailWorker(3, 5), new FailWorker(0, 6), new FailWorker(2, 40));
        await ExpectTheSame(result);
        Assert.Equal(3, result.Counters.LostWorkers);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public async Task ALateWorkersShardsAreComputedElsewhereAsWell(int workers, int servers)
    {
        using RunResult result = await Run(workers, servers, new SlowWorker(1, 12, 1, TimeSpan.FromSeconds(1.5)));
        await ExpectTheSame(result);
        Assert.True(result.Counters.Speculations > 0, "no speculation");
        Assert.True(result.Counters.SpeculativeShards > 0, "no speculative shard");
        Assert.True(result.Counters.RecomputedShards >= result.Counters.SpeculativeShards);
        Assert.Equal(0, result.Counters.FaultyAnswers);
        Assert.Equal(0, result.Counters.LostWorkers);
    }

    [Fact]
    public async Task WorkersJoinAndLeave()
    {
        using RunResult result = await Run(2, 2, new JoinWorker(9), new LeaveWorker(0, 21), new JoinWorker(33), new LeaveWorker(1, 45));
        await ExpectTheSame(result);
        Assert.Equal(2, result.Counters.LateJoins);
        Assert.Equal(2, result.Counters.Leaves);
        Assert.Equal(0, result.Counters.LostWorkers);
    }

    [Fact]
    public async Task AnAnswerThatIsNotFiniteIsComputedAgain()
    {
        using RunResult result = await Run(3, 2, new PoisonWorker(1, 17));
        await ExpectTheSame(result);
        Assert.Equal(0, result.Counters.SkippedSteps);
        Assert.True(result.Counters.DisputedShards > 0, "no disputed shard");
        Assert.True(result.Counters.FaultyAnswers > 0, "no faulty answer");
    }

    [Fact]
    public async Task EverythingAtOnce()
    {
        using RunResult result = await Run(
            4,
            3,
            new FailWorker(0, 3, Replace: true),
            new SlowWorker(1, 10, 2, TimeSpan.FromSeconds(1)),
            new PoisonWorker(2, 25),
            new JoinWorker(30),
            new FailWorker(3, 44),
            new LeaveWorker(2, 50),
            new FailWorker(4, 60, Replace: true));
        await ExpectTheSame(result);
        Assert.True(result.Counters.LostWorkers > 1 && result.Counters.Speculations > 0 && result.Counters.DisputedShards > 0);
    }

    [Fact]
    public async Task WithoutAWorkerLeftTheRunEndsAndSaysWhy()
    {
        TrainingException fault = await Assert.ThrowsAsync<TrainingException>(() => Run(2, 1, new FailWorker(0, 5), new FailWorker(1, 8)));
        Assert.Contains("step", fault.Message);
    }

    private static async Task<RunResult> Run(int workers, int servers, params Fault[] faults)
    {
        ResolvedJob tiny = ResolvedJob.Open(JobConfig.Load(Job.Tiny.Config).Value, Repository.Root);
        Assert.Equal(Shards, tiny.Job.Shards);
        var options = new EngineOptions
        {
            Workers = workers,
            Servers = servers,
            Faults = new FaultPlan(faults),
            DealsEvenly = true, // so that whom the plan names has something to do
            // A busy machine must not look like a late worker where none is planned.
            SpeculationFloor = faults.Any(f => f is SlowWorker) ? TimeSpan.FromMilliseconds(200) : TimeSpan.FromMinutes(1),
        };
        return await InProcessEngine.RunAsync(tiny.Job, options, cancellation: TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken);
    }

    private static async Task ExpectTheSame(RunResult result)
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        Assert.Equal(undisturbed.Number("steps"), result.Version);
        Assert.Equal(undisturbed.ModelSha256, result.ModelSha256);
        Assert.Equal(undisturbed.StateSha256, result.StateSha256);
    }
}
