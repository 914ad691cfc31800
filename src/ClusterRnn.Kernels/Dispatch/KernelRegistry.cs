// Every kernel there is, once. Dispatch, tests and benchmarks all start from the kernels named here; a test sees to it that
// none is missing.
using ClusterRnn.Kernels.Attention;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Losses;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Normalization;
using ClusterRnn.Kernels.Optimizers;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Dispatch;

/// <summary>All kernels with their variants.</summary>
public static unsafe class KernelRegistry
{
    // One for each thread that runs entries, kept.
    [ThreadStatic]
    private static Workspace? scratch;

    [ThreadStatic]
    private static Arena? scratchArena;

    /// <summary>All kernels.</summary>
    public static IReadOnlyList<KernelEntry> All { get; } =
    [
        .. Products(), .. Gates(), .. ElementwiseFunctions.Kernels.Select(Elementwise), Dropout(), Softmax(),
        Regression(BinaryCrossEntropy.Kernel, OperandKind.Shares), Regression(MeanSquaredError.Kernel, OperandKind.Floats), Dot(), .. Optimizers(),
        .. LayerNorms(), .. GateNorms(), Elementwise(Gelu.ExactKernel), Elementwise(Gelu.TanhKernel), Attention(ScaledAttention.ForwardKernel), Attention(ScaledAttention.BackwardKernel),
        Additive(AdditiveAttention.ForwardKernel), Additive(AdditiveAttention.BackwardKernel),
    ];

    private static long Padded(KernelShape shape) => (long)shape.Rows * ColumnGroups.Pad(shape.Columns);

    private static KernelOperand Floats(string name, Func<KernelShape, long> count) => new(name, OperandKind.Floats, count);

    private static KernelEntry Elementwise(Kernel<ElementwiseArguments> kernel) => new(
        kernel,
        [Floats("first", s => s.Columns), Floats("second", s => s.Columns), Floats("result", s => s.Columns)],
        s => s.Columns,
        (set, s, p) => kernel.Run(set, new() { Count = s.Columns, First = (float*)p[0], Second = (float*)p[1], Result = (float*)p[2], Number = 0.75f }));

    private static KernelEntry Dropout() => new(
        Kernels.Elementwise.Dropout.Kernel,
        [Floats("source", s => (long)s.Rows * s.Columns), Floats("target", s => (long)s.Rows * s.Columns)],
        s => (double)s.Rows * s.Columns,
        (set, s, p) => Kernels.Elementwise.Dropout.Kernel.Run(set, new()
        {
            Rows = s.Rows,
            Width = s.Columns,
            Stride = s.Columns,
            Source = (float*)p[0],
            Target = (float*)p[1],
            Key = 42,
            FirstSlot = 3,
            Time = 7,
            Threshold = 1 << 22,
            Scale = 4f / 3f,
        }));

    private static KernelEntry Softmax() => new(
        SoftmaxCrossEntropy.Kernel,
        [Floats("logits", s => (long)s.Rows * s.Columns), new("targets", OperandKind.Classes, s => s.Rows), new("losses", OperandKind.Doubles, s => s.Rows)],
        s => (double)s.Rows * s.Columns,
        (set, s, p) => SoftmaxCrossEntropy.Kernel.Run(set, new() { Rows = s.Rows, Classes = s.Columns, Stride = s.Columns, Logits = (float*)p[0], Targets = (int*)p[1], Losses = (double*)p[2] }));

    private static KernelEntry Regression(Kernel<RegressionArguments> kernel, OperandKind targets) => new(
        kernel,
        [Floats("outputs", s => (long)s.Rows * s.Columns), new("targets", targets, s => (long)s.Rows * s.Columns), new("losses", OperandKind.Doubles, s => s.Rows)],
        s => (double)s.Rows * s.Columns,
        (set, s, p) => kernel.Run(set, new() { Rows = s.Rows, Width = s.Columns, Stride = s.Columns, Outputs = (float*)p[0], Targets = (float*)p[1], Losses = (double*)p[2] }));

