// What an actor decided, for its host to perform in order.
//
// A message to send is the common case; everything else is a NodeEffect. A journal record comes before the messages that
// depend on it, so a host that performs effects in order writes a verdict before it sends it.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>Something only the host can do.</summary>
public abstract record NodeEffect;

/// <summary>Worker: compute these shards off the actor's thread; comes back as <see cref="Computed"/>.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version whose parameters and states are used.</param>
/// <param name="Kind">Training or evaluation.</param>
/// <param name="Assignment">The assignment.</param>
/// <param name="Range">The shards.</param>
public sealed record ComputeShards(long Epoch, long Version, WorkKind Kind, long Assignment, ShardRange Range) : NodeEffect;

/// <summary>Worker: send a piece of an answer that is held; arrives as <see cref="Piece"/>.</summary>
/// <param name="To">The owner.</param>
/// <param name="Key">Which piece.</param>
public sealed record SendPiece(ActorId To, PieceKey Key) : NodeEffect;

/// <summary>Worker: send the state after a shard; arrives as <see cref="StatePiece"/>.</summary>
/// <param name="To">The owner.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Fence">The fence of the range.</param>
/// <param name="Shard">The shard.</param>
/// <param name="Assignment">The assignment.</param>
public sealed record SendStatePiece(ActorId To, long Epoch, long Step, long Fence, int Shard, long Assignment) : NodeEffect;

/// <summary>Worker: keep states that arrived as those of this version.</summary>
/// <param name="Version">The version.</param>
/// <param name="Shards">The shards, ascending.</param>
/// <param name="Payload">Where the host kept the rows so far.</param>
public sealed record HoldStates(long Version, int[] Shards, long Payload) : NodeEffect;

/// <summary>Worker: the answer to this assignment won't be asked for again.</summary>
/// <param name="Assignment">The assignment.</param>
public sealed record ReleaseAnswer(long Assignment) : NodeEffect;

/// <summary>A piece that is to be summed.</summary>
/// <param name="Subtree">The shards it sums.</param>
/// <param name="Assignment">The assignment it answers.</param>
/// <param name="Payload">Where the host keeps the blocks.</param>
public readonly record struct HeldPiece(ShardRange Subtree, long Assignment, long Payload);

/// <summary>Server: sum these pieces along the canonical tree; comes back as <see cref="SegmentReduced"/>.</summary>
/// <param name="Step">The step.</param>
/// <param name="Ticket">Comes back with the result, so that one that was overtaken is recognised.</param>
/// <param name="Segment">The blocks.</param>
/// <param name="Pieces">The pieces, ascending; together they cover all shards.</param>
public sealed record ReduceSegment(long Step, long Ticket, Segment Segment, HeldPiece[] Pieces) : NodeEffect;

/// <summary>The state after a shard, to be stored.</summary>
/// <param name="Shard">The shard.</param>
/// <param name="Assignment">The assignment it answers.</param>
/// <param name="Payload">Where the host keeps the rows.</param>
public readonly record struct HeldState(int Shard, long Assignment, long Payload);

/// <summary>Server: keep these states as pending; comes back as <see cref="StatesStored"/>.</summary>
/// <param name="Step">The step.</param>
/// <param name="Ticket">Comes back with the result.</param>
/// <param name="States">One for each shard of the range, ascending.</param>
/// <param name="Range">The range.</param>
public sealed record StoreStates(long Step, long Ticket, HeldState[] States, int Range) : NodeEffect;

/// <summary>Server: the host may drop the blocks behind this payload.</summary>
/// <param name="Payload">The payload.</param>
public sealed record ReleasePayload(long Payload) : NodeEffect;

/// <summary>Server: send the reduced gradient and the pending states to the replica; arrives as <see cref="ReducedCopy"/>.</summary>
/// <param name="To">The replica.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">The attempt.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">The fence of the range.</param>
/// <param name="Digest">The digest of what is sent.</param>
public sealed record SendReducedCopy(ActorId To, long Epoch, long Step, int Attempt, int Range, long Fence, ulong Digest) : NodeEffect;

/// <summary>Server: apply a decided step: parameters, optimizer, states; comes back as <see cref="VerdictApplied"/>.</summary>
/// <param name="Step">The step.</param>
/// <param name="Decision">What becomes of it.</param>
/// <param name="Payload">The reduced gradient and states to apply, as a <see cref="ReducedCopy"/> brought them; 0 for those that were reduced and stored here. Released by an effect of its own.</param>
/// <param name="Range">The range.</param>
public sealed record ApplyVerdict(long Step, Decision Decision, long Payload, int Range) : NodeEffect;

