// A parameter server: holds copies of ranges, as their owner or as a replica.
//
// The map says which; a server that has none is a spare. Copies that it is given begin without content and get it in one way,
// as a RangeCopy: an owner from the coordinator (at the start, after a rollback), a replica from the owner. What a copy does is
// in ServerRange; here is what the server does as a whole: join, follow the highest epoch, wait for a coordinator, leave.
//
// Safety does not depend on leases or on who is believed to be alive: a message of a lower epoch, of another step or with
// another fence is refused here. Applying is idempotent, and a verdict is kept until the next one.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of a parameter server.</summary>
public sealed class ParameterServer : IActor
{
    private readonly ActorId _coordinator;
    private readonly JobShape _shape;
    private readonly ProtocolTimes _times;
    private readonly long _broughtVersion;
    private readonly CoordinatorWatch _watch;
    private readonly ServerContext _context;
    private readonly SortedList<int, ServerRange> _ranges = []; // those once given stay, without a role
    private readonly SortedList<int, RangeCopy> _early = []; // content that came before the map that gives it

    private bool _ended;
    private bool _draining;
    private Instant _helloAt = Instant.Never;
    private int _helloAttempts;
    private Instant _heartbeatAt = Instant.Never;

    /// <summary>A server that waits for a coordinator to claim it.</summary>
    /// <param name="id">Its address.</param>
    /// <param name="coordinator">The coordinator's address.</param>
    /// <param name="shape">The job.</param>
    /// <param name="times">The host's times.</param>
    /// <param name="version">The version of the content that its host brings with it, for a fixed map; -1 when it starts empty.</param>
    public ParameterServer(ActorId id, ActorId coordinator, JobShape shape, ProtocolTimes times, long version)
    {
        Id = id;
        _coordinator = coordinator;
        _shape = shape;
        _times = times;
        _broughtVersion = version;
        _watch = new CoordinatorWatch(id, times);
        _context = new ServerContext(id, coordinator, shape, times);
    }

    /// <inheritdoc/>
    public ActorId Id { get; }

    /// <summary>The version of its first copy; what it brought before the first claim, -1 while it holds nothing.</summary>
    public long Version
    {
        get
        {
            for (int i = 0; i < _ranges.Count; i++)
            {
                if (_ranges.GetValueAtIndex(i).IsHeld)
                {
                    return _ranges.GetValueAtIndex(i).Version;
                }
            }

            return _context.Map is null ? _broughtVersion : -1;
        }
    }

    /// <summary>A piece that is missing, in tests.</summary>
    internal PlantedFault Planted
    {
        get => _context.Planted;
        init => _context.Planted = value;
    }

    /// <summary>The epoch it follows.</summary>
    public long Epoch => _context.Epoch;

    /// <summary>How many pieces, copies and verdicts were refused because they were of another epoch, step or fence.</summary>
    public long RefusedMessages => _context.Refused;

    /// <summary>How many pieces were not needed because others covered their shards.</summary>
    public long SuperfluousPieces => _context.Superfluous;

    /// <inheritdoc/>
    public Instant NextTick
    {
        get
        {
            if (_ended)
            {
                return Instant.Never;
            }

            Instant next = Instant.Earlier(_watch.NextTick, Instant.Earlier(_helloAt, _heartbeatAt));
            for (int i = 0; i < _ranges.Count; i++)
            {
                next = Instant.Earlier(next, _ranges.GetValueAtIndex(i).NextTick);
            }

            return next;
        }
    }

    /// <summary>The version of its copy of a range, -1 when it has none or waits for its content.</summary>
    public long VersionOf(int range) => _ranges.TryGetValue(range, out ServerRange? held) && held.IsHeld ? held.Version : -1;

    /// <summary>Whether it owns the range, as far as it knows.</summary>
    public bool Owns(int range) => _ranges.TryGetValue(range, out ServerRange? held) && held.IsOwner;

    /// <inheritdoc/>
    public void Start(Instant now, EffectList effects)
    {
        _watch.Start(now);
        Hello(now, effects);
    }

