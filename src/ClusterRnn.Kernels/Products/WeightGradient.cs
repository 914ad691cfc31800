// Gradients of weights and biases: sums over (time, row), formed per shard and joined along the canonical tree.
//
// A tile of C is finished for all shards before the next is begun, so that the partial sums of the tree (a stack, as the merge
// program says) stay in the nearest caches:
//
//     B's rows, rearranged once into panels, shard by shard
//     for each chunk of tiles of C                            (a few tiles of rows x all columns)
//       for each shard: A's rows rearranged, product onto the stack, merges, finished subtrees copied out
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Products;

/// <summary>The operands of a weight gradient.</summary>
internal unsafe struct WeightGradientArguments
{
    public int Shards;
    public int* MergesAfter; // [shards]
    public int* OutputAfter; // [shards]
    public int StackDepth;
    public int* Rows; // [starts[shards]]: row numbers
    public int* Starts; // [shards + 1]
    public float* A; // [rows, M]
    public nint Lda;
    public ColumnGroups AColumns;
    public float* B; // [rows, N]; null: column sums of A
    public nint Ldb;
    public ColumnGroups BColumns;
    public int FirstRow; // rows of B below it hold +0: their terms are left out; not where there is a second operand
    public float* SecondB; // another right operand for the same rows of A, or null
    public nint SecondLdb;
    public ColumnGroups SecondColumns;
    public long SecondOffset;
    public bool HasSums; // the column sums of A as well
    public long SumsOffset; // of them in the outputs
    public float** Outputs; // [subtrees]
    public bool Continues; // the chains start from the outputs
    public long Offset;
    public float* Left;
    public float* Right;
    public long RightFloats;
    public float* Tile;
    public float* Sum; // one tile
    public float* Zeros;
}

/// <summary>Products Aᵀ B over the cells of each shard.</summary>
public static unsafe class WeightGradient
{
    // Rows lie a page or so apart, which no hardware prefetcher follows.
    internal const int RowsAhead = 6;

    internal static readonly Kernel<WeightGradientArguments> Kernel = new("product.weight-gradient", &Reference, &WeightGradientDriver<Vector128Tiles, Lanes4>.Run, &WeightGradientDriver<Avx2Tiles, Lanes8>.Run, &WeightGradientDriver<Avx512Tiles, Lanes16>.Run);

    internal static readonly Kernel<WeightGradientArguments> ColumnSumsKernel = new("product.column-sums", &ColumnSumsReference, &ColumnSumsOf<Lanes4>, &ColumnSumsOf<Lanes8>, &ColumnSumsOf<Lanes16>);

    internal static readonly Kernel<WeightGradientArguments> ColumnProductsKernel = new("product.column-products", &ColumnProductsReference, &ColumnProductsOf<Lanes4>, &ColumnProductsOf<Lanes8>, &ColumnProductsOf<Lanes16>);

    /// <summary>
    /// For each subtree i of <paramref name="program"/>: outputs[i][offset + m x N + n] = the tree's sum over its shards of
    /// Σ A[row, m] B[row, n], one chain of fused multiply-adds over each shard's rows. Outputs are overwritten.
    /// </summary>
    /// <param name="program">The shards and how they are joined.</param>
    /// <param name="rows">The rows of each shard, in order.</param>
    /// <param name="a">Gradients of pre-activations: [rows, M], M as <paramref name="aColumns"/> says.</param>
    /// <param name="lda">Floats from one row of A to the next.</param>
    /// <param name="aColumns">How M lies in a row of A.</param>
    /// <param name="b">Inputs: [rows, N]; for a recurrent weight pass the previous step's outputs, one step further back.</param>
    /// <param name="ldb">Floats from one row of B to the next.</param>
    /// <param name="bColumns">How N lies in a row of B; one group.</param>
    /// <param name="outputs">[subtrees]: gradients in the flat layout.</param>
    /// <param name="offset">Where this tensor begins in them.</param>
    /// <param name="workspace">Scratch.</param>
    /// <param name="continues">Whether each chain goes on from what is in the outputs instead of +0; the program must then leave the shards apart.</param>
    /// <param name="sumsOffset">Where the column sums of A (a bias's gradient, see <see cref="ColumnSums"/>) begin in the outputs, or null: they cost little along the way.</param>
    /// <param name="firstRow">The products' chains leave out rows with lower numbers, which must come last in each shard; sums of columns don't. For a recurrent weight: the first time step's, where the states before it are zero.</param>
    public static void Compute(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float* b, nint ldb, ColumnGroups bColumns, float** outputs, long offset, Workspace workspace, bool continues = false, long? sumsOffset = null, int firstRow = 0) =>
        Compute(InstructionSets.Current, program, rows, a, lda, aColumns, b, ldb, bColumns, outputs, offset, workspace, continues, sumsOffset, firstRow);

