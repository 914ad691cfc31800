// One time axis of a step: how many time steps and rows there are, where the part begins that has gradients, and over
// which cells the sums of each shard run.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Models;

/// <summary>The shape of one step along one time axis, and the order of its sums.</summary>
internal sealed unsafe class StepScope(Arena arena, int maximumTime, int maximumRows, int maximumShards)
{
    /// <summary>T.</summary>
    public int Time { get; private set; }

    /// <summary>The first time step whose values reach the loss; gradients of activations exist from here on.</summary>
    public int From { get; private set; }

    /// <summary>B.</summary>
    public int Rows { get; private set; }

    /// <summary>Cells in [From, T).</summary>
    public int Cells => (Time - From) * Rows;

    /// <summary>The first cell in [From, T).</summary>
    public int FirstCell => From * Rows;

    /// <summary>The absolute time of time step 0.</summary>
    public long StartTime { get; private set; }

    /// <summary>The global row slot of row 0.</summary>
    public int FirstRow { get; private set; }

    /// <summary>Valid time steps of each row.</summary>
    public int* Lengths { get; } = arena.Ints(maximumRows); // [Rows]

    /// <summary>Whether some row ends before T.</summary>
    public bool IsRagged { get; private set; }

    /// <summary>The cells t x Rows + r in [From, T) of each shard.</summary>
    public ShardRows Shards { get; } = new(arena, maximumTime, maximumRows, maximumShards);

    /// <summary>Takes over a batch's shape.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="from">The first time step with gradients.</param>
    /// <param name="last">Whether the axis is the one time step after a layer that returns the last step only.</param>
    /// <param name="firstRows">[shards].</param>
    /// <param name="rowCounts">[shards].</param>
    public void Load(SpanBatch batch, int from, bool last, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Time = last ? 1 : batch.Time;
        From = last ? 0 : from;
        Rows = batch.Rows;
        FirstRow = batch.FirstRow;
        StartTime = batch.StartTime;
        IsRagged = false;
        for (int row = 0; row < Rows; row++)
        {
            Lengths[row] = Math.Min(Time, batch.Lengths[row]);
            IsRagged |= Lengths[row] < Time;
        }

        Shards.Build(From, Time, Rows, firstRows, rowCounts, IsRagged ? Lengths : null);
    }
}
