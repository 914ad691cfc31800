// What hosts tell each other on behalf of their actors; no actor handles these.
namespace ClusterRnn.Protocol.Messages;

/// <summary>Where a server takes blocks.</summary>
/// <param name="Actor">The server.</param>
/// <param name="Address">HOST:PORT of its bulk port.</param>
public readonly record struct PeerAddress(ActorId Actor, string Address);

/// <summary>Coordinator's host to the others: where servers take blocks. The newest one counts, whole.</summary>
/// <param name="Peers">The servers that are there, ascending.</param>
public sealed record AddressBook(PeerAddress[] Peers) : Message;

/// <summary>Server's host to the coordinator's, over the bulk path: a range as it is at a version, for the checkpoint.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version.</param>
/// <param name="Range">The range.</param>
/// <param name="Payload">Where the host keeps it.</param>
public sealed record RangePushed(long Epoch, long Version, int Range, long Payload) : Message;

/// <summary>Worker's host to the coordinator's, over the bulk path: I have no copy of the data; send me these rows of a step.</summary>
/// <param name="Part">Which part of the data: 0 for training, 1 for validation, 2 for test.</param>
/// <param name="Version">The step.</param>
/// <param name="FirstRow">The first row.</param>
/// <param name="Rows">How many; 0 asks for the plan alone.</param>
public sealed record ReadRows(int Part, long Version, int FirstRow, int Rows) : Message;

/// <summary>The answer: what the step reads, and its rows as a block of 32-bit words.</summary>
/// <param name="Part">Which part of the data.</param>
/// <param name="Version">The step.</param>
/// <param name="FirstRow">The first row.</param>
/// <param name="Rows">How many.</param>
/// <param name="Pass">The pass of the step.</param>
/// <param name="StepInPass">Its place in the pass.</param>
/// <param name="Time">T: time steps of the window.</param>
/// <param name="TargetTime">How many of the last ones have targets.</param>
/// <param name="StartTime">The absolute time of the first.</param>
/// <param name="CaptureTime">After how many of them the state is committed.</param>
/// <param name="ResetState">Whether the incoming state is zero.</param>
/// <param name="Payload">Where the host keeps the rows.</param>
public sealed record RowsArrived(
    int Part,
    long Version,
    int FirstRow,
    int Rows,
    long Pass,
    long StepInPass,
    int Time,
    int TargetTime,
    long StartTime,
    int CaptureTime,
    bool ResetState,
    long Payload) : Message;

/// <summary>The coordinator's host can't supply the rows that were asked for.</summary>
/// <param name="Part">Which part of the data.</param>
/// <param name="Version">The step.</param>
/// <param name="Reason">Why.</param>
public sealed record RowsRefused(int Part, long Version, string Reason) : Message;
