using System.Collections.Immutable;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Protocol;

/// <summary>What the protocol has to know of a job: sizes, and what tells it from another job.</summary>
/// <param name="JobId">Names the job; peers of another one are refused.</param>
/// <param name="DataSha256">The SHA-256 of the data; a worker that reads other data is refused.</param>
/// <param name="Shards">S: the shards a global batch is cut into.</param>
/// <param name="EvaluationShards">The shards the evaluation is cut into, 0 when there is none.</param>
/// <param name="CarriesState">Whether recurrent state travels from step to step.</param>
public sealed record JobShape(string JobId, string DataSha256, int Shards, int EvaluationShards, bool CarriesState)
{
    /// <summary>The shards of work of this kind.</summary>
    public int ShardsOf(WorkKind kind) => kind == WorkKind.Train ? Shards : EvaluationShards;
}

/// <summary>What an assignment is for.</summary>
public enum WorkKind : byte
{
    /// <summary>The losses of the evaluation data at a version.</summary>
    Evaluate,

    /// <summary>The gradient of a training step.</summary>
    Train,
}

/// <summary>Who owns a range of the parameters.</summary>
/// <param name="Range">The range's number.</param>
/// <param name="FirstBlock">Its first block.</param>
/// <param name="BlockCount">How many blocks it has, may be 0.</param>
/// <param name="Owner">Who owns it.</param>
/// <param name="Fence">Raised whenever the owner changes: whoever carries a lower one is refused.</param>
/// <param name="Replica">Who holds a copy, or is being given one by the owner, if anyone.</param>
/// <param name="Since">The first step that is prepared under this fence; an owner that was the replica before applies earlier ones from the copy it holds.</param>
/// <param name="ReplicaSince">The first step that waits for the replica's word: with that version it is a full copy.</param>
public sealed record RangeOwner(
    int Range, int FirstBlock, int BlockCount, ActorId Owner, long Fence, ActorId? Replica, long Since = 0, long ReplicaSince = 0);

/// <summary>A run of blocks that travels as one piece of a gradient and is reduced as one.</summary>
/// <param name="Index">Its number over all ranges.</param>
/// <param name="Range">The range it lies in.</param>
/// <param name="FirstBlock">Its first block.</param>
/// <param name="BlockCount">How many blocks it has, at least 1.</param>
public readonly record struct Segment(int Index, int Range, int FirstBlock, int BlockCount);

/// <summary>Which server owns what. The incoming and outgoing state of shard s belongs to range s mod M.</summary>
public sealed class RangeMap
{
    /// <summary>Takes ranges in ascending order and the segments they are cut into.</summary>
    /// <param name="ranges">The ranges, ascending.</param>
    /// <param name="segments">The segments, ascending.</param>
    /// <param name="revision">How often it changed; rises over the life of a job.</param>
    /// <param name="origin">The epoch in which the coordinator last gave all ranges their content.</param>
    /// <exception cref="ArgumentException">The ranges leave a gap, or a segment does not lie in its range.</exception>
    public RangeMap(ImmutableArray<RangeOwner> ranges, ImmutableArray<Segment> segments, long revision = 0, long origin = 0)
    {
        Revision = revision;
        Origin = origin;
        if (ranges.IsEmpty || ranges.Length > Limits.MaximumRanges)
        {
            throw new ArgumentException($"A job has 1 to {Limits.MaximumRanges} ranges, not {ranges.Length}.", nameof(ranges));
        }

        int next = 0;
        for (int i = 0; i < ranges.Length; i++)
        {
            if (ranges[i].Range != i || ranges[i].FirstBlock != next || ranges[i].BlockCount < 0)
            {
                throw new ArgumentException($"Range {i} should start at block {next}, but is {ranges[i]}.", nameof(ranges));
            }

            next += ranges[i].BlockCount;
        }

        int covered = 0;
        for (int i = 0; i < segments.Length; i++)
        {
            Segment segment = segments[i];
            RangeOwner range = ranges[segment.Range];
            if (segment.Index != i || segment.FirstBlock != covered || segment.BlockCount < 1
                || segment.FirstBlock < range.FirstBlock || segment.FirstBlock + segment.BlockCount > range.FirstBlock + range.BlockCount)
            {
                throw new ArgumentException($"Segment {i} should start at block {covered} within its range, but is {segment}.", nameof(segments));
            }

            covered += segment.BlockCount;
        }

        if (covered != next)
        {
            throw new ArgumentException($"The segments cover {covered} of {next} blocks.", nameof(segments));
        }

        Ranges = ranges;
        Segments = segments;
        BlockCount = next;
    }

