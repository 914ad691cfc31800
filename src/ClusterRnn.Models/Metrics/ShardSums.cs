// What a step reports beside gradients: for each shard a few sums (double) and counts (int64). A shard's sums are
// formed in the contract's order by whoever computes it; joining them along the canonical tree is everyone else's part.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>The sums and counts of the shards of one slice; reused from step to step.</summary>
public sealed class ShardSums
{
    /// <summary>Reserves room for <paramref name="maximumShards"/>.</summary>
    public ShardSums(MetricSchema schema, int maximumShards)
    {
        ArgumentNullException.ThrowIfNull(schema);
        ArgumentOutOfRangeException.ThrowIfNegative(maximumShards);
        SumWidth = schema.SumWidth;
        CountWidth = schema.CountWidth;
        MaximumShards = maximumShards;
        Sums = new double[maximumShards * SumWidth];
        Counts = new long[maximumShards * CountWidth];
    }

    /// <summary>Sums a shard; the first is the loss.</summary>
    public int SumWidth { get; }

    /// <summary>Counts a shard; the first is the number of targets by which the loss and its gradient are divided.</summary>
    public int CountWidth { get; }

    /// <summary>The most shards there is room for.</summary>
    public int MaximumShards { get; }

    /// <summary>The shards filled by the last step.</summary>
    public int Shards { get; private set; }

    /// <summary>The sums.</summary>
    public double[] Sums { get; } // [Shards, SumWidth]

    /// <summary>The counts.</summary>
    public long[] Counts { get; } // [Shards, CountWidth]

    /// <summary>The sums of one shard of the slice.</summary>
    public Span<double> SumsOf(int shard) => Sums.AsSpan(shard * SumWidth, SumWidth);

    /// <summary>The counts of one shard of the slice.</summary>
    public Span<long> CountsOf(int shard) => Counts.AsSpan(shard * CountWidth, CountWidth);

    /// <summary>Clears the first <paramref name="shards"/> shards.</summary>
    public void Reset(int shards)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shards, MaximumShards);
        Shards = shards;
        Sums.AsSpan(0, shards * SumWidth).Clear();
        Counts.AsSpan(0, shards * CountWidth).Clear();
    }

    /// <summary>Joins per-shard sums along the canonical tree over all of them.</summary>
    /// <param name="perShard">[shards, width], all shards of the global batch, ascending.</param>
    /// <param name="width">Sums a shard.</param>
    /// <param name="into">[width], overwritten.</param>
    public static void Join(ReadOnlySpan<double> perShard, int width, Span<double> into)
    {
        int shards = perShard.Length / width;
        for (int k = 0; k < width; k++)
        {
            into[k] = shards == 0 ? 0.0 : Node(perShard, width, k, 0, shards);
        }

        static double Node(ReadOnlySpan<double> values, int width, int k, int start, int end)
        {
            if (end - start == 1)
            {
                return values[start * width + k];
            }

            int middle = CanonicalTree.Split(start, end);
            return Node(values, width, k, start, middle) + Node(values, width, k, middle, end);
        }
    }

    /// <summary>Joins per-shard counts.</summary>
    /// <param name="perShard">[shards, width].</param>
    /// <param name="width">Counts a shard.</param>
    /// <param name="into">[width], overwritten.</param>
    public static void Join(ReadOnlySpan<long> perShard, int width, Span<long> into)
    {
        into.Clear();
        for (int i = 0; i < perShard.Length; i++)
        {
            into[i % width] += perShard[i];
        }
    }
}
