// The real state machines under virtual time, on a network that delays, reorders, duplicates and drops, with workers that
// crash, stall, join and leave and a coordinator that crashes. Everything random comes from one seed.
//
// The "gradient" of a shard is a hash of everything it may depend on, and the "sum" of two subtrees is a hash that does not
// commute, so an answer formed from another version, with a shard twice or in another order is another number. A reference
// without any protocol says what every version must be; it is compared at every reduce and every apply.
using System.Collections.Immutable;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

internal sealed record SimulationPlan
{
    public required int Seed { get; init; }
    public int Steps { get; init; } = 12;
    public int Shards { get; init; } = 8;
    public int Workers { get; init; } = 3;
    public int Servers { get; init; } = 2;
    public bool Replicas { get; init; }
    public bool CarriesState { get; init; } = true;
    public double Drop { get; init; }
    public double Duplicate { get; init; }
    public double WorkerCrash { get; init; } // a step
    public double CoordinatorCrash { get; init; } // a step
    public double Stall { get; init; } // a computation
    public double NotFinite { get; init; } // a computation
    public bool SegmentsEarly { get; init; }

    public static SimulationPlan FromSeed(int seed)
    {
        var random = new Random(seed);
        bool Chance(double p) => random.NextDouble() < p;
        return new SimulationPlan
        {
            Seed = seed,
            Steps = random.Next(4, 10),
            Shards = Chance(0.1) ? 1 : random.Next(1, 14),
            Workers = random.Next(1, 6),
            Servers = random.Next(1, 4),
            Replicas = Chance(0.3),
            CarriesState = Chance(0.7),
            Drop = Chance(0.5) ? random.NextDouble() * 0.15 : 0,
            Duplicate = Chance(0.5) ? random.NextDouble() * 0.2 : 0,
            WorkerCrash = Chance(0.5) ? random.NextDouble() * 0.5 : 0,
            CoordinatorCrash = Chance(0.3) ? random.NextDouble() * 0.3 : 0,
            Stall = Chance(0.4) ? random.NextDouble() * 0.2 : 0,
            NotFinite = Chance(0.3) ? random.NextDouble() * 0.1 : 0,
            SegmentsEarly = Chance(0.3),
        };
    }
}

internal sealed class SimulationFailure(string message) : Exception(message);

/// <summary>What every version must be, computed without a protocol.</summary>
internal sealed class Reference
{
    private readonly SimulationPlan _plan;
    private readonly RangeMap _map;

    public Reference(SimulationPlan plan, RangeMap map)
    {
        _plan = plan;
        _map = map;
        var policy = new FakePolicy(plan.Steps);
        ulong[] parameters = [.. map.Segments.Select(s => Mix(7, (ulong)s.FirstBlock))];
        ulong[] states = new ulong[plan.Shards];
        Parameters.Add(parameters);
        States.Add(states);
        for (long step = 0; policy.Next(step) != NextAction.End; step++)
        {
            if (policy.Next(step) == NextAction.Evaluate)
            {
                policy.Evaluated(step, [.. Enumerable.Range(0, FakePolicy.EvaluationShards).Select(s => Evaluate(parameters, s))]);
            }

            ulong[] reduced = [.. map.Segments.Select(g => Subtree(parameters, states, step, g.Index, new ShardRange(0, plan.Shards)))];
            ShardReport[] reports = [.. Enumerable.Range(0, plan.Shards).Select(s => Train(parameters, states, step, s, 0))];
            Decision decision = policy.Decide(new StepOutcome(step, reports, map.Segments.Sum(g => SquaresOf(reduced[g.Index], g).Sum()), true));
            parameters = [.. map.Segments.Select(g => Apply(parameters[g.Index], reduced[g.Index], decision))];
            states = [.. Enumerable.Range(0, plan.Shards).Select(s => NextState(parameters: Parameters[^1], states, step, s))];
            Parameters.Add(parameters);
            States.Add(states);
        }
    }

    public List<ulong[]> Parameters { get; } = []; // [version][segment]

