// The real state machines under virtual time, on a network that delays, reorders, duplicates and drops, with workers that
// crash, stall, join and leave, servers that crash, join and leave, a coordinator that crashes and a disk that fails.
// Everything random comes from one seed.
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
    public bool Elastic { get; init; } // servers come and go
    public int Spares { get; init; }
    public double ServerCrash { get; init; } // a step
    public double ServerLeave { get; init; } // a step
    public double TornJournal { get; init; } // a crash of the coordinator
    public double DiskFull { get; init; } // a checkpoint
    public double Freeze { get; init; } // a step: a process is stopped, often past its lease, and goes on as if nothing had happened

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
            Elastic = Chance(0.6),
            Spares = random.Next(0, 3),
            ServerCrash = Chance(0.6) ? random.NextDouble() * 0.4 : 0,
            ServerLeave = Chance(0.3) ? random.NextDouble() * 0.3 : 0,
            TornJournal = Chance(0.5) ? 0.5 : 0,
            DiskFull = Chance(0.2) ? 0.3 : 0,
            Freeze = Chance(0.4) ? random.NextDouble() * 0.4 : 0,
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

    public ReadOnlyMemory<byte> Capture() => (byte[])[.. BitConverter.GetBytes(_memory), .. BitConverter.GetBytes(_evaluated)];

    public void Restore(ReadOnlyMemory<byte> state)
    {
        _memory = BitConverter.ToUInt64(state.Span);
        _evaluated = BitConverter.ToInt64(state.Span[8..]);
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
        NoServersTicks = 60_000_000,
        NoCoordinatorTicks = 60_000_000,
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
    private readonly List<JournalRecord> _journal = []; // what counts of it
    private readonly SortedDictionary<(long Version, int Range), Content> _snapshots = []; // on the coordinator's disk
    private readonly SortedDictionary<int, Content> _start = []; // what every coordinator can read: the state the job starts from
    private Checkpoint? _checkpoint; // the newest whole one
    private Checkpoint? _saving; // what becomes the newest whole one
    private SortedDictionary<int, Content> _sendable = []; // what the coordinator's host has at hand
    private FakePolicy? _policy;
    private int _nextServer;
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
            _start[range.Range] = StartOf(range.Range);
            if (!plan.Elastic)
            {
                AddServer(range.Owner, range.Range);
                if (range.Replica is { } replica)
                {
                    AddServer(replica, range.Range);
                }
            }
        }

        for (int i = 0; plan.Elastic && i < plan.Servers + plan.Spares; i++)
        {
            AddServer();
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
                tick = Instant.Earlier(tick, DueAt(node));
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
                    if (DueAt(node) <= _now && _nodes.ContainsKey(node.Actor.Id))
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
        var coordinator = (Coordinator)_nodes[ActorId.Coordinator].Actor;
        foreach (RangeOwner range in coordinator.Map.Ranges)
        {
            // The job may end before the last verdict has reached a replica.
            var owner = (ParameterServer)_nodes[range.Owner].Actor;
            if (owner.VersionOf(range.Range) != _plan.Steps)
            {
                throw Failure($"{owner.Id} ended at version {owner.VersionOf(range.Range)} of range {range.Range}");
            }
        }

        foreach (Node node in _nodes.Values)
        {
            for (int range = 0; node.Actor is ParameterServer server && range < _map.Ranges.Length; range++)
            {
                if (server.VersionOf(range) is >= 0 and long version && !node.Held[range].Segments.SequenceEqual(SegmentsOf(range, version)))
                {
                    throw Failure($"{server.Id} ended at version {version} of range {range} with other parameters than the reference");
                }
            }
        }

        CountAll();
        CheckLedger();
    }

    /// <summary>Every step is committed once in the history that counts, and its rows are those of the permutation.</summary>
    private void CheckLedger()
    {
        var steps = new List<VerdictRecord?>();
        void Pad(long count)
        {
            while (steps.Count < count)
            {
                steps.Add(_plan.TornJournal > 0 ? null : throw Failure($"the journal lacks step {steps.Count}"));
            }
        }

        foreach (JournalRecord record in _journal)
        {
            if (record is RollbackRecord rollback)
            {
                steps.RemoveRange((int)Math.Min(rollback.Version, steps.Count), (int)Math.Max(0, steps.Count - rollback.Version));
                Pad(rollback.Version);
            }
            else if (record is VerdictRecord verdict)
            {
                if (verdict.RowDigests.Length == 0)
                {
                    Pad(verdict.Verdict.Step); // what was torn, and a server still knew of
                }

                if (verdict.Verdict.Step != steps.Count)
                {
                    throw Failure($"the journal has step {verdict.Verdict.Step} at place {steps.Count}: a step was committed twice or not at all");
                }

                steps.Add(verdict);
                for (int shard = 0; shard < verdict.RowDigests.Length; shard++)
                {
                    ulong[] parameters = _reference.Parameters[(int)verdict.Verdict.Step], states = _reference.States[(int)verdict.Verdict.Step];
                    if (verdict.RowDigests[shard] != _reference.Train(parameters, states, verdict.Verdict.Step, shard, 0).RowsDigest)
                    {
                        throw Failure($"shard {shard} of step {verdict.Verdict.Step} read other rows");
                    }
                }
            }
        }

        if (steps.Count != _plan.Steps)
        {
            throw Failure($"the journal ends at step {steps.Count}");
        }

        if (_plan.Elastic && JournalState.Of(_journal).Verdict?.Step != _plan.Steps - 1)
        {
            throw Failure("the journal does not read as it was written");
        }
    }

    /// <summary>Adds up what a coordinator counted, when it ends.</summary>
    private void CountAll()
    {
        foreach (NamedCount counter in Counters!.ToNamed())
        {
            Seen[counter.Name] = Seen.GetValueOrDefault(counter.Name) + counter.Count;
        }
    }

    private Content StartOf(int range) => new(SegmentsOf(range, 0), [.. _reference.States[0]]);

    /// <summary>Lets messages arrive that were on the way when the job ended: the last verdict to replicas, shutdowns.</summary>
    private void Drain()
    {
        while (_flights.TryDequeue(out Flight? flight, out (long At, long Order) priority))
        {
            Advance(priority.At);
            Deliver(flight);
        }
    }

    private static Instant DueAt(Node node)
    {
        Instant due = node.Actor.NextTick;
        return due != Instant.Never && due.Ticks < node.FrozenUntil ? new Instant(node.FrozenUntil) : due;
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
        var node = new Node(new ParameterServer(id, ActorId.Coordinator, _shape, Times, 0));
        node.Held[range] = new Held(StartOf(range));
        _nodes.Add(id, node);
        node.Actor.Start(_now, _effects);
        Perform(node);
    }

    private void AddServer()
    {
        var id = ActorId.Server(100 + _nextServer++);
        var node = new Node(new ParameterServer(id, ActorId.Coordinator, _shape, Times, -1));
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
        _policy = new FakePolicy(_plan.Steps) { Saves = true };
        ServerPlan? plan = null;
        if (_plan.Elastic)
        {
            Load(_policy);
            plan = new ServerPlan(_plan.Servers, _plan.Replicas ? 2 : 1, _checkpoint?.Version ?? 0, _journal.Count > 0 ? JournalState.Of(_journal) : null, _epoch);
        }

        var coordinator = new Coordinator(
            ActorId.Coordinator, _shape, _map, _policy, Times, ++_epoch, _journal.OfType<VerdictRecord>().LastOrDefault()?.Verdict, null, plan);
        Counters = coordinator.Counters;
        var node = new Node(coordinator);
        _nodes.Add(ActorId.Coordinator, node);
        coordinator.Start(_now, _effects);
        Perform(node);
    }

    /// <summary>What a coordinator's host does with the newest whole checkpoint.</summary>
    private void Load(FakePolicy policy)
    {
        _sendable = _checkpoint?.Ranges ?? _start;
        if (_checkpoint is { } checkpoint)
        {
            policy.Restore(checkpoint.Policy);
        }
    }

    private void Deliver(Flight flight)
    {
        if (flight.Envelope.Message is Drain && flight.Incarnation < 0)
        {
            flight.Before!.Invoke();
            return;
        }

        if (_nodes.TryGetValue(flight.Envelope.To, out Node? node) && (flight.Incarnation == 0 || flight.Incarnation == node.Incarnation))
        {
            if (node.FrozenUntil > _now.Ticks)
            {
                _flights.Enqueue(flight, (node.FrozenUntil, _order++));
                return;
            }

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
                RangeCopy range => range with { Payload = Keep(content!) },
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
        if (what is Envelope { Message: Heartbeat or Leave or Welcome or Alive } or (ActorId, ActorId, Alive) or (ActorId, ActorId, Heartbeat or Leave or ReleasePayload or SendParameters or SendPiece or SendStatePiece or ReleaseAnswer))
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
                Held holder = node.Held[store.Range];
                ulong[] pending = [.. holder.States];
                foreach (HeldState state in store.States)
                {
                    pending[state.Shard] = (ulong)Payload(state.Payload);
                }

                Local(node, _random.Next(1, 500), new StatesStored(store.Step, store.Ticket, store.Range), () => holder.PendingStates = pending);
                break;
            case ReleasePayload release:
                if (!_payloads.Remove(release.Payload))
                {
                    throw Failure($"{node.Actor.Id} released payload {release.Payload} twice");
                }

                break;
            case SendReducedCopy send:
                Network(node.Actor.Id, send.To, new ReducedCopy(send.Epoch, send.Step, send.Attempt, send.Range, send.Fence, send.Digest, 0),
                    new Copy([.. node.Held[send.Range].Reduced.Values], node.Held[send.Range].PendingStates?.ToArray()));
                break;
            case SendRangeCopy send when node.Actor is Coordinator:
                Content content = _sendable[send.Range];
                Network(node.Actor.Id, send.To, new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0),
                    new Content([.. content.Segments], [.. content.States]));
                break;
            case SendRangeCopy send:
                Held source = node.Held[send.Range];
                if (((ParameterServer)node.Actor).VersionOf(send.Range) != send.Version)
                {
                    throw Failure($"{node.Actor.Id} sends version {send.Version} of range {send.Range}, and has another");
                }

                Network(node.Actor.Id, send.To, new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0),
                    new Content([.. source.Segments], [.. source.States]));
                break;
            case LoadRange load:
                var loaded = (Content)Payload(load.Payload);
                if (!loaded.Segments.SequenceEqual(SegmentsOf(load.Range, load.Version)))
                {
                    throw Failure($"{node.Actor.Id} loads version {load.Version} of range {load.Range}, and it is not that version");
                }

                Local(node, _random.Next(1, 3_000), new RangeLoaded(load.Range, load.Version), () =>
                    node.Held[load.Range] = new Held(new Content([.. loaded.Segments], [.. loaded.States])));
                break;
            case DropRange drop:
                Count("dropped ranges");
                node.Held.Remove(drop.Range);
                break;
            case RestoreCheckpoint restore:
                _epoch = restore.Epoch;
                FinishSaving(); // a host waits for it
                Load(_policy!);
                Local(node, _random.Next(1, 50_000), new CheckpointRestored(restore.Epoch, _checkpoint?.Version ?? 0, (_checkpoint?.Policy ?? new FakePolicy(_plan.Steps).Capture()), 0));
                break;
            case ApplyVerdict apply:
                Apply(node, apply);
                break;
            case SendParameters send:
                if (send.Version != ((ParameterServer)node.Actor).VersionOf(send.Range))
                {
                    throw Failure($"{node.Actor.Id} at {((ParameterServer)node.Actor).VersionOf(send.Range)} sends parameters of version {send.Version}");
                }

                Network(node.Actor.Id, send.To, new ParametersArrived(send.Epoch, send.Range, send.Version), node.Held[send.Range].Segments.ToArray());
                break;
            case SendState send:
                Network(node.Actor.Id, send.To, new StateArrived(send.Epoch, send.Version, send.Shards, 0),
                    send.Shards.Select(s => (s, node.Held[send.Range].States[s])).ToArray());
                break;
            case SnapshotRange snapshot:
                Held kept = node.Held[snapshot.Range];
                if (!kept.Segments.SequenceEqual(SegmentsOf(snapshot.Range, snapshot.Version)))
                {
                    throw Failure($"{node.Actor.Id} keeps a copy of version {snapshot.Version} that is not that version");
                }

                var snapped = new Content([.. kept.Segments], [.. kept.States]);
                Local(node, _random.Next(1, 1_000), new RangeSnapshotted(snapshot.Version, snapshot.Range),
                    () => _snapshots[(snapshot.Version, snapshot.Range)] = snapped);
                break;
            case SaveCheckpoint save:
                Save(node, save.Version);
                break;
            case AppendJournal append when node.Actor == _nodes[ActorId.Coordinator].Actor:
                _journal.Add(append.Record);
                break;
            case StepCommitted committed:
                Disturb(committed.Version);
                break;
            case EndJob end when node.Actor == _nodes[ActorId.Coordinator].Actor:
                _end = end;
                break;
            case EndActor ended when node.Actor is ParameterServer && _end is null:
                Count(ended.Failed ? "server refused" : "server left");
                _nodes.Remove(node.Actor.Id);
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

    private void Save(Node node, long version)
    {
        ReadOnlyMemory<byte> policy = _policy!.Capture();
        bool fails = !_faultsAreOver && _random.NextDouble() < _plan.DiskFull;
        long delay = _random.Next(1, 20_000);
        if (fails)
        {
            Local(node, delay, new CheckpointFailed(version, "no space left on device"));
            return;
        }

        var ranges = new SortedDictionary<int, Content>();
        foreach (RangeOwner range in _map.Ranges)
        {
            ranges[range.Range] = _snapshots[(version, range.Range)];
        }

        _saving = new Checkpoint(version, policy.ToArray(), ranges);
        Local(node, delay, new CheckpointSaved(version), FinishSaving);
    }

    private void FinishSaving()
    {
        _checkpoint = _saving ?? _checkpoint;
        _saving = null;
    }

    private void Reduce(Node node, ReduceSegment reduce)
    {
        Held holder = node.Held[reduce.Segment.Range];
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
            () => holder.Reduced[reduce.Segment.Index] = sum);
    }

    private void Apply(Node node, ApplyVerdict apply)
    {
        var server = (ParameterServer)node.Actor;
        Held held = node.Held[apply.Range];
        ulong[] reduced = [.. held.Reduced.Values];
        ulong[]? states = held.PendingStates;
        if (apply.Payload != 0)
        {
            var copy = (Copy)Payload(apply.Payload);
            reduced = copy.Reduced;
            states = copy.States;
        }

        ulong[] after = new ulong[held.Segments.Length];
        for (int i = 0; i < after.Length; i++)
        {
            after[i] = Reference.Apply(held.Segments[i], reduced[i], apply.Decision);
        }

        if (apply.Step != server.VersionOf(apply.Range) || !after.SequenceEqual(SegmentsOf(apply.Range, apply.Step + 1)))
        {
            throw Failure($"{server.Id} applies step {apply.Step} and is not at the reference's version {apply.Step + 1}");
        }

        Local(node, _random.Next(1, 1_000), new VerdictApplied(apply.Step, apply.Range), () =>
        {
            held.Segments = after;
            held.Reduced.Clear();
            if (states is not null)
            {
                for (int shard = apply.Range; shard < _plan.Shards; shard += _plan.Servers)
                {
                    held.States[shard] = states[shard];
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
                    if (workers.Length == 1)
                    {
                        Later(AddWorker); // what it leaves open, another one has to do
                    }

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
            Later(CrashCoordinator);
        }

        if (_plan.Elastic && _random.NextDouble() < _plan.ServerCrash)
        {
            int victim = _random.Next(1000);
            bool isNoticed = _random.Next(2) == 0, isReplaced = _random.Next(3) > 0;
            Later(() => CrashServer(victim, isNoticed, isReplaced));
        }

        if (_random.NextDouble() < _plan.Freeze)
        {
            int victim = _random.Next(1000), ticks = _random.Next(50_000, 1_500_000);
            Later(() =>
            {
                Node[] nodes = [.. _nodes.Values.Where(n => n.Actor is not ParameterServer || _plan.Elastic)];
                Count($"frozen {nodes[victim % nodes.Length].Actor.Id.Role}");
                nodes[victim % nodes.Length].FrozenUntil = _now.Ticks + ticks;
            });
        }

        if (_plan.Elastic && _random.NextDouble() < _plan.ServerLeave)
        {
            int victim = _random.Next(1000);
            Later(() =>
            {
                ActorId[] servers = [.. _nodes.Keys.Where(id => id.Role == ActorRole.Server)];
                AddServer();
                if (servers.Length == 0)
                {
                    return;
                }

                Count("server drains");
                _flights.Enqueue(new Flight(new Envelope(servers[victim % servers.Length], servers[victim % servers.Length], new Drain()), null, 0, null), (_now.Ticks, _order++));
            });
        }
    }

    private void CrashCoordinator()
    {
        if (_end is not null || !_nodes.Remove(ActorId.Coordinator))
        {
            return;
        }

        Count("coordinator crashes");
        CountAll();
        _saving = null;
        if (_plan.Elastic && _random.NextDouble() < _plan.TornJournal)
        {
            while (_journal.Count > 0 && _journal[^1] is VerdictRecord && _random.Next(2) == 0)
            {
                Count("torn records");
                _journal.RemoveAt(_journal.Count - 1); // it was written and not flushed
            }
        }

        if (!_plan.Elastic || _random.Next(2) == 0)
        {
            StartCoordinator();
            return;
        }

        foreach (ActorId id in _nodes.Keys)
        {
            if (_random.Next(3) == 0)
            {
                Network(ActorId.Coordinator, id, new ActorDown(ActorId.Coordinator, "connection closed"));
            }
        }

        Later(() =>
        {
            if (_end is null)
            {
                StartCoordinator();
            }
        });
    }

    private void CrashServer(int victim, bool isNoticed, bool isReplaced)
    {
        ActorId[] servers = [.. _nodes.Keys.Where(id => id.Role == ActorRole.Server)];
        if (_end is not null || servers.Length == 0)
        {
            return;
        }

        Count("server crashes");
        ActorId id = servers[victim % servers.Length];
        _nodes.Remove(id);
        if (isNoticed)
        {
            Network(id, ActorId.Coordinator, new ActorDown(id, "connection closed"));
        }

        if (isReplaced || servers.Length == 1)
        {
            Later(AddServer);
        }
    }

    private void Later(Action action)
    {
        // A host event rather than a message: it happens at a random moment whoever is there.
        _flights.Enqueue(
            new Flight(new Envelope(default, default, new Drain()), null, -1, action), (_now.Ticks + _random.Next(1, 60_000), _order++));
    }

    private sealed record Flight(Envelope Envelope, object? Content, long Incarnation, Action? Before);

    private sealed record Copy(ulong[] Reduced, ulong[]? States);

    private sealed record Content(ulong[] Segments, ulong[] States);

    private sealed record Checkpoint(long Version, byte[] Policy, SortedDictionary<int, Content> Ranges);

    /// <summary>A server's memory of a range.</summary>
    private sealed class Held(Content content)
    {
        public ulong[] Segments = content.Segments;
        public readonly ulong[] States = content.States;
        public ulong[]? PendingStates;
        public readonly SortedDictionary<int, ulong> Reduced = [];
    }

    private sealed class Node(IActor actor)
    {
        private static long s_incarnations;

        public readonly IActor Actor = actor;
        public readonly long Incarnation = Interlocked.Increment(ref s_incarnations);
        public long BusyUntil;
        public long FrozenUntil;
        public readonly SortedDictionary<int, Held> Held = [];
        public readonly Dictionary<(int Range, long Version), ulong[]> Parameters = [];
        public readonly Dictionary<(long, int, ShardRange), object> Gradients = [];
        public readonly Dictionary<(long, int), object> NextStates = [];
        public readonly ulong[][] HeldStates = [new ulong[64], new ulong[64]];
    }
}
