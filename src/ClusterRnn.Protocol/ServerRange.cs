// One copy of a range on a server.
//
//   owner:   collecting --all segments and states covered--> reducing --> (replica holds it) --> Prepared --Verdict--> applying --> v+1
//   replica: holds the owner's reduced gradient --Verdict--> applying --> v+1
//
// A copy without content (version -1) waits for a RangeCopy. An owner fills its replica from the content of the version it is
// at, which nothing touches until the step is decided; from then on the replica follows by reduced gradients. Whenever the
// owner goes on without the replica's word it fills it again.
//
// A replica that is promoted keeps the reduced gradient it holds for a step that was decided before (RangeOwner.Since tells),
// and collects every later step from the workers.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Pieces;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of a copy.</summary>
internal sealed class ServerRange
{
    private readonly ServerContext _context;
    private readonly List<PendingRead> _pendingReads = [];
    private readonly List<HeldPiece> _released = [];
    private readonly List<long> _discarded = [];

    private RangeOwner? _entry; // null while the map gives it to others
    private long _origin;
    private OpenSegment[] _segments = [];
    private HeldState?[] _states = []; // by place: shard = range + place x ranges
    private int _statesHeld;
    private bool _statesAsked;
    private bool _statesStored;
    private int _attempt;
    private long _ticket;
    private long _openEpoch;
    private Prepared? _prepared;
    private ReducedCopy? _copy;
    private ReducedCopy? _early; // of the step after this one
    private bool _applying;
    private RangeCopy? _loading; // the host is putting it in its place
    private bool _loadingIsVoid;
    private RangeCopy? _waiting; // for the host to be done with something else
    private bool _replicaFilled;
    private bool _replicaAsked;
    private bool _replicaHolds;
    private Instant _replicaAskedAt;
    private Instant _replicaRetryAt = Instant.Never;
    private int _replicaAttempts;
    private Instant _fillAskedAt;
    private Instant _fillRetryAt = Instant.Never;
    private int _fillAttempts;
    private long _snapshotWanted = -1;
    private bool _snapshotting;
    private ObservedTime _replicaUsual;
    private ObservedTime _fillUsual;

    public ServerRange(ServerContext context, long broughtVersion)
    {
        _context = context;
        Version = broughtVersion;
        _replicaFilled = broughtVersion >= 0; // with a fixed map the replica brings it as well
    }

    /// <summary>How many steps are applied, -1 without content.</summary>
    public long Version { get; private set; }

    public bool IsHeld => _entry is not null;

    public bool IsOwner => _entry?.Owner == _context.Id;

    public Instant NextTick => IsOwner ? Instant.Earlier(_replicaRetryAt, _fillRetryAt) : Instant.Never;

    private bool IsReplica => _entry is not null && _entry.Owner != _context.Id;

    private bool HasContent => Version >= 0 && _loading is null;

    private int Range => _entry!.Range;

    public void Tick(EffectList effects)
    {
        if (!IsOwner)
        {
            return;
        }

        if (_context.Now >= _replicaRetryAt)
        {
            AskReplica(effects);
        }

        if (_context.Now >= _fillRetryAt)
        {
            Fill(effects);
        }
    }

    /// <summary>Takes up what a new map, or a new epoch, says of the range.</summary>
    public void Adopt(RangeOwner entry, bool newEpoch, EffectList effects)
    {
        RangeMap map = _context.Map!;
        bool wasHeld = IsHeld, wasOwner = IsOwner;
        ActorId? replicaBefore = wasOwner ? _entry!.Replica : null;
        long sinceBefore = wasOwner ? _entry!.ReplicaSince : -1;
        if (newEpoch)
        {
            _pendingReads.Clear();
            _snapshotWanted = -1;
        }

        if (entry.Owner != _context.Id && entry.Replica != _context.Id)
        {
            if (wasHeld)
            {
                Forget(effects);
                _entry = null;
                effects.Do(new DropRange(entry.Range));
            }

            return;
        }

        if (wasHeld && _origin < map.Origin)
        {
            Forget(effects); // the job went back: this content is of a history that doesn't count any more
        }

        _entry = entry;
        _origin = map.Origin;
        Shape(map);
        if (Version < 0)
        {
            return;
        }

        if (IsReplica)
        {
            ReleasePieces(effects);
            _prepared = null;
            _pendingReads.Clear();
            return;
        }

        if (!wasOwner)
        {
            if (wasHeld && _copy is { } copy && copy.Step >= entry.Since)
            {
                effects.Do(new ReleasePayload(copy.Payload)); // of a step that is still open: its owner can't vouch for it any more
                _copy = null;
            }

            DropEarly(effects);
            OpenStep(effects);
        }

        if (entry.Replica is null)
        {
            _replicaRetryAt = Instant.Never;
            _fillRetryAt = Instant.Never;
            PrepareWhenComplete(effects);
        }
        else if ((entry.Replica != replicaBefore || entry.ReplicaSince != sinceBefore) && (wasHeld || !_replicaFilled))
        {
            _replicaFilled = false;
            _replicaAsked = false;
            _replicaHolds = false;
            _replicaRetryAt = Instant.Never;
            _fillAttempts = 0;
            if (_prepared is { } prepared && Version >= entry.ReplicaSince && prepared.Replica != entry.Replica)
            {
                _prepared = null; // it has to be held there first
            }

            Fill(effects);
        }
    }

