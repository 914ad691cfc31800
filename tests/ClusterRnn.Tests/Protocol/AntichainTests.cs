using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Pieces;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Protocol;

public class AntichainTests
{
    [Theory]
    [InlineData("0-4 4-8", "0-4 4-8", true)]
    [InlineData("4-8 0-4", "0-4 4-8", true)]
    [InlineData("0-4 0-2", "0-4", false)] // contained: dropped
    [InlineData("0-2 0-4", "0-4", false)] // containing: replaces
    [InlineData("0-1 1-2 2-4 0-8", "0-8", true)]
    [InlineData("0-2 4-6 6-8", "0-2 4-6 6-8", false)]
    [InlineData("0-4 4-8 0-8", "0-4 4-8", true)] // complete: nothing more is taken
    [InlineData("2-4 2-4", "2-4", false)] // twice: the first wins
    public void Table(string arrive, string held, bool complete)
    {
        var antichain = new Antichain(8);
        var released = new List<HeldPiece>();
        int arrived = 0;
        foreach (string piece in arrive.Split(' '))
        {
            antichain.Add(new HeldPiece(Parse(piece), arrived, ++arrived), released);
        }

        Assert.Equal(held, string.Join(' ', antichain.Held.Select(piece => $"{piece.Subtree.Start}-{piece.Subtree.End}")));
        Assert.Equal(complete, antichain.IsComplete);
        Assert.Equal(arrived, antichain.Held.Count + released.Count); // nothing is forgotten
    }

    [Fact]
    public void WhatIsNoNodeIsRefused()
        => Assert.Throws<ArgumentException>(() => new Antichain(8).Add(new HeldPiece(new ShardRange(1, 3), 0, 0), []));

    [Fact]
    public void DiscardedPiecesLeaveAGap()
    {
        var antichain = new Antichain(8);
        var released = new List<HeldPiece>();
        antichain.Add(new HeldPiece(new ShardRange(0, 4), 7, 1), released);
        antichain.Add(new HeldPiece(new ShardRange(4, 6), 8, 2), released);
        antichain.Add(new HeldPiece(new ShardRange(6, 8), 7, 3), released);
        Assert.True(antichain.IsComplete);
        Assert.True(antichain.Discard([7], released));
        Assert.False(antichain.IsComplete);
        Assert.Equal([1L, 3], released.Select(piece => piece.Payload).Order());
        bool[] covered = [.. Enumerable.Repeat(true, 8)];
        antichain.ClearMissing(covered);
        Assert.Equal([false, false, false, false, true, true, false, false], covered);
        Assert.False(antichain.Discard([9], released));
    }

    [Fact]
    public void NoShardIsEverHeldTwice()
    {
        Gen<(int Shards, int[] Picks)> cases =
            from shards in Gen.Choose(1, 17)
            from picks in Gen.Choose(0, 1000).ArrayOf()
            select (shards, picks);
        Check.QuickThrowOnFailure(Prop.ForAll(cases.ToArbitrary(), c =>
        {
            var nodes = new List<ShardRange>();
            Nodes(0, c.Shards, nodes);
            var antichain = new Antichain(c.Shards);
            var released = new List<HeldPiece>();
            var seen = new HashSet<int>();
            foreach (int pick in c.Picks)
            {
                ShardRange node = nodes[pick % nodes.Count];
                bool wasComplete = antichain.IsComplete;
                antichain.Add(new HeldPiece(node, pick, pick), released);
                if (!wasComplete)
                {
                    seen.UnionWith(Enumerable.Range(node.Start, node.Count));
                }

                int[] held = [.. antichain.Held.SelectMany(piece => Enumerable.Range(piece.Subtree.Start, piece.Subtree.Count))];
                Assert.Equal(seen.Order(), held); // each once, ascending, none lost
                Assert.Equal(held.Length == c.Shards, antichain.IsComplete);
            }
        }));
    }

    private static ShardRange Parse(string text)
        => new(int.Parse(text.Split('-')[0]), int.Parse(text.Split('-')[1]));

    private static void Nodes(int start, int end, List<ShardRange> into)
    {
        into.Add(new ShardRange(start, end));
        if (end - start > 1)
        {
            int middle = CanonicalTree.Split(start, end);
            Nodes(start, middle, into);
            Nodes(middle, end, into);
        }
    }
}