    /// <inheritdoc/>
    public void Handle(in Envelope envelope, Instant now, EffectList effects)
    {
        if (_ended)
        {
            if (envelope.Message is VerdictApplied last && Find(last.Range) is { } applied)
            {
                applied.FinishApplying(last.Step);
            }

            return;
        }

        _context.Now = now;
        if (envelope.From == _coordinator && envelope.Message is not ActorDown)
        {
            _watch.Heard(now);
            _context.HeardAt = now;
        }

        switch (envelope.Message)
        {
            case Piece piece when _context.Map is { } map && (uint)piece.Key.Segment < (uint)map.Segments.Length
                && Find(map.Segments[piece.Key.Segment].Range) is { } range:
                range.OnPiece(piece, effects);
                break;
            case Piece piece:
                _context.RefuseAndRelease(piece.Payload, effects);
                break;
            case StatePiece state when _context.Map is { } map && (uint)state.Shard < (uint)_shape.Shards && Find(map.StateRange(state.Shard)) is { } range:
                range.OnStatePiece(state, effects);
                break;
            case StatePiece state:
                _context.RefuseAndRelease(state.Payload, effects);
                break;
            case SegmentReduced reduced when _context.Map is { } map:
                Find(map.Segments[reduced.Segment].Range)?.OnReduced(reduced, effects);
                break;
            case StatesStored stored:
                Find(stored.Range)?.OnStatesStored(stored, effects);
                break;
            case Verdict verdict:
                OnVerdict(verdict, effects);
                break;
            case VerdictApplied applied:
                Find(applied.Range)?.OnApplied(applied, effects);
                break;
            case ReadParameters read:
                OnRead(envelope.From, read.Epoch, read.Range, read.Fence, read.Version, null, effects);
                break;
            case ReadState read:
                OnRead(envelope.From, read.Epoch, read.Range, read.Fence, read.Version, read.Shards, effects);
                break;
            case DiscardPieces discard when discard.Epoch == _context.Epoch:
                for (int i = 0; i < _ranges.Count; i++)
                {
                    _ranges.GetValueAtIndex(i).OnDiscard(discard, effects);
                }

                break;
            case CoverageRequest request when request.Epoch == _context.Epoch:
                for (int i = 0; i < _ranges.Count; i++)
                {
                    _ranges.GetValueAtIndex(i).OnCoverageRequest(request, effects);
                }

                break;
            case ReducedCopy copy when Find(copy.Range) is { } range:
                range.OnReducedCopy(envelope.From, copy, effects);
                break;
            case ReducedCopy copy:
                _context.RefuseAndRelease(copy.Payload, effects);
                break;
            case ReplicaHolds holds:
                Find(holds.Range)?.OnReplicaHolds(envelope.From, holds, effects);
                break;
            case RangeCopy copy:
                OnRangeCopy(copy, effects);
                break;
            case RangeLoaded loaded:
                Find(loaded.Range)?.OnLoaded(loaded, effects);
                break;
            case RangeFilled filled:
                Find(filled.Range)?.OnFilled(envelope.From, filled, effects);
                break;
            case TakeSnapshot take when take.Epoch == _context.Epoch:
                for (int i = 0; i < _ranges.Count; i++)
                {
                    _ranges.GetValueAtIndex(i).OnTakeSnapshot(take, effects);
                }

                break;
            case RangeSnapshotted kept:
                Find(kept.Range)?.OnSnapshotted(kept, effects);
                break;
            case ClaimEpoch claim:
                OnClaim(envelope.From, claim, now, effects);
                break;
            case Alive when _heartbeatAt == Instant.Never && _times.HeartbeatTicks > 0:
                _heartbeatAt = now + _times.HeartbeatTicks; // it is counted, and waits for a range
                break;
            case Rejoin rejoin when rejoin.Epoch >= _context.Epoch:
                Hello(now, effects);
                break;
            case ActorDown down when down.Actor == _coordinator:
                _watch.Lose(now, down.Reason, effects);
                Hello(now, effects);
                break;
            case Drain:
                _draining = true;
                effects.Send(_coordinator, new Leave());
                break;
            case Released released when released.Epoch >= _context.Epoch && _draining:
                End(effects, failed: false, "left as asked");
                break;
            case Refused refused:
                End(effects, failed: true, refused.Reason);
                break;
            case Shutdown shutdown when shutdown.Epoch >= _context.Epoch:
                End(effects, shutdown.Failed, shutdown.Reason);
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

        _context.Now = now;
        if (_watch.Tick(now, effects, out bool lostNow) is { } reason)
        {
            End(effects, failed: true, reason);
            return;
        }

        if (now >= _helloAt || lostNow)
        {
            Hello(now, effects);
        }

        if (now >= _heartbeatAt)
        {
            _heartbeatAt = now + _times.HeartbeatTicks;
            effects.Send(_coordinator, _draining ? new Leave() : new Heartbeat(_context.Epoch, -1, RefusedMessages));
        }

        for (int i = 0; i < _ranges.Count; i++)
        {
            _ranges.GetValueAtIndex(i).Tick(effects);
        }
    }

    private ServerRange? Find(int range) => _ranges.TryGetValue(range, out ServerRange? found) ? found : null;

    private void Hello(Instant now, EffectList effects)
    {
        effects.Send(_coordinator, new ServerHello(Limits.ProtocolVersion, _shape.JobId));
        _helloAt = now + Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_helloAttempts++, 16));
    }

    private void End(EffectList effects, bool failed, string reason)
    {
        _ended = true;
        effects.Do(new EndActor(failed, reason));
    }

    private void OnClaim(ActorId from, ClaimEpoch claim, Instant now, EffectList effects)
    {
        if (claim.Epoch < _context.Epoch)
        {
            effects.Send(from, Planted == PlantedFault.TwoCoordinatorsAccepted
                ? new EpochAccepted(claim.Epoch, claim.Map.Revision, [], _context.Verdict)
                : new EpochRefused(_context.Epoch));
            return;
        }

        bool newEpoch = claim.Epoch > _context.Epoch || _context.Map is null;
        if (newEpoch || claim.Map.Revision > _context.Map!.Revision)
        {
            bool first = _context.Map is null;
            if (!first && claim.Map.Origin > _context.Map!.Origin)
            {
                _context.Verdict = null; // the job went back
            }

            _context.Epoch = claim.Epoch;
            _context.Map = claim.Map;
            foreach (RangeOwner entry in claim.Map.Ranges)
            {
                bool mine = entry.Owner == Id || entry.Replica == Id;
                ServerRange? range = Find(entry.Range);
                if (mine && range is null)
                {
                    range = new ServerRange(_context, first && claim.Map.Origin == 0 ? _broughtVersion : -1);
                    _ranges.Add(entry.Range, range);
                }

                range?.Adopt(entry, newEpoch, effects);
            }
        }

        for (int i = _early.Count - 1; i >= 0; i--)
        {
            RangeCopy copy = _early.GetValueAtIndex(i);
            _early.RemoveAt(i);
            OnRangeCopy(copy, effects);
        }

        _helloAt = Instant.Never;
        _helloAttempts = 0;
        if (_heartbeatAt == Instant.Never && _times.HeartbeatTicks > 0)
        {
            _heartbeatAt = now + _times.HeartbeatTicks;
        }

        if (_draining)
        {
            effects.Send(_coordinator, new Leave());
        }

        var held = new List<HeldRange>();
        for (int i = 0; i < _ranges.Count; i++)
        {
            if (_ranges.GetValueAtIndex(i).IsHeld)
            {
                held.Add(new HeldRange(_ranges.GetKeyAtIndex(i), _ranges.GetValueAtIndex(i).Version));
            }
        }

        effects.Send(from, new EpochAccepted(_context.Epoch, _context.Map!.Revision, [.. held], _context.Verdict));
    }

    private void OnRangeCopy(RangeCopy copy, EffectList effects)
    {
        ServerRange? range = Find(copy.Range);
        if (range is not null && range.Expects(copy))
        {
            range.OnRangeCopy(copy, effects);
        }
        else if (range is null ? copy.Epoch >= _context.Epoch && (uint)copy.Range < Limits.MaximumRanges : range.MayExpect(copy))
        {
            if (_early.TryGetValue(copy.Range, out RangeCopy? before))
            {
                effects.Do(new ReleasePayload(before.Payload));
            }

            _early[copy.Range] = copy;
        }
        else
        {
            _context.RefuseAndRelease(copy.Payload, effects);
        }
    }

    private void OnVerdict(Verdict verdict, EffectList effects)
    {
        if (_context.Map is null || (verdict.Epoch != _context.Epoch && Planted != PlantedFault.NoEpochFence))
        {
            _context.Refused++;
            return;
        }

        for (int i = 0; i < _ranges.Count; i++)
        {
            _ranges.GetValueAtIndex(i).OnVerdict(verdict, effects);
        }
    }

    private void OnRead(ActorId from, long epoch, int range, long fence, long version, int[]? shards, EffectList effects)
    {
        if (_context.Map is null || (epoch != _context.Epoch && Planted != PlantedFault.NoEpochFence) || Find(range) is not { } held)
        {
            _context.Refused++;
            return;
        }

        held.OnRead(from, fence, version, shards, effects);
    }
}

/// <summary>What the copies of a server share.</summary>
internal sealed class ServerContext(ActorId id, ActorId coordinator, JobShape shape, ProtocolTimes times)
{
    public readonly ActorId Id = id;
    public readonly ActorId Coordinator = coordinator;
    public readonly JobShape Shape = shape;
    public readonly ProtocolTimes Times = times;
    public long Epoch;
    public RangeMap? Map;
    public Verdict? Verdict; // the last one that was applied, or is being applied
    public long Tickets;
    public long Refused;
    public long Superfluous;
    public Instant Now;
    public Instant HeardAt; // something of the coordinator
    public PlantedFault Planted;

    /// <summary>Whether a fence other than the range's own counts for nothing.</summary>
    public bool IsFenced(long fence, long own)
        => fence != own && !(Planted == PlantedFault.LeaseTrusted && Now - HeardAt < Times.LeaseTicks);

    public void RefuseAndRelease(long payload, EffectList effects)
    {
        Refused++;
        effects.Do(new ReleasePayload(payload));
    }
}