    /// <summary>Two weight gradients with the same left operand (input and recurrent weights), whose rows are rearranged once for both.</summary>
    /// <param name="program">The shards and how they are joined.</param>
    /// <param name="rows">The rows of each shard, in order.</param>
    /// <param name="a">Gradients of pre-activations: [rows, M], M as <paramref name="aColumns"/> says.</param>
    /// <param name="lda">Floats from one row of A to the next.</param>
    /// <param name="aColumns">How M lies in a row of A, for both.</param>
    /// <param name="b">The first right operand: [rows, N].</param>
    /// <param name="ldb">Floats from one of its rows to the next.</param>
    /// <param name="bColumns">How N lies in a row of it; one group.</param>
    /// <param name="offset">Where the first gradient begins in the outputs.</param>
    /// <param name="secondB">The second right operand.</param>
    /// <param name="secondLdb">Floats from one of its rows to the next.</param>
    /// <param name="secondColumns">How N lies in a row of it; one group.</param>
    /// <param name="secondOffset">Where the second gradient begins in the outputs.</param>
    /// <param name="outputs">[subtrees]: gradients in the flat layout.</param>
    /// <param name="workspace">Scratch.</param>
    /// <param name="continues">Whether each chain goes on from what is in the outputs instead of +0; the program must then leave the shards apart.</param>
    /// <param name="sumsOffset">Where the column sums of A begin in the outputs, or null.</param>
    public static void ComputePair(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float* b, nint ldb, ColumnGroups bColumns, long offset, float* secondB, nint secondLdb, ColumnGroups secondColumns, long secondOffset, float** outputs, Workspace workspace, bool continues = false, long? sumsOffset = null) =>
        Run(InstructionSets.Current, program, rows, new() { A = a, Lda = lda, AColumns = aColumns, B = b, Ldb = ldb, BColumns = bColumns, Offset = offset, SecondB = secondB, SecondLdb = secondLdb, SecondColumns = secondColumns, SecondOffset = secondOffset, Outputs = outputs, Continues = continues, HasSums = sumsOffset.HasValue, SumsOffset = sumsOffset.GetValueOrDefault() }, workspace);

    /// <summary>For each subtree i: outputs[i][offset + m] = the tree's sum over its shards of Σ A[row, m], one chain of additions over each shard's rows (the gradient of a bias).</summary>
    /// <inheritdoc cref="Compute(MergeProgram, ShardRows, float*, nint, ColumnGroups, float*, nint, ColumnGroups, float**, long, Workspace, bool, long?, int)" path="/param"/>
    public static void ColumnSums(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float** outputs, long offset, Workspace workspace, bool continues = false) =>
        Compute(InstructionSets.Current, program, rows, a, lda, aColumns, null, 0, default, outputs, offset, workspace, continues);

