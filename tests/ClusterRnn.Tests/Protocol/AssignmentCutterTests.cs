using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Assignment;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Protocol;

public class AssignmentCutterTests
{
    [Theory]
    [InlineData(8, "1 1", "[0,4) [4,8)")]
    [InlineData(8, "1", "[0,8)")]
    [InlineData(8, "1 1 1 1", "[0,2) [2,4) [4,6) [6,8)")]
    [InlineData(8, "3 1", "[0,2) [2,8)")] // three times as slow
    [InlineData(8, "16 16 16", "[0,3) [3,6) [6,8)")] // of the shortest steps one with five subtrees
    [InlineData(2, "1 1 1", "[0,1) [1,2) [2,2)")] // more workers than shards
    [InlineData(1, "5 1", "[0,0) [0,1)")] // the faster one
    [InlineData(8, "100 1", "[0,0) [0,8)")] // too slow to be of use
    public void Table(int shards, string ticks, string expected)
    {
        var cut = new List<ShardRange>();
        AssignmentCutter.Cut(new ShardRange(0, shards), shards, [.. ticks.Split(' ').Select(long.Parse)], cut);
        Assert.Equal(expected, string.Join(' ', cut));
    }

    [Fact]
    public void AlignedCutsArePreferredToEvenOnes()
    {
        // 100 shards for 3 workers: an even cut needs 11 subtrees.
        var cut = new List<ShardRange>();
        AssignmentCutter.Cut(new ShardRange(0, 100), 100, [16, 16, 16], cut);
        Assert.True(cut.Sum(range => Subtrees.Count(range, 100)) < 11, string.Join(' ', cut));
        Assert.True(cut.Max(range => range.Count) <= 36, string.Join(' ', cut));
    }

    [Fact]
    public void EveryShardIsDealtOnceAndTheStepIsNearlyTheShortest()
    {
        Gen<(int Shards, int Start, long[] Ticks)> cases =
            from shards in Gen.Choose(1, 40)
            from start in Gen.Choose(0, shards - 1)
            from ticks in Gen.Choose(1, 60).ArrayOf()
            where ticks.Length is > 0 and < 8
            select (shards, start, ticks.Select(t => (long)t).ToArray());
        Check.QuickThrowOnFailure(Prop.ForAll(cases.ToArbitrary(), c =>
        {
            var range = new ShardRange(c.Start, c.Shards);
            var cut = new List<ShardRange>();
            AssignmentCutter.Cut(range, c.Shards, c.Ticks, cut);
            int next = range.Start;
            foreach (ShardRange part in cut)
            {
                Assert.Equal(next, part.Start);
                next = part.End;
            }

            Assert.Equal(range.End, next);
            Assert.Equal(c.Ticks.Length, cut.Count);
            long shortest = Enumerable.Range(0, 100_000).First(t => c.Ticks.Sum(tick => t / tick) >= range.Count);
            Assert.InRange(AssignmentCutter.Makespan(cut, c.Ticks), 0, shortest + (shortest / Limits.CutSlack));
        }));
    }

    [Fact]
    public void SubtreesAreCountedAsTheTreeListsThem()
    {
        for (int shards = 1; shards <= 20; shards++)
        {
            for (int start = 0; start <= shards; start++)
            {
                for (int end = start; end <= shards; end++)
                {
                    var listed = new List<ShardRange>();
                    CanonicalTree.MaximalSubtrees(new ShardRange(start, end), shards, listed);
                    Assert.Equal(listed.Count, Subtrees.Count(new ShardRange(start, end), shards));
                }
            }
        }
    }
}
