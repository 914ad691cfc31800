using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Tests.Training;

/// <summary>Small layouts and exact pseudo-random values for the tests of this room.</summary>
internal static unsafe class TrainingFixtures
{
    /// <summary>Dense layers of these widths: weight and bias each.</summary>
    public static ParameterLayout Layout(int inputWidth, params int[] units) =>
        Model.Build(
            new ModelConfig { Layers = [.. units.Select(u => new DenseConfig { Units = u })], Loss = LossKind.MeanSquaredError },
            InputKind.Features,
            inputWidth,
            units[^1]).Layout;

    /// <summary>Settings with an optimizer and nothing else.</summary>
    public static TrainingSettings Settings(OptimizerConfig? optimizer = null) => new()
    {
        Optimizer = optimizer ?? new AdamConfig(),
        BatchRows = 16,
        StepsPerPass = 10,
    };

    /// <summary>Fills a vector with values in [-1, 1) keyed by a number.</summary>
    public static void Fill(float* values, long count, ulong key)
    {
        var random = new RandomKey(key, RandomPurpose.Sample, 0, 0);
        for (int i = 0; i < count; i++)
        {
            values[i] = 2 * random.Uniform(0, 0, i) - 1;
        }
    }

    /// <summary>Fills the tensors of a flat vector and leaves the padding zero.</summary>
    public static void FillTensors(ParameterLayout layout, float* values, ulong key)
    {
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            Fill(values + tensor.Offset, tensor.Count, key * 1000 + (ulong)tensor.FirstBlock);
        }
    }

    /// <summary>A folder of its own for a test, removed with it.</summary>
    public sealed class Folder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("clusterrnn-test-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
