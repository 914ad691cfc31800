using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

/// <summary>A coordinator that gives its range to servers a test plays.</summary>
public class ServersComeAndGoTests
{
    private static readonly ActorId s_first = ActorId.Server(7), s_second = ActorId.Server(8), s_third = ActorId.Server(9);

    [Fact]
    public void ItWaitsForTheServersItNeedsAndFillsThemFromWhatItHas()
    {
        Probe c = Start(servers: 2, replicas: 2);
        Hello(c, s_first);
        Assert.Empty(c.SentOf<ClaimEpoch>());
        Hello(c, s_second);
        RangeMap map = c.SentOf<ClaimEpoch>()[^1].Message.Map;
        Assert.Equal((s_first, (ActorId?)s_second, 1L), (map.Ranges[0].Owner, map.Ranges[0].Replica, map.Origin));
        Assert.Equal(map.Revision, c.DoneOf<AppendJournal>().Select(a => a.Record).OfType<MapRecord>().Single().Map.Revision);
        Accept(c, s_first, map, -1);
        Assert.Empty(c.DoneOf<SendRangeCopy>()); // before everyone has accepted nothing is given
        Accept(c, s_second, map, -1);
        SendRangeCopy fill = Assert.Single(c.DoneOf<SendRangeCopy>());
        Assert.Equal((s_first, 0L, map.Ranges[0].Fence), (fill.To, fill.Version, fill.Fence));
        c.Tell(ActorId.Worker(0), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        Assert.Empty(c.SentOf<Assign>());
        c.Tell(s_first, new Applied(1, 0, 0, map.Ranges[0].Fence));
        Assert.Single(c.SentOf<Assign>());
    }

    [Fact]
    public void WithoutServersItEndsInTimeAndSaysHowManyThereAre()
    {
        Probe c = Start(servers: 2, replicas: 1);
        Assert.Contains("2 server(s)", Assert.Single(c.DoneOf<Notice>(), n => n.Kind == NoticeKind.Waiting).Text);
        Hello(c, s_first);
        for (int second = 1; second < 120; second++)
        {
            c.After(1_000);
            c.Tell(s_first, new Heartbeat(0, -1, 0));
            Assert.Empty(c.DoneOf<EndJob>());
        }

        c.After(2_000);
        Assert.Contains("1 of 2", Assert.Single(c.DoneOf<EndJob>()).Reason);
    }

    [Fact]
    public void AStopWhileServersAreAwaitedEndsTheJobWhereItWas()
    {
        var c = new Probe(new Coordinator(ActorId.Coordinator, CoordinatorProbe.Shape, RangeMap.Spread(2, 1, []), new FakePolicy(100), new ProtocolTimes(), 1,
            plan: new ServerPlan(1, 1, 6, null)));
        c.Tell(ActorId.Coordinator, new StopRequested("interrupted"));
        Assert.Equal(new EndJob(6, false, "interrupted"), Assert.Single(c.DoneOf<EndJob>()));
    }

    [Fact]
    public void TheReplicaOfALostOwnerIsPromotedAndTheOldFenceCountsForNothing()
    {
        (Probe c, RangeMap map, Assign assign) = Working(replicas: 2, s_first, s_second);
        c.Tell(s_second, new Applied(1, 0, 0, map.Ranges[0].Fence)); // it has been filled
        Report(c, assign);
        c.Forget();
        c.Tell(ActorId.Coordinator, new ActorDown(s_first, "connection closed"));
        RangeOwner now = ((Coordinator)c.Actor).Map.Ranges[0];
        Assert.Equal((s_second, map.Ranges[0].Fence + 1, null, 0L), (now.Owner, now.Fence, now.Replica, now.Since));
        Assert.Equal(1, ((Coordinator)c.Actor).Counters.Promotions);
        Assert.Contains(c.SentOf<Welcome>(), s => s.To == ActorId.Worker(0) && s.Message.Map.Ranges[0].Fence == now.Fence);
        Assert.Single(c.DoneOf<AppendJournal>(), a => a.Record is MapRecord);

        c.Tell(s_first, Prepared(map.Ranges[0].Fence, s_second, assign.Assignment)); // it is alive after all
        Assert.Equal(0, ((Coordinator)c.Actor).Version);
        c.Tell(s_second, Prepared(map.Ranges[0].Fence, null, assign.Assignment));
        Assert.Equal(0, ((Coordinator)c.Actor).Version);
        c.Tell(s_second, Prepared(now.Fence, null, assign.Assignment));
        Assert.Equal(1, ((Coordinator)c.Actor).Version);
        Assert.Equal(0, ((Coordinator)c.Actor).Counters.RecomputedShards);
    }

    [Fact]
    public void AReplicaThatIsNotFilledIsNotPromoted()
    {
        (Probe c, _, _) = Working(replicas: 2, s_first, s_second);
        c.Tell(ActorId.Coordinator, new ActorDown(s_first, "connection closed"));
        Assert.Equal(0, ((Coordinator)c.Actor).Counters.Promotions);
        Assert.Equal(2, Assert.Single(c.DoneOf<RestoreCheckpoint>()).Epoch);
    }

    [Fact]
    public void ANewReplicaIsNamedAtTheNextVersionAndItsWordIsWaitedFor()
    {
        (Probe c, RangeMap map, Assign assign) = Working(replicas: 2, s_first, s_second);
        c.Tell(s_second, new Applied(1, 0, 0, map.Ranges[0].Fence));
        c.Tell(ActorId.Coordinator, new ActorDown(s_second, "connection closed"));
        Hello(c, s_third);
        Accept(c, s_third, ((Coordinator)c.Actor).Map);
        Assert.Null(((Coordinator)c.Actor).Map.Ranges[0].Replica); // not within a step
        Report(c, assign);
        c.Tell(s_first, Prepared(map.Ranges[0].Fence, null, assign.Assignment));
        RangeOwner now = ((Coordinator)c.Actor).Map.Ranges[0];
        Assert.Equal((1L, (ActorId?)s_third, 1L), (((Coordinator)c.Actor).Version, now.Replica, now.ReplicaSince));

        Assign next = c.SentOf<Assign>()[^1].Message;
        c.Tell(s_first, new Applied(1, 1, 0, now.Fence));
        Report(c, next);
        c.Forget();
        c.Tell(s_first, Prepared(now.Fence, null, next.Assignment) with { Step = 1 }); // it has not heard of the replica
        Assert.Equal(1, ((Coordinator)c.Actor).Version);
        Assert.Contains(c.SentOf<ClaimEpoch>(), s => s.To == s_first);
        c.Tell(s_third, new Applied(1, 1, 0, now.Fence));
        Assert.Equal(1, ((Coordinator)c.Actor).Counters.Refills);
        c.Tell(s_first, Prepared(now.Fence, s_third, next.Assignment) with { Step = 1 });
        Assert.Equal(2, ((Coordinator)c.Actor).Version);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ARangeWithoutACopyTakesTheJobBackAndTheStepMustComeToTheSame(bool otherBits)
    {
        (Probe c, RangeMap map, Assign assign) = Working(replicas: 1, s_first);
        Report(c, assign);
        c.Tell(s_first, Prepared(map.Ranges[0].Fence, null, assign.Assignment));
        Assert.Equal(1, ((Coordinator)c.Actor).Version);
        c.Tell(ActorId.Coordinator, new ActorDown(s_first, "connection closed"));
        Assert.Equal(2, Assert.Single(c.DoneOf<RestoreCheckpoint>()).Epoch);
        c.Forget();
        c.Tell(ActorId.Coordinator, new CheckpointRestored(2, 0, new FakePolicy(100).Capture(), 123));
        JournalRecord[] written = [.. c.DoneOf<AppendJournal>().Select(a => a.Record)];
        Assert.Equal(new EpochRecord(2, 1, 123), written[0]);
        Assert.Equal((2L, 0L), (((RollbackRecord)written[1]).Epoch, ((RollbackRecord)written[1]).Version));
        Hello(c, s_second); // there was no other: one that joins gets the range
        RangeMap after = ((Coordinator)c.Actor).Map;
        Assert.Equal((s_second, 2L), (after.Ranges[0].Owner, after.Origin));
        Accept(c, s_second, after, -1, epoch: 2);
        Assert.Equal((s_second, 0L, 2L), c.DoneOf<SendRangeCopy>().Select(s => (s.To, s.Version, s.Epoch)).Single());
        c.Tell(s_second, new Applied(2, 0, 0, after.Ranges[0].Fence));
        Counters counters = ((Coordinator)c.Actor).Counters;
        Assert.Equal((1L, 0L), (counters.Rollbacks, counters.Steps));
        Assert.Equal(2 * CoordinatorProbe.Shards, counters.RollbackShards); // the step that was committed, and the one that was open

        Assign again = c.SentOf<Assign>()[^1].Message;
        Assert.Equal((2L, 0L), (again.Epoch, again.Version));
        Report(c, again, otherBits ? 2UL : 1UL);
        c.Tell(s_second, Prepared(after.Ranges[0].Fence, null, again.Assignment) with { Epoch = 2 });
        if (otherBits)
        {
            Assert.Contains("executed again", Assert.Single(c.DoneOf<EndJob>()).Reason);
        }
        else
        {
            Assert.Equal((1L, 1L), (((Coordinator)c.Actor).Version, counters.ReproducedSteps));
        }
    }

    [Fact]
    public void ACoordinatorThatTakesOverGoesOnWithTheJournalsMapAndVerdict()
    {
        var journal = new List<JournalRecord>();
        (Probe c, RangeMap map, Assign assign) = Working(replicas: 1, s_first);
        Report(c, assign);
        c.Tell(s_first, Prepared(map.Ranges[0].Fence, null, assign.Assignment));
        journal.AddRange(c.DoneOf<AppendJournal>().Select(a => a.Record));
        JournalState state = JournalState.Of(journal);
        Assert.Equal((1L, 0L, s_first), (state.Epoch, state.Verdict!.Step, state.Map!.Ranges[0].Owner));

        Probe next = Start(servers: 1, replicas: 1, epoch: 2, journal: state);
        Hello(next, s_first);
        RangeMap taken = Assert.Single(next.SentOf<ClaimEpoch>()).Message.Map;
        Assert.Equal((map.Revision, map.Origin), (taken.Revision, taken.Origin));
        next.Tell(s_first, new EpochAccepted(2, taken.Revision, [new HeldRange(0, 0)], null)); // it has not applied the verdict
        (ActorId to, Verdict again) = Assert.Single(next.SentOf<Verdict>());
        Assert.Equal((s_first, 2L, 0L, 1L), (to, again.Epoch, again.Step, ((Coordinator)next.Actor).Version));
    }

    [Fact]
    public void AServerThatDoesNotComeBackAfterATakeoverIsLostAfterItsLease()
    {
        (Probe c, _, _) = Working(replicas: 1, s_first);
        JournalState state = JournalState.Of(c.DoneOf<AppendJournal>().Select(a => a.Record));
        Probe next = Start(servers: 1, replicas: 1, epoch: 2, journal: state);
        next.After(4_900);
        Assert.Empty(next.DoneOf<Notice>());
        next.After(200);
        Assert.Contains(next.DoneOf<Notice>(), n => n.Kind == NoticeKind.Lost && n.Actor == s_first);
        Assert.Contains(next.DoneOf<Notice>(), n => n.Kind == NoticeKind.Warning || n.Kind == NoticeKind.Waiting);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AServerThatIsKnownNotToComeBackIsNotWaitedFor(bool hasReplica)
    {
        (Probe c, RangeMap map, _) = hasReplica ? Working(replicas: 2, s_first, s_second) : Working(replicas: 1, s_first);
        JournalState state = JournalState.Of(c.DoneOf<AppendJournal>().Select(a => a.Record));
        Probe next = Start(servers: map.Ranges[0].Replica is null ? 1 : 2, replicas: hasReplica ? 2 : 1, epoch: 2, journal: state);
        next.After(100);
        next.Tell(ActorId.Coordinator, new ActorDown(s_third, "nobody has it")); // one that owns nothing is nobody's business
        Assert.Empty(next.DoneOf<Notice>());
        next.Tell(ActorId.Coordinator, new ActorDown(s_first, "nobody has it"));
        Assert.Contains("nobody has it", Assert.Single(next.DoneOf<Notice>(), n => n.Kind == NoticeKind.Lost).Text, StringComparison.Ordinal);
        if (hasReplica)
        {
            Assert.DoesNotContain(next.DoneOf<Notice>(), n => n.Kind == NoticeKind.Promoted); // the other one has not been heard yet
            Hello(next, s_second);
            Accept(next, s_second, map, 0, epoch: 2);
        }

        next.Tell(ActorId.Coordinator, new ActorDown(s_first, "nobody has it"));
        Assert.Single(next.DoneOf<Notice>(), n => n.Kind == NoticeKind.Lost);
        Assert.Contains(next.DoneOf<Notice>(), n => n.Kind == (hasReplica ? NoticeKind.Promoted : NoticeKind.Waiting));
    }

    [Fact]
    public void AJournalWithAHoleIsRefusedAndATornOneReadsUpToTheTear()
    {
        var verdict = new Verdict(1, 0, default, default);
        JournalRecord[] whole = [new EpochRecord(1, -1, 0), new VerdictRecord(verdict, 5, [1]), new VerdictRecord(verdict with { Step = 1 }, 6, [1]), new CheckpointRecord(2)];
        Assert.Equal((2L, 1L), (JournalState.Of(whole).CheckpointVersion, JournalState.Of(whole).Verdict!.Step));
        Assert.Equal(0, JournalState.Of(whole[..2]).Verdict!.Step);
        Assert.True(JournalState.Of(whole).Digests.TryGet(1, out ulong digest) && digest == 6);
        Assert.Throws<ArgumentException>(() => JournalState.Of([whole[1], new VerdictRecord(verdict with { Step = 3 }, 7, [1])]));
        Assert.Throws<ArgumentException>(() => JournalState.Of([whole[0], new EpochRecord(1, 0, 0)]));
        Assert.Null(JournalState.Of([.. whole, new RollbackRecord(2, 1, "a range")]).Verdict);
    }

    // A step was refused and the job went on from step 2 otherwise. Back before that it is on the course of before again, and steps
    // come to what they came to there.
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 3)]
    [InlineData(3, 3)]
    public void WhatIsKnownOfACourseIsForgottenWhenTheJobGoesBackToBeforeIt(long to, long known)
    {
        var verdict = new Verdict(1, 0, default, default);
        JournalRecord[] records = [new EpochRecord(1, -1, 0), Step(0), Step(1), Step(2), new RollbackRecord(2, 2, "not finite", new byte[] { 7 }), Step(2), Step(3),
            new RollbackRecord(3, to, "a server is lost")];
        var state = JournalState.Of(records);
        Assert.Equal(known, Enumerable.Range(0, 5).Last(step => state.Digests.TryGet(step, out _)));
        Assert.Equal(to >= 2, state.Courses.At(2) is not null);

        VerdictRecord Step(long step) => new(verdict with { Step = step }, (ulong)step + 5, [1]);
    }

    // A coordinator that went back to a checkpoint and died before it had given its content to anyone: what servers hold is of
    // before, and nothing of it is adopted.
    [Theory]
    [InlineData(3, 0)]
    [InlineData(2, 1)]
    public void AfterGoingBackNothingOfBeforeIsAdopted(long readable, int rollbacks)
    {
        var verdict = new Verdict(1, 0, default, default);
        RangeMap map = new RangeMap([new RangeOwner(0, 0, 2, s_first, 4, null)], [new Segment(0, 0, 0, 2)], 2, 1);
        var journal = JournalState.Of([new EpochRecord(1, -1, 0), new MapRecord(1, map), .. Enumerable.Range(0, 5).Select(step => new VerdictRecord(verdict with { Step = step }, 1, [1])),
            new EpochRecord(2, 1, 9), new RollbackRecord(2, 3, "a server is lost")]);
        var c = new Probe(new Coordinator(ActorId.Coordinator, CoordinatorProbe.Shape, RangeMap.Spread(2, 1, []), new FakePolicy(100), new ProtocolTimes(), 3,
            plan: new ServerPlan(1, 1, readable, journal)));
        Assert.Equal(rollbacks, c.DoneOf<AppendJournal>().Count(append => append.Record is RollbackRecord back && back.Version == readable));
        Hello(c, s_first);
        RangeMap given = c.SentOf<ClaimEpoch>()[^1].Message.Map;
        Assert.Equal((3L, 5L, 3L), (given.Origin, given.Ranges[0].Fence, given.Revision));
        c.Tell(s_first, new EpochAccepted(3, given.Revision, [new HeldRange(0, -1)], verdict with { Step = 1 }));
        Assert.DoesNotContain(c.DoneOf<AppendJournal>(), append => append.Record is VerdictRecord);
        Assert.Equal(readable, Assert.Single(c.DoneOf<SendRangeCopy>()).Version);
    }

    [Fact]
    public void AWorkerFollowsAPromotionWithWhatItHasAndComputesNothingAgain()
    {
        var before = new RangeMap([new RangeOwner(0, 0, 2, s_first, 1, s_second)], [new Segment(0, 0, 0, 2)]);
        RangeMap after = before.Next([before.Ranges[0] with { Owner = s_second, Fence = 2, Replica = null }], 0);
        var w = new Probe(new Worker(ActorId.Worker(0), ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes()));
        w.Tell(ActorId.Coordinator, new Welcome(1, before));
        w.Tell(ActorId.Coordinator, new Assign(1, 0, WorkKind.Train, 5, new ShardRange(0, 4), false, 0));
        w.Tell(s_first, new ParametersArrived(1, 0, 0));
        Assert.Single(w.DoneOf<ComputeShards>());
        w.Tell(w.Actor.Id, new Computed(5, true, [], [new SubtreeReport(new ShardRange(0, 4), [1], true)], 1));
        Assert.Equal(1, Assert.Single(w.DoneOf<SendPiece>()).Key.Fence);
        w.Forget();
        w.Tell(ActorId.Coordinator, new Welcome(1, after));
        Assert.Equal((s_second, 2L), w.DoneOf<SendPiece>().Select(s => (s.To, s.Key.Fence)).Single());
        Assert.Equal((s_second, 2L, 1L), w.SentOf<ReadParameters>().Select(s => (s.To, s.Message.Fence, s.Message.Version)).Single());
        Assert.Empty(w.DoneOf<ComputeShards>());
        w.Forget();
        w.Tell(ActorId.Coordinator, new Welcome(1, before)); // an older map changes nothing
        Assert.Empty(w.DoneOf<SendPiece>());
    }

    [Fact]
    public void AWorkerAndAServerWithoutACoordinatorSaySoAndEndInTime()
    {
        foreach (IActor actor in (IActor[])[new Worker(ActorId.Worker(0), ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes()),
            new ParameterServer(s_first, ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), -1)])
        {
            var probe = new Probe(actor);
            probe.Tell(ActorId.Coordinator, new Alive(1));
            probe.Tell(actor.Id, new ActorDown(ActorId.Coordinator, "connection closed"));
            Assert.Contains("waits up to 120 s", Assert.Single(probe.DoneOf<Notice>()).Text);
            probe.After(119_000);
            Assert.Empty(probe.DoneOf<EndActor>());
            probe.After(2_000);
            EndActor end = Assert.Single(probe.DoneOf<EndActor>());
            Assert.True(end.Failed);
            Assert.Contains("No coordinator", end.Reason);
        }
    }