    public List<ulong[]> States { get; } = []; // [version][shard]

    public static ulong Mix(ulong a, ulong b)
    {
        ulong z = (a * 0x9E3779B97F4A7C15) ^ (b + 0xD1B54A32D192ED03 + (a << 6) + (a >> 2));
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    public static ulong All(IEnumerable<ulong> values) => values.Aggregate(3UL, Mix);

    public ulong Gradient(ulong[] parameters, ulong[] states, long step, int segment, int shard)
        => Mix(Mix(All(parameters), _plan.CarriesState ? states[shard] : 0), Mix((ulong)step, (ulong)((segment * 1000) + shard)));

    public ulong Subtree(ulong[] parameters, ulong[] states, long step, int segment, ShardRange node)
    {
        if (node.Count == 1)
        {
            return Gradient(parameters, states, step, segment, node.Start);
        }

        int middle = CanonicalTree.Split(node.Start, node.End);
        return Mix(
            Subtree(parameters, states, step, segment, new ShardRange(node.Start, middle)),
            Subtree(parameters, states, step, segment, new ShardRange(middle, node.End)));
    }

    public static ulong NextState(ulong[] parameters, ulong[] states, long step, int shard)
        => Mix(Mix(All(parameters), states[shard]), (ulong)step);

    public ShardReport Train(ulong[] parameters, ulong[] states, long step, int shard, ulong poison)
    {
        ulong all = Mix(All(parameters), Mix((ulong)step, (ulong)shard));
        double loss = poison == 0 ? all % 1000 : double.NaN;
        ulong state = _plan.CarriesState ? NextState(parameters, states, step, shard) ^ poison : 0;
        return new ShardReport(shard, [loss], [(long)(all % 7)], all, state, poison == 0);
    }

    public static ShardReport Evaluate(ulong[] parameters, int shard)
    {
        ulong all = Mix(All(parameters), (ulong)shard);
        return new ShardReport(shard, [all % 500], [1], all, 0, true);
    }

    public static double[] SquaresOf(ulong reduced, Segment segment)
        => [.. Enumerable.Range(0, segment.BlockCount).Select(b => (double)(Mix(reduced, (ulong)b) % 64))];

    public static ulong Apply(ulong parameters, ulong reduced, in Decision decision)
        => decision.Kind == VerdictKind.Skip ? parameters : Mix(parameters, Mix(reduced, BitConverter.DoubleToUInt64Bits(decision.LearningRate)));
}

/// <summary>A policy whose every number depends on everything it was ever told.</summary>
internal sealed class FakePolicy(int steps) : IVerdictPolicy
{
    public const int EvaluationShards = 3;
    public const int EvaluateEvery = 4;
    public const int SaveEvery = 3;

    private ulong _memory = 1;
    private long _evaluated = -1;
    private long _saved = -1;

    public string EndReason => "all steps are done";

    public bool Saves { get; init; }

    public Decision Decide(in StepOutcome outcome)
    {
        if (!outcome.Finite)
        {
            return new Decision(VerdictKind.Skip, 0, 1, 0, 0, "not finite");
        }

        long count = 0;
        foreach (ShardReport report in outcome.Shards)
        {
            _memory = Reference.Mix(_memory, (ulong)report.Sums[0]);
            count += report.Counts[0];
        }

        _memory = Reference.Mix(_memory, (ulong)outcome.SumOfSquares);
        return new Decision(VerdictKind.Apply, count, 1, _memory % 4096, outcome.Version + 1, null);
    }

    public NextAction Next(long version)
        => version > 0 && version % EvaluateEvery == 0 && _evaluated != version ? NextAction.Evaluate
            : Saves && version > 0 && version % SaveEvery == 0 && _saved != version ? NextAction.Save
            : version >= steps ? NextAction.End
            : NextAction.Train;

    public void Evaluated(long version, ShardReport[] shards)
    {
        _evaluated = version;
        foreach (ShardReport report in shards)
        {
            _memory = Reference.Mix(_memory, (ulong)report.Sums[0]);
        }
    }

