using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

public class CoordinatorTests
{
    [Fact]
    public void AStepIsDecidedOnceWhenAllHaveAnswered()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        Assert.Equal((new ShardRange(0, 2), new ShardRange(2, 4)), (a.Range, b.Range));
        c.Report(0, a);
        c.Prepare(0, 0, a.Assignment, b.Assignment);
        Assert.Empty(c.Probe.SentOf<Verdict>()); // a shard has not been reported
        c.Report(1, b);
        (ActorId to, Verdict verdict) = Assert.Single(c.Probe.SentOf<Verdict>());
        Assert.Equal((ActorId.Server(0), 0L, VerdictKind.Apply), (to, verdict.Step, verdict.Decision.Kind));
        c.Report(1, b);
        c.Prepare(0, 0, a.Assignment, b.Assignment);
        Assert.Single(c.Probe.SentOf<Verdict>());
        Assert.Equal(1, c.Coordinator.Version);
    }

    [Fact]
    public void TheVerdictIsInTheJournalBeforeItIsSent()
    {
        var order = new List<object>();
        var coordinator = new Coordinator(ActorId.Coordinator, CoordinatorProbe.Shape, RangeMap.Spread(2, 1, []), new FakePolicy(9), new ProtocolTimes(), 1);
        var effects = new EffectList();
        void Tell(ActorId from, Message message)
        {
            coordinator.Handle(new Envelope(from, coordinator.Id, message), default, effects);
            for (int i = 0; i < effects.Count; i++)
            {
                order.Add((object?)effects[i].Message ?? effects[i].Action!);
            }

            effects.Clear();
        }

        coordinator.Start(default, effects);
        Tell(ActorId.Worker(0), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        Tell(ActorId.Server(0), new EpochAccepted(1, 0, [new HeldRange(0, 0)], null));
        Assign assign = order.OfType<Assign>().Single();
        Tell(ActorId.Server(0), new Prepared(1, 0, 0, 0, [new BlockSum(new ShardRange(0, 2), 1)], true, 0, [assign.Assignment], 1, null));
        Tell(ActorId.Worker(0), new ShardsReported(1, 0, WorkKind.Train, assign.Assignment,
            [.. Enumerable.Range(0, 4).Select(s => new ShardReport(s, [1], [1], 1, 0, true))], [new SubtreeReport(new ShardRange(0, 4), [1], true)], 1));
        int written = order.FindIndex(o => o is AppendJournal { Record: VerdictRecord });
        Assert.InRange(written, 0, order.FindIndex(o => o is Verdict) - 1);
    }

    [Fact]
    public void ALateShardIsGivenToAnIdleWorkerAndTheFirstAnswerWins()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.Forget();
        c.Probe.After(1); // not late yet
        Assert.Empty(c.Probe.SentOf<Assign>());
        c.Probe.After(500);
        Assign again = c.AssignmentOf(0);
        Assert.Equal(b.Range, again.Range);
        Assert.Contains(c.Probe.DoneOf<Notice>(), notice => notice.Kind == NoticeKind.Speculated && notice.Actor == ActorId.Worker(1));
        c.Report(0, again);
        c.Prepare(0, 0, a.Assignment, again.Assignment);
        Assert.Equal(1, c.Coordinator.Version);
        Assert.Equal((1L, 2L, 2L), (c.Coordinator.Counters.Speculations, c.Coordinator.Counters.SpeculativeShards, c.Coordinator.Counters.RecomputedShards));

        // The late one gets nothing new before it has answered; its answer is still compared.
        c.Probe.Forget();
        c.Report(1, b);
        Assert.Equal(1, c.Coordinator.Counters.ComparedLateAnswers);
        Assert.Equal(0, c.Coordinator.Counters.FaultyAnswers);
    }

    // One worker has all shards of a step, and nobody else's answer says how long they take: the steps before do.
    [Fact]
    public void AWorkerThatHasEverythingIsHeldAgainstTheStepsBefore()
    {
        var c = new CoordinatorProbe(1);
        for (int step = 0; step < Limits.LeastObservations; step++)
        {
            Assign assign = c.AssignmentOf(0);
            c.Probe.After(1);
            c.Report(0, assign);
            c.Prepare(step, 0, assign.Assignment);
            c.Probe.Tell(ActorId.Server(0), new Applied(1, step + 1, 0, 1));
        }

        Assert.Equal(new ShardRange(0, 4), c.AssignmentOf(0).Range);
        c.Probe.Tell(ActorId.Worker(1), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        c.Probe.After(20); // within the floor
        Assert.False(c.HasAssignment(1));
        c.Probe.After(200);
        Assert.Equal(new ShardRange(0, 4), c.AssignmentOf(1).Range);
        Assert.Equal(1, c.Coordinator.Counters.Speculations);
    }

    [Fact]
    public void OnlyTheLostWorkersShardsAreGivenOutAgain()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.Forget();
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Worker(1), "connection closed"));
        Assert.Equal(b.Range, c.AssignmentOf(0).Range);
        Assert.Equal((2L, 1L), (c.Coordinator.Counters.LostShards, c.Coordinator.Counters.LostWorkers));
    }

    [Fact]
    public void ALostWorkersLateAnswerIsWelcome()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Worker(1), "silent"));
        c.Report(1, b);
        c.Prepare(0, 0, a.Assignment, b.Assignment);
        Assert.Equal(1, c.Coordinator.Version);
    }

    [Fact]
    public void TwoThatAgreeOutvoteTheOddOneWhichIsNamedAndNotUsedAgain()
    {
        var c = new CoordinatorProbe(3);
        Assign a = c.AssignmentOf(0), d = c.AssignmentOf(1); // two are as fast as three here, and need fewer subtrees
        c.Report(0, a);
        c.Probe.After(500); // worker 1 is late: its shards are computed by the others as well
        c.Report(1, d, bits: 13);
        var answered = new HashSet<long> { a.Assignment };
        while (c.Probe.SentOf<Assign>().FirstOrDefault(s => s.To != ActorId.Worker(1) && answered.Add(s.Message.Assignment)) is { Message: not null } next)
        {
            c.Report(next.To.Number, next.Message); // the other two agree with each other
        }

        Notice quarantined = Assert.Single(c.Probe.DoneOf<Notice>(), notice => notice.Kind == NoticeKind.Quarantined);
        Assert.Equal(ActorId.Worker(1), quarantined.Actor);
        Assert.Contains("worker 1", quarantined.Text);
        DiscardPieces discard = Assert.Single(c.Probe.SentOf<DiscardPieces>()).Message;
        Assert.Equal(1, discard.Attempt);
        Assert.Equal([d.Assignment], discard.Assignments);
        Assert.Equal(2, c.Probe.SentOf<Assign>().Count(s => s.Message.Assignment == a.Assignment)); // it sends its pieces again

        c.Prepare(0, 0, a.Assignment, d.Assignment); // of the attempt before
        Assert.Equal(0, c.Coordinator.Version);
        c.Probe.Forget();
        c.Prepare(0, 1, [.. answered.Order()]);
        Assert.Equal(1, c.Coordinator.Version);
        Assert.DoesNotContain(c.Probe.SentOf<Assign>(), s => s.To == ActorId.Worker(1));
        c.Probe.Tell(ActorId.Worker(1), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        Assert.Contains(c.Probe.SentOf<Refused>(), s => s.To == ActorId.Worker(1));
    }

    [Fact]
    public void WithoutAgreementTheJobStopsWithTheEvidence()
    {
        var c = new CoordinatorProbe(2);
        c.Report(0, c.AssignmentOf(0));
        Assign b = c.AssignmentOf(1);
        c.Probe.Forget();
        c.Probe.After(500);
        Assign again = c.AssignmentOf(0);
        c.Report(0, again, bits: 5);
        c.Report(1, b, bits: 6);
        for (int round = 0; round < Limits.MaximumAnswersPerShard && c.Probe.DoneOf<EndJob>().Length == 0; round++)
        {
            Assign left = c.AssignmentOf(0), right = c.AssignmentOf(1);
            c.Report(0, left, bits: 5);
            c.Report(1, right, bits: 6);
        }

        EndJob end = Assert.Single(c.Probe.DoneOf<EndJob>());
        Assert.True(end.Failed);
        Assert.Contains("worker 0", end.Reason);
        Assert.Contains("worker 1", end.Reason);
        Assert.Equal(0, c.Coordinator.Version);
    }

    [Fact]
    public void AnAnswerThatIsNotFiniteIsComputedElsewhereAndAFiniteOneWins()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.Forget();
        c.Report(1, b, bits: 9, finite: false);
        Assign again = c.AssignmentOf(0);
        Assert.Equal(b.Range, again.Range);
        c.Report(0, again);
        Assert.Contains(c.Probe.DoneOf<Notice>(), notice => notice.Kind == NoticeKind.Faulty && notice.Actor == ActorId.Worker(1));
        c.Prepare(0, 1, a.Assignment, again.Assignment);
        Assert.Equal(VerdictKind.Apply, Assert.Single(c.Probe.SentOf<Verdict>()).Message.Decision.Kind);
        Assert.Equal(0, c.Coordinator.Counters.Quarantined); // once is not enough
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void TheSameNonFiniteAnswerTwiceIsPoisonAndThePolicyDecides(int workers)
    {
        var c = new CoordinatorProbe(workers);
        Assign a = c.AssignmentOf(0);
        long first = a.Assignment;
        if (workers == 1)
        {
            c.Report(0, a, bits: 9, finite: false);
            c.Report(0, c.AssignmentOf(0), bits: 9, finite: false);
            c.Prepare(0, 0, first);
        }
        else
        {
            Assign b = c.AssignmentOf(1);
            c.Report(0, a);
            c.Report(1, b, bits: 9, finite: false);
            c.Report(0, c.AssignmentOf(0), bits: 9, finite: false);
            c.Prepare(0, 0, first, b.Assignment);
        }

        Assert.Equal(VerdictKind.Skip, Assert.Single(c.Probe.SentOf<Verdict>()).Message.Decision.Kind);
        Assert.Equal((1L, 1L), (c.Coordinator.Version, c.Coordinator.Counters.SkippedSteps));
    }

    [Fact]
    public void APieceWithoutAReportCountsForNothing()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.Forget();
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Worker(1), "gone"));
        Assign again = c.AssignmentOf(0);
        c.Report(0, again);
        c.Prepare(0, 0, a.Assignment, b.Assignment); // worker 1 sent its piece, and died before it said what it was
        Assert.Equal(0, c.Coordinator.Version);
        Assert.Contains(b.Assignment, Assert.Single(c.Probe.SentOf<DiscardPieces>()).Message.Assignments);
        c.Prepare(0, 1, a.Assignment, again.Assignment);
        Assert.Equal(1, c.Coordinator.Version);
    }

    [Fact]
    public void AWorkerStoppedBetweenItsPiecesAndItsReportIsNotWaitedFor()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Probe.After(500); // worker 1 is late: worker 0 computes its shards as well
        Assign again = c.AssignmentOf(0);
        Assert.NotEqual(a.Assignment, again.Assignment);
        c.Report(0, again);
        c.Prepare(0, 0, a.Assignment, b.Assignment); // its pieces came first, and nobody vouches for them
        Assert.Equal(0, c.Coordinator.Version);
        Assert.Empty(c.Probe.SentOf<DiscardPieces>()); // its report may be on the way
        c.Probe.After(new ProtocolTimes().RetryFloorTicks / Instant.TicksPerMillisecond);
        Assert.Equal([b.Assignment], Assert.Single(c.Probe.SentOf<DiscardPieces>()).Message.Assignments);
        c.Prepare(0, 1, a.Assignment, again.Assignment);
        Assert.Equal(1, c.Coordinator.Version);
        Assert.Equal(0, c.Coordinator.Counters.LostWorkers);
        c.Probe.Forget();
        c.Probe.Tell(ActorId.Server(0), new Applied(1, 1, 0, 1));
        c.Report(1, b); // it goes on; its answer is of a step that is done
        Assert.Equal(1, c.Coordinator.Version);
    }

    [Fact]
    public void WhatAnOwnerMissesIsSentAgainByWhoeverHoldsIt()
    {
        var c = new CoordinatorProbe(2);
        Assign a = c.AssignmentOf(0), b = c.AssignmentOf(1);
        c.Report(0, a);
        c.Report(1, b);
        c.Probe.Forget();
        c.Probe.After(5_000);
        Assert.Single(c.Probe.SentOf<CoverageRequest>());
        c.Probe.Tell(ActorId.Server(0), new Coverage(1, 0, 0, 0, [new ShardRange(2, 4)]));
        (ActorId to, Assign assign) = Assert.Single(c.Probe.SentOf<Assign>());
        Assert.Equal((ActorId.Worker(1), b.Assignment), (to, assign.Assignment));
        Assert.Equal(0, c.Coordinator.Counters.RecomputedShards);
    }

    [Theory]
    [InlineData(Limits.ProtocolVersion + 1, "job", "data", "protocol")]
    [InlineData(Limits.ProtocolVersion, "another", "data", "another")]
    [InlineData(Limits.ProtocolVersion, "job", "other data", "other data")]
    public void StrangersAreRefusedWithBothValues(int version, string job, string data, string says)
    {
        var c = new CoordinatorProbe(1);
        c.Probe.Tell(ActorId.Worker(7), new WorkerHello(version, job, data));
        Assert.Contains(says, Assert.Single(c.Probe.SentOf<Refused>()).Message.Reason);
        Assert.Equal(1, c.Coordinator.ActiveWorkers);
    }

    [Fact]
    public void WithoutWorkersTheJobEndsAfterAWhileAndSaysSo()
    {
        var c = new CoordinatorProbe(1);
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Worker(0), "gone"));
        c.Probe.After(59_000);
        Assert.Empty(c.Probe.DoneOf<EndJob>());
        c.Probe.After(2_000);
        Assert.Contains("No worker", Assert.Single(c.Probe.DoneOf<EndJob>()).Reason);
    }

    [Fact]
    public void AWorkerThatIsStuckInTheFirstStepIsFound()
    {
        var c = new CoordinatorProbe(1);
        c.Probe.After(600_000); // an honest large model may take as long
        Assert.Equal(0, c.Coordinator.Counters.LostWorkers);
        c.Probe.After(new ProtocolTimes().FirstFailureTicks / Instant.TicksPerMillisecond);
        Assert.Equal(1, c.Coordinator.Counters.LostWorkers);
        Assert.Contains(c.Probe.DoneOf<Notice>(), n => n.Kind == NoticeKind.Lost && n.Actor == ActorId.Worker(0) && n.Text.Contains("of step 0"));
    }

    [Fact]
    public void StepsLongerThanARepetitionAreMeasuredAndAStuckWorkerIsFound()
    {
        var c = new CoordinatorProbe(1);
        for (int step = 0; step < 3; step++)
        {
            for (int second = 0; second < 300; second++)
            {
                c.Probe.After(1000); // asked again many times
            }

            Assign assign = c.AssignmentOf(0);
            c.Report(0, assign);
            c.Prepare(step, 0, assign.Assignment);
            c.Probe.Tell(ActorId.Server(0), new Applied(1, step + 1, 0, 1));
            Assert.Equal(step + 1, c.Coordinator.Version); // longer than the least failure time, and nobody is lost
        }

        for (int hour = 0; hour < 24 && c.Coordinator.Counters.LostWorkers == 0; hour++)
        {
            c.Probe.After(3600_000);
        }

        Assert.Equal(1, c.Coordinator.Counters.LostWorkers);
        c.Probe.After(61_000);
        Assert.Contains("worker 0 is lost: no answer to shards", Assert.Single(c.Probe.DoneOf<EndJob>()).Reason);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void TheLastCheckpointIsTriedOnceMoreAndAFailureIsNotCalledASuccess(int failures)
    {
        var c = new CoordinatorProbe(1);
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Worker(0), "gone"));
        c.Probe.Tell(ActorId.Coordinator, new StopRequested("interrupted"));
        for (int i = 1; i <= 2; i++)
        {
            c.Probe.Tell(ActorId.Server(0), new SnapshotTaken(1, 0, 0));
            Assert.Equal(i, c.Probe.DoneOf<SaveCheckpoint>().Length);
            c.Probe.Tell(ActorId.Coordinator, i <= failures ? new CheckpointFailed(0, "disk full") : new CheckpointSaved(0));
            Assert.Equal(i == 1 ? 0 : 1, c.Probe.DoneOf<EndJob>().Length);
        }

        EndJob end = Assert.Single(c.Probe.DoneOf<EndJob>());
        Assert.False(end.Failed);
        Assert.Equal(failures == 2, end.Reason.Contains("step 0 could not be saved: disk full"));
        Assert.Equal(failures, c.Coordinator.Counters.FailedCheckpoints);
        Assert.Equal(failures, c.Probe.DoneOf<Notice>().Count(notice => notice.Kind == NoticeKind.Warning && notice.Text.Contains("disk full")));
    }

    [Fact]
    public void AStopWaitsForTheStepThatIsUnderWayAndKeepsIt()
    {
        var c = new CoordinatorProbe(1);
        Assign a = c.AssignmentOf(0);
        c.Probe.Tell(ActorId.Coordinator, new StopRequested("interrupted"));
        Assert.Empty(c.Probe.SentOf<TakeSnapshot>());
        c.Report(0, a);
        c.Prepare(0, 0, a.Assignment);
        Assert.Equal(1, Assert.Single(c.Probe.SentOf<TakeSnapshot>()).Message.Version);
        c.Probe.Tell(ActorId.Server(0), new SnapshotTaken(1, 1, 0));
        Assert.Empty(c.Probe.DoneOf<EndJob>()); // it is being written
        c.Probe.Tell(ActorId.Coordinator, new CheckpointSaved(1));
        Assert.Equal(new EndJob(1, false, "interrupted"), Assert.Single(c.Probe.DoneOf<EndJob>()));
    }

    [Fact]
    public void ALostServerWithoutACopyEndsTheJobAndIsNamed()
    {
        var c = new CoordinatorProbe(1);
        c.Probe.Tell(ActorId.Coordinator, new ActorDown(ActorId.Server(0), "connection closed"));
        EndJob end = Assert.Single(c.Probe.DoneOf<EndJob>());
        Assert.True(end.Failed);
        Assert.Contains("server 0", end.Reason);
    }

    [Fact]
    public void ANewCoordinatorAdoptsTheHighestVerdictAndSendsItAgain()
    {
        var verdict = new Verdict(1, 4, new Decision(VerdictKind.Apply, 1, 1, 0.5, 5, null), (byte[])[.. BitConverter.GetBytes(77UL), .. BitConverter.GetBytes(-1L)]);
        var probe = new Probe(new Coordinator(ActorId.Coordinator, CoordinatorProbe.Shape, RangeMap.Spread(2, 2, []), new FakePolicy(9), new ProtocolTimes(), 2));
        probe.Tell(ActorId.Server(0), new EpochAccepted(2, 0, [new HeldRange(0, 5)], verdict)); // has applied it
        Assert.Empty(probe.SentOf<Verdict>());
        probe.Tell(ActorId.Server(1), new EpochAccepted(2, 0, [new HeldRange(1, 4)], null)); // has not heard of it
        (ActorId to, Verdict again) = Assert.Single(probe.SentOf<Verdict>());
        Assert.Equal((ActorId.Server(1), 2L, 4L, verdict.Decision), (to, again.Epoch, again.Step, again.Decision));
        Assert.Equal(5, ((Coordinator)probe.Actor).Version);
    }
}
