using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Engines.Simulator;

/// <summary>Keeps what an experiment's report shows of a simulated run.</summary>
/// <param name="said">Is told what happens, in short lines.</param>
internal sealed class ExperimentLog(Action<string> said) : RunLog
{
    private static readonly (string Counter, string Name)[] s_counters =
    [
        ("disputedShards", "disputedShards"), ("evictions", "evictions"), ("failedCheckpoints", "failedCheckpoints"), ("faultyAnswers", "faultyAnswers"),
        ("lostShards", "lostShards"), ("promotions", "promotions"), ("recomputedShards", "recomputedShards"), ("refills", "refills"),
        ("refusedAnswers", "refusedAnswers"), ("refusedMessages", "refusedMessages"), ("reproducedSteps", "reproducedSteps"), ("rollbackShards", "rollbackShards"),
        ("rollbacks", "rollbacks"), ("lostServers", "serversLost"), ("skippedSteps", "skippedSteps"), ("speculativeShards", "speculativeShards"),
        ("lateJoins", "workersJoined"), ("leaves", "workersLeft"), ("lostWorkers", "workersLost"), ("quarantined", "workersQuarantined"),
    ];

    private readonly List<(FaultEvent Fault, FaultAction Action)> _planned = [];
    private readonly List<(FaultAction Action, long Ticks, long? Healed, long Steps, string? Note)> _played = [];
    private readonly List<(long Ticks, ClusterEventKind Kind, NodeName? Node, string Text)> _events = [];
    private readonly List<(long Ticks, long Steps)> _commits = [];
    private readonly SortedDictionary<long, double> _losses = [];
    private readonly Dictionary<ActorId, NodeName> _names = [];
    private long _steps;

    /// <summary>The run.</summary>
    public Simulation? Simulation { get; set; }

    private long Now => Simulation?.Events.Now ?? 0;

    /// <summary>A fault of the plan, and the action it belongs to.</summary>
    public void Add(FaultEvent fault, FaultAction action) => _planned.Add((fault, action));

    /// <inheritdoc/>
    public override void Noticed(SimulatedNode node, Notice notice)
    {
        ClusterEventKind? kind = notice.Kind switch
        {
            NoticeKind.Joined => ClusterEventKind.Joined,
            NoticeKind.Left => ClusterEventKind.Left,
            NoticeKind.Lost => ClusterEventKind.Lost,
            NoticeKind.Speculated => ClusterEventKind.Suspected,
            NoticeKind.Faulty => ClusterEventKind.Faulty,
            NoticeKind.Quarantined => ClusterEventKind.Quarantined,
            NoticeKind.Promoted => ClusterEventKind.Promoted,
            NoticeKind.Refilled => ClusterEventKind.Refilled,
            NoticeKind.RolledBack => ClusterEventKind.RolledBack,
            NoticeKind.Warning => ClusterEventKind.Warning,
            NoticeKind.Waiting when node is not CoordinatorHost => ClusterEventKind.CoordinatorMissed,
            _ => null,
        };
        if (kind is { } known)
        {
            NodeName name = notice.Actor.Role == ActorRole.Coordinator ? NodeName.Coordinator : _names.GetValueOrDefault(notice.Actor, node.Place);
            Tell(known, name, notice.Text.Replace($"{notice.Actor} ", $"{name} ", StringComparison.Ordinal));
        }
    }

    /// <inheritdoc/>
    public override void Committed(CoordinatorHost coordinator, long version)
    {
        _steps = version;
        _commits.Add((Now, version));
        if (coordinator.Policy.LastDecision is { Count: > 0 } decision)
        {
            _losses[version] = decision.Loss;
        }
    }