    public void Saved(long version) => _saved = version;

    public ReadOnlyMemory<byte> Capture() => BitConverter.GetBytes(_memory);

    public void Restore(ReadOnlyMemory<byte> state)
    {
        _memory = BitConverter.ToUInt64(state.Span);
        _evaluated = -1;
    }
}

/// <summary>One run.</summary>
internal sealed class ProtocolSimulation
{
    private const long LongestVirtualSeconds = 600;

    private static readonly ProtocolTimes Times = new()
    {
        HeartbeatTicks = 20_000,
        LeaseTicks = 400_000,
        SpeculationFloorTicks = 10_000,
        RetryFloorTicks = 30_000,
        RetryCeilingTicks = 300_000,
        FailureFloorTicks = 60_000_000,
        NoWorkersTicks = 60_000_000,
    };

    private readonly SimulationPlan _plan;
    private readonly Random _random;
    private readonly RangeMap _map;
    private readonly JobShape _shape;
    private readonly Reference _reference;
    private readonly PriorityQueue<Flight, (long At, long Order)> _flights = new();
    private readonly SortedList<ActorId, Node> _nodes = [];
    private readonly Dictionary<long, object> _payloads = [];
    private readonly EffectList _effects = new();
    private readonly List<VerdictRecord> _journal = [];
    private Instant _now;
    private long _order;
    private long _nextPayload = 1;
    private int _nextWorker;
    private long _epoch;
    private EndJob? _end;
    private bool _faultsAreOver;
    private long _crashedAtStep = -1;
    private readonly Queue<(Instant At, object What)> _trace = new();

    public ProtocolSimulation(SimulationPlan plan)
    {
        _plan = plan;
        _random = new Random(plan.Seed ^ 0x5eed);
        _map = MapOf(plan, _random);
        _shape = new JobShape("job", "data", plan.Shards, FakePolicy.EvaluationShards, plan.CarriesState);
        _reference = new Reference(plan, _map);
        foreach (RangeOwner range in _map.Ranges)
        {
            AddServer(range.Owner, range.Range);
            if (range.Replica is { } replica)
            {
                AddServer(replica, range.Range);
            }
        }

        StartCoordinator();
        for (int i = 0; i < plan.Workers; i++)
        {
            AddWorker();
        }
    }

    public SortedDictionary<string, long> Seen { get; } = new(StringComparer.Ordinal);

    public Counters? Counters { get; private set; }

    public long Events { get; private set; }

    public void Run()
    {
        while (_end is null)
        {
            Instant tick = Instant.Never;
            foreach (Node node in _nodes.Values)
            {
                tick = Instant.Earlier(tick, node.Actor.NextTick);
            }

            if (++Events > 400_000)
            {
                throw Failure("the run doesn't end: 400,000 events");
            }

            bool hasFlight = _flights.TryPeek(out Flight? flight, out (long At, long Order) priority);
            if (!hasFlight && tick == Instant.Never)
            {
                throw Failure("nothing is on its way and nobody waits for anything");
            }

            if (hasFlight && priority.At <= tick.Ticks)
            {
                _flights.Dequeue();
                Advance(priority.At);
                Deliver(flight!);
            }
            else
            {
                Advance(tick.Ticks);
                foreach (Node node in _nodes.Values.ToArray())
                {
                    if (node.Actor.NextTick <= _now && _nodes.ContainsKey(node.Actor.Id))
                    {
                        node.Actor.Tick(_now, _effects);
                        Perform(node);
                    }
                }
            }

            if (_now.Ticks > LongestVirtualSeconds * Instant.TicksPerSecond)
            {
                throw Failure($"the run doesn't end: {LongestVirtualSeconds} virtual seconds");
            }
        }

        if (_end.Failed || _end.Version != _plan.Steps)
        {
            throw Failure($"ended at {_end.Version} of {_plan.Steps}: {_end.Reason}");
        }

        Drain();
        foreach (Node node in _nodes.Values)
        {
            // The job may end before the last verdict has reached a replica.
            if (node.Actor is ParameterServer server
                && (server.Version < _plan.Steps - (server.Id.Number >= _plan.Servers ? 1 : 0) || !node.Segments.SequenceEqual(SegmentsOf(node.Range, server.Version))))
            {
                throw Failure($"{server.Id} ended at version {server.Version} with other parameters than the reference");
            }
        }

        for (int i = 0; i < _journal.Count; i++)
        {
            if (_journal[i].Verdict.Step != i)
            {
                throw Failure($"the journal has step {_journal[i].Verdict.Step} at place {i}: a step was committed twice or not at all");
            }
        }
    }