/// <summary>Server: send parameters; arrives as <see cref="ParametersArrived"/>.</summary>
/// <param name="To">The worker.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Version">The version, which is the one the range is at.</param>
public sealed record SendParameters(ActorId To, long Epoch, int Range, long Version) : NodeEffect;

/// <summary>Server: send committed states; arrives as <see cref="StateArrived"/>.</summary>
/// <param name="To">The worker.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Version">The version, which is the one the range is at.</param>
/// <param name="Shards">The shards, ascending.</param>
public sealed record SendState(ActorId To, long Epoch, int Range, long Version, int[] Shards) : NodeEffect;

/// <summary>Server: keep a copy of the range for a checkpoint; comes back as <see cref="RangeSnapshotted"/>.</summary>
/// <param name="Version">The version, which is the one the range is at.</param>
/// <param name="Range">The range.</param>
public sealed record SnapshotRange(long Version, int Range) : NodeEffect;

/// <summary>
/// Owner or coordinator: send the content of a range (parameters, optimizer moments, accumulated gradients, committed
/// states) over the bulk path; arrives as <see cref="RangeCopy"/>. An owner sends what it has; the coordinator's host what it
/// started from or restored last.
/// </summary>
/// <param name="To">The server that waits for it.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">Its fence.</param>
/// <param name="Version">The version, which is the one the content is at.</param>
public sealed record SendRangeCopy(ActorId To, long Epoch, int Range, long Fence, long Version) : NodeEffect;

/// <summary>Server: make this the content of the range, and forget what is pending there; comes back as <see cref="RangeLoaded"/>.</summary>
/// <param name="Range">The range.</param>
/// <param name="Version">The version it is at.</param>
/// <param name="Payload">Where the host keeps it. Released by an effect of its own, later.</param>
public sealed record LoadRange(int Range, long Version, long Payload) : NodeEffect;

/// <summary>Server: the range is no longer held here; its memory may be freed.</summary>
/// <param name="Range">The range.</param>
public sealed record DropRange(int Range) : NodeEffect;

/// <summary>
/// Coordinator: a range has no live copy left. Claim the next epoch by exclusively creating its journal, then read the newest
/// whole checkpoint (or what the job started from, if there is none) and keep it for <see cref="SendRangeCopy"/>; comes back as
/// <see cref="CheckpointRestored"/> or <see cref="RestoreFailed"/>. What is appended to the journal afterwards goes to the new one.
/// </summary>
/// <param name="Epoch">The epoch to claim.</param>
/// <param name="Version">
/// The version to go back to, 0 for the start, however many newer ones there are. Those are of a course that is given up and are
/// removed, so that nobody goes on from them. Where its checkpoint is not there or not whole, the newest whole one before it is
/// restored, and nothing is removed. -1 for the newest whole checkpoint.
/// </param>
public sealed record RestoreCheckpoint(long Epoch, long Version = -1) : NodeEffect;

/// <summary>Coordinator: append to the journal before performing what follows; see each record for whether it is flushed. An engine without a journal does nothing.</summary>
/// <param name="Record">The record.</param>
public sealed record AppendJournal(JournalRecord Record) : NodeEffect;

/// <summary>Coordinator: every range has kept its copy; write the checkpoint. Comes back as <see cref="CheckpointSaved"/> or <see cref="CheckpointFailed"/>.</summary>
/// <param name="Version">The version.</param>
public sealed record SaveCheckpoint(long Version) : NodeEffect;

/// <summary>Coordinator: a step is committed (for progress and metrics).</summary>
/// <param name="Version">The version that is reached.</param>
public sealed record StepCommitted(long Version) : NodeEffect;

/// <summary>Coordinator: an evaluation is complete and the policy knows it.</summary>
/// <param name="Version">The version that was evaluated.</param>
public sealed record EvaluationFinished(long Version) : NodeEffect;

/// <summary>
/// Coordinator: the job has ended. Comes before the messages that say so: a host with a journal looks first whether another
/// coordinator has claimed the next epoch. Where one has, this one ends, and none of those messages is sent.
/// </summary>
/// <param name="Version">The version it ended at.</param>
/// <param name="Failed">Whether it ended because it could not go on.</param>
/// <param name="Reason">Why, naming the culprit of a failure.</param>
public sealed record EndJob(long Version, bool Failed, string Reason) : NodeEffect;

/// <summary>The actor has nothing more to do. Of a coordinator: another one has taken over, and goes on with the job.</summary>
/// <param name="Failed">Whether it was refused, or did not end as planned.</param>
/// <param name="Reason">Why.</param>
public sealed record EndActor(bool Failed, string Reason) : NodeEffect;

