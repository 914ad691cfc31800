// Windows computed in segments, with activations computed again on the way back, give the bits of windows computed whole.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Models;

public sealed unsafe class SegmentTests
{
    private sealed record Case(string Model, int Time, int TargetTime, int Rows, int Shards, int Start, int End, int Segment, int Capture, bool Reset, int Seed, int[] Lengths);

    [Theory, MemberData(nameof(TestModels.WithoutContext), MemberType = typeof(TestModels))]
    public void SegmentsChangeNoBit(string name)
    {
        Gen<Case> cases =
            from time in Gen.Choose(2, 23)
            from targetTime in Gen.Choose(1, time)
            from rows in Gen.Choose(1, 7)
            from shards in Gen.Choose(1, 6)
            from start in Gen.Choose(0, shards - 1)
            from end in Gen.Choose(start + 1, shards)
            from segment in Gen.Choose(1, time)
            from capture in Gen.Choose(0, time)
            from reset in Gen.Elements(true, false)
            from seed in Gen.Choose(1, 1000)
            from ragged in Gen.Elements(true, false)
            from lengths in Gen.ArrayOf(Gen.Choose(0, time), 5)
            select new Case(name, time, targetTime, rows, shards, start, end, segment, capture, reset, seed, ragged ? lengths : []);
        Prop.ForAll(cases.ToArbitrary(), AreEqual).Check(Config.QuickThrowOnFailure.WithMaxTest(60));
    }

    /// <summary>The longer way is gone: less room is needed, and the window doesn't fit in it whole.</summary>
    [Theory, MemberData(nameof(TestModels.Recurrent), MemberType = typeof(TestModels))]
    public void SegmentsNeedLessRoom(string name)
    {
        Model model = TestModels.All[name]();
        int targets = model.ReturnsLast ? 1 : 4000;
        long whole = ModelExecutor.MeasureBytes(model, 4000, targets, 2, training: true, maximumShards: 1);
        long segments = ModelExecutor.MeasureBytes(model, 4000, targets, 2, training: true, maximumShards: 1, segmentTime: 64);
        Assert.True(segments - Fixed(model) < (whole - Fixed(model)) / 10, $"{segments} of {whole}");

        static long Fixed(Model model) => ModelExecutor.MeasureBytes(model, 1, 1, 1, training: true, maximumShards: 1);
    }

    /// <summary>A time step that sees others of its window can't be computed without them.</summary>
    [Theory, MemberData(nameof(TestModels.Continuing), MemberType = typeof(TestModels))]
    public void AttentionInSegmentsIsRefused(string name)
    {
        Model model = TestModels.All[name]();
        ModelException error = Assert.Throws<ModelException>(() => ModelExecutor.MeasureBytes(model, 8, 8, 2, training: true, segmentTime: 4));
        Assert.Contains("cluster.recompute", error.Message);
        Assert.True(ModelExecutor.MeasureBytes(model, 8, 8, 2, training: true, segmentTime: 8) > 0);
    }

    [Fact]
    public void NothingIsAllocated()
    {
        using ModelHarness harness = TestModels.Harness("stacks-with-dropout", 13, 6).Fill(18, 13, 4);
        using var executor = new ModelExecutor(harness.Model, 13, 13, 6, training: true, maximumShards: 4, segmentTime: 4);
        var slice = new TrainingSlice(new(new(0, 4), 4), [0, 1, 3, 4, 6], 1, 2, 5, false);
        var sums = new ShardSums(harness.Model.Metrics, 4);
        float[] gradient = new float[harness.Model.Layout.Length], state = new float[6 * harness.Model.StateWidth];
        fixed (float* parameters = harness.Parameters, target = gradient, states = state)
        {
            float* into = target;
            executor.LoadParameters(parameters);
            executor.Train(harness.Batch, slice, states, states, &into, sums);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++)
            {
                executor.Train(harness.Batch, slice, states, states, &into, sums);
                executor.Evaluate(harness.Batch, slice, states, states, sums);
            }

            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    [Fact]
    public void SaysWhatDoesNotFit()
    {
        using ModelHarness harness = TestModels.Harness("embedding-lstm-dense", 9, 6).Fill(3);
        using var executor = new ModelExecutor(harness.Model, 9, 9, 6, training: true, maximumShards: 6, segmentTime: 4, gradientShards: 2);
        fixed (float* parameters = harness.Parameters)
        {
            executor.LoadParameters(parameters);
        }

        var slice = new TrainingSlice(new(new(0, 3), 3), [0, 2, 4, 6], 1, 2, 9, true);
        Assert.Contains("room for the gradients of 2", Assert.Throws<ArgumentException>(() => harness.Run(executor, slice, training: true)).Message, StringComparison.Ordinal);
        Assert.Contains("predictions are made of whole windows", Assert.Throws<InvalidOperationException>(() => executor.Predict(harness.Batch, null, null, null)).Message, StringComparison.Ordinal);
    }

    private static bool AreEqual(Case c)
    {
        int first = c.Start * c.Rows / c.Shards, end = c.End * c.Rows / c.Shards;
        if (first == end)
        {
            return true;
        }

        using ModelHarness all = TestModels.Harness(c.Model, c.Time, c.Rows, targetTime: c.TargetTime).Fill((ulong)c.Seed, c.Lengths);
        all.Batch.FirstRow = 40;
        all.Batch.StartTime = 1000;
        using ModelHarness part = all.Rows(first, end);
        int[] starts = [.. Enumerable.Range(c.Start, c.End - c.Start + 1).Select(s => (s * c.Rows / c.Shards) - first)];
        var slice = new TrainingSlice(new MergeProgram(new ShardRange(c.Start, c.End), c.Shards), starts, (ulong)c.Seed, 3, c.Capture, c.Reset);
        int targets = part.Batch.TargetTime, shards = c.End - c.Start;
        using var whole = new ModelExecutor(part.Model, c.Time, targets, part.Batch.Rows, training: true, shards);
        using var segments = new ModelExecutor(part.Model, c.Time, targets, part.Batch.Rows, training: true, shards, c.Segment, Math.Min(shards, 1 + shards - slice.Merge.Subtrees.Length));
        fixed (float* parameters = part.Parameters)
        {
            whole.LoadParameters(parameters);
            segments.LoadParameters(parameters);
            // Twice, with another batch in between: nothing may be left over from a step before.
            using ModelHarness other = TestModels.Harness(c.Model, c.Time, part.Batch.Rows, targetTime: c.TargetTime).Fill(77);
            other.Run(segments, slice, training: true);
            return Same(part.Run(whole, slice, training: true), part.Run(segments, slice, training: true))
                && Same(part.Run(whole, slice, training: false), part.Run(segments, slice, training: false));
        }
    }

    private static bool Same(StepResult a, StepResult b) =>
        a.Gradients.Keys.SequenceEqual(b.Gradients.Keys)
        && a.Gradients.Keys.All(range => StepResult.Hash(a.Gradients[range]) == StepResult.Hash(b.Gradients[range]))
        && StepResult.Hash(a.StateOut) == StepResult.Hash(b.StateOut)
        && a.Sums.Sums.Select(BitConverter.DoubleToInt64Bits).SequenceEqual(b.Sums.Sums.Select(BitConverter.DoubleToInt64Bits))
        && a.Sums.Counts.SequenceEqual(b.Sums.Counts);
}
