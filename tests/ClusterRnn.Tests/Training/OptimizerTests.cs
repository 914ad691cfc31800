using System.Text.Json;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class OptimizerTests
{
    private const int Count = 8;

    public static TheoryData<int> Cases()
    {
        var data = new TheoryData<int>();
        for (int i = 0; i < Golden.GetArrayLength(); i++)
        {
            data.Add(i);
        }

        return data;
    }

    private static JsonElement Golden { get; } = JsonDocument.Parse(
        File.ReadAllBytes(Path.Combine(Repository.Root, "tests", "ClusterRnn.Tests", "Golden", "optimizer_golden.json"))).RootElement;

    [Theory]
    [MemberData(nameof(Cases))]
    public void TenUpdatesEqualPyTorchs(int index)
    {
        JsonElement golden = Golden[index];
        var optimizer = golden.GetProperty("optimizer").Deserialize<OptimizerConfig>(new JsonSerializerOptions(JsonSerializerDefaults.Web))!;
        TrainingSettings settings = TrainingFixtures.Settings(optimizer) with
        {
            Clip = new ClipConfig { Norm = Number("clipNorm"), Value = Number("clipValue") },
            Regularization = new RegularizationConfig { L1 = Number("l1") ?? 0, L2 = Number("l2") ?? 0 },
        };
        ParameterLayout layout = TrainingFixtures.Layout(4, 5, 2);
        var policy = new TrainingPolicy(settings);
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings, 1);
        using var gradient = new NativeBuffer<float>(layout.Length);
        Set(layout, range.Parameters, (tensor, i) => (((i * 5 + tensor * 3) % 17) - 8) / 8f);
        for (int update = 0; update < 10; update++)
        {
            Set(layout, gradient.Pointer, (tensor, i) => Count * (((i * 7 + update * 13 + tensor * 5) % 23) - 11) / 16f);
            UpdateNumbers numbers = Reduce(range, policy, gradient.Pointer, 1).Update;
            double rate = optimizer.ResolvedLearningRate() * (update < 5 ? 1 : 0.5);
            range.Apply(numbers with { LearningRate = rate, Number = update + 1 });
        }

        for (int tensor = 0; tensor < layout.Tensors.Count; tensor++)
        {
            JsonElement expected = golden.GetProperty("parameters")[tensor];
            ParameterTensor place = layout.Tensors[tensor];
            Assert.Equal(place.Count, expected.GetArrayLength());
            for (int i = 0; i < place.Count; i++)
            {
                Assert.Equal(expected[i].GetSingle(), range.Parameters[place.Offset + i], 2e-6);
            }
        }

        double? Number(string name) => golden.TryGetProperty(name, out JsonElement value) ? value.GetDouble() : null;
    }

    [Theory]
    [InlineData("sgd")]
    [InlineData("rmsprop")]
    [InlineData("adam")]
    [InlineData("adamw")]
    [InlineData("lars")]
    [InlineData("lamb")]
    public void HowManyServersOwnTheParametersChangesNoBit(string name)
    {
        OptimizerConfig optimizer = name switch
        {
            "sgd" => new SgdConfig { Momentum = 0.9, Nesterov = true, WeightDecay = 0.01 },
            "rmsprop" => new RmsPropConfig { Momentum = 0.5 },
            "adam" => new AdamConfig { WeightDecay = 0.01 },
            "adamw" => new AdamWConfig(),
            "lars" => new LarsConfig { WeightDecay = 0.01 },
            _ => new LambConfig(),
        };
        TrainingSettings settings = TrainingFixtures.Settings(optimizer) with
        {
            Clip = new ClipConfig { Norm = 0.5, Value = 0.02 },
            Regularization = new RegularizationConfig { L1 = 0.001, L2 = 0.002 },
            Accumulate = 2,
        };
        byte[] one = Train(settings, servers: 1, shards: 6);
        for (int servers = 2; servers <= 5; servers++)
        {
            Assert.True(one.AsSpan().SequenceEqual(Train(settings, servers, shards: 6)), $"{servers} servers");
        }

        Assert.True(one.AsSpan().SequenceEqual(Train(settings, servers: 40, shards: 6)), "more servers than blocks");
        Assert.False(one.AsSpan().SequenceEqual(Train(settings, servers: 1, shards: 5)), "another number of shards");
        Assert.False(one.AsSpan().SequenceEqual(Train(settings with { Clip = new ClipConfig { Norm = 0.4, Value = 0.02 } }, servers: 1, shards: 6)), "another limit");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(13)]
    public void AnyCoverOfTheTreeGivesTheSameSum(int shards)
    {
        ParameterLayout layout = TrainingFixtures.Layout(30, 40, 3);
        using var shardGradients = new NativeBuffer<float>(shards * layout.Length);
        for (int shard = 0; shard < shards; shard++)
        {
            TrainingFixtures.FillTensors(layout, shardGradients.Pointer + shard * layout.Length, (ulong)shard + 1);
        }

        using var whole = new NativeBuffer<float>(layout.Length);
        SumNode(shardGradients.Pointer, layout.Length, 0, shards, whole.Pointer);
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), TrainingFixtures.Settings(), shards);
        for (int cut = 0; cut <= shards; cut++)
        {
            var nodes = new List<ShardRange>();
            CanonicalTree.MaximalSubtrees(new ShardRange(0, cut), shards, nodes);
            CanonicalTree.MaximalSubtrees(new ShardRange(cut, shards), shards, nodes);
            using var sums = new NativeBuffer<float>(nodes.Count * layout.Length);
            var pieces = new GradientPiece[nodes.Count];
            for (int i = 0; i < pieces.Length; i++)
            {
                float* sum = sums.Pointer + i * layout.Length;
                SumNode(shardGradients.Pointer, layout.Length, nodes[i].Start, nodes[i].End, sum);
                pieces[i] = new GradientPiece(nodes[i], sum);
            }

            new Span<float>(range.Gradient, (int)range.Floats).Fill(float.NaN);
            range.Reduce(range.Blocks, pieces);
            Assert.True(
                new ReadOnlySpan<int>(whole.Pointer, (int)layout.Length).SequenceEqual(new ReadOnlySpan<int>(range.Gradient, (int)layout.Length)),
                $"cut at {cut}");
        }
    }

    [Fact]
    public void PiecesThatDontCoverAllShardsOnceAreRefused()
    {
        ParameterLayout layout = TrainingFixtures.Layout(4, 2);
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), TrainingFixtures.Settings(), 4);
        using var values = new NativeBuffer<float>(layout.Length);
        float* zero = values.Pointer;
        Assert.Throws<ArgumentException>(() => range.Reduce(range.Blocks, [new GradientPiece(new(0, 2), zero)]));
        Assert.Throws<ArgumentException>(() => range.Reduce(range.Blocks, [new GradientPiece(new(0, 2), zero), new GradientPiece(new(1, 4), zero)]));
        Assert.Throws<ArgumentException>(() => range.Reduce(range.Blocks, [new GradientPiece(new(0, 1), zero), new GradientPiece(new(1, 3), zero), new GradientPiece(new(3, 4), zero)]));
        Assert.Throws<ArgumentException>(() => range.Reduce(range.Blocks, [new GradientPiece(new(0, 4), zero), new GradientPiece(new(0, 4), zero)]));
        Assert.Throws<ArgumentException>(() => range.Reduce(range.Blocks, []));
        Assert.Throws<ArgumentException>(() => range.Reduce(new BlockRange(0, layout.BlockCount + 1), [new GradientPiece(new(0, 4), zero)]));
        range.Reduce(range.Blocks, [new GradientPiece(new(0, 2), zero), new GradientPiece(new(2, 4), zero)]);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void OneElementThatIsNotFiniteIsSeen(float bad)
    {
        ParameterLayout layout = TrainingFixtures.Layout(30, 40, 3);
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), TrainingFixtures.Settings(), 1);
        var squares = new double[layout.BlockCount];
        for (int at = 0; at < 2048; at += 41)
        {
            new Span<float>(range.Gradient, (int)range.Floats).Fill(float.MaxValue);
            Assert.True(range.SumSquares(range.Blocks, squares));
            range.Gradient[at] = bad;
            Assert.False(range.SumSquares(range.Blocks, squares));
            Assert.False(double.IsFinite(squares[at / 1024]));
        }
    }

    [Fact]
    public void AccumulatedMicroBatchesEqualOneBatch()
    {
        // Powers of two, so that the order of the sums can't matter.
        ParameterLayout layout = TrainingFixtures.Layout(4, 5, 2);
        TrainingSettings settings = TrainingFixtures.Settings(new SgdConfig { LearningRate = 0.5, Momentum = 0.5 }) with { Clip = new ClipConfig { Norm = 0.25 } };
        using var gradient = new NativeBuffer<float>(layout.Length);
        using var whole = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings, 1);
        using var parts = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings with { Accumulate = 4 }, 1);
        var policy = new TrainingPolicy(settings);
        var accumulating = new TrainingPolicy(settings with { Accumulate = 4 });
        for (int update = 0; update < 2; update++)
        {
            Set(layout, gradient.Pointer, (tensor, i) => ((i * 3 + tensor + update) % 9) - 4);
            for (int part = 0; part < 4; part++)
            {
                StepDecision step = Reduce(parts, accumulating, gradient.Pointer, 1);
                Assert.Equal(part == 3, step.Update.Apply);
                parts.Apply(step.Update);
                accumulating.Advance(step);
            }

            Set(layout, gradient.Pointer, (tensor, i) => 4 * (((i * 3 + tensor + update) % 9) - 4));
            StepDecision decision = Reduce(whole, policy, gradient.Pointer, 1, 4 * Count);
            whole.Apply(decision.Update);
            policy.Advance(decision);
        }

        Assert.NotEqual(0, whole.Parameters[0]);
        Assert.True(new ReadOnlySpan<int>(whole.Parameters, (int)layout.Length).SequenceEqual(new ReadOnlySpan<int>(parts.Parameters, (int)layout.Length)));
    }

    [Fact]
    public void ASnapshotBringsBackEveryBit()
    {
        ParameterLayout layout = TrainingFixtures.Layout(30, 40, 3);
        TrainingSettings settings = TrainingFixtures.Settings() with { Accumulate = 2 };
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings, 1);
        using var gradient = new NativeBuffer<float>(layout.Length);
        using var snapshot = new NativeBuffer<float>(range.SnapshotFloats);
        TrainingFixtures.FillTensors(layout, gradient.Pointer, 3);
        Step(1);
        range.Apply(new UpdateNumbers(false, Count, 1, 0, 0));
        range.Save(snapshot.Pointer);
        byte[] before = Bytes(range);
        Step(2);
        byte[] after = Bytes(range);
        Assert.False(before.AsSpan().SequenceEqual(after));
        range.Load(snapshot.Pointer);
        Assert.True(before.AsSpan().SequenceEqual(Bytes(range)));
        Step(2);
        Assert.True(after.AsSpan().SequenceEqual(Bytes(range)));

        void Step(int number)
        {
            range.Reduce(range.Blocks, [new GradientPiece(new(0, 1), gradient.Pointer)]);
            range.Apply(new UpdateNumbers(true, Count, 1, 0.01, number));
            range.Reduce(range.Blocks, [new GradientPiece(new(0, 1), gradient.Pointer)]);
        }
    }

    [Fact]
    public void MomentsNeverBecomeDenormal()
    {
        ParameterLayout layout = TrainingFixtures.Layout(4, 5);
        TrainingSettings settings = TrainingFixtures.Settings(new AdamConfig { Beta1 = 0.5, Beta2 = 0.5 });
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings, 1);
        using var gradient = new NativeBuffer<float>(layout.Length);
        Set(layout, gradient.Pointer, (_, _) => 1);
        for (int number = 1; number <= 200; number++)
        {
            range.Reduce(range.Blocks, [new GradientPiece(new(0, 1), gradient.Pointer)]);
            range.Apply(new UpdateNumbers(true, 1, 1, 0.01, number));
            Set(layout, gradient.Pointer, (_, _) => 0);
            float moment = MathF.Abs(range.Section(1)[0]);
            Assert.True(moment == 0 || moment >= 7.8886e-31f, $"{moment} after {number} updates");
        }

        Assert.Equal(0, range.Section(1)[0]);
        Assert.Equal(0, range.Section(2)[0]);
    }

    [Fact]
    public void AnUpdateAllocatesNothing()
    {
        ParameterLayout layout = TrainingFixtures.Layout(60, 70, 3);
        TrainingSettings settings = TrainingFixtures.Settings(new LambConfig()) with { Accumulate = 2 };
        using var range = new ParameterRange(layout, new BlockRange(0, layout.BlockCount), settings, 4);
        using var gradient = new NativeBuffer<float>(layout.Length);
        TrainingFixtures.FillTensors(layout, gradient.Pointer, 3);
        var pieces = new[] { new GradientPiece(new(0, 2), gradient.Pointer), new GradientPiece(new(2, 3), gradient.Pointer), new GradientPiece(new(3, 4), gradient.Pointer) };
        var squares = new double[layout.BlockCount];
        Run(10);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run(100);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Run(int steps)
        {
            for (int step = 0; step < steps; step++)
            {
                range.Reduce(range.Blocks, pieces);
                range.SumSquares(range.Blocks, squares);
                range.Apply(new UpdateNumbers(step % 2 == 1, Count, 1, 0.01, step + 1));
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void RangesCoverAllBlocksOnceAndEvenly(bool wholeTensors)
    {
        ParameterLayout layout = TrainingFixtures.Layout(100, 90, 80, 70, 3);
        for (int servers = 1; servers <= 40; servers++)
        {
            BlockRange[] ranges = RangeDealer.Cut(layout, servers, wholeTensors);
            Assert.Equal(servers, ranges.Length);
            int next = 0;
            foreach (BlockRange range in ranges)
            {
                Assert.Equal(next, range.First);
                Assert.True(range.Count >= 0);
                next = range.End;
                Assert.True(!wholeTensors || layout.Tensors.Any(t => t.FirstBlock == range.First) || range.Count == 0);
                if (!wholeTensors)
                {
                    Assert.InRange(range.Count, layout.BlockCount / servers, (layout.BlockCount + servers - 1) / servers);
                }
            }

            Assert.Equal(layout.BlockCount, next);
        }
    }

    [Fact]
    public void AnOptimizerOfWholeTensorsRefusesACutOne()
    {
        ParameterLayout layout = TrainingFixtures.Layout(100, 90, 3);
        Assert.Throws<ArgumentException>(() => new ParameterRange(layout, new BlockRange(0, 2), TrainingFixtures.Settings(new LarsConfig()), 1));
    }

    private static byte[] Train(TrainingSettings settings, int servers, int shards)
    {
        ParameterLayout layout = TrainingFixtures.Layout(60, 70, 20, 3);
        var policy = new TrainingPolicy(settings);
        ParameterRange[] ranges = [.. RangeDealer.Cut(layout, servers, settings.Optimizer.NeedsWholeTensors).Select(blocks => new ParameterRange(layout, blocks, settings, shards))];
        using var initial = new NativeBuffer<float>(layout.Length);
        TrainingFixtures.FillTensors(layout, initial.Pointer, 99);
        foreach (ParameterRange range in ranges)
        {
            range.Initialize(initial.AsSpan());
        }

        using var gradients = new NativeBuffer<float>(shards * layout.Length);
        for (int step = 0; step < 6; step++)
        {
            for (int shard = 0; shard < shards; shard++)
            {
                TrainingFixtures.FillTensors(layout, gradients.Pointer + shard * layout.Length, (ulong)(step * 100 + shard + 1));
            }

            var squares = new double[layout.BlockCount];
            foreach (ParameterRange range in ranges)
            {
                var pieces = new GradientPiece[shards];
                for (int shard = 0; shard < shards; shard++)
                {
                    pieces[shard] = new GradientPiece(new(shard, shard + 1), gradients.Pointer + shard * layout.Length + range.Blocks.FirstFloat);
                }

                range.Reduce(range.Blocks, pieces);
                Assert.True(range.SumSquares(range.Blocks, squares.AsSpan(range.Blocks.First, range.Blocks.Count)));
            }

            StepDecision decision = policy.Decide(Sums(squares, Count));
            Array.ForEach(ranges, range => range.Apply(decision.Update));
            policy.Advance(decision);
        }

        var state = new MemoryStream();
        for (int section = 0; section < ranges[0].SectionNames.Count; section++)
        {
            foreach (ParameterRange range in ranges)
            {
                state.Write(new ReadOnlySpan<byte>(range.Section(section), (int)range.Floats * sizeof(float)));
            }
        }

        Array.ForEach(ranges, range => range.Dispose());
        return state.ToArray();
    }

    private static StepDecision Reduce(ParameterRange range, TrainingPolicy policy, float* gradient, int shards, long count = Count)
    {
        var squares = new double[range.Blocks.Count];
        range.Reduce(range.Blocks, [new GradientPiece(new(0, shards), gradient)]);
        Assert.True(range.SumSquares(range.Blocks, squares));
        return policy.Decide(Sums(squares, count));
    }

    private static StepSums Sums(double[] squares, long count)
    {
        double[] total = new double[1];
        ShardSums.Join(squares, 1, total);
        return new StepSums { Sums = new double[] { 1 }, Counts = new[] { count }, SumOfSquares = total[0] };
    }

    private static void SumNode(float* shards, long length, int start, int end, float* into)
    {
        if (end - start == 1)
        {
            new Span<float>(shards + start * length, (int)length).CopyTo(new Span<float>(into, (int)length));
            return;
        }

        using var upper = new NativeBuffer<float>(length);
        int middle = CanonicalTree.Split(start, end);
        SumNode(shards, length, start, middle, into);
        SumNode(shards, length, middle, end, upper.Pointer);
        for (long i = 0; i < length; i++)
        {
            into[i] += upper.Pointer[i];
        }
    }

    private static byte[] Bytes(ParameterRange range) =>
        new ReadOnlySpan<byte>(range.Section(0), (int)range.SnapshotFloats * sizeof(float)).ToArray();

    private static void Set(ParameterLayout layout, float* into, Func<int, int, float> value)
    {
        for (int tensor = 0; tensor < layout.Tensors.Count; tensor++)
        {
            for (int i = 0; i < layout.Tensors[tensor].Count; i++)
            {
                into[layout.Tensors[tensor].Offset + i] = value(tensor, i);
            }
        }
    }
}
