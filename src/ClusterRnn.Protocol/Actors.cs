// What a state machine is to whoever hosts it: an address, a mailbox, and decisions that come out as effects.
//
// An actor does no I/O, reads no clock, draws no randomness and starts no task. Its host (an engine) hands it one
// envelope at a time, then performs the effects in the order in which they were added. Results of effects come back as
// envelopes from the actor to itself. That is why the same actor runs in one process, over sockets and in a simulator.
namespace ClusterRnn.Protocol;

/// <summary>What an actor does in the cluster.</summary>
public enum ActorRole : byte
{
    /// <summary>Splits steps into assignments and decides each one.</summary>
    Coordinator,

    /// <summary>Computes the gradients of shards.</summary>
    Worker,

    /// <summary>Owns a range of the parameters.</summary>
    Server,
}

/// <summary>The address of an actor. A worker that comes back after a crash gets a number of its own.</summary>
/// <param name="Role">What it does.</param>
/// <param name="Number">Which of its kind.</param>
public readonly record struct ActorId(ActorRole Role, int Number) : IComparable<ActorId>
{
    /// <summary>The coordinator: there is one in an epoch.</summary>
    public static readonly ActorId Coordinator = new(ActorRole.Coordinator, 0);

    /// <summary>The worker of this number.</summary>
    public static ActorId Worker(int number) => new(ActorRole.Worker, number);

    /// <summary>The parameter server of this number.</summary>
    public static ActorId Server(int number) => new(ActorRole.Server, number);

    /// <inheritdoc/>
    public int CompareTo(ActorId other)
        => Role != other.Role ? ((byte)Role).CompareTo((byte)other.Role) : Number.CompareTo(other.Number);

    /// <inheritdoc/>
    public override string ToString() => Role switch
    {
        ActorRole.Coordinator => "coordinator",
        ActorRole.Worker => $"worker {Number}",
        _ => $"server {Number}",
    };
}

/// <summary>A message on its way.</summary>
/// <param name="From">Who sent it; for the result of an effect, the actor itself.</param>
/// <param name="To">Who gets it.</param>
/// <param name="Message">What it says.</param>
public readonly record struct Envelope(ActorId From, ActorId To, Message Message);

/// <summary>Anything an actor can be told.</summary>
public abstract record Message;

/// <summary>A state machine with an address.</summary>
public interface IActor
{
    /// <summary>Its address.</summary>
    ActorId Id { get; }

    /// <summary>When <see cref="Tick"/> has something to do at the latest; <see cref="Instant.Never"/> when it waits for nothing.</summary>
    Instant NextTick { get; }

    /// <summary>Called once before anything else.</summary>
    void Start(Instant now, EffectList effects);

    /// <summary>Takes one message in.</summary>
    void Handle(in Envelope envelope, Instant now, EffectList effects);

    /// <summary>Looks at the deadlines.</summary>
    void Tick(Instant now, EffectList effects);
}
