// An actor with what performs its effects: the same behind every mailbox. Whoever has the mailbox calls this from one thread at
// a time, in the order of arrival.
using System.Diagnostics;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Performs what an actor decided. Called on the actor's thread; must not wait.</summary>
internal interface IActorHost
{
    /// <summary>Sends a message, or drops it if there is no way to its receiver: the protocol asks again.</summary>
    void Send(ActorId from, ActorId to, Message message);

    /// <summary>Does what only the host can do.</summary>
    void Perform(ActorId actor, NodeEffect effect);

    /// <summary>The actor failed: a defect of the program, or of what was sent to it.</summary>
    void Failed(ActorId actor, Exception failure);
}

/// <summary>Lets an actor decide and its host act.</summary>
/// <param name="actor">The state machine.</param>
/// <param name="host">Performs its effects.</param>
internal sealed class HostedActor(IActor actor, IActorHost host)
{
    private readonly EffectList _effects = new();

    /// <summary>The actor's address.</summary>
    public ActorId Id => actor.Id;

    /// <summary>When the actor wants to look again.</summary>
    public Instant NextTick => actor.NextTick;

    /// <summary>The same in microseconds from now: 0 when it is overdue, null when the actor waits for messages only.</summary>
    public long? UntilTick => NextTick is var next && next == Instant.Never ? null : Math.Max(0, next - Now());

    /// <summary>Starts the actor.</summary>
    public void Start()
    {
        actor.Start(Now(), _effects);
        Perform();
    }

    /// <summary>Has the actor handle a message.</summary>
    /// <exception cref="TrainingException">It failed at it; the text says at which.</exception>
    public void Handle(ActorId from, Message message)
    {
        try
        {
            actor.Handle(new Envelope(from, actor.Id, message), Now(), _effects);
        }
        catch (Exception error) when (error is not TrainingException)
        {
            throw new TrainingException($"{actor.Id} failed at a {message.GetType().Name} from {from}: {error.Message}", error);
        }

        Perform();
    }

    /// <summary>Has the actor look again, if it is time.</summary>
    public void Tick()
    {
        Instant now = Now();
        if (actor.NextTick <= now)
        {
            actor.Tick(now, _effects);
            Perform();
        }
    }

    /// <summary>Tells the host that the actor failed: nothing is handled any more.</summary>
    public void Failed(Exception failure) => host.Failed(actor.Id, failure);

    // In microseconds since an arbitrary moment.
    private static Instant Now() => new((long)(Stopwatch.GetTimestamp() * ((double)Instant.TicksPerSecond / Stopwatch.Frequency)));

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
}
