// The loops around the tiles: k in blocks that keep a block of A in the caches, rows in chunks, panels of B from front to
// end. K is one chain: the first block starts from S, later blocks from C.
//
//     for each block of k                          (about 512)
//       for each chunk of rows                     (10 tiles: rearranged into [k][tile rows], in L2)
//         for each panel, for each tile of rows, for each gate:  tile loop; after the last gate the gate kernel
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Products;

/// <summary>The operands of a packed product.</summary>
internal unsafe struct ProductArguments
{
    public int Rows; // M
    public float* A; // [M, K], K as Inner says
    public nint Lda;
    public bool IsLeftTransposed; // A lies as [K, M], one group, with room to read 16 floats from any column; not in the reference
    public ColumnGroups Inner;
    public float* Panels; // [groups, panels of a group, K, panel width]
    public long PanelStride;
    public int PanelsPerGroup;
    public ColumnGroups Columns;
    public float* C; // [M, N], N as Columns says
    public nint Ldc;
    public ProductStart Start;
    public int FreshGroup; // the group that starts from the bias whatever Start says, or -1
    public float* Bias; // [groups, panels of a group x panel width]
    public bool Flush;
    public float* Left; // scratch
    public float* Tile; // scratch
    public float* Zeros; // [32]
    public delegate*<GateArguments*, void> Gate; // runs on each finished tile, or null
    public GateArguments GateTile;
}

