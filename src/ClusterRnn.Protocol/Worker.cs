// The worker: takes assignments, gets the parameters and states they need, has them computed, sends the pieces.
//
// Its answers are held until the next step begins, so a piece that got lost, or that an owner needs again after a
// promotion, is sent again and not computed again. It asks for version v+1 as soon as its work on v is sent.
//
// When the map changes within an epoch (another owner, a raised fence) what was computed stays: open questions go to the new
// owner, and the pieces of changed ranges are sent there once more. Another epoch makes it forget everything.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>The state machine of a worker.</summary>
public sealed class Worker : IActor
{
    private readonly ActorId _coordinator;
    private readonly JobShape _shape;
    private readonly ProtocolTimes _times;

    private readonly List<Assign> _queue = [];
    private readonly List<Answer> _answers = [];
    private readonly long[][] _cachedVersion; // [version parity][shard]: the version of the state that is held, or -1
    private readonly List<int> _wanted = [];

    private Status _status = Status.Joining;
    private long _epoch;
    private RangeMap? _map;
    private RangeRead[] _reads = [];
    private Assign? _running;
    private bool[] _sentSegments = [];
    private bool _draining;
    private long _newestAssignment = -1;
    private long _workVersion = -1;
    private WorkKind _workKind;
    private Instant _helloAt;
    private int _helloAttempts;
    private Instant _heartbeatAt = Instant.Never;
    private Instant _mapAskedAt = Instant.Never;
    private readonly CoordinatorWatch _watch;
    private Instant _stateReadAt = Instant.Never;
    private int _stateReadAttempts;

    /// <summary>A worker that has not joined yet.</summary>
    public Worker(ActorId id, ActorId coordinator, JobShape shape, ProtocolTimes times)
    {
        Id = id;
        _coordinator = coordinator;
        _shape = shape;
        _times = times;
        _watch = new CoordinatorWatch(id, times);
        _cachedVersion = [new long[shape.Shards], new long[shape.Shards]];
        ForgetStates();
    }

    private enum Status : byte
    {
        Joining,
        Active,
        Ended,
    }

    /// <inheritdoc/>
    public ActorId Id { get; }

    /// <inheritdoc/>
    public Instant NextTick
    {
        get
        {
            if (_status == Status.Ended)
            {
                return Instant.Never;
            }

            if (_status == Status.Joining)
            {
                return Instant.Earlier(_helloAt, _watch.NextTick);
            }

            Instant next = Instant.Earlier(_watch.NextTick, Instant.Earlier(_heartbeatAt, _stateReadAt));
            foreach (RangeRead read in _reads)
            {
                next = Instant.Earlier(next, read.RetryAt);
            }

            return next;
        }
    }

    /// <inheritdoc/>
    public void Start(Instant now, EffectList effects)
    {
        _watch.Start(now);
        Hello(now, effects);
    }

    /// <inheritdoc/>
    public void Handle(in Envelope envelope, Instant now, EffectList effects)
    {
        if (_status == Status.Ended)
        {
            return;
        }

        if (envelope.From == _coordinator && envelope.Message is not ActorDown)
        {
            _watch.Heard(now);
        }

        switch (envelope.Message)
        {
            case Assign assign:
                OnAssign(assign, now, effects);
                break;
            case ParametersArrived arrived:
                OnParameters(arrived, now, effects);
                break;
            case StateArrived arrived:
                OnState(arrived, now, effects);
                break;
            case SegmentComputed ready:
                OnSegment(ready, effects);
                break;
            case Computed computed:
                OnComputed(computed, now, effects);
                break;
            case Welcome welcome:
                OnWelcome(welcome, now, effects);
                break;
            case ReadRefused refused:
                OnReadRefused(refused, effects);
                break;
            case Rejoin rejoin when rejoin.Epoch >= _epoch && _status == Status.Active:
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
            case Released released when released.Epoch >= _epoch:
                End(effects, failed: false, "left as asked");
                break;
            case Refused refused:
                End(effects, failed: true, refused.Reason);
                break;
            case Shutdown shutdown when shutdown.Epoch >= _epoch:
                End(effects, shutdown.Failed, shutdown.Reason);
                break;
        }
    }

