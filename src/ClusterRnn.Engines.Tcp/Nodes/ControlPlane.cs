// What engines of several processes differ in: whose mailboxes actors have, and how control messages find their way. Blocks,
// journal, checkpoints and everything else that nodes do is the same in all of them.
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>An actor's mailbox and whatever takes messages out of it, one at a time.</summary>
internal interface IActorShell : IDisposable
{
    /// <summary>Starts the actor.</summary>
    void Start();

    /// <summary>Puts an envelope into the mailbox.</summary>
    void Post(ActorId from, Message message);

    /// <summary>Tells the actor something of its own host.</summary>
    void Post(Message message);
}

/// <summary>Hosts actors and connects coordinators.</summary>
internal interface IControlPlane
{
    /// <summary>The engine's name.</summary>
    string EngineName { get; }

    /// <summary>A mailbox for an actor; nothing happens before it is started.</summary>
    IActorShell Host(IActor actor, IActorHost host);

    /// <summary>The coordinator's end; nobody is let in before it is opened.</summary>
    ICoordinatorControl Coordinate(ControlTerms terms);
}

/// <summary>On what terms nodes join.</summary>
/// <param name="JobId">The job; nodes of another one are sent away.</param>
/// <param name="FirstNumber">The numbers given begin with it.</param>
/// <param name="Received">Is told what arrives, and who is gone.</param>
/// <param name="Note">Is told what a person should know.</param>
/// <param name="Awaited">Servers that hold something, as the journal says: a coordinator that goes on waits for them, unless it is told that they are down.</param>
internal sealed record ControlTerms(string JobId, int FirstNumber, Action<ActorId, Message> Received, Action<string> Note, IReadOnlyCollection<ActorId> Awaited);

/// <summary>The coordinator's end of all control links.</summary>
internal interface ICoordinatorControl : IAsyncDisposable
{
    /// <summary>Lets nodes in.</summary>
    /// <param name="offer">What a node is answered, see <see cref="JobOffer"/>.</param>
    /// <returns>Where nodes join.</returns>
    /// <exception cref="TransportException">The address can't be listened on.</exception>
    Task<HostPort> OpenAsync(byte[] offer);

    /// <summary>How many nodes of a role are connected.</summary>
    int Count(ActorRole role);

    /// <summary>Where a server takes blocks, or null when it is not connected.</summary>
    string? BulkAddressOf(ActorId server);

    /// <summary>Sends a message, or drops it when its receiver is not connected.</summary>
    void Send(ActorId from, ActorId to, Message message);

    /// <summary>Lets nobody in any more and closes what is open, after what is queued.</summary>
    void Close(string reason);
}
