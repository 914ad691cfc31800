using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>The checks and the head every source writes alike.</summary>
internal static class BatchBounds
{
    public static void Prepare(IBatchSource source, StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstRow + rows, source.BatchRows, nameof(rows));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, into.MaximumRows);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(plan.Time, into.MaximumTime, nameof(plan));
        ArgumentOutOfRangeException.ThrowIfNotEqual(into.FeatureWidth, source.FeatureWidth, nameof(into));
        ArgumentOutOfRangeException.ThrowIfNotEqual(into.TargetWidth, source.TargetWidth, nameof(into));
        into.Time = plan.Time;
        into.Rows = rows;
        into.FirstRow = firstRow;
        into.StartTime = plan.StartTime;
        into.TargetTime = plan.TargetTime;
    }
}