    /// <inheritdoc/>
    public void Tick(Instant now, EffectList effects)
    {
        if (_status == Status.Ended)
        {
            return;
        }

        if (_watch.Tick(now, effects, out bool lostNow) is { } reason)
        {
            End(effects, failed: true, reason);
            return;
        }

        if (lostNow)
        {
            Hello(now, effects);
        }

        if (_status == Status.Joining)
        {
            if (now >= _helloAt)
            {
                Hello(now, effects);
            }

            return;
        }

        if (now >= _heartbeatAt)
        {
            _heartbeatAt = now + _times.HeartbeatTicks;
            effects.Send(_coordinator, _draining ? new Leave() : new Heartbeat(_epoch, _running?.Assignment ?? -1, 0));
        }

        for (int range = 0; range < _reads.Length; range++)
        {
            RangeRead read = _reads[range];
            if (now >= read.RetryAt)
            {
                effects.Send(_map!.Ranges[range].Owner, new ReadParameters(_epoch, range, _map.Ranges[range].Fence, read.Wanted));
                read.RetryAt = now + read.Usual.RetryAfter(_times, ++read.Attempts);
            }
        }

        if (now >= _stateReadAt)
        {
            _stateReadAt = Instant.Never;
            Proceed(now, effects);
        }
    }