    /// <inheritdoc/>
    public override void Started(SimulatedNode node)
    {
        NodeName place = node is CoordinatorHost ? NodeName.Coordinator : node.Place;
        _names[node.Actor.Id] = place;
        Tell(ClusterEventKind.Started, place, $"{place} is started");
        if (node is CoordinatorHost { Coordinator.Epoch: > 1 } coordinator)
        {
            Tell(ClusterEventKind.EpochClaimed, place, $"the new coordinator claims epoch {coordinator.Coordinator.Epoch}");
        }
    }

    /// <inheritdoc/>
    public override void Ended(SimulatedNode node, string reason)
    {
        NodeName place = node is CoordinatorHost ? NodeName.Coordinator : node.Place;
        Tell(ClusterEventKind.Ended, place, $"{place} has ended: {reason}");
    }

    /// <inheritdoc/>
    public override void FaultBegan(FaultEvent fault, string? note)
    {
        FaultAction action = _planned.Find(planned => ReferenceEquals(planned.Fault, fault)).Action;
        if (_played.TrueForAll(played => played.Action != action))
        {
            _played.Add((action, Now, null, _steps, note));
            Say(action.What);
        }
    }

    /// <inheritdoc/>
    public override void FaultEnded(FaultEvent fault)
    {
        FaultAction action = _planned.Find(planned => ReferenceEquals(planned.Fault, fault)).Action;
        int at = _played.FindIndex(played => played.Action == action);
        if (action.Fault.Lasts is not null)
        {
            _played[at] = _played[at] with { Healed = Now };
        }
    }

    /// <summary>The run as a record.</summary>
    public RunRecord Record(ExperimentRun run, Outcome outcome, LedgerFigures? ledger)
    {
        long origin = _commits.Count > 0 ? _commits[0].Ticks : Now;
        double Seconds(long ticks) => Math.Round((ticks - origin) / (double)Instant.TicksPerSecond, 4);
        string model = "", state = "";
        if (outcome.Final is { } final)
        {
            using TrainingState whole = Simulation!.Plan.Job.Assemble(final.Contents, final.Policy);
            (model, state) = (whole.ModelSha256(), whole.StateSha256());
        }

        string? failure = !outcome.Passed ? outcome.Text.Split('\n')[0] : outcome.End is { Failed: true } end ? end.Reason : outcome.Final is null ? "its last state could not be saved" : null;
        var counters = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach ((string counter, string name) in s_counters)
        {
            counters[name] = outcome.Seen.GetValueOrDefault(counter);
        }

        return new RunRecord
        {
            Name = run.Name,
            Failure = failure,
            ModelSha256 = model,
            StateSha256 = state,
            Steps = outcome.End?.Version ?? _steps,
            Seconds = _commits.Count == 0 ? 0 : Seconds(_commits[^1].Ticks),
            Commits = [.. _commits.Select(commit => new CommitPoint(Seconds(commit.Ticks), commit.Steps))],
            Losses = [.. _losses.Select(loss => new LossPoint(loss.Key, loss.Value))],
            Events = [.. _events.Select(e => new ClusterEvent(Seconds(e.Ticks), e.Kind, e.Node, e.Text))],
            Faults = [.. _played.Select(p => new PlayedFault(p.Action, Seconds(p.Ticks), p.Healed is { } healed ? Seconds(healed) : null, p.Steps, p.Note))],
            NotPlayed = [.. run.Actions.Where(action => _played.TrueForAll(played => played.Action != action))],
            Counters = counters,
            Ledger = ledger,
        };
    }

    private void Tell(ClusterEventKind kind, NodeName? node, string text)
    {
        _events.Add((Now, kind, node, text));
        if (kind is not (ClusterEventKind.Suspected or ClusterEventKind.Started or ClusterEventKind.Ended))
        {
            Say(text);
        }
    }

    private void Say(string text)
    {
        long origin = _commits.Count > 0 ? _commits[0].Ticks : -1;
        said(origin < 0 ? text : FormattableString.Invariant($"{(Now - origin) / (double)Instant.TicksPerSecond,6:0.0} s  {text}"));
    }
}
