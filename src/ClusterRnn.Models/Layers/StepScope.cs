// One time axis of a step: how many time steps and rows there are, where the part begins that has gradients, and over
// which cells the sums of each shard run. A window that is computed in segments has the axis of one segment at a time;
// time step 0 is then the segment's first.
//
// Rows lie the longest first (RowOrder), so the rows that are still running at a time step are the first RowsAt of it. What
// lies in the cells of rows that have ended is finite and nobody's business.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>The shape of one step along one time axis, and the order of its sums.</summary>
/// <param name="arena">Where its lists live.</param>
/// <param name="maximumTime">The largest T.</param>
/// <param name="maximumSumTime">The most time steps with gradients.</param>
/// <param name="maximumRows">The most rows.</param>
/// <param name="maximumShards">The most shards.</param>
internal sealed unsafe class StepScope(Arena arena, int maximumTime, int maximumSumTime, int maximumRows, int maximumShards)
{
    private readonly int* running = arena.Ints(maximumTime); // [Time]: rows that have not ended
    private int* order; // [Rows]: which row of the batch lies at each place, or null

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

    /// <summary>The global row slot of the batch's first row.</summary>
    public int FirstRow { get; private set; }

    /// <summary>Valid time steps of each row, descending.</summary>
    public int* Lengths { get; } = arena.Ints(maximumRows); // [Rows]

    /// <summary>Whether some row ends before T.</summary>
    public bool IsRagged { get; private set; }

    /// <summary>The cells t x Rows + r in [From, T) of each shard.</summary>
    public ShardRows Shards { get; } = new(arena, maximumSumTime, maximumRows, maximumShards);

    /// <summary>Whether it is the one time step that remains after a layer that returns the last step only.</summary>
    public bool IsLast { get; private set; }

    /// <summary>Whether a layer before it gives fewer time steps than the window has.</summary>
    public bool IsShortened { get; private set; }

    /// <summary>The time step of the window that is time step 0.</summary>
    public int Start { get; private set; }

    /// <summary>How many rows, the first ones, have not ended before a time step.</summary>
    public int RowsAt(int time) => IsRagged ? running[time] : Rows;

    /// <summary>How many time steps from one on have all rows running, so that their cells are one piece; 1 where some have ended.</summary>
    public int RunFrom(int time)
    {
        if (!IsRagged)
        {
            return Time - time;
        }

        int end = time;
        while (end < Time && running[end] == Rows)
        {
            end++;
        }

        return Math.Max(1, end - time);
    }

    /// <summary>The cells from a time step on that lie in one piece and have not ended.</summary>
    /// <param name="time">The time step.</param>
    /// <param name="cells">How many they are, from the time step's first row on.</param>
    /// <returns>The time step after them.</returns>
    public int Piece(int time, out int cells)
    {
        int run = RunFrom(time);
        cells = run == 1 ? RowsAt(time) : run * Rows;
        return time + run;
    }

    /// <summary>The global row slot of what lies at a place.</summary>
    public long SlotOf(int place) => FirstRow + (order is null ? place : order[place]);

    /// <summary>Takes over a batch's shape, or that of a segment of it.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="rows">The order in which its rows are computed.</param>
    /// <param name="start">The first time step of the batch.</param>
    /// <param name="time">How many there are.</param>
    /// <param name="from">The first time step of the batch with gradients.</param>
    /// <param name="firstRows">[shards].</param>
    /// <param name="rowCounts">[shards].</param>
    public void Load(SpanBatch batch, RowOrder rows, int start, int time, int from, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Start = start;
        Time = time;
        From = Math.Clamp(from - start, 0, time);
        StartTime = batch.StartTime + start;
        LoadRows(batch, rows, firstRows, rowCounts);
    }

    /// <summary>The axis of one time step that remains after a layer that returns the last step only.</summary>
    /// <inheritdoc cref="Load" path="/param"/>
    public void LoadLast(SpanBatch batch, RowOrder rows, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Start = 0;
        Time = 1;
        IsLast = true;
        From = 0;
        StartTime = batch.StartTime;
        LoadRows(batch, rows, firstRows, rowCounts);
    }

