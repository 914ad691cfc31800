// What an experiment's records mean: who noticed a fault and when, how long training stood still, what was computed twice, and
// whether it all came to the control's answer. Pure: the same records give the same findings, real or simulated.
using ClusterRnn.Protocol;

namespace ClusterRnn.Node.Experiments;

/// <summary>What became of a fault.</summary>
/// <param name="Fault">The fault as it was played.</param>
/// <param name="NoticedAfter">Seconds from its beginning until the cluster noticed; null when it never had to.</param>
/// <param name="NoticedBy">How it was noticed: "worker-1 is lost: ..."; null when it was not.</param>
/// <param name="TrainingAfter">Seconds from its beginning to the first step that was committed after it was noticed, or after the longest pause where nobody had to notice. 0 when training had not stopped; null when none was committed any more.</param>
/// <param name="LongestPause">The longest time without a committed step from its beginning until it was over and dealt with, in seconds.</param>
/// <param name="WholeAfter">Seconds from its beginning until the target was a member again; null where it never ceased to be, or did not come back.</param>
public sealed record FaultFinding(PlayedFault Fault, double? NoticedAfter, string? NoticedBy, double? TrainingAfter, double LongestPause, double? WholeAfter);

/// <summary>What became of a run.</summary>
/// <param name="Run">The run.</param>
/// <param name="Faults">Its faults, in the order in which they were played.</param>
/// <param name="HasControlsAnswer">Whether it came to the control's hashes.</param>
/// <param name="StepsPerSecond">Goodput: steps of the result a second, from the first step to the last.</param>
/// <param name="Goodput">The same as a share of the control's; null without a control.</param>
public sealed record RunFinding(RunRecord Run, IReadOnlyList<FaultFinding> Faults, bool HasControlsAnswer, double StepsPerSecond, double? Goodput)
{
    /// <summary>A counter, 0 when the run has none of that name.</summary>
    public long Count(string counter) => Run.Counters.GetValueOrDefault(counter);

    /// <summary>Shards that were computed again because their worker or its answers were lost.</summary>
    public long LostShards => Count("lostShards");

    /// <summary>Shards that a second worker began because the first was late.</summary>
    public long SpeculativeShards => Count("speculativeShards");

    /// <summary>Shards of steps that were executed again after the job went back to a checkpoint.</summary>
    public long RollbackShards => Count("rollbackShards");

    /// <summary>Shards that were computed again because answers differed or were not finite.</summary>
    public long DisputedShards => Count("disputedShards");

    /// <summary>Whether it ended, with the control's answer, and no sample was lost or repeated. A run in which no fault came shows nothing.</summary>
    public bool IsGood => Run.Failure is null && HasControlsAnswer && Run.Ledger is not { FirstOffence: not null } && Run.Faults.Count > 0;
}

/// <summary>What an experiment came to.</summary>
/// <param name="Result">The records.</param>
/// <param name="Control">The control run.</param>
/// <param name="Runs">The runs with faults.</param>
public sealed record ExperimentFindings(ExperimentResult Result, RunFinding Control, IReadOnlyList<RunFinding> Runs)
{
    /// <summary>Whether every run ended, gave the control's answer and counted every sample once.</summary>
    public bool IsGood => Control.Run.Failure is null && Control.Run.Ledger is not { FirstOffence: not null } && Runs.All(run => run.IsGood);

    /// <summary>How many runs gave the control's answer.</summary>
    public int SameAnswers => Runs.Count(run => run.HasControlsAnswer);

    /// <summary>Samples that were lost, over all runs.</summary>
    public long LostSamples => Runs.Sum(run => run.Run.Ledger?.LostSamples ?? 0);

    /// <summary>Samples that counted more than once, over all runs.</summary>
    public long RepeatedSamples => Runs.Sum(run => run.Run.Ledger?.RepeatedSamples ?? 0);

    /// <summary>The fault during which training stood still for longest; null when there was none.</summary>
    public (RunFinding Run, FaultFinding Fault)? Slowest => Runs
        .SelectMany(run => run.Faults.Select(fault => (Run: run, Fault: fault)))
        .OrderByDescending(pair => pair.Fault.LongestPause)
        .Select(pair => ((RunFinding, FaultFinding)?)pair)
        .FirstOrDefault();

    /// <summary>Finds out.</summary>
    public static ExperimentFindings Of(ExperimentResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        RunFinding control = FindingOf(result.Control, result.Control, null);
        return new ExperimentFindings(result, control, [.. result.Runs.Select(run => FindingOf(run, result.Control, control.StepsPerSecond))]);
    }

    private static RunFinding FindingOf(RunRecord run, RunRecord control, double? controlRate)
    {
        bool isSame = run.Failure is null && run.ModelSha256.Length > 0 && run.ModelSha256 == control.ModelSha256 && run.StateSha256 == control.StateSha256 && run.Steps == control.Steps;
        double rate = run.Seconds > 0 ? run.Steps / run.Seconds : 0;
        var faults = run.Faults.Select(fault => FindingOf(fault, run)).ToList();
        return new RunFinding(run, faults, isSame, rate, controlRate is > 0 ? rate / controlRate : null);
    }