    /// <summary>For each subtree i: outputs[i][offset + m] = the tree's sum over its shards of Σ A[row, m] B[row, m], one chain of fused multiply-adds over each shard's rows (the gradient of a weight that each unit has for itself).</summary>
    /// <param name="a">Gradients: [rows, M], M as <paramref name="columns"/> says.</param>
    /// <param name="columns">How M lies in a row of A; one group.</param>
    /// <param name="b">What the weights were multiplied with: [rows, M], M from the first column on.</param>
    /// <inheritdoc cref="Compute(MergeProgram, ShardRows, float*, nint, ColumnGroups, float*, nint, ColumnGroups, float**, long, Workspace, bool, long?, int)" path="/param[@name!='a' and @name!='b']"/>
    public static void ColumnProducts(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups columns, float* b, nint ldb, float** outputs, long offset, Workspace workspace, bool continues = false) =>
        Run(ColumnProductsKernel, InstructionSets.Current, program, rows, new() { A = a, Lda = lda, AColumns = columns, B = b, Ldb = ldb, Outputs = outputs, Continues = continues, Offset = offset }, workspace);

    /// <summary>The same with the variant for <paramref name="set"/>, which the machine must support; <paramref name="b"/> null gives the column sums.</summary>
    /// <inheritdoc cref="Compute(MergeProgram, ShardRows, float*, nint, ColumnGroups, float*, nint, ColumnGroups, float**, long, Workspace, bool, long?, int)" path="/param"/>
    public static void Compute(InstructionSet set, MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float* b, nint ldb, ColumnGroups bColumns, float** outputs, long offset, Workspace workspace, bool continues = false, long? sumsOffset = null, int firstRow = 0) =>
        Run(set, program, rows, new() { A = a, Lda = lda, AColumns = aColumns, B = b, Ldb = ldb, BColumns = bColumns, FirstRow = firstRow, Offset = offset, Outputs = outputs, Continues = continues, HasSums = sumsOffset.HasValue, SumsOffset = sumsOffset.GetValueOrDefault() }, workspace);

    internal static void Run(InstructionSet set, MergeProgram program, ShardRows rows, WeightGradientArguments arguments, Workspace workspace) =>
        Run(arguments.B is null ? ColumnSumsKernel : Kernel, set, program, rows, arguments, workspace);

    internal static void Run(Kernel<WeightGradientArguments> kernel, InstructionSet set, MergeProgram program, ShardRows rows, WeightGradientArguments arguments, Workspace workspace)
    {
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(workspace);
        if (rows.Shards != program.Range.Count)
        {
            throw new ArgumentException($"The merge program joins {program.Range.Count} shards, and rows of {rows.Shards} were listed.", nameof(rows));
        }

        if (arguments.Continues && program.Subtrees.Length != program.Range.Count)
        {
            throw new ArgumentException("Sums that are joined can't be continued: leave the shards apart.", nameof(program));
        }

        fixed (int* mergesAfter = program.MergesAfter, outputAfter = program.OutputAfter)
        {
            arguments.Shards = program.Range.Count;
            arguments.MergesAfter = mergesAfter;
            arguments.OutputAfter = outputAfter;
            arguments.StackDepth = program.StackDepth;
            arguments.Rows = rows.Rows(0);
            arguments.Starts = rows.Starts;
            arguments.Left = workspace.Left;
            arguments.Right = workspace.Right;
            arguments.RightFloats = workspace.RightFloats;
            arguments.Tile = workspace.Tile;
            arguments.Sum = workspace.Sum;
            arguments.Zeros = workspace.Zeros;
            kernel.Run(set, arguments);
        }
    }

    private static void Reference(WeightGradientArguments* p)
    {
        ReferenceOf(p, p->B, p->Ldb, p->BColumns, p->Offset);
        if (p->SecondB != null)
        {
            ReferenceOf(p, p->SecondB, p->SecondLdb, p->SecondColumns, p->SecondOffset);
        }

        if (p->HasSums)
        {
            ColumnSumsReferenceOf(p, p->SumsOffset);
        }
    }

