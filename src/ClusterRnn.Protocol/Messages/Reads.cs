// Reading parameters and state at a version, and saving at one.
namespace ClusterRnn.Protocol.Messages;

/// <summary>Worker to owner: the parameters of your range at this version, as soon as you have it.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">Its fence.</param>
/// <param name="Version">The version.</param>
public sealed record ReadParameters(long Epoch, int Range, long Fence, long Version) : Message;

/// <summary>To the worker: the parameters of a range are there.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Version">The version.</param>
public sealed record ParametersArrived(long Epoch, int Range, long Version) : Message;

/// <summary>Worker to owner: the state of these shards as committed at this version.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range that owns them.</param>
/// <param name="Fence">Its fence.</param>
/// <param name="Version">The version.</param>
/// <param name="Shards">The shards, ascending.</param>
public sealed record ReadState(long Epoch, int Range, long Fence, long Version, int[] Shards) : Message;

/// <summary>To the worker: the state of these shards is there.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version.</param>
/// <param name="Shards">The shards, ascending.</param>
/// <param name="Payload">Where the host keeps the rows until they are held.</param>
public sealed record StateArrived(long Epoch, long Version, int[] Shards, long Payload) : Message;

/// <summary>Owner to worker: that version is gone.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Version">The version that was asked for.</param>
public sealed record ReadRefused(long Epoch, int Range, long Version) : Message;

/// <summary>Coordinator to owner: keep a copy of your range as it is at this version.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version.</param>
public sealed record TakeSnapshot(long Epoch, long Version) : Message;

/// <summary>Owner to coordinator: the copy is kept.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version.</param>
/// <param name="Range">The range.</param>
public sealed record SnapshotTaken(long Epoch, long Version, int Range) : Message;
