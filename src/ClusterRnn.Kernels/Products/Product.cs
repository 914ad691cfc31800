// Matrix products. Every output element is one chain of fused multiply-adds over ascending k, starting from C, from the bias
// or from +0; where k is cut into blocks, C is stored and loaded again. So neither blocking nor the instruction set nor the
// rows computed together can change a bit.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Products;

/// <summary>What the chains of a product start from.</summary>
public enum ProductStart
{
    /// <summary>+0.</summary>
    Zero,

    /// <summary>What C holds: the product is added to it, as the rest of one chain.</summary>
    Accumulate,

    /// <summary>The bias stored in the packed matrix, the same in every row.</summary>
    Bias,
}

/// <summary>Products of row-major matrices.</summary>
public static unsafe class Product
{
    internal static readonly Kernel<ProductArguments> Kernel = new("product.packed", &Reference, &ProductDriver<Vector128Tiles>.Run, &ProductDriver<Avx2Tiles>.Run, &ProductDriver<Avx512Tiles>.Run);

    /// <summary>C = start + A B for a packed B.</summary>
    /// <param name="m">Rows of A and C.</param>
    /// <param name="a">[m, K]; K lies in a row as <c>b.Inner</c> says.</param>
    /// <param name="lda">Floats from one row of A to the next.</param>
    /// <param name="b">The packed right operand.</param>
    /// <param name="c">[m, N]; N lies in a row as <c>b.Columns</c> says. Padding columns receive finite values.</param>
    /// <param name="ldc">Floats from one row of C to the next.</param>
    /// <param name="start">What the chains start from.</param>
    /// <param name="workspace">Scratch.</param>
    /// <param name="flush">Whether results below 2^-100 in magnitude are stored as +0 (for gradients of activations).</param>
    public static void Multiply(int m, float* a, nint lda, PackedMatrix b, float* c, nint ldc, ProductStart start, Workspace workspace, bool flush = false)
    {
        ArgumentNullException.ThrowIfNull(b);
        ArgumentNullException.ThrowIfNull(workspace);
        ProductArguments arguments = Arguments(m, a, lda, b, c, ldc, workspace);
        arguments.Start = start;
        arguments.Flush = flush;
        Kernel.Run(b.Set, arguments);
    }

    /// <summary>C = start + A B with a B that is used once.</summary>
    /// <param name="m">Rows of A and C.</param>
    /// <param name="n">Columns of B and C.</param>
    /// <param name="k">Columns of A, rows of B.</param>
    /// <param name="a">[m, k].</param>
    /// <param name="lda">Floats from one row of A to the next.</param>
    /// <param name="b">[k, n].</param>
    /// <param name="ldb">Floats from one row of B to the next.</param>
    /// <param name="c">[m, n].</param>
    /// <param name="ldc">Floats from one row of C to the next.</param>
    /// <param name="accumulate">Whether the chains start from C instead of +0.</param>
    /// <param name="workspace">Scratch.</param>
    public static void Multiply(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, bool accumulate, Workspace workspace) =>
        Unpacked(Packing.PlainKernel, m, n, k, a, lda, b, ldb, 1, c, ldc, accumulate, workspace);

    /// <summary>C = start + A Bᵀ with a B that is used once (attention scores; one output of a dense layer).</summary>
    /// <param name="b">[n, k].</param>
    /// <inheritdoc cref="Multiply(int, int, int, float*, nint, float*, nint, float*, nint, bool, Workspace)" path="/param[@name!='b']"/>
    public static void MultiplyTransposedB(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, bool accumulate, Workspace workspace) =>
        Unpacked(Packing.TransposedKernel, m, n, k, a, lda, b, 1, ldb, c, ldc, accumulate, workspace);

