using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Optimizers;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Golden;

/// <summary>Fifty steps with Adam, clipping by norm and carried state: losses and gradient norms are PyTorch's to 1e-4 relative.</summary>
public sealed unsafe class TrainingGoldenTests
{
    private const int Shards = 3;

    public static TheoryData<string> Names => [.. GoldenFiles.Training.Keys];

    [Theory, MemberData(nameof(Names))]
    public void FiftyStepsAreThoseOfPyTorch(string name)
    {
        GoldenTraining golden = GoldenFiles.Training[name];
        Assert.Equal(50, golden.Losses.Length);
        Assert.True(golden.Losses[^1] < golden.Losses[0] - 0.5, "the case learns something");
        Assert.True(golden.GradientNorms.All(norm => norm > golden.ClipNorm), "clipping is active throughout");
        List<(double Loss, double Norm)> steps = Run(golden, clipNorm: golden.ClipNorm);
        for (int i = 0; i < golden.Losses.Length; i++)
        {
            Close(golden.Losses[i], steps[i].Loss, $"loss of step {i}");
            Close(golden.GradientNorms[i], steps[i].Norm, $"gradient norm of step {i}");
        }

        // Without clipping the losses leave PyTorch's: the comparison would notice.
        List<(double Loss, double Norm)> unclipped = Run(golden, clipNorm: double.PositiveInfinity);
        Assert.Contains(Enumerable.Range(0, 50), i => Math.Abs(golden.Losses[i] - unclipped[i].Loss) > 1e-3 * golden.Losses[i]);
    }

    private static List<(double Loss, double Norm)> Run(GoldenTraining golden, double clipNorm)
    {
        Model model = Model.Build(golden.Model, InputKind.Tokens, golden.Vocabulary, golden.Vocabulary);
        long length = model.Layout.Length;
        using var parameters = new NativeBuffer<float>(length);
        using var gradient = new NativeBuffer<float>(length);
        using var first = new NativeBuffer<float>(length);
        using var second = new NativeBuffer<float>(length);
        using var state = new NativeBuffer<float>((long)golden.Rows * model.StateWidth);
        foreach ((string name, GoldenTensor tensor) in golden.Parameters)
        {
            for (int i = 0; i < tensor.Values.Length; i++)
            {
                parameters[model.Layout[name].Offset + i] = (float)tensor.Values[i];
            }
        }

        using var batch = new SpanBatch(golden.Time, golden.Rows, 0, 0) { Time = golden.Time, Rows = golden.Rows, TargetTime = golden.Time };
        new Span<int>(batch.Lengths, golden.Rows).Fill(golden.Time);
        using var executor = new ModelExecutor(model, golden.Time, golden.Time, golden.Rows, training: true);
        var sums = new ShardSums(model.Metrics, Shards);
        float** gradients = stackalloc float*[1];
        gradients[0] = gradient.Pointer;
        int cells = golden.Time * golden.Rows;
        var steps = new List<(double, double)>();
        Span<double> loss = stackalloc double[sums.SumWidth];
        Span<long> counts = stackalloc long[sums.CountWidth];
        for (int step = 0; step < golden.Steps; step++)
        {
            golden.Stream.AsSpan(step * cells, cells).CopyTo(new Span<int>(batch.Tokens, cells));
            golden.Stream.AsSpan(step * cells + golden.Rows, cells).CopyTo(new Span<int>(batch.TargetTokens, cells));
            var slice = new TrainingSlice(new MergeProgram(new ShardRange(0, Shards), Shards), [0, 2, 4, 6], 0, step, golden.Time, ResetState: step == 0);
            executor.LoadParameters(parameters.Pointer);
            executor.Train(batch, slice, state.Pointer, state.Pointer, gradients, sums);
            ShardSums.Join(sums.Sums, sums.SumWidth, loss);
            ShardSums.Join(sums.Counts, sums.CountWidth, counts);
            GradientPreparation.Run(length, gradient.Pointer, parameters.Pointer, counts[0]);
            double norm = Math.Sqrt(Sums.SquareSum(length, gradient.Pointer));
            float scale = norm + 1e-6 > clipNorm ? (float)(clipNorm / (norm + 1e-6)) : 1f;
            Adam.Run(length, parameters.Pointer, gradient.Pointer, first.Pointer, second.Pointer, decoupled: false, scale, golden.LearningRate, 0.9, 0.999, 1e-8f, 0.0, step + 1);
            steps.Add((loss[0] / counts[0], norm));
        }

        return steps;
    }

    private static void Close(double expected, double actual, string what) =>
        Assert.True(Math.Abs(expected - actual) <= 1e-4 * Math.Abs(expected), $"{what}: expected {expected:G9}, found {actual:G9}");
}
