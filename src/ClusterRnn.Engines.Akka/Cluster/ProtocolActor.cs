// The shell around a state machine of the protocol: Akka's mailbox in front, effects behind, a timer for its next deadline.
using Akka.Actor;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using Envelope = ClusterRnn.Protocol.Envelope;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Hosts one state machine.</summary>
internal sealed class ProtocolActor(IActor actor, IActorHost host) : UntypedActor, IWithTimers
{
    private static readonly object s_tick = new();

    private readonly EffectList _effects = new();
    private readonly List<Delivered> _early = [];
    private bool _isStarted;
    private Instant _timerAt = Instant.Never;

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        try
        {
            switch (message)
            {
                case Begin:
                    _isStarted = true;
                    actor.Start(ActorShell.Now(), _effects);
                    Perform();
                    foreach (Delivered early in _early)
                    {
                        Handle(early);
                    }

                    _early.Clear();
                    break;
                case Delivered delivered when _isStarted:
                    Handle(delivered);
                    break;
                case Delivered delivered:
                    _early.Add(delivered);
                    return;
                default:
                    _timerAt = Instant.Never;
                    break;
            }

            Instant now = ActorShell.Now();
            if (actor.NextTick <= now)
            {
                actor.Tick(now, _effects);
                Perform();
            }

            Schedule();
        }
        catch (Exception error)
        {
            Context.Stop(Self);
            host.Failed(actor.Id, error);
        }
    }

    private void Handle(Delivered delivered)
    {
        try
        {
            actor.Handle(new Envelope(delivered.From, actor.Id, delivered.Message), ActorShell.Now(), _effects);
        }
        catch (Exception error) when (error is not TrainingException)
        {
            throw new TrainingException($"{actor.Id} failed at a {delivered.Message.GetType().Name} from {delivered.From}: {error.Message}", error);
        }

        Perform();
    }

    private void Perform()
    {
        for (int i = 0; i < _effects.Count; i++)
        {
            Effect effect = _effects[i];
            if (effect.Message is { } message)
            {
                host.Send(actor.Id, effect.To, message);
            }
            else
            {
                host.Perform(actor.Id, effect.Action!);
            }
        }

        _effects.Clear();
    }

    private void Schedule()
    {
        Instant next = actor.NextTick;
        if (next == Instant.Never || next == _timerAt)
        {
            return;
        }

        _timerAt = next;
        Timers.StartSingleTimer(s_tick, s_tick, TimeSpan.FromMicroseconds(Math.Max(0, next - ActorShell.Now())));
    }

    /// <summary>A message for the state machine.</summary>
    internal sealed record Delivered(ActorId From, Message Message) : INoSerializationVerificationNeeded;

    /// <summary>Starts it.</summary>
    internal sealed record Begin : INoSerializationVerificationNeeded;
}

/// <summary>A state machine's mailbox is an Akka actor's.</summary>
internal sealed class AkkaShell : IActorShell
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);
    private static int s_made;

    private readonly ActorId _id;
    private readonly IActorRef _actor;

    /// <summary>Makes the actor, which waits for its start.</summary>
    public AkkaShell(ActorSystem system, IActor actor, IActorHost host)
    {
        _id = actor.Id;
        string name = $"{actor.Id.Role.ToString().ToLowerInvariant()}-{actor.Id.Number}-{Interlocked.Increment(ref s_made)}";
        _actor = system.ActorOf(Props.CreateBy(new Producer(actor, host)).WithDispatcher(HoconText.PinnedDispatcher), name);
    }

    /// <inheritdoc/>
    public void Start() => _actor.Tell(new ProtocolActor.Begin(), ActorRefs.NoSender);

    /// <inheritdoc/>
    public void Post(ActorId from, Message message) => _actor.Tell(new ProtocolActor.Delivered(from, message), ActorRefs.NoSender);

    /// <inheritdoc/>
    public void Post(Message message) => Post(_id, message);

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            _actor.GracefulStop(s_patience).Wait(s_patience);
        }
        catch (AggregateException)
        {
            // It is busy for longer than that; it stops when it is done.
        }
    }

    private sealed class Producer(IActor actor, IActorHost host) : IIndirectActorProducer
    {
        public Type ActorType => typeof(ProtocolActor);

        public ActorBase Produce() => new ProtocolActor(actor, host);

        public void Release(ActorBase produced)
        {
        }
    }
}