    private static FaultFinding FindingOf(PlayedFault fault, RunRecord run)
    {
        const double AfterTheEnd = 10; // seconds after a fault is over in which its consequences still show

        NodeName target = fault.Action.Target;
        double next = run.Faults.Where(other => other.Seconds > fault.Seconds && other.Action.Target == target).Select(other => other.Seconds).DefaultIfEmpty(double.PositiveInfinity).Min();
        double last = Math.Min(next, (fault.HealedSeconds ?? fault.Seconds) + AfterTheEnd);
        ClusterEvent? noticed = run.Events.FirstOrDefault(e => e.Seconds >= fault.Seconds && e.Seconds < last && IsNotice(e, fault));
        double? noticedAfter = noticed is null ? null : noticed.Seconds - fault.Seconds;

        // What follows is another fault's doing once that one has begun.
        double otherFault = run.Faults.Where(other => other.Seconds > fault.Seconds).Select(other => other.Seconds).DefaultIfEmpty(double.PositiveInfinity).Min();
        double until = Math.Min(otherFault, Math.Max(fault.HealedSeconds ?? fault.Seconds, noticed?.Seconds ?? fault.Seconds) + 2);

        // Going back to a checkpoint commits nothing.
        CommitPoint[] commits = [.. run.Commits.Where((commit, i) => i == 0 || commit.Steps > run.Commits[i - 1].Steps)];
        (double pause, double pauseEnd) = LongestPause(commits, fault.Seconds, until, Math.Max(otherFault, fault.HealedSeconds ?? fault.Seconds));
        double usual = UsualPause(commits);
        double? training = noticed is not null ? TrainingAgain(commits, fault.Seconds, noticed.Seconds, 4 * usual) : pause > 10 * usual ? pauseEnd - fault.Seconds : 0;

        double? whole = null;
        if (run.Events.FirstOrDefault(e => e.Seconds >= fault.Seconds && e.Seconds < last && e.Node == target && e.Kind is ClusterEventKind.Lost or ClusterEventKind.Ended) is { } gone)
        {
            ClusterEventKind again = target.Role == ActorRole.Coordinator ? ClusterEventKind.EpochClaimed : ClusterEventKind.Joined;
            whole = run.Events.Where(e => e.Seconds >= gone.Seconds && e.Node == target && e.Kind == again).Select(e => (double?)(e.Seconds - fault.Seconds)).FirstOrDefault();
        }

        return new FaultFinding(fault, noticedAfter, noticed?.Text, training, pause, whole);
    }

    // Whether an event says that somebody noticed a fault.
    private static bool IsNotice(ClusterEvent happened, PlayedFault fault)
    {
        FaultAction action = fault.Action;
        bool isTarget = happened.Node == action.Target;
        IReadOnlyList<NodeName> peers = action.Peers();
        bool isBetween = isTarget || (happened.Node is { } node && (peers.Count == 0 || peers.Contains(node)));
        return (action.Fault, happened.Kind) switch
        {
            (DiskFullFault, ClusterEventKind.Warning) => true,
            (DiskFullFault, _) => false,
            (CorruptFault, ClusterEventKind.Faulty or ClusterEventKind.Lost) => isBetween,
            (NanFault or WrongBitsFault, ClusterEventKind.Faulty or ClusterEventKind.Quarantined) => isTarget,
            (_, ClusterEventKind.CoordinatorMissed) => action.Target == NodeName.Coordinator,
            (NetworkFault, ClusterEventKind.Suspected or ClusterEventKind.Lost or ClusterEventKind.CoordinatorMissed) => isBetween,
            (_, ClusterEventKind.Suspected or ClusterEventKind.Lost) => isTarget,

            // A coordinator or server that stands still holds up everyone, and may look as if a worker were late.
            _ => false,
        };
    }

    // The first commit after the notice; 0 when the steps around the notice came as they always do.
    private static double? TrainingAgain(IReadOnlyList<CommitPoint> commits, double fault, double noticed, double leastPause)
    {
        for (int i = 1; i < commits.Count; i++)
        {
            if (commits[i].Seconds > noticed)
            {
                return commits[i].Seconds - commits[i - 1].Seconds <= leastPause ? 0 : commits[i].Seconds - fault;
            }
        }

        return null;
    }

    /// <summary>
    /// The longest time without a committed step among those that end after <paramref name="from"/> and begin before <paramref name="until"/>;
    /// what of it lies after <paramref name="others"/> is another fault's doing.
    /// </summary>
    /// <returns>How much of it lies after <paramref name="from"/>, and when it ended.</returns>
    private static (double Pause, double End) LongestPause(IReadOnlyList<CommitPoint> commits, double from, double until, double others)
    {
        double longest = 0, end = from;
        for (int i = 1; i < commits.Count; i++)
        {
            double begin = Math.Max(commits[i - 1].Seconds, from), over = Math.Min(commits[i].Seconds, others);
            if (over > from && begin < until && over - begin > longest)
            {
                (longest, end) = (over - begin, over);
            }
        }

        return (longest, end);
    }

    private static double UsualPause(IReadOnlyList<CommitPoint> commits)
    {
        double[] pauses = [.. commits.Zip(commits.Skip(1), (a, b) => b.Seconds - a.Seconds).Order()];
        return pauses.Length == 0 ? 0 : pauses[pauses.Length / 2];
    }
}
