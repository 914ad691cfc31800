// The coordinator: opens a step, deals its shards, judges the answers, decides once, goes on.
//
//   claim the epoch -> [ at each version: evaluate? save? end? ] -> deal shards -> reports + Prepared -> Verdict -> version + 1
//
// It drives everything that can stall. Whatever is not answered in a time derived from what was observed is asked again:
// a worker that holds the answer sends it again, an owner says what it misses, a shard nobody has is computed elsewhere.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Assignment;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of the coordinator.</summary>
public sealed class Coordinator : IActor
{
    private readonly JobShape _shape;
    private readonly RangeMap _map;
    private readonly IVerdictPolicy _policy;
    private readonly ProtocolTimes _times;
    private readonly long _epoch;
    private readonly Membership _membership;
    private readonly SortedList<ActorId, WorkerEntry> _workers = [];
    private readonly SortedList<ActorId, string> _quarantined = [];
    private readonly EpochAccepted?[] _accepted;
    private readonly EpochAccepted?[] _replicaAccepted;
    private readonly long[] _appliedVersion;
    private readonly long[] _replicaVersion;
    private readonly bool[] _snapshotTaken;
    private readonly List<ShardRange> _cut = [];
    private readonly List<ShardRange> _newCut = [];
    private readonly List<WorkerEntry> _targets = [];
    private readonly List<WorkerEntry> _planned = [];
    private readonly List<AssignmentEntry> _odd = [];

    private Phase _phase = Phase.Claiming;
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
    private string? _stopReason;
    private string _endReason = "";
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
    public Coordinator(
        ActorId id,
        JobShape shape,
        RangeMap map,
        IVerdictPolicy policy,
        ProtocolTimes times,
        long epoch,
        Verdict? journaled = null,
        Counters? counters = null)
    {
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
        _accepted = new EpochAccepted?[map.Ranges.Length];
        _replicaAccepted = new EpochAccepted?[map.Ranges.Length];
        _appliedVersion = new long[map.Ranges.Length];
        _replicaVersion = new long[map.Ranges.Length];
        _snapshotTaken = new bool[map.Ranges.Length];
        _nextAssignment = epoch << 40; // rises from epoch to epoch as well
    }

    private enum Phase : byte
    {
        Claiming,
        Working,
        Snapshotting,
        AwaitingSave,
        Ended,
    }

    /// <inheritdoc/>
    public ActorId Id { get; }

    /// <summary>How many steps are committed.</summary>
    public long Version { get; private set; }

    /// <summary>What happened so far.</summary>
    public Counters Counters { get; }

    /// <summary>How many workers can be given work.</summary>
    public int ActiveWorkers { get; private set; }

    /// <inheritdoc/>
    public Instant NextTick
    {
        get
        {
            if (_phase == Phase.Ended)
            {
                return Instant.Never;
            }

            Instant next = Instant.Earlier(_claimRetryAt, Instant.Earlier(_verdictRetryAt, _coverageAt));
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
        _phaseSince = now;
        _noWorkersSince = now;
        effects.Do(new AppendJournal(new EpochRecord(_epoch)));
        Claim(now, effects);
    }

    /// <inheritdoc/>
    public void Handle(in Envelope envelope, Instant now, EffectList effects)
    {
        _now = now;
        if (_phase == Phase.Ended)
        {
            if (envelope.Message is WorkerHello or ServerHello or ShardsReported or Heartbeat or Leave)
            {
                effects.Send(envelope.From, new Shutdown(_epoch, _endReason));
            }

            return;
        }

        _membership.Heard(envelope.From, now);
        switch (envelope.Message)
        {
            case ShardsReported reported:
                OnReport(envelope.From, reported, now, effects);
                break;
            case Prepared prepared:
                OnPrepared(prepared, now, effects);
                break;
            case Applied applied:
                OnApplied(envelope.From, applied, now, effects);
                break;
            case Heartbeat heartbeat when envelope.From.Role == ActorRole.Worker:
                OnHeartbeat(envelope.From, heartbeat, effects);
                break;
            case WorkerHello hello:
                OnWorkerHello(envelope.From, hello, now, effects);
                break;
            case ServerHello hello:
                OnServerHello(envelope.From, hello, effects);
                break;
            case EpochAccepted accepted:
                OnEpochAccepted(envelope.From, accepted, now, effects);
                break;
            case EpochRefused refused when refused.Epoch > _epoch: // else it is the answer to a predecessor
                End(now, effects, failed: true, $"{envelope.From} follows epoch {refused.Epoch}; this coordinator's is {_epoch}. Another coordinator runs this job.");
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
            case SnapshotTaken taken:
                OnSnapshotTaken(taken, now, effects);
                break;
            case CheckpointSaved saved:
                Counters.Checkpoints++;
                effects.Do(new AppendJournal(new CheckpointRecord(saved.Version)));
                _saving = false;
                ContinueAfterSave(now, effects);
                break;
            case CheckpointFailed failed:
                Counters.FailedCheckpoints++;
                effects.Do(new Notice(NoticeKind.Warning, Id, $"The checkpoint of step {failed.Version} could not be saved: {failed.Reason}"));
                _saving = false;
                ContinueAfterSave(now, effects);
                break;
            case StopRequested stop:
                OnStop(stop.Reason, now, effects);
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

        if (_membership.Watches)
        {
            EvictSilent(now, effects);
        }

        if (_phase == Phase.Claiming && now >= _claimRetryAt)
        {
            if (now - _phaseSince > _times.FailureFloorTicks)
            {
                End(now, effects, failed: true, $"{MissingOwners()} did not accept epoch {_epoch} within {(now - _phaseSince) / Instant.TicksPerSecond} s.");
                return;
            }

            Claim(now, effects);
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
        if (_work is { } work)
        {
            text.Append($"; {work.Kind} {work.Version}, attempt {work.Attempt}, {work.Unsettled} unsettled, prepared");
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

    // ---- epochs -------------------------------------------------------------------------------------------------------

    private void Claim(Instant now, EffectList effects)
    {
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is null)
            {
                effects.Send(range.Owner, new ClaimEpoch(_epoch, _map));
            }

            if (range.Replica is { } replica && _replicaAccepted[range.Range] is null)
            {
                effects.Send(replica, new ClaimEpoch(_epoch, _map));
            }
        }

        _claimRetryAt = now + Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_phaseAttempts++, 16));
    }

    private string MissingOwners()
    {
        var names = new List<string>();
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is null)
            {
                names.Add(range.Owner.ToString());
            }

            if (range.Replica is { } replica && _replicaAccepted[range.Range] is null)
            {
                names.Add(replica.ToString());
            }
        }

