// The owner of a range: collects pieces and leaves version v untouched until the step is decided, then applies it.
//
//   Collecting --all segments and states covered--> reducing --> (replica holds it) --> Prepared --Verdict--> applying --> v+1
//
// Safety does not depend on leases or on who is believed to be alive: a message of a lower epoch, of another step or with
// another fence is refused here. Applying is idempotent, and a verdict is kept until the next one.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Pieces;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of a parameter server.</summary>
public sealed class ParameterServer : IActor
{
    private readonly ActorId _coordinator;
    private readonly JobShape _shape;
    private readonly ProtocolTimes _times;
    private readonly List<PendingRead> _pendingReads = [];
    private readonly List<HeldPiece> _released = [];
    private readonly List<long> _discarded = [];

    private long _epoch;
    private RangeMap? _map;
    private int _range = -1;
    private bool _isReplica;
    private OpenSegment[] _segments = [];
    private HeldState?[] _states = []; // by place: shard = range + place x ranges
    private int _statesHeld;
    private bool _statesAsked;
    private bool _statesStored;
    private int _attempt;
    private long _ticket;
    private long _openEpoch;
    private bool _replicaAsked;
    private bool _replicaHolds;
    private Prepared? _prepared;
    private ReducedCopy? _copy;
    private Verdict? _verdict;
    private bool _applying;
    private long _snapshotWanted = -1;
    private bool _ended;
    private Instant _helloAt = Instant.Never;
    private Instant _heartbeatAt = Instant.Never;
    private Instant _replicaRetryAt = Instant.Never;
    private Instant _replicaAskedAt;
    private int _attempts;
    private ObservedTime _replicaUsual;

    /// <summary>A server that holds a range at a version and waits for a coordinator to claim it.</summary>
    /// <param name="id">Its address.</param>
    /// <param name="coordinator">The coordinator's address.</param>
    /// <param name="shape">The job.</param>
    /// <param name="times">The host's times.</param>
    /// <param name="version">The version its parameters and states are at: 0, or that of the checkpoint.</param>
    public ParameterServer(ActorId id, ActorId coordinator, JobShape shape, ProtocolTimes times, long version)
    {
        Id = id;
        _coordinator = coordinator;
        _shape = shape;
        _times = times;
        Version = version;
    }

    /// <inheritdoc/>
    public ActorId Id { get; }

    /// <summary>How many steps are applied.</summary>
    public long Version { get; private set; }

    /// <summary>How many pieces and verdicts were refused because they were of another epoch, step or fence.</summary>
    public long RefusedMessages { get; private set; }

    /// <summary>How many pieces were not needed because others covered their shards.</summary>
    public long SuperfluousPieces { get; private set; }

    /// <inheritdoc/>
    public Instant NextTick
        => _ended ? Instant.Never : Instant.Earlier(_helloAt, Instant.Earlier(_heartbeatAt, _replicaRetryAt));

    private long Fence => _map!.Ranges[_range].Fence;

    /// <inheritdoc/>
    public void Start(Instant now, EffectList effects) => Hello(now, effects);

    /// <inheritdoc/>
    public void Handle(in Envelope envelope, Instant now, EffectList effects)
    {
        if (_ended)
        {
            if (envelope.Message is VerdictApplied last && _applying && last.Step == Version)
            {
                _applying = false;
                Version++;
            }

            return;
        }

        switch (envelope.Message)
        {
            case Piece piece:
                OnPiece(piece, effects);
                break;
            case StatePiece state:
                OnStatePiece(state, effects);
                break;
            case SegmentReduced reduced:
                OnReduced(reduced, now, effects);
                break;
            case StatesStored stored when stored.Step == Version && stored.Ticket == _ticket && _statesAsked:
                _statesStored = true;
                PrepareWhenComplete(now, effects);
                break;
            case Verdict verdict:
                OnVerdict(verdict, effects);
                break;
            case VerdictApplied applied:
                OnApplied(applied, effects);
                break;
            case ReadParameters read:
                OnRead(envelope.From, read.Epoch, read.Range, read.Fence, read.Version, null, effects);
                break;
            case ReadState read:
                OnRead(envelope.From, read.Epoch, read.Range, read.Fence, read.Version, read.Shards, effects);
                break;
            case DiscardPieces discard:
                OnDiscard(discard, effects);
                break;
            case CoverageRequest request:
                OnCoverageRequest(request, effects);
                break;
            case ReducedCopy copy:
                OnReducedCopy(envelope.From, copy, effects);
                break;
            case ReplicaHolds holds:
                OnReplicaHolds(holds, now, effects);
                break;
            case TakeSnapshot take when take.Epoch == _epoch:
                _snapshotWanted = take.Version;
                SnapshotWhenReached(effects);
                break;
            case RangeSnapshotted kept:
                effects.Send(_coordinator, new SnapshotTaken(_epoch, kept.Version, _range));
                break;
            case ClaimEpoch claim:
                OnClaim(envelope.From, claim, now, effects);
                break;
            case Refused refused:
                End(effects, failed: true, refused.Reason);
                break;
            case Shutdown shutdown when shutdown.Epoch >= _epoch:
                End(effects, failed: false, shutdown.Reason);
                break;
        }
    }