    private static KernelEntry Dot() => new(
        Sums.DotKernel,
        [Floats("first", s => s.Columns), Floats("second", s => s.Columns), new("result", OperandKind.Doubles, _ => 1)],
        s => 2.0 * s.Columns,
        (set, s, p) => Sums.DotKernel.Run(set, new() { Count = s.Columns, First = (float*)p[0], Second = (float*)p[1], Result = (double*)p[2] }));

    private static IEnumerable<KernelEntry> Gates()
    {
        Kernel<GateArguments>[] kernels =
        [
            Lstm.ForwardKernel, Lstm.BackwardKernel, PeepholeLstm.ForwardKernel, PeepholeLstm.BackwardKernel, Gru.ForwardKernel, Gru.BackwardKernel, Gru.ResetForwardKernel, Gru.CandidateForwardKernel,
            Gru.CandidateBackwardKernel, Gru.ResetBackwardKernel, .. Rnn.ForwardKernels, .. Rnn.BackwardKernels,
            NormalizedLstm.CellForwardKernel, NormalizedLstm.OutputForwardKernel, NormalizedLstm.OutputBackwardKernel, NormalizedLstm.CellBackwardKernel,
        ];
        return kernels.Select(kernel => new KernelEntry(
            kernel,
            [
                Floats("gates", s => 4 * Padded(s)), Floats("hidden before", Padded), Floats("hidden", Padded), Floats("cell before", Padded), Floats("cell", Padded),
                Floats("gradient above", Padded), Floats("hidden gradient", Padded), Floats("cell gradient", Padded),
                Floats("peepholes", s => 3L * ColumnGroups.Pad(s.Columns)), Floats("normals", Padded), Floats("normal parameters", s => 2L * ColumnGroups.Pad(s.Columns)), Floats("normal gradient", Padded),
                Floats("cell tanh", Padded),
            ],
            s => Padded(s),
            (set, s, p) =>
            {
                var tile = GateArguments.Tile(s.Rows, s.Columns, 4);
                tile.Gates = (float*)p[0];
                tile.HiddenBefore = (float*)p[1];
                tile.Hidden = (float*)p[2];
                tile.CellBefore = (float*)p[3];
                tile.Cell = (float*)p[4];
                tile.GradientAbove = s.Depth % 3 == 0 ? null : (float*)p[5];
                tile.HiddenGradient = (float*)p[6];
                tile.CellGradient = (float*)p[7];
                tile.Peepholes = (float*)p[8];
                tile.Normals = (float*)p[9];
                tile.NormalParameters = (float*)p[10];
                tile.NormalGradient = (float*)p[11];
                tile.CellTanh = (float*)p[12];
                kernel.Run(set, tile);
            }));
    }

    private static IEnumerable<KernelEntry> Optimizers()
    {
        Kernel<UpdateArguments>[] kernels = [GradientPreparation.Kernel, Sgd.PlainKernel, Sgd.MomentumKernel, RmsProp.Kernel, Adam.Kernel, Adam.DecoupledKernel, Lars.Kernel, Lamb.DirectionKernel];
        return kernels.Select(kernel => new KernelEntry(
            kernel,
            [Floats("parameters", s => s.Columns), Floats("gradients", s => s.Columns), Floats("first", s => s.Columns), new("second", OperandKind.Magnitudes, s => s.Columns)],
            s => s.Columns,
            (set, s, p) => kernel.Run(set, new()
            {
                Count = s.Columns,
                Parameters = (float*)p[0],
                Gradients = (float*)p[1],
                First = (float*)p[2],
                Second = (float*)p[3],
                Scale = 0.9f,
                LearningRate = 0.01f,
                WeightDecay = 0.1f,
                Decay1 = 0.9f,
                Complement1 = 0.1f,
                Decay2 = 0.99f,
                Complement2 = 0.01f,
                Correction1 = 0.5f,
                RootCorrection2 = 0.25f,
                Epsilon = 1e-3f,
                Nesterov = s.Columns % 2 == 0,
            })));
    }

