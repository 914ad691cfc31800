// The coordinator: opens a step, deals its shards, judges the answers, decides once, goes on.
//
//   gather servers -> claim the epoch -> fill ranges without content
//     -> [ at each version: evaluate? save? end? name new replicas ] -> deal shards -> reports + Prepared -> Verdict -> version + 1
//   a range without a live copy: restore a checkpoint, in the next epoch, and fill all ranges again
//
// Epochs: taking over. Servers: who owns what, promotion, refill. Rollback: going back. Members: workers. Dealing: who computes
// what. Answers: judging and deciding. Versions: what happens between steps. Deadlines: what is late. Status: what is told.
//
// It drives everything that can stall. Whatever is not answered in a time derived from what was observed is asked again:
// a worker that holds the answer sends it again, an owner says what it misses, a shard nobody has is computed elsewhere.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of the coordinator.</summary>
public sealed partial class Coordinator : IActor
{
    private readonly JobShape _shape;
    private readonly IVerdictPolicy _policy;
    private readonly ProtocolTimes _times;
    private readonly ServerPlan? _plan;
    private readonly Membership _membership;
    private readonly SortedList<ActorId, WorkerEntry> _workers = [];
    private readonly SortedList<ActorId, string> _quarantined = [];
    private readonly SortedList<ActorId, ServerEntry> _servers = [];
    private readonly StepDigests _digests;
    private readonly long[] _appliedVersion; // of owners, -1 without content
    private readonly long[] _replicaVersion;
    private readonly bool[] _snapshotTaken;
    private readonly List<ShardRange> _cut = [];
    private readonly List<ShardRange> _newCut = [];
    private readonly List<WorkerEntry> _targets = [];
    private readonly List<WorkerEntry> _planned = [];
    private readonly List<AssignmentEntry> _odd = [];
    private readonly List<ShardRange> _subtrees = [];

    private RangeMap _map;
    private long _epoch;
    private Alive? _alive; // the answer to heartbeats
    private Phase _phase = Phase.Claiming;
    private bool _unclaimed; // no map has been given out yet: its owners are only names
    private long _contentOrigin = -1; // of the content that the coordinator's host can send
    private long _contentVersion = -1;
    private string? _restoreReason;
    private Instant _fillRetryAt = Instant.Never;
    private int _fillAttempts;
    private ObservedTime _fillUsual;
    private OpenWork? _work;
    private OpenWork? _previous;
    private Verdict? _verdict;
    private bool _cutIsStale = true;
    private long _lastCutVersion;
    private long _nextAssignment;
    private long _ignoreStateVersion = -1;
    private bool _saving;
    private long _savedVersion = -1;
    private long _snapshotVersion = -1;
    private bool _triedAgain; // to save the version the job ends at
    private string? _unsaved; // why that failed
    private string? _lastLoss; // of a worker
    private string? _stopReason;
    private string _endReason = "";
    private Shutdown? _goodbye; // what everyone is told when the job has ended; null when another coordinator goes on with it
    private Instant _claimRetryAt;
    private Instant _phaseSince;
    private Instant _now;
    private int _phaseAttempts;
    private Instant _verdictRetryAt = Instant.Never;
    private Instant _verdictAt;
    private int _verdictAttempts;
    private Instant _coverageAt = Instant.Never;
    private int _coverageAttempts;
    private Instant _noWorkersSince;
    private ObservedTime _trainUsual;
    private ObservedTime _evaluateUsual;
    private ObservedTime _prepareUsual;
    private ObservedTime _applyUsual;

