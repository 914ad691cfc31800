using System.Diagnostics;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class ShardComputerTests
{
    // 11 rows in 5 shards, of which the last steps of a pass read 10 only; k2 > k1; dropout; clipping; accumulation; a
    // plateau that falls at nearly every evaluation.
    private const int Steps = 14;

    [Theory]
    [InlineData(new int[0], 1, 0)]
    [InlineData(new[] { 3 }, 2, 0)]
    [InlineData(new[] { 1, 2, 3, 4 }, 3, 0)]
    [InlineData(new[] { 2, 4 }, 5, 1)]
    [InlineData(new int[0], 1, 1)]
    [InlineData(new int[0], 40, 0)]
    public void HowTheWorkIsCutChangesNoBit(int[] cuts, int servers, long memoryBytes)
    {
        using var trainer = new SmallTrainer(TextJob(1), servers, memoryBytes, cuts);
        trainer.Run(Steps);
        Assert.Equal(memoryBytes == 1, trainer.Computer.MaximumRows < 11);
        Assert.Equal(Reference.Value, trainer.StateSha256());
    }

    // Windows of 11 time steps, in segments; with evaluation, groups of shards, and carried state that is captured within one.
    [Theory]
    [InlineData(1, new int[0], 1, 0)]
    [InlineData(3, new[] { 3 }, 2, 0)]
    [InlineData(4, new[] { 1, 2, 4 }, 1, 1)]
    [InlineData(10, new int[0], 3, 1)]
    [InlineData(11, new int[0], 1, 0)]
    public void RecomputedActivationsChangeNoBit(int every, int[] cuts, int servers, long memoryBytes)
    {
        using var trainer = new SmallTrainer(TextJob(1) with { RecomputeEvery = every }, servers, memoryBytes, cuts);
        trainer.Run(Steps);
        Assert.Equal(Reference.Value, trainer.StateSha256());
    }

    [Fact]
    public void AnotherSeedOrNumberOfShardsGivesOtherBits()
    {
        foreach (TrainingJob job in new[] { TextJob(2), TextJob(1, shards: 4) })
        {
            using var trainer = new SmallTrainer(job);
            trainer.Run(Steps);
            Assert.NotEqual(Reference.Value, trainer.StateSha256());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(13)]
    public void AResumedRunEndsWithTheSameBits(int at)
    {
        using var folder = new TrainingFixtures.Folder();
        TrainingJob job = TextJob(1);
        var store = new CheckpointStore(folder.Path, job.Settings.Checkpoint);
        using (var first = new SmallTrainer(job, 2))
        {
            first.Run(at);
            using TrainingState state = first.State();
            Assert.Null(store.Save(state, Info(job, at)).Warning);
        }

        using var second = new SmallTrainer(job, 3, 0, 2);
        using TrainingState found = job.CreateState();
        CheckpointStore.Read(store.FindNewest(job.Expectation).Found!, found);
        second.Resume(found);
        second.Run(Steps);
        Assert.Equal(Reference.Value, second.StateSha256());
    }

    [Fact]
    public void TrainingLowersTheLoss()
    {
        using var trainer = new SmallTrainer(TextJob(1) with { Settings = TextJob(1).Settings with { Schedule = new ConstantScheduleConfig(), Accumulate = 1 } });
        double before = trainer.Evaluate(DataPart.Validation).Loss;
        trainer.Run(60);
        double after = trainer.Evaluate(DataPart.Validation).Loss;
        Assert.True(after < 0.8 * before, $"{before} before, {after} after");
    }

    [Fact]
    public void HowAnEvaluationIsCutChangesNoBit()
    {
        TrainingJob job = TextJob(1);
        using var trainer = new SmallTrainer(job);
        trainer.Run(2);
        EvaluationSums whole = trainer.Evaluate(DataPart.Validation);
        Assert.Equal(job.Validation!.TargetsPerPass, whole.Counts[0]);
        for (int cut = 1; cut < job.ValidationShards; cut++)
        {
            Assert.Equal(whole.Sums, trainer.Evaluate(DataPart.Validation, cut).Sums);
        }
    }

    [Fact]
    public void AnEvaluationEndsWhenItIsCancelled()
    {
        TrainingJob job = TextJob(1);
        using var trainer = new SmallTrainer(job);
        trainer.Computer.LoadParameters(trainer.Parameters);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        ShardReport[] reports = ShardComputer.CreateReports(job, job.ValidationShards);
        Assert.Throws<OperationCanceledException>(() => trainer.Computer.Evaluate(DataPart.Validation, new ShardRange(0, job.ValidationShards), reports, cancelled.Token));
    }

    [Fact]
    public void EveryTargetIsCountedOnceAPassAndTheRowsAreVouchedFor()
    {
        TrainingJob job = TextJob(1);
        using var trainer = new SmallTrainer(job);
        long targets = 0;
        var digests = new HashSet<ulong>();
        for (long step = 0; step < job.Train.StepsPerPass; step++)
        {
            trainer.Step();
            targets += trainer.Reports.Sum(report => report.Counts[0]);
            Assert.All(trainer.Reports, report => Assert.True(digests.Add(report.RowsDigest)));
            Assert.All(trainer.Reports, report => Assert.True(report.Finite));
        }

        Assert.Equal(job.Train.TargetsPerPass, targets);
    }

    [Theory]
    [InlineData(new int[0], 1)]
    [InlineData(new[] { 4 }, 2)]
    [InlineData(new[] { 1, 2, 3, 4, 5, 6, 7 }, 4)]
    public void MoreShardsThanRowsAndBatchesThatAreNotFull(int[] cuts, int servers)
    {
        // 13 examples in batches of 5 rows, 8 shards: three shards are always empty, and the last batch has two empty rows.
        using var expected = new SmallTrainer(SeriesJob());
        using var trainer = new SmallTrainer(SeriesJob(), servers, 0, cuts);
        expected.Run(7);
        trainer.Run(7);
        Assert.Equal(expected.StateSha256(), trainer.StateSha256());
        Assert.Equal(13 * 2 + 5, trainer.Policy.Targets);
    }

    [Fact]
    public void AShardWithoutRowsReportsTheSameAloneAndBesideOthers()
    {
        // 11 streams in 16 shards: two answers to one question are compared by what they report.
        using var together = new SmallTrainer(TextJob(1, 16));
        using var alone = new SmallTrainer(TextJob(1, 16), 1, 0, [.. Enumerable.Range(1, 15)]);
        together.Run(3);
        alone.Run(3);
        Assert.Contains(together.Reports, report => report.Counts[0] == 0);
        Assert.Contains(together.Reports, report => report.StateDigest != 0);
        Assert.Equal(alone.Reports.Select(r => (r.Shard, r.RowsDigest, r.StateDigest)), together.Reports.Select(r => (r.Shard, r.RowsDigest, r.StateDigest)));
    }

    [Fact]
    public void AStepAllocatesNothing()
    {
        TrainingJob job = TextJob(1);
        using ShardComputer computer = job.CreateComputer(job.Shards);
        using var parameters = new NativeBuffer<float>(job.Layout.Length);
        job.Model.Initialize(1, parameters.AsSpan());
        var range = new ShardRange(0, job.Shards);
        using var gradient = new NativeBuffer<float>(job.Layout.Length);
        using var states = new NativeBuffer<float>((long)job.Train.BatchRows * job.Model.StateWidth);
        ShardReport[] reports = ShardComputer.CreateReports(job, job.Shards);
        long perPlan = Allocated(() => job.Train.Plan(3));
        Run(5);
        long allocated = Allocated(() => Run(20));
        // The plan of a step is an object; nothing else is.
        Assert.InRange(allocated, 0, 20 * perPlan);

        void Run(int steps)
        {
            float** pointers = stackalloc float*[job.Shards];
            float* into = gradient.Pointer;
            for (int shard = 0; shard < job.Shards; shard++)
            {
                pointers[shard] = states.Pointer + job.StateOffset(shard);
            }

            for (int step = 0; step < steps; step++)
            {
                computer.LoadParameters(parameters.Pointer);
                computer.Train(step, range, pointers, pointers, &into, reports);
            }
        }

        static long Allocated(Action action)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void AGradientsDigestIsOfEachLayer()
    {
        TrainingJob job = TextJob(1);
        using var gradient = new NativeBuffer<float>(job.Layout.Length);
        TrainingFixtures.FillTensors(job.Layout, gradient.Pointer, 4);
        int layers = job.Model.LayerNames.Count;
        ulong[] first = new ulong[layers], second = new ulong[layers];
        Assert.True(ShardComputer.DigestGradient(job.Layout, gradient.Pointer, first));
        ParameterTensor changed = job.Layout.Tensors[^1];
        gradient.Pointer[changed.Offset] = MathF.BitIncrement(gradient.Pointer[changed.Offset]);
        Assert.True(ShardComputer.DigestGradient(job.Layout, gradient.Pointer, second));
        for (int layer = 0; layer < layers; layer++)
        {
            Assert.Equal(layer != changed.Layer, first[layer] == second[layer]);
        }

        gradient.Pointer[changed.Offset] = float.NaN;
        Assert.False(ShardComputer.DigestGradient(job.Layout, gradient.Pointer, second));
    }

    [Theory]
    [InlineData("", 0xEF46DB3751D8E999)]
    [InlineData("a", 0xD24EC4F1A98C6E5B)]
    [InlineData("abc", 0x44BC2CF5AD770999)]
    [InlineData("xxhash", 0x32DD38952C4BC720)]
    [InlineData("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1)]
    public void TheDigestIsXxh64(string text, ulong expected)
    {
        byte[] bytes = System.Text.Encoding.ASCII.GetBytes(text + " ");
        fixed (byte* data = bytes)
        {
            Assert.Equal(expected, ContentDigest.Of(data, text.Length));
        }
    }

    [Fact]
    public void OnlyRowsThatAreNotFiniteAreZeroed()
    {
        float[] states = [1, 2, 3, float.NaN, 4, 5, 6, float.PositiveInfinity, 7, 8, 9, 10];
        fixed (float* pointer = states)
        {
            Assert.Equal(2, StreamStates.ZeroNonFinite(pointer, 4, 3));
        }

        Assert.Equal([1, 2, 3, 0, 0, 0, 0, 0, 0, 8, 9, 10], states);
    }

    [Theory]
    [InlineData(64, 8)]
    [InlineData(32, 8)]
    [InlineData(12, 4)]
    [InlineData(6, 2)]
    [InlineData(7, 1)]
    [InlineData(1, 1)]
    public void TheDefaultNumberOfShardsDividesTheBatch(int rows, int shards) => Assert.Equal(shards, TrainingJob.DefaultShards(rows));

    [Fact]
    public void ACheckpointLoadsInPyTorchAndGivesTheSameOutputs()
    {
        if (!HasTorch())
        {
            Assert.Skip("needs python3 with torch");
        }

        using var folder = new TrainingFixtures.Folder();
        const int Time = 6, Rows = 3, Features = 4, Outputs = 2;
        Model model = Model.Build(
            new ModelConfig { Layers = [new LstmConfig { Units = 20, Layers = 2 }, new DenseConfig()], Loss = LossKind.MeanSquaredError }, InputKind.Features, Features, Outputs);
        using var state = new TrainingState(model.Layout, ["parameters"], 0, model.StateWidth);
        model.Initialize(5, new Span<float>(state.Parameters, (int)model.Layout.Length));
        var store = new CheckpointStore(folder.Path, new CheckpointConfig());
        string checkpoint = store.Save(state, new CheckpointInfo { Version = 1, Seed = 5, Shards = 1, DataSha256 = "", Config = "{}" }).Path!;
        using var executor = new ModelExecutor(model, Time, Time, Rows, training: false);
        using var batch = new SpanBatch(Time, Rows, Features, Outputs) { Time = Time, Rows = Rows, TargetTime = Time };
        TrainingFixtures.Fill(batch.Features, Time * Rows * Features, 8);
        new Span<int>(batch.Lengths, Rows).Fill(Time);
        using var outputs = new NativeBuffer<float>(Time * Rows * Outputs);
        executor.LoadParameters(state.Parameters);
        executor.Predict(batch, null, null, outputs.Pointer);
        string sample = Path.Combine(folder.Path, "sample.safetensors");
        using (FileStream stream = File.Create(sample))
        {
            SafetensorsFile.Write(
                stream,
                [new TensorToWrite("input", [Time, Rows, Features], (nint)batch.Features), new TensorToWrite("output", [Time, Rows, Outputs], (nint)outputs.Pointer)]);
        }

        (int exit, string text) = Python(
            Path.Combine(Repository.Root, "tests", "ClusterRnn.Tests", "Golden", "check_checkpoint.py"), Path.Combine(checkpoint, CheckpointStore.ModelFile), sample);
        Assert.True(exit == 0, text);
        Assert.Contains("largest difference", text, StringComparison.Ordinal);
    }

    private static Lazy<string> Reference { get; } = new(() =>
    {
        using var trainer = new SmallTrainer(TextJob(1));
        trainer.Run(Steps);
        Assert.True(trainer.Policy.LearningRate < 0.01, "the plateau has lowered the rate");
        Assert.True(trainer.Policy.Updates is > 4 and < Steps, "micro-batches were gathered");
        return trainer.StateSha256();
    });

    private static TrainingJob TextJob(ulong seed, int shards = 5)
    {
        const int Rows = 11, Vocabulary = 9;
        int[] tokens = new int[1000];
        var random = new RandomKey(77, RandomPurpose.Sample, 0, 0);
        for (int i = 1; i < tokens.Length; i++)
        {
            // Each token is the one before plus one, mostly: something to learn.
            tokens[i] = random.Uniform(0, 0, i) < 0.9f ? (tokens[i - 1] + 1) % Vocabulary : i % Vocabulary;
        }

        var train = new TokenStreamSource(tokens.AsMemory(0, 600), Rows, 7, 11, true, "train");
        var validation = new TokenStreamSource(tokens.AsMemory(600), 4, 9, 9, true, "validation");
        var config = new ModelConfig
        {
            Layers = [new EmbeddingConfig { Units = 12 }, new LstmConfig { Units = 18 }, new DropoutConfig { Rate = 0.3 }, new GruConfig { Units = 10 }, new DenseConfig()],
        };
        return new TrainingJob
        {
            Model = Model.Build(config, InputKind.Tokens, Vocabulary, Vocabulary),
            Train = train,
            Validation = validation,
            Settings = new TrainingSettings
            {
                Optimizer = new AdamConfig { LearningRate = 0.02 },
                Schedule = new PlateauScheduleConfig { Patience = 0, Factor = 0.5, Threshold = 0.5 },
                Clip = new ClipConfig { Norm = 0.5 },
                Accumulate = 2,
                BatchRows = Rows,
                StepsPerPass = train.StepsPerPass,
                HasValidation = true,
                Evaluate = new EvaluateConfig { Every = 3 },
            },
            Seed = seed,
            Shards = shards,
            DataSha256 = "data",
        };
    }

    private static TrainingJob SeriesJob()
    {
        var train = new WindowSource(new Ramp(), 5, 3, shuffled: true);
        var config = new ModelConfig { Layers = [new RnnConfig { Units = 8, ReturnSequences = false }, new DenseConfig()], Loss = LossKind.MeanSquaredError };
        return new TrainingJob
        {
            Model = Model.Build(config, InputKind.Features, 1, 1),
            Train = train,
            Settings = new TrainingSettings { BatchRows = 5, StepsPerPass = train.StepsPerPass, Optimizer = new LambConfig() },
            Seed = 3,
            Shards = 8,
            DataSha256 = "ramp",
        };
    }

    private static CheckpointInfo Info(TrainingJob job, long version) =>
        new() { Version = version, Seed = job.Seed, Shards = job.Shards, DataSha256 = job.DataSha256, Config = job.Config };

    private static bool HasTorch()
    {
        try
        {
            return File.Exists("/usr/bin/python3") && Python("-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)").Exit == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private static (int Exit, string Text) Python(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("/usr/bin/python3", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string text = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, text);
    }

    private sealed class Ramp : IExamples
    {
        public long Count => 13;

        public int Time => 4;

        public int TargetTime => 1;

        public int FeatureWidth => 1;

        public int TargetWidth => 1;

        public string Sha256 => "ramp";

        public int Read(long example, SpanBatch into, int row)
        {
            for (int time = 0; time < Time; time++)
            {
                into.Features[time * into.Rows + row] = (example + time) / 16f;
            }

            into.TargetValues[row] = (example + Time) / 16f;
            return Time;
        }
    }
}
