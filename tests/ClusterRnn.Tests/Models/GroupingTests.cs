using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Models;

/// <summary>
/// Whoever computes which shards, the bits are the same: gradients of subtrees, sums of shards, states of rows. The tree
/// is walked here by a recursion of its own, not by the merge program under test.
/// </summary>
public sealed class GroupingTests
{
    /// <summary>One way of cutting one batch.</summary>
    private sealed record Case(string Model, int Time, int TargetTime, int Rows, int Shards, int[] Lengths, int[] Cuts, int Seed);

    private static Gen<Case> Cases =>
        from model in Gen.Elements(TestModels.Everything.Keys.ToArray())
        from time in Gen.Choose(1, 6)
        from targets in Gen.Choose(1, time)
        from rows in Gen.Choose(1, 9)
        from shards in Gen.Choose(1, 9)
        from lengths in Gen.ArrayOf(Gen.Choose(0, time), rows)
        from full in Gen.Elements(true, false)
        from cuts in Gen.ArrayOf(Gen.Choose(0, shards), 3)
        from seed in Gen.Choose(1, 1000)
        select new Case(model, time, targets, rows, shards, full ? [] : lengths, cuts, seed);

    [Fact]
    public void RangesOfShardsGiveTheSameBits() => Check.One(Config.QuickThrowOnFailure.WithMaxTest(200), Prop.ForAll(Cases.ToArbitrary(), c => Holds(c)));

    [Fact]
    public void OneRowAShardAndEmptyShards()
    {
        foreach (string model in TestModels.Everything.Keys)
        {
            Assert.True(Holds(new Case(model, 3, 2, 4, 4, [], [1, 2, 3], 5)));
            Assert.True(Holds(new Case(model, 1, 1, 2, 7, [1, 0], [2, 4, 5], 6)));
            Assert.True(Holds(new Case(model, 2, 1, 3, 3, [0, 0, 0], [1, 1, 2], 7)));
        }
    }

    /// <summary>What must differ differs: another seed of the dropout, another number of shards, another row.</summary>
    [Fact]
    public void Controls()
    {
        using ModelHarness harness = TestModels.Harness("stacks-with-dropout", 5, 6).Fill(3);
        string reference = StepResult.Hash(harness.Train(Slice(6, 0, 3, 3, seed: 1, 2)).Gradient);
        Assert.Equal(reference, StepResult.Hash(harness.Train(Slice(6, 0, 3, 3, seed: 1, 2)).Gradient));
        Assert.NotEqual(reference, StepResult.Hash(harness.Train(Slice(6, 0, 3, 3, seed: 2, 2)).Gradient));
        Assert.NotEqual(reference, StepResult.Hash(harness.Train(Slice(6, 0, 2, 2, seed: 1, 2)).Gradient));
        Assert.NotEqual(reference, StepResult.Hash(harness.Train(Slice(6, 0, 3, 3, seed: 1, 2) with { Version = 9 }).Gradient));
        harness.Batch.FirstRow = 1;
        Assert.NotEqual(reference, StepResult.Hash(harness.Train(Slice(6, 0, 3, 3, seed: 1, 2)).Gradient));
    }

    private static bool Holds(Case c)
    {
        using ModelHarness whole = TestModels.Harness(c.Model, c.Time, c.Rows, targetTime: c.TargetTime).Fill((ulong)c.Seed, c.Lengths);
        whole.Batch.FirstRow = 40;
        whole.Batch.StartTime = 1000;
        StepResult reference = whole.Train(Slice(c.Rows, 0, c.Shards, c.Shards, (ulong)c.Seed, c.Time / 2));
        var pieces = new Dictionary<ShardRange, float[]>();
        int[] cuts = [0, .. c.Cuts.Order(), c.Shards];
        for (int i = 1; i < cuts.Length; i++)
        {
            int first = cuts[i - 1] * c.Rows / c.Shards, end = cuts[i] * c.Rows / c.Shards;
            if (cuts[i] == cuts[i - 1])
            {
                continue;
            }

            using ModelHarness part = whole.Rows(first, end);
            StepResult result = part.Train(Slice(c.Rows, cuts[i - 1], cuts[i], c.Shards, (ulong)c.Seed, c.Time / 2));
            foreach ((ShardRange range, float[] gradient) in result.Gradients)
            {
                pieces.Add(range, gradient);
            }

            for (int shard = cuts[i - 1]; shard < cuts[i]; shard++)
            {
                Assert.Equal(reference.Sums.SumsOf(shard).ToArray(), result.Sums.SumsOf(shard - cuts[i - 1]).ToArray());
                Assert.Equal(reference.Sums.CountsOf(shard).ToArray(), result.Sums.CountsOf(shard - cuts[i - 1]).ToArray());
            }

            int width = whole.Model.StateWidth;
            Assert.Equal(StepResult.Hash(reference.StateOut.AsSpan(first * width, (end - first) * width)), StepResult.Hash(result.StateOut));
        }

        float[] joined = Join(pieces, 0, c.Shards);
        Assert.Equal(StepResult.Hash(reference.Gradient), StepResult.Hash(joined));
        Assert.DoesNotContain(joined, float.IsNaN);
        return true;
    }

    private static float[] Join(Dictionary<ShardRange, float[]> pieces, int start, int end)
    {
        if (pieces.TryGetValue(new ShardRange(start, end), out float[]? piece))
        {
            return piece;
        }

        int middle = start + 1;
        while (2 * (middle - start) < end - start)
        {
            middle = start + 2 * (middle - start);
        }

        return [.. Join(pieces, start, middle).Zip(Join(pieces, middle, end), (a, b) => a + b)];
    }

    /// <summary>Shards [start, end) of a batch of <paramref name="rows"/> rows, dealt as evenly as possible.</summary>
    private static TrainingSlice Slice(int rows, int start, int end, int shards, ulong seed, int captureTime) => new(
        new MergeProgram(new ShardRange(start, end), shards),
        [.. Enumerable.Range(start, end - start + 1).Select(shard => shard * rows / shards - start * rows / shards)],
        seed, Version: 3, captureTime, ResetState: seed % 2 == 0);
}