    private static void ReferenceOf(WeightGradientArguments* p, float* b, nint ldb, ColumnGroups columns, long offset)
    {
        float* stack = stackalloc float[p->StackDepth + 1];
        int n = columns.Width;
        for (int m = 0; m < p->AColumns.Total; m++)
        {
            int column = p->AColumns.Offset(m / p->AColumns.Width) + (m % p->AColumns.Width);
            for (int j = 0; j < n; j++)
            {
                int depth = 0;
                for (int shard = 0; shard < p->Shards; shard++)
                {
                    float sum = p->Continues ? p->Outputs[p->OutputAfter[shard]][offset + ((long)m * n) + j] : 0f;
                    for (int k = p->Starts[shard]; k < p->Starts[shard + 1]; k++)
                    {
                        nint row = p->Rows[k];
                        sum = row < p->FirstRow ? sum : MathF.FusedMultiplyAdd(p->A[(row * p->Lda) + column], b[(row * ldb) + columns.Offset0 + j], sum);
                    }

                    stack[depth++] = sum;
                    depth = MergeOne(p, shard, stack, depth, offset + ((long)m * n) + j);
                }
            }
        }
    }

    private static void ColumnSumsReference(WeightGradientArguments* p) => ColumnSumsReferenceOf(p, p->Offset);

    private static void ColumnSumsReferenceOf(WeightGradientArguments* p, long offset)
    {
        float* stack = stackalloc float[p->StackDepth + 1];
        for (int m = 0; m < p->AColumns.Total; m++)
        {
            int column = p->AColumns.Offset(m / p->AColumns.Width) + (m % p->AColumns.Width), depth = 0;
            for (int shard = 0; shard < p->Shards; shard++)
            {
                float sum = p->Continues ? p->Outputs[p->OutputAfter[shard]][offset + m] : 0f;
                for (int k = p->Starts[shard]; k < p->Starts[shard + 1]; k++)
                {
                    sum += p->A[(p->Rows[k] * p->Lda) + column];
                }

                stack[depth++] = sum;
                depth = MergeOne(p, shard, stack, depth, offset + m);
            }
        }
    }

    private static void ColumnProductsReference(WeightGradientArguments* p)
    {
        float* stack = stackalloc float[p->StackDepth + 1];
        for (int m = 0; m < p->AColumns.Width; m++)
        {
            int depth = 0;
            for (int shard = 0; shard < p->Shards; shard++)
            {
                float sum = p->Continues ? p->Outputs[p->OutputAfter[shard]][p->Offset + m] : 0f;
                for (int k = p->Starts[shard]; k < p->Starts[shard + 1]; k++)
                {
                    nint row = p->Rows[k];
                    sum = MathF.FusedMultiplyAdd(p->A[(row * p->Lda) + p->AColumns.Offset0 + m], p->B[(row * p->Ldb) + m], sum);
                }

                stack[depth++] = sum;
                depth = MergeOne(p, shard, stack, depth, p->Offset + m);
            }
        }
    }

    // What the merge program says after a shard, for one element; returns the stack's depth.
    private static int MergeOne(WeightGradientArguments* p, int shard, float* stack, int depth, long element)
    {
        for (int merge = 0; merge < p->MergesAfter[shard]; merge++)
        {
            depth--;
            stack[depth - 1] += stack[depth];
        }

        if (p->OutputAfter[shard] >= 0)
        {
            depth--;
            p->Outputs[p->OutputAfter[shard]][element] = stack[depth];
        }

        return depth;
    }

    private static void ColumnSumsOf<V>(WeightGradientArguments* p)
        where V : struct, ILanes<V> => ColumnsOf(p, &ShardColumnSums<V>);

    private static void ColumnProductsOf<V>(WeightGradientArguments* p)
        where V : struct, ILanes<V> => ColumnsOf(p, &ShardColumnProducts<V>);