    internal static ProductArguments Arguments(int m, float* a, nint lda, PackedMatrix b, float* c, nint ldc, Workspace workspace) => new()
    {
        Rows = m,
        A = a,
        Lda = lda,
        Inner = b.Inner,
        C = c,
        Ldc = ldc,
        Columns = b.Columns,
        Panels = b.Panel(0, 0),
        PanelStride = b.PanelStride,
        PanelsPerGroup = b.PanelsPerGroup,
        Bias = b.Bias(0, 0),
        FreshGroup = -1,
        Left = workspace.Left,
        Tile = workspace.Tile,
        Zeros = workspace.Zeros,
    };

    // B goes through the workspace in pieces: pieces of n are independent, pieces of k continue the chains.
    private static void Unpacked(Kernel<PackingArguments> packing, int m, int n, int k, float* a, nint lda, float* b, nint stepK, nint stepN, float* c, nint ldc, bool accumulate, Workspace workspace)
    {
        ArgumentNullException.ThrowIfNull(workspace);
        InstructionSet set = InstructionSets.Current;
        int panelWidth = PackedMatrix.PanelWidthOf(set), depth = (int)Math.Min(k, workspace.RightFloats / panelWidth);
        int columns = (int)Math.Min(n, workspace.RightFloats / ((long)Math.Max(1, depth) * panelWidth) * panelWidth);
        if (k == 0 && !accumulate)
        {
            for (int row = 0; row < m; row++)
            {
                new Span<float>(c + (row * ldc), n).Clear();
            }
        }

        for (int column = 0; column < n; column += columns)
        {
            int width = Math.Min(columns, n - column), panels = (width + panelWidth - 1) / panelWidth;
            for (int from = 0; from < k; from += depth)
            {
                int count = Math.Min(depth, k - from);
                long panelStride = (long)count * panelWidth;
                packing.Run(set, new PackingArguments
                {
                    Source = b + (from * stepK) + (column * stepN),
                    SourceStride = stepK == 1 ? stepN : stepK,
                    K = count,
                    Columns = width,
                    Panels = workspace.Right,
                    PanelStride = panelStride,
                });
                Kernel.Run(set, new ProductArguments
                {
                    Rows = m,
                    A = a + from,
                    Lda = lda,
                    Inner = ColumnGroups.Dense(count),
                    C = c + column,
                    Ldc = ldc,
                    Columns = ColumnGroups.Dense(width),
                    Panels = workspace.Right,
                    PanelStride = panelStride,
                    PanelsPerGroup = panels,
                    FreshGroup = -1,
                    Start = accumulate || from > 0 ? ProductStart.Accumulate : ProductStart.Zero,
                    Left = workspace.Left,
                    Tile = workspace.Tile,
                    Zeros = workspace.Zeros,
                });
            }
        }
    }

    private static void Reference(ProductArguments* p)
    {
        const int panelWidth = 8;
        for (int row = 0; row < p->Rows; row++)
        {
            float* a = p->A + (row * p->Lda), c = p->C + (row * p->Ldc);
            for (int group = 0; group < p->Columns.Count; group++)
            {
                ProductStart start = group == p->FreshGroup ? ProductStart.Bias : p->Start;
                for (int column = 0; column < p->Columns.Reach; column++)
                {
                    int panel = (group * p->PanelsPerGroup) + (column / panelWidth), lane = column % panelWidth;
                    ref float target = ref c[p->Columns.Offset(group) + column];
                    float* b = p->Panels + (panel * p->PanelStride) + lane;
                    float sum = start == ProductStart.Accumulate ? target : start == ProductStart.Bias ? p->Bias[(panel * panelWidth) + lane] : 0f;
                    for (int innerGroup = 0; innerGroup < p->Inner.Count; innerGroup++)
                    {
                        for (int k = 0; k < p->Inner.Width; k++, b += panelWidth)
                        {
                            sum = MathF.FusedMultiplyAdd(a[p->Inner.Offset(innerGroup) + k], *b, sum);
                        }
                    }

                    target = p->Flush ? ScalarMath.Flush(sum) : sum;
                }
            }
        }

        if (p->Gate != null)
        {
            GateArguments tile = p->GateTile;
            p->Gate(&tile);
        }
    }
}
