using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>
/// Every tensor's gradient against differences of the loss, along random directions and along the gradient itself. The
/// loss is a float computation summed in double, so a difference over a step h is off by the loss's noise / h, beside the
/// error of a fourth-order formula; a relu's kinks need smaller steps, and so do normalised gates, which moreover bend
/// sharply at an initial state of zero: theirs are drawn.
/// </summary>
public sealed class FiniteDifferenceTests
{
    private const double Tolerance = 1e-3;
    private const double LossNoise = 1e-6;

    public static TheoryData<string> Names => [.. TestModels.Everything.Keys.Where(name => !name.Contains("dropout") && name is not ("dense-relu-softmax" or "projected-lstm")), "plain-relu-softmax"];

    [Theory, MemberData(nameof(Names))]
    public void GradientsAgree(string name)
    {
        using ModelHarness harness = name == "plain-relu-softmax" ? PlainReluSoftmax() : TestModels.Harness(name, time: 4, rows: 3);
        harness.Fill(7, 4, 3, 4);
        harness.ResetState = harness.Model.Layout.Tensors.Any(tensor => tensor.Name.Contains("initial"));
        foreach (ParameterTensor tensor in harness.Model.Layout.Tensors.Where(tensor => name.Contains("normalized") && tensor.Name.Contains("initial")))
        {
            Span<float> values = harness.Tensor(tensor.Name);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (float)Direction(values.Length, 9)[i];
            }
        }

        float[] gradient = harness.Train().Gradient;
        using var executor = new ModelExecutor(harness.Model, 4, harness.Batch.TargetTime, 3, training: false);
        foreach (ParameterTensor tensor in harness.Model.Layout.Tensors)
        {
            double[] expected = [.. gradient.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray().Select(g => (double)g)];
            double norm = Math.Sqrt(expected.Sum(g => g * g));
            Assert.True(norm > 1e-4, $"{tensor.Name} has no gradient to speak of ({norm})");
            for (int direction = 0; direction < 4; direction++)
            {
                double[] along = direction == 0 ? [.. expected.Select(g => g / norm)] : Direction(expected.Length, direction);
                double h = name.Contains("normalized") ? 0.0015 : name.Contains("relu") || name.Contains("pooling") ? 0.003 : 0.02, derivative = Derivative(harness, executor, tensor, along, h);
                double analytic = along.Zip(expected, (d, g) => d * g).Sum();
                Assert.True(Math.Abs(derivative - analytic) <= Tolerance * norm + LossNoise / h, $"{name}, {tensor.Name}, direction {direction}: differences give {derivative}, backward {analytic} (norm {norm})");
            }
        }
    }

    /// <summary>The same check finds a gradient wrong in one element by 5 %.</summary>
    [Fact]
    public void NoticesAWrongGradient()
    {
        using ModelHarness harness = TestModels.Harness("embedding-lstm-dense", 4, 3).Fill(7);
        ParameterTensor tensor = harness.Model.Layout["lstm.weight_hh_l0"];
        float[] gradient = harness.Train().Gradient.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray();
        int largest = Array.IndexOf(gradient, gradient.MaxBy(MathF.Abs));
        double[] along = new double[gradient.Length];
        along[largest] = 1;
        using var executor = new ModelExecutor(harness.Model, 4, 4, 3, training: false);
        double norm = Math.Sqrt(gradient.Sum(g => (double)g * g)), derivative = Derivative(harness, executor, tensor, along, 0.02);
        Assert.True(Math.Abs(derivative - gradient[largest]) <= Tolerance * norm);
        Assert.False(Math.Abs(derivative - 1.05 * gradient[largest]) <= Tolerance * norm);
    }

    private static ModelHarness PlainReluSoftmax()
    {
        Model model = TestModels.Values(LossKind.MeanSquaredError, new DenseConfig { Units = 7, Activation = ActivationKind.Relu }, new GruConfig { Units = 5 }, new DenseConfig { Units = 4, Activation = ActivationKind.Softmax }, new DenseConfig());
        return new ModelHarness(model, 4, 4, 3);
    }

    private static double[] Direction(int count, int number)
    {
        var key = new RandomKey(3, RandomPurpose.Generate, (uint)number, 0);
        double[] direction = [.. Enumerable.Range(0, count).Select(i => key.NormalDeviateDouble(0, 0, i))];
        double norm = Math.Sqrt(direction.Sum(d => d * d));
        return [.. direction.Select(d => d / norm)];
    }

    // (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12 h
    private static double Derivative(ModelHarness harness, ModelExecutor executor, ParameterTensor tensor, double[] along, double h)
    {
        float[] start = harness.Tensor(tensor.Name).ToArray();
        double At(double distance)
        {
            Span<float> values = harness.Tensor(tensor.Name);
            for (int i = 0; i < start.Length; i++)
            {
                values[i] = (float)(start[i] + distance * along[i]);
            }

            return harness.Loss(executor);
        }

        double derivative = (8 * (At(h) - At(-h)) - (At(2 * h) - At(-2 * h))) / (12 * h);
        start.CopyTo(harness.Tensor(tensor.Name));
        return derivative;
    }
}
