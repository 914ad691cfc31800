// Batches of examples of about the same length, so that little is padded. The pass's keyed order is cut into pools of 128
// batches; each pool is sorted by (length, place in that order) and cut into batches; the batches of the pass come in an order
// keyed by the pass. Every example is read once a pass, and a batch is as long as its longest row.
//
// A pool's sorted order is kept until another pass asks for it, so a step costs no sort but the first of a pool.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Batches of examples that differ in length, dealt from buckets.</summary>
public sealed unsafe class BucketSource : IExampleSource
{
    /// <summary>Batches of a pool.</summary>
    public const int PoolBatches = 128;

    private const int PlaceBits = 40; // a key is length << 40 | place within the pool

    private readonly ulong _seed;
    private readonly Pool[] _pools;

    /// <summary>Deals <paramref name="examples"/> into batches of <paramref name="rows"/>.</summary>
    /// <param name="examples">The examples. Their targets belong to the last time step alone, or to all.</param>
    /// <param name="rows">B: rows of a batch.</param>
    /// <param name="seed">The job's seed, which keys each pass's order.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no example, or no row.</exception>
    public BucketSource(IExamples examples, int rows, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(examples);
        ArgumentOutOfRangeException.ThrowIfLessThan(examples.Count, 1, nameof(examples));
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        if (examples.TargetTime != 1 && examples.TargetTime != examples.Time)
        {
            throw new ArgumentException($"Examples of different lengths have targets at the last time step or at all {examples.Time}, not at {examples.TargetTime}.", nameof(examples));
        }

        Examples = examples;
        _seed = seed;
        BatchRows = rows;
        StepsPerPass = (examples.Count + rows - 1) / rows;
        long inPool = (long)PoolBatches * rows;
        _pools = new Pool[(examples.Count + inPool - 1) / inPool];
        for (int i = 0; i < _pools.Length; i++)
        {
            _pools[i] = new Pool(i * inPool, checked((int)Math.Min(inPool, examples.Count - (i * inPool))));
        }
    }

    /// <inheritdoc/>
    public IExamples Examples { get; }

    /// <inheritdoc/>
    public int BatchRows { get; }

    /// <inheritdoc/>
    public long StepsPerPass { get; }

    /// <inheritdoc/>
    public long TargetsPerPass => Examples.Targets;

    /// <inheritdoc/>
    public int MaximumTime => Examples.Time;

    /// <inheritdoc/>
    public int MaximumTargetTime => Examples.TargetTime;

    /// <inheritdoc/>
    public int FeatureWidth => Examples.FeatureWidth;

    /// <inheritdoc/>
    public int TargetWidth => Examples.TargetWidth;

    /// <inheritdoc/>
    public bool CarriesState => false;

    /// <inheritdoc/>
    public string DatasetSha256 => Examples.Sha256;

    /// <inheritdoc/>
    public StepPlan Plan(long version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        long pass = version / StepsPerPass, step = version % StepsPerPass;
        (Pool pool, int first, int count) = BatchOf(pass, step);
        int time;
        lock (pool)
        {
            time = Math.Max(1, (int)(Sorted(pool, pass)[first + count - 1] >> PlaceBits));
        }

        return new StepPlan(version, pass, step, time, MaximumTargetTime == 1 ? 1 : time, 0, time, true);
    }

    /// <inheritdoc/>
    public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        ArgumentNullException.ThrowIfNull(into);
        BatchBounds.Prepare(this, plan, firstRow, rows, into);
        WindowSource.Clear(into);
        (Pool pool, int first, int count) = BatchOf(plan.Pass, plan.StepInPass);
        KeyedPermutation order = Order(plan.Pass);
        lock (pool)
        {
            long[] sorted = Sorted(pool, plan.Pass);
            for (int row = 0; row < rows; row++)
            {
                into.RowIds[row] = firstRow + row < count ? order.At(pool.First + (sorted[first + firstRow + row] & ((1L << PlaceBits) - 1))) : -1;
            }
        }

        for (int row = 0; row < rows; row++)
        {
            into.Lengths[row] = into.RowIds[row] < 0 ? 0 : Examples.Read(into.RowIds[row], into, row);
        }
    }

    private KeyedPermutation Order(long pass) => new(_seed, RandomPurpose.Shuffle, (ulong)pass, Examples.Count);

    // Which part of which sorted pool is the batch of a step.
    private (Pool Pool, int First, int Count) BatchOf(long pass, long step)
    {
        long batch = new KeyedPermutation(_seed, RandomPurpose.Bucket, (ulong)pass, StepsPerPass).At(step);
        Pool pool = _pools[batch / PoolBatches];
        int first = (int)(batch % PoolBatches) * BatchRows;
        return (pool, first, Math.Min(BatchRows, pool.Keys.Length - first));
    }

    private long[] Sorted(Pool pool, long pass)
    {
        if (pool.Pass != pass)
        {
            KeyedPermutation order = Order(pass);
            for (int i = 0; i < pool.Keys.Length; i++)
            {
                pool.Keys[i] = ((long)Examples.LengthOf(order.At(pool.First + i)) << PlaceBits) | (uint)i;
            }

            Array.Sort(pool.Keys);
            pool.Pass = pass;
        }

        return pool.Keys;
    }

    private sealed class Pool(long first, int count)
    {
        public long First { get; } = first;

        public long[] Keys { get; } = new long[count];

        public long Pass { get; set; } = -1;
    }
}
