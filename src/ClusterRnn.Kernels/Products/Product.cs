// Matrix products. Every output element is one chain of fused multiply-adds over ascending k, starting from C, from the bias
// or from +0; where k is cut into blocks, C is stored and loaded again. So neither blocking nor the instruction set nor the
// rows computed together can change a bit.
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
        ColumnGroups inner = b.Inner, columns = b.Columns;
        for (int row = 0; row < m; row++)
        {
            float* aRow = a + (row * lda), cRow = c + (row * ldc);
            for (int group = 0; group < columns.Count; group++)
            {
                for (int column = 0; column < columns.Width; column++)
                {
                    int panel = column / b.PanelWidth, lane = column % b.PanelWidth;
                    float* bColumn = b.Panel(group, panel) + lane;
                    ref float target = ref cRow[columns.Offset(group) + column];
                    float sum = start == ProductStart.Zero ? 0f : start == ProductStart.Bias ? b.Bias(group, panel)[lane] : target;
                    for (int g = 0; g < inner.Count; g++)
                    {
                        for (int k = 0; k < inner.Width; k++, bColumn += b.PanelWidth)
                        {
                            sum = MathF.FusedMultiplyAdd(aRow[inner.Offset(g) + k], *bColumn, sum);
                        }
                    }

                    target = flush ? ScalarMath.Flush(sum) : sum;
                }
            }
        }
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
        Reference(m, n, k, a, lda, b, ldb, 1, c, ldc, accumulate);

    /// <summary>C = start + A Bᵀ with a B that is used once (attention scores; one output of a dense layer).</summary>
    /// <param name="b">[n, k].</param>
    /// <inheritdoc cref="Multiply(int, int, int, float*, nint, float*, nint, float*, nint, bool, Workspace)" path="/param[@name!='b']"/>
    public static void MultiplyTransposedB(int m, int n, int k, float* a, nint lda, float* b, nint ldb, float* c, nint ldc, bool accumulate, Workspace workspace) =>
        Reference(m, n, k, a, lda, b, 1, ldb, c, ldc, accumulate);

    // C += A B, except that the chains of group freshGroup (when not negative) start from the bias.
    internal static void MultiplyInto(int m, float* a, nint lda, PackedMatrix b, float* c, nint ldc, int freshGroup, Workspace workspace)
    {
        ColumnGroups columns = b.Columns;
        if (freshGroup >= 0)
        {
            for (int row = 0; row < m; row++)
            {
                for (int column = 0; column < columns.Width; column++)
                {
                    c[(row * ldc) + columns.Offset(freshGroup) + column] = b.Bias(freshGroup, 0)[column];
                }
            }
        }

        Multiply(m, a, lda, b, c, ldc, ProductStart.Accumulate, workspace);
    }

    private static void Reference(int m, int n, int k, float* a, nint lda, float* b, nint stepK, nint stepN, float* c, nint ldc, bool accumulate)
    {
        for (int row = 0; row < m; row++)
        {
            for (int column = 0; column < n; column++)
            {
                float sum = accumulate ? c[(row * ldc) + column] : 0f;
                float* aRow = a + (row * lda), bColumn = b + (column * stepN);
                for (int i = 0; i < k; i++)
                {
                    sum = MathF.FusedMultiplyAdd(aRow[i], bColumn[i * stepK], sum);
                }

                c[(row * ldc) + column] = sum;
            }
        }
    }
}
