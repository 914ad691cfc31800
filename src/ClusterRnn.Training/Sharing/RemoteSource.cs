using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Training.Sharing;

/// <summary>Whoever has the data's rows: the coordinator, for workers without a copy of the data.</summary>
public interface IRowSupplier
{
    /// <summary>What a step reads.</summary>
    /// <exception cref="TrainingException">The rows did not come in time.</exception>
    StepPlan Plan(DataPart part, long version);

    /// <summary>Rows of a step, see <see cref="IBatchSource.Fill"/>.</summary>
    /// <exception cref="TrainingException">The rows did not come in time.</exception>
    void Fill(DataPart part, StepPlan plan, int firstRow, int rows, SpanBatch into);
}

/// <summary>A source whose rows somebody else has.</summary>
/// <param name="part">Which part of the data it is.</param>
/// <param name="description">Its outside.</param>
/// <param name="supplier">Who has the rows; null where none are read, as on a parameter server.</param>
public sealed class RemoteSource(DataPart part, SourceDescription description, IRowSupplier? supplier) : IBatchSource
{
    /// <inheritdoc/>
    public int BatchRows => description.BatchRows;

    /// <inheritdoc/>
    public long StepsPerPass => description.StepsPerPass;

    /// <inheritdoc/>
    public long TargetsPerPass => description.TargetsPerPass;

    /// <inheritdoc/>
    public int MaximumTime => description.MaximumTime;

    /// <inheritdoc/>
    public int MaximumTargetTime => description.MaximumTargetTime;

    /// <inheritdoc/>
    public int FeatureWidth => description.FeatureWidth;

    /// <inheritdoc/>
    public int TargetWidth => description.TargetWidth;

    /// <inheritdoc/>
    public bool CarriesState => description.CarriesState;

    /// <inheritdoc/>
    public string DatasetSha256 => description.Sha256;

    private IRowSupplier Supplier => supplier ?? throw new InvalidOperationException("Nobody supplies rows to this node.");

    /// <inheritdoc/>
    public StepPlan Plan(long version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        return Supplier.Plan(part, version);
    }

    /// <inheritdoc/>
    public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into) => Supplier.Fill(part, plan, firstRow, rows, into);
}
