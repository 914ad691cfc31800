// Whole time steps (product and gates fused, tile by tile) and embedding gradients: the same bits with every instruction set.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Tests.Kernels;

public unsafe class StepTests
{
    public static IEnumerable<TheoryDataRow<string, int, int>> Cells =>
        from cell in (string[])["lstm", "gru", "gru-before", "rnn"]
        from size in ((int, int)[])[(1, 1), (5, 17), (33, 50), (150, 40)]
        select new TheoryDataRow<string, int, int>(cell, size.Item1, size.Item2);

    [Theory]
    [MemberData(nameof(Cells))]
    public void AStepForwardAndBackwardHasTheBitsOfTheReference(string cell, int rows, int hidden)
    {
        float[] expected = Step(InstructionSet.Scalar, cell, rows, hidden, seed: 1);
        Assert.NotEqual(expected, Step(InstructionSet.Scalar, cell, rows, hidden, seed: 2));
        foreach (InstructionSet set in InstructionSets.Supported)
        {
            float[] actual = Step(set, cell, rows, hidden, seed: 1);
            for (int i = 0; i < expected.Length; i++)
            {
                Assert.True(BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(actual[i]), $"{cell} {set} [{i}]: the reference gives {expected[i]:R}, the variant {actual[i]:R}");
            }
        }
    }

    [Fact]
    public void EmbeddingGradientsAreSumsPerShardJoinedAlongTheTree()
    {
        const int shards = 6, time = 5, batch = 11, vocabulary = 9, width = 7, stride = 16;
        var random = new Random(3);
        EmbeddingRows? table = null;
        ShardRows? rows = null;
        int* tokens = null;
        float* gradient = null, output = null;
        using var arena = Arena.Create(a =>
        {
            table = new EmbeddingRows(a, vocabulary, width, time * batch);
            rows = new ShardRows(a, time, batch, shards);
            tokens = a.Ints(time * batch);
            gradient = a.Floats(time * batch * stride);
            output = a.Floats(vocabulary * width);
        });
        for (int i = 0; i < time * batch; i++)
        {
            tokens[i] = random.Next(-1, vocabulary - 1); // the last one never occurs
        }

        for (int i = 0; i < time * batch * stride; i++)
        {
            gradient[i] = random.NextSingle() - 0.5f;
        }

        new Span<float>(output, vocabulary * width).Fill(float.NaN);
        int[] first = [.. Enumerable.Range(0, shards).Select(s => s * batch / shards)];
        int[] counts = [.. Enumerable.Range(0, shards).Select(s => ((s + 1) * batch / shards) - (s * batch / shards))];
        rows!.Build(0, time, batch, first, counts, null);
        float** outputs = stackalloc float*[] { output };
        table!.Gradient(new MergeProgram(new ShardRange(0, shards), shards), rows, tokens, gradient, stride, outputs, 0);
        for (int token = 0; token < vocabulary; token++)
        {
            for (int column = 0; column < width; column++)
            {
                Assert.Equal(BitConverter.SingleToInt32Bits(Tree(0, shards)), BitConverter.SingleToInt32Bits(output[(token * width) + column]));

                float Tree(int start, int end)
                {
                    if (end - start > 1)
                    {
                        int middle = CanonicalTree.Split(start, end);
                        return Tree(start, middle) + Tree(middle, end);
                    }

                    float sum = 0f;
                    for (int t = time - 1; t >= 0; t--)
                    {
                        for (int row = first[start]; row < first[start] + counts[start]; row++)
                        {
                            sum += tokens[(t * batch) + row] == token ? gradient[(((t * batch) + row) * stride) + column] : 0f;
                        }
                    }

                    return sum;
                }
            }
        }
    }