    public void OnPiece(Piece piece, EffectList effects)
    {
        OpenSegment? open = null;
        if (IsOpen(piece.Key.Epoch, piece.Key.Step, piece.Key.Fence, effects) && !_discarded.Contains(piece.Key.Assignment))
        {
            foreach (OpenSegment segment in _segments)
            {
                open = segment.Segment.Index == piece.Key.Segment ? segment : open;
            }
        }

        if (open is null || !CanonicalTree.IsNode(piece.Key.Subtree, _context.Shape.Shards))
        {
            effects.Do(new ReleasePayload(piece.Payload));
            return;
        }

        if (!open.Pieces.Add(new HeldPiece(piece.Key.Subtree, piece.Key.Assignment, piece.Payload), _released))
        {
            _context.Superfluous++;
        }

        Release(effects);
        Reduce(open, effects);
    }

    public void OnStatePiece(StatePiece state, EffectList effects)
    {
        int place = _entry is null ? -1 : (state.Shard - Range) / _context.Map!.Ranges.Length;
        if (!IsOpen(state.Epoch, state.Step, state.Fence, effects) || _discarded.Contains(state.Assignment)
            || place >= _states.Length || _states[place] is not null)
        {
            effects.Do(new ReleasePayload(state.Payload));
            return;
        }

        _states[place] = new HeldState(state.Shard, state.Assignment, state.Payload);
        _statesHeld++;
        StoreStatesWhenComplete(effects);
    }

    public void OnReduced(SegmentReduced reduced, EffectList effects)
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