    /// <summary>The ranges, ascending.</summary>
    public ImmutableArray<RangeOwner> Ranges { get; }

    /// <summary>The segments of all ranges, ascending.</summary>
    public ImmutableArray<Segment> Segments { get; }

    /// <summary>The blocks of all ranges.</summary>
    public int BlockCount { get; }

    /// <summary>How often owners and replicas changed; the higher one counts. Rises over the life of a job, from epoch to epoch as well.</summary>
    public long Revision { get; }

    /// <summary>The epoch in which the coordinator last gave all ranges their content: copies of an earlier one count for nothing. 0 when servers brought it with them.</summary>
    public long Origin { get; }

    /// <summary>The same cut with other owners: the next revision.</summary>
    /// <param name="ranges">The ranges.</param>
    /// <param name="origin">See <see cref="Origin"/>.</param>
    public RangeMap Next(ImmutableArray<RangeOwner> ranges, long origin) => new(ranges, Segments, Revision + 1, origin);

    /// <summary>
    /// Spreads <paramref name="blockCount"/> blocks over <paramref name="servers"/> servers as evenly as the allowed
    /// cuts permit, one segment to a range.
    /// </summary>
    /// <param name="blockCount">All blocks.</param>
    /// <param name="servers">How many servers there are.</param>
    /// <param name="cuts">Where a range may begin (ascending block numbers), or empty where it may begin at any block.</param>
    public static RangeMap Spread(int blockCount, int servers, ReadOnlySpan<int> cuts)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(servers, 1);
        var ranges = ImmutableArray.CreateBuilder<RangeOwner>(servers);
        var segments = ImmutableArray.CreateBuilder<Segment>(servers);
        int first = 0;
        for (int i = 0; i < servers; i++)
        {
            int end = i == servers - 1 ? blockCount : Math.Max(first, Nearest((int)((long)blockCount * (i + 1) / servers), cuts, blockCount));
            ranges.Add(new RangeOwner(i, first, end - first, ActorId.Server(i), 1, null));
            if (end > first)
            {
                segments.Add(new Segment(segments.Count, i, first, end - first));
            }

            first = end;
        }

        return new RangeMap(ranges.MoveToImmutable(), segments.ToImmutable());
    }

    /// <summary>Whether <paramref name="range"/> takes part in steps: it has blocks, or the state of a shard.</summary>
    public bool TakesPart(int range, JobShape shape)
        => Ranges[range].BlockCount > 0 || (shape.CarriesState && range < shape.Shards);

    /// <summary>The range that owns the state of <paramref name="shard"/>.</summary>
    public int StateRange(int shard) => shard % Ranges.Length;

    private static int Nearest(int wanted, ReadOnlySpan<int> cuts, int blockCount)
    {
        if (cuts.IsEmpty)
        {
            return wanted;
        }

        int best = blockCount;
        foreach (int cut in cuts)
        {
            if (Math.Abs(cut - wanted) < Math.Abs(best - wanted))
            {
                best = cut;
            }
        }

        return best;
    }
}

/// <summary>The nodes of the canonical tree, as the protocol counts them.</summary>
public static class Subtrees
{
    /// <summary>How many subtrees of the tree over <paramref name="shards"/> are needed to cover <paramref name="range"/>.</summary>
    public static int Count(ShardRange range, int shards) => range.Count <= 0 ? 0 : Count(range, 0, shards);

    private static int Count(ShardRange range, int start, int end)
    {
        if (range.Start <= start && end <= range.End)
        {
            return 1;
        }

        if (start >= range.End || range.Start >= end)
        {
            return 0;
        }

        int middle = CanonicalTree.Split(start, end);
        return Count(range, start, middle) + Count(range, middle, end);
    }
}
