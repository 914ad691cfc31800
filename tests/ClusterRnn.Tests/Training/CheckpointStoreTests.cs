using ClusterRnn.Models;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class CheckpointStoreTests
{
    private const int Rows = 6;
    private const int StateWidth = 5;

    private static readonly TrainingSettings Settings = TrainingFixtures.Settings() with { Accumulate = 2 };

    [Fact]
    public void EverythingThatMovesWithAStepComesBack()
    {
        using var folder = new TrainingFixtures.Folder();
        using TrainingState state = State(7);
        var artefacts = new Dictionary<string, byte[]> { ["vocabulary.json"] = "[\"ä\"]"u8.ToArray() };
        CheckpointWrite write = Store(folder).Save(state, Info(7), artefacts);
        Assert.Null(write.Warning);
        CheckpointSearch search = Store(folder).FindNewest(new CheckpointExpectation(8, "data", 3));
        Assert.Empty(search.PassedOver);
        Checkpoint found = search.Found!;
        Assert.Equal(7, found.Info.Version);
        Assert.Equal(3UL, found.Info.Seed);
        Assert.Equal(8, found.Info.Shards);
        Assert.Equal(0.5, found.Info.TrainLoss);
        Assert.True(double.IsNaN(found.Info.ValidationLoss));
        Assert.Equal(12, found.Info.Counters["recomputedShards"]);
        Assert.Contains("\"units\"", found.Info.Config, StringComparison.Ordinal);
        Assert.Equal(state.ModelSha256(), found.Info.ModelSha256);
        Assert.Equal(artefacts["vocabulary.json"], CheckpointStore.ReadArtefacts(found)["vocabulary.json"]);
        using TrainingState other = State(8);
        Assert.NotEqual(state.StateSha256(), other.StateSha256());
        CheckpointStore.Read(found, other);
        Assert.Equal(state.StateSha256(), other.StateSha256());
        Assert.Equal(state.Policy, other.Policy);
        Assert.Equal(state.Streams[Rows * StateWidth - 1], other.Streams[Rows * StateWidth - 1]);
    }

    [Fact]
    public void TheModelsHashIsOfNamesShapesAndValues()
    {
        using TrainingState state = State(1);
        Assert.Equal(state.Layout.Sha256(new ReadOnlySpan<float>(state.Parameters, (int)state.Layout.Length)), state.ModelSha256());
        string before = state.ModelSha256(), whole = state.StateSha256();
        state.Streams[3] += 1;
        Assert.Equal(before, state.ModelSha256());
        Assert.NotEqual(whole, state.StateSha256());
        state.Parameters[5] += 1;
        Assert.NotEqual(before, state.ModelSha256());
    }

    [Fact]
    public void AStateGathersItsRanges()
    {
        ParameterLayout layout = Layout();
        using TrainingState state = State(2);
        using var gathered = new TrainingState(layout, state.SectionNames, Rows, StateWidth);
        foreach (BlockRange blocks in RangeDealer.Cut(layout, 3, false))
        {
            using var range = new ParameterRange(layout, blocks, Settings, 8);
            state.CopyTo(range);
            float[] snapshot = new float[range.SnapshotFloats];
            fixed (float* pointer = snapshot)
            {
                range.Save(pointer);
                gathered.CopyFrom(blocks, pointer);
                float[] back = new float[range.SnapshotFloats];
                fixed (float* again = back)
                {
                    gathered.CopyTo(blocks, again);
                }

                Assert.Equal(snapshot, back);
            }

            gathered.CopyFrom(range);
        }

        Assert.Equal(state.ModelSha256(), gathered.ModelSha256());
        new ReadOnlySpan<float>(state.Streams, Rows * StateWidth).CopyTo(new Span<float>(gathered.Streams, Rows * StateWidth));
        gathered.Policy = state.Policy;
        Assert.Equal(state.StateSha256(), gathered.StateSha256());
    }

    [Theory]
    [InlineData(CheckpointStore.ModelFile)]
    [InlineData(CheckpointStore.OptimizerFile)]
    [InlineData(CheckpointStore.StreamsFile)]
    [InlineData(CheckpointStore.StateFile)]
    [InlineData(CheckpointStore.ManifestFile)]
    public void AFileCutShortIsPassedOverWithTheReason(string file)
    {
        using var folder = new TrainingFixtures.Folder();
        string newest = SaveTwo(folder);
        string path = Path.Combine(newest, file);
        byte[] whole = File.ReadAllBytes(path);
        foreach (int length in new[] { 0, 1, 7, 8, 9, whole.Length / 2, whole.Length - 1 })
        {
            File.WriteAllBytes(path, whole[..length]);
            CheckpointSearch search = Store(folder).FindNewest();
            Assert.Equal(1, search.Found!.Info.Version);
            PassedOver passed = Assert.Single(search.PassedOver);
            Assert.Equal(newest, passed.Path);
            Assert.Equal(CheckpointFault.Truncated, passed.Fault);
            Assert.Contains(file, passed.Reason, StringComparison.Ordinal);
        }

        File.WriteAllBytes(path, whole);
        Assert.Equal(2, Store(folder).FindNewest().Found!.Info.Version);
        File.Delete(path);
        Assert.Equal(CheckpointFault.Unreadable, Assert.Single(Store(folder).FindNewest().PassedOver).Fault);
    }

    [Fact]
    public void AnyFlippedBitIsSeen()
    {
        using var folder = new TrainingFixtures.Folder();
        string newest = SaveTwo(folder);
        var random = new Random(5);
        int harmless = 0;
        for (int trial = 0; trial < 300; trial++)
        {
            string[] files = Directory.GetFiles(newest);
            string path = files[trial % files.Length];
            byte[] bytes = File.ReadAllBytes(path);
            int bit = random.Next(bytes.Length * 8);
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            File.WriteAllBytes(path, bytes);
            CheckpointSearch search = Store(folder).FindNewest();
            if (search.Found!.Info.Version == 2)
            {
                // Only the manifest's own spaces and version number vouch for nothing.
                Assert.Equal(CheckpointStore.ManifestFile, Path.GetFileName(path));
                harmless++;
            }
            else
            {
                Assert.NotEmpty(Assert.Single(search.PassedOver).Reason);
            }

            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            File.WriteAllBytes(path, bytes);
        }

        Assert.InRange(harmless, 0, 15);
        Assert.Equal(2, Store(folder).FindNewest().Found!.Info.Version);
    }

    [Fact]
    public void ForeignFoldersAndLeftoversAreNoCheckpoints()
    {
        using var folder = new TrainingFixtures.Folder();
        Assert.Null(Store(folder).FindNewest().Found);
        SaveTwo(folder);
        Directory.CreateDirectory(Path.Combine(folder.Path, "step-photos"));
        Directory.CreateDirectory(Path.Combine(folder.Path, ".writing-step-0000000009"));
        string foreign = Directory.CreateDirectory(Path.Combine(folder.Path, "step-0000000005")).FullName;
        File.WriteAllText(Path.Combine(foreign, CheckpointStore.ManifestFile), """{"program":"other","format":1,"version":5,"files":{}}""");
        string newer = Directory.CreateDirectory(Path.Combine(folder.Path, "step-0000000006")).FullName;
        File.WriteAllText(Path.Combine(newer, CheckpointStore.ManifestFile), """{"program":"clusterrnn","format":2,"version":5,"files":{}}""");
        string outside = Directory.CreateDirectory(Path.Combine(folder.Path, "step-0000000007")).FullName;
        File.WriteAllText(Path.Combine(outside, CheckpointStore.ManifestFile), """{"program":"clusterrnn","format":1,"version":5,"files":{"../x":{"bytes":1,"sha256":""}}}""");
        string empty = Directory.CreateDirectory(Path.Combine(folder.Path, "step-0000000008")).FullName;
        CheckpointSearch search = Store(folder).FindNewest();
        Assert.Equal(2, search.Found!.Info.Version);
        Assert.Equal([empty, outside, newer, foreign], search.PassedOver.Select(p => p.Path));
        Assert.Equal(
            [CheckpointFault.Unreadable, CheckpointFault.Foreign, CheckpointFault.Foreign, CheckpointFault.Foreign],
            search.PassedOver.Select(p => p.Fault));
    }

    [Fact]
    public void ARenamedFolderIsNotTakenForALaterStep()
    {
        using var folder = new TrainingFixtures.Folder();
        string newest = SaveTwo(folder);
        Directory.Move(newest, Path.Combine(folder.Path, "step-0000000050"));
        CheckpointSearch search = Store(folder).FindNewest();
        Assert.Equal(1, search.Found!.Info.Version);
        Assert.Equal(CheckpointFault.Foreign, Assert.Single(search.PassedOver).Fault);
    }

    [Fact]
    public void AnotherNumberOfShardsOtherDataAndAnotherSeedAreRefusedWithBothValues()
    {
        using var folder = new TrainingFixtures.Folder();
        SaveTwo(folder);
        Check(new CheckpointExpectation(Shards: 4), CheckpointFault.OtherShards, "4", "8");
        Check(new CheckpointExpectation(DataSha256: "other"), CheckpointFault.OtherData, "other", "data");
        Check(new CheckpointExpectation(Seed: 77), CheckpointFault.OtherJob, "77", "3");

        void Check(CheckpointExpectation expected, CheckpointFault fault, params string[] values)
        {
            CheckpointSearch search = Store(folder).FindNewest(expected);
            Assert.Null(search.Found);
            Assert.Equal(2, search.PassedOver.Count);
            Assert.All(search.PassedOver, passed => Assert.Equal(fault, passed.Fault));
            Assert.All(values, value => Assert.Contains(value, search.PassedOver[0].Reason, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void ACheckpointOfAnotherModelIsRefused()
    {
        using var folder = new TrainingFixtures.Folder();
        using TrainingState state = State(1);
        Store(folder).Save(state, Info(1));
        Checkpoint found = Store(folder).FindNewest().Found!;
        using var other = new TrainingState(TrainingFixtures.Layout(30, 41, 3), state.SectionNames, Rows, StateWidth);
        Assert.Equal(CheckpointFault.Foreign, Assert.Throws<CheckpointException>(() => CheckpointStore.Read(found, other)).Fault);
        using var otherOptimizer = new TrainingState(state.Layout, ["parameters", "square_avg"], Rows, StateWidth);
        Assert.Throws<CheckpointException>(() => CheckpointStore.Read(found, otherOptimizer));
        using var otherRows = new TrainingState(state.Layout, state.SectionNames, Rows + 1, StateWidth);
        Assert.Throws<CheckpointException>(() => CheckpointStore.Read(found, otherRows));
    }

    [Fact]
    public void TheLastOnesAndTheBestAreKept()
    {
        using var folder = new TrainingFixtures.Folder();
        var store = new CheckpointStore(folder.Path, new CheckpointConfig { Keep = 2 });
        for (int version = 1; version <= 6; version++)
        {
            using TrainingState state = State(version);
            Assert.Null(store.Save(state, Info(version) with { BestVersion = Math.Min(version, 3) }).Warning);
        }

        Assert.Equal([6, 5, 3], store.List().Select(c => c.Version));
        Assert.Empty(Directory.GetDirectories(folder.Path, ".*"));
    }

    [Fact]
    public void TheCheckpointARollbackNeedsIsKeptAndOpenedByItsVersion()
    {
        using var folder = new TrainingFixtures.Folder();
        var store = new CheckpointStore(folder.Path, new CheckpointConfig { Keep = 1 });
        for (int version = 3; version <= 8; version++)
        {
            using TrainingState state = State(version);
            Assert.Null(store.Save(state, Info(version) with { RollbackVersion = version / 4 * 4 }).Warning);
        }

        Assert.Equal([8], store.List().Select(c => c.Version));
        using (TrainingState state = State(9))
        {
            Assert.Null(store.Save(state, Info(9) with { RollbackVersion = 8 }).Warning);
        }

        Assert.Equal([9, 8], store.List().Select(c => c.Version));
        Assert.Equal(8, store.OpenVersion(8).Info.Version);
        Assert.Contains("expected the checkpoint of step 7", Assert.Throws<CheckpointException>(() => store.OpenVersion(7)).Message, StringComparison.Ordinal);
        File.Delete(Path.Combine(store.List()[1].Path, CheckpointStore.ModelFile));
        Assert.Throws<CheckpointException>(() => store.OpenVersion(8));
    }

    [Fact]
    public void TheFoldersAboveANewCheckpointFolderAreFlushedOnce()
    {
        using var folder = new TrainingFixtures.Folder();
        string run = Path.Combine(folder.Path, "runs", "one"), checkpoints = Path.Combine(run, "checkpoints");
        var files = new FlushedFolders();
        var store = new CheckpointStore(checkpoints, new CheckpointConfig(), files);
        for (int version = 1; version <= 2; version++)
        {
            using TrainingState state = State(version);
            Assert.Null(store.Save(state, Info(version)).Warning);
        }

        Assert.Equal([run, Path.Combine(folder.Path, "runs"), folder.Path], files.Flushed.Where(path => !path.StartsWith(checkpoints, StringComparison.Ordinal)));
    }

    [Fact]
    public void WhatCouldNotBeReadBackIsNotWritten()
    {
        using var folder = new TrainingFixtures.Folder();
        SaveTwo(folder);
        using TrainingState state = State(3);
        CheckpointWrite write = Store(folder).Save(state, Info(3), new Dictionary<string, byte[]> { ["large.json"] = new byte[(64 << 20) + 1] });
        Assert.Null(write.Path);
        Assert.Contains("large.json has 67108865 bytes", write.Warning, StringComparison.Ordinal);
        Assert.Equal(2, Store(folder).FindNewest().Found!.Info.Version);
    }

    [Fact]
    public void WritingTheSameAgainTouchesNothingAndADamagedOneIsReplaced()
    {
        using var folder = new TrainingFixtures.Folder();
        using TrainingState state = State(1);
        string path = Store(folder).Save(state, Info(1)).Path!;
        string model = Path.Combine(path, CheckpointStore.ModelFile);
        DateTime written = File.GetLastWriteTimeUtc(model).AddSeconds(-50);
        File.SetLastWriteTimeUtc(model, written);
        Assert.Null(Store(folder).Save(state, Info(1)).Warning);
        Assert.Equal(written, File.GetLastWriteTimeUtc(model));
        File.WriteAllText(model, "damaged");
        Assert.Null(Store(folder).FindNewest().Found);
        Assert.Null(Store(folder).Save(state, Info(1)).Warning);
        Assert.Equal(state.StateSha256(), Store(folder).FindNewest().Found!.Info.StateSha256);
    }

    [Fact]
    public void AFailureAtAnyPointOfAWriteLeavesTheOldOnesWhole()
    {
        int points = 0;
        for (int failAt = 0; ; failAt++)
        {
            using var folder = new TrainingFixtures.Folder();
            SaveTwo(folder);
            using TrainingState state = State(3);
            var files = new FailingFiles(failAt);
            CheckpointWrite write = new CheckpointStore(folder.Path, new CheckpointConfig { Keep = 2 }, files).Save(state, Info(3));
            CheckpointSearch search = Store(folder).FindNewest();
            Assert.Empty(search.PassedOver);
            if (!files.Failed)
            {
                Assert.Null(write.Warning);
                Assert.Equal(3, search.Found!.Info.Version);
                break;
            }

            points++;
            Assert.NotNull(write.Warning);
            Assert.Contains("No space left", write.Warning, StringComparison.Ordinal);
            Assert.Equal(write.Path is null ? 2 : 3, search.Found!.Info.Version);
            Assert.Empty(Directory.GetDirectories(folder.Path, ".writing*"));
            Assert.Null(Store(folder).Save(state, Info(3)).Warning);
            Assert.Equal(3, Store(folder).FindNewest().Found!.Info.Version);
        }

        Assert.True(points > 12, $"{points} points of failure");
    }

    [Fact]
    public void AKillBetweenTheTwoRenamesOfAReplacementLosesNothing()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = SaveTwo(folder);
        using TrainingState replacement = State(9);
        var store = new CheckpointStore(folder.Path, new CheckpointConfig(), new KilledAtSecondRename());
        Assert.Throws<Killed>(() => store.Save(replacement, Info(2)));
        Assert.False(Directory.Exists(path));
        CheckpointSearch search = Store(folder).FindNewest();
        using TrainingState old = State(2);
        Assert.Equal(old.StateSha256(), search.Found?.Info.StateSha256);
        Assert.Empty(search.PassedOver);
        Assert.Throws<Killed>(() => new CheckpointStore(folder.Path, new CheckpointConfig(), new KilledAtSecondRename()).Save(replacement, Info(2)));
        Assert.Null(Store(folder).Save(replacement, Info(2)).Warning);
        Assert.Equal(replacement.StateSha256(), Store(folder).FindNewest().Found!.Info.StateSha256);
        Assert.Empty(Directory.GetDirectories(folder.Path, ".*"));
    }

    [Fact]
    public void ADamagedCheckpointDoesNotCostTheWholeOneItReplaced()
    {
        using var folder = new TrainingFixtures.Folder();
        string path = SaveTwo(folder);
        using TrainingState replacement = State(9);
        var store = new CheckpointStore(folder.Path, new CheckpointConfig(), new KilledAtSecondRename());
        Assert.Throws<Killed>(() => store.Save(replacement, Info(2)));
        Directory.CreateDirectory(path);
        Assert.NotNull(new CheckpointStore(folder.Path, new CheckpointConfig(), new FailingFiles(3)).Save(replacement, Info(2)).Warning);
        using TrainingState old = State(2);
        Assert.Equal(old.StateSha256(), Store(folder).FindNewest().Found!.Info.StateSha256);
    }

    [Fact]
    public void OldParametersStayReadableByName()
    {
        using var folder = new TrainingFixtures.Folder();
        using TrainingState state = State(1);
        string path = Store(folder).Save(state, Info(1)).Path!;
        using SafetensorsFile model = SafetensorsFile.Open(Path.Combine(path, CheckpointStore.ModelFile));
        Assert.Equal(["dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias"], model.Tensors.Select(t => t.Name));
        Assert.Equal("[40, 30]", model.Tensors[0].ShapeText);
        using SafetensorsFile optimizer = SafetensorsFile.Open(Path.Combine(path, CheckpointStore.OptimizerFile));
        Assert.NotNull(optimizer.Find("exp_avg_sq.dense_1.bias"));
        Assert.NotNull(optimizer.Find("accumulator.dense.weight"));
    }

    private static ParameterLayout Layout() => TrainingFixtures.Layout(30, 40, 3);

    private static CheckpointStore Store(TrainingFixtures.Folder folder) => new(folder.Path, new CheckpointConfig());

    private static TrainingState State(int key)
    {
        ParameterLayout layout = Layout();
        var state = new TrainingState(layout, ParameterRange.SectionNamesOf(Settings), Rows, StateWidth);
        for (int section = 0; section < state.SectionNames.Count; section++)
        {
            TrainingFixtures.FillTensors(layout, state.Section(section), (ulong)(key * 10 + section + 1));
        }

        TrainingFixtures.Fill(state.Streams, Rows * StateWidth, (ulong)key + 500);
        var policy = new TrainingPolicy(Settings);
        for (int step = 0; step < key; step++)
        {
            policy.Advance(policy.Decide(new StepSums { Sums = new[] { 1.0 * step }, Counts = new[] { 2L }, SumOfSquares = 1 }));
        }

        state.Policy = policy.Save();
        return state;
    }

    private static CheckpointInfo Info(long version) => new()
    {
        Version = version,
        Seed = 3,
        Shards = 8,
        DataSha256 = "data",
        Config = """{"model":{"units":40}}""",
        TrainLoss = 0.5,
        Counters = new Dictionary<string, long> { ["recomputedShards"] = 12 },
    };

    private static string SaveTwo(TrainingFixtures.Folder folder)
    {
        string newest = "";
        for (int version = 1; version <= 2; version++)
        {
            using TrainingState state = State(version);
            newest = Store(folder).Save(state, Info(version)).Path!;
        }

        return newest;
    }

    private sealed class FlushedFolders : CheckpointFiles
    {
        public List<string> Flushed { get; } = [];

        public override void FlushFolder(string path)
        {
            Flushed.Add(path);
            base.FlushFolder(path);
        }
    }

    private sealed class Killed : Exception;

    /// <summary>A process that is killed at its second rename: nothing is caught or undone.</summary>
    private sealed class KilledAtSecondRename : CheckpointFiles
    {
        private int renames;

        public override void Rename(string from, string to)
        {
            if (++renames == 2)
            {
                throw new Killed();
            }

            base.Rename(from, to);
        }
    }

    /// <summary>A disk that is full from the given operation on.</summary>
    private sealed class FailingFiles(int failAt) : CheckpointFiles
    {
        private int operation;

        public bool Failed { get; private set; }

        public override Stream Create(string path)
        {
            Step();
            return new FailingStream(base.Create(path), this);
        }

        public override void Flush(Stream file)
        {
            Step();
            base.Flush(((FailingStream)file).Inner);
        }

        public override void FlushFolder(string path)
        {
            Step();
            base.FlushFolder(path);
        }

        public override void Rename(string from, string to)
        {
            Step();
            base.Rename(from, to);
        }

        private void Step()
        {
            if (operation++ >= failAt)
            {
                Failed = true;
                throw new IOException("No space left on device.");
            }
        }

        private sealed class FailingStream(Stream inner, FailingFiles owner) : Stream
        {
            public Stream Inner => inner;

            public override bool CanRead => false;

            public override bool CanSeek => false;

            public override bool CanWrite => true;

            public override long Length => inner.Length;

            public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

            public override void Flush() => inner.Flush();

            public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

            public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

            public override void SetLength(long value) => throw new NotSupportedException();

            public override void Write(byte[] buffer, int offset, int count)
            {
                owner.Step();
                inner.Write(buffer, offset, count);
            }

            protected override void Dispose(bool disposing)
            {
                inner.Dispose();
                base.Dispose(disposing);
            }
        }
    }
}