        PrepareWhenComplete(effects);
    }

    public void OnStatesStored(StatesStored stored, EffectList effects)
    {
        if (stored.Step == Version && stored.Ticket == _ticket && _statesAsked)
        {
            _statesStored = true;
            PrepareWhenComplete(effects);
        }
    }

    public void OnReplicaHolds(ActorId from, ReplicaHolds holds, EffectList effects)
    {
        if (IsOwner && from == _entry!.Replica && holds.Epoch == _context.Epoch && holds.Step == Version && holds.Attempt == _attempt
            && _replicaAsked && !_replicaHolds)
        {
            _replicaUsual.Observe(_context.Now - _replicaAskedAt, _replicaAttempts - 1, _context.Times);
            _replicaHolds = true;
            _replicaRetryAt = Instant.Never;
            PrepareWhenComplete(effects);
        }
    }

    public void OnReducedCopy(ActorId from, ReducedCopy copy, EffectList effects)
    {
        if (!IsReplica || copy.Epoch != _context.Epoch || copy.Fence != _entry!.Fence || !HasContent || _waiting is not null)
        {
            _context.RefuseAndRelease(copy.Payload, effects);
            if (IsReplica && copy.Epoch == _context.Epoch && copy.Fence == _entry!.Fence && Version < 0 && _loading is null && _waiting is null)
            {
                // It was filled before a map came that took the range away, and another that gave it back.
                effects.Send(from, new RangeFilled(_context.Epoch, Range, _entry.Fence, -1));
            }

            return;
        }

        if (copy.Step == Version + 1)
        {
            DropEarly(effects);
            _early = copy; // the verdict that leads there is on its way
            return;
        }

        if (copy.Step != Version || _applying)
        {
            _context.RefuseAndRelease(copy.Payload, effects);
            return;
        }

        if (_copy is { } held)
        {
            bool older = copy.Epoch == held.Epoch && copy.Attempt < held.Attempt;
            effects.Do(new ReleasePayload(older ? copy.Payload : held.Payload));
            copy = older ? held : copy;
        }

        _copy = copy;
        effects.Send(from, new ReplicaHolds(_context.Epoch, copy.Step, copy.Attempt, copy.Range));
    }

    /// <summary>Whether content with this epoch and fence is what the copy was told to expect.</summary>
    public bool Expects(RangeCopy copy) => _entry is not null && copy.Epoch == _context.Epoch && copy.Fence == _entry.Fence;

    /// <summary>Whether content with this epoch and fence may be what a map says that has not arrived yet.</summary>
    public bool MayExpect(RangeCopy copy) => copy.Epoch > _context.Epoch || (copy.Epoch == _context.Epoch && (_entry is null || copy.Fence > _entry.Fence));

    /// <summary>Content arrives.</summary>
    public void OnRangeCopy(RangeCopy copy, EffectList effects)
    {
        if (!Expects(copy) || (IsOwner && Version >= 0 && copy.Version != Version))
        {
            _context.RefuseAndRelease(copy.Payload, effects);
            return;
        }

        if (_applying || _loading is not null)
        {
            bool newer = _waiting is null || copy.Version >= _waiting.Version;
            if (newer && _waiting is { } replaced)
            {
                effects.Do(new ReleasePayload(replaced.Payload));
            }

            if (newer)
            {
                _waiting = copy;
            }
            else
            {
                effects.Do(new ReleasePayload(copy.Payload));
            }

            return;
        }

        if (Version >= copy.Version)
        {
            effects.Do(new ReleasePayload(copy.Payload));
            SayFilled(effects);
            return;
        }

        ReleasePieces(effects);
        DropCopies(effects);
        _loading = copy;
        _loadingIsVoid = false;
        effects.Do(new LoadRange(Range, copy.Version, copy.Payload));
    }

    public void OnLoaded(RangeLoaded loaded, EffectList effects)
    {
        if (_loading is not { } copy || copy.Version != loaded.Version)
        {
            return;
        }

        _loading = null;
        effects.Do(new ReleasePayload(copy.Payload));
        if (_loadingIsVoid || _entry is null)
        {
            TakeWaiting(effects);
            return;
        }

        Version = copy.Version;
        _openEpoch = 0;
        if (_waiting is null)
        {
            SayFilled(effects);
        }

        TakeWaiting(effects);
        if (_loading is null && IsOwner)
        {
            OpenStep(effects);
            AnswerReads(effects);
            Fill(effects);
            SnapshotWhenReached(effects);
        }
    }

    public void OnFilled(ActorId from, RangeFilled filled, EffectList effects)
    {
        if (!IsOwner || from != _entry!.Replica || filled.Epoch != _context.Epoch || filled.Fence != _entry.Fence || _applying)
        {
            return;
        }

        if (filled.Version < 0 && _replicaFilled)
        {
            _replicaFilled = false;
            _replicaAsked = false;
            _replicaHolds = false;
            _replicaRetryAt = Instant.Never;
            _fillAttempts = 0;
            Fill(effects);
            return;
        }

        if (filled.Version != Version || _replicaFilled)
        {
            return;
        }

        _fillUsual.Observe(_context.Now - _fillAskedAt, _fillAttempts - 1, _context.Times);
        _replicaFilled = true;
        _fillRetryAt = Instant.Never;
        PrepareWhenComplete(effects);
    }

    public void OnDiscard(DiscardPieces discard, EffectList effects)
    {
        if (!IsOwner || !HasContent || discard.Step != Version || discard.Attempt <= _attempt || _applying)
        {
            return;
        }

        if (_openEpoch != _context.Epoch)
        {
            OpenStep(effects);
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

    public void OnCoverageRequest(CoverageRequest request, EffectList effects)
    {
        if (!IsOwner || !HasContent)
        {
            return;
        }

        if (request.Step < Version)
        {
            SayApplied(effects);
            return;
        }

        if (request.Step > Version || _applying || Version < _entry!.Since)
        {
            return; // it will be told the verdict again first
        }

        if (_openEpoch != _context.Epoch)
        {
            OpenStep(effects);
        }

        if (_prepared is not null)
        {
            effects.Send(_context.Coordinator, _prepared);
            return;
        }

        var covered = new bool[_context.Shape.Shards];
        Array.Fill(covered, true);
        foreach (OpenSegment open in _segments)
        {
            open.Pieces.ClearMissing(covered);
        }

        for (int i = 0; i < _states.Length; i++)
        {
            if (_states[i] is null)
            {
                covered[Range + (i * _context.Map!.Ranges.Length)] = false;
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

        effects.Send(_context.Coordinator, new Coverage(_context.Epoch, Version, _attempt, Range, [.. missing]));
    }

    public void OnVerdict(Verdict verdict, EffectList effects)
    {
        if (_entry is null || !HasContent)
        {
            return;
        }

        if (verdict.Step < Version && _context.Planted == PlantedFault.VerdictAppliedTwice && !_applying)
        {
            _applying = true;
            effects.Do(new ApplyVerdict(verdict.Step, verdict.Decision, 0, Range));
            return;
        }

        if (verdict.Step < Version)
        {
            SayApplied(effects);
            return;
        }

        // An owner applies what it reduced itself; a replica, and an owner that was one when the step was decided, what it was given.
        bool fromCopy = IsReplica || verdict.Step < _entry.Since;
        bool takesPart = _context.Map!.TakesPart(Range, _context.Shape);
        if (verdict.Step > Version || _applying || (takesPart && (fromCopy ? _copy is null : _prepared is null)))
        {
            return; // a verdict is only given when everyone was prepared, so this one is from a step not reached yet
        }

        _context.Verdict = verdict;
        _applying = true;
        effects.Do(new ApplyVerdict(verdict.Step, verdict.Decision, fromCopy ? _copy?.Payload ?? 0 : 0, Range));
    }

    /// <summary>The host has applied a step.</summary>
    public void OnApplied(VerdictApplied applied, EffectList effects)
    {
        if (!_applying)
        {
            return;
        }

        _applying = false;
        if (applied.Step != Version || _entry is null)
        {
            TakeWaiting(effects); // the content it was applied to is not needed any more
            return;
        }

        Version++;
        _replicaFilled &= _replicaHolds || !_context.Map!.TakesPart(Range, _context.Shape);
        OpenStep(effects);
        AnswerReads(effects);
        SayApplied(effects);
        TakeWaiting(effects);
        if (IsOwner)
        {
            if (!_replicaFilled)
            {
                Fill(effects);
            }

            SnapshotWhenReached(effects);
        }
        else if (_early is { } early)
        {
            _early = null;
            OnReducedCopy(_entry.Owner, early, effects);
        }
    }

    /// <summary>As <see cref="OnApplied"/>, for an actor that has ended.</summary>
    public void FinishApplying(long step)
    {
        if (_applying && step == Version)
        {
            _applying = false;
            Version++;
        }
    }

    public void OnRead(ActorId from, long fence, long version, int[]? shards, EffectList effects)
    {
        if (!IsOwner || _context.IsFenced(fence, _entry!.Fence))
        {
            _context.Refused++;
            return;
        }

        var read = new PendingRead(from, version, shards);
        long readable = _applying ? Version + 1 : Version;
        if (!HasContent || version > Version)
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
            effects.Send(from, new ReadRefused(_context.Epoch, Range, version));
        }
        else
        {
            Answer(read, effects);
        }
    }

    public void OnTakeSnapshot(TakeSnapshot take, EffectList effects)
    {
        if (IsOwner && !(_snapshotting && take.Version == Version))
        {
            _snapshotWanted = take.Version;
            SnapshotWhenReached(effects);
        }
    }

    public void OnSnapshotted(RangeSnapshotted kept, EffectList effects)
    {
        _snapshotting = false;
        if (IsOwner)
        {
            effects.Send(_context.Coordinator, new SnapshotTaken(_context.Epoch, kept.Version, Range));
            SnapshotWhenReached(effects);
        }
    }

    /// <summary>Brings the arrays into the map's form; the cut is the same for the life of a job.</summary>
    private void Shape(RangeMap map)
    {
        int own = 0;
        foreach (Segment segment in map.Segments)
        {
            own += segment.Range == Range ? 1 : 0;
        }

        if (_segments.Length != own)
        {
            _segments = new OpenSegment[own];
            int next = 0;
            foreach (Segment segment in map.Segments)
            {
                if (segment.Range == Range)
                {
                    _segments[next++] = new OpenSegment(segment, _context.Shape.Shards, _context.Planted);
                }
            }
        }

        int ranges = map.Ranges.Length;
        int states = _context.Shape.CarriesState && Range < _context.Shape.Shards ? (_context.Shape.Shards - Range + ranges - 1) / ranges : 0;
        if (_states.Length != states)
        {
            _states = new HeldState?[states];
        }
    }

    /// <summary>Nothing of the content counts any more.</summary>
    private void Forget(EffectList effects)
    {
        ReleasePieces(effects);
        DropCopies(effects);
        if (_waiting is { } waiting)
        {
            effects.Do(new ReleasePayload(waiting.Payload));
            _waiting = null;
        }

        _loadingIsVoid = _loading is not null;
        _pendingReads.Clear();
        _replicaFilled = false;
        _snapshotWanted = -1;
        _fillRetryAt = Instant.Never;
        _fillAttempts = 0;
        Version = -1;
    }

    private void DropCopies(EffectList effects)
    {
        if (_copy is { } copy)
        {
            effects.Do(new ReleasePayload(copy.Payload));
            _copy = null;
        }

        DropEarly(effects);
    }

    private void DropEarly(EffectList effects)
    {
        if (_early is { } early)
        {
            effects.Do(new ReleasePayload(early.Payload));
            _early = null;
        }
    }

    /// <summary>Lets go of everything that was collected for the open step.</summary>
    private void ReleasePieces(EffectList effects)
    {
        foreach (OpenSegment segment in _segments)
        {
            segment.Pieces.Clear(_released);
            segment.Result = null;
            segment.Asked = false;
        }

        Release(effects);
        for (int i = 0; i < _states.Length; i++)
        {
            if (_states[i] is { } held)
            {
                effects.Do(new ReleasePayload(held.Payload));
                _states[i] = null;
            }
        }

        _statesHeld = 0;
        _statesAsked = false;
        _statesStored = _states.Length == 0;
        _attempt = 0;
        _discarded.Clear();
        Reopen();
    }

    /// <summary>Begins to collect step <see cref="Version"/> from nothing.</summary>
    private void OpenStep(EffectList effects)
    {
        ReleasePieces(effects);
        if (_copy is { } copy && !(copy.Step == Version && Version < _entry!.Since))
        {
            effects.Do(new ReleasePayload(copy.Payload));
            _copy = null;
        }

        _openEpoch = _context.Epoch;
    }

    private void Reopen()
    {
        _ticket = ++_context.Tickets;
        _prepared = null;
        _replicaAsked = false;
        _replicaHolds = false;
        _replicaRetryAt = Instant.Never;
    }

    /// <summary>Whether something of (epoch, step, fence) belongs to the step that is open here; refuses it if not.</summary>
    private bool IsOpen(long epoch, long step, long fence, EffectList effects)
    {
        bool otherEpoch = epoch != _context.Epoch && _context.Planted != PlantedFault.NoEpochFence;
        bool otherStep = step != Version && _context.Planted != PlantedFault.LateGradientAccepted;
        if (!IsOwner || !HasContent || otherEpoch || otherStep || _context.IsFenced(fence, _entry!.Fence) || step < _entry.Since || _applying)
        {
            _context.Refused++;
            return false;
        }

        if (_openEpoch != _context.Epoch)
        {
            OpenStep(effects); // prepared under an older epoch, and the step is being computed again
        }

        return true;
    }

    private void Reduce(OpenSegment open, EffectList effects)
    {
        if (open.Pieces.IsComplete && !open.Asked)
        {
            open.Asked = true;
            effects.Do(new ReduceSegment(Version, _ticket, open.Segment, [.. open.Pieces.Held]));
        }
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

            effects.Do(new StoreStates(Version, _ticket, states, Range));
        }
    }

    private void PrepareWhenComplete(EffectList effects)
    {
        if (!IsOwner || !HasContent || _applying || _prepared is not null || !_statesStored || (_segments.Length == 0 && _states.Length == 0)
            || _openEpoch != _context.Epoch) // what came in an older epoch is computed again
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

        if (_entry!.Replica is not null && !_replicaHolds && _context.Planted != PlantedFault.ReplicaNotWaitedFor)
        {
            if (_replicaFilled && !_replicaAsked)
            {
                _replicaAsked = true;
                _replicaAskedAt = _context.Now;
                _replicaAttempts = 0;
                AskReplica(effects);
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

        _prepared = new Prepared(
            _context.Epoch, Version, _attempt, Range, squares, finite, digest, SummedAssignments(), _entry.Fence, _entry.Replica);
        effects.Send(_context.Coordinator, _prepared);
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

    private void AskReplica(EffectList effects)
    {
        if (_openEpoch != _context.Epoch)
        {
            _replicaRetryAt = Instant.Never; // attempts count anew in each epoch: the replica would hold the wrong one
            return;
        }

        ulong digest = 0;
        foreach (OpenSegment open in _segments)
        {
            digest ^= open.Result?.Digest ?? 0;
        }

        effects.Do(new SendReducedCopy(_entry!.Replica!.Value, _context.Epoch, Version, _attempt, Range, _entry.Fence, digest));
        _replicaRetryAt = _context.Now + _replicaUsual.RetryAfter(_context.Times, _replicaAttempts++);
    }

    /// <summary>Sends the replica the content of the version that is reached, unless a verdict is changing it.</summary>
    private void Fill(EffectList effects)
    {
        _fillRetryAt = Instant.Never;
        if (!IsOwner || _entry!.Replica is not { } replica || _replicaFilled || !HasContent || _applying)
        {
            return;
        }

        if (_fillAttempts++ == 0)
        {
            _fillAskedAt = _context.Now;
        }

        effects.Do(new SendRangeCopy(replica, _context.Epoch, Range, _entry.Fence, Version));
        // A copy is large and is on its way: it is not sent again before it must have arrived. But what took long because copies
        // were lost must not make the next wait longer still.
        long usual = _fillUsual.Count == 0 ? 0 : _fillUsual.Expected * Limits.RetryFactor;
        _fillRetryAt = _context.Now + Math.Max(_context.Times.RetryCeilingTicks, Math.Min(usual, Math.Max(_fillUsual.Mean * 2, _context.Times.LeaseTicks * 2)));
    }

    private void SayFilled(EffectList effects)
    {
        SayApplied(effects);
        if (IsReplica)
        {
            effects.Send(_entry!.Owner, new RangeFilled(_context.Epoch, Range, _entry.Fence, Version));
        }
    }

    private void SayApplied(EffectList effects) => effects.Send(_context.Coordinator, new Applied(_context.Epoch, Version, Range, _entry!.Fence));

    private void TakeWaiting(EffectList effects)
    {
        if (_waiting is { } waiting && !_applying && _loading is null)
        {
            _waiting = null;
            OnRangeCopy(waiting, effects);
        }
    }

    private void AnswerReads(EffectList effects)
    {
        for (int i = 0; i < _pendingReads.Count; i++)
        {
            PendingRead read = _pendingReads[i];
            if (read.Version <= Version)
            {
                Answer(read, effects);
            }
        }

        _pendingReads.RemoveAll(read => read.Version <= Version);
    }

    private void Answer(PendingRead read, EffectList effects)
    {
        if (read.Version < Version)
        {
            effects.Send(read.From, new ReadRefused(_context.Epoch, Range, read.Version));
        }
        else if (read.Shards is null)
        {
            effects.Do(new SendParameters(read.From, _context.Epoch, Range, Version));
        }
        else
        {
            effects.Do(new SendState(read.From, _context.Epoch, Range, Version, read.Shards));
        }
    }

    private void SnapshotWhenReached(EffectList effects)
    {
        if (_snapshotWanted == Version && HasContent && !_applying && !_snapshotting)
        {
            _snapshotWanted = -1;
            _snapshotting = true;
            effects.Do(new SnapshotRange(Version, Range));
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

    private sealed class OpenSegment(Segment segment, int shards, PlantedFault planted)
    {
        public readonly Segment Segment = segment;
        public readonly Antichain Pieces = new(shards, planted);
        public bool Asked;
        public SegmentReduced? Result;
    }

    private readonly record struct PendingRead(ActorId From, long Version, int[]? Shards);
}
