// The shell around a state machine of the protocol: Akka's mailbox in front, effects behind, a timer for its next deadline.
using Akka.Actor;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Hosts one state machine.</summary>
internal sealed class ProtocolActor(HostedActor actor) : UntypedActor, IWithTimers
{
    private static readonly object s_tick = new();

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
                    actor.Start();
                    foreach (Delivered early in _early)
                    {
                        actor.Handle(early.From, early.Message);
                    }

                    _early.Clear();
                    break;
                case Delivered delivered when _isStarted:
                    actor.Handle(delivered.From, delivered.Message);
                    break;
                case Delivered delivered:
                    _early.Add(delivered);
                    return;
                default:
                    _timerAt = Instant.Never;
                    break;
            }

            actor.Tick();
            if (actor.UntilTick is { } until && actor.NextTick != _timerAt)
            {
                _timerAt = actor.NextTick;
                Timers.StartSingleTimer(s_tick, s_tick, TimeSpan.FromMicroseconds(until));
            }
        }
        catch (Exception error)
        {
            Context.Stop(Self);
            actor.Failed(error);
        }
    }

    /// <inheritdoc/>
    protected override void PostStop()
        => actor.Failed(new TrainingException($"{actor.Id} ended with its node, which is no member of the cluster any more")); // unless it had ended before

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
        _actor = system.ActorOf(Props.CreateBy(new Producer(new HostedActor(actor, host))).WithDispatcher(HoconText.PinnedDispatcher), name);
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

    private sealed class Producer(HostedActor actor) : IIndirectActorProducer
    {
        public Type ActorType => typeof(ProtocolActor);

        public ActorBase Produce() => new ProtocolActor(actor);

        public void Release(ActorBase produced)
        {
        }
    }
}
