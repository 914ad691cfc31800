using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Products;

// The loops of WeightGradient around the tiles.
internal static unsafe class WeightGradientDriver<T, V>
    where T : struct, ITiles
    where V : struct, ILanes<V>
{
    private const int InnerBlock = 512;
    private const int MostTiles = 10;
    private const int SumLanes = 16; // at least a tile's rows, in whole vectors
    private const int MostColumns = 2048;
    private const long NearBytes = 512 * 1024; // of the second cache
    private const long StackFloats = 144 * 1024; // of one level: with a few levels it stays near

    // Columns of a right operand. Where there are two operands their columns lie side by side, so that a narrow one fills
    // up the other's last panel.
    private struct RightPart
    {
        public float* B; // at its first column
        public nint Ldb;
        public int Width;
        public int FirstColumn; // within a row of the stack
        public long Offset; // of the first column in the outputs
        public int OutputStride;
    }

    // Columns of A in some of its rows.
    private struct LeftBlock
    {
        public int* Rows; // [Count]
        public int Count;
        public int First;
        public int Last; // one more than the last
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(WeightGradientArguments* p)
    {
        RightPart* parts = stackalloc RightPart[2];
        long total = Math.Max(1, p->Starts[p->Shards]);
        if (p->SecondB != null)
        {
            int width = p->BColumns.Width + p->SecondColumns.Width;
            if (width <= MostColumns && total * Panels(width) * T.PanelWidth <= p->RightFloats)
            {
                // The wider one first: it is copied by whole vectors.
                bool swap = p->SecondColumns.Width > p->BColumns.Width;
                parts[swap ? 1 : 0] = Part(p->B, p->Ldb, p->BColumns, p->Offset, 0, p->BColumns.Width, swap ? p->SecondColumns.Width : 0);
                parts[swap ? 0 : 1] = Part(p->SecondB, p->SecondLdb, p->SecondColumns, p->SecondOffset, 0, p->SecondColumns.Width, swap ? 0 : p->BColumns.Width);
                Product(p, parts, 2, width, true, p->HasSums);
                return;
            }
        }

        Single(p, parts, p->B, p->Ldb, p->BColumns, p->Offset, total, p->HasSums);
        if (p->SecondB != null)
        {
            Single(p, parts, p->SecondB, p->SecondLdb, p->SecondColumns, p->SecondOffset, total, false);
        }
    }

    private static int Panels(int width) => (width + T.PanelWidth - 1) / T.PanelWidth;

    // All rows of as many columns as fit are rearranged at once; if not even one panel fits, block by block.
    private static void Single(WeightGradientArguments* p, RightPart* part, float* b, nint ldb, ColumnGroups columns, long offset, long total, bool sums)
    {
        long fitting = p->RightFloats / (total * T.PanelWidth);
        bool prepacked = fitting > 0;
        int step = (int)(prepacked ? Math.Min(fitting * T.PanelWidth, MostColumns) : 512);
        for (int column = 0; column < columns.Width; column += step)
        {
            int width = Math.Min(step, columns.Width - column);
            *part = Part(b, ldb, columns, offset, column, width, 0);
            Product(p, part, 1, width, prepacked, sums && column == 0);
        }
    }

    private static RightPart Part(float* b, nint ldb, ColumnGroups columns, long offset, int column, int width, int firstColumn) => new()
    {
        B = b + columns.Offset0 + column,
        Ldb = ldb,
        Width = width,
        FirstColumn = firstColumn,
        Offset = offset + column,
        OutputStride = columns.Width,
    };

    // width: columns of all parts; prepacked: all rows are rearranged before; hasSums: the column sums of A are formed along.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Product(WeightGradientArguments* p, RightPart* parts, int count, int width, bool prepacked, bool hasSums)
    {
        if (prepacked)
        {
            PackAll(p, parts, count, width);
        }

        int stride = (width + 15) & ~15;
        int tilesOfGroup = (p->AColumns.Width + T.Rows - 1) / T.Rows, tiles = tilesOfGroup * p->AColumns.Count;
        long fit = Math.Min(StackFloats / ((long)T.Rows * stride), Workspace.TileFloats / (((long)T.Rows * stride) + SumLanes) / (p->StackDepth + 1));
        int chunk = (int)Math.Clamp(fit, 1, MostTiles);
        for (int tile = 0; tile < tiles; tile += chunk)
        {
            int end = Math.Min(tiles, tile + chunk), beyond = Math.Min(tiles, end + chunk);
            LeftBlock after = end < tiles ? FirstBlock(p, 0, ColumnOf(p, end, tilesOfGroup), ColumnOf(p, beyond - 1, tilesOfGroup) + T.Rows) : default;
            Chunk(p, parts, count, width, prepacked, hasSums, stride, tile, end, tilesOfGroup, after);
        }
    }

    // The first column of a tile in a row of A.
    private static int ColumnOf(WeightGradientArguments* p, int tile, int tilesOfGroup)
        => p->AColumns.Offset(tile / tilesOfGroup) + RowOf(p->AColumns.Width, tile % tilesOfGroup, tilesOfGroup);

    // What is rearranged first of the shards from one on.
    private static LeftBlock FirstBlock(WeightGradientArguments* p, int shard, int first, int last)
    {
        while (shard < p->Shards && p->Starts[shard + 1] == p->Starts[shard])
        {
            shard++;
        }

        if (shard == p->Shards)
        {
            return default;
        }

        int cells = p->Starts[shard + 1] - p->Starts[shard], blocks = (cells + InnerBlock - 1) / InnerBlock;
        return new LeftBlock { Rows = p->Rows + p->Starts[shard], Count = cells / blocks, First = first, Last = last };
    }

    private static int RowOf(int width, int tile, int tilesOfGroup) => (int)((long)width * tile / tilesOfGroup);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk(WeightGradientArguments* p, RightPart* parts, int count, int width, bool prepacked, bool hasSums, int stride, int firstTile, int endTile, int tilesOfGroup, LeftBlock after)
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

        // A level of the stack: [rows, stride], and behind it the column sums of A [tiles, SumLanes].
        long level = ((long)rows * stride) + (hasSums ? tiles * SumLanes : 0);
        int depth = 0;
        for (int shard = 0; shard < p->Shards; shard++)
        {
            // The first merge is done tile by tile, as soon as a tile is complete.
            bool merges = p->MergesAfter[shard] > 0;
            float* product = p->Tile + (depth * level);
            if (p->Continues)
            {
                Fetch(p, parts, count, stride, shard, heights, outputRows, tiles, product, rows);
            }

            float* sums = hasSums ? product + ((long)rows * stride) : null;
            if (hasSums)
            {
                BeginSums(p, shard, heights, outputRows, tiles, sums);
            }

            LeftBlock next = FirstBlock(p, shard + 1, columnsOfA[0], columnsOfA[tiles - 1] + heights[tiles - 1]);
            ShardProduct(p, parts, count, width, prepacked, stride, shard, heights, columnsOfA, tiles, product, rows, sums, merges ? product - level : null, next.Count > 0 ? next : after);
            if (merges && hasSums)
            {
                Add(sums - level, sums, tiles * SumLanes);
            }

            depth += merges ? 0 : 1;
            for (int merge = 1; merge < p->MergesAfter[shard]; merge++)
            {
                depth--;
                Add(p->Tile + ((depth - 1) * level), p->Tile + (depth * level), level);
            }

            if (p->OutputAfter[shard] >= 0)
            {
                depth--;
                float* output = p->Outputs[p->OutputAfter[shard]];
                float* sum = p->Tile + (depth * level) + ((long)rows * stride);
                for (int tile = 0; tile < tiles && hasSums; tile++, sum += SumLanes)
                {
                    Packing.CopyRow(sum, output + p->SumsOffset + outputRows[tile], heights[tile]);
                }

                for (int i = 0; i < count; i++)
                {
                    float* source = p->Tile + (depth * level) + parts[i].FirstColumn, target = output + parts[i].Offset;
                    for (int tile = 0; tile < tiles; tile++)
                    {
                        for (int row = 0; row < heights[tile]; row++, source += stride)
                        {
                            Packing.CopyRow(source, target + ((long)(outputRows[tile] + row) * parts[i].OutputStride), parts[i].Width);
                        }
                    }
                }
            }
        }
    }

    // sums[tiles, SumLanes] = +0, or what the shard's outputs hold so far.
    private static void BeginSums(WeightGradientArguments* p, int shard, int* heights, int* outputRows, int tiles, float* sums)
    {
        new Span<float>(sums, tiles * SumLanes).Clear();
        for (int tile = 0; tile < tiles && p->Continues; tile++)
        {
            Packing.CopyRow(p->Outputs[p->OutputAfter[shard]] + p->SumsOffset + outputRows[tile], sums + (tile * SumLanes), heights[tile]);
        }
    }

    // c[rows of the tiles, stride] = what the shard's outputs hold so far.
    private static void Fetch(WeightGradientArguments* p, RightPart* parts, int count, int stride, int shard, int* heights, int* outputRows, int tiles, float* c, int rows)
    {
        new Span<float>(c, rows * stride).Clear();
        float* output = p->Outputs[p->OutputAfter[shard]];
        for (int i = 0; i < count; i++)
        {
            float* target = c + parts[i].FirstColumn, source = output + parts[i].Offset;
            for (int tile = 0; tile < tiles; tile++)
            {
                for (int row = 0; row < heights[tile]; row++, target += stride)
                {
                    Packing.CopyRow(source + ((long)(outputRows[tile] + row) * parts[i].OutputStride), target, parts[i].Width);
                }
            }
        }
    }

    // c[rows of the tiles, stride] = the shard's sum, from +0 or from what c holds; or, where lower is given, lower += the shard's
    // sum. sums[tiles, SumLanes] += the column sums of A, where they are asked for.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ShardProduct(WeightGradientArguments* p, RightPart* parts, int count, int width, bool prepacked, int stride, int shard, int* heights, int* columnsOfA, int tiles, float* c, int rows, float* sums, float* lower, LeftBlock after)
    {
        int start = p->Starts[shard], cells = p->Starts[shard + 1] - start;
        if (cells == 0)
        {
            if (!p->Continues)
            {
                new Span<float>(c, rows * stride).Clear();
            }

            if (lower != null)
            {
                Add(lower, c, (long)rows * stride);
            }

            return;
        }

        // What is rearranged next comes into the second cache meanwhile, a few rows with each tile; a small A is there already.
        bool fetches = Sse.IsSupported && p->Starts[p->Shards] * p->Lda * sizeof(float) > NearBytes;
        float* sum = p->Sum;
        int multiplied = cells; // what the chains leave out comes last
        while (multiplied > 0 && p->Rows[start + multiplied - 1] < p->FirstRow)
        {
            multiplied--;
        }

        int blocks = (cells + InnerBlock - 1) / InnerBlock, rightStride = Panels(width) * T.PanelWidth;
        for (int block = 0; block < blocks; block++)
        {
            bool begins = block == 0 && !p->Continues;
            int from = (int)((long)cells * block / blocks), k = (int)((long)cells * (block + 1) / blocks) - from;
            int depth = Math.Clamp(multiplied - from, 0, k);
            int* list = p->Rows + start + from;
            PackLeft(p, list, k, heights, columnsOfA, tiles, p->Left, sums);
            bool merge = lower != null && block == blocks - 1;
            float* right = p->Right;
            if (prepacked)
            {
                right += (long)(start + from) * rightStride;
            }
            else
            {
                PackRight(parts, count, list, k, width, right);
            }

            LeftBlock next = after;
            if (block < blocks - 1)
            {
                next = new LeftBlock { Rows = list + k, Count = k, First = columnsOfA[0], Last = columnsOfA[tiles - 1] + heights[tiles - 1] };
            }

            int ahead = 0, calls = Panels(width) * tiles, call = 0;
            for (int panel = 0; panel < width; panel += T.PanelWidth)
            {
                float* left = p->Left, b = right + ((nint)panel * k), tile = c + panel;
                int covered = T.Covered(Math.Min(T.PanelWidth, width - panel));
                for (int i = 0; i < tiles; i++)
                {
                    int until = fetches ? (int)((long)next.Count * ++call / calls) : 0;
                    for (; ahead < until; ahead++)
                    {
                        FetchAhead(p, next, ahead);
                    }

                    float* s = begins ? p->Zeros : tile, target = merge ? sum : tile;
                    T.Tile(heights[i], covered)(depth, left, b, s, begins ? 0 : stride, target, merge ? T.PanelWidth : stride);
                    if (merge)
                    {
                        AddTile(tile + (lower - c), stride, sum, heights[i], covered);
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

    // Rounded up with a gap: the copy of a tile's last row writes up to 16 floats.
    private static nint LeftStride(int height, int k) => (((nint)height * k) + 31) & ~15;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackAll(WeightGradientArguments* p, RightPart* parts, int count, int width)
    {
        int stride = Panels(width) * T.PanelWidth;
        for (int shard = 0; shard < p->Shards; shard++)
        {
            int start = p->Starts[shard], cells = p->Starts[shard + 1] - start, blocks = (cells + InnerBlock - 1) / InnerBlock;
            for (int block = 0; block < blocks; block++)
            {
                int from = (int)((long)cells * block / blocks), k = (int)((long)cells * (block + 1) / blocks) - from;
                PackRight(parts, count, p->Rows + start + from, k, width, p->Right + ((long)(start + from) * stride));
            }
        }
    }

    // target[panel, i, 0..panel width) = columns of row list[i] of B; the last panel is filled up with zeros.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRight(RightPart* parts, int count, int* list, int k, int width, float* target)
    {
        nint panelStride = (nint)k * T.PanelWidth;
        for (int part = 0; part < count; part++)
        {
            int first = parts[part].FirstColumn, end = first + parts[part].Width;
            for (int i = 0; i < k; i++)
            {
                float* source = parts[part].B + (list[i] * parts[part].Ldb) - first, to = target + ((nint)i * T.PanelWidth);
                for (int column = first; column < end;)
                {
                    int panel = column / T.PanelWidth, lane = column % T.PanelWidth, lanes = Math.Min(T.PanelWidth - lane, end - column);
                    float* from = source + column, at = to + (panel * panelStride) + lane;
                    column += lanes;
                    for (; lanes >= V.Width; lanes -= V.Width, from += V.Width, at += V.Width)
                    {
                        V.Load(from).Store(at);
                    }

                    for (; lanes > 0; lanes--)
                    {
                        *at++ = *from++;
                    }
                }
            }
        }

        int rest = Panels(width) * T.PanelWidth - width;
        if (rest > 0)
        {
            float* to = target + (width / T.PanelWidth * panelStride) + (T.PanelWidth - rest);
            for (int i = 0; i < k; i++, to += T.PanelWidth)
            {
                new Span<float>(to, rest).Clear();
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FetchAhead(WeightGradientArguments* p, in LeftBlock block, int row)
    {
        float* source = p->A + (block.Rows[row] * p->Lda);
        for (int column = block.First; column < block.Last; column += 16)
        {
            Sse.Prefetch1(source + column);
        }
    }

    // target[tile, i, 0..height) = columns of row list[i] of A, tiles LeftStride apart; sums[tile, 0..height) += each of them, where given.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackLeft(WeightGradientArguments* p, int* list, int k, int* heights, int* columnsOfA, int tiles, float* target, float* sums)
    {
        float** targets = stackalloc float*[MostTiles];
        ColumnGroups groups = p->AColumns;
        int end = groups.Offset(groups.Count - 1) + groups.Room; // what may be read of a row
        int vectors = (T.Rows + V.Width - 1) / V.Width, reads = vectors * V.Width, whole = tiles;
        while (whole > 0 && columnsOfA[whole - 1] + reads > end)
        {
            whole--;
        }

        for (int tile = 0; tile < tiles; tile++)
        {
            targets[tile] = target;
            target += LeftStride(heights[tile], k);
        }

        int first = columnsOfA[0], last = columnsOfA[tiles - 1] + heights[tiles - 1];
        for (int i = 0; i < k; i++)
        {
            if (Sse.IsSupported && i + WeightGradient.RowsAhead < k)
            {
                float* ahead = p->A + (list[i + WeightGradient.RowsAhead] * p->Lda);
                for (int column = first; column < last; column += 16)
                {
                    Sse.Prefetch0(ahead + column);
                }
            }

            float* source = p->A + (list[i] * p->Lda);
            for (int tile = 0; tile < whole; tile++)
            {
                // Writes past the tile's own columns; the next row's values come after and replace them.
                float* from = source + columnsOfA[tile], to = targets[tile];
                targets[tile] = to + heights[tile];
                for (int lane = 0; lane < T.Rows; lane += V.Width)
                {
                    V values = V.Load(from + lane);
                    values.Store(to + lane);
                    if (sums != null)
                    {
                        float* sum = sums + (tile * SumLanes) + lane;
                        (V.Load(sum) + values).Store(sum);
                    }
                }
            }

            for (int tile = whole; tile < tiles; tile++)
            {
                float* from = source + columnsOfA[tile];
                for (int row = 0; row < heights[tile]; row++)
                {
                    *targets[tile]++ = from[row];
                    if (sums != null)
                    {
                        sums[(tile * SumLanes) + row] += from[row];
                    }
                }
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