/// <summary>Something worth a line in the log.</summary>
/// <param name="Kind">What sort of thing it is.</param>
/// <param name="Actor">Whom it is about.</param>
/// <param name="Text">What happened.</param>
public sealed record Notice(NoticeKind Kind, ActorId Actor, string Text) : NodeEffect
{
    /// <summary>Whether it needs attention; otherwise the cluster goes on as it should.</summary>
    public bool IsWarning => Kind is NoticeKind.Lost or NoticeKind.Faulty or NoticeKind.Quarantined or NoticeKind.Warning or NoticeKind.RolledBack;
}

/// <summary>What a notice is about.</summary>
public enum NoticeKind : byte
{
    /// <summary>An actor joined.</summary>
    Joined,

    /// <summary>An actor left as planned.</summary>
    Left,

    /// <summary>An actor was lost.</summary>
    Lost,

    /// <summary>A late shard was given to another worker as well.</summary>
    Speculated,

    /// <summary>An answer was wrong or not finite.</summary>
    Faulty,

    /// <summary>A worker is no longer used.</summary>
    Quarantined,

    /// <summary>A checkpoint failed, or something else a user should know.</summary>
    Warning,

    /// <summary>A replica became the owner of its range.</summary>
    Promoted,

    /// <summary>A new replica has the content of its range.</summary>
    Refilled,

    /// <summary>The job went back to a checkpoint.</summary>
    RolledBack,

    /// <summary>Something is waited for, with a deadline.</summary>
    Waiting,
}

/// <summary>A line of the coordinator's journal.</summary>
public abstract record JournalRecord;

/// <summary>An epoch begins: the first record of its journal. Flushed.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Predecessor">The epoch whose journal it continues, -1 when there is none.</param>
/// <param name="AdoptedBytes">How many bytes of the predecessor's journal count; later ones don't.</param>
public sealed record EpochRecord(long Epoch, long Predecessor, long AdoptedBytes) : JournalRecord;

/// <summary>
/// A step is committed: the commit point. It needs a write, not a flush, because deciding it again gives the same bits. It is
/// the ledger as well: which rows each shard read.
/// </summary>
/// <param name="Verdict">The verdict.</param>
/// <param name="Digest">Over everything the step came to: when it is executed again after a rollback, it must come to the same.</param>
/// <param name="RowDigests">The digest of the rows each shard read, in shard order; empty (and <paramref name="Digest"/> 0) for a verdict that was lost here and that a server knew.</param>
public sealed record VerdictRecord(Verdict Verdict, ulong Digest, ulong[] RowDigests) : JournalRecord;

/// <summary>Ranges have other owners, fences or replicas from here on. Flushed.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Map">The map.</param>
public sealed record MapRecord(long Epoch, RangeMap Map) : JournalRecord;

/// <summary>The job goes back: the verdicts of this version and later ones no longer count, their digests do. Flushed.</summary>
/// <param name="Epoch">The epoch it goes on in.</param>
/// <param name="Version">The version of the checkpoint.</param>
/// <param name="Reason">Which range was lost, and why.</param>
/// <param name="PolicyState">
/// When the policy asked for it: its state from which the job goes on, otherwise than the first time; then what was recorded of this
/// step and later ones does not count either. Empty when a range was lost.
/// </param>
public sealed record RollbackRecord(long Epoch, long Version, string Reason, ReadOnlyMemory<byte> PolicyState = default) : JournalRecord;

/// <summary>A checkpoint is whole. Flushed.</summary>
/// <param name="Version">Its version.</param>
public sealed record CheckpointRecord(long Version) : JournalRecord;

/// <summary>One decision: a message to send, or something for the host to do.</summary>
/// <param name="To">Whom a message goes to.</param>
/// <param name="Message">The message, or null.</param>
/// <param name="Action">What the host has to do, or null.</param>
public readonly record struct Effect(ActorId To, Message? Message, NodeEffect? Action);

/// <summary>The decisions of one call, in order. Reused from call to call.</summary>
public sealed class EffectList
{
    private readonly List<Effect> _effects = [];

    /// <summary>How many there are.</summary>
    public int Count => _effects.Count;

    /// <summary>The decision at this place.</summary>
    public Effect this[int index] => _effects[index];

    /// <summary>Sends a message.</summary>
    public void Send(ActorId to, Message message) => _effects.Add(new Effect(to, message, null));

    /// <summary>Has the host do something.</summary>
    public void Do(NodeEffect action) => _effects.Add(new Effect(default, null, action));

    /// <summary>Forgets all.</summary>
    public void Clear() => _effects.Clear();
}
