// Answers that are not to what was asked: they name other shards, or sum other subtrees. They come from a program that is broken
// or of somebody else; nothing of them may be counted.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

public class MisfitAnswerTests
{
    public static TheoryData<string> Misfits =>
        ["a shard too few", "a shard too many", "shards of somebody else", "the same shard twice", "descending shards", "another step", "another kind",
            "no subtree", "a subtree less", "a subtree not of the tree", "subtrees that could be one", "subtrees of somebody else", "a subtree twice"];

    [Theory]
    [MemberData(nameof(Misfits))]
    public void IsNeverCountedAndComputedElsewhere(string how)
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        Assert.Equal((new ShardRange(0, 2), new ShardRange(2, 4)), (a.Range, b.Range));
        c.Report(0, a);
        c.Probe.Forget();
        c.Probe.Tell(ActorId.Worker(1), Misfit(b, how));
        Notice notice = Assert.Single(c.Probe.DoneOf<Notice>(), n => n.Kind == NoticeKind.Faulty);
        Assert.Equal(ActorId.Worker(1), notice.Actor);
        Assert.Contains("worker 1 answered shards [2,4) of step 0 with something else", notice.Text);
        Assert.Equal(1, c.Coordinator.Counters.FaultyAnswers);
        Assert.Equal([b.Assignment], Assert.Single(c.Probe.SentOf<DiscardPieces>()).Message.Assignments); // its pieces don't count either

        // Worker 1 has nothing else to do, and is not asked again while worker 0 is there.
        Assign again = Assert.Single(c.Probe.SentOf<Assign>(), s => s.Message.Assignment > b.Assignment).Message;
        Assert.Equal(b.Range, again.Range);
        Assert.Equal(again.Assignment, c.AssignmentOf(0).Assignment);
        c.Prepare(0, 0, a.Assignment, b.Assignment); // of the attempt before
        c.Prepare(0, 1, a.Assignment, again.Assignment);
        Assert.Equal(0, c.Coordinator.Version);
        c.Report(1, b); // too late: it was thrown out
        Assert.Equal(0, c.Coordinator.Version);
        c.Report(0, again);
        Assert.Equal(1, c.Coordinator.Version);
        Assert.Equal(0, c.Coordinator.Counters.Quarantined); // once is not enough
        Assert.True(c.HasAssignment(1));
    }

    [Fact]
    public void TheOnlyWorkerIsAskedAgainAndThreeTimesIsTheEndOfIt()
    {
        var c = new CoordinatorProbe(1);
        for (int time = 0; time < Limits.MaximumFaultsPerWorker; time++)
        {
            Assert.DoesNotContain(c.Probe.DoneOf<Notice>(), n => n.Kind == NoticeKind.Quarantined);
            Assign assign = c.AssignmentOf(0);
            c.Probe.Forget();
            c.Probe.Tell(ActorId.Worker(0), Misfit(assign, "a subtree less"));
        }

        Notice notice = Assert.Single(c.Probe.DoneOf<Notice>(), n => n.Kind == NoticeKind.Quarantined);
        Assert.Contains("worker 0", notice.Text);
        Assert.Equal((0L, 3L), (c.Coordinator.Version, c.Coordinator.Counters.FaultyAnswers));
        Assert.Equal(0, c.Coordinator.ActiveWorkers);
    }

    [Fact]
    public void ALateOneIsNamedAndNotCompared()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.After(500); // worker 1 is late: its shards are computed by worker 0 as well
        Assign again = c.AssignmentOf(0);
        c.Report(0, again);
        c.Prepare(0, 0, a.Assignment, again.Assignment);
        Assert.Equal(1, c.Coordinator.Version);
        c.Probe.Forget();
        c.Probe.Tell(ActorId.Worker(1), Misfit(b, "the same shard twice"));
        Assert.Equal(ActorId.Worker(1), Assert.Single(c.Probe.DoneOf<Notice>(), n => n.Kind == NoticeKind.Faulty).Actor);
        Assert.Equal((0L, 1L), (c.Coordinator.Counters.ComparedLateAnswers, c.Coordinator.Counters.FaultyAnswers));
        Assert.Empty(c.Probe.DoneOf<EndJob>());
    }

    private static ShardsReported Misfit(Assign assign, string how)
    {
        ShardReport[] shards = [.. Enumerable.Range(assign.Range.Start, assign.Range.Count).Select(shard => new ShardReport(shard, [1], [1], (ulong)shard, 1, true))];
        SubtreeReport[] subtrees = [.. new MergeProgram(assign.Range, CoordinatorProbe.Shards).Subtrees.Select(Subtree)];
        int start = assign.Range.Start, end = assign.Range.End;
        (shards, subtrees) = how switch
        {
            "a shard too few" => (shards[..^1], subtrees),
            "a shard too many" => ([.. shards, shards[^1] with { Shard = end }], subtrees),
            "shards of somebody else" => ([.. shards.Select(s => s with { Shard = s.Shard - start })], subtrees),
            "the same shard twice" => ([.. shards.Select(_ => shards[0])], subtrees),
            "descending shards" => ([.. shards.Reverse()], subtrees),
            "no subtree" => (shards, []),
            "a subtree less" => (shards, subtrees[..^1]),
            "a subtree not of the tree" => (shards, [Subtree(new ShardRange(start - 1, end - 1)), Subtree(new ShardRange(end - 1, end))]),
            "subtrees that could be one" => (shards, [.. shards.Select(s => Subtree(new ShardRange(s.Shard, s.Shard + 1)))]),
            "subtrees of somebody else" => (shards, [Subtree(new ShardRange(0, 2))]),
            "a subtree twice" => (shards, [.. subtrees, .. subtrees]),
            _ => (shards, subtrees),
        };
        return new ShardsReported(1, assign.Version + (how == "another step" ? 1 : 0), how == "another kind" ? WorkKind.Evaluate : WorkKind.Train,
            assign.Assignment, shards, subtrees, 1000);
    }

    private static SubtreeReport Subtree(ShardRange subtree) => new(subtree, [1], true);
}
