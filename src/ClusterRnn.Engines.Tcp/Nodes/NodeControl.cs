// A node's end of its control messages, whatever they travel by: what comes before the node is ready for it is kept, heartbeats
// are timed, and health checks see that the node is in touch. The number that the first coordinator gave stays the node's own.
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>A worker's or server's way to its coordinator.</summary>
/// <param name="role">What the node is.</param>
/// <param name="aliveFile">A file that is touched while the node is in touch; null for none.</param>
internal abstract class NodeControl(ActorRole role, string? aliveFile)
{
    private readonly AliveFile _alive = new(aliveFile);
    private readonly List<Envelope> _early = []; // what came before the node was ready for it
    private Action<Envelope>? _received; // guarded by _early
    private Action<string>? _lost;
    private Action<JobOffer>? _reopened;

    /// <summary>The node's number; -1 before a coordinator gave it one.</summary>
    public int Number { get; private set; } = -1;

    /// <summary>The node's address as an actor.</summary>
    public ActorId Actor => new(role, Number);

    /// <summary>What the coordinator offered.</summary>
    public JobOffer Offer { get; private set; } = null!;

    /// <summary>The job; empty before a coordinator named it.</summary>
    public string JobId { get; private set; } = "";

    /// <summary>How long its heartbeats take.</summary>
    public HeartbeatTimes Heartbeats { get; } = new();

    /// <summary>A mailbox for the node's actor; nothing happens before it is started.</summary>
    public abstract IActorShell Host(IActor actor, IActorHost host);

    /// <summary>From here on the node is told what arrives, that the coordinator is out of reach, and what one offers when it is in reach again.</summary>
    public void Begin(Action<Envelope> received, Action<string> lost, Action<JobOffer> reopened)
    {
        _lost = lost;
        _reopened = reopened;
        lock (_early)
        {
            foreach (Envelope envelope in _early)
            {
                received(envelope);
            }

            _early.Clear();
            _received = received;
        }
    }

    /// <summary>Sends a message, or drops it when there is no way.</summary>
    public void Send(ActorId from, ActorId to, Message message)
    {
        if (message is Heartbeat)
        {
            Heartbeats.Sent();
        }

        Transmit(from, to, message);
    }

    /// <summary>Puts a message on its way, or drops it when there is none.</summary>
    protected abstract void Transmit(ActorId from, ActorId to, Message message);

    /// <summary>A coordinator let the node in, for the first time or again.</summary>
    protected void LetIn(int number, JobOffer offer)
    {
        Number = number;
        Offer = offer;
        JobId = JobDescription.FromBytes(offer.Job).JobId;
        _reopened?.Invoke(offer);
    }

    /// <summary>A message is here.</summary>
    protected void Take(in Envelope envelope)
    {
        _alive.Touch();
        if (envelope.Message is Alive)
        {
            Heartbeats.Answered();
        }

        Action<Envelope>? received;
        lock (_early)
        {
            received = _received;
            if (received is null)
            {
                _early.Add(envelope);
                return;
            }
        }

        received(envelope);
    }

    /// <summary>The coordinator is out of reach.</summary>
    protected void Lose(string reason) => _lost?.Invoke(reason);
}