    // Everything one step forward and one step backward write, without padding.
    private static float[] Step(InstructionSet set, string cell, int rows, int hidden, int seed)
    {
        int padded = ColumnGroups.Pad(hidden), gateCount = cell == "rnn" ? 1 : 4;
        ColumnGroups plain = ColumnGroups.Padded(hidden);
        ColumnGroups columns = cell switch { "lstm" => Lstm.Gates(hidden), "gru" => Gru.RecurrentGates(hidden), "gru-before" => Gru.ResetAndUpdate(hidden), _ => plain };
        PackedMatrix? forward = null, backward = null, candidate = null, candidateBack = null;
        Workspace? workspace = null;
        float* gates = null, before = null, after = null, cellBefore = null, cellAfter = null, cellTanh = null, above = null, gradient = null, cellGradient = null, w = null;
        using var arena = Arena.Create(a =>
        {
            forward = new PackedMatrix(a, plain, columns, set);
            backward = new PackedMatrix(a, columns, plain, set);
            candidate = new PackedMatrix(a, Gru.ResetHidden(hidden), Gru.Candidate(hidden), set);
            candidateBack = new PackedMatrix(a, Gru.Candidate(hidden), plain, set);
            workspace = new Workspace(a);
            gates = a.Floats((long)rows * gateCount * padded);
            before = a.Floats((long)rows * padded);
            after = a.Floats((long)rows * padded);
            cellBefore = a.Floats((long)rows * padded);
            cellAfter = a.Floats((long)rows * padded);
            cellTanh = a.Floats((long)rows * padded);
            above = a.Floats((long)rows * padded);
            gradient = a.Floats((long)rows * padded);
            cellGradient = a.Floats((long)rows * padded);
            w = a.Floats(4L * hidden * hidden);
        });
        var random = new Random(seed);
        void Fill(float* target, int width, int groups, int stride)
        {
            for (int row = 0; row < rows; row++)
            {
                for (int group = 0; group < groups; group++)
                {
                    for (int i = 0; i < width; i++)
                    {
                        target[(((row * groups) + group) * stride) + i] = (random.NextSingle() * 2) - 1;
                    }
                }
            }
        }

        Fill(gates, hidden, gateCount, padded);
        Fill(before, hidden, 1, padded);
        Fill(cellBefore, hidden, 1, padded);
        Fill(above, hidden, 1, padded);
        Fill(gradient, hidden, 1, padded);
        Fill(cellGradient, hidden, 1, padded);
        for (int i = 0; i < 4 * hidden * hidden; i++)
        {
            w[i] = (random.NextSingle() - 0.5f) / hidden;
        }

        forward!.PackTransposed(w, hidden);
        forward.SetBias(w);
        backward!.Pack(w, hidden);
        candidate!.PackTransposed(w + (2 * hidden * hidden), hidden);
        candidateBack!.Pack(w + (2 * hidden * hidden), hidden);
        switch (cell)
        {
            case "lstm":
                Lstm.StepForward(rows, hidden, gates, before, forward, cellBefore, cellAfter, cellTanh, after, workspace!);
                break;
            case "gru":
                Gru.StepForward(rows, hidden, gates, before, forward, after, workspace!);
                break;
            case "gru-before":
                Gru.StepForwardResetBefore(rows, hidden, gates, before, forward, candidate, after, workspace!);
                break;
            default:
                Rnn.StepForward(Activation.Tanh, rows, hidden, gates, before, forward, after, workspace!);
                break;
        }

        List<float> written = [.. Values(gates, gateCount), .. Values(after, 1), .. Values(cellAfter, 1), .. Values(cellTanh, 1)];
        switch (cell)
        {
            case "lstm":
                Lstm.StepBackward(rows, hidden, gates, cellBefore, cellTanh, above, gradient, cellGradient, backward, workspace!);
                break;
            case "gru":
                Gru.StepBackward(rows, hidden, gates, before, above, gradient, backward, workspace!);
                break;
            case "gru-before":
                Gru.StepBackwardResetBefore(rows, hidden, gates, before, above, gradient, cellGradient, backward, candidateBack, workspace!);
                break;
            default:
                Rnn.StepBackward(Activation.Tanh, rows, hidden, gates, after, above, gradient, backward, workspace!);
                break;
        }

        return [.. written, .. Values(gates, gateCount), .. Values(gradient, 1), .. Values(cellGradient, 1)];

        IEnumerable<float> Values(float* source, int groups)
        {
            var values = new List<float>();
            for (int row = 0; row < rows * groups; row++)
            {
                for (int i = 0; i < hidden; i++)
                {
                    values.Add(source[(row * padded) + i]);
                }
            }

            return values;
        }
    }
}
