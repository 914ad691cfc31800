using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Kernels.Products;

/// <summary>
/// For each shard of a worker's range the rows (t x B + r) over which its sums run, in the contract's order: time descending,
/// then rows ascending, finished rows left out.
/// </summary>
public sealed unsafe class ShardRows
{
    private readonly int* rows; // [starts[Shards]]
    private readonly int* starts; // [Shards + 1]
    private readonly int maximumShards;
    private readonly long maximumCells;

    /// <summary>Takes room for <paramref name="maximumShards"/> shards with together <paramref name="maximumTime"/> x <paramref name="maximumRows"/> cells.</summary>
    public ShardRows(Arena arena, int maximumTime, int maximumRows, int maximumShards)
    {
        ArgumentNullException.ThrowIfNull(arena);
        this.maximumShards = maximumShards;
        maximumCells = (long)maximumTime * maximumRows;
        rows = arena.Ints(maximumCells);
        starts = arena.Ints(maximumShards + 1);
    }

    /// <summary>How many shards were built.</summary>
    public int Shards { get; private set; }

    /// <summary>The rows of shard <paramref name="shard"/> (counted from the range's first).</summary>
    public int* Rows(int shard) => rows + starts[shard];

    /// <summary>How many rows shard <paramref name="shard"/> has.</summary>
    public int Count(int shard) => starts[shard + 1] - starts[shard];

    /// <summary>All rows of all shards.</summary>
    public int Total => starts[Shards];

    internal int* Starts => starts;

    /// <summary>Lists the cells of each shard.</summary>
    /// <param name="firstTime">The first time step that takes part.</param>
    /// <param name="endTime">One more than the last.</param>
    /// <param name="batchRows">B: cell (t, r) has the row number t x B + r.</param>
    /// <param name="firstRows">[shards]: the first batch row of each shard.</param>
    /// <param name="rowCounts">[shards]: how many rows each shard has.</param>
    /// <param name="lengths">[B]: valid time steps of what lies at each place; later ones are left out. Null: all are valid.</param>
    /// <param name="places">[B]: where each row lies among the rows of a time step. Null: in their own order.</param>
    /// <exception cref="ArgumentException">There are more shards or cells than there is room for.</exception>
    public void Build(int firstTime, int endTime, int batchRows, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts, int* lengths, int* places = null)
    {
        if (firstRows.Length > maximumShards || rowCounts.Length != firstRows.Length)
        {
            throw new ArgumentException($"There is room for {maximumShards} shards, and {firstRows.Length} first rows and {rowCounts.Length} counts were given.", nameof(firstRows));
        }

        long cells = 0;
        foreach (int count in rowCounts)
        {
            cells += (long)count * (endTime - firstTime);
        }

        if (cells > maximumCells)
        {
            throw new ArgumentException($"There is room for {maximumCells} cells, and the shards have {cells}.", nameof(rowCounts));
        }

        int next = 0;
        Shards = firstRows.Length;
        for (int shard = 0; shard < Shards; shard++)
        {
            starts[shard] = next;
            for (int time = endTime - 1; time >= firstTime; time--)
            {
                for (int row = firstRows[shard]; row < firstRows[shard] + rowCounts[shard]; row++)
                {
                    int place = places is null ? row : places[row];
                    if (lengths is null || time < lengths[place])
                    {
                        rows[next++] = (time * batchRows) + place;
                    }
                }
            }
        }

        starts[Shards] = next;
    }
}