    private static IEnumerable<KernelEntry> LayerNorms() => ((Kernel<LayerNormArguments>[])[LayerNorm.ForwardKernel, LayerNorm.BackwardKernel]).Select(kernel => new KernelEntry(
        kernel,
        [
            Floats("source", s => (long)s.Rows * s.Columns), Floats("statistics", s => 2L * s.Rows), Floats("gain", s => s.Columns), Floats("bias", s => s.Columns),
            Floats("target", s => (long)s.Rows * s.Columns), Floats("source gradient", s => (long)s.Rows * s.Columns),
        ],
        s => (double)s.Rows * s.Columns,
        (set, s, p) => kernel.Run(set, new()
        {
            Rows = s.Rows,
            Width = s.Columns,
            Source = (float*)p[0],
            SourceStride = s.Columns,
            Statistics = (float*)p[1],
            Gain = (float*)p[2],
            Bias = (float*)p[3],
            Target = (float*)p[4],
            TargetStride = s.Columns,
            Epsilon = 1e-5f,
            SourceGradient = s.Depth % 3 == 0 ? null : (float*)p[5],
            Around = s.Depth % 2 == 0 ? null : (float*)p[5],
        })));

    // One to four gates; of the shapes some add to what is there, some only normalise, some in place.
    private static IEnumerable<KernelEntry> GateNorms()
    {
        static int Gates(KernelShape s) => 1 + (s.Depth % 4);
        static long Cells(KernelShape s) => Gates(s) * Padded(s);
        return ((Kernel<GateNormArguments>[])[GateNorm.ForwardKernel, GateNorm.BackwardKernel]).Select(kernel => new KernelEntry(
            kernel,
            [
                Floats("source", Cells), Floats("normals", Cells), Floats("inverses", s => s.Rows), Floats("gain", s => (long)Gates(s) * s.Columns), Floats("bias", s => (long)Gates(s) * s.Columns),
                Floats("target", Cells), Floats("gradient", Cells), Floats("source gradient", Cells),
            ],
            s => (double)s.Rows * Gates(s) * s.Columns,
            (set, s, p) => kernel.Run(set, new()
            {
                Rows = s.Rows,
                Gates = Gates(s),
                Width = s.Columns,
                Stride = Gates(s) * ColumnGroups.Pad(s.Columns),
                Source = s.Rows % 3 == 0 ? (float*)p[1] : (float*)p[0],
                Normals = (float*)p[1],
                Inverses = (float*)p[2],
                Gain = (float*)p[3],
                Bias = (float*)p[4],
                Target = s.Rows % 2 == 0 ? null : (float*)p[5],
                Adds = s.Columns % 8 < 4,
                Epsilon = 1e-5f,
                Gradient = (float*)p[6],
                SourceGradient = (float*)p[7],
            })));
    }

    // Up to 33 keys; values are as wide as there are columns, queries and keys up to 8 wide.
    private static KernelEntry Additive(Kernel<AdditiveArguments> kernel)
    {
        int Keys(KernelShape s) => 1 + (s.Depth % 33);
        int Width(KernelShape s) => 1 + (s.Columns % 8);
        return new(
            kernel,
            [
                Floats("query", s => (long)s.Rows * Width(s)), Floats("key", s => (long)Keys(s) * Width(s)), Floats("value", s => (long)Keys(s) * s.Columns),
                Floats("vector", s => Width(s)), Floats("weights", s => (long)s.Rows * ColumnGroups.Pad(Keys(s))), Floats("result", s => (long)s.Rows * s.Columns),
                Floats("result gradient", s => (long)s.Rows * s.Columns), Floats("value gradient", s => (long)Keys(s) * s.Columns), Floats("vector gradient", s => (long)s.Rows * Width(s)),
            ],
            s => s.Rows * (double)Keys(s) * ((2.0 * s.Columns) + (12.0 * Width(s))),
            (set, s, p) =>
            {
                AdditiveScratch? scratch = null;
                using var arena = Arena.Create(a => scratch = new AdditiveScratch(a, Keys(s), Width(s), isTraining: true));
                kernel.Run(set, new()
                {
                    Queries = s.Rows,
                    Keys = Keys(s),
                    Width = Width(s),
                    ValueWidth = s.Columns,
                    Query = (float*)p[0],
                    QueryStride = Width(s),
                    Key = (float*)p[1],
                    KeyStride = Width(s),
                    Value = (float*)p[2],
                    ValueStride = s.Columns,
                    Vector = (float*)p[3],
                    Weights = (float*)p[4],
                    WeightStride = ColumnGroups.Pad(Keys(s)),
                    Result = (float*)p[5],
                    ResultGradient = (float*)p[6],
                    ResultStride = s.Columns,
                    ValueGradient = (float*)p[7],
                    VectorGradient = (float*)p[8],
                    VectorGradientStride = Width(s),
                    Buffers = scratch!.Buffers,
                });
            });
    }

