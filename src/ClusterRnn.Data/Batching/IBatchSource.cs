using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>
/// Rows for each step, as a pure function of the version: whoever asks, however often and in whatever cut of rows, reads
/// the same values. That is what lets any worker take over any shard.
/// </summary>
public interface IBatchSource
{
    /// <summary>B: the rows of the global batch.</summary>
    int BatchRows { get; }

    /// <summary>Steps in one pass over the data.</summary>
    long StepsPerPass { get; }

    /// <summary>Targets counted in one pass: tokens to predict, or target time steps of examples.</summary>
    long TargetsPerPass { get; }

    /// <summary>The longest window of any step.</summary>
    int MaximumTime { get; }

    /// <summary>The most time steps with targets in any step.</summary>
    int MaximumTargetTime { get; }

    /// <summary>Values a time step, or 0 when the input is token ids.</summary>
    int FeatureWidth { get; }

    /// <summary>Real-valued targets a time step, or 0 when targets are class ids.</summary>
    int TargetWidth { get; }

    /// <summary>Whether the recurrent state goes on from step to step within a pass.</summary>
    bool CarriesState { get; }

    /// <summary>The SHA-256 of the data behind the rows, lower-case hexadecimal.</summary>
    string DatasetSha256 { get; }

    /// <summary>What the step from <paramref name="version"/> reads; the pass is <c>version / StepsPerPass</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="version"/> is negative.</exception>
    StepPlan Plan(long version);

    /// <summary>
    /// Writes rows <c>[firstRow, firstRow + rows)</c> of the step's global batch. Pure, safe on several threads at
    /// once, and allocates nothing.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The rows don't lie in the batch, or don't fit <paramref name="into"/>.</exception>
    void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into);
}