internal static unsafe class ProductDriver<T>
    where T : struct, ITiles
{
    public const int InnerBlock = 512;
    private const int TilesOfChunk = 10;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(ProductArguments* p)
    {
        if (p->Rows == 0)
        {
            return;
        }

        int k = p->Inner.Total, tiles = (p->Rows + T.Rows - 1) / T.Rows;
        int blocks = (k + InnerBlock - 1) / InnerBlock, block = ((k + blocks - 1) / blocks + 15) & ~15;
        for (int from = 0; from < k; from += block)
        {
            int depth = Math.Min(block, k - from);
            bool first = from == 0, last = from + depth == k;
            for (int tile = 0; tile < tiles; tile += TilesOfChunk)
            {
                Chunk(p, from, depth, first, last, tile, Math.Min(tiles, tile + TilesOfChunk), tiles);
            }
        }
    }

    // Tiles are of even height: tile t covers the rows from RowOf(t) to RowOf(t + 1).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int RowOf(int rows, int tile, int tiles) => (int)((long)rows * tile / tiles);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk(ProductArguments* p, int from, int depth, bool first, bool last, int firstTile, int endTile, int tiles)
    {
        float* left = p->Left;
        for (int tile = firstTile; tile < endTile; tile++)
        {
            int row = RowOf(p->Rows, tile, tiles), height = RowOf(p->Rows, tile + 1, tiles) - row;
            PackRows(p, row, height, from, depth, left);
            left += (nint)height * depth;
        }

        int groups = p->Columns.Count, reach = p->Columns.Reach;
        for (int panel = 0; panel < p->PanelsPerGroup; panel++)
        {
            int column = panel * T.PanelWidth, width = Math.Min(T.PanelWidth, reach - column);
            left = p->Left;
            for (int tile = firstTile; tile < endTile; tile++)
            {
                int row = RowOf(p->Rows, tile, tiles), height = RowOf(p->Rows, tile + 1, tiles) - row;
                for (int group = 0; group < groups; group++)
                {
                    float* b = p->Panels + ((((long)group * p->PanelsPerGroup) + panel) * p->PanelStride) + ((nint)from * T.PanelWidth);
                    float* c = p->C + (row * p->Ldc) + p->Columns.Offset(group) + column;
                    float* s = c;
                    nint lds = p->Ldc;
                    if (first)
                    {
                        ProductStart start = group == p->FreshGroup ? ProductStart.Bias : p->Start;
                        if (start != ProductStart.Accumulate)
                        {
                            s = start == ProductStart.Zero ? p->Zeros : p->Bias + ((((nint)group * p->PanelsPerGroup) + panel) * T.PanelWidth);
                            lds = 0;
                        }
                    }

                    // While this tile is computed the next one of C comes nearer: its loads open the next chain.
                    if (group + 1 < groups)
                    {
                        T.Prefetch(p->C + (row * p->Ldc) + p->Columns.Offset(group + 1) + column, p->Ldc, height);
                    }
                    else if (tile + 1 < endTile)
                    {
                        T.Prefetch(p->C + ((row + height) * p->Ldc) + p->Columns.Offset0 + column, p->Ldc, height);
                    }

                    if (T.Covered(width) == width)
                    {
                        T.Tile(height, width)(depth, left, b, s, lds, c, p->Ldc);
                    }
                    else
                    {
                        Edge(p, height, depth, left, b, s, lds, c, width);
                    }

                    if (last && p->Flush)
                    {
                        FlushTile(c, p->Ldc, height, width);
                    }
                }

                if (last && p->Gate != null)
                {
                    GateArguments part = p->GateTile.Part(row, height, column, column + width);
                    p->Gate(&part);
                }

                left += (nint)height * depth;
            }
        }
    }

    // A tile whose columns end within a vector: through a tile of scratch, so that nothing beyond is touched.
    private static void Edge(ProductArguments* p, int height, int depth, float* left, float* b, float* s, nint lds, float* c, int width)
    {
        float* tile = p->Tile;
        int tileWidth = T.Covered(width);
        if (lds != 0)
        {
            for (int row = 0; row < height; row++)
            {
                Copy(s + (row * lds), tile + (row * tileWidth), width);
            }

            s = tile;
            lds = tileWidth;
        }

        T.Tile(height, width)(depth, left, b, s, lds, tile, tileWidth);
        for (int row = 0; row < height; row++)
        {
            Copy(tile + (row * tileWidth), c + (row * p->Ldc), width);
        }
    }

    // Rearranges columns [from, from + depth) of the dense K of some rows: target[i * height + r].
    private static void PackRows(ProductArguments* p, int row, int height, int from, int depth, float* target)
    {
        if (p->IsLeftTransposed)
        {
            PackColumns(p->A + (from * p->Lda) + row, p->Lda, height, depth, target);
            return;
        }

        int width = p->Inner.Width;
        for (int at = from; at < from + depth;)
        {
            int group = at / width, within = at - (group * width), count = Math.Min(width - within, from + depth - at);
            T.Transpose(p->A + (row * p->Lda) + p->Inner.Offset(group) + within, p->Lda, height, count, p->Inner.IsPadded && within + count == width, target + ((nint)(at - from) * height), height);
            at += count;
        }
    }

    // target[i * height + r] = source[i * lds + r]; each row is copied with what follows it, which the next row replaces.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackColumns(float* source, nint lds, int height, int depth, float* target)
    {
        for (int i = 0; i < depth; i++, source += lds, target += height)
        {
            Vector256<float> low = Vector256.Load(source), high = Vector256.Load(source + 8);
            low.Store(target);
            high.Store(target + 8);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(float* from, float* to, int count)
    {
        for (int i = 0; i < count; i++)
        {
            to[i] = from[i];
        }
    }

    // Comparisons and bits alone: the same at every width.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FlushTile(float* c, nint ldc, int height, int width)
    {
        Vector256<float> least = Vector256.Create(ScalarMath.Tiny);
        for (int row = 0; row < height; row++, c += ldc)
        {
            int i = 0;
            for (; i <= width - 8; i += 8)
            {
                Vector256<float> x = Vector256.Load(c + i);
                Vector256.AndNot(x, Vector256.LessThan(Vector256.Abs(x), least)).Store(c + i);
            }

            for (; i < width; i++)
            {
                c[i] = ScalarMath.Flush(c[i]);
            }
        }
    }
}
