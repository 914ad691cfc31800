// One time axis of a step: how many time steps and rows there are, where the part begins that has gradients, and over
// which cells the sums of each shard run. A window that is computed in segments has the axis of one segment at a time;
// time step 0 is then the segment's first.
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

    /// <summary>Whether it is the one time step that remains after a layer that returns the last step only.</summary>
    public bool IsLast { get; private set; }

    /// <summary>The time step of the window that is time step 0.</summary>
    public int Start { get; private set; }

    /// <summary>Takes over a batch's shape, or that of a segment of it.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="start">The first time step of the batch.</param>
    /// <param name="time">How many there are.</param>
    /// <param name="from">The first time step of the batch with gradients.</param>
    /// <param name="firstRows">[shards].</param>
    /// <param name="rowCounts">[shards].</param>
    public void Load(SpanBatch batch, int start, int time, int from, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Start = start;
        Time = time;
        From = Math.Clamp(from - start, 0, time);
        StartTime = batch.StartTime + start;
        LoadRows(batch, firstRows, rowCounts);
    }

    /// <summary>The axis of one time step that remains after a layer that returns the last step only.</summary>
    /// <inheritdoc cref="Load" path="/param"/>
    public void LoadLast(SpanBatch batch, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Start = 0;
        Time = 1;
        IsLast = true;
        From = 0;
        StartTime = batch.StartTime;
        LoadRows(batch, firstRows, rowCounts);
    }

    private void LoadRows(SpanBatch batch, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Rows = batch.Rows;
        FirstRow = batch.FirstRow;
        IsRagged = false;
        for (int row = 0; row < Rows; row++)
        {
            Lengths[row] = Math.Clamp(batch.Lengths[row] - Start, 0, Time);
            IsRagged |= Lengths[row] < Time;
        }

        Shards.Build(From, Time, Rows, firstRows, rowCounts, IsRagged ? Lengths : null);
    }
}
