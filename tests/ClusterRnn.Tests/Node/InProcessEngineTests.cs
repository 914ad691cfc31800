using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Node;

public sealed class InProcessEngineTests
{
    private static readonly Task<string> s_reference = NodeJobs.HashOf(NodeJobs.Text());

    [Fact]
    public async Task OneWorkerDoesWhatALoopWithoutAClusterDoes()
    {
        using var trainer = new SmallTrainer(NodeJobs.Text());
        trainer.Run(NodeJobs.Steps);
        Assert.Equal(trainer.StateSha256(), await s_reference);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 3)]
    [InlineData(8, 1)] // more workers than shards
    [InlineData(2, 40)] // more servers than blocks
    public async Task TheClusterChangesNoBit(int workers, int servers)
        => Assert.Equal(await s_reference, await NodeJobs.HashOf(NodeJobs.Text(), workers, servers));

    [Theory]
    [InlineData(1, 2)]
    [InlineData(1, 3)]
    [InlineData(2, 2)]
    [InlineData(3, 3)]
    [InlineData(1, 9)] // more threads than shards
    public async Task ThreadsOfAWorkerChangeNoBit(int workers, int threads)
    {
        foreach (int leastSegmentBlocks in (int[])[0, 1])
        {
            var options = new EngineOptions { Workers = workers, WorkerThreads = threads, LeastSegmentBlocks = leastSegmentBlocks, DealsEvenly = true };
            using RunResult result = await InProcessEngine.RunAsync(NodeJobs.Text(), options, null, TestContext.Current.CancellationToken);
            Assert.Equal(await s_reference, result.StateSha256);
            Assert.Equal(leastSegmentBlocks > 0, result.EarlySegments > 0);
        }
    }

    [Fact]
    public async Task TheClusterChangesNoBitOfATransformer()
    {
        string reference = await NodeJobs.HashOf(NodeJobs.Attention());
        Assert.Equal(reference, await NodeJobs.HashOf(NodeJobs.Attention(), 3, 2));
        var options = new EngineOptions { Workers = 2, WorkerThreads = 2, LeastSegmentBlocks = 1, DealsEvenly = true };
        using RunResult result = await InProcessEngine.RunAsync(NodeJobs.Attention(), options, null, TestContext.Current.CancellationToken);
        Assert.Equal(reference, result.StateSha256);
        Assert.NotEqual(reference, await NodeJobs.HashOf(NodeJobs.Attention(seed: 2)));
    }

    [Fact]
    public async Task TheClusterChangesNoBitOfAConvolution()
    {
        string reference = await NodeJobs.HashOf(NodeJobs.Convolution());
        Assert.Equal(reference, await NodeJobs.HashOf(NodeJobs.Convolution(), 3, 2));
        Assert.NotEqual(reference, await NodeJobs.HashOf(NodeJobs.Convolution(seed: 2)));
    }

    [Fact]
    public async Task AFailureOnAnyThreadIsTheWorkers()
    {
        TrainingJob job = NodeJobs.Text();
        var options = new EngineOptions { Workers = 2, WorkerThreads = 2, DealsEvenly = true };
        var error = await Assert.ThrowsAsync<TrainingException>(
            () => InProcessEngine.RunAsync(job with { Train = new UnreadableRows(job.Train, 3) }, options, null, TestContext.Current.CancellationToken));
        Assert.Contains("worker", error.Message);
        Assert.Contains("row 3 can't be read", error.Message);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(2, 40)]
    public async Task GradientsThatTravelLayerByLayerChangeNoBit(int workers, int servers)
    {
        using RunResult result = await RunByLayer(workers, servers);
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.True(result.EarlySegments >= 2 * NodeJobs.Steps, $"{result.EarlySegments} segments went early.");
    }

    [Fact]
    public async Task WhatAWorkerSentBeforeItFailedIsComputedAgain()
    {
        using RunResult result = await RunByLayer(3, 2, new FailWorker(0, 4, Replace: true), new FailWorker(1, 9, Replace: true), new PoisonWorker(2, 6));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.Equal(2, result.Counters.LostWorkers);
        Assert.True(result.Counters.LostShards > 0);
        Assert.True(result.EarlySegments > 0);
    }

    [Fact]
    public async Task AnotherSeedGivesAnotherModel()
        => Assert.NotEqual(await s_reference, await NodeJobs.HashOf(NodeJobs.Text(seed: 2), 2));

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 1)]
    public async Task AWorkerThatFailsCostsOnlyItsShards(int workers, int servers)
    {
        using RunResult result = await Run(workers, servers, new FailWorker(0, 4, Replace: true), new FailWorker(1, 9, Replace: true));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.Equal(2, result.Counters.LostWorkers);
        Assert.InRange(result.Counters.LostShards, 1, 2 * 5);
        Assert.Equal(result.Counters.AssignedShards - (5 * NodeJobs.Steps), result.Counters.RecomputedShards);
    }

    [Fact]
    public async Task WithoutReplacementTheOthersTakeOver()
    {
        using RunResult result = await Run(3, 2, new FailWorker(0, 2), new FailWorker(2, 5));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.Equal(2, result.Counters.LostWorkers);
        Assert.True(result.Counters.LostShards > 0);
        Assert.Equal(0, result.Counters.SpeculativeShards);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task ALateWorkersShardsAreComputedElsewhereAsWell(int servers)
    {
        using RunResult result = await Run(2, servers, new SlowWorker(1, 5, 1, TimeSpan.FromMilliseconds(1500)));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.True(result.Counters.Speculations >= 1);
        Assert.True(result.Counters.SpeculativeShards >= 1);
        Assert.Equal(0, result.Counters.FaultyAnswers);
    }

    [Theory]
    [InlineData(1)] // parameters are read by reference: overtaken, its answer is torn
    [InlineData(2)] // it has a copy: its answer is good, and compared
    public async Task AWorkerThatIsOvertakenNoticesIt(int servers)
    {
        using RunResult result = await Run(
            2, servers, new SlowWorker(1, 5, 1, TimeSpan.FromMilliseconds(400)), new SlowWorker(0, 6, 1, TimeSpan.FromMilliseconds(1500)));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.True(result.Counters.Speculations >= 1);
        Assert.Equal(servers == 1, result.Counters.AbandonedAnswers > 0);
        Assert.Equal(servers == 2, result.Counters.ComparedLateAnswers > 0);
        Assert.Equal(0, result.Counters.FaultyAnswers);
    }

    [Fact]
    public async Task NothingIsLostSoNothingWaitsForARepetition()
    {
        for (int i = 0; i < 12; i++)
        {
            var faults = new FaultPlan(
                new SlowWorker(1, i % 7, 1, TimeSpan.FromMilliseconds(3)), new SlowWorker(0, 5 + (i % 5), 2, TimeSpan.FromMilliseconds(2)));
            using RunResult result = await InProcessEngine.RunAsync(NodeJobs.Text(), new EngineOptions
            {
                Workers = 2,
                Servers = i % 2 == 0 ? 40 : 1,
                SpeculationFloor = TimeSpan.FromMilliseconds(1),
                Faults = faults,
            });
            Assert.Equal(await s_reference, result.StateSha256);
            Assert.True(result.Elapsed < TimeSpan.FromSeconds(25), $"run {i} took {result.Elapsed}"); // messages are repeated after 30 s
        }
    }

    [Fact]
    public async Task WorkersJoinAndLeave()
    {
        using RunResult result = await Run(1, 1, new JoinWorker(3), new JoinWorker(5), new LeaveWorker(0, 12));
        Assert.Equal(await s_reference, result.StateSha256);
        Assert.Equal(2, result.Counters.LateJoins);
        Assert.Equal(1, result.Counters.Leaves);
        Assert.Equal(0, result.Counters.RecomputedShards);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task AnAnswerThatIsNotFiniteIsComputedAgain(int workers)
    {
        using RunResult result = await Run(workers, 2, new PoisonWorker(0, 6));
        Assert.Equal(workers == 1 ? 1 : 0, result.Counters.SkippedSteps);
        if (workers > 1)
        {
            // With one worker the fault looks the same each time: the step is poison by the rules.
            Assert.Equal(await s_reference, result.StateSha256);
            Assert.True(result.Counters.FaultyAnswers > 0);
        }

        Assert.True(result.Counters.DisputedShards > 0);
    }

    [Fact]
    public async Task APoisonedStepGoesBackToTheCheckpoint()
    {
        using var folder = new TrainingFixtures.Folder();
        TrainingJob job = NodeJobs.Text();
        job = job with { Settings = job.Settings with { NonFinite = NonFinitePolicy.Rollback, Checkpoint = new CheckpointConfig { Every = 4, KeepBest = false } } };
        string[] hashes = new string[2];
        for (int i = 0; i < 2; i++)
        {
            var store = new CheckpointStore(Path.Combine(folder.Path, $"{i}"), job.Settings.Checkpoint);
            using RunResult result = await InProcessEngine.RunAsync(
                job, new EngineOptions { Workers = 1, Servers = 1 + i, Checkpoints = store, Faults = new FaultPlan(new PoisonWorker(0, 7)) });
            Assert.Equal(NodeJobs.Steps, result.Version);
            Assert.Equal(1, result.Counters.Rollbacks);
            Assert.Equal((3 + 1) * 5, result.Counters.RollbackShards); // 4 to 7
            Assert.Equal(result.Counters.AssignedShards - (5 * NodeJobs.Steps), result.Counters.RecomputedShards);
            Assert.Equal(NodeJobs.Steps, result.Counters.Steps);
            hashes[i] = result.StateSha256;
        }

        Assert.Equal(hashes[0], hashes[1]);
        Assert.NotEqual(await s_reference, hashes[0]); // the learning rate was halved
    }

    [Fact]
    public async Task AnInterruptedRunRollsBackAsFarAsAnUnbrokenOne()
    {
        using var folder = new TrainingFixtures.Folder();
        TrainingJob job = NodeJobs.Text();
        job = job with { Settings = job.Settings with { NonFinite = NonFinitePolicy.Rollback, Checkpoint = new CheckpointConfig { Every = 4, Keep = 1, KeepBest = false } } };
        var poison = new FaultPlan(new PoisonWorker(0, 7));
        using RunResult unbroken = await InProcessEngine.RunAsync(job, new EngineOptions
        {
            Checkpoints = new CheckpointStore(Path.Combine(folder.Path, "unbroken"), job.Settings.Checkpoint),
            Faults = poison,
        });

        // Saved in between, at step 6, as an interruption does.
        var store = new CheckpointStore(Path.Combine(folder.Path, "interrupted"), job.Settings.Checkpoint);
        using RunResult first = await InProcessEngine.RunAsync(job, new EngineOptions { Checkpoints = store, StopAfterStep = 6 });
        var policy = job.CreatePolicy();
        policy.Load(first.State.Policy);
        if (store.List()[0].Version != 6)
        {
            Assert.Null(store.Save(first.State, new CheckpointInfo
            {
                Version = 6,
                Seed = job.Seed,
                Shards = job.Shards,
                DataSha256 = job.DataSha256,
                Config = job.Config,
                RollbackVersion = policy.RollbackVersion,
            }).Warning);
        }

        Assert.Equal([6, 4], store.List().Select(c => c.Version));
        using RunResult second = await InProcessEngine.RunAsync(job, new EngineOptions { Checkpoints = store, ResumeFrom = first.State, Faults = poison });
        Assert.Equal((1, 1), (unbroken.Counters.Rollbacks, second.Counters.Rollbacks));
        Assert.Equal(unbroken.StateSha256, second.StateSha256);

        // Without the scheduled checkpoint there is no way back that an unbroken run would take.
        Directory.Delete(store.Folder, recursive: true);
        TrainingException e = await Assert.ThrowsAsync<TrainingException>(() =>
            InProcessEngine.RunAsync(job, new EngineOptions { Checkpoints = store, ResumeFrom = first.State, Faults = poison }));
        Assert.Contains("checkpoint of step 4", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARunStopsAfterTheStepAskedFor()
    {
        using RunResult first = await InProcessEngine.RunAsync(NodeJobs.Text(), new EngineOptions { Workers = 2, StopAfterStep = 9 });
        Assert.Equal(9, first.Version);
        Assert.Equal(RunOutcome.Interrupted, first.Outcome);
        using RunResult second = await InProcessEngine.RunAsync(NodeJobs.Text(), new EngineOptions { Servers = 3, ResumeFrom = first.State });
        Assert.Equal(await s_reference, second.StateSha256);
    }

    [Fact]
    public async Task TheOnlyWorkersFailureEndsTheRunAndIsNamed()
    {
        TrainingException e = await Assert.ThrowsAsync<TrainingException>(() => Run(1, 1, new FailWorker(0, 4)));
        Assert.Contains("worker 0 failed at step 4: it was made to fail at step 4", e.Message);
    }

    [Fact]
    public async Task TheFailureThatLeavesNobodyIsTheOneThatIsNamed()
    {
        TrainingException e = await Assert.ThrowsAsync<TrainingException>(() => Run(2, 1, new FailWorker(0, 2), new FailWorker(1, 6)));
        Assert.Contains("worker 1 failed at step 6", e.Message);
    }

    [Fact]
    public async Task AWorkerThatFailsBeforeItCanJoinIsNamedAndCounted()
    {
        var recorder = new Recorder();
        using (RunResult result = await InProcessEngine.RunAsync(
            NodeJobs.Text(), new EngineOptions { Workers = 2, Faults = new FaultPlan(new FailWorker(0, -1)) }, recorder))
        {
            Assert.Equal(await s_reference, result.StateSha256);
            Assert.Equal(1, result.Counters.LostWorkers);
            Assert.Contains(recorder.Notices, notice => notice.Contains("worker 0 failed before it could join: it was made to fail"));
        }

        TrainingException e = await Assert.ThrowsAsync<TrainingException>(() => Run(1, 1, new FailWorker(0, -1)));
        Assert.Contains("worker 0 failed before it could join", e.Message);
    }

    [Fact]
    public async Task AnInterruptedRunGoesOnWithTheSameBits()
    {
        using var folder = new TrainingFixtures.Folder();
        TrainingJob job = NodeJobs.Text();
        var store = new CheckpointStore(folder.Path, job.Settings.Checkpoint);
        using var stop = new CancellationTokenSource();
        var observer = new Recorder { OnStepDo = step => { if (step == 6) { stop.Cancel(); } } };
        // Slow enough that the request comes before the end.
        var slow = new FaultPlan(new SlowWorker(0, 7, 8, TimeSpan.FromMilliseconds(60)));
        long version;
        using (RunResult first = await InProcessEngine.RunAsync(job, new EngineOptions { Workers = 2, Servers = 2, Checkpoints = store, Faults = slow }, observer, stop.Token))
        {
            Assert.Equal(RunOutcome.Interrupted, first.Outcome);
            version = first.Version;
            Assert.InRange(version, 6, NodeJobs.Steps - 1);
        }

        Checkpoint found = store.FindNewest(job.Expectation).Found!;
        Assert.Equal(version, found.Info.Version);
        using TrainingState state = job.CreateState();
        CheckpointStore.Read(found, state);
        using RunResult second = await InProcessEngine.RunAsync(job, new EngineOptions { Workers = 3, ResumeFrom = state, Checkpoints = store });
        Assert.Equal(RunOutcome.Completed, second.Outcome);
        Assert.Equal(version, second.FirstStep);
        Assert.Equal(StopReason.Steps, second.StopReason);
        Assert.Equal(await s_reference, second.StateSha256);
        Assert.Equal(second.StateSha256, store.FindNewest(job.Expectation).Found!.Info.StateSha256);
    }

    [Theory]
    [InlineData(1, NodeJobs.Steps)] // tried once more
    [InlineData(2, 16)]
    public async Task ARunSaysWhichStepIsSaved(int failures, long kept)
    {
        using var folder = new TrainingFixtures.Folder();
        TrainingJob job = NodeJobs.Text();
        job = job with { Settings = job.Settings with { Checkpoint = new CheckpointConfig { Every = 8, Keep = 9, KeepBest = false } } };
        var files = new FullDisk($"step-{NodeJobs.Steps:0000000000}", failures);
        var recorder = new Recorder();
        using RunResult result = await InProcessEngine.RunAsync(
            job, new EngineOptions { Checkpoints = new CheckpointStore(folder.Path, job.Settings.Checkpoint, files) }, recorder);
        Assert.Equal(kept, result.CheckpointStep);
        Assert.Equal(failures == 2, result.Reason.Contains("could not be saved"));
        Assert.Equal(failures, result.Counters.FailedCheckpoints);
        Assert.Equal(failures, recorder.Notices.Count(notice => notice.Contains("No space left")));
        Assert.Equal(NodeJobs.Steps, result.Version);
    }

    [Fact]
    public async Task ObserversHearEveryStepInOrder()
    {
        var recorder = new Recorder();
        using RunResult result = await InProcessEngine.RunAsync(NodeJobs.Text(), new EngineOptions { Workers = 2 }, recorder);
        Assert.Equal(Enumerable.Range(1, NodeJobs.Steps).Select(step => (long)step), recorder.Steps);
        Assert.Equal([3L, 6, 9, 12, 15, 17], recorder.Evaluations);
        Assert.Equal(1, recorder.Starts);
    }

    [Fact]
    public async Task AnObserverThatThrowsEndsTheRun()
    {
        var observer = new Recorder { OnStepDo = _ => throw new InvalidOperationException("no room for metrics") };
        TrainingException e = await Assert.ThrowsAsync<TrainingException>(
            () => InProcessEngine.RunAsync(NodeJobs.Text(steps: 5000), new EngineOptions { Workers = 2 }, observer));
        Assert.Contains("An observer failed: no room for metrics", e.Message);
    }

    [Fact]
    public async Task AnObserverThatThrowsACancellationHasFailedAllTheSame()
    {
        var observer = new Recorder { OnStepDo = _ => throw new OperationCanceledException("its own") };
        TrainingException e = await Assert.ThrowsAsync<TrainingException>(
            () => InProcessEngine.RunAsync(NodeJobs.Text(steps: 5000), new EngineOptions(), observer));
        Assert.Contains("An observer failed: its own", e.Message);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 1)]
    [InlineData(2, 2)]
    public async Task ComputingAllocatesNothing(int workers, int threads)
    {
        using RunResult result = await InProcessEngine.RunAsync(
            NodeJobs.Text(steps: 110), new EngineOptions { Workers = workers, WorkerThreads = threads, Servers = 2, DealsEvenly = true });
        Assert.Equal(110, result.Version);
        Assert.Equal(0, result.ComputeAllocatedBytes);
        TestContext.Current.TestOutputHelper?.WriteLine($"actors: {result.ActorAllocatedBytes / 107} bytes a step");
    }

    private static async Task<RunResult> RunByLayer(int workers, int servers, params Fault[] faults)
        => await InProcessEngine.RunAsync(
            NodeJobs.Text(),
            new EngineOptions
            {
                Workers = workers,
                Servers = servers,
                Faults = new FaultPlan(faults),
                LeastSegmentBlocks = 1,
                DealsEvenly = true,
                SpeculationFloor = TimeSpan.FromSeconds(20),
            },
            null,
            TestContext.Current.CancellationToken);

    private static async Task<RunResult> Run(int workers, int servers, params Fault[] faults)
        => await InProcessEngine.RunAsync(NodeJobs.Text(), new EngineOptions
        {
            Workers = workers,
            Servers = servers,
            Faults = new FaultPlan(faults),
            DealsEvenly = true,
            SpeculationFloor = faults.Any(fault => fault is SlowWorker) ? TimeSpan.FromMilliseconds(40) : TimeSpan.FromSeconds(20),
        });

    /// <summary>Data of which one row can't be read from the third step on.</summary>
    private sealed class UnreadableRows(IBatchSource inner, int row) : IBatchSource
    {
        public int BatchRows => inner.BatchRows;

        public long StepsPerPass => inner.StepsPerPass;

        public long TargetsPerPass => inner.TargetsPerPass;

        public int MaximumTime => inner.MaximumTime;

        public int MaximumTargetTime => inner.MaximumTargetTime;

        public int FeatureWidth => inner.FeatureWidth;

        public int TargetWidth => inner.TargetWidth;

        public bool CarriesState => inner.CarriesState;

        public string DatasetSha256 => inner.DatasetSha256;

        public StepPlan Plan(long version) => inner.Plan(version);

        public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into)
        {
            if (plan.Version >= 2 && firstRow <= row && row < firstRow + rows)
            {
                throw new IOException($"row {row} can't be read");
            }

            inner.Fill(plan, firstRow, rows, into);
        }
    }

    /// <summary>A disk that can't take a checkpoint the first few times.</summary>
    private sealed class FullDisk(string checkpoint, int failures) : CheckpointFiles
    {
        private int _failures = failures;

        public override void Rename(string from, string to)
        {
            if (Path.GetFileName(to) == checkpoint && _failures-- > 0)
            {
                throw new IOException("No space left on device.");
            }

            base.Rename(from, to);
        }
    }

    private sealed class Recorder : IRunObserver
    {
        public List<string> Notices { get; } = [];

        public void OnNotice(string text) => Notices.Add(text);

        public List<long> Steps { get; } = [];

        public List<long> Evaluations { get; } = [];

        public int Starts { get; private set; }

        public Action<long>? OnStepDo { get; init; }

        public void OnStart(RunStart start) => Starts++;

        public void OnStep(StepReport step)
        {
            Steps.Add(step.Step);
            OnStepDo?.Invoke(step.Step);
        }

        public void OnEvaluation(EvaluationReport evaluation) => Evaluations.Add(evaluation.Step);
    }
}
