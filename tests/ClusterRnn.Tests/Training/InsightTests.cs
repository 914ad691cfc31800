using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Tests.Models;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

/// <summary>What is seen of a model: against differences of the loss, and against a network whose gradients are known.</summary>
public sealed unsafe class InsightTests
{
    private const int Time = 9;
    private const int SourceTime = 5; // of a pair's window of six
    private const int Targets = 3;

    [Theory]
    [InlineData("rnn")]
    [InlineData("lstm")]
    [InlineData("gru")]
    [InlineData("transformer")]
    [InlineData("bidirectional")]
    public void ValueGradientsAreTheLosssSlopes(string kind)
    {
        LayerConfig[] layers = kind switch
        {
            "rnn" => [new RnnConfig { Units = 7, Layers = 2, Dropout = 0.3 }],
            "lstm" => [new LstmConfig { Units = 7, RecurrentDropout = 0.2 }, new DropoutConfig { Rate = 0.4 }],
            "gru" => [new GruConfig { Units = 7, ReturnSequences = false }],
            "transformer" => [new DenseConfig { Units = 8 }, new TransformerConfig { Layers = 2, Heads = 2, Units = 12, Dropout = 0.1 }],
            _ => [new LstmConfig { Units = 7, Bidirectional = true }],
        };
        Model model = Model.Build(new ModelConfig { Layers = [.. layers, new DenseConfig()], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, 2);
        using TrainedModel trained = Draw(model);
        using var glass = new GlassModel(trained);
        using SpanBatch row = Row(3, 2);
        ModelView view = glass.Look(row);
        Assert.Equal(new ReadOnlySpan<float>(row.Features, Time * 3).ToArray(), view.Values);
        float[] features = view.Values;
        for (int i = 0; i < features.Length; i += 4)
        {
            const float Step = 1f / 64;
            double up = LossWith(i, Step), down = LossWith(i, -Step);
            Assert.Equal((up - down) / (2 * Step), view.ValueGradients[i], 2e-2 * Math.Max(0.05, Math.Abs(view.ValueGradients[i])));
        }

        double LossWith(int index, float step)
        {
            float before = row.Features[index];
            row.Features[index] += step;
            float[] outputs = glass.Predict(row);
            row.Features[index] = before;
            double loss = 0;
            for (int i = 0; i < outputs.Length; i++)
            {
                loss += ((double)outputs[i] - row.TargetValues[i]) * ((double)outputs[i] - row.TargetValues[i]);
            }

            return loss;
        }
    }

    [Theory]
    [InlineData(0.5f)]
    [InlineData(1.25f)]
    public void AGradientVanishesOrExplodesAsTheRecurrentWeightSays(float weight)
    {
        Model model = Model.Build(
            new ModelConfig { Layers = [new RnnConfig { Units = 4, Activation = RecurrentActivation.Identity }, new DenseConfig()], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, 2);
        float[] parameters = Parameters(model);
        ParameterTensor recurrent = model.Layout["rnn.weight_hh_l0"];
        for (int i = 0; i < 16; i++)
        {
            parameters[recurrent.Offset + i] = i % 5 == 0 ? weight : 0;
        }

        using var trained = new TrainedModel(model, parameters);
        using var glass = new GlassModel(trained);
        using SpanBatch row = Row(3, 2);
        LayerGradients layer = Assert.Single(glass.Look(row).Gradients);
        Assert.Equal("rnn", model.LayerNames[layer.Layer]);
        for (int time = 1; time < Time; time++)
        {
            Assert.Equal(weight, layer.Norms[time - 1] / layer.Norms[time], 1e-5);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AttentionSumsToOneOverWhatIsSeen(bool causal)
    {
        Model model = Model.Build(
            new ModelConfig { Layers = [new EmbeddingConfig { Units = 8 }, new PositionsConfig(), new TransformerConfig { Layers = 2, Heads = 2, Causal = causal }, new DenseConfig()] }, InputKind.Tokens, 5, 5);
        using TrainedModel trained = Draw(model);
        using var glass = new GlassModel(trained);
        using var row = new SpanBatch(Time, 1, 0, 0) { Time = Time, TargetTime = Time, Rows = 1 };
        row.Lengths[0] = Time;
        for (int time = 0; time < Time; time++)
        {
            row.Tokens[time] = time % 5;
            row.TargetTokens[time] = time == Time - 1 ? 2 : -1;
        }

        ModelView view = glass.Look(row);
        Assert.Equal([("transformer.layers.0", 0), ("transformer.layers.0", 1), ("transformer.layers.1", 0), ("transformer.layers.1", 1)], view.Attention.Select(map => (map.Layer, map.Head)));
        foreach (AttentionMap map in view.Attention)
        {
            for (int query = 0; query < Time; query++)
            {
                Assert.Equal(1.0, map.Weights.Skip(query * Time).Take(Time).Sum(weight => (double)weight), 1e-5);
                Assert.Equal(causal ? query + 1 : Time, map.Weights.Skip(query * Time).Take(Time).Count(weight => weight > 0));
            }
        }

        Assert.Equal(2, view.Gradients.Count);
        Assert.All(view.Gradients, layer => Assert.True(layer.Norms[0] > 0));
    }

    /// <summary>Of a pair the source's slopes, over a source that ends before the window.</summary>
    [Fact]
    public void ValueGradientsOfASourceAreTheLosssSlopes()
    {
        using ModelHarness harness = Pair("pair-rnn-additive");
        using TrainedModel trained = new(harness.Model, harness.Parameters.ToArray());
        using var glass = new GlassModel(trained);
        ModelView view = glass.Look(harness.Batch);
        for (int i = 0; i < SourceTime * 3; i++)
        {
            const float Step = 1f / 64;
            double slope = (LossWith(i, Step) - LossWith(i, -Step)) / (2 * Step);
            Assert.Equal(slope, view.ValueGradients[i], 2e-2 * Math.Max(0.05, Math.Abs(slope)));
            Assert.Equal(harness.Batch.Features[i], view.Values[i]);
        }

        Assert.Contains(view.ValueGradients.Take(SourceTime * 3), slope => Math.Abs(slope) > 0.01);
        Assert.All(view.ValueGradients.Skip(SourceTime * 3), slope => Assert.Equal(0f, slope));

        double LossWith(int index, float step)
        {
            float before = harness.Batch.Features[index];
            harness.Batch.Features[index] += step;
            double loss = harness.Loss();
            harness.Batch.Features[index] = before;
            return loss;
        }
    }

    /// <summary>The last target's loss is that of all targets less that of those before it, and so are the gradients.</summary>
    [Theory]
    [InlineData("pair-gru-dot")]
    [InlineData("pair-transformer-post")]
    public void TheLastTargetAloneIsWhatItAddsToTheLoss(string name)
    {
        using ModelHarness harness = Pair(name);
        using TrainedModel trained = new(harness.Model, harness.Parameters.ToArray());
        using var glass = new GlassModel(trained);
        ModelView all = glass.Look(harness.Batch), last = glass.Look(harness.Batch, lastTargetAlone: true);
        harness.Batch.TargetTokens[Targets - 1] = -1;
        ModelView before = glass.Look(harness.Batch);
        for (int i = 0; i < SourceTime * all.Width; i++)
        {
            Assert.Equal(all.ValueGradients[i] - before.ValueGradients[i], last.ValueGradients[i], 1e-5);
        }

        Assert.Contains(last.ValueGradients, slope => Math.Abs(slope) > 1e-3);
        Assert.All(last.Gradients, layer => Assert.Equal(layer.Side == SequenceSide.Source ? SourceTime : Targets, layer.Norms.Length));
        Assert.Contains(last.Gradients, layer => layer.Side == SequenceSide.Source);
        Assert.Contains(last.Gradients, layer => layer.Side == SequenceSide.Target && layer.Norms[^1] > 0);
    }

    /// <summary>Each token that is written attends to the source whole; what is seen of an encoder is its source, of a decoder what is written so far.</summary>
    [Theory]
    [InlineData("pair-gru-dot", 1)]
    [InlineData("pair-lstm-general", 1)]
    [InlineData("pair-rnn-additive", 1)]
    [InlineData("pair-transformer-pre", 4)]
    public void AttentionToASourceSumsToOne(string name, int across)
    {
        using ModelHarness harness = Pair(name);
        using TrainedModel trained = new(harness.Model, harness.Parameters.ToArray());
        using var glass = new GlassModel(trained);
        IReadOnlyList<AttentionMap> maps = glass.Look(harness.Batch).Attention;
        Assert.Equal(across, maps.Count(map => (map.QuerySide, map.KeySide) == (SequenceSide.Target, SequenceSide.Source)));
        foreach (AttentionMap map in maps)
        {
            Assert.Equal(map.QuerySide == SequenceSide.Source ? SourceTime : Targets, map.Queries);
            Assert.Equal(map.KeySide == SequenceSide.Source ? SourceTime : Targets, map.Keys);
            for (int query = 0; query < map.Queries; query++)
            {
                float[] row = map.Weights[(query * map.Keys)..((query + 1) * map.Keys)];
                Assert.Equal(1.0, row.Sum(weight => (double)weight), 1e-5);
                Assert.Equal(map.QuerySide == SequenceSide.Target && map.KeySide == SequenceSide.Target ? query + 1 : map.Keys, row.Count(weight => weight > 0));
            }
        }

        // What is attended to depends on what is read.
        float[] first = maps.First(map => map.QuerySide != map.KeySide).Weights;
        if (harness.Batch.Tokens is null)
        {
            harness.Batch.Features[0] += 1;
        }
        else
        {
            harness.Batch.Tokens[0] = (harness.Batch.Tokens[0] + 1) % 11;
        }

        Assert.NotEqual(first, glass.Look(harness.Batch).Attention.First(map => map.QuerySide != map.KeySide).Weights);
    }

    [Fact]
    public void PartsOfALinearModelSumToItsPrediction()
    {
        Model model = Model.Build(
            new ModelConfig { Layers = [new RnnConfig { Units = 4, Activation = RecurrentActivation.Identity, BiasInitializer = InitializerKind.Zeros }, new DenseConfig { BiasInitializer = InitializerKind.Zeros }], Loss = LossKind.MeanSquaredError },
            InputKind.Features,
            3,
            1);
        using TrainedModel trained = Draw(model);
        using SpanBatch row = Row(3, 1);
        float predicted = 0;
        Explanation explanation = Explanation.Of(trained, row, [.. Enumerable.Range(0, Time).Select(time => $"{time}")], outputs => $"{predicted = outputs[0]}");
        double sum = 0;
        foreach (double part in explanation.Parts)
        {
            sum += part;
        }

        Assert.Equal(predicted, sum, 1e-4);
        Assert.True(Math.Abs(predicted) > 0.01);
    }

    // One pair, its source shorter than the window.
    private static ModelHarness Pair(string name) => new ModelHarness(TestModels.Pairs[name](), 6, 4, 1).Fill(7, SourceTime);

    private static TrainedModel Draw(Model model) => new(model, Parameters(model));

    private static float[] Parameters(Model model)
    {
        var parameters = new float[model.Layout.Length];
        model.Initialize(3, parameters);
        return parameters;
    }

    private static SpanBatch Row(int features, int targets)
    {
        var row = new SpanBatch(Time, 1, features, targets) { Time = Time, TargetTime = 1, Rows = 1 };
        row.Lengths[0] = Time;
        for (int i = 0; i < Time * features; i++)
        {
            row.Features[i] = ((i * 37) % 19 / 9f) - 1;
        }

        for (int i = 0; i < targets; i++)
        {
            row.TargetValues[i] = 0.3f + i;
        }

        return row;
    }
}
