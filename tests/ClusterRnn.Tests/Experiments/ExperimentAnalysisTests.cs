// What the records of an experiment mean, held against records that were written by hand.
using ClusterRnn.Cli.Experiments;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Tests.Experiments;

public sealed class ExperimentAnalysisTests
{
    [Fact]
    public void Finds_who_noticed_and_when_training_went_on()
    {
        ExperimentFindings findings = FixedExperiment.Findings(FixedExperiment.Disturbed);
        FaultFinding[] faults = [.. Assert.Single(findings.Runs).Faults];
        Assert.Equal(0.05, faults[0].NoticedAfter!.Value, 6);
        Assert.Equal("worker-1 is lost: its connection ended", faults[0].NoticedBy);
        Assert.Equal(0.7, faults[0].TrainingAfter!.Value, 6);
        Assert.Equal(1.6, faults[0].WholeAfter!.Value, 6);
        Assert.Equal(0.7, faults[0].LongestPause, 6);

        // Nobody noticed, but training stood still from 6 s, when a step had just been committed, to 7.6 s.
        Assert.Null(faults[1].NoticedAfter);
        Assert.Equal(1.6, faults[1].TrainingAfter!.Value, 6);
        Assert.Equal(1.6, faults[1].LongestPause, 6);
        Assert.Null(faults[1].WholeAfter);

        Assert.Null(faults[2].NoticedAfter);
        Assert.Equal(0, faults[2].TrainingAfter);
        Assert.Equal(2, findings.Slowest!.Value.Fault.Fault.Action.Number);
        Assert.True(findings.IsGood);
        Assert.Equal(10 / 12.1, findings.Runs[0].Goodput!.Value, 6);
        Assert.Equal((2, 5, 0, 1), (findings.Runs[0].LostShards, findings.Runs[0].SpeculativeShards, findings.Runs[0].RollbackShards, findings.Runs[0].DisputedShards));
    }

    [Fact]
    public void Another_hash_a_lost_sample_a_failure_or_nothing_played_is_not_good()
    {
        RunRecord run = FixedExperiment.Disturbed;
        Assert.True(FixedExperiment.Findings(run).IsGood);
        Assert.False(FixedExperiment.Findings(run, run with { ModelSha256 = "other" }).IsGood);
        Assert.False(FixedExperiment.Findings(run with { StateSha256 = "other" }).IsGood);
        Assert.False(FixedExperiment.Findings(run with { Steps = 100 }).IsGood);
        Assert.False(FixedExperiment.Findings(run with { Ledger = new LedgerFigures(101, 606, 6, 0, 0, "step 4 is lost") }).IsGood);
        Assert.False(FixedExperiment.Findings(run with { Failure = "it had not ended" }).IsGood);
        Assert.False(FixedExperiment.Findings(run with { Faults = [], NotPlayed = FaultSchedule.Resolve(FixedExperiment.Scenario, 0) }).IsGood);
    }

    [Fact]
    public void A_run_that_never_trains_again_says_so()
    {
        RunRecord stuck = FixedExperiment.Disturbed with { Failure = "it had not ended after 300 s", Commits = [.. FixedExperiment.Disturbed.Commits.Where(c => c.Seconds <= 2.01)] };
        FaultFinding killed = FixedExperiment.Findings(stuck).Runs[0].Faults[0];
        Assert.Null(killed.TrainingAfter);
        Assert.Equal("never", ExperimentWords.Training(killed));
    }

    [Fact]
    public void What_is_noticed_while_steps_go_on_did_not_stop_them()
    {
        RunRecord run = FixedExperiment.Disturbed with { Commits = FixedExperiment.Control.Commits };
        FaultFinding killed = FixedExperiment.Findings(run).Runs[0].Faults[0];
        Assert.NotNull(killed.NoticedAfter);
        Assert.Equal(0, killed.TrainingAfter);
        Assert.Equal("did not stop", ExperimentWords.Training(killed));
    }

    [Fact]
    public void Going_back_to_a_checkpoint_is_not_yet_training()
    {
        RunRecord run = FixedExperiment.Disturbed with
        {
            Commits = [.. FixedExperiment.Control.Commits.Where(c => c.Seconds <= 2), new CommitPoint(2.3, 10), .. FixedExperiment.Control.Commits.Skip(10).Select(c => c with { Seconds = c.Seconds + 2 })],
        };
        Assert.Equal(1, FixedExperiment.Findings(run).Runs[0].Faults[0].TrainingAfter!.Value, 6);
        Assert.Equal(1, FixedExperiment.Findings(run).Runs[0].Faults[0].LongestPause, 6);
    }

    // A worker is killed at 2 s, the coordinator at 3 s, and no step is committed from 3 s to 5 s.
    [Theory]
    [InlineData(2.5, 0.1)]
    [InlineData(4.0, 1.0)]
    public void A_pause_after_the_next_fault_is_that_ones_unless_the_first_one_lasts(double healed, double pause)
    {
        var worker = new FaultAction(1, new KillFault { Target = "worker-1", At = 2 }, NodeName.Worker(1), null, 2);
        var coordinator = new FaultAction(2, new KillFault { Target = "coordinator", At = 3 }, NodeName.Coordinator, null, 3);
        RunRecord run = FixedExperiment.Control with
        {
            Name = "run 1",
            Commits = [.. FixedExperiment.Control.Commits.Select(c => c.Seconds > 3.01 ? c with { Seconds = c.Seconds + 2 } : c)],
            Events = [],
            Faults = [new PlayedFault(worker, 2, healed, 20), new PlayedFault(coordinator, 3.001, 3.2, 30)],
        };
        FaultFinding[] faults = [.. FixedExperiment.Findings(run).Runs[0].Faults];
        Assert.InRange(faults[0].LongestPause, pause - 0.01, pause + 0.01);
        Assert.InRange(faults[1].LongestPause, 2.0, 2.11);
    }

    [Fact]
    public void The_coordinators_loss_is_noticed_by_others()
    {
        var action = new FaultAction(1, new KillFault { Target = "coordinator", At = 2, Duration = 1 }, NodeName.Coordinator, null, 2);
        RunRecord run = FixedExperiment.Control with
        {
            Name = "run 1",
            Events =
            [
                FixedExperiment.Event(2, ClusterEventKind.Ended, "coordinator"), FixedExperiment.Event(2.3, ClusterEventKind.CoordinatorMissed, "worker-1"),
                FixedExperiment.Event(3, ClusterEventKind.Started, "coordinator"), FixedExperiment.Event(3.5, ClusterEventKind.EpochClaimed, "coordinator"),
            ],
            Faults = [new PlayedFault(action, 2, 3, 20)],
        };
        FaultFinding finding = FixedExperiment.Findings(run).Runs[0].Faults[0];
        Assert.Equal(0.3, finding.NoticedAfter!.Value, 6);
        Assert.Equal(1.5, finding.WholeAfter!.Value, 6);
        Assert.Equal([(0, 2), (3, 10)], Timeline.Memberships(run, NodeName.Coordinator, 10));
        Assert.Equal([(0, 10)], Timeline.Memberships(run, NodeName.Server(0), 10));
    }

    [Fact]
    public void A_node_takes_part_from_joining_to_its_loss()
        => Assert.Equal([(0, 2), (3.6, 11.5)], Timeline.Memberships(FixedExperiment.Disturbed, NodeName.Worker(1), 11.5));
}
