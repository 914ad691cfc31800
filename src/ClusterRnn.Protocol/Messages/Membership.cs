// Who is there: joining, leaving, being lost, and the claim of an epoch.
namespace ClusterRnn.Protocol.Messages;

/// <summary>Worker to coordinator: I can compute shards of this job.</summary>
/// <param name="ProtocolVersion">The protocol it speaks.</param>
/// <param name="JobId">The job it was started for.</param>
/// <param name="DataSha256">The data it reads.</param>
public sealed record WorkerHello(int ProtocolVersion, string JobId, string DataSha256) : Message;

/// <summary>Server to coordinator: I can own a range of this job.</summary>
/// <param name="ProtocolVersion">The protocol it speaks.</param>
/// <param name="JobId">The job it was started for.</param>
public sealed record ServerHello(int ProtocolVersion, string JobId) : Message;

/// <summary>
/// Coordinator to worker: you are used from the next step on. Sent again whenever the map changes; the one with the highest
/// <see cref="RangeMap.Revision"/> of the highest epoch counts.
/// </summary>
/// <param name="Epoch">The coordinator's epoch.</param>
/// <param name="Map">Which server owns what.</param>
public sealed record Welcome(long Epoch, RangeMap Map) : Message;

/// <summary>The peer is not accepted; it should say why and end.</summary>
/// <param name="Reason">What was expected, what was found, what to do.</param>
public sealed record Refused(string Reason) : Message;

/// <summary>Coordinator to a worker or server it does not count on (any more): say hello again.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
public sealed record Rejoin(long Epoch) : Message;

/// <summary>Worker or server to coordinator: I am there. Answered by <see cref="Alive"/>.</summary>
/// <param name="Epoch">The epoch it acts in.</param>
/// <param name="Running">The assignment a worker is computing, else -1.</param>
/// <param name="Refused">How many messages of another epoch, step or fence a server has refused so far.</param>
public sealed record Heartbeat(long Epoch, long Running, long Refused) : Message;

/// <summary>Coordinator to whoever sent a heartbeat: I am there. Who misses it waits for a coordinator, and says so.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
public sealed record Alive(long Epoch) : Message;

/// <summary>To a worker or server from its host: finish what you have, then leave.</summary>
public sealed record Drain : Message;

/// <summary>Worker to coordinator: give me no more work. Server to coordinator: give my ranges to others.</summary>
public sealed record Leave : Message;

/// <summary>Coordinator to worker or server: nothing depends on you any more.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
public sealed record Released(long Epoch) : Message;

/// <summary>
/// From the host, which saw it: an actor is gone (its thread failed, its connection closed). The coordinator's host tells of
/// workers and servers, theirs tells of the coordinator.
/// </summary>
/// <param name="Actor">Who.</param>
/// <param name="Reason">What was seen.</param>
public sealed record ActorDown(ActorId Actor, string Reason) : Message;

/// <summary>
/// Coordinator to server: this epoch is mine. Nothing of a lower one counts from here on. Sent again whenever the map
/// changes; a server to which it gives no range is a spare.
/// </summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Map">Which server owns what.</param>
public sealed record ClaimEpoch(long Epoch, RangeMap Map) : Message;

/// <summary>A copy of a range that the map gives to a server.</summary>
/// <param name="Range">The range.</param>
/// <param name="Version">How many steps are applied to it, -1 while the server waits for its content.</param>
public readonly record struct HeldRange(int Range, long Version);

/// <summary>Server to coordinator: the claim is accepted.</summary>
/// <param name="Epoch">The accepted epoch.</param>
/// <param name="Revision">The revision of the map that was accepted.</param>
/// <param name="Held">What the map gives to the server, ascending; empty for a spare.</param>
/// <param name="Last">The last verdict it knows, applied or not.</param>
public sealed record EpochAccepted(long Epoch, long Revision, HeldRange[] Held, Verdict? Last) : Message;

/// <summary>Server to coordinator: a higher epoch was accepted before; end.</summary>
/// <param name="Epoch">The higher epoch.</param>
public sealed record EpochRefused(long Epoch) : Message;

/// <summary>Coordinator to all: the job has ended.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
/// <param name="Failed">Whether it ended without its result: the receiver ends as failed, too, so that whoever restarts what fails restarts all of the job.</param>
/// <param name="Reason">Why.</param>
public sealed record Shutdown(long Epoch, bool Failed, string Reason) : Message;

/// <summary>To the coordinator from its host: save at the next version and end.</summary>
/// <param name="Reason">Who asked for it.</param>
public sealed record StopRequested(string Reason) : Message;
