using ClusterRnn.Models;

namespace ClusterRnn.Training.Computing;

/// <summary>What one shard came to; reused from step to step.</summary>
public sealed class ShardReport
{
    /// <summary>Reserves room for the sums and counts of a model.</summary>
    public ShardReport(MetricSchema schema)
    {
        Sums = new double[schema.SumWidth];
        Counts = new long[schema.CountWidth];
    }

    /// <summary>Which shard.</summary>
    public int Shard { get; set; }

    /// <summary>Sums over its rows, as the model's metric schema orders them: the loss first.</summary>
    public double[] Sums { get; }

    /// <summary>Counts over its rows, as the model's metric schema orders them: the targets first.</summary>
    public long[] Counts { get; }

    /// <summary>A digest of the rows that were read.</summary>
    public ulong RowsDigest { get; set; }

    /// <summary>A digest of the state after the shard, 0 when none is carried.</summary>
    public ulong StateDigest { get; set; }

    /// <summary>Whether all sums and the state are finite.</summary>
    public bool Finite { get; set; }

    /// <summary>Makes this the report of a shard of which nothing was read yet.</summary>
    public void Clear(int shard)
    {
        Shard = shard;
        Array.Clear(Sums);
        Array.Clear(Counts);
        RowsDigest = 0;
        StateDigest = 0;
        Finite = true;
    }
}
