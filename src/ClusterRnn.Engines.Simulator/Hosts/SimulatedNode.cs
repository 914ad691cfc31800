// A simulated process: the shell around one actor. It receives, lets the actor decide, performs what was decided, and wakes the
// actor when it asked to be woken. What differs between a coordinator, a worker and a server is in the files beside.
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Hosts;

/// <summary>A process.</summary>
internal abstract class SimulatedNode
{
    private readonly EffectList _effects = new();
    private readonly Dictionary<long, Block[]> _payloads = [];
    private long _nextPayload = 1;
    private long _timerAt = long.MaxValue;
    private long _timer;

    protected SimulatedNode(Simulation simulation, NodeName place, IActor actor, string name)
    {
        Simulation = simulation;
        Place = place;
        Actor = actor;
        Name = name;
        Process = simulation.NextProcess();
        Clock = new LocalClock(simulation, simulation.ClockDice.Between(1_000_000, 3_000_000_000));
        Clock.RunFaster(simulation.SkewOf(place));
    }

    /// <summary>The run.</summary>
    public Simulation Simulation { get; }

    /// <summary>Where it runs.</summary>
    public NodeName Place { get; }

    /// <summary>What it hosts.</summary>
    public IActor Actor { get; }

    /// <summary>What it is called in traces.</summary>
    public string Name { get; }

    /// <summary>Its number among all processes of the run.</summary>
    public int Process { get; }

    /// <summary>Its clock.</summary>
    public LocalClock Clock { get; }

    /// <summary>Whether it runs.</summary>
    public bool IsAlive { get; private set; } = true;

    /// <summary>Until when it stands still.</summary>
    public long FrozenUntil { get; set; }

    /// <summary>Starts the actor.</summary>
    public void Start()
    {
        Actor.Start(Clock.Now, _effects);
        PerformAll(null);
    }

    /// <summary>A message arrives.</summary>
    /// <param name="from">Who sent it.</param>
    /// <param name="sender">The process it came from; null for its own host.</param>
    /// <param name="message">What it says.</param>
    /// <param name="blocks">What came with it.</param>
    public void Receive(ActorId from, SimulatedNode? sender, Message message, Block[]? blocks)
    {
        if (!IsAlive || Simulation.IsOver)
        {
            return;
        }

        if (FrozenUntil > Simulation.Events.Now)
        {
            Simulation.Events.At(FrozenUntil, () => Receive(from, sender, message, blocks));
            return;
        }

        if (Arrived(message, blocks) is not { } taken)
        {
            return;
        }

        var envelope = new Envelope(from, Actor.Id, taken);
        Simulation.Trace.Add(Simulation.Events.Now, Name, "<-", sender?.Name ?? "", taken);
        Simulation.Checkers.Delivered(this, sender, envelope);
        Actor.Handle(envelope, Clock.Now, _effects);
        PerformAll(sender);
    }

    /// <summary>The host tells its actor something.</summary>
    public void Tell(Message message) => Receive(Actor.Id, null, message, null);

    /// <summary>It does not run any more.</summary>
    public virtual void Stop() => IsAlive = false;

    /// <summary>Takes in what came with a message.</summary>
    /// <returns>The message for the actor, with the number of what was kept; null when it is not for the actor.</returns>
    protected abstract Message? Arrived(Message message, Block[]? blocks);

    /// <summary>Performs an effect.</summary>
    protected abstract void Do(NodeEffect effect);

    /// <summary>Keeps blocks until the actor lets them go.</summary>
    protected long Keep(Block[]? blocks)
    {
        _payloads.Add(_nextPayload, blocks ?? []);
        return _nextPayload++;
    }

    /// <summary>Blocks that were kept.</summary>
    protected Block[] Payload(long payload)
        => _payloads.TryGetValue(payload, out Block[]? blocks) ? blocks : throw Simulation.Fail("payloads", $"{Name} uses payload {payload}, which it has released.");

    /// <summary>Lets blocks go.</summary>
    protected void Release(long payload)
    {
        if (!_payloads.Remove(payload))
        {
            throw Simulation.Fail("payloads", $"{Name} releases payload {payload} a second time.");
        }
    }

    /// <summary>Sends blocks with a message.</summary>
    protected void Send(ActorId to, Message message, params Block[]? blocks) => Simulation.Send(this, null, to, message, blocks);

    /// <summary>Something happens here after a while, or later if it stands still then; not at all when it has ended.</summary>
    protected void Later(long ticks, Action what) => Simulation.Events.After(ticks, () => WhenAwake(what));

    private void WhenAwake(Action what)
    {
        if (!IsAlive || Simulation.IsOver)
        {
            return;
        }

        if (FrozenUntil > Simulation.Events.Now)
        {
            Simulation.Events.At(FrozenUntil, () => WhenAwake(what));
            return;
        }

        what();
    }

    private void PerformAll(SimulatedNode? cause)
    {
        // What is performed may make the actor decide again, so take the decisions off first.
        var effects = new Effect[_effects.Count];
        for (int i = 0; i < effects.Length; i++)
        {
            effects[i] = _effects[i];
        }

        _effects.Clear();
        foreach (Effect effect in effects)
        {
            if (!IsAlive)
            {
                return; // the one before ended it
            }

            if (effect.Message is { } message)
            {
                Simulation.Send(this, cause, effect.To, message, null);
            }
            else
            {
                Simulation.Trace.Add(Simulation.Events.Now, Name, "do", "", effect.Action!);
                Simulation.Checkers.Decided(this, effect.Action!);
                Do(effect.Action!);
            }
        }

        if (IsAlive)
        {
            SetTimer();
        }
    }

    private void SetTimer()
    {
        long at = Clock.WhenItSays(Actor.NextTick);
        if (at == _timerAt)
        {
            return;
        }

        _timerAt = at;
        long timer = ++_timer;
        if (at != long.MaxValue)
        {
            Simulation.Events.At(at, () => OnTimer(timer));
        }
    }

    private void OnTimer(long timer)
    {
        if (timer != _timer)
        {
            return;
        }

        WhenAwake(() =>
        {
            if (timer == _timer)
            {
                _timerAt = long.MaxValue;
                Actor.Tick(Clock.Now, _effects);
                PerformAll(null);
            }
        });
    }
}
