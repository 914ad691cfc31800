// What nodes of an Akka cluster tell each other beside Akka's own messages. Blocks never come this way: they have links of
// their own, whose addresses are announced here.
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Akka.Messages;

/// <summary>Anything that Hyperion may write or read here.</summary>
internal interface IClusterMessage;

/// <summary>A worker or server would like to join the job. Repeated until it is answered.</summary>
/// <param name="Actor">What it is; number -1 when any will do.</param>
/// <param name="JobId">The job it belongs to, or empty.</param>
/// <param name="Bulk">HOST:PORT at which it takes blocks, or empty.</param>
internal sealed record JoinJob(ActorId Actor, string JobId, string Bulk) : IClusterMessage;

/// <summary>A part of the job's offer: it may be larger than a message should be.</summary>
/// <param name="Number">The node's number.</param>
/// <param name="Part">Which part.</param>
/// <param name="Parts">Of how many.</param>
/// <param name="Bytes">Its bytes.</param>
internal sealed record JobOfferPart(int Number, int Part, int Parts, byte[] Bytes) : IClusterMessage;

/// <summary>The node can't join.</summary>
/// <param name="Reason">Why.</param>
internal sealed record JoinRefused(string Reason) : IClusterMessage;

/// <summary>A message of the protocol.</summary>
/// <param name="From">Which actor sends it.</param>
/// <param name="To">Which actor gets it.</param>
/// <param name="Body">The message as it is written, see <see cref="Parts"/>.</param>
internal sealed record Carried(ActorId From, ActorId To, object Body) : IClusterMessage
{
    /// <summary>A message on its way.</summary>
    public static Carried Of(ActorId from, ActorId to, Message message) => new(from, to, Parts.Of(message));
}

/// <summary>The coordinator goes; who is connected looks for its successor, if there is one.</summary>
/// <param name="Reason">Why.</param>
internal sealed record CoordinatorLeaves(string Reason) : IClusterMessage;

/// <summary>The job has ended: nobody needs to take it over.</summary>
/// <param name="Failed">Whether it ended without its result.</param>
/// <param name="Reason">Why.</param>
internal sealed record JobEnded(bool Failed, string Reason) : IClusterMessage;

/// <summary>The answer to <see cref="JobEnded"/>.</summary>
internal sealed record JobEndHeard : IClusterMessage;

/// <summary>A coordinator that goes on would like to know who lives on a node.</summary>
internal sealed record RollCall : IClusterMessage;

/// <summary>The answer to <see cref="RollCall"/>.</summary>
/// <param name="Actors">The workers and servers that live on the node and have a number.</param>
internal sealed record Present(ActorId[] Actors) : IClusterMessage;