    // Half of the shapes are causal, a third drop weights; there are more keys than queries by up to 33.
    private static KernelEntry Attention(Kernel<AttentionArguments> kernel)
    {
        int Keys(KernelShape s) => s.Rows + (s.Depth % 34);
        return new(
            kernel,
            [
                Floats("query", s => (long)s.Rows * s.Columns), Floats("key", s => (long)Keys(s) * s.Columns), Floats("value", s => (long)Keys(s) * s.Columns),
                Floats("result", s => (long)s.Rows * s.Columns), Floats("result gradient", s => (long)s.Rows * s.Columns), Floats("statistics", s => 2L * s.Rows),
            ],
            s => 4.0 * s.Rows * Keys(s) * s.Columns,
            (set, s, p) =>
            {
                AttentionScratch? scratch = null;
                using var arena = Arena.Create(a => scratch = new AttentionScratch(a, Keys(s), s.Columns, isTraining: true));
                bool drops = s.Columns % 3 == 0;
                kernel.Run(set, new()
                {
                    Queries = s.Rows,
                    Keys = Keys(s),
                    HeadWidth = s.Columns,
                    IsCausal = s.Rows % 2 == 0,
                    FirstQuery = Keys(s) - s.Rows,
                    Query = (float*)p[0],
                    QueryStride = s.Columns,
                    Key = (float*)p[1],
                    Value = (float*)p[2],
                    KeyStride = s.Columns,
                    Scale = 0.3f,
                    Result = (float*)p[3],
                    ResultGradient = (float*)p[4],
                    ResultStride = s.Columns,
                    Statistics = (float*)p[5],
                    StatisticsStride = 2,
                    DropThreshold = drops ? Kernels.Elementwise.Dropout.ThresholdOf(0.25f) : 0,
                    KeptScale = Kernels.Elementwise.Dropout.ScaleOf(0.25f),
                    DropKey = 42,
                    Slot = 3,
                    Time = 7,
                    FirstElement = 16,
                    Buffers = scratch!.Buffers,
                });
            });
    }

    private static KernelEntry[] Products() =>
    [
        // C = A B + C through a packed B; packing is part of the run.
        new(
            Product.Kernel,
            [Floats("a", s => (long)s.Rows * s.Depth), Floats("b", s => (long)s.Depth * s.Columns), Floats("c", s => (long)s.Rows * s.Columns)],
            s => 2.0 * s.Rows * s.Columns * s.Depth,
            (set, s, p) => WithPacked(set, s, (packed, workspace) =>
            {
                packed.Pack((float*)p[1], s.Columns);
                Product.Multiply(s.Rows, (float*)p[0], s.Depth, packed, (float*)p[2], s.Columns, ProductStart.Accumulate, workspace);
            })),
        new(
            Packing.PlainKernel,
            [Floats("b", s => (long)s.Depth * s.Columns), Floats("unpacked", s => (long)s.Depth * s.Columns)],
            s => (double)s.Columns * s.Depth,
            (set, s, p) => WithPacked(set, s, (packed, _) =>
            {
                packed.Pack((float*)p[0], s.Columns);
                packed.Unpack((float*)p[1], s.Columns);
            })),
        new(
            Packing.TransposedKernel,
            [Floats("w", s => (long)s.Depth * s.Columns), Floats("unpacked", s => (long)s.Depth * s.Columns)],
            s => (double)s.Columns * s.Depth,
            (set, s, p) => WithPacked(set, s, (packed, _) =>
            {
                packed.PackTransposed((float*)p[0], s.Depth);
                packed.Unpack((float*)p[1], s.Columns);
            })),
        Gradient(WeightGradient.Kernel),
        Gradient(WeightGradient.ColumnSumsKernel),
        Gradient(WeightGradient.ColumnProductsKernel),
    ];

