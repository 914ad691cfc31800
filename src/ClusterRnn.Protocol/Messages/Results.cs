// What a host tells its own actor when an effect has been performed.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Protocol.Messages;

/// <summary>A segment of a running computation is ready: its pieces can go while the backward pass goes on.</summary>
/// <param name="Assignment">The assignment.</param>
/// <param name="Segment">The segment.</param>
public sealed record SegmentComputed(long Assignment, int Segment) : Message;

/// <summary>A computation has ended.</summary>
/// <param name="Assignment">The assignment.</param>
/// <param name="Usable">False when the version was overwritten while it was read: nothing of it counts.</param>
/// <param name="Shards">One report a shard, ascending.</param>
/// <param name="Subtrees">One report a subtree, ascending; empty for an evaluation.</param>
/// <param name="ComputeTicks">How long it took.</param>
public sealed record Computed(long Assignment, bool Usable, ShardReport[] Shards, SubtreeReport[] Subtrees, long ComputeTicks) : Message;

/// <summary>A segment is reduced.</summary>
/// <param name="Step">The step.</param>
/// <param name="Ticket">The ticket of the effect.</param>
/// <param name="Segment">The segment.</param>
/// <param name="Squares">Sums of squares of its blocks as maximal subtrees of the tree over all blocks, ascending.</param>
/// <param name="Finite">Whether all elements are finite.</param>
/// <param name="Digest">A digest of the reduced gradient.</param>
public sealed record SegmentReduced(long Step, long Ticket, int Segment, BlockSum[] Squares, bool Finite, ulong Digest) : Message;

/// <summary>The states of the range's shards are stored as pending.</summary>
/// <param name="Step">The step.</param>
/// <param name="Ticket">The ticket of the effect.</param>
/// <param name="Range">The range.</param>
public sealed record StatesStored(long Step, long Ticket, int Range) : Message;

/// <summary>A verdict has been applied: the range is at version <paramref name="Step"/> + 1.</summary>
/// <param name="Step">The step.</param>
/// <param name="Range">The range.</param>
public sealed record VerdictApplied(long Step, int Range) : Message;

/// <summary>A copy of the range is kept.</summary>
/// <param name="Version">The version.</param>
/// <param name="Range">The range.</param>
public sealed record RangeSnapshotted(long Version, int Range) : Message;

/// <summary>The content of a range is in its place: the answer to <see cref="LoadRange"/>.</summary>
/// <param name="Range">The range.</param>
/// <param name="Version">The version it is at.</param>
public sealed record RangeLoaded(int Range, long Version) : Message;

/// <summary>A checkpoint is saved, read back and whole.</summary>
/// <param name="Version">The version.</param>
public sealed record CheckpointSaved(long Version) : Message;

/// <summary>A checkpoint could not be saved. Training goes on, the older ones stay.</summary>
/// <param name="Version">The version.</param>
/// <param name="Reason">What happened.</param>
public sealed record CheckpointFailed(long Version, string Reason) : Message;

/// <summary>The next epoch is claimed in the journal and its content is at hand: the answer to <see cref="RestoreCheckpoint"/>.</summary>
/// <param name="Epoch">The epoch that was claimed.</param>
/// <param name="Version">The version of the newest whole checkpoint; that of the start when there is none.</param>
/// <param name="PolicyState">The policy's state as it was saved, as <see cref="IVerdictPolicy.Restore"/> takes it.</param>
/// <param name="AdoptedBytes">How many bytes of the predecessor's journal count.</param>
public sealed record CheckpointRestored(long Epoch, long Version, ReadOnlyMemory<byte> PolicyState, long AdoptedBytes) : Message;

/// <summary>Nothing could be restored; the job ends.</summary>
/// <param name="Epoch">The epoch that was to be claimed.</param>
/// <param name="Reason">What happened.</param>
public sealed record RestoreFailed(long Epoch, string Reason) : Message;
