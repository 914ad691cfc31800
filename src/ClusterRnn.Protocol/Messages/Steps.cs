// The life of a step: assignments, pieces, reports, Prepared, Verdict.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Protocol.Messages;

/// <summary>Coordinator to worker: compute these shards. Sent again, it asks for the answer that is held to be sent again.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
/// <param name="Version">The version whose parameters are used: step v for training.</param>
/// <param name="Kind">What it is for.</param>
/// <param name="Assignment">Its number; numbers rise over the life of a job.</param>
/// <param name="Range">The shards.</param>
/// <param name="IgnoreCachedState">Whether the committed state must be read from its owners although the worker computed it.</param>
/// <param name="Revision">The revision of the map, with its fences: a worker with a lower one says hello to get the new map.</param>
public sealed record Assign(
    long Epoch, long Version, WorkKind Kind, long Assignment, ShardRange Range, bool IgnoreCachedState, long Revision) : Message;

/// <summary>What one shard came to.</summary>
/// <param name="Shard">Which shard.</param>
/// <param name="Sums">Sums over its rows: the loss first, then what the metrics need.</param>
/// <param name="Counts">Counts over its rows: the targets first, then what the metrics need.</param>
/// <param name="RowsDigest">A digest of the rows that were read.</param>
/// <param name="StateDigest">A digest of the state after the shard, 0 when none is carried.</param>
/// <param name="Finite">Whether all sums are finite.</param>
public readonly record struct ShardReport(int Shard, double[] Sums, long[] Counts, ulong RowsDigest, ulong StateDigest, bool Finite)
{
    /// <summary>Whether the two answers carry the same bits (NaNs compare as NaN).</summary>
    public bool SameAnswer(in ShardReport other)
    {
        if (Shard != other.Shard || RowsDigest != other.RowsDigest || StateDigest != other.StateDigest || Finite != other.Finite
            || !Counts.AsSpan().SequenceEqual(other.Counts) || Sums.Length != other.Sums.Length)
        {
            return false;
        }

        for (int i = 0; i < Sums.Length; i++)
        {
            if (BitConverter.DoubleToInt64Bits(Sums[i]) != BitConverter.DoubleToInt64Bits(other.Sums[i])
                && !(double.IsNaN(Sums[i]) && double.IsNaN(other.Sums[i])))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>What the gradient of one subtree came to.</summary>
/// <param name="Subtree">The shards that were summed.</param>
/// <param name="Digests">A digest of the gradient, one for each layer of the model.</param>
/// <param name="Finite">Whether all elements are finite.</param>
public readonly record struct SubtreeReport(ShardRange Subtree, ulong[] Digests, bool Finite);

/// <summary>Worker to coordinator: the shards of an assignment are computed and their pieces are on the way.</summary>
/// <param name="Epoch">The epoch of the assignment.</param>
/// <param name="Version">The version it used.</param>
/// <param name="Kind">What it was for.</param>
/// <param name="Assignment">Which assignment.</param>
/// <param name="Shards">One report a shard, ascending.</param>
/// <param name="Subtrees">One report a subtree, ascending; empty for an evaluation.</param>
/// <param name="ComputeTicks">How long the computation took.</param>
public sealed record ShardsReported(
    long Epoch, long Version, WorkKind Kind, long Assignment, ShardReport[] Shards, SubtreeReport[] Subtrees, long ComputeTicks) : Message;

/// <summary>Worker to coordinator: this assignment can't be answered any more (its version is gone, or was overwritten while it was read).</summary>
/// <param name="Epoch">The epoch of the assignment.</param>
/// <param name="Assignment">Which assignment.</param>
public sealed record AssignmentAbandoned(long Epoch, long Assignment) : Message;

/// <summary>Names a piece of a gradient.</summary>
/// <param name="Epoch">The epoch it was computed in.</param>
/// <param name="Step">The step it belongs to.</param>
/// <param name="Fence">The fence of the range it is meant for.</param>
/// <param name="Segment">The blocks it covers.</param>
/// <param name="Subtree">The shards it sums.</param>
/// <param name="Assignment">The assignment it answers.</param>
public readonly record struct PieceKey(long Epoch, long Step, long Fence, int Segment, ShardRange Subtree, long Assignment);

/// <summary>Worker to owner, over the bulk path: a piece of a gradient.</summary>
/// <param name="Key">Which piece.</param>
/// <param name="Payload">Where the host keeps the blocks.</param>
public sealed record Piece(PieceKey Key, long Payload) : Message;

/// <summary>Worker to owner, over the bulk path: the state after a shard.</summary>
/// <param name="Epoch">The epoch it was computed in.</param>
/// <param name="Step">The step it belongs to.</param>
/// <param name="Fence">The fence of the range it is meant for.</param>
/// <param name="Shard">Which shard.</param>
/// <param name="Assignment">The assignment it answers.</param>
/// <param name="Payload">Where the host keeps the rows.</param>
public sealed record StatePiece(long Epoch, long Step, long Fence, int Shard, long Assignment, long Payload) : Message;

/// <summary>The sum of squares of a run of blocks that is a node of the canonical tree over all blocks.</summary>
/// <param name="Blocks">The blocks.</param>
/// <param name="Sum">The sum, joined along the tree.</param>
public readonly record struct BlockSum(ShardRange Blocks, double Sum);

/// <summary>Owner to coordinator: the gradient of my range is complete and safe.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">Which attempt at the step: raised when pieces are discarded.</param>
/// <param name="Range">The range.</param>
/// <param name="Squares">Sums of squares of its blocks as maximal subtrees of the tree over all blocks, ascending.</param>
/// <param name="Finite">Whether all elements are finite.</param>
/// <param name="Digest">A digest of the reduced gradient.</param>
/// <param name="Assignments">The assignments whose pieces were summed, ascending.</param>
/// <param name="Fence">The fence of the range.</param>
/// <param name="Replica">Who holds the reduced gradient as well, if anyone.</param>
public sealed record Prepared(
    long Epoch,
    long Step,
    int Attempt,
    int Range,
    BlockSum[] Squares,
    bool Finite,
    ulong Digest,
    long[] Assignments,
    long Fence,
    ActorId? Replica) : Message;

/// <summary>Coordinator to owner: take the pieces of these assignments out; they were found wrong, or nobody vouches for them.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">The attempt that begins.</param>
/// <param name="Assignments">All assignments discarded in this step so far.</param>
public sealed record DiscardPieces(long Epoch, long Step, int Attempt, long[] Assignments) : Message;

/// <summary>Coordinator to owner: what is missing of this step?</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
public sealed record CoverageRequest(long Epoch, long Step) : Message;

/// <summary>Owner to coordinator: what is missing.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">The attempt the owner is at.</param>
/// <param name="Range">The range.</param>
/// <param name="Missing">Shards without a piece for some segment, or without their state.</param>
public sealed record Coverage(long Epoch, long Step, int Attempt, int Range, ShardRange[] Missing) : Message;

/// <summary>What becomes of a step.</summary>
public enum VerdictKind : byte
{
    /// <summary>The optimizer applies the gradient.</summary>
    Apply,

    /// <summary>The gradient is added to those of earlier steps, to be applied together.</summary>
    Accumulate,

    /// <summary>Version, cursor and streams advance; parameters and optimizer do not. Rows with a state that is not finite restart from zero.</summary>
    Skip,

    /// <summary>The step is not committed and the job ends.</summary>
    Stop,
}

/// <summary>The numbers of a verdict: everything an owner needs to apply a step, the same for every owner.</summary>
/// <param name="Kind">What becomes of the step.</param>
/// <param name="Count">What the gradient is divided by.</param>
/// <param name="ClipScale">What it is multiplied by after that, 1 when it is not clipped.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Update">How many times the optimizer has applied, this one included.</param>
/// <param name="Reason">Why the step is skipped or the job stops, else null.</param>
public readonly record struct Decision(VerdictKind Kind, long Count, double ClipScale, double LearningRate, long Update, string? Reason);

/// <summary>Coordinator to owners: the step is decided.</summary>
/// <param name="Epoch">The epoch that sends it.</param>
/// <param name="Step">The step.</param>
/// <param name="Decision">What becomes of it.</param>
/// <param name="PolicyState">What the policy has to remember, as it is after this step; empty in an engine that keeps no journal.</param>
public sealed record Verdict(long Epoch, long Step, Decision Decision, ReadOnlyMemory<byte> PolicyState) : Message;

/// <summary>Owner or replica to coordinator: my copy of the range is at this version, by a verdict or because it was filled.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Version">The version.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">The fence of the range.</param>
public sealed record Applied(long Epoch, long Version, int Range, long Fence) : Message;

/// <summary>Owner to replica, over the bulk path: the reduced gradient and the states that are about to be committed.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">The attempt.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">The fence of the range.</param>
/// <param name="Digest">What the replica has to find.</param>
/// <param name="Payload">Where the host keeps it.</param>
public sealed record ReducedCopy(long Epoch, long Step, int Attempt, int Range, long Fence, ulong Digest, long Payload) : Message;

/// <summary>Replica to owner: I hold it.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Step">The step.</param>
/// <param name="Attempt">The attempt.</param>
/// <param name="Range">The range.</param>
public sealed record ReplicaHolds(long Epoch, long Step, int Attempt, int Range) : Message;