    /// <summary>Lets messages arrive that were on the way when the job ended: the last verdict to replicas, shutdowns.</summary>
    private void Drain()
    {
        while (_flights.TryDequeue(out Flight? flight, out (long At, long Order) priority))
        {
            Advance(priority.At);
            Deliver(flight);
        }
    }

    private SimulationFailure Failure(string what) => new(
        $"seed {_plan.Seed} at {_now}, step {(_nodes.TryGetValue(ActorId.Coordinator, out Node? c) ? ((Coordinator)c.Actor).Version : -1)}: {what}\n{(c?.Actor as Coordinator)?.Describe()}\n{_plan}\n{string.Join('\n', _trace.Select(t => $"{t.At} {t.What}"))}");

    private static RangeMap MapOf(SimulationPlan plan, Random random)
    {
        int blocks = random.Next(0, 12);
        RangeMap even = RangeMap.Spread(blocks, plan.Servers, []);
        var segments = ImmutableArray.CreateBuilder<Segment>();
        foreach (RangeOwner range in even.Ranges)
        {
            int first = range.FirstBlock;
            while (first < range.FirstBlock + range.BlockCount)
            {
                int count = random.Next(1, range.FirstBlock + range.BlockCount - first + 1);
                segments.Add(new Segment(segments.Count, range.Range, first, count));
                first += count;
            }
        }

        ImmutableArray<RangeOwner> ranges = !plan.Replicas ? even.Ranges
            : [.. even.Ranges.Select(r => r with { Replica = ActorId.Server(plan.Servers + r.Range) })];
        return new RangeMap(ranges, segments.ToImmutable());
    }

    private void Advance(long ticks)
    {
        if (ticks > _now.Ticks)
        {
            _now = new Instant(ticks);
        }
    }

    private ulong[] SegmentsOf(int range, long version)
        => [.. _map.Segments.Where(s => s.Range == range).Select(s => _reference.Parameters[(int)version][s.Index])];

    private void AddServer(ActorId id, int range)
    {
        var node = new Node(new ParameterServer(id, ActorId.Coordinator, _shape, Times, 0))
        {
            Range = range,
            Segments = SegmentsOf(range, 0),
            States = [.. _reference.States[0]],
        };
        _nodes.Add(id, node);
        node.Actor.Start(_now, _effects);
        Perform(node);
    }

    private void AddWorker()
    {
        var id = ActorId.Worker(_nextWorker++);
        var node = new Node(new Worker(id, ActorId.Coordinator, _shape, Times));
        _nodes.Add(id, node);
        node.Actor.Start(_now, _effects);
        Perform(node);
    }

    private void StartCoordinator()
    {
        _nodes.Remove(ActorId.Coordinator);
        var policy = new FakePolicy(_plan.Steps) { Saves = true };
        var coordinator = new Coordinator(
            ActorId.Coordinator, _shape, _map, policy, Times, ++_epoch, _journal.Count > 0 ? _journal[^1].Verdict : null);
        Counters = coordinator.Counters;
        var node = new Node(coordinator);
        _nodes.Add(ActorId.Coordinator, node);
        coordinator.Start(_now, _effects);
        Perform(node);
    }