        return string.Join(", ", names);
    }

    private void OnServerHello(ActorId from, ServerHello hello, EffectList effects)
    {
        if (hello.ProtocolVersion != Limits.ProtocolVersion || hello.JobId != _shape.JobId)
        {
            effects.Send(from, new Refused(
                $"The coordinator runs job {_shape.JobId} with protocol {Limits.ProtocolVersion}, this server job {hello.JobId} with protocol {hello.ProtocolVersion}."));
            return;
        }

        effects.Send(from, new ClaimEpoch(_epoch, _map));
    }

    private void OnEpochAccepted(ActorId from, EpochAccepted accepted, Instant now, EffectList effects)
    {
        if (accepted.Epoch != _epoch || _phase != Phase.Claiming)
        {
            return;
        }

        RangeOwner of = _map.Ranges[accepted.Range];
        if (of.Owner == from)
        {
            _accepted[accepted.Range] = accepted;
            _appliedVersion[accepted.Range] = accepted.Version;
            _membership.Add(from, now);
        }
        else if (of.Replica == from)
        {
            _replicaAccepted[accepted.Range] = accepted;
            _replicaVersion[accepted.Range] = accepted.Version;
        }

        long reached = 0;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is not { } owner || (range.Replica is not null && _replicaAccepted[range.Range] is null))
            {
                return;
            }

            reached = Math.Max(reached, Math.Max(owner.Version, _replicaVersion[range.Range]));
            Adopt(owner.Last);
            Adopt(_replicaAccepted[range.Range]?.Last);
        }

        if (_verdict is { } adopted && adopted.Step + 1 >= reached)
        {
            reached = adopted.Step + 1;
            if (!adopted.PolicyState.IsEmpty)
            {
                _policy.Restore(adopted.PolicyState);
            }
        }

        Version = reached;
        foreach (RangeOwner range in _map.Ranges)
        {
            long lowest = range.Replica is null ? _appliedVersion[range.Range] : Math.Min(_appliedVersion[range.Range], _replicaVersion[range.Range]);
            if (lowest < reached && (_verdict is null || lowest != _verdict.Step))
            {
                End(now, effects, failed: true,
                    $"Range {range.Range} ({range.Owner}) is at step {lowest}, others at {reached}: it has to be restored from a checkpoint.");
                return;
            }
        }

        _claimRetryAt = Instant.Never;
        SendVerdict(now, effects, again: false);
        Advance(now, effects);
    }

    private void Adopt(Verdict? last)
    {
        if (last is not null && (_verdict is null || last.Step > _verdict.Step))
        {
            _verdict = last;
        }
    }

    // ---- members ------------------------------------------------------------------------------------------------------

    private void OnWorkerHello(ActorId from, WorkerHello hello, Instant now, EffectList effects)
    {
        if (_quarantined.TryGetValue(from, out string? reason))
        {
            effects.Send(from, new Refused(reason));
            return;
        }

        if (hello.ProtocolVersion != Limits.ProtocolVersion || hello.JobId != _shape.JobId)
        {
            effects.Send(from, new Refused(
                $"The coordinator runs job {_shape.JobId} with protocol {Limits.ProtocolVersion}, this worker job {hello.JobId} with protocol {hello.ProtocolVersion}."));
            return;
        }

        if (hello.DataSha256 != _shape.DataSha256)
        {
            effects.Send(from, new Refused(
                $"The job's data has SHA-256 {_shape.DataSha256}, this worker reads data with {hello.DataSha256}. Give it the same files."));
            return;
        }

        if (!_workers.ContainsKey(from))
        {
            if (_workers.Count >= Limits.MaximumWorkers)
            {
                effects.Send(from, new Refused($"The job has {Limits.MaximumWorkers} workers already."));
                return;
            }

            _workers.Add(from, new WorkerEntry(from) { DistrustThrough = Version + 1 });
            _membership.Add(from, now);
            Counters.LateJoins += Counters.AssignedShards > 0 ? 1 : 0;
            MembersChanged(now);
            effects.Do(new Notice(NoticeKind.Joined, from, $"{from} joined."));
        }

        effects.Send(from, new Welcome(_epoch, _map));
        if (_work is not null)
        {
            EnsureAwaited(_work, now, effects);
        }
    }

    private void OnHeartbeat(ActorId from, Heartbeat heartbeat, EffectList effects)
    {
        if (!_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            effects.Send(from, new Rejoin(_epoch));
        }
        else if (worker.Behind >= 0 && heartbeat.Epoch == _epoch && heartbeat.Running != worker.Behind)
        {
            worker.Behind = -1; // it is through with what it was late with; the answer was lost on the way
        }
    }

    private void OnLeave(ActorId from, Instant now, EffectList effects)
    {
        if (!_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            effects.Send(from, new Released(_epoch));
            return;
        }

        if (!worker.Draining)
        {
            worker.Draining = true;
            MembersChanged(now);
        }

        ReleaseDrained(effects);
    }

    /// <summary>Lets go of workers that leave and on whose held answers nothing depends.</summary>
    private void ReleaseDrained(EffectList effects)
    {
        for (int i = _workers.Count - 1; i >= 0; i--)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (worker.Draining && !IsInvolved(worker.Id))
            {
                _workers.RemoveAt(i);
                _membership.Remove(worker.Id);
                Counters.Leaves++;
                effects.Do(new Notice(NoticeKind.Left, worker.Id, $"{worker.Id} left."));
                effects.Send(worker.Id, new Released(_epoch));
            }
        }
    }

    private bool IsInvolved(ActorId worker)
    {
        if (_work is not null)
        {
            foreach (AssignmentEntry entry in _work.Entries)
            {
                if (entry.Worker == worker && !entry.Lost && !entry.Discarded)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void OnDown(ActorId actor, string reason, Instant now, EffectList effects)
    {
        if (actor.Role == ActorRole.Server)
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                if (range.Owner == actor)
                {
                    End(now, effects, failed: true, $"{actor} is lost ({reason}) and its range has no other live copy.");
                    return;
                }
            }

            return;
        }

        if (!_workers.Remove(actor))
        {
            return;
        }

        _membership.Remove(actor);
        Counters.LostWorkers++;
        effects.Do(new Notice(NoticeKind.Lost, actor, $"{actor} is lost: {reason}"));
        MembersChanged(now);
        if (_work is { } work)
        {
            ForgetOutstanding(work, actor);
            JudgeAndAct(work, new ShardRange(0, work.Shards), now, effects);
        }
    }

    private void ForgetOutstanding(OpenWork work, ActorId actor)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == actor && entry.Report is null)
            {
                entry.Lost = true;
            }
        }
    }

    private void MembersChanged(Instant now)
    {
        int before = ActiveWorkers;
        ActiveWorkers = 0;
        foreach (WorkerEntry worker in _workers.Values)
        {
            ActiveWorkers += worker.Draining ? 0 : 1;
        }

        if (ActiveWorkers == 0 && before > 0)
        {
            _noWorkersSince = now;
        }

        _cutIsStale = true;
    }

    private void EvictSilent(Instant now, EffectList effects)
    {
        for (int i = _workers.Count - 1; i >= 0 && i < _workers.Count; i--)
        {
            ActorId worker = _workers.GetKeyAtIndex(i);
            if (_membership.IsExpired(worker, now))
            {
                OnDown(worker, $"silent for {_membership.Silence(worker, now) / Instant.TicksPerMillisecond} ms, longer than its lease", now, effects);
            }
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            if (_phase != Phase.Claiming && _phase != Phase.Ended && _membership.IsExpired(range.Owner, now))
            {
                OnDown(range.Owner, $"silent for {_membership.Silence(range.Owner, now) / Instant.TicksPerMillisecond} ms, longer than its lease", now, effects);
            }
        }
    }

    private void Quarantine(ActorId worker, string reason, Instant now, EffectList effects)
    {
        if (!_workers.Remove(worker))
        {
            return;
        }

        _membership.Remove(worker);
        _quarantined[worker] = reason;
        Counters.Quarantined++;
        effects.Do(new Notice(NoticeKind.Quarantined, worker, reason));
        effects.Send(worker, new Refused(reason));
        MembersChanged(now);
    }

    // ---- what comes next ----------------------------------------------------------------------------------------------

    /// <summary>At a version: saves, evaluates, ends or opens the next step.</summary>
    private void Advance(Instant now, EffectList effects)
    {
        _phase = Phase.Working;
        NextAction next = _stopReason is null ? _policy.Next(Version) : NextAction.End;
        if (next == NextAction.Save || (next == NextAction.End && _savedVersion != Version))
        {
            if (_saving)
            {
                _phase = Phase.AwaitingSave; // one at a time: the copies of the one before are still being written
                return;
            }

            _phase = Phase.Snapshotting;
            _phaseSince = now;
            _phaseAttempts = 0;
            _snapshotVersion = Version;
            Array.Clear(_snapshotTaken);
            SendSnapshots(now, effects);
            return;
        }

        if (next == NextAction.End)
        {
            if (_saving)
            {
                _phase = Phase.AwaitingSave;
                return;
            }

            End(now, effects, failed: false, _stopReason ?? _policy.EndReason);
            return;
        }

        Open(next == NextAction.Evaluate ? WorkKind.Evaluate : WorkKind.Train, now, effects);
    }

    private void ContinueAfterSave(Instant now, EffectList effects)
    {
        if (_phase == Phase.AwaitingSave)
        {
            Advance(now, effects);
        }
    }

    private void SendSnapshots(Instant now, EffectList effects)
    {
        if (now - _phaseSince > _applyUsual.FailAfter(_times))
        {
            End(now, effects, failed: true, $"{SlowestSnapshot()} did not keep a copy of step {_snapshotVersion} within {(now - _phaseSince) / Instant.TicksPerSecond} s.");
            return;
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            if (!_snapshotTaken[range.Range])
            {
                effects.Send(range.Owner, new TakeSnapshot(_epoch, _snapshotVersion));
            }
        }

        _claimRetryAt = now + _applyUsual.RetryAfter(_times, _phaseAttempts++);
    }

    private ActorId SlowestSnapshot()
    {
        foreach (RangeOwner range in _map.Ranges)
        {
            if (!_snapshotTaken[range.Range])
            {
                return range.Owner;
            }
        }

        return Id;
    }

    private void OnSnapshotTaken(SnapshotTaken taken, Instant now, EffectList effects)
    {
        if (_phase != Phase.Snapshotting || taken.Epoch != _epoch || taken.Version != _snapshotVersion)
        {
            return;
        }

        _snapshotTaken[taken.Range] = true;
        if (Array.IndexOf(_snapshotTaken, false) >= 0)
        {
            return;
        }

        _claimRetryAt = Instant.Never;
        _savedVersion = Version;
        _saving = true;
        _policy.Saved(Version);
        effects.Do(new SaveCheckpoint(Version));
        Advance(now, effects);
    }

    private void OnStop(string reason, Instant now, EffectList effects)
    {
        _stopReason ??= reason;
        if (_work is { } work && (work.Kind == WorkKind.Evaluate || ActiveWorkers == 0))
        {
            _work = null; // nothing of it is committed; whoever resumes does it again
            _coverageAt = Instant.Never;
            Advance(now, effects);
        }
    }

    private void End(Instant now, EffectList effects, bool failed, string reason)
    {
        _ = now;
        _phase = Phase.Ended;
        _endReason = reason;
        _work = null;
        foreach (ActorId worker in _workers.Keys)
        {
            effects.Send(worker, new Shutdown(_epoch, reason));
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            effects.Send(range.Owner, new Shutdown(_epoch, reason));
            if (range.Replica is { } replica)
            {
                effects.Send(replica, new Shutdown(_epoch, reason));
            }
        }

        effects.Do(new EndJob(Version, failed, reason));
    }

    // ---- dealing ------------------------------------------------------------------------------------------------------

    private void Open(WorkKind kind, Instant now, EffectList effects)
    {
        int shards = _shape.ShardsOf(kind);
        var work = new OpenWork(kind, Version, shards, _map.Ranges.Length, now);
        _work = work;
        _coverageAt = Instant.Never;
        _coverageAttempts = 0;
        FindTargets(work, now);
        if (_targets.Count == 0)
        {
            return;
        }

        if (kind == WorkKind.Evaluate)
        {
            Deal(work, new ShardRange(0, shards), AssignmentCause.First, now, effects);
        }
        else
        {
            PlanCut(shards);
            for (int i = 0; i < _planned.Count; i++)
            {
                Assign(work, _planned[i], _cut[i], AssignmentCause.First, now, effects);
            }
        }
    }

    /// <summary>Keeps the cut of the step before unless members changed or a clearly better one exists.</summary>
    private void PlanCut(int shards)
    {
        bool sameMembers = !_cutIsStale && _planned.Count == _targets.Count;
        for (int i = 0; sameMembers && i < _planned.Count; i++)
        {
            sameMembers = _planned[i] == _targets[i];
        }

        if (sameMembers && Version - _lastCutVersion < Limits.RecutInterval)
        {
            return;
        }

        _lastCutVersion = Version;
        Span<long> ticks = _targets.Count <= 256 ? stackalloc long[_targets.Count] : new long[_targets.Count];
        Speeds(ticks);
        AssignmentCutter.Cut(new ShardRange(0, shards), shards, ticks, _newCut);
        if (sameMembers)
        {
            long before = AssignmentCutter.Makespan(_cut, ticks);
            long after = AssignmentCutter.Makespan(_newCut, ticks);
            if (before - after <= before / Limits.RecutGain)
            {
                return;
            }
        }

        _cut.Clear();
        _cut.AddRange(_newCut);
        _planned.Clear();
        _planned.AddRange(_targets);
        _cutIsStale = false;
    }

    /// <summary>How long each target takes for a shard; those not measured yet count as the mean of the others.</summary>
    private void Speeds(Span<long> ticks)
    {
        long sum = 0;
        int known = 0;
        foreach (WorkerEntry worker in _targets)
        {
            if (worker.ScaledTicksPerShard > 0)
            {
                sum += worker.ScaledTicksPerShard;
                known++;
            }
        }

        long mean = known == 0 ? 1 : Math.Max(1, sum / known);
        for (int i = 0; i < ticks.Length; i++)
        {
            ticks[i] = _targets[i].ScaledTicksPerShard > 0 ? _targets[i].ScaledTicksPerShard : mean;
        }
    }

    /// <summary>Who can be given work now: the idle, else all who are not behind, else anyone.</summary>
    private void FindTargets(OpenWork work, Instant now)
    {
        FindTargets(work, now, idleOnly: true);
        if (_targets.Count > 0)
        {
            return;
        }

        FindTargets(work, now, idleOnly: false);
        if (_targets.Count > 0)
        {
            return;
        }

        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining)
            {
                _targets.Add(worker);
            }
        }
    }

    private void FindTargets(OpenWork work, Instant now, bool idleOnly)
    {
        _targets.Clear();
        for (int i = 0; i < _workers.Count; i++)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (!worker.Draining && worker.Behind < 0 && !_membership.IsSuspect(worker.Id, now) && !(idleOnly && IsBusy(work, worker.Id)))
            {
                _targets.Add(worker);
            }
        }
    }

    private static bool IsBusy(OpenWork work, ActorId worker)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == worker && entry.IsOutstanding)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Cuts a run of shards over <see cref="_targets"/>.</summary>
    private void Deal(OpenWork work, ShardRange run, AssignmentCause cause, Instant now, EffectList effects)
    {
        Span<long> ticks = _targets.Count <= 256 ? stackalloc long[_targets.Count] : new long[_targets.Count];
        Speeds(ticks);
        AssignmentCutter.Cut(run, work.Shards, ticks, _newCut);
        for (int i = 0; i < _newCut.Count; i++)
        {
            Assign(work, _targets[i], _newCut[i], cause, now, effects);
        }
    }

    private void Assign(OpenWork work, WorkerEntry worker, ShardRange range, AssignmentCause cause, Instant now, EffectList effects)
    {
        if (range.Count <= 0)
        {
            return;
        }

        var entry = new AssignmentEntry
        {
            Id = _nextAssignment++,
            Worker = worker.Id,
            Range = range,
            Cause = cause,
            At = now,
            RetryAt = now + Usual(work.Kind).RetryAfter(_times, 0),
            IgnoresCachedState = work.Version <= worker.DistrustThrough || work.Version == _ignoreStateVersion,
        };
        work.Entries.Add(entry);
        if (work.Kind == WorkKind.Train)
        {
            Counters.AssignedShards += range.Count;
            Counters.LostShards += cause == AssignmentCause.Lost ? range.Count : 0;
            Counters.SpeculativeShards += cause == AssignmentCause.Late ? range.Count : 0;
            Counters.DisputedShards += cause == AssignmentCause.Dispute ? range.Count : 0;
        }

        SendAssign(work, entry, effects);
    }

    private void SendAssign(OpenWork work, AssignmentEntry entry, EffectList effects)
        => effects.Send(entry.Worker, new Assign(_epoch, work.Version, work.Kind, entry.Id, entry.Range, entry.IgnoresCachedState));

    private ObservedTime Usual(WorkKind kind) => kind == WorkKind.Train ? _trainUsual : _evaluateUsual;

    /// <summary>Gives every shard that is not settled, and not awaited from anyone, to somebody.</summary>
    private void EnsureAwaited(OpenWork work, Instant now, EffectList effects)
    {
        if (work.Unsettled == 0 || _phase != Phase.Working || _work != work)
        {
            return;
        }

        for (int shard = 0; shard < work.Shards;)
        {
            Standing standing = work[shard];
            if (standing is Standing.Settled or Standing.Poisoned || work.IsAwaited(shard))
            {
                shard++;
                continue;
            }

            int start = shard;
            bool again = WasGiven(work, start);
            while (shard < work.Shards && work[shard] == standing && !work.IsAwaited(shard) && WasGiven(work, shard) == again)
            {
                shard++;
            }

            var run = new ShardRange(start, shard);
            if (standing == Standing.Open)
            {
                FindTargets(work, now);
                if (_targets.Count > 0)
                {
                    Deal(work, run, !again ? AssignmentCause.First : WasDiscarded(work, start) ? AssignmentCause.Dispute : AssignmentCause.Lost, now, effects);
                }
            }
            else if (!Arbitrate(work, run, now, effects))
            {
                return;
            }
        }
    }

    private static bool WasGiven(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    private static bool WasDiscarded(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Discarded && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Has shards whose answers differ, or are not finite, computed by a worker that has not answered; by all again when there is none.</summary>
    /// <returns>False when the job has ended because nobody agrees.</returns>
    private bool Arbitrate(OpenWork work, ShardRange run, Instant now, EffectList effects)
    {
        if (work.AnswersOf(run.Start) >= Limits.MaximumAnswersPerShard)
        {
            End(now, effects, failed: true, $"Shards {run} of step {work.Version} have no two answers that agree: {Evidence(work, run.Start)}.");
            return false;
        }

        WorkerEntry? fresh = null;
        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining && !work.HasWorker(run.Start, worker.Id) && (fresh is null || (IsBusy(work, fresh.Id) && !IsBusy(work, worker.Id))))
            {
                fresh = worker;
            }
        }

        if (fresh is not null)
        {
            Assign(work, fresh, run, AssignmentCause.Dispute, now, effects);
            return true;
        }

        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining)
            {
                Assign(work, worker, run, AssignmentCause.Dispute, now, effects);
            }
        }

        return true;
    }

    private static string Evidence(OpenWork work, int shard)
    {
        var lines = new List<string>();
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Report is not null && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                ShardReport report = entry.ReportOf(shard);
                lines.Add($"{entry.Worker} says loss {(report.Sums.Length > 0 ? report.Sums[0] : 0):R}, rows {report.RowsDigest:x}, state {report.StateDigest:x}");
            }
        }

        return string.Join("; ", lines);
    }

    // ---- answers ------------------------------------------------------------------------------------------------------

    private void OnReport(ActorId from, ShardsReported reported, Instant now, EffectList effects)
    {
        if (reported.Epoch != _epoch)
        {
            return;
        }

        _workers.TryGetValue(from, out WorkerEntry? worker);
        if (worker is not null && worker.Behind == reported.Assignment)
        {
            worker.Behind = -1;
        }

        OpenWork? work = _work;
        AssignmentEntry? entry = work?.Find(reported.Assignment);
        if (entry is null)
        {
            CompareLate(from, reported, now, effects);
            return;
        }

        if (entry.Worker != from || entry.Report is not null || entry.Discarded || reported.Shards.Length != entry.Range.Count)
        {
            return;
        }

        entry.Report = reported;
        entry.Lost = false;
        Measure(worker, entry, reported, now);
        JudgeAndAct(work!, entry.Range, now, effects);
    }

    private void Measure(WorkerEntry? worker, AssignmentEntry entry, ShardsReported reported, Instant now)
    {
        if (reported.Kind == WorkKind.Train)
        {
            worker?.Measure(reported.ComputeTicks, entry.Range.Count);
            if (entry.Attempts == 0)
            {
                _trainUsual.Add(now - entry.At);
            }
        }
        else if (entry.Attempts == 0)
        {
            _evaluateUsual.Add(now - entry.At);
        }
    }

    private void CompareLate(ActorId from, ShardsReported reported, Instant now, EffectList effects)
    {
        if (_previous?.Find(reported.Assignment) is not { Report: null, Discarded: false } late || late.Worker != from
            || reported.Shards.Length != late.Range.Count)
        {
            return;
        }

        late.Report = reported;
        if (_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            Measure(worker, late, reported, now);
        }

        Counters.ComparedLateAnswers++;
        foreach (AssignmentEntry other in _previous.Entries)
        {
            if (other == late || !other.IsAnswer)
            {
                continue;
            }

            int end = Math.Min(other.Range.End, late.Range.End);
            for (int shard = Math.Max(other.Range.Start, late.Range.Start); shard < end; shard++)
            {
                if (!OpenWork.Agree(other, late, shard))
                {
                    Counters.FaultyAnswers++;
                    if (!late.ReportOf(shard).Finite)
                    {
                        effects.Do(new Notice(NoticeKind.Faulty, from, $"{from} answered step {_previous.Version} late with values that are not finite, where another found finite ones."));
                        return;
                    }

                    End(now, effects, failed: true,
                        $"Step {_previous.Version} is committed, and a late answer to shard {shard} differs: {Evidence(_previous, shard)}. "
                        + "One of the two computes wrong bits; resume from a checkpoint without it.");
                    return;
                }
            }
        }
    }

    private void OnAbandoned(ActorId from, AssignmentAbandoned abandoned, Instant now, EffectList effects)
    {
        if (abandoned.Epoch != _epoch)
        {
            return;
        }

        if (_workers.TryGetValue(from, out WorkerEntry? worker) && worker.Behind == abandoned.Assignment)
        {
            worker.Behind = -1;
        }

        if (_work?.Find(abandoned.Assignment) is { Report: null } entry && entry.Worker == from)
        {
            entry.Lost = true;
            EnsureAwaited(_work, now, effects);
        }
    }

    /// <summary>Judges shards whose answers changed, throws outvoted answers out, and goes on when all are settled.</summary>
    private void JudgeAndAct(OpenWork work, ShardRange range, Instant now, EffectList effects)
    {
        int confirmers = Math.Max(1, ActiveWorkers);
        _odd.Clear();
        work.Judge(range, confirmers, _odd);
        while (_odd.Count > 0)
        {
            foreach (AssignmentEntry entry in _odd.ToArray())
            {
                Outvote(work, entry, now, effects);
            }

            _odd.Clear();
            work.Judge(new ShardRange(0, work.Shards), Math.Max(1, ActiveWorkers), _odd);
            StartAttempt(work, effects);
        }

        if (_work != work || work.Unsettled > 0)
        {
            EnsureAwaited(work, now, effects);
            return;
        }

        if (work.AllSettledAt == Instant.Never)
        {
            work.AllSettledAt = now;
            _coverageAttempts = 0;
            _coverageAt = work.Kind == WorkKind.Train ? now + _prepareUsual.RetryAfter(_times, 0) : Instant.Never;
        }

        Conclude(work, now, effects);
    }

    private void Outvote(OpenWork work, AssignmentEntry entry, Instant now, EffectList effects)
    {
        if (entry.Discarded)
        {
            return;
        }

        Discard(work, entry);
        Counters.FaultyAnswers++;
        if (_workers.TryGetValue(entry.Worker, out WorkerEntry? distrusted))
        {
            distrusted.DistrustThrough = work.Version + 1;
        }

        bool finite = true;
        foreach (ShardReport report in entry.Report!.Shards)
        {
            finite &= report.Finite;
        }

        foreach (SubtreeReport report in entry.Report.Subtrees)
        {
            finite &= report.Finite;
        }

        string what = $"{entry.Worker} answered shards {entry.Range} of step {work.Version} with "
            + (finite ? "bits that two others contradict" : "values that are not finite, where another found finite ones");
        effects.Do(new Notice(NoticeKind.Faulty, entry.Worker, what + "; its answer is not used."));
        if (_workers.TryGetValue(entry.Worker, out WorkerEntry? worker) && (finite || ++worker.Faults >= Limits.MaximumFaultsPerWorker))
        {
            foreach (AssignmentEntry other in work.Entries)
            {
                if (other.Worker == entry.Worker && !other.Discarded)
                {
                    Discard(work, other);
                }
            }

            Quarantine(entry.Worker, what + "; it is not used any more.", now, effects);
        }
    }

    private static void Discard(OpenWork work, AssignmentEntry entry)
    {
        entry.Discarded = true;
        work.DiscardedIds.Add(entry.Id);
    }

    /// <summary>After answers were discarded: owners take their pieces out, and whoever holds good ones sends them again.</summary>
    private void StartAttempt(OpenWork work, EffectList effects)
    {
        work.Attempt++;
        work.AllSettledAt = Instant.Never;
        Array.Clear(work.Prepared);
        if (work.Kind != WorkKind.Train)
        {
            return;
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            SendDiscards(work, range, effects);
        }

        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.IsAnswer && _workers.ContainsKey(entry.Worker))
            {
                SendAssign(work, entry, effects);
            }
        }
    }

    private void SendDiscards(OpenWork work, RangeOwner range, EffectList effects)
        => effects.Send(range.Owner, new DiscardPieces(_epoch, work.Version, work.Attempt, [.. work.DiscardedIds]));

    private void OnPrepared(Prepared prepared, Instant now, EffectList effects)
    {
        if (_work is not { Kind: WorkKind.Train } work || prepared.Epoch != _epoch || prepared.Step != work.Version)
        {
            return;
        }

        if (prepared.Attempt < work.Attempt)
        {
            SendDiscards(work, _map.Ranges[prepared.Range], effects);
            return;
        }

        if (prepared.Attempt != work.Attempt || work.Prepared[prepared.Range] is not null)
        {
            return;
        }

        work.Prepared[prepared.Range] = prepared;
        if (work.AllSettledAt != Instant.Never && _coverageAttempts == 0 && work.Attempt == 0)
        {
            _prepareUsual.Add(now - work.AllSettledAt);
        }

        Conclude(work, now, effects);
    }

    /// <summary>Decides the step, or ends the evaluation, when nothing is missing any more.</summary>
    private void Conclude(OpenWork work, Instant now, EffectList effects)
    {
        if (work.Unsettled > 0 || _phase != Phase.Working)
        {
            return;
        }

        if (work.Kind == WorkKind.Evaluate)
        {
            _work = null;
            NoteLateWorkers(work);
            _policy.Evaluated(work.Version, work.SettledReports());
            Counters.Evaluations++;
            effects.Do(new EvaluationFinished(work.Version));
            ReleaseDrained(effects);
            Advance(now, effects);
            return;
        }

        for (int range = 0; range < work.Prepared.Length; range++)
        {
            bool behind = work.Version > 0 && _verdict is not null && !HasApplied(_map.Ranges[range], work.Version - 1);
            if (behind || (work.Prepared[range] is null && _map.TakesPart(range, _shape)))
            {
                return; // nobody may fall two steps behind: only the last verdict is sent again
            }
        }

        if (!EveryPieceIsVouchedFor(work, now, effects))
        {
            return;
        }

        Decide(work, now, effects);
    }

    /// <summary>
    /// A piece counts only with the report of its assignment: a worker that sent a piece and died before its report could
    /// have sent anything.
    /// </summary>
    private bool EveryPieceIsVouchedFor(OpenWork work, Instant now, EffectList effects)
    {
        bool wait = false, discarded = false;
        foreach (Prepared? prepared in work.Prepared)
        {
            if (prepared is null)
            {
                continue;
            }

            foreach (long id in prepared.Assignments)
            {
                AssignmentEntry? entry = work.Find(id);
                if (entry is { IsAnswer: true })
                {
                    continue;
                }

                if (entry is { IsOutstanding: true })
                {
                    wait = true; // its report is on the way; the assignment is sent again if it was lost
                    continue;
                }

                discarded = true;
                if (entry is null)
                {
                    if (!work.DiscardedIds.Contains(id))
                    {
                        work.DiscardedIds.Add(id);
                    }
                }
                else if (!entry.Discarded)
                {
                    Discard(work, entry);
                }
            }
        }

        if (discarded)
        {
            StartAttempt(work, effects);
            work.AllSettledAt = now;
            _coverageAttempts = 0;
            _coverageAt = now + _prepareUsual.RetryAfter(_times, 0);
        }

        return !wait && !discarded;
    }

    private void Decide(OpenWork work, Instant now, EffectList effects)
    {
        var sums = new List<BlockSum>();
        bool finite = !work.AnyPoisoned();
        foreach (Prepared? prepared in work.Prepared)
        {
            if (prepared is not null)
            {
                sums.AddRange(prepared.Squares);
                finite &= prepared.Finite;
            }
        }

        ShardReport[] reports = work.SettledReports();
        double squares = BlockSums.Join(sums, _map.BlockCount);
        Decision decision = _policy.Decide(new StepOutcome(work.Version, reports, squares, finite));
        if (decision.Kind == VerdictKind.Stop)
        {
            End(now, effects, failed: true, decision.Reason ?? $"The policy stopped the job at step {work.Version}.");
            return;
        }

        // Writing the verdict to the journal, before it is sent, is the commit point.
        _verdict = new Verdict(_epoch, work.Version, decision, _policy.Capture());
        effects.Do(new AppendJournal(new VerdictRecord(_verdict)));
        Version = work.Version + 1;
        Counters.Steps++;
        if (decision.Kind == VerdictKind.Skip)
        {
            Counters.SkippedSteps++;
            _ignoreStateVersion = Version; // owners may have zeroed rows: what workers hold is not what was committed
        }

        _previous = work;
        _work = null;
        _coverageAt = Instant.Never;
        NoteLateWorkers(work);
        SendVerdict(now, effects, again: false);
        effects.Do(new StepCommitted(Version));
        ReleaseDrained(effects);
        Advance(now, effects);
    }

    /// <summary>Workers that still compute something that is over get nothing new before they have answered.</summary>
    private void NoteLateWorkers(OpenWork work)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.IsOutstanding && _workers.TryGetValue(entry.Worker, out WorkerEntry? worker))
            {
                worker.Behind = entry.Id;
                worker.DistrustThrough = work.Version + 1;
            }
        }

        for (int i = 0; i < _workers.Count; i++)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (worker.ScaledTicksPerShard > 0 && work.Kind == WorkKind.Train && !WasUsed(work, worker.Id))
            {
                worker.Forgive(); // what was slow may have recovered: it is tried again one day
            }
        }
    }

    private static bool WasUsed(OpenWork work, ActorId worker)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == worker)
            {
                return true;
            }
        }

        return false;
    }

    private void SendVerdict(Instant now, EffectList effects, bool again)
    {
        _verdictRetryAt = Instant.Never;
        if (_verdict is not { } verdict)
        {
            return;
        }

        if (!again)
        {
            _verdictAt = now;
            _verdictAttempts = 0;
        }
        else if (now - _verdictAt > _applyUsual.FailAfter(_times))
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                if (!HasApplied(range, verdict.Step))
                {
                    End(now, effects, failed: true, $"{range.Owner} or its replica did not apply step {verdict.Step} within {(now - _verdictAt) / Instant.TicksPerSecond} s.");
                    return;
                }
            }
        }

        if (verdict.Epoch != _epoch)
        {
            verdict = verdict with { Epoch = _epoch };
            _verdict = verdict;
        }

        bool any = false;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_appliedVersion[range.Range] <= verdict.Step)
            {
                any = true;
                effects.Send(range.Owner, verdict);
            }

            if (range.Replica is { } replica && _replicaVersion[range.Range] <= verdict.Step)
            {
                any = true;
                effects.Send(replica, verdict);
            }
        }

        if (any)
        {
            _verdictRetryAt = now + _applyUsual.RetryAfter(_times, _verdictAttempts++);
        }
    }

    private void OnApplied(ActorId from, Applied applied, Instant now, EffectList effects)
    {
        long[] versions = _map.Ranges[applied.Range].Owner == from ? _appliedVersion : _replicaVersion;
        if (applied.Epoch != _epoch || applied.Version <= versions[applied.Range])
        {
            return;
        }

        versions[applied.Range] = applied.Version;
        if (_verdict is { } verdict && applied.Version == verdict.Step + 1)
        {
            if (_verdictAttempts <= 1)
            {
                _applyUsual.Add(now - _verdictAt);
            }

            bool all = true;
            foreach (RangeOwner range in _map.Ranges)
            {
                all &= HasApplied(range, verdict.Step);
            }

            _verdictRetryAt = all ? Instant.Never : _verdictRetryAt;
            if (all && _work is { Kind: WorkKind.Train } work)
            {
                Conclude(work, now, effects);
            }
        }
    }

    private bool HasApplied(RangeOwner range, long step)
        => _appliedVersion[range.Range] > step && (range.Replica is null || _replicaVersion[range.Range] > step);

    // ---- deadlines ----------------------------------------------------------------------------------------------------

    private void TickWork(OpenWork work, Instant now, EffectList effects)
    {
        if (ActiveWorkers == 0 && now - _noWorkersSince >= _times.NoWorkersTicks && work.Unsettled > 0)
        {
            End(now, effects, failed: true,
                $"No worker has been there for {(now - _noWorkersSince) / Instant.TicksPerSecond} s. The last checkpoint can be resumed.");
            return;
        }

        for (int i = 0; i < work.Entries.Count && _work == work; i++)
        {
            AssignmentEntry entry = work.Entries[i];
            if (!entry.IsOutstanding)
            {
                continue;
            }

            ObservedTime usual = Usual(work.Kind);
            if (usual.Count > 0 && now - entry.At > usual.FailAfter(_times))
            {
                OnDown(entry.Worker, $"no answer to shards {entry.Range} of step {work.Version} for {(now - entry.At) / Instant.TicksPerSecond} s", now, effects);
                continue;
            }

            if (now >= entry.RetryAt)
            {
                entry.RetryAt = now + usual.RetryAfter(_times, ++entry.Attempts);
                SendAssign(work, entry, effects);
            }

            if (now >= LateAt(work, entry))
            {
                Speculate(work, entry, now, effects);
            }
        }

        if (_work == work && now >= _coverageAt)
        {
            AskCoverage(work, now, effects);
        }
    }

    /// <summary>When an assignment counts as late, against what the others and its own worker took so far.</summary>
    private Instant LateAt(OpenWork work, AssignmentEntry entry)
    {
        if (entry.Speculated || ActiveWorkers < 2)
        {
            return Instant.Never;
        }

        long perShard = 0;
        foreach (AssignmentEntry other in work.Entries)
        {
            if (other.Report is not null && other.Worker != entry.Worker)
            {
                perShard = Math.Max(perShard, Math.Max(1, other.Report.ComputeTicks / Math.Max(1, other.Range.Count)));
            }
        }

        if (_membership.IsSuspect(entry.Worker, _now))
        {
            return entry.NotLateBefore; // suspicion is enough
        }

        if (perShard == 0)
        {
            return Instant.Never;
        }

        if (work.Kind == WorkKind.Train && _workers.TryGetValue(entry.Worker, out WorkerEntry? worker))
        {
            perShard = Math.Max(perShard, worker.TicksPerShard);
        }

        Instant late = entry.At + (_times.SpeculationFloorTicks + (Limits.LateFactor * perShard * entry.Range.Count));
        return late > entry.NotLateBefore ? late : entry.NotLateBefore;
    }

    private void Speculate(OpenWork work, AssignmentEntry late, Instant now, EffectList effects)
    {
        FindTargets(work, now, idleOnly: true);
        for (int i = _targets.Count - 1; i >= 0; i--)
        {
            if (work.HasWorker(late.Range.Start, _targets[i].Id))
            {
                _targets.RemoveAt(i);
            }
        }

        if (_targets.Count == 0)
        {
            late.NotLateBefore = now + Math.Max(Instant.TicksPerMillisecond, _times.SpeculationFloorTicks);
            return;
        }

        late.Speculated = true;
        Counters.Speculations++;
        effects.Do(new Notice(NoticeKind.Speculated, late.Worker,
            $"{late.Worker} is late with shards {late.Range} of step {work.Version} ({(now - late.At) / Instant.TicksPerMillisecond} ms); they are computed elsewhere as well."));
        Deal(work, late.Range, AssignmentCause.Late, now, effects);
    }

    private void AskCoverage(OpenWork work, Instant now, EffectList effects)
    {
        _coverageAt = Instant.Never;
        if (work.Unsettled > 0 || work.AllSettledAt == Instant.Never)
        {
            return;
        }

        bool failed = now - work.AllSettledAt > _prepareUsual.FailAfter(_times);
        foreach (RangeOwner range in _map.Ranges)
        {
            if (work.Prepared[range.Range] is null && _map.TakesPart(range.Range, _shape))
            {
                if (failed)
                {
                    End(now, effects, failed: true,
                        $"{range.Owner} has not prepared step {work.Version} within {(now - work.AllSettledAt) / Instant.TicksPerSecond} s of the last answer.");
                    return;
                }

                effects.Send(range.Owner, new CoverageRequest(_epoch, work.Version));
            }
        }

        _coverageAt = now + _prepareUsual.RetryAfter(_times, ++_coverageAttempts);
    }

    private void OnCoverage(Coverage coverage, Instant now, EffectList effects)
    {
        if (_work is not { Kind: WorkKind.Train } work || coverage.Epoch != _epoch || coverage.Step != work.Version)
        {
            return;
        }

        if (coverage.Attempt < work.Attempt)
        {
            SendDiscards(work, _map.Ranges[coverage.Range], effects);
        }

        foreach (ShardRange missing in coverage.Missing)
        {
            for (int shard = missing.Start; shard < missing.End;)
            {
                if (work.IsAwaited(shard))
                {
                    shard++;
                }
                else if (Holder(work, shard) is { } holder)
                {
                    SendAssign(work, holder, effects); // it sends the pieces again
                    shard = holder.Range.End;
                }
                else
                {
                    int start = shard;
                    while (shard < missing.End && !work.IsAwaited(shard) && Holder(work, shard) is null)
                    {
                        shard++;
                    }

                    FindTargets(work, now);
                    if (_targets.Count > 0)
                    {
                        Deal(work, new ShardRange(start, shard), AssignmentCause.Lost, now, effects);
                    }
                }
            }
        }
    }

    /// <summary>An answer to this shard whose worker is still there to send it again.</summary>
    private AssignmentEntry? Holder(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.IsAnswer && entry.Range.Start <= shard && shard < entry.Range.End && _workers.ContainsKey(entry.Worker))
            {
                return entry;
            }
        }

        return null;
    }

    /// <summary>What is known of a worker.</summary>
    private sealed class WorkerEntry(ActorId id)
    {
        private const int Scale = 16;

        public readonly ActorId Id = id;
        public bool Draining;
        public int Faults;
        public long Behind = -1; // an assignment of work that is over and that it has not answered
        public long DistrustThrough = -1; // up to this version it may hold states that nobody has vouched for

        /// <summary>Sixteen times the smoothed time a shard takes, 0 before the first answer.</summary>
        public long ScaledTicksPerShard { get; private set; }

        public long TicksPerShard => ScaledTicksPerShard / Scale;

        public void Measure(long ticks, int shards)
        {
            long measured = Math.Max(1, ticks * Scale / Math.Max(1, shards));
            ScaledTicksPerShard = ScaledTicksPerShard == 0 ? measured : Math.Max(1, ScaledTicksPerShard + ((measured - ScaledTicksPerShard) / 8));
        }

        public void Forgive() => ScaledTicksPerShard = Math.Max(1, ScaledTicksPerShard - (ScaledTicksPerShard / 64));
    }
}