    private void Hello(Instant now, EffectList effects)
    {
        _status = Status.Joining;
        effects.Send(_coordinator, new WorkerHello(Limits.ProtocolVersion, _shape.JobId, _shape.DataSha256));
        long wait = Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_helloAttempts++, 16));
        _helloAt = now + wait;
    }

    private void End(EffectList effects, bool failed, string reason)
    {
        _status = Status.Ended;
        effects.Do(new EndActor(failed, reason));
    }

    private void OnWelcome(Welcome welcome, Instant now, EffectList effects)
    {
        bool newer = _map is null || welcome.Epoch > _epoch || welcome.Map.Revision > _map.Revision;
        if (welcome.Epoch < _epoch || (_status == Status.Active && !newer))
        {
            return;
        }

        RangeMap? before = welcome.Epoch == _epoch ? _map : null;
        if (welcome.Epoch > _epoch || _map is null)
        {
            // Another epoch: what was read or computed under the old one doesn't count any more.
            _epoch = welcome.Epoch;
            _queue.Clear();
            DropAnswers(effects);
            ForgetStates();
            _newestAssignment = -1;
            _workVersion = -1;
            _reads = new RangeRead[welcome.Map.Ranges.Length];
            for (int i = 0; i < _reads.Length; i++)
            {
                _reads[i] = new RangeRead();
            }

            _sentSegments = new bool[welcome.Map.Segments.Length];
        }

        _map = newer ? welcome.Map : _map;
        _status = Status.Active;
        _helloAttempts = 0;
        _mapAskedAt = Instant.Never;
        _heartbeatAt = _times.HeartbeatTicks > 0 ? now + _times.HeartbeatTicks : Instant.Never;
        if (_draining)
        {
            effects.Send(_coordinator, new Leave());
        }

        if (before is not null && newer)
        {
            FollowChanges(before, now, effects);
        }

        Proceed(now, effects); // the last thing it needed may have come while it was not welcome
    }

    /// <summary>The welcome with the present map was lost on the way, or is late.</summary>
    private void AskForMap(Instant now, EffectList effects)
    {
        if (_mapAskedAt == Instant.Never || now - _mapAskedAt >= _times.RetryFloorTicks)
        {
            _mapAskedAt = now;
            effects.Send(_coordinator, new WorkerHello(Limits.ProtocolVersion, _shape.JobId, _shape.DataSha256));
        }
    }

    /// <summary>Owners or fences changed within the epoch.</summary>
    private void FollowChanges(RangeMap before, Instant now, EffectList effects)
    {
        bool any = false;
        foreach (RangeOwner range in _map!.Ranges)
        {
            RangeOwner old = before.Ranges[range.Range];
            if (old.Owner == range.Owner && old.Fence == range.Fence)
            {
                continue;
            }

            any = true;
            RangeRead read = _reads[range.Range];
            if (read.RetryAt != Instant.Never)
            {
                effects.Send(range.Owner, new ReadParameters(_epoch, range.Range, range.Fence, read.Wanted));
                read.RetryAt = now + read.Usual.RetryAfter(_times, ++read.Attempts);
            }

            for (int segment = 0; segment < _sentSegments.Length; segment++)
            {
                _sentSegments[segment] &= _map.Segments[segment].Range != range.Range; // once more, when it is computed
            }

            foreach (Answer held in _answers)
            {
                if (held.Assign.Kind == WorkKind.Train)
                {
                    SendPiecesOf(range.Range, held, effects);
                }
            }
        }

        if (any)
        {
            _stateReadAt = Instant.Never; // asked anew
            Proceed(now, effects);
        }
    }

    private void SendPiecesOf(int range, Answer held, EffectList effects)
    {
        for (int segment = 0; segment < _map!.Segments.Length; segment++)
        {
            if (_map.Segments[segment].Range == range)
            {
                foreach (SubtreeReport subtree in held.Subtrees)
                {
                    SendSegment(held.Assign, subtree.Subtree, segment, effects);
                }
            }
        }

        SendStates(held.Assign, range, effects);
    }

    private void OnAssign(Assign assign, Instant now, EffectList effects)
    {
        if (_status == Status.Active && assign.Epoch > _epoch)
        {
            AskForMap(now, effects);
        }

        if (_status != Status.Active || assign.Epoch != _epoch)
        {
            return; // before the welcome, or from a coordinator that was replaced: it asks again
        }

        if (assign.Revision > _map!.Revision)
        {
            AskForMap(now, effects); // what is computed doesn't depend on it
        }

        bool sameWork = assign.Version == _workVersion && assign.Kind == _workKind;
        if (!sameWork && assign.Assignment < _newestAssignment)
        {
            return;
        }

        if (!sameWork)
        {
            _workVersion = assign.Version;
            _workKind = assign.Kind;
            foreach (Assign dropped in _queue)
            {
                // Or the coordinator would wait for an answer, and give this worker nothing while others are there.
                effects.Send(_coordinator, new AssignmentAbandoned(_epoch, dropped.Assignment));
            }

            _queue.Clear();
            DropAnswers(effects);
        }

        _newestAssignment = Math.Max(_newestAssignment, assign.Assignment);
        if (_running is { } running && running.Assignment == assign.Assignment)
        {
            return;
        }

        foreach (Answer held in _answers)
        {
            if (held.Assign.Assignment == assign.Assignment)
            {
                SendPieces(held.Assign, held.Subtrees, null, effects);
                SendReport(held, effects);
                return;
            }
        }

        foreach (Assign queued in _queue)
        {
            if (queued.Assignment == assign.Assignment)
            {
                return;
            }
        }

        if (assign.IgnoreCachedState && assign.Kind == WorkKind.Train)
        {
            // Only what stands in the slot of this version is in doubt.
            long[] held = _cachedVersion[assign.Version & 1];
            for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
            {
                held[shard] = -1;
            }
        }

        _queue.Add(assign);
        Proceed(now, effects);
    }

    /// <summary>Starts the next computation when nothing is missing, else asks for what is.</summary>
    private void Proceed(Instant now, EffectList effects)
    {
        if (_running is not null || _queue.Count == 0 || _status != Status.Active)
        {
            return;
        }

        Assign assign = _queue[0];
        bool missing = false;
        for (int range = 0; range < _reads.Length; range++)
        {
            // A range without blocks that owns states is waited for as well: it must have committed the last step before
            // it can take the states of this one.
            if (_map!.TakesPart(range, _shape) && _reads[range].Arrived != assign.Version)
            {
                missing = true;
                Ask(range, assign.Version, now, effects);
            }
        }

        if (assign.Kind == WorkKind.Train && _shape.CarriesState)
        {
            missing |= AskForStates(assign, now, effects);
        }

        if (missing)
        {
            return;
        }

        _queue.RemoveAt(0);
        _running = assign;
        Array.Clear(_sentSegments);
        if (assign.Kind == WorkKind.Train)
        {
            // The slot of the next version is about to be overwritten; the state of version v stays for other assignments.
            long[] next = _cachedVersion[(assign.Version + 1) & 1];
            for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
            {
                next[shard] = -1;
            }
        }

        effects.Do(new ComputeShards(_epoch, assign.Version, assign.Kind, assign.Assignment, assign.Range));
    }

    private void Ask(int range, long version, Instant now, EffectList effects)
    {
        RangeRead read = _reads[range];
        if (read.Wanted == version && read.RetryAt != Instant.Never)
        {
            return; // asked already
        }

        read.Wanted = version;
        read.AskedAt = now;
        read.Attempts = 0;
        read.RetryAt = now + read.Usual.RetryAfter(_times, 0);
        effects.Send(_map!.Ranges[range].Owner, new ReadParameters(_epoch, range, _map.Ranges[range].Fence, version));
    }

    private bool AskForStates(Assign assign, Instant now, EffectList effects)
    {
        long[] held = _cachedVersion[assign.Version & 1];
        bool missing = false;
        for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
        {
            missing |= held[shard] != assign.Version;
        }

        if (!missing || _stateReadAt != Instant.Never)
        {
            return missing;
        }

        for (int range = 0; range < _map!.Ranges.Length; range++)
        {
            _wanted.Clear();
            for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
            {
                if (held[shard] != assign.Version && _map.StateRange(shard) == range)
                {
                    _wanted.Add(shard);
                }
            }

            if (_wanted.Count > 0)
            {
                RangeOwner owner = _map.Ranges[range];
                effects.Send(owner.Owner, new ReadState(_epoch, range, owner.Fence, assign.Version, [.. _wanted]));
            }
        }

        _stateReadAt = now + _reads[0].Usual.RetryAfter(_times, _stateReadAttempts++);
        return true;
    }

    private void OnParameters(ParametersArrived arrived, Instant now, EffectList effects)
    {
        if (arrived.Epoch != _epoch || arrived.Range >= _reads.Length)
        {
            return;
        }

        RangeRead read = _reads[arrived.Range];
        if (arrived.Version != read.Wanted)
        {
            return; // an answer to a question that is no longer asked
        }

        if (read.RetryAt != Instant.Never)
        {
            read.Usual.Observe(now - read.AskedAt, read.Attempts, _times);
        }

        read.Arrived = arrived.Version;
        read.RetryAt = Instant.Never;
        Proceed(now, effects);
    }

    private void OnState(StateArrived arrived, Instant now, EffectList effects)
    {
        // Only while they are awaited: a second answer would write where a computation is reading.
        if (arrived.Epoch != _epoch || _running is not null || _queue.Count == 0 || _queue[0].Kind != WorkKind.Train
            || arrived.Version != _queue[0].Version)
        {
            return;
        }

        long[] held = _cachedVersion[arrived.Version & 1];
        effects.Do(new HoldStates(arrived.Version, arrived.Shards, arrived.Payload));
        foreach (int shard in arrived.Shards)
        {
            held[shard] = arrived.Version;
        }

        if (_queue.Count > 0 && !AnyStateMissing(_queue[0], held))
        {
            _stateReadAt = Instant.Never;
            _stateReadAttempts = 0;
        }

        Proceed(now, effects);
    }

    private static bool AnyStateMissing(Assign assign, long[] held)
    {
        for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
        {
            if (held[shard] != assign.Version)
            {
                return true;
            }
        }

        return false;
    }

    private void OnReadRefused(ReadRefused refused, EffectList effects)
    {
        if (refused.Epoch != _epoch || refused.Range >= _reads.Length)
        {
            return;
        }

        RangeRead read = _reads[refused.Range];
        if (read.Wanted == refused.Version)
        {
            read.Wanted = -1;
            read.RetryAt = Instant.Never;
        }

        // The step went on without this worker. What it still has of it can't be computed.
        bool any = false;
        foreach (Assign assign in _queue)
        {
            if (assign.Version == refused.Version)
            {
                effects.Send(_coordinator, new AssignmentAbandoned(_epoch, assign.Assignment));
                any = true;
            }
        }

        if (any)
        {
            _queue.Clear(); // all of one version
            _stateReadAt = Instant.Never;
        }
    }

    private void OnSegment(SegmentComputed ready, EffectList effects)
    {
        if (_running is not { Kind: WorkKind.Train } running || running.Assignment != ready.Assignment || running.Epoch != _epoch
            || _sentSegments[ready.Segment])
        {
            return;
        }

        _sentSegments[ready.Segment] = true;
        var program = new MergeProgram(running.Range, _shape.Shards);
        foreach (ShardRange subtree in program.Subtrees)
        {
            SendSegment(running, subtree, ready.Segment, effects);
        }
    }

    private void OnComputed(Computed computed, Instant now, EffectList effects)
    {
        if (_running is not { } assign || assign.Assignment != computed.Assignment)
        {
            return;
        }

        _running = null;
        if (assign.Epoch != _epoch)
        {
            effects.Do(new ReleaseAnswer(assign.Assignment));
        }
        else if (!computed.Usable)
        {
            effects.Do(new ReleaseAnswer(assign.Assignment));
            effects.Send(_coordinator, new AssignmentAbandoned(_epoch, assign.Assignment));
        }
        else
        {
            var answer = new Answer(assign, computed.Shards, computed.Subtrees, computed.ComputeTicks);
            bool current = assign.Version == _workVersion && assign.Kind == _workKind;
            if (assign.Kind == WorkKind.Train && current)
            {
                long[] next = _cachedVersion[(assign.Version + 1) & 1];
                for (int shard = assign.Range.Start; shard < assign.Range.End; shard++)
                {
                    next[shard] = assign.Version + 1;
                }
            }

            // The pieces of a step that is over help nobody; the report is sent all the same, to be compared.
            if (current)
            {
                SendPieces(assign, computed.Subtrees, _sentSegments, effects);
                _answers.Add(answer);
            }

            SendReport(answer, effects);
            if (!current)
            {
                effects.Do(new ReleaseAnswer(assign.Assignment));
            }
        }

        Proceed(now, effects);
        if (_running is null && _queue.Count == 0 && assign.Kind == WorkKind.Train && assign.Epoch == _epoch && !_draining)
        {
            // What comes next needs the next version; the owner answers as soon as it has it.
            for (int range = 0; range < _reads.Length; range++)
            {
                if (_map!.TakesPart(range, _shape) && _reads[range].Arrived <= assign.Version)
                {
                    Ask(range, assign.Version + 1, now, effects);
                }
            }
        }
    }

    private void SendReport(Answer answer, EffectList effects)
        => effects.Send(_coordinator, new ShardsReported(
            _epoch, answer.Assign.Version, answer.Assign.Kind, answer.Assign.Assignment, answer.Shards, answer.Subtrees, answer.ComputeTicks));

    private void SendPieces(Assign assign, SubtreeReport[] subtrees, bool[]? alreadySent, EffectList effects)
    {
        if (assign.Kind != WorkKind.Train)
        {
            return;
        }

        for (int segment = 0; segment < _map!.Segments.Length; segment++)
        {
            if (alreadySent is not null && alreadySent[segment])
            {
                continue;
            }

            foreach (SubtreeReport subtree in subtrees)
            {
                SendSegment(assign, subtree.Subtree, segment, effects);
            }
        }

        SendStates(assign, -1, effects);
    }

    /// <summary>Sends the states of an answer to one range, or to all.</summary>
    private void SendStates(Assign assign, int range, EffectList effects)
    {
        for (int shard = assign.Range.Start; shard < assign.Range.End && _shape.CarriesState; shard++)
        {
            RangeOwner owner = _map!.Ranges[_map.StateRange(shard)];
            if (range < 0 || owner.Range == range)
            {
                effects.Do(new SendStatePiece(owner.Owner, _epoch, assign.Version, owner.Fence, shard, assign.Assignment));
            }
        }
    }

    private void SendSegment(Assign assign, ShardRange subtree, int segment, EffectList effects)
    {
        RangeOwner owner = _map!.Ranges[_map.Segments[segment].Range];
        effects.Do(new SendPiece(owner.Owner, new PieceKey(_epoch, assign.Version, owner.Fence, segment, subtree, assign.Assignment)));
    }

    private void DropAnswers(EffectList effects)
    {
        foreach (Answer answer in _answers)
        {
            effects.Do(new ReleaseAnswer(answer.Assign.Assignment));
        }

        _answers.Clear();
        _stateReadAt = Instant.Never;
        _stateReadAttempts = 0;
    }

    private void ForgetStates()
    {
        Array.Fill(_cachedVersion[0], -1);
        Array.Fill(_cachedVersion[1], -1);
    }

    private sealed record Answer(Assign Assign, ShardReport[] Shards, SubtreeReport[] Subtrees, long ComputeTicks);

    /// <summary>What is known of one range's parameters.</summary>
    private sealed class RangeRead
    {
        public long Wanted = -1;
        public long Arrived = -1;
        public Instant AskedAt;
        public Instant RetryAt = Instant.Never;
        public int Attempts;
        public ObservedTime Usual;
    }
}