    // Blocks of columns; a shard's part is added to what its sum starts from, then the stack is merged.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ColumnsOf(WeightGradientArguments* p, delegate*<WeightGradientArguments*, int, int, int, float*, void> shardSums)
    {
        const int block = 64;
        int width = p->AColumns.Width, room = p->AColumns.Room;
        for (int group = 0; group < p->AColumns.Count; group++)
        {
            for (int first = 0; first < width; first += block)
            {
                int count = Math.Min(block, width - first), readable = Math.Min(block, room - first), depth = 0;
                int column = p->AColumns.Offset(group) + first;
                for (int shard = 0; shard < p->Shards; shard++)
                {
                    float* sum = p->Tile + (depth++ * block);
                    new Span<float>(sum, block).Clear();
                    if (p->Continues)
                    {
                        Packing.CopyRow(p->Outputs[p->OutputAfter[shard]] + p->Offset + ((long)group * width) + first, sum, count);
                    }

                    shardSums(p, shard, column, readable, sum);
                    for (int merge = 0; merge < p->MergesAfter[shard]; merge++)
                    {
                        depth--;
                        float* lower = p->Tile + ((depth - 1) * block);
                        for (int i = 0; i < block; i++)
                        {
                            lower[i] += lower[block + i];
                        }
                    }

                    if (p->OutputAfter[shard] >= 0)
                    {
                        depth--;
                        Packing.CopyRow(p->Tile + (depth * block), p->Outputs[p->OutputAfter[shard]] + p->Offset + ((long)group * width) + first, count);
                    }
                }
            }
        }
    }

    // sum[0..64) += the sums of up to 64 columns over one shard's rows, term by term.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ShardColumnSums<V>(WeightGradientArguments* p, int shard, int first, int columns, float* sum)
        where V : struct, ILanes<V>
    {
        float* a = p->A + first;
        int* rows = p->Rows + p->Starts[shard];
        int count = p->Starts[shard + 1] - p->Starts[shard], column = 0;
        for (; column <= columns - (4 * V.Width); column += 4 * V.Width)
        {
            V s0 = V.Load(sum + column), s1 = V.Load(sum + column + V.Width), s2 = V.Load(sum + column + (2 * V.Width)), s3 = V.Load(sum + column + (3 * V.Width));
            for (int k = 0; k < count; k++)
            {
                if (Sse.IsSupported && k + RowsAhead < count)
                {
                    float* ahead = a + (rows[k + RowsAhead] * p->Lda) + column;
                    for (int line = 0; line < 4 * V.Width; line += 16)
                    {
                        Sse.Prefetch0(ahead + line);
                    }
                }

                float* row = a + (rows[k] * p->Lda) + column;
                s0 += V.Load(row);
                s1 += V.Load(row + V.Width);
                s2 += V.Load(row + (2 * V.Width));
                s3 += V.Load(row + (3 * V.Width));
            }

            s0.Store(sum + column);
            s1.Store(sum + column + V.Width);
            s2.Store(sum + column + (2 * V.Width));
            s3.Store(sum + column + (3 * V.Width));
        }

        for (; column <= columns - V.Width; column += V.Width)
        {
            V s0 = V.Load(sum + column);
            for (int k = 0; k < count; k++)
            {
                s0 += V.Load(a + (rows[k] * p->Lda) + column);
            }

            s0.Store(sum + column);
        }

        for (; column < columns; column++)
        {
            float s0 = sum[column];
            for (int k = 0; k < count; k++)
            {
                s0 += a[(rows[k] * p->Lda) + column];
            }

            sum[column] = s0;
        }
    }

    // sum[0..64) += the products of up to 64 columns of A and B over one shard's rows, term by term.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ShardColumnProducts<V>(WeightGradientArguments* p, int shard, int first, int columns, float* sum)
        where V : struct, ILanes<V>
    {
        float* a = p->A + first, b = p->B + first - p->AColumns.Offset0;
        int* rows = p->Rows + p->Starts[shard];
        int count = p->Starts[shard + 1] - p->Starts[shard], column = 0;
        for (; column <= columns - V.Width; column += V.Width)
        {
            V s0 = V.Load(sum + column);
            for (int k = 0; k < count; k++)
            {
                s0 = V.MultiplyAdd(V.Load(a + (rows[k] * p->Lda) + column), V.Load(b + (rows[k] * p->Ldb) + column), s0);
            }

            s0.Store(sum + column);
        }

        for (; column < columns; column++)
        {
            float s0 = sum[column];
            for (int k = 0; k < count; k++)
            {
                s0 = MathF.FusedMultiplyAdd(a[(rows[k] * p->Lda) + column], b[(rows[k] * p->Ldb) + column], s0);
            }

            sum[column] = s0;
        }
    }
}