    private void Deliver(Flight flight)
    {
        if (_nodes.TryGetValue(flight.Envelope.To, out Node? node) && (flight.Incarnation == 0 || flight.Incarnation == node.Incarnation))
        {
            if (flight.Content is not null && flight.Envelope.Message is ParametersArrived arrived)
            {
                node.Parameters[(arrived.Range, arrived.Version)] = (ulong[])flight.Content;
            }

            Trace(flight.Envelope);
            flight.Before?.Invoke();
            node.Actor.Handle(flight.Envelope, _now, _effects);
            Perform(node);
        }
    }

    private void Network(ActorId from, ActorId to, Message message, object? content = null)
    {
        bool lossy = !_faultsAreOver;
        if (lossy && _random.NextDouble() < _plan.Drop)
        {
            return;
        }

        int copies = lossy && _random.NextDouble() < _plan.Duplicate ? 2 : 1;
        for (int i = 0; i < copies; i++)
        {
            Message copy = message switch
            {
                // A payload belongs to the message that brought it.
                Piece piece => piece with { Payload = Keep(content!) },
                StatePiece piece => piece with { Payload = Keep(content!) },
                StateArrived state => state with { Payload = Keep(content!) },
                ReducedCopy reduced => reduced with { Payload = Keep(content!) },
                _ => message,
            };
            long delay = _random.Next(10) == 0 ? _random.Next(1, 40_000) : _random.Next(1, 2_000);
            _flights.Enqueue(new Flight(new Envelope(from, to, copy), content, 0, null), (_now.Ticks + delay, _order++));
        }
    }

    private long Keep(object content)
    {
        _payloads.Add(_nextPayload, content);
        return _nextPayload++;
    }

    private void Local(Node node, long delay, Message message, Action? before = null)
    {
        long at = _now.Ticks + delay;
        if (node.Actor is ParameterServer)
        {
            at = node.BusyUntil = Math.Max(at, node.BusyUntil + 1); // a server's work is done in order
        }

        _flights.Enqueue(new Flight(new Envelope(node.Actor.Id, node.Actor.Id, message), null, node.Incarnation, before), (at, _order++));
    }

    private object Payload(long payload)
        => _payloads.TryGetValue(payload, out object? content) ? content : throw Failure($"payload {payload} was released before it was used");

    private void Perform(Node node)
    {
        // What is performed may make further decisions, so take them off first.
        Effect[] effects = new Effect[_effects.Count];
        for (int i = 0; i < effects.Length; i++)
        {
            effects[i] = _effects[i];
        }

        _effects.Clear();
        foreach (Effect effect in effects)
        {
            Trace((node.Actor.Id, effect.To, effect.Message as object ?? effect.Action));
            if (effect.Message is { } message)
            {
                Network(node.Actor.Id, effect.To, message);
            }
            else
            {
                Do(node, effect.Action!);
            }
        }
    }

    /// <summary>What happened last is printed with a failure.</summary>
    private void Trace(object what)
    {
        if (what is Envelope { Message: Heartbeat or Leave or Welcome } or (ActorId, ActorId, Heartbeat or Leave or ReleasePayload or SendParameters or SendPiece or SendStatePiece or ReleaseAnswer))
        {
            return;
        }

        if (_trace.Count == 60)
        {
            _trace.Dequeue();
        }

        _trace.Enqueue((_now, what));
    }

    private void Count(string what) => Seen[what] = Seen.GetValueOrDefault(what) + 1;

