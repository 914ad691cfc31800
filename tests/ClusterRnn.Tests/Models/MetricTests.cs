using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Metrics against counts and means worked out by hand.</summary>
public sealed unsafe class MetricTests
{
    [Fact]
    public void ClassesAreCounted()
    {
        var metrics = (MetricKind[])[MetricKind.Accuracy, MetricKind.Precision, MetricKind.Recall, MetricKind.F1, MetricKind.Perplexity, MetricKind.BitsPerCharacter];
        Model model = Model.Build(new ModelConfig { Layers = [new DenseConfig()], Loss = LossKind.CrossEntropy, Metrics = metrics }, InputKind.Features, 3, 4);
        using var harness = new ModelHarness(model, 1, 1, 6);
        harness.Tensor("dense.weight").Clear();
        harness.Tensor("dense.bias").Clear();
        for (int i = 0; i < 3; i++)
        {
            harness.Tensor("dense.weight")[i * 3 + i] = 1f; // logit i = feature i; class 3 has logit 0
        }

        // predicted 0 0 1 2 (tie of all: 0) none; actual 0 1 1 2 2, the last without target
        float[] features = [5, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0, 9, 9, 9];
        int[] targets = [0, 1, 1, 2, 2, -1];
        features.CopyTo(new Span<float>(harness.Batch.Features, 18));
        targets.CopyTo(new Span<int>(harness.Batch.TargetTokens, 6));
        new Span<int>(harness.Batch.Lengths, 6).Fill(1);
        StepResult step = harness.Train();
        Dictionary<string, double> values = model.Metrics.Finish(step.Sums.Sums, step.Sums.Counts).ToDictionary(v => v.Name, v => v.Value);
        double sharp = Math.Log(1 + 3 * Math.Exp(-5)), loss = (3 * sharp + (sharp + 5) + Math.Log(4)) / 5;
        Assert.Equal(5, step.Count);
        Assert.Equal(loss, values["loss"], 6);
        Assert.Equal(3.0 / 5, values["accuracy"], 12);
        Assert.Equal((1.0 / 3 + 1 + 1) / 3, values["precision"], 12); // class 0: 1 of 3; 1: 1 of 1; 2: 1 of 1; class 3 does not occur
        Assert.Equal((1 + 0.5 + 0.5) / 3, values["recall"], 12);
        Assert.Equal((2.0 / 4 + 2.0 / 3 + 2.0 / 3) / 3, values["f1"], 12);
        Assert.Equal(Math.Exp(loss), values["perplexity"], 5);
        Assert.Equal(loss / Math.Log(2), values["bitsPerCharacter"], 6);
    }

    [Fact]
    public void BinaryOutputsAreCountedEach()
    {
        Model model = Model.Build(new ModelConfig { Layers = [new DenseConfig { Activation = ActivationKind.Sigmoid }], Loss = LossKind.BinaryCrossEntropy, Metrics = [MetricKind.Accuracy, MetricKind.Precision, MetricKind.Recall, MetricKind.F1] }, InputKind.Features, 1, 1);
        using var harness = new ModelHarness(model, 1, 1, 5);
        harness.Tensor("dense.weight")[0] = 1f;
        harness.Tensor("dense.bias")[0] = 0f;
        ((float[])[2, -2, 3, -1, 0]).CopyTo(new Span<float>(harness.Batch.Features, 5));
        ((float[])[1, 0, 0, 1, 0]).CopyTo(new Span<float>(harness.Batch.TargetValues, 5));
        new Span<int>(harness.Batch.Lengths, 5).Fill(1);
        StepResult step = harness.Train();
        Dictionary<string, double> values = model.Metrics.Finish(step.Sums.Sums, step.Sums.Counts).ToDictionary(v => v.Name, v => v.Value);
        double loss = ((float[])[-2, -2, 3, 1, 0]).Average(x => Math.Log(1 + Math.Exp(x)));
        Assert.Equal(loss, values["loss"], 6);
        Assert.Equal(0.6, values["accuracy"], 12);
        Assert.Equal(0.5, values["precision"], 12);
        Assert.Equal(0.5, values["recall"], 12);
        Assert.Equal(0.5, values["f1"], 12);
        Assert.Equal(1 / (1 + Math.Exp(-2)), harness.Predict()[0], 6);
        Assert.Equal(2f, harness.Predict(logits: true)[0]);
    }

    [Fact]
    public void ErrorsAreMeans()
    {
        Model model = Model.Build(new ModelConfig { Layers = [new DenseConfig()] }, InputKind.Features, 2, 2);
        using var harness = new ModelHarness(model, 1, 1, 2);
        float[] identity = [1, 0, 0, 1];
        identity.CopyTo(harness.Tensor("dense.weight"));
        harness.Tensor("dense.bias").Clear();
        ((float[])[1, 2, 3, 4]).CopyTo(new Span<float>(harness.Batch.Features, 4));
        ((float[])[1, 0, 6, 3]).CopyTo(new Span<float>(harness.Batch.TargetValues, 4));
        new Span<int>(harness.Batch.Lengths, 2).Fill(1);
        StepResult step = harness.Train();
        Dictionary<string, double> values = model.Metrics.Finish(step.Sums.Sums, step.Sums.Counts).ToDictionary(v => v.Name, v => v.Value);
        Assert.Equal(4, step.Count);
        Assert.Equal((0 + 4 + 9 + 1) / 4.0, values["loss"], 12);
        Assert.Equal(6 / 4.0, values["meanAbsoluteError"], 12);
        Assert.Equal(Math.Sqrt(14 / 4.0), values["rootMeanSquaredError"], 12);
    }

    [Fact]
    public void NoTargetsIsNotANumber()
    {
        using ModelHarness harness = TestModels.Harness("embedding-lstm-dense", 2, 2).Fill(1, 0);
        StepResult step = harness.Train();
        Assert.Equal(0, step.Count);
        Assert.All(step.Gradient, g => Assert.Equal(0, BitConverter.SingleToInt32Bits(g)));
        Assert.All(harness.Model.Metrics.Finish(step.Sums.Sums, step.Sums.Counts), value => Assert.Equal(double.NaN, value.Value));
    }

    [Fact]
    public void SumsJoinAlongTheTree()
    {
        double[] perShard = [1e16, 1, -1e16, 1, 3, 7];
        Span<double> joined = stackalloc double[1];
        ShardSums.Join(perShard, 1, joined);
        Assert.Equal(((1e16 + 1) + (-1e16 + 1)) + (3.0 + 7.0), joined[0]);
        Assert.NotEqual(perShard.Sum(), joined[0]);
        Span<double> pairs = stackalloc double[2];
        ShardSums.Join(perShard, 2, pairs);
        Assert.Equal((1e16 + -1e16) + 3, pairs[0]);
        Assert.Equal((1.0 + 1) + 7, pairs[1]);
        Span<long> counts = stackalloc long[2];
        ShardSums.Join((long[])[1, 10, 2, 20, 3, 30], 2, counts);
        Assert.Equal([6, 60], counts.ToArray());
    }
}
