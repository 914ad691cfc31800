using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Reading tokens through the projected table: forward the bits of the product over all cells, backward its values.</summary>
public sealed class TokenProjectionTests
{
    public static TheoryData<string> Cells => ["lstm", "gru", "gru-before", "rnn", "lstm-both", "gru-both"];

    [Theory, MemberData(nameof(Cells))]
    public void ForwardIsTheProductsBitForBit(string cell)
    {
        for (int time = 1; time <= 7; time += 3)
        {
            using ModelHarness product = Harness(cell, 0, time).Fill(21, time, (time + 1) / 2);
            using ModelHarness table = Harness(cell, 11, time).Fill(21, time, (time + 1) / 2);
            Assert.Equal(product.Model.Layout.Sha256(product.Parameters), table.Model.Layout.Sha256(table.Parameters));
            Assert.Equal(StepResult.Hash(product.Predict()), StepResult.Hash(table.Predict()));
            Assert.Equal(StepResult.Hash(product.StateOut), StepResult.Hash(table.StateOut));
            StepResult expected = product.Train(), actual = table.Train();
            Assert.Equal(expected.Sums.Sums, actual.Sums.Sums);
            Assert.Equal(StepResult.Hash(expected.StateOut), StepResult.Hash(actual.StateOut));

            // The tensors above the projection see the same gradients, those below the same sums in another order.
            foreach (ParameterTensor tensor in product.Model.Layout.Tensors)
            {
                float[] one = Of(expected, tensor), other = Of(actual, tensor);
                if (tensor.Name != "embedding.weight" && !tensor.Name.Contains(".weight_ih_l0", StringComparison.Ordinal))
                {
                    Assert.Equal(StepResult.Hash(one), StepResult.Hash(other));
                    continue;
                }

                float floor = one.Max(MathF.Abs);
                Assert.All(one.Zip(other), pair => Assert.InRange(pair.Second - pair.First, -2e-6f * floor, 2e-6f * floor));
            }
        }
    }

    /// <summary>The way is chosen by the vocabulary against the positions of a shard, both from the configuration.</summary>
    [Fact]
    public void ChosenByTheConfiguration()
    {
        Assert.NotEqual(Gradient(10), Gradient(11));
        Assert.Equal(Gradient(11), Gradient(1000));
        Assert.Equal(Gradient(10), Gradient(0));

        static string Gradient(long positionsPerShard)
        {
            using ModelHarness harness = Harness("lstm", positionsPerShard, 9).Fill(22);
            return StepResult.Hash(harness.Train().Gradient);
        }
    }

    private static float[] Of(StepResult step, ParameterTensor tensor) => step.Gradient.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray();

    private static ModelHarness Harness(string cell, long positionsPerShard, int time)
    {
        LayerConfig recurrent = cell switch
        {
            "lstm" => new LstmConfig { Units = 9 },
            "gru" => new GruConfig { Units = 9 },
            "lstm-both" => new LstmConfig { Units = 9, Bidirectional = true },
            "gru-both" => new GruConfig { Units = 9, Bidirectional = true, LearnedInitialState = true },
            "gru-before" => new GruConfig { Units = 9, ResetGate = GruResetGate.Before },
            _ => new RnnConfig { Units = 9 },
        };
        Model model = Model.Build(new ModelConfig { Layers = [new EmbeddingConfig { Units = 6 }, recurrent, new DenseConfig()] }, InputKind.Tokens, 11, 11, positionsPerShard);
        return new ModelHarness(model, time, time, rows: 5);
    }
}
