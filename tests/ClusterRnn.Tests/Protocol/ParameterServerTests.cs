using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

public class ParameterServerTests
{
    private static readonly RangeMap s_map = RangeMap.Spread(2, 1, []);

    [Fact]
    public void LowerEpochsAreRefusedForGood()
    {
        Probe server = Claimed(epoch: 5);
        server.Tell(ActorId.Coordinator, new ClaimEpoch(4, s_map));
        Assert.Equal(5, Assert.Single(server.SentOf<EpochRefused>()).Message.Epoch);
        Complete(server, epoch: 5);
        server.Tell(ActorId.Coordinator, new Verdict(4, 0, default, default));
        Assert.Empty(server.DoneOf<ApplyVerdict>());
        server.Tell(ActorId.Coordinator, new Verdict(5, 0, default, default));
        Assert.Single(server.DoneOf<ApplyVerdict>());
    }

    [Theory]
    [InlineData(1, 0, 1, true)]
    [InlineData(2, 0, 1, false)] // another epoch
    [InlineData(1, 1, 1, false)] // another step
    [InlineData(1, 0, 2, false)] // another fence
    public void OnlyPiecesOfTheOpenStepAreTaken(long epoch, long step, long fence, bool taken)
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(epoch, step, fence, 0, new ShardRange(0, 4), 1), 9));
        Assert.Equal(taken, server.DoneOf<ReduceSegment>().Length == 1);
        Assert.Equal(!taken, server.DoneOf<ReleasePayload>().Any(release => release.Payload == 9));
    }

    [Theory]
    [InlineData(1, 0, 1, false)]
    [InlineData(0, 0, 1, true)] // an epoch before
    [InlineData(2, 0, 1, true)] // an epoch nobody claimed
    [InlineData(1, 1, 1, true)] // a step later
    [InlineData(1, 0, 0, true)] // a fence before
    [InlineData(1, 0, 2, true)] // a fence later
    public void StalePiecesAreCountedAndDropped(long epoch, long step, long fence, bool refused)
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(epoch, step, fence, 0, new ShardRange(0, 2), 1), 9));
        Assert.Equal(refused ? 1 : 0, ((ParameterServer)server.Actor).RefusedMessages);
        Assert.Equal(refused, server.DoneOf<ReleasePayload>().Any(release => release.Payload == 9));
    }

    [Fact]
    public void AVerdictIsAppliedOnceHoweverOftenItComes()
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Coordinator, new Verdict(1, 0, default, default));
        Assert.Empty(server.DoneOf<ApplyVerdict>()); // not prepared
        Complete(server, epoch: 1);
        server.Tell(ActorId.Coordinator, new Verdict(1, 0, default, default));
        server.Tell(ActorId.Coordinator, new Verdict(1, 0, default, default));
        Assert.Single(server.DoneOf<ApplyVerdict>());
        server.Tell(server.Actor.Id, new VerdictApplied(0, 0));
        server.Tell(ActorId.Coordinator, new Verdict(1, 0, default, default));
        Assert.Single(server.DoneOf<ApplyVerdict>());
        Assert.Equal([1L, 1], server.SentOf<Applied>().Select(s => s.Message.Version));
    }

    [Fact]
    public void AReadWaitsForItsVersionAndAnOldOneIsRefused()
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Worker(3), new ReadParameters(1, 0, 1, 1));
        server.Tell(ActorId.Worker(3), new ReadParameters(1, 0, 1, 1)); // asked again: still one answer
        Assert.Empty(server.DoneOf<SendParameters>());
        Complete(server, epoch: 1);
        server.Tell(ActorId.Coordinator, new Verdict(1, 0, default, default));
        server.Tell(ActorId.Worker(4), new ReadParameters(1, 0, 1, 0)); // while it is being overwritten
        Assert.Single(server.SentOf<ReadRefused>());
        server.Tell(server.Actor.Id, new VerdictApplied(0, 0));
        Assert.Equal(1, Assert.Single(server.DoneOf<SendParameters>()).Version);
        server.Tell(ActorId.Worker(4), new ReadParameters(1, 0, 1, 0));
        Assert.Equal(2, server.SentOf<ReadRefused>().Length);
    }

    [Fact]
    public void AResultThatWasOvertakenDoesNotPrepareTheStep()
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 0, 1, 0, new ShardRange(0, 4), 11), 1));
        ReduceSegment overtaken = Assert.Single(server.DoneOf<ReduceSegment>());
        server.Tell(ActorId.Coordinator, new DiscardPieces(1, 0, 1, [11]));
        server.Tell(server.Actor.Id, Reduced(overtaken));
        Assert.Empty(server.SentOf<Prepared>());
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 0, 1, 0, new ShardRange(0, 4), 11), 2)); // discarded for good
        Assert.Single(server.DoneOf<ReduceSegment>());
        server.Tell(ActorId.Worker(1), new Piece(new PieceKey(1, 0, 1, 0, new ShardRange(0, 4), 12), 3));
        server.Tell(server.Actor.Id, Reduced(server.DoneOf<ReduceSegment>()[1]));
        Prepared prepared = Assert.Single(server.SentOf<Prepared>()).Message;
        Assert.Equal(1, prepared.Attempt);
        Assert.Equal([12L], prepared.Assignments);
    }

    [Fact]
    public void WhatIsMissingIsSaid()
    {
        Probe server = Claimed(epoch: 1);
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 0, 1, 0, new ShardRange(0, 2), 1), 1));
        server.Tell(ActorId.Coordinator, new CoverageRequest(1, 0));
        Assert.Equal([new ShardRange(2, 4)], Assert.Single(server.SentOf<Coverage>()).Message.Missing);
    }

    [Fact]
    public void APreparedStepSurvivesTheClaimOfAHigherEpoch()
    {
        Probe server = Claimed(epoch: 1);
        Complete(server, epoch: 1);
        server.Tell(ActorId.Coordinator, new ClaimEpoch(2, s_map));
        server.Tell(ActorId.Coordinator, new Verdict(2, 0, default, default)); // the old decision, sent again
        Assert.Single(server.DoneOf<ApplyVerdict>());
    }

    [Fact]
    public void PreparedWaitsForTheReplica()
    {
        var map = new RangeMap([new RangeOwner(0, 0, 2, ActorId.Server(0), 1, ActorId.Server(1))], [new Segment(0, 0, 0, 2)]);
        var server = new Probe(new ParameterServer(ActorId.Server(0), ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), 0));
        server.Tell(ActorId.Coordinator, new ClaimEpoch(1, map));
        Complete(server, epoch: 1);
        Assert.Equal(ActorId.Server(1), Assert.Single(server.DoneOf<SendReducedCopy>()).To);
        Assert.Empty(server.SentOf<Prepared>());
        server.Tell(ActorId.Server(1), new ReplicaHolds(1, 0, 0, 0));
        Assert.Single(server.SentOf<Prepared>());
    }

    private static Probe Claimed(long epoch)
    {
        var server = new Probe(new ParameterServer(ActorId.Server(0), ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), 0));
        server.Tell(ActorId.Coordinator, new ClaimEpoch(epoch, s_map));
        Assert.Equal(epoch, Assert.Single(server.SentOf<EpochAccepted>()).Message.Epoch);
        return server;
    }

    private static void Complete(Probe server, long epoch)
    {
        server.Tell(ActorId.Worker(0), new Piece(new PieceKey(epoch, 0, 1, 0, new ShardRange(0, 4), 1), 1));
        server.Tell(server.Actor.Id, Reduced(server.DoneOf<ReduceSegment>()[^1]));
    }

    private static SegmentReduced Reduced(ReduceSegment reduce)
        => new(reduce.Step, reduce.Ticket, reduce.Segment.Index, [new BlockSum(new ShardRange(0, 2), 1)], true, 1);
}
