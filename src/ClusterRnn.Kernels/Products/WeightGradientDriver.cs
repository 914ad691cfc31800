using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Products;

// The loops of WeightGradient around the tiles.
internal static unsafe class WeightGradientDriver<T, V>
    where T : struct, ITiles
    where V : struct, ILanes<V>
{
    private const int InnerBlock = 512;
    private const int MostTiles = 10;
    private const long StackFloats = 72 * 1024; // of one level: with a few levels it stays in L2

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(WeightGradientArguments* p)
    {
        int n = p->BColumns.Width, total = p->Starts[p->Shards];
        int tilesOfGroup = (p->AColumns.Width + T.Rows - 1) / T.Rows, tiles = tilesOfGroup * p->AColumns.Count;

        // All rows of as many columns as fit are rearranged at once; if not even one panel fits, block by block.
        long fitting = p->RightFloats / ((long)Math.Max(1, total) * T.PanelWidth);
        bool prepacked = fitting > 0;
        long columns = Math.Min(n, prepacked ? Math.Min(fitting * T.PanelWidth, 2048) : Math.Min(512, p->RightFloats / InnerBlock / T.PanelWidth * T.PanelWidth));
        for (int column = 0; column < n; column += (int)columns)
        {
            int width = (int)Math.Min(columns, n - column), stride = (width + T.PanelWidth - 1) / T.PanelWidth * T.PanelWidth;
            if (prepacked)
            {
                PackAll(p, column, width);
            }

            long fit = Math.Min(StackFloats / ((long)T.Rows * stride), Workspace.TileFloats / ((long)T.Rows * stride * (p->StackDepth + 1)));
            int chunk = (int)Math.Clamp(fit, 1, MostTiles);
            for (int tile = 0; tile < tiles; tile += chunk)
            {
                Chunk(p, column, width, stride, tile, Math.Min(tiles, tile + chunk), tilesOfGroup, prepacked);
            }
        }
    }

    private static int RowOf(int width, int tile, int tilesOfGroup) => (int)((long)width * tile / tilesOfGroup);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk(WeightGradientArguments* p, int column, int width, int stride, int firstTile, int endTile, int tilesOfGroup, bool prepacked)
    {
        int* heights = stackalloc int[MostTiles];
        int* columnsOfA = stackalloc int[MostTiles];
        int* outputRows = stackalloc int[MostTiles];
        int rows = 0, tiles = endTile - firstTile, groupWidth = p->AColumns.Width;
        for (int i = 0; i < tiles; i++)
        {
            int group = (firstTile + i) / tilesOfGroup, tile = (firstTile + i) % tilesOfGroup, row = RowOf(groupWidth, tile, tilesOfGroup);
            heights[i] = RowOf(groupWidth, tile + 1, tilesOfGroup) - row;
            columnsOfA[i] = p->AColumns.Offset(group) + row;
            outputRows[i] = (group * groupWidth) + row;
            rows += heights[i];
        }

        long level = (long)rows * stride;
        int depth = 0;
        for (int shard = 0; shard < p->Shards; shard++)
        {
            // The first merge is done tile by tile, as soon as a tile is complete.
            bool merges = p->MergesAfter[shard] > 0;
            float* product = p->Tile + (depth * level);
            ShardProduct(p, column, width, stride, shard, heights, columnsOfA, tiles, prepacked, product, merges ? product - level : null);
            depth += merges ? 0 : 1;
            for (int merge = 1; merge < p->MergesAfter[shard]; merge++)
            {
                depth--;
                Add(p->Tile + ((depth - 1) * level), p->Tile + (depth * level), level);
            }

            if (p->OutputAfter[shard] >= 0)
            {
                depth--;
                float* source = p->Tile + (depth * level), target = p->Outputs[p->OutputAfter[shard]] + p->Offset + column;
                for (int i = 0; i < tiles; i++)
                {
                    for (int row = 0; row < heights[i]; row++, source += stride)
                    {
                        Packing.CopyRow(source, target + ((long)(outputRows[i] + row) * p->BColumns.Width), width);
                    }
                }
            }
        }
    }

    // c[rows of the tiles, stride] = the shard's sum; or, where lower is given, lower += the shard's sum.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ShardProduct(WeightGradientArguments* p, int column, int width, int stride, int shard, int* heights, int* columnsOfA, int tiles, bool prepacked, float* c, float* lower)
    {
        int start = p->Starts[shard], count = p->Starts[shard + 1] - start;
        if (count == 0)
        {
            int rows = 0;
            for (int i = 0; i < tiles; i++)
            {
                rows += heights[i];
            }

            new Span<float>(c, rows * stride).Clear();
            if (lower != null)
            {
                Add(lower, c, (long)rows * stride);
            }

            return;
        }

        float* sum = stackalloc float[512]; // one tile
        int blocks = (count + InnerBlock - 1) / InnerBlock;
        for (int block = 0; block < blocks; block++)
        {
            int from = (int)((long)count * block / blocks), k = (int)((long)count * (block + 1) / blocks) - from;
            int* list = p->Rows + start + from;
            float* right = p->Right;
            if (prepacked)
            {
                right += (long)(start + from) * stride;
            }
            else
            {
                PackRight(p, list, k, column, width, right);
            }

            PackLeft(p, list, k, heights, columnsOfA, tiles, p->Left);
            bool merge = lower != null && block == blocks - 1;
            for (int panel = 0; panel < width; panel += T.PanelWidth)
            {
                float* left = p->Left, b = right + ((nint)panel * k), tile = c + panel;
                bool half = width - panel <= T.PanelWidth / 2;
                int tileWidth = half ? T.PanelWidth / 2 : T.PanelWidth;
                for (int i = 0; i < tiles; i++)
                {
                    float* s = block == 0 ? p->Zeros : tile, target = merge ? sum : tile;
                    (half ? T.Half(heights[i]) : T.Whole(heights[i]))(k, left, b, s, block == 0 ? 0 : stride, target, merge ? T.PanelWidth : stride);
                    if (merge)
                    {
                        AddTile(tile + (lower - c), stride, sum, heights[i], tileWidth);
                    }

                    left += LeftStride(heights[i], k);
                    tile += (nint)heights[i] * stride;
                }
            }
        }
    }

    // tile += sum, which has the rows of a panel.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddTile(float* tile, nint stride, float* sum, int height, int width)
    {
        for (int row = 0; row < height; row++, tile += stride, sum += T.PanelWidth)
        {
            for (int i = 0; i < width; i += V.Width)
            {
                (V.Load(tile + i) + V.Load(sum + i)).Store(tile + i);
            }
        }
    }

    private static nint LeftStride(int height, int k) => (((nint)height * k) + 31) & ~15;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackAll(WeightGradientArguments* p, int column, int width)
    {
        int stride = (width + T.PanelWidth - 1) / T.PanelWidth * T.PanelWidth;
        for (int shard = 0; shard < p->Shards; shard++)
        {
            int start = p->Starts[shard], count = p->Starts[shard + 1] - start, blocks = (count + InnerBlock - 1) / InnerBlock;
            for (int block = 0; block < blocks; block++)
            {
                int from = (int)((long)count * block / blocks), k = (int)((long)count * (block + 1) / blocks) - from;
                PackRight(p, p->Rows + start + from, k, column, width, p->Right + ((long)(start + from) * stride));
            }
        }
    }

    // target[panel, i, 0..panel width) = columns of row list[i] of B.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRight(WeightGradientArguments* p, int* list, int k, int column, int width, float* target)
    {
        nint panelStride = (nint)k * T.PanelWidth;
        int whole = width / T.PanelWidth * T.PanelWidth, rest = width - whole;
        float* b = p->B + p->BColumns.Offset0 + column;
        for (int i = 0; i < k; i++)
        {
            float* source = b + (list[i] * p->Ldb), to = target + ((nint)i * T.PanelWidth);
            int at = 0;
            for (; at < whole; at += T.PanelWidth, to += panelStride)
            {
                for (int lane = 0; lane < T.PanelWidth; lane += V.Width)
                {
                    V.Load(source + at + lane).Store(to + lane);
                }
            }

            if (rest > 0)
            {
                Packing.CopyRow(source + at, to, rest);
                new Span<float>(to + rest, T.PanelWidth - rest).Clear();
            }
        }
    }

    // target[tile, i, 0..height) = columns of row list[i] of A, tiles LeftStride apart.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackLeft(WeightGradientArguments* p, int* list, int k, int* heights, int* columnsOfA, int tiles, float* target)
    {
        int vectors = (T.Rows + V.Width - 1) / V.Width, reads = vectors * V.Width;
        ColumnGroups groups = p->AColumns;
        int end = groups.Offset(groups.Count - 1) + groups.Reach; // what may be read of a row
        for (int i = 0; i < k; i++)
        {
            float* source = p->A + (list[i] * p->Lda), to = target;
            for (int tile = 0; tile < tiles; tile++)
            {
                int height = heights[tile];
                float* from = source + columnsOfA[tile], at = to + ((nint)i * height);
                if (columnsOfA[tile] + reads <= end)
                {
                    // Writes past the tile's own columns; the next row's values come after and replace them.
                    for (int vector = 0; vector < vectors; vector++)
                    {
                        V.Load(from + (vector * V.Width)).Store(at + (vector * V.Width));
                    }
                }
                else
                {
                    for (int row = 0; row < height; row++)
                    {
                        at[row] = from[row];
                    }
                }

                to += LeftStride(height, k);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(float* sum, float* term, long count)
    {
        for (long i = 0; i < count; i += V.Width)
        {
            (V.Load(sum + i) + V.Load(term + i)).Store(sum + i);
        }
    }
}
