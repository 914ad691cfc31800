using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>
/// Which part of a global step an executor computes. The arrays are shared, not copied: keep one
/// <see cref="MergeProgram"/> and one <see cref="RowStarts"/> for each range of shards and nothing is allocated a step.
/// </summary>
/// <param name="Merge">The range of shards and how their gradients are joined within it.</param>
/// <param name="RowStarts">[Merge.Range.Count + 1]: shard i of the range has the batch's rows [RowStarts[i], RowStarts[i + 1]); the first is 0, the last the batch's row count.</param>
/// <param name="Seed">The job's seed: keys dropout.</param>
/// <param name="Version">The step's version: keys dropout.</param>
/// <param name="CaptureTime">After how many of the window's time steps the outgoing state is taken, 0 for the incoming one; a row that ends earlier gives its last state.</param>
/// <param name="ResetState">Whether the rows start from the zero state.</param>
public readonly record struct TrainingSlice(
    MergeProgram Merge,
    int[] RowStarts,
    ulong Seed,
    long Version,
    int CaptureTime,
    bool ResetState)
{
    /// <summary>A slice that is a whole batch of one shard: for tests, and wherever only one process computes.</summary>
    public static TrainingSlice Whole(int rows, int captureTime, ulong seed = 0, long version = 0, bool resetState = false) =>
        new(new MergeProgram(new ShardRange(0, 1), 1), [0, rows], seed, version, captureTime, resetState);
}
