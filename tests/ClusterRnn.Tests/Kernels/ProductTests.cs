// What the contract says of products: one chain over k from the start value, whatever is computed beside it; gaps between
// gates are skipped; sums over rows are formed per shard and joined along the tree, whoever owns which shards.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Tests.Kernels;

public unsafe class ProductTests
{
    public static IEnumerable<TheoryDataRow<InstructionSet>> Sets => InstructionSets.Supported.Select(set => new TheoryDataRow<InstructionSet>(set));

    [Theory]
    [MemberData(nameof(Sets))]
    public void AnElementIsOneChainFromItsStart(InstructionSet set)
    {
        foreach (int hidden in (int[])[1, 7, 16, 50, 140])
        {
            const int rows = 33, gates = 4;
            int padded = ColumnGroups.Pad(hidden);
            ColumnGroups inner = ColumnGroups.Gates(gates, hidden), columns = ColumnGroups.Padded(hidden);
            using var memory = new Numbers(set, inner, columns);
            float* a = memory.Random(rows * gates * padded), w = memory.Random(gates * hidden * hidden), bias = memory.Random(hidden), c = memory.Random(rows * padded), before = memory.Copy(c, rows * padded);
            memory.Packed.Pack(w, hidden);
            memory.Packed.SetBias(bias);
            foreach (ProductStart start in Enum.GetValues<ProductStart>())
            {
                new Span<float>(before, rows * padded).CopyTo(new Span<float>(c, rows * padded));
                Product.Multiply(rows, a, gates * padded, memory.Packed, c, padded, start, memory.Workspace);
                for (int row = 0; row < rows; row++)
                {
                    for (int column = 0; column < hidden; column++)
                    {
                        float sum = start switch { ProductStart.Zero => 0f, ProductStart.Bias => bias[column], _ => before[(row * padded) + column] };
                        for (int k = 0; k < gates * hidden; k++)
                        {
                            sum = MathF.FusedMultiplyAdd(a[(row * gates * padded) + (k / hidden * padded) + (k % hidden)], w[(k * hidden) + column], sum);
                        }

                        Assert.Equal(BitConverter.SingleToInt32Bits(sum), BitConverter.SingleToInt32Bits(c[(row * padded) + column]));
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void RowsComputedTogetherDoNotMatter(InstructionSet set)
    {
        const int rows = 47, k = 600, n = 50;
        using var memory = new Numbers(set, ColumnGroups.Dense(k), ColumnGroups.Dense(n));
        float* a = memory.Random(rows * k), b = memory.Random(k * n), together = memory.Random(rows * n), alone = memory.Random(rows * n);
        memory.Packed.Pack(b, n);
        Product.Multiply(rows, a, k, memory.Packed, together, n, ProductStart.Zero, memory.Workspace);
        for (int row = 0; row < rows; row++)
        {
            Product.Multiply(1, a + (row * k), k, memory.Packed, alone + (row * n), n, ProductStart.Zero, memory.Workspace);
        }

        Assert.True(new ReadOnlySpan<int>(together, rows * n).SequenceEqual(new ReadOnlySpan<int>(alone, rows * n)));
    }

    [Fact]
    public void UnpackedProductsAreTheSameChains()
    {
        const int m = 19, n = 21, k = 700;
        using var memory = new Numbers(InstructionSets.Current, ColumnGroups.Dense(k), ColumnGroups.Dense(n));
        float* a = memory.Random(m * k), b = memory.Random(k * n), transposed = memory.Random(k * n), c = memory.Random(m * n), viaTransposed = memory.Copy(c, m * n), expected = memory.Copy(c, m * n);
        for (int i = 0; i < k; i++)
        {
            for (int j = 0; j < n; j++)
            {
                transposed[(j * k) + i] = b[(i * n) + j];
            }
        }

        memory.Packed.Pack(b, n);
        Product.Multiply(m, a, k, memory.Packed, expected, n, ProductStart.Accumulate, memory.Workspace);
        Product.Multiply(m, n, k, a, k, b, n, c, n, accumulate: true, memory.Workspace);
        Product.MultiplyTransposedB(m, n, k, a, k, transposed, k, viaTransposed, n, accumulate: true, memory.Workspace);
        Assert.True(new ReadOnlySpan<int>(expected, m * n).SequenceEqual(new ReadOnlySpan<int>(c, m * n)));
        Assert.True(new ReadOnlySpan<int>(expected, m * n).SequenceEqual(new ReadOnlySpan<int>(viaTransposed, m * n)));
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void WhoOwnsWhichShardsDoesNotMatter(InstructionSet set)
    {
        const int shards = 7, time = 9, batch = 19, hidden = 20;
        int padded = ColumnGroups.Pad(hidden), count = 3 * hidden * hidden;
        ColumnGroups gates = Gru.RecurrentGates(hidden);
        using var memory = new Numbers(set, ColumnGroups.Dense(1), ColumnGroups.Dense(1));
        float* a = memory.Random(time * batch * 4 * padded), b = memory.Random(time * batch * padded);
        int* lengths = stackalloc int[batch];
        for (int row = 0; row < batch; row++)
        {
            lengths[row] = (row * 5 % (time + 1)) + (row % 2);
        }

        float* Sum(ShardRange range)
        {
            // Every worker sums its subtrees, then whoever has all of them finishes the tree.
            var program = new MergeProgram(range, shards);
            ShardRows? rows = null;
            using var arena = Arena.Create(x => rows = new ShardRows(x, time, batch, range.Count));
            int[] first = [.. Enumerable.Range(range.Start, range.Count).Select(s => s * batch / shards)];
            int[] counts = [.. Enumerable.Range(range.Start, range.Count).Select(s => ((s + 1) * batch / shards) - (s * batch / shards))];
            rows!.Build(0, time, batch, first, counts, lengths);
            float** outputs = stackalloc float*[program.Subtrees.Length];
            for (int i = 0; i < program.Subtrees.Length; i++)
            {
                outputs[i] = memory.Random(count);
                parts[program.Subtrees[i]] = (nint)outputs[i];
            }

            WeightGradient.Compute(set, program, rows, a, 4 * padded, gates, b, padded, ColumnGroups.Padded(hidden), outputs, 0, memory.Workspace);
            return outputs[0];
        }

        float* whole = Sum(new ShardRange(0, shards));
        foreach (int cut in (int[])[1, 3, 4, 6])
        {
            parts.Clear();
            Sum(new ShardRange(0, cut));
            Sum(new ShardRange(cut, shards));
            float* joined = Join(0, shards);
            Assert.True(new ReadOnlySpan<int>(whole, count).SequenceEqual(new ReadOnlySpan<int>(joined, count)), $"cut at {cut}");
        }

        float* Join(int start, int end)
        {
            if (parts.TryGetValue(new ShardRange(start, end), out nint part))
            {
                return (float*)part;
            }

            int middle = CanonicalTree.Split(start, end);
            float* low = Join(start, middle), high = Join(middle, end), sum = memory.Random(count);
            for (int i = 0; i < count; i++)
            {
                sum[i] = low[i] + high[i];
            }

            return sum;
        }
    }

    // Time descending in several turns, each going on where the one before stopped: weights, biases, and a pair of weights.
    [Theory]
    [MemberData(nameof(Sets))]
    public void SumsThatAreContinuedAreTheSameChains(InstructionSet set)
    {
        const int time = 130, batch = 11, shards = 4; // more cells a shard than one block, one shard without any
        int[] first = [0, 5, 5, 6], counts = [5, 0, 1, 5];
        var program = new MergeProgram(new ShardRange(0, shards), shards);
        int* lengths = stackalloc int[batch];
        for (int row = 0; row < batch; row++)
        {
            lengths[row] = time - (row * 17);
        }

        foreach ((int hidden, int inputs) in new[] { (1, 3), (20, 33), (50, 140) })
        {
            using var memory = new Numbers(set, ColumnGroups.Dense(1), ColumnGroups.Dense(1));
            int padded = ColumnGroups.Pad(hidden), width = ColumnGroups.Pad(inputs), lda = 4 * padded, weights = 3 * hidden * inputs, squares = 3 * hidden * hidden, total = weights + weights + squares + (9 * hidden);
            ColumnGroups gates = ColumnGroups.Gates(3, hidden);
            float* a = memory.Random(time * batch * lda), b = memory.Random(time * batch * width), h = memory.Random(time * batch * padded);
            ReadOnlySpan<int> whole = Bits(0, time, []);
            Assert.True(whole.SequenceEqual(Bits(0, time, [41])));
            Assert.True(whole.SequenceEqual(Bits(0, time, [1, 2, 3, 64, 129])));
            Assert.False(whole.SequenceEqual(Bits(1, time, [41])));

            int[] Bits(int from, int end, int[] cuts)
            {
                float* outputs = memory.Random(shards * total);
                float** pointers = stackalloc float*[shards];
                for (int i = 0; i < shards; i++)
                {
                    pointers[i] = outputs + (i * total);
                }

                int[] bounds = [from, .. cuts, end];
                for (int i = bounds.Length - 2; i >= 0; i--)
                {
                    ShardRows? rows = null;
                    using var arena = Arena.Create(x => rows = new ShardRows(x, time, batch, shards));
                    rows!.Build(bounds[i], bounds[i + 1], batch, first, counts, lengths);
                    bool continues = bounds[i + 1] < end;
                    WeightGradient.Compute(set, program.Apart, rows, a, lda, gates, b, width, ColumnGroups.Padded(inputs), pointers, 0, memory.Workspace, continues, total - (3 * hidden));
                    WeightGradient.Compute(set, program.Apart, rows, a, lda, gates, null, 0, default, pointers, weights, memory.Workspace, continues);
                    int pair = weights + (3 * hidden);
                    WeightGradient.ComputePair(program.Apart, rows, a, lda, gates, b, width, ColumnGroups.Padded(inputs), pair, h, padded, ColumnGroups.Padded(hidden), pair + weights, pointers, memory.Workspace, continues, total - (6 * hidden));
                }

                for (int i = 0; i < shards; i++)
                {
                    // Formed along with a weight or alone, the column sums are the same.
                    var alone = new ReadOnlySpan<float>(pointers[i] + weights, 3 * hidden);
                    Assert.True(alone.SequenceEqual(new ReadOnlySpan<float>(pointers[i] + total - (3 * hidden), 3 * hidden)));
                    Assert.True(alone.SequenceEqual(new ReadOnlySpan<float>(pointers[i] + total - (6 * hidden), 3 * hidden)));
                }

                return new ReadOnlySpan<int>(outputs, shards * total).ToArray();
            }
        }
    }

    // Cells of the first time step before firstRow: left out of the products, whatever lies there, and not of the sums of columns.
    [Theory]
    [MemberData(nameof(Sets))]
    public void ProductsLeaveOutTheFirstTimeStep(InstructionSet set)
    {
        const int batch = 11, shards = 4, hidden = 20, inputs = 33;
        int[] first = [0, 5, 5, 6], counts = [5, 0, 1, 5];
        var program = new MergeProgram(new ShardRange(0, shards), shards);
        ColumnGroups gates = ColumnGroups.Gates(3, hidden);
        foreach (int time in new[] { 1, 2, 130 }) // nothing remains; less and more than a block
        {
            using var memory = new Numbers(set, ColumnGroups.Dense(1), ColumnGroups.Dense(1));
            int width = ColumnGroups.Pad(inputs), lda = 4 * ColumnGroups.Pad(hidden), weights = 3 * hidden * inputs, total = weights + (3 * hidden);
            float* a = memory.Random(time * batch * lda), b = memory.Random(time * batch * width);
            new Span<float>(b, batch * width).Fill(float.NaN);
            int[] left = Bits(0, batch), without = Bits(1, 0);
            Assert.Equal(without[..weights], left[..weights]);
            Assert.NotEqual(without[weights..], left[weights..]);
            Assert.Equal(Bits(0, 0)[weights..], left[weights..]);

            int[] Bits(int from, int firstRow)
            {
                float* output = memory.Random(total);
                ShardRows? rows = null;
                using var arena = Arena.Create(x => rows = new ShardRows(x, time, batch, shards));
                rows!.Build(from, time, batch, first, counts, null);
                WeightGradient.Compute(set, program, rows, a, lda, gates, b, width, ColumnGroups.Padded(inputs), &output, 0, memory.Workspace, false, weights, firstRow);
                return new ReadOnlySpan<int>(output, total).ToArray();
            }
        }
    }

    [Fact]
    public void JoinedSumsAreNotContinued()
    {
        using var memory = new Numbers(InstructionSets.Current, ColumnGroups.Dense(1), ColumnGroups.Dense(1));
        ShardRows? rows = null;
        using var arena = Arena.Create(x => rows = new ShardRows(x, 1, 2, 2));
        rows!.Build(0, 1, 2, [0, 1], [1, 1], null);
        Assert.Throws<ArgumentException>(() => WeightGradient.ColumnSums(new MergeProgram(new ShardRange(0, 2), 2), rows, null, 0, default, null, 0, memory.Workspace, continues: true));
    }

    private readonly Dictionary<ShardRange, nint> parts = [];

    // A packed matrix, a workspace and arrays of random numbers that live as long as it.
    private sealed class Numbers : IDisposable
    {
        private readonly List<NativeBuffer<float>> buffers = [];
        private readonly Random random = new(1);
        private readonly Arena arena;

        public Numbers(InstructionSet set, ColumnGroups inner, ColumnGroups columns)
        {
            PackedMatrix? packed = null;
            Workspace? workspace = null;
            arena = Arena.Create(a =>
            {
                packed = new PackedMatrix(a, inner, columns, set);
                workspace = new Workspace(a);
            });
            Packed = packed!;
            Workspace = workspace!;
        }

        public PackedMatrix Packed { get; }

        public Workspace Workspace { get; }

        public float* Random(int count)
        {
            var buffer = new NativeBuffer<float>(count);
            buffers.Add(buffer);
            for (int i = 0; i < count; i++)
            {
                buffer[i] = (random.NextSingle() * 2) - 1;
            }

            return buffer.Pointer;
        }

        public float* Copy(float* source, int count)
        {
            float* copy = Random(count);
            new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(copy, count));
            return copy;
        }

        public void Dispose()
        {
            buffers.ForEach(b => b.Dispose());
            arena.Dispose();
        }
    }
}
