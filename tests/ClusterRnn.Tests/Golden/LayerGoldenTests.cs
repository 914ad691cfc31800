using ClusterRnn.Models;
using ClusterRnn.Tests.Models;

namespace ClusterRnn.Tests.Golden;

/// <summary>Outputs, states, losses and every named gradient against PyTorch 1.13 (make_golden.py), to 1e-4 relative.</summary>
/// <remarks>
/// Models of an encoder and a decoder are twice as deep, and the gradients of normalised gates sum to nothing: there values below
/// a hundredth of a tensor's largest have that one's rounding.
/// </remarks>
public sealed class LayerGoldenTests
{
    private const double Tolerance = 1e-4;

    public static TheoryData<string, long> Cases
    {
        get
        {
            var cases = new TheoryData<string, long>();
            foreach ((string name, GoldenCase golden) in GoldenFiles.Layers)
            {
                cases.Add(name, 0);
                if (golden.Tokens is not null)
                {
                    cases.Add(name, golden.Vocabulary); // tokens through the table
                }
            }

            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void AgreesWithPyTorch(string name, long positionsPerShard)
    {
        GoldenCase golden = GoldenFiles.Layers[name];
        using ModelHarness harness = Load(golden, positionsPerShard);
        Close(golden.Outputs, Valid(golden, harness.Predict()), "outputs");

        StepResult step = harness.Train();
        Assert.InRange(step.Loss / step.Count, golden.Loss - Tolerance * golden.Loss, golden.Loss + Tolerance * golden.Loss);
        if (golden.Model.Decoder is null)
        {
            Close(golden.StateOut, harness.StateOut, "state");
        }

        Assert.Equal(golden.Gradients.Keys.Order(), harness.Model.Layout.Tensors.Select(tensor => tensor.Name).Order());
        foreach ((string tensorName, GoldenTensor expected) in golden.Gradients)
        {
            ParameterTensor tensor = harness.Model.Layout[tensorName];
            Assert.Equal(expected.Shape, tensor.Shape.ToArray().Select(d => (int)d));
            double[] actual = [.. step.Gradient.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray().Select(g => (double)g / step.Count)];
            Close(expected.Values, actual, tensorName, golden.Model.Decoder is null && !golden.Model.Layers.Any(layer => layer is RecurrentConfig { LayerNorm: true }) ? 1e-3 : 1e-2);
        }
    }

    /// <summary>The comparison itself notices one wrong value in a gradient.</summary>
    [Fact]
    public void NoticesAWrongValue()
    {
        GoldenCase golden = GoldenFiles.Layers["lstm"];
        double[] wrong = [.. golden.Gradients["lstm.weight_hh_l0"].Values];
        wrong[17] += 0.001;
        Assert.ThrowsAny<Exception>(() => Close(golden.Gradients["lstm.weight_hh_l0"].Values, wrong, "control"));
    }

    private static unsafe ModelHarness Load(GoldenCase golden, long positionsPerShard)
    {
        bool tokens = golden.Tokens is not null;
        Model model = Model.Build(golden.Model, tokens ? InputKind.Tokens : InputKind.Features, tokens ? golden.Vocabulary : golden.FeatureWidth, golden.OutputWidth, positionsPerShard);
        var harness = new ModelHarness(model, golden.Time, golden.TargetTime, golden.Rows) { ResetState = golden.Reset };
        foreach ((string name, GoldenTensor tensor) in golden.Parameters)
        {
            Copy(tensor.Values, harness.Tensor(name));
        }

        golden.Lengths.CopyTo(new Span<int>(harness.Batch.Lengths, golden.Rows));
        golden.Tokens?.CopyTo(new Span<int>(harness.Batch.Tokens, golden.Tokens.Length));
        golden.TargetTokens?.CopyTo(new Span<int>(harness.Batch.TargetTokens, golden.TargetTokens.Length));
        if (golden.Features is not null)
        {
            Copy(golden.Features, new Span<float>(harness.Batch.Features, golden.Features.Length));
        }

        if (golden.TargetValues is not null)
        {
            Copy(golden.TargetValues, new Span<float>(harness.Batch.TargetValues, golden.TargetValues.Length));
        }

        if (golden.Model.Decoder is null)
        {
            Copy(golden.StateIn, harness.StateIn); // a decoder starts from its encoder
        }

        return harness;
    }

    /// <summary>What rows hold after their end is nobody's business: there PyTorch's own values are taken.</summary>
    private static float[] Valid(GoldenCase golden, float[] outputs)
    {
        int width = outputs.Length / (golden.TargetTime * golden.Rows);
        for (int i = 0; i < outputs.Length; i++)
        {
            int position = i / width, time = position / golden.Rows, row = position % golden.Rows;
            if (golden.Model.Decoder is not null ? golden.TargetTokens![position] < 0 : golden.TargetTime > 1 && time + golden.Time - golden.TargetTime >= golden.Lengths[row])
            {
                outputs[i] = (float)golden.Outputs[i];
            }
        }

        return outputs;
    }

    private static void Copy(double[] from, Span<float> into)
    {
        Assert.Equal(from.Length, into.Length);
        for (int i = 0; i < from.Length; i++)
        {
            into[i] = (float)from[i];
        }
    }

    /// <summary>Relative to each value, but at least to a part of the tensor's largest.</summary>
    private static void Close(double[] expected, float[] actual, string what) => Close(expected, [.. actual.Select(value => (double)value)], what);

    private static void Close(double[] expected, double[] actual, string what, double leastPart = 1e-3)
    {
        Assert.Equal(expected.Length, actual.Length);
        double floor = expected.Length == 0 ? 0.0 : expected.Max(Math.Abs) * leastPart;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(expected[i] - actual[i]);
            Assert.True(error <= Tolerance * Math.Max(Math.Abs(expected[i]), floor) + 1e-12, $"{what}[{i}]: expected {expected[i]:G9}, found {actual[i]:G9}");
        }
    }
}