    // Five shards, of which the worker has the last four: two subtrees, one shard without rows.
    private static KernelEntry Gradient(Kernel<WeightGradientArguments> kernel)
    {
        bool product = kernel == WeightGradient.Kernel, products = kernel == WeightGradient.ColumnProductsKernel;
        long Output(KernelShape s) => product ? (long)s.Rows * (s.Columns + ((s.Columns + 1) / 2) + 1) : s.Rows;
        return new(
            kernel,
            [
                Floats("a", s => (long)s.Rows * s.Depth), Floats("b", s => product ? (long)s.Depth * s.Columns : products ? (long)s.Rows * s.Depth : 0),
                Floats("first subtree", Output), Floats("second subtree", Output), Floats("third subtree", Output),
            ],
            s => (product ? 2.0 * s.Columns : 1.0) * s.Rows * s.Depth,
            (set, s, p) =>
            {
                var program = new MergeProgram(new ShardRange(1, 5), 5);
                ShardRows? rows = null;
                using var arena = Arena.Create(a => rows = new ShardRows(a, s.Depth, 1, 4));
                int half = s.Depth / 2, rest = s.Depth - half;
                rows!.Build(0, 1, s.Depth, [0, 1, half, s.Depth], [Math.Min(1, half), Math.Max(0, half - 1), rest, 0], null);
                float** outputs = stackalloc float*[3];
                for (int i = 0; i < 3; i++)
                {
                    outputs[i] = (float*)p[2 + i];
                }

                var columns = ColumnGroups.Dense(s.Columns);
                var arguments = new WeightGradientArguments { A = (float*)p[0], Lda = s.Rows, AColumns = ColumnGroups.Dense(s.Rows), Outputs = outputs };
                if (product)
                {
                    arguments.B = (float*)p[1];
                    arguments.Ldb = s.Columns;
                    arguments.BColumns = columns;
                    arguments.SecondB = (float*)p[1];
                    arguments.SecondLdb = s.Columns;
                    arguments.SecondColumns = ColumnGroups.Dense((s.Columns + 1) / 2);
                    arguments.SecondOffset = (long)s.Rows * s.Columns;
                    arguments.HasSums = true;
                    arguments.SumsOffset = (long)s.Rows * (s.Columns + ((s.Columns + 1) / 2));
                }

                if (products)
                {
                    arguments.B = (float*)p[1];
                    arguments.Ldb = s.Rows;
                }

                WeightGradient.Run(kernel, set, program, rows, arguments, Scratch());
                GC.KeepAlive(scratchArena);
            });
    }

    private static void WithPacked(InstructionSet set, KernelShape shape, Action<PackedMatrix, Workspace> run)
    {
        PackedMatrix? packed = null;
        using var arena = Arena.Create(a => packed = new PackedMatrix(a, ColumnGroups.Dense(shape.Depth), ColumnGroups.Dense(shape.Columns), set));
        run(packed!, Scratch());
        GC.KeepAlive(scratchArena);
    }

    private static Workspace Scratch()
    {
        if (scratch is null)
        {
            scratchArena = Arena.Create(a => scratch = new Workspace(a));
        }

        return scratch!;
    }
}
