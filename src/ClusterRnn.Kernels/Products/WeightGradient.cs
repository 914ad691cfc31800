// Gradients of weights and biases: sums over (time, row), formed per shard and joined along the canonical tree.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Products;

/// <summary>Products Aᵀ B over the cells of each shard.</summary>
public static unsafe class WeightGradient
{
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
    public static void Compute(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float* b, nint ldb, ColumnGroups bColumns, float** outputs, long offset, Workspace workspace)
    {
        float* stack = stackalloc float[program.StackDepth + 1];
        int n = bColumns.Width;
        for (int group = 0; group < aColumns.Count; group++)
        {
            for (int i = 0; i < aColumns.Width; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    int depth = 0;
                    for (int shard = 0; shard < program.Range.Count; shard++)
                    {
                        int* list = rows.Rows(shard);
                        int count = rows.Count(shard);
                        float sum = 0f;
                        for (int k = 0; k < count; k++)
                        {
                            sum = MathF.FusedMultiplyAdd(a[(list[k] * lda) + aColumns.Offset(group) + i], b[(list[k] * ldb) + bColumns.Offset0 + j], sum);
                        }

                        stack[depth++] = sum;
                        for (int merge = 0; merge < program.MergesAfter[shard]; merge++)
                        {
                            depth--;
                            stack[depth - 1] += stack[depth];
                        }

                        if (program.OutputAfter[shard] >= 0)
                        {
                            outputs[program.OutputAfter[shard]][offset + ((((long)group * aColumns.Width) + i) * n) + j] = stack[--depth];
                        }
                    }
                }
            }
        }
    }

    /// <summary>For each subtree i: outputs[i][offset + m] = the tree's sum over its shards of Σ A[row, m], one chain of additions over each shard's rows (the gradient of a bias).</summary>
    /// <inheritdoc cref="Compute" path="/param"/>
    public static void ColumnSums(MergeProgram program, ShardRows rows, float* a, nint lda, ColumnGroups aColumns, float** outputs, long offset, Workspace workspace)
    {
        float* stack = stackalloc float[program.StackDepth + 1];
        for (int group = 0; group < aColumns.Count; group++)
        {
            for (int i = 0; i < aColumns.Width; i++)
            {
                int depth = 0;
                for (int shard = 0; shard < program.Range.Count; shard++)
                {
                    int* list = rows.Rows(shard);
                    int count = rows.Count(shard);
                    float sum = 0f;
                    for (int k = 0; k < count; k++)
                    {
                        sum += a[(list[k] * lda) + aColumns.Offset(group) + i];
                    }

                    stack[depth++] = sum;
                    for (int merge = 0; merge < program.MergesAfter[shard]; merge++)
                    {
                        depth--;
                        stack[depth - 1] += stack[depth];
                    }

                    if (program.OutputAfter[shard] >= 0)
                    {
                        outputs[program.OutputAfter[shard]][offset + ((long)group * aColumns.Width) + i] = stack[--depth];
                    }
                }
            }
        }
    }
}