    [Fact]
    public void AnEmptyServerTakesContentOfItsFenceOnlyAndOnce()
    {
        var map = new RangeMap([new RangeOwner(0, 0, 2, s_first, 3, null)], [new Segment(0, 0, 0, 2)], 1, 1);
        var s = new Probe(new ParameterServer(s_first, ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), -1));
        s.Tell(ActorId.Coordinator, new ClaimEpoch(1, map));
        Assert.Equal(-1, Assert.Single(s.SentOf<EpochAccepted>()).Message.Held.Single().Version);
        s.Tell(ActorId.Coordinator, new RangeCopy(1, 0, 2, 5, 10)); // an older fence
        Assert.Empty(s.DoneOf<LoadRange>());
        s.Tell(ActorId.Coordinator, new RangeCopy(1, 0, 3, 5, 11));
        s.Tell(s.Actor.Id, new RangeLoaded(0, 5));
        s.Tell(ActorId.Coordinator, new RangeCopy(1, 0, 3, 5, 12)); // sent twice
        Assert.Single(s.DoneOf<LoadRange>());
        Assert.Equal([10L, 11, 12], s.DoneOf<ReleasePayload>().Select(r => r.Payload));
        Assert.Equal([5L, 5], s.SentOf<Applied>().Select(a => a.Message.Version));
        s.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 5, 2, 0, new ShardRange(0, 4), 1), 13)); // of the owner before
        Assert.Empty(s.DoneOf<ReduceSegment>());
        s.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 5, 3, 0, new ShardRange(0, 4), 1), 14));
        Assert.Single(s.DoneOf<ReduceSegment>());
    }

    // It is filled, then a map comes that takes the range away and was sent before the filling, then one that gives it back.
    [Fact]
    public void AReplicaThatIsEmptyAgainSaysSoAndIsFilledOnceMore()
    {
        var replica = new Probe(new ParameterServer(s_second, ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), -1));
        replica.Tell(ActorId.Coordinator, new ClaimEpoch(1, Replicated(1, s_second)));
        replica.Tell(s_first, new RangeCopy(1, 0, 3, 5, 10));
        replica.Tell(s_second, new RangeLoaded(0, 5));
        Assert.Equal(5, Assert.Single(replica.SentOf<RangeFilled>()).Message.Version);
        replica.Tell(ActorId.Coordinator, new ClaimEpoch(1, Replicated(2, null)));
        replica.Tell(ActorId.Coordinator, new ClaimEpoch(1, Replicated(3, s_second)));
        replica.Forget();
        replica.Tell(s_first, new ReducedCopy(1, 5, 0, 0, 3, 77, 11));
        Assert.Empty(replica.SentOf<ReplicaHolds>());
        (ActorId to, RangeFilled empty) = Assert.Single(replica.SentOf<RangeFilled>());
        Assert.Equal((s_first, -1L, 11L), (to, empty.Version, Assert.Single(replica.DoneOf<ReleasePayload>()).Payload));

        var owner = new Probe(new ParameterServer(s_first, ActorId.Coordinator, CoordinatorProbe.Shape, new ProtocolTimes(), -1));
        owner.Tell(ActorId.Coordinator, new ClaimEpoch(1, Replicated(1, s_second)));
        owner.Tell(ActorId.Coordinator, new RangeCopy(1, 0, 3, 5, 20));
        owner.Tell(s_first, new RangeLoaded(0, 5));
        owner.Tell(s_second, new RangeFilled(1, 0, 3, 5));
        owner.Tell(ActorId.Worker(0), new Piece(new PieceKey(1, 5, 3, 0, new ShardRange(0, 4), 1), 21));
        owner.Tell(s_first, new SegmentReduced(5, Assert.Single(owner.DoneOf<ReduceSegment>()).Ticket, 0, [new BlockSum(new ShardRange(0, 2), 1)], true, 77));
        Assert.Single(owner.DoneOf<SendReducedCopy>());
        owner.Forget();
        owner.Tell(s_third, empty); // not the replica's word
        Assert.Empty(owner.DoneOf<SendRangeCopy>());
        owner.Tell(s_second, empty);
        Assert.Equal((s_second, 5L), (Assert.Single(owner.DoneOf<SendRangeCopy>()).To, owner.DoneOf<SendRangeCopy>()[0].Version));
        Assert.Empty(owner.SentOf<Prepared>());
        owner.Tell(s_second, new RangeFilled(1, 0, 3, 5));
        Assert.Single(owner.DoneOf<SendReducedCopy>());
        owner.Tell(s_second, new ReplicaHolds(1, 5, 0, 0));
        Assert.Single(owner.SentOf<Prepared>());

        static RangeMap Replicated(long revision, ActorId? second)
            => new([new RangeOwner(0, 0, 2, s_first, 3, second)], [new Segment(0, 0, 0, 2)], revision, 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ACoordinatorThatAnotherOneHasTakenOverFromEndsByItselfAlone(bool isHeard)
    {
        (Probe c, _, _) = Working(replicas: 1, s_first);
        c.Forget();
        c.Tell(s_first, isHeard ? new Heartbeat(3, -1, 0) : new EpochRefused(3));
        EndActor end = Assert.Single(c.DoneOf<EndActor>());
        Assert.True(end.Failed);
        Assert.Contains("server 7 follows epoch 3; this coordinator's is 1. Another coordinator has taken over", end.Reason, StringComparison.Ordinal);
        c.Tell(ActorId.Worker(0), new Heartbeat(1, -1, 0));
        c.Tell(ActorId.Worker(1), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        c.Tell(s_second, new ServerHello(Limits.ProtocolVersion, "job"));
        c.After(600_000);
        Assert.Empty(c.Sent); // whoever follows it still goes on with the other one
        Assert.Empty(c.DoneOf<EndJob>());

        // An end of the job is told to everyone, and to those who come late; its host hears of it first, and may look into the journal.
        (Probe ends, _, _) = Working(replicas: 1, s_first);
        ends.Tell(s_first, new EpochRefused(1)); // the answer to somebody else
        ends.Tell(ActorId.Coordinator, new ActorDown(s_first, "connection closed"));
        ends.Forget();
        ends.Tell(ActorId.Coordinator, new RestoreFailed(2, "no space left"));
        Assert.IsType<EndJob>(ends.First);
        ends.Tell(s_second, new ServerHello(Limits.ProtocolVersion, "job"));
        Assert.Equal([ActorId.Worker(0), s_second], ends.SentOf<Shutdown>().Select(s => s.To));
        Assert.Contains("no space left", Assert.Single(ends.DoneOf<EndJob>()).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void TheStatusNamesWhoHasWhat()
    {
        (Probe c, _, _) = Working(replicas: 2, s_first, s_second);
        c.Forget();
        c.Tell(ActorId.Worker(99), new StatusRequest());
        (ActorId to, StatusReply status) = Assert.Single(c.SentOf<StatusReply>());
        Assert.Equal((ActorId.Worker(99), 1L, 0L, false), (to, status.Epoch, status.Version, status.Ended));
        Assert.Contains("step 0", status.Activity);
        Assert.Equal(["worker 0 Active shards [0,4)", "server 7 Active owns 0", "server 8 Filling replica of 0"],
            status.Nodes.Select(n => $"{n.Actor} {n.Condition} {n.Work}"));
        Assert.Contains(status.Counters, count => count == new NamedCount("assignedShards", 4));
    }

    private static Probe Start(int servers, int replicas, long epoch = 1, JournalState? journal = null)
        => new(new Coordinator(ActorId.Coordinator, CoordinatorProbe.Shape, RangeMap.Spread(2, 1, []), new FakePolicy(100), new ProtocolTimes(), epoch,
            plan: new ServerPlan(servers, replicas, 0, journal)));

    private static void Hello(Probe c, ActorId server) => c.Tell(server, new ServerHello(Limits.ProtocolVersion, "job"));

    private static void Accept(Probe c, ActorId server, RangeMap map, long? version = null, long epoch = 1)
        => c.Tell(server, new EpochAccepted(epoch, map.Revision, version is { } held ? [new HeldRange(0, held)] : [], null));

    private static (Probe Coordinator, RangeMap Map, Assign Assign) Working(int replicas, params ActorId[] servers)
    {
        Probe c = Start(servers.Length, replicas);
        foreach (ActorId server in servers)
        {
            Hello(c, server);
        }

        RangeMap map = ((Coordinator)c.Actor).Map;
        foreach (ActorId server in servers)
        {
            Accept(c, server, map, -1);
        }

        c.Tell(ActorId.Worker(0), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        c.Tell(servers[0], new Applied(1, 0, 0, map.Ranges[0].Fence));
        return (c, map, Assert.Single(c.SentOf<Assign>()).Message);
    }

    private static void Report(Probe c, Assign assign, ulong bits = 1)
        => c.Tell(ActorId.Worker(0), new ShardsReported(assign.Epoch, assign.Version, WorkKind.Train, assign.Assignment,
            [.. Enumerable.Range(0, 4).Select(s => new ShardReport(s, [1], [1], 1, bits, true))], [new SubtreeReport(new ShardRange(0, 4), [bits], true)], 1));

    private static Prepared Prepared(long fence, ActorId? replica, long assignment)
        => new(1, 0, 0, 0, [new BlockSum(new ShardRange(0, 2), 1)], true, 0, [assignment], fence, replica);
}