    private void Do(Node node, NodeEffect action)
    {
        switch (action)
        {
            case ComputeShards compute:
                Compute(node, compute);
                break;
            case SendPiece send:
                Network(node.Actor.Id, send.To, new Piece(send.Key, 0), node.Gradients[(send.Key.Assignment, send.Key.Segment, send.Key.Subtree)]);
                break;
            case SendStatePiece send:
                Network(node.Actor.Id, send.To, new StatePiece(send.Epoch, send.Step, send.Fence, send.Shard, send.Assignment, 0),
                    node.NextStates[(send.Assignment, send.Shard)]);
                break;
            case HoldStates hold:
                foreach ((int shard, ulong state) in ((int, ulong)[])Payload(hold.Payload))
                {
                    node.HeldStates[hold.Version & 1][shard] = state;
                }

                _payloads.Remove(hold.Payload);
                break;
            case ReleaseAnswer release:
                foreach (var key in node.Gradients.Keys.Where(k => k.Item1 == release.Assignment).ToArray())
                {
                    node.Gradients.Remove(key);
                }

                break;
            case ReduceSegment reduce:
                Reduce(node, reduce);
                break;
            case StoreStates store:
                ulong[] pending = [.. node.States];
                foreach (HeldState state in store.States)
                {
                    pending[state.Shard] = (ulong)Payload(state.Payload);
                }

                Local(node, _random.Next(1, 500), new StatesStored(store.Step, store.Ticket, store.Range), () => node.PendingStates = pending);
                break;
            case ReleasePayload release:
                if (!_payloads.Remove(release.Payload))
                {
                    throw Failure($"{node.Actor.Id} released payload {release.Payload} twice");
                }

                break;
            case SendReducedCopy send:
                Network(node.Actor.Id, send.To, new ReducedCopy(send.Epoch, send.Step, send.Attempt, send.Range, send.Fence, send.Digest, 0),
                    new Copy([.. node.Reduced.Values], node.PendingStates is null ? null : [.. node.PendingStates]));
                break;
            case ApplyVerdict apply:
                Apply(node, apply);
                break;
            case SendParameters send:
                if (send.Version != ((ParameterServer)node.Actor).Version)
                {
                    throw Failure($"{node.Actor.Id} at {((ParameterServer)node.Actor).Version} sends parameters of version {send.Version}");
                }

                Network(node.Actor.Id, send.To, new ParametersArrived(send.Epoch, send.Range, send.Version), node.Segments.ToArray());
                break;
            case SendState send:
                Network(node.Actor.Id, send.To, new StateArrived(send.Epoch, send.Version, send.Shards, 0),
                    send.Shards.Select(s => (s, node.States[s])).ToArray());
                break;
            case SnapshotRange snapshot:
                if (!node.Segments.SequenceEqual(SegmentsOf(node.Range, snapshot.Version)))
                {
                    throw Failure($"{node.Actor.Id} keeps a copy of version {snapshot.Version} that is not that version");
                }

                Local(node, _random.Next(1, 1_000), new RangeSnapshotted(snapshot.Version, snapshot.Range));
                break;
            case SaveCheckpoint save:
                Count("checkpoints");
                Local(node, _random.Next(1, 20_000), new CheckpointSaved(save.Version));
                break;
            case AppendJournal { Record: VerdictRecord verdict } when node.Actor == _nodes[ActorId.Coordinator].Actor:
                _journal.Add(verdict);
                break;
            case StepCommitted committed:
                Disturb(committed.Version);
                break;
            case EndJob end when node.Actor == _nodes[ActorId.Coordinator].Actor:
                _end = end;
                break;
            case EndActor ended when node.Actor is Worker:
                _nodes.Remove(node.Actor.Id);
                if (_end is null)
                {
                    Count(ended.Failed ? "refused" : "left");
                    AddWorker();
                }

                break;
            case Notice notice:
                Count(notice.Kind.ToString());
                break;
        }
    }

    private void Compute(Node node, ComputeShards compute)
    {
        ulong[] parameters = new ulong[_map.Segments.Length];
        int next = 0;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (range.BlockCount > 0)
            {
                if (!node.Parameters.TryGetValue((range.Range, compute.Version), out ulong[]? own))
                {
                    throw Failure($"{node.Actor.Id} computes version {compute.Version} without the parameters of range {range.Range}");
                }

                own.CopyTo(parameters, next);
                next += own.Length;
            }
        }

        if (!parameters.SequenceEqual(_reference.Parameters[(int)compute.Version]))
        {
            throw Failure($"{node.Actor.Id} computes version {compute.Version} with other parameters");
        }

