namespace ClusterRnn.Data;

/// <summary>Which rows of the global batch belong to which shard: contiguous, as evenly as possible.</summary>
public static class Dealing
{
    /// <summary>The rows of <paramref name="shard"/>: from <c>shard * batchRows / shards</c> to where the next one begins; sizes differ by at most one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The shard does not exist, or a number is not positive.</exception>
    public static (int First, int Count) RowsOf(int shard, int shards, int batchRows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shards, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchRows, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(shard);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(shard, shards);
        int first = (int)((long)shard * batchRows / shards);
        int end = (int)((shard + 1L) * batchRows / shards);
        return (first, end - first);
    }
}