    /// <inheritdoc/>
    public void Tick(Instant now, EffectList effects)
    {
        if (_ended)
        {
            return;
        }

        if (now >= _helloAt)
        {
            Hello(now, effects);
        }

        if (now >= _heartbeatAt)
        {
            _heartbeatAt = now + _times.HeartbeatTicks;
            effects.Send(_coordinator, new Heartbeat(_epoch, -1, RefusedMessages));
        }

        if (now >= _replicaRetryAt)
        {
            AskReplica(now, effects);
        }
    }

    private void Hello(Instant now, EffectList effects)
    {
        effects.Send(_coordinator, new ServerHello(Limits.ProtocolVersion, _shape.JobId));
        _helloAt = now + Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_attempts++, 16));
    }

    private void End(EffectList effects, bool failed, string reason)
    {
        _ended = true;
        effects.Do(new EndActor(failed, reason));
    }

    private void OnClaim(ActorId from, ClaimEpoch claim, Instant now, EffectList effects)
    {
        if (claim.Epoch < _epoch)
        {
            effects.Send(from, new EpochRefused(_epoch));
            return;
        }

        if (claim.Epoch > _epoch || _map is null)
        {
            int range = -1;
            bool replica = false;
            foreach (RangeOwner owner in claim.Map.Ranges)
            {
                if (owner.Owner == Id || owner.Replica == Id)
                {
                    range = owner.Range;
                    replica = owner.Replica == Id;
                }
            }

            if (range < 0)
            {
                effects.Do(new Notice(NoticeKind.Warning, Id, "No range is given to this server in the claimed epoch."));
                return;
            }

            // What is prepared stays until something of the new epoch replaces it: a verdict that was decided but not
            // delivered is sent again under the new epoch and must find its gradient.
            _epoch = claim.Epoch;
            _map = claim.Map;
            _range = range;
            _isReplica = replica;
            _pendingReads.Clear();
            _snapshotWanted = -1;
            if (_prepared is null && _copy is null)
            {
                OpenStep(effects);
            }
        }

        _helloAt = Instant.Never;
        _attempts = 0;
        _heartbeatAt = _times.HeartbeatTicks > 0 ? now + _times.HeartbeatTicks : Instant.Never;
        effects.Send(from, new EpochAccepted(_epoch, _map.Revision, [new HeldRange(_range, Version)], _verdict));
    }

    /// <summary>Begins to collect step <see cref="Version"/> from nothing.</summary>
    private void OpenStep(EffectList effects)
    {
        int ranges = _map!.Ranges.Length;
        int own = 0;
        foreach (Segment segment in _map.Segments)
        {
            own += segment.Range == _range ? 1 : 0;
        }

        if (_segments.Length != own)
        {
            _segments = new OpenSegment[own];
            int next = 0;
            foreach (Segment segment in _map.Segments)
            {
                if (segment.Range == _range)
                {
                    _segments[next++] = new OpenSegment(segment, _shape.Shards);
                }
            }
        }

        foreach (OpenSegment segment in _segments)
        {
            segment.Pieces.Clear(_released);
            segment.Result = null;
            segment.Asked = false;
        }

        Release(effects);
        int states = _shape.CarriesState && _range < _shape.Shards ? (_shape.Shards - _range + ranges - 1) / ranges : 0;
        if (_states.Length != states)
        {
            _states = new HeldState?[states];
        }

        for (int i = 0; i < _states.Length; i++)
        {
            if (_states[i] is { } held)
            {
                effects.Do(new ReleasePayload(held.Payload));
                _states[i] = null;
            }
        }

        if (_copy is { } copy)
        {
            effects.Do(new ReleasePayload(copy.Payload));
            _copy = null;
        }

        _statesHeld = 0;
        _statesAsked = false;
        _statesStored = states == 0;
        _attempt = 0;
        _openEpoch = _epoch;
        _discarded.Clear();
        Reopen();
    }

    private void Reopen()
    {
        _ticket++;
        _prepared = null;
        _replicaAsked = false;
        _replicaHolds = false;
        _replicaRetryAt = Instant.Never;
    }

    /// <summary>Whether something of (epoch, step, fence) belongs to the step that is open here; refuses it if not.</summary>
    private bool IsOpen(long epoch, long step, long fence, EffectList effects)
    {
        if (_map is null || epoch != _epoch || step != Version || fence != Fence || _isReplica || _applying)
        {
            RefusedMessages++;
            return false;
        }

        if (_openEpoch != _epoch)
        {
            OpenStep(effects); // prepared under an older epoch, and the step is being computed again
        }

        return true;
    }

    private void OnPiece(Piece piece, EffectList effects)
    {
        OpenSegment? open = null;
        if (IsOpen(piece.Key.Epoch, piece.Key.Step, piece.Key.Fence, effects) && !_discarded.Contains(piece.Key.Assignment))
        {
            foreach (OpenSegment segment in _segments)
            {
                open = segment.Segment.Index == piece.Key.Segment ? segment : open;
            }
        }

        if (open is null || !CanonicalTree.IsNode(piece.Key.Subtree, _shape.Shards))
        {
            effects.Do(new ReleasePayload(piece.Payload));
            return;
        }

        if (!open.Pieces.Add(new HeldPiece(piece.Key.Subtree, piece.Key.Assignment, piece.Payload), _released))
        {
            SuperfluousPieces++;
        }

        Release(effects);
        Reduce(open, effects);
    }

    private void Reduce(OpenSegment open, EffectList effects)
    {
        if (open.Pieces.IsComplete && !open.Asked)
        {
            open.Asked = true;
            effects.Do(new ReduceSegment(Version, _ticket, open.Segment, [.. open.Pieces.Held]));
        }
    }

    private void OnStatePiece(StatePiece state, EffectList effects)
    {
        int place = _map is null ? -1 : (state.Shard - _range) / _map.Ranges.Length;
        if (!IsOpen(state.Epoch, state.Step, state.Fence, effects) || _discarded.Contains(state.Assignment)
            || _map!.StateRange(state.Shard) != _range || place >= _states.Length || _states[place] is not null)
        {
            effects.Do(new ReleasePayload(state.Payload));
            return;
        }

        _states[place] = new HeldState(state.Shard, state.Assignment, state.Payload);
        _statesHeld++;
        StoreStatesWhenComplete(effects);
    }

    private void StoreStatesWhenComplete(EffectList effects)
    {
        if (_statesHeld == _states.Length && _states.Length > 0 && !_statesAsked)
        {
            _statesAsked = true;
            var states = new HeldState[_states.Length];
            for (int i = 0; i < states.Length; i++)
            {
                states[i] = _states[i]!.Value;
            }

            effects.Do(new StoreStates(Version, _ticket, states, _range));
        }
    }

    private void OnReduced(SegmentReduced reduced, Instant now, EffectList effects)
    {
        if (reduced.Step != Version || reduced.Ticket != _ticket || _applying)
        {
            return;
        }

        foreach (OpenSegment open in _segments)
        {
            if (open.Segment.Index == reduced.Segment && open.Asked)
            {
                open.Result = reduced;
            }
        }

        PrepareWhenComplete(now, effects);
    }

    private void PrepareWhenComplete(Instant now, EffectList effects)
    {
        if (_prepared is not null || !_statesStored)
        {
            return;
        }

        ulong digest = 14695981039346656037; // FNV-1a over the segments' digests
        int sums = 0;
        bool finite = true;
        foreach (OpenSegment open in _segments)
        {
            if (open.Result is not { } result)
            {
                return;
            }

            digest = (digest ^ result.Digest) * 1099511628211;
            sums += result.Squares.Length;
            finite &= result.Finite;
        }

        RangeOwner own = _map!.Ranges[_range];
        if (own.Replica is not null && !_replicaHolds)
        {
            if (!_replicaAsked)
            {
                _replicaAsked = true;
                _replicaAskedAt = now;
                _attempts = 0;
                AskReplica(now, effects);
            }

            return;
        }

        var squares = new BlockSum[sums];
        int next = 0;
        foreach (OpenSegment open in _segments)
        {
            BlockSum[] part = open.Result!.Squares;
            part.CopyTo(squares, next);
            next += part.Length;
        }

        _prepared = new Prepared(_epoch, Version, _attempt, _range, squares, finite, digest, SummedAssignments(), Fence, own.Replica);
        effects.Send(_coordinator, _prepared);
    }

    private long[] SummedAssignments()
    {
        var all = new List<long>();
        foreach (OpenSegment open in _segments)
        {
            foreach (HeldPiece piece in open.Pieces.Held)
            {
                if (!all.Contains(piece.Assignment))
                {
                    all.Add(piece.Assignment);
                }
            }
        }

        foreach (HeldState? state in _states)
        {
            if (!all.Contains(state!.Value.Assignment))
            {
                all.Add(state.Value.Assignment);
            }
        }

        all.Sort();
        return [.. all];
    }

    private void AskReplica(Instant now, EffectList effects)
    {
        RangeOwner own = _map!.Ranges[_range];
        ulong digest = 0;
        foreach (OpenSegment open in _segments)
        {
            digest ^= open.Result?.Digest ?? 0;
        }

        effects.Do(new SendReducedCopy(own.Replica!.Value, _epoch, Version, _attempt, _range, own.Fence, digest));
        _replicaRetryAt = now + _replicaUsual.RetryAfter(_times, _attempts++);
    }

    private void OnReplicaHolds(ReplicaHolds holds, Instant now, EffectList effects)
    {
        if (holds.Epoch == _epoch && holds.Step == Version && holds.Attempt == _attempt && _replicaAsked && !_replicaHolds)
        {
            _replicaUsual.Observe(now - _replicaAskedAt, _attempts - 1, _times);
            _replicaHolds = true;
            _replicaRetryAt = Instant.Never;
            PrepareWhenComplete(now, effects);
        }
    }

    private void OnReducedCopy(ActorId from, ReducedCopy copy, EffectList effects)
    {
        if (_map is null || copy.Epoch != _epoch || copy.Step != Version || copy.Fence != Fence || !_isReplica || _applying)
        {
            RefusedMessages++;
            effects.Do(new ReleasePayload(copy.Payload));
            return;
        }

        if (_copy is { } held)
        {
            bool older = copy.Epoch == held.Epoch && copy.Attempt < held.Attempt;
            effects.Do(new ReleasePayload(older ? copy.Payload : held.Payload));
            copy = older ? held : copy;
        }

        _copy = copy;
        effects.Send(from, new ReplicaHolds(_epoch, copy.Step, copy.Attempt, copy.Range));
    }

    private void OnDiscard(DiscardPieces discard, EffectList effects)
    {
        if (_map is null || discard.Epoch != _epoch || discard.Step != Version || discard.Attempt <= _attempt || _applying || _isReplica)
        {
            return;
        }

        _attempt = discard.Attempt;
        _discarded.Clear();
        _discarded.AddRange(discard.Assignments);
        foreach (OpenSegment open in _segments)
        {
            open.Pieces.Discard(_discarded, _released);
            open.Asked = false;
            open.Result = null;
        }

        Release(effects);
        for (int i = 0; i < _states.Length; i++)
        {
            if (_states[i] is { } held && _discarded.Contains(held.Assignment))
            {
                effects.Do(new ReleasePayload(held.Payload));
                _states[i] = null;
                _statesHeld--;
            }
        }

        _statesAsked = false;
        _statesStored = _states.Length == 0;
        Reopen();
        foreach (OpenSegment open in _segments)
        {
            Reduce(open, effects);
        }

        StoreStatesWhenComplete(effects);
    }

    private void OnCoverageRequest(CoverageRequest request, EffectList effects)
    {
        if (_map is null || request.Epoch != _epoch || _isReplica)
        {
            return;
        }

        if (request.Step < Version)
        {
            effects.Send(_coordinator, new Applied(_epoch, Version, _range, Fence));
            return;
        }

        if (request.Step > Version || _applying)
        {
            return; // it will be told the verdict again first
        }

        if (_openEpoch != _epoch)
        {
            OpenStep(effects);
        }

        if (_prepared is not null)
        {
            effects.Send(_coordinator, _prepared);
            return;
        }

        var covered = new bool[_shape.Shards];
        Array.Fill(covered, true);
        foreach (OpenSegment open in _segments)
        {
            open.Pieces.ClearMissing(covered);
        }

        for (int i = 0; i < _states.Length; i++)
        {
            if (_states[i] is null)
            {
                covered[_range + (i * _map.Ranges.Length)] = false;
            }
        }

        var missing = new List<ShardRange>();
        for (int shard = 0; shard < covered.Length; shard++)
        {
            if (!covered[shard])
            {
                int start = shard;
                while (shard < covered.Length && !covered[shard])
                {
                    shard++;
                }

                missing.Add(new ShardRange(start, shard));
            }
        }

        effects.Send(_coordinator, new Coverage(_epoch, Version, _attempt, _range, [.. missing]));
    }

    private void OnVerdict(Verdict verdict, EffectList effects)
    {
        if (_map is null || verdict.Epoch != _epoch)
        {
            RefusedMessages++;
            return;
        }

        if (verdict.Step < Version)
        {
            effects.Send(_coordinator, new Applied(_epoch, Version, _range, Fence));
            return;
        }

        bool takesPart = _map.TakesPart(_range, _shape);
        if (verdict.Step > Version || _applying || (takesPart && (_isReplica ? _copy is null : _prepared is null)))
        {
            return; // a verdict is only given when everyone was prepared, so this one is from a step not reached yet
        }

        _verdict = verdict;
        _applying = true;
        effects.Do(new ApplyVerdict(verdict.Step, verdict.Decision, _isReplica ? _copy?.Payload ?? 0 : 0, _range));
    }

    private void OnApplied(VerdictApplied applied, EffectList effects)
    {
        if (!_applying || applied.Step != Version)
        {
            return;
        }

        _applying = false;
        Version++;
        OpenStep(effects);
        for (int i = 0; i < _pendingReads.Count; i++)
        {
            PendingRead read = _pendingReads[i];
            if (read.Version <= Version)
            {
                Answer(read, effects);
            }
        }

        _pendingReads.RemoveAll(read => read.Version <= Version);
        effects.Send(_coordinator, new Applied(_epoch, Version, _range, Fence));
        SnapshotWhenReached(effects);
    }

    private void OnRead(ActorId from, long epoch, int range, long fence, long version, int[]? shards, EffectList effects)
    {
        if (_map is null || epoch != _epoch || range != _range || fence != Fence || _isReplica)
        {
            RefusedMessages++;
            return;
        }

        var read = new PendingRead(from, version, shards);
        long readable = _applying ? Version + 1 : Version;
        if (version > Version)
        {
            // A worker asks again when it has waited long: one entry for each question.
            for (int i = 0; i < _pendingReads.Count; i++)
            {
                if (_pendingReads[i].From == from && (_pendingReads[i].Shards is null) == (shards is null))
                {
                    _pendingReads[i] = read;
                    return;
                }
            }

            _pendingReads.Add(read);
        }
        else if (version < readable)
        {
            effects.Send(from, new ReadRefused(_epoch, _range, version));
        }
        else
        {
            Answer(read, effects);
        }
    }

    private void Answer(PendingRead read, EffectList effects)
    {
        if (read.Version < Version)
        {
            effects.Send(read.From, new ReadRefused(_epoch, _range, read.Version));
        }
        else if (read.Shards is null)
        {
            effects.Do(new SendParameters(read.From, _epoch, _range, Version));
        }
        else
        {
            effects.Do(new SendState(read.From, _epoch, _range, Version, read.Shards));
        }
    }

    private void SnapshotWhenReached(EffectList effects)
    {
        if (_snapshotWanted == Version && !_applying)
        {
            _snapshotWanted = -1;
            effects.Do(new SnapshotRange(Version, _range));
        }
    }

    private void Release(EffectList effects)
    {
        foreach (HeldPiece piece in _released)
        {
            effects.Do(new ReleasePayload(piece.Payload));
        }

        _released.Clear();
    }

    private sealed class OpenSegment(Segment segment, int shards)
    {
        public readonly Segment Segment = segment;
        public readonly Antichain Pieces = new(shards);
        public bool Asked;
        public SegmentReduced? Result;
    }

    private readonly record struct PendingRead(ActorId From, long Version, int[]? Shards);
}
