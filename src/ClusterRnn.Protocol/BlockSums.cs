using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>
/// Sums over blocks along the canonical tree over all blocks, so that a norm does not depend on how blocks are spread over
/// servers. A range sends its maximal subtrees, which are few; the coordinator finishes the tree.
/// </summary>
public static class BlockSums
{
    /// <summary>The sums of <paramref name="blocks"/> as maximal subtrees of the tree over <paramref name="blockCount"/>.</summary>
    /// <param name="values">One value a block of <paramref name="blocks"/>.</param>
    /// <param name="blocks">Which blocks they are.</param>
    /// <param name="blockCount">All blocks.</param>
    public static BlockSum[] Fold(ReadOnlySpan<double> values, ShardRange blocks, int blockCount)
    {
        var subtrees = new List<ShardRange>();
        CanonicalTree.MaximalSubtrees(blocks, blockCount, subtrees);
        var sums = new BlockSum[subtrees.Count];
        for (int i = 0; i < sums.Length; i++)
        {
            sums[i] = new BlockSum(subtrees[i], Sum(values, blocks.Start, subtrees[i].Start, subtrees[i].End));
        }

        return sums;
    }

    /// <summary>The sum over all blocks from the parts of all ranges, ascending.</summary>
    /// <exception cref="ArgumentException">The parts leave a gap or are no nodes of the tree.</exception>
    public static double Join(List<BlockSum> parts, int blockCount)
    {
        if (blockCount == 0)
        {
            return 0;
        }

        int next = 0;
        double sum = Join(parts, ref next, 0, blockCount);
        return next == parts.Count ? sum : throw new ArgumentException($"{parts.Count - next} parts are left over.", nameof(parts));
    }

    private static double Sum(ReadOnlySpan<double> values, int offset, int start, int end)
    {
        if (end - start == 1)
        {
            return values[start - offset];
        }

        int middle = CanonicalTree.Split(start, end);
        return Sum(values, offset, start, middle) + Sum(values, offset, middle, end);
    }

    private static double Join(List<BlockSum> parts, ref int next, int start, int end)
    {
        if (next < parts.Count && parts[next].Blocks == new ShardRange(start, end))
        {
            return parts[next++].Sum;
        }

        if (end - start < 2)
        {
            throw new ArgumentException($"Block {start} is in no part.", nameof(parts));
        }

        int middle = CanonicalTree.Split(start, end);
        double left = Join(parts, ref next, start, middle);
        return left + Join(parts, ref next, middle, end);
    }
}