    /// <summary>The axis after a layer that gives fewer time steps than it reads, computed whole.</summary>
    /// <param name="before">The axis it reads.</param>
    /// <param name="kernel">How it moves along it.</param>
    /// <param name="rows">The order in which rows are computed.</param>
    /// <param name="firstRows">[shards].</param>
    /// <param name="rowCounts">[shards].</param>
    public void LoadAfter(StepScope before, TimeKernel kernel, RowOrder rows, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Start = 0;
        IsShortened = true;
        Time = kernel.After(before.Time);
        From = 0;
        StartTime = before.StartTime;
        Rows = before.Rows;
        FirstRow = before.FirstRow;
        order = rows.Rows;
        for (int row = 0; row < Rows; row++)
        {
            Lengths[row] = kernel.After(before.Lengths[row]);
        }

        ListCells(rows, firstRows, rowCounts);
    }

    /// <summary>C = start + A B over all cells in [From, T) of rows that have not ended; A and C begin at time step 0.</summary>
    /// <inheritdoc cref="Product.Multiply(int, float*, nint, PackedMatrix, float*, nint, ProductStart, Workspace, bool)" path="/param"/>
    public void Multiply(float* a, nint lda, PackedMatrix b, float* c, nint ldc, ProductStart start, Workspace workspace, bool flush = false)
    {
        for (int time = From, next; time < Time; time = next)
        {
            next = Piece(time, out int cells);
            long cell = (long)time * Rows;
            if (cells > 0)
            {
                Product.Multiply(cells, a + (cell * lda), lda, b, c + (cell * ldc), ldc, start, workspace, flush);
            }
        }
    }

    /// <summary>Sets the values in [From, T) of rows that have ended to +0; the values begin at time step 0.</summary>
    public void ClearEnded(float* values, nint stride)
    {
        for (int time = From; IsRagged && time < Time; time++)
        {
            int rows = running[time];
            new Span<float>(values + (((long)time * Rows) + rows) * stride, checked((int)((Rows - rows) * stride))).Clear();
        }
    }

    /// <summary>Drops values of the rows of one time step that have not ended: see <see cref="Dropout.Apply"/>.</summary>
    /// <param name="key">The family of random numbers.</param>
    /// <param name="rate">The share that is dropped.</param>
    /// <param name="rows">How many rows, the first ones.</param>
    /// <param name="width">Values a row.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="time">The absolute time, 0 for a mask that is the same at all times.</param>
    /// <param name="source">The time step's first row.</param>
    /// <param name="target">Likewise; may be the source.</param>
    public void Drop(RandomKey key, double rate, int rows, int width, nint stride, long time, float* source, float* target)
    {
        if (order is null)
        {
            Dropout.Apply(key, (float)rate, rows, width, stride, FirstRow, time, source, target);
            return;
        }

        for (int place = 0; place < rows; place++, source += stride, target += stride)
        {
            Dropout.Apply(key, (float)rate, 1, width, stride, FirstRow + order[place], time, source, target);
        }
    }

    private void LoadRows(SpanBatch batch, RowOrder rows, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        Rows = batch.Rows;
        FirstRow = batch.FirstRow;
        order = rows.Rows;
        for (int row = 0; row < Rows; row++)
        {
            Lengths[row] = Math.Clamp(rows.Lengths[row] - Start, 0, Time);
        }

        ListCells(rows, firstRows, rowCounts);
    }

    private void ListCells(RowOrder rows, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        IsRagged = false;
        for (int row = 0; row < Rows; row++)
        {
            IsRagged |= Lengths[row] < Time;
        }

        if (IsRagged)
        {
            for (int time = 0, still = Rows; time < Time; time++)
            {
                while (still > 0 && Lengths[still - 1] <= time)
                {
                    still--;
                }

                running[time] = still;
            }
        }

        Shards.Build(From, Time, Rows, firstRows, rowCounts, IsRagged ? Lengths : null, rows.Places);
    }
}