        bool disturbed = !_faultsAreOver;
        ulong poison = disturbed && _random.NextDouble() < _plan.NotFinite ? Reference.Mix((ulong)compute.Assignment, 99) : 0;
        long ticks = (_random.Next(500, 1_500) * (long)compute.Range.Count) + (disturbed && _random.NextDouble() < _plan.Stall ? _random.Next(50_000, 1_500_000) : 0);
        if (compute.Kind == WorkKind.Evaluate)
        {
            ShardReport[] results = [.. Enumerable.Range(compute.Range.Start, compute.Range.Count).Select(s => Reference.Evaluate(parameters, s))];
            Local(node, ticks, new Computed(compute.Assignment, true, results, [], ticks));
            return;
        }

        ulong[] states = [.. node.HeldStates[compute.Version & 1]];
        for (int shard = compute.Range.Start; shard < compute.Range.End && _plan.CarriesState && compute.Version > 0; shard++)
        {
            if (states[shard] != _reference.States[(int)compute.Version][shard])
            {
                throw Failure($"{node.Actor.Id} computes shard {shard} of version {compute.Version} from another state");
            }
        }

        var program = new MergeProgram(compute.Range, _plan.Shards);
        foreach (Segment segment in _map.Segments)
        {
            foreach (ShardRange subtree in program.Subtrees)
            {
                node.Gradients[(compute.Assignment, segment.Index, subtree)] =
                    _reference.Subtree(parameters, states, compute.Version, segment.Index, subtree) ^ poison;
            }

            if (_plan.SegmentsEarly)
            {
                Local(node, _random.NextInt64(1, ticks), new SegmentComputed(compute.Assignment, segment.Index));
            }
        }

        ShardReport[] shards = [.. Enumerable.Range(compute.Range.Start, compute.Range.Count).Select(s => _reference.Train(parameters, states, compute.Version, s, poison))];
        SubtreeReport[] subtrees = [.. program.Subtrees.Select(t => new SubtreeReport(t,
            [.. _map.Segments.Select(g => (ulong)node.Gradients[(compute.Assignment, g.Index, t)])], poison == 0))];
        foreach (ShardReport report in shards)
        {
            node.NextStates[(compute.Assignment, report.Shard)] = report.StateDigest;
        }

        Local(node, ticks, new Computed(compute.Assignment, true, shards, subtrees, ticks), () =>
        {
            foreach (ShardReport report in shards)
            {
                node.HeldStates[(compute.Version + 1) & 1][report.Shard] = report.StateDigest;
            }
        });
    }

    private void Reduce(Node node, ReduceSegment reduce)
    {
        int covered = 0;
        foreach (HeldPiece piece in reduce.Pieces)
        {
            if (piece.Subtree.Start != covered)
            {
                throw Failure($"{node.Actor.Id} sums pieces {string.Join(' ', reduce.Pieces.Select(p => p.Subtree))}: a shard twice or not at all");
            }

            covered = piece.Subtree.End;
        }

        int next = 0;
        ulong Sum(int start, int end)
        {
            if (next < reduce.Pieces.Length && reduce.Pieces[next].Subtree == new ShardRange(start, end))
            {
                return (ulong)Payload(reduce.Pieces[next++].Payload);
            }

            int middle = CanonicalTree.Split(start, end);
            ulong left = Sum(start, middle);
            return Reference.Mix(left, Sum(middle, end));
        }

        ulong sum = Sum(0, _plan.Shards);
        double[] squares = Reference.SquaresOf(sum, reduce.Segment);
        var blocks = new ShardRange(reduce.Segment.FirstBlock, reduce.Segment.FirstBlock + reduce.Segment.BlockCount);
        Local(node, _random.Next(1, 500),
            new SegmentReduced(reduce.Step, reduce.Ticket, reduce.Segment.Index, BlockSums.Fold(squares, blocks, _map.BlockCount), true, sum),
            () => node.Reduced[reduce.Segment.Index] = sum);
    }

