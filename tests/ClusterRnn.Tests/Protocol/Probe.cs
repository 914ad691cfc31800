using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Tests.Protocol;

/// <summary>One actor by itself: messages in, decisions out.</summary>
internal sealed class Probe
{
    private readonly EffectList _effects = new();

    public Probe(IActor actor)
    {
        Actor = actor;
        actor.Start(Now, _effects);
        Collect();
    }

    public IActor Actor { get; }

    public Instant Now { get; private set; } = new(1_000_000);

    public List<(ActorId To, Message Message)> Sent { get; } = [];

    public List<NodeEffect> Done { get; } = [];

    /// <summary>The first decision since the last call of <see cref="Forget"/>: a message or an effect.</summary>
    public object? First { get; private set; }

    public void Tell(ActorId from, Message message)
    {
        Actor.Handle(new Envelope(from, Actor.Id, message), Now, _effects);
        Collect();
    }

    public void After(long milliseconds)
    {
        Now += milliseconds * Instant.TicksPerMillisecond;
        Actor.Tick(Now, _effects);
        Collect();
    }

    /// <summary>What was sent of this kind since the last call of <see cref="Forget"/>.</summary>
    public (ActorId To, T Message)[] SentOf<T>()
        where T : Message
        => [.. Sent.Where(s => s.Message is T).Select(s => (s.To, (T)s.Message))];

    public T[] DoneOf<T>()
        where T : NodeEffect
        => [.. Done.OfType<T>()];

    public void Forget()
    {
        Sent.Clear();
        Done.Clear();
        First = null;
    }

    private void Collect()
    {
        for (int i = 0; i < _effects.Count; i++)
        {
            First ??= (object?)_effects[i].Message ?? _effects[i].Action;
            if (_effects[i].Message is { } message)
            {
                Sent.Add((_effects[i].To, message));
            }
            else
            {
                Done.Add(_effects[i].Action!);
            }
        }

        _effects.Clear();
    }
}

/// <summary>A coordinator with workers and one server that a test plays.</summary>
internal sealed class CoordinatorProbe
{
    public const int Shards = 4;

    public static readonly JobShape Shape = new("job", "data", Shards, 0, CarriesState: false);

    public CoordinatorProbe(int workers)
    {
        Map = RangeMap.Spread(2, 1, []);
        Coordinator = new Coordinator(ActorId.Coordinator, Shape, Map, new FakePolicy(100), new ProtocolTimes { HeartbeatTicks = 0 }, 1);
        Probe = new Probe(Coordinator);
        for (int i = 0; i < workers; i++)
        {
            Probe.Tell(ActorId.Worker(i), new WorkerHello(Limits.ProtocolVersion, "job", "data"));
        }

        Probe.Tell(ActorId.Server(0), new EpochAccepted(1, 0, [new HeldRange(0, 0)], null));
    }

    public RangeMap Map { get; }

    public Coordinator Coordinator { get; }

    public Probe Probe { get; }

    /// <summary>The newest assignment to a worker.</summary>
    public Assign AssignmentOf(int worker)
        => Probe.SentOf<Assign>().Last(s => s.To == ActorId.Worker(worker)).Message;

    public bool HasAssignment(int worker)
        => Probe.SentOf<Assign>().Any(s => s.To == ActorId.Worker(worker));

    /// <summary>A worker answers; <paramref name="bits"/> stands for what it computed.</summary>
    public void Report(int worker, Assign assign, ulong bits = 1, bool finite = true, long ticks = 1000)
    {
        ShardReport[] shards = [.. Enumerable.Range(assign.Range.Start, assign.Range.Count)
            .Select(shard => new ShardReport(shard, [finite ? (double)bits : double.NaN], [1], (ulong)shard, bits, finite))];
        SubtreeReport[] subtrees = [.. new MergeProgram(assign.Range, Shards).Subtrees.Select(t => new SubtreeReport(t, [bits], finite))];
        Probe.Tell(ActorId.Worker(worker), new ShardsReported(1, assign.Version, WorkKind.Train, assign.Assignment, shards, subtrees, ticks * assign.Range.Count));
    }

    public void Prepare(long step, int attempt, params long[] assignments)
        => Probe.Tell(ActorId.Server(0), new Prepared(1, step, attempt, 0, [new BlockSum(new ShardRange(0, 2), 4)], true, 0, assignments, 1, null));
}