    /// <summary>A coordinator that is about to claim an epoch.</summary>
    /// <param name="id">Its address.</param>
    /// <param name="shape">The job.</param>
    /// <param name="map">Which server owns what.</param>
    /// <param name="policy">Decides the numbers; at the state of the version the servers start at.</param>
    /// <param name="times">The host's times.</param>
    /// <param name="epoch">The epoch it claims; the host made sure that nobody else can.</param>
    /// <param name="journaled">The highest verdict in the journal, if there is one.</param>
    /// <param name="counters">Counters to go on from, or null.</param>
    /// <param name="plan">How ranges are given to servers that come and go; null for a fixed map whose servers bring their content with them.</param>
    public Coordinator(
        ActorId id,
        JobShape shape,
        RangeMap map,
        IVerdictPolicy policy,
        ProtocolTimes times,
        long epoch,
        Verdict? journaled = null,
        Counters? counters = null,
        ServerPlan? plan = null)
    {
        _plan = plan;
        Counters = counters ?? new Counters();
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.Shards, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shape.Shards, Limits.MaximumShards);
        Id = id;
        _shape = shape;
        _map = map;
        _policy = policy;
        _times = times;
        _epoch = epoch;
        _verdict = journaled;
        _membership = new Membership(times);
        _digests = plan?.Journal?.Digests ?? new StepDigests();
        _appliedVersion = new long[map.Ranges.Length];
        _replicaVersion = new long[map.Ranges.Length];
        _filledFence = new long[map.Ranges.Length];
        _refilling = new bool[map.Ranges.Length];
        Array.Fill(_appliedVersion, -1);
        Array.Fill(_replicaVersion, -1);
        _snapshotTaken = new bool[map.Ranges.Length];
        _nextAssignment = epoch << 40; // rises from epoch to epoch as well
        if (plan is not null)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(plan.Servers, 1);
            ArgumentOutOfRangeException.ThrowIfLessThan(plan.Replicas, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(plan.Replicas, 2);
            ArgumentOutOfRangeException.ThrowIfNegative(plan.Version);
            _verdict = plan.Journal?.Verdict ?? journaled;
            _contentVersion = plan.Version;
            TakeUpJournal(plan.Journal);
        }
    }

    private enum Phase : byte
    {
        Gathering,
        Claiming,
        Restoring,
        Filling,
        Working,
        Snapshotting,
        AwaitingSave,
        Ended,
    }

    /// <inheritdoc/>
    public ActorId Id { get; }

    /// <summary>A piece that is missing, in tests.</summary>
    internal PlantedFault Planted { get; init; }

    /// <summary>How many steps are committed.</summary>
    public long Version { get; private set; }

    /// <summary>What happened so far.</summary>
    public Counters Counters { get; }

    /// <summary>How many workers can be given work.</summary>
    public int ActiveWorkers { get; private set; }

    /// <summary>Whether something is to be computed that nobody has computed yet.</summary>
    public bool NeedsWorkers => _phase is Phase.Gathering or Phase.Claiming or Phase.Restoring or Phase.Filling || _work is { Unsettled: > 0 };

    /// <summary>The epoch it acts in; a rollback raises it.</summary>
    public long Epoch => _epoch;

    /// <summary>Who owns what.</summary>
    public RangeMap Map => _map;

    /// <inheritdoc/>
    public Instant NextTick
    {
        get
        {
            if (_phase == Phase.Ended)
            {
                return Instant.Never;
            }

            Instant next = Instant.Earlier(Instant.Earlier(_claimRetryAt, _fillRetryAt), Instant.Earlier(_verdictRetryAt, _coverageAt));
            if (_membership.Watches)
            {
                next = Instant.Earlier(next, _membership.NextTick(_now));
            }

            if (_work is { } work)
            {
                if (ActiveWorkers == 0 && work.Unsettled > 0)
                {
                    next = Instant.Earlier(next, _noWorkersSince + _times.NoWorkersTicks);
                }

                foreach (AssignmentEntry entry in work.Entries)
                {
                    if (entry.IsOutstanding)
                    {
                        next = Instant.Earlier(next, Instant.Earlier(entry.RetryAt, LateAt(work, entry)));
                    }
                }
            }

            return next;
        }
    }

    /// <inheritdoc/>
    public void Start(Instant now, EffectList effects)
    {
        _now = now;
        _noWorkersSince = now;
        effects.Do(new AppendJournal(new EpochRecord(_epoch, _plan?.Predecessor ?? -1, _plan?.AdoptedBytes ?? 0)));
        if (_plan?.Journal is { WentBackTo: >= 0 and var wentBackTo } && wentBackTo != _contentVersion)
        {
            // The checkpoint that the job had gone back to can't be read any more.
            _digests.RemoveFrom(_courses.GoBackTo(_contentVersion));
            effects.Do(new AppendJournal(new RollbackRecord(_epoch, _contentVersion, $"The checkpoint of step {wentBackTo} can't be used any more.")));
        }

        BeginEpoch(now, effects);
    }

    /// <inheritdoc/>
    public void Handle(in Envelope envelope, Instant now, EffectList effects)
    {
        _now = now;
        if (envelope.Message is StatusRequest)
        {
            effects.Send(envelope.From, Status(now));
            return;
        }

        if (_phase == Phase.Ended)
        {
            if (_goodbye is { } goodbye && envelope.Message is (WorkerHello or ServerHello or ShardsReported or Heartbeat or Leave))
            {
                effects.Send(envelope.From, goodbye);
            }

            return;
        }

        _membership.Wake(now);

        _membership.Heard(envelope.From, now);
        switch (envelope.Message)
        {
            case ShardsReported reported:
                OnReport(envelope.From, reported, now, effects);
                break;
            case Prepared prepared:
                OnPrepared(envelope.From, prepared, now, effects);
                break;
            case Applied applied:
                OnApplied(envelope.From, applied, now, effects);
                break;
            case Heartbeat ahead when ahead.Epoch > _epoch:
                // The other one may be gone by now; whoever comes next has to claim a higher epoch still.
                EndOvertaken(envelope.From, ahead.Epoch, effects);
                break;
            case Heartbeat heartbeat when envelope.From.Role == ActorRole.Worker:
                OnHeartbeat(envelope.From, heartbeat, effects);
                break;
            case Heartbeat heartbeat when envelope.From.Role == ActorRole.Server:
                OnServerHeartbeat(envelope.From, heartbeat, effects);
                break;
            case WorkerHello hello:
                OnWorkerHello(envelope.From, hello, now, effects);
                break;
            case ServerHello hello:
                OnServerHello(envelope.From, hello, now, effects);
                break;
            case EpochAccepted accepted:
                OnEpochAccepted(envelope.From, accepted, now, effects);
                break;
            case EpochRefused refused when refused.Epoch > _epoch: // else it is the answer to a predecessor
                EndOvertaken(envelope.From, refused.Epoch, effects);
                break;
            case Leave when envelope.From.Role == ActorRole.Server:
                OnServerLeave(envelope.From, now, effects);
                break;
            case Leave:
                OnLeave(envelope.From, now, effects);
                break;
            case ActorDown down:
                OnDown(down.Actor, down.Reason, now, effects);
                break;
            case AssignmentAbandoned abandoned:
                OnAbandoned(envelope.From, abandoned, now, effects);
                break;
            case Coverage coverage:
                OnCoverage(coverage, now, effects);
                break;
            case SnapshotTaken taken when (uint)taken.Range < (uint)_map.Ranges.Length && _map.Ranges[taken.Range].Owner == envelope.From:
                OnSnapshotTaken(taken, now, effects);
                break;
            case CheckpointSaved saved:
                Counters.Checkpoints++;
                effects.Do(new AppendJournal(new CheckpointRecord(saved.Version)));
                _saving = false;
                ContinueAfterSave(now, effects);
                break;
            case CheckpointFailed failed:
                OnCheckpointFailed(failed, now, effects);
                break;
            case StopRequested stop:
                OnStop(stop.Reason, now, effects);
                break;
            case CheckpointRestored restored:
                OnRestored(restored, now, effects);
                break;
            case RestoreFailed failed when _phase == Phase.Restoring && failed.Epoch == _epoch + 1:
                End(effects, failed: true, $"{_restoreReason} No checkpoint could be restored: {failed.Reason}");
                break;
        }
    }

    /// <inheritdoc/>
    public void Tick(Instant now, EffectList effects)
    {
        _now = now;
        if (_phase == Phase.Ended)
        {
            return;
        }

        _membership.Wake(now);
        if (_membership.Watches)
        {
            EvictSilent(now, effects);
        }

        TickEpoch(now, effects);
        if (_phase == Phase.Ended)
        {
            return;
        }

        if (_phase == Phase.Snapshotting && now >= _claimRetryAt)
        {
            SendSnapshots(now, effects);
        }

        if (now >= _verdictRetryAt)
        {
            SendVerdict(now, effects, again: true);
        }

        if (_work is not null && _phase == Phase.Working)
        {
            TickWork(_work, now, effects);
        }
    }

    /// <summary>What it is waiting for, for a log or a failing test.</summary>
    public string Describe()
    {
        var text = new System.Text.StringBuilder();
        text.Append($"{_phase} at version {Version}, next tick {NextTick}, verdict again {_verdictRetryAt}, coverage {_coverageAt}");
        foreach (RangeOwner range in _map.Ranges)
        {
            text.Append($"\n  range {range.Range}: {range.Owner} at {_appliedVersion[range.Range]}, fence {range.Fence} since {range.Since}");
            text.Append(range.Replica is { } replica ? $"; {replica} at {_replicaVersion[range.Range]} since {range.ReplicaSince}" : "");
        }

        if (_work is { } work)
        {
            text.Append($"\n  {work.Kind} {work.Version}, attempt {work.Attempt}, {work.Unsettled} unsettled, prepared");
            foreach (Prepared? prepared in work.Prepared)
            {
                text.Append(prepared is null ? " no" : $" [{string.Join(',', prepared.Assignments)}]");
            }

            foreach (AssignmentEntry entry in work.Entries)
            {
                text.Append($"\n  {entry.Id} {entry.Worker} {entry.Range} {entry.Cause}, answered {entry.Report is not null}, lost {entry.Lost}, discarded {entry.Discarded}, again {entry.RetryAt}");
            }
        }

        return text.ToString();
    }
}