    private void Apply(Node node, ApplyVerdict apply)
    {
        var server = (ParameterServer)node.Actor;
        ulong[] reduced = [.. node.Reduced.Values];
        ulong[]? states = node.PendingStates;
        if (apply.Payload != 0)
        {
            var copy = (Copy)Payload(apply.Payload);
            reduced = copy.Reduced;
            states = copy.States;
        }

        ulong[] after = new ulong[node.Segments.Length];
        for (int i = 0; i < after.Length; i++)
        {
            after[i] = Reference.Apply(node.Segments[i], reduced[i], apply.Decision);
        }

        if (apply.Step != server.Version || !after.SequenceEqual(SegmentsOf(node.Range, apply.Step + 1)))
        {
            throw Failure($"{server.Id} applies step {apply.Step} and is not at the reference's version {apply.Step + 1}");
        }

        Local(node, _random.Next(1, 1_000), new VerdictApplied(apply.Step, apply.Range), () =>
        {
            node.Segments = after;
            node.Reduced.Clear();
            if (states is not null)
            {
                for (int shard = node.Range; shard < _plan.Shards; shard += _plan.Servers)
                {
                    node.States[shard] = states[shard];
                    if (_plan.CarriesState && states[shard] != _reference.States[(int)apply.Step + 1][shard])
                    {
                        throw Failure($"{server.Id} commits another state of shard {shard} at step {apply.Step}");
                    }
                }
            }
        });
    }

    private void Disturb(long version)
    {
        if (version <= _crashedAtStep)
        {
            return;
        }

        _crashedAtStep = version;
        _faultsAreOver = version >= _plan.Steps - 2;
        if (_faultsAreOver)
        {
            return;
        }

        if (_random.NextDouble() < _plan.WorkerCrash)
        {
            // Somewhere in the middle of the step that begins now.
            int victim = _random.Next(_nodes.Count);
            Later(() =>
            {
                ActorId[] workers = [.. _nodes.Keys.Where(id => id.Role == ActorRole.Worker)];
                if (workers.Length == 0 || _end is not null)
                {
                    return;
                }

                ActorId id = workers[victim % workers.Length];
                if (_random.Next(4) == 0)
                {
                    Count("drains");
                    _flights.Enqueue(new Flight(new Envelope(id, id, new Drain()), null, 0, null), (_now.Ticks, _order++));
                    return;
                }

                _nodes.Remove(id);
                Count("crashes");
                if (_random.Next(2) == 0)
                {
                    Network(id, ActorId.Coordinator, new ActorDown(id, "connection closed"));
                }

                Later(AddWorker);
                if (_random.Next(3) == 0)
                {
                    Later(AddWorker);
                }
            });
        }

        if (_random.NextDouble() < _plan.CoordinatorCrash)
        {
            Later(() =>
            {
                if (_end is null && _nodes.ContainsKey(ActorId.Coordinator))
                {
                    Count("coordinator crashes");
                    StartCoordinator();
                }
            });
        }
    }

    private void Later(Action action)
    {
        // A host event rather than a message: it happens at a random moment whoever is there.
        ActorId host = ActorId.Server(0);
        Node node = _nodes[host];
        _flights.Enqueue(
            new Flight(new Envelope(host, host, new Heartbeat(0, -1, 0)), null, node.Incarnation, action), (_now.Ticks + _random.Next(1, 60_000), _order++));
    }

    private sealed record Flight(Envelope Envelope, object? Content, long Incarnation, Action? Before);

    private sealed record Copy(ulong[] Reduced, ulong[]? States);

    private sealed class Node(IActor actor)
    {
        private static long s_incarnations;

        public readonly IActor Actor = actor;
        public readonly long Incarnation = Interlocked.Increment(ref s_incarnations);
        public int Range;
        public long BusyUntil;
        public ulong[] Segments = [];
        public ulong[] States = [];
        public ulong[]? PendingStates;
        public readonly SortedDictionary<int, ulong> Reduced = [];
        public readonly Dictionary<(int Range, long Version), ulong[]> Parameters = [];
        public readonly Dictionary<(long, int, ShardRange), object> Gradients = [];
        public readonly Dictionary<(long, int), object> NextStates = [];
        public readonly ulong[][] HeldStates = [new ulong[64], new ulong[64]];
    }
}
