// Bidirectional, residual, learned initial states, peepholes, variational dropout, tied weights: what each means, told in other
// words than the layers' own, and what can't be built. Gradients, padding, groupings and segments are tested with all models.
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

public sealed unsafe class RecurrentOptionsTests
{
    public static TheoryData<string> WithoutLearnedStates =>
        [.. TestModels.All.Where(model => model.Value() is { StateWidth: > 0 } built && !built.Layout.Tensors.Any(tensor => tensor.Name.Contains(".initial_", StringComparison.Ordinal))).Select(model => model.Key)];

    /// <summary>The reverse direction of a row is the forward one of the row turned round, each row at its own end.</summary>
    [Fact]
    public void TheReverseDirectionReadsEachRowFromItsEnd()
    {
        const int time = 6, rows = 4, units = 5;
        var recurrent = new LstmConfig { Units = units, Peepholes = true };
        using var both = new ModelHarness(Build(recurrent with { Bidirectional = true }, 2 * units), time, time, rows);
        using var one = new ModelHarness(Build(recurrent, units), time, time, rows);
        both.Fill(3, 4, 6, 0, 1);
        one.Fill(3, 4, 6, 0, 1);
        foreach (ParameterTensor tensor in one.Model.Layout.Tensors)
        {
            both.Tensor(tensor.Name + "_reverse").CopyTo(one.Tensor(tensor.Name));
        }

        for (int row = 0; row < rows; row++)
        {
            int length = one.Batch.Lengths[row];
            for (int t = 0; t < length; t++)
            {
                for (int i = 0; i < 3; i++)
                {
                    one.Batch.Features[((t * rows) + row) * 3 + i] = both.Batch.Features[(((length - 1 - t) * rows) + row) * 3 + i];
                }
            }
        }

        one.ResetState = true;
        float[] outputs = both.Predict(), turned = one.Predict();
        for (int row = 0; row < rows; row++)
        {
            int length = one.Batch.Lengths[row];
            for (int t = 0; t < length; t++)
            {
                for (int unit = 0; unit < units; unit++)
                {
                    Assert.Equal(turned[(((length - 1 - t) * rows) + row) * units + unit], outputs[((t * rows) + row) * 2 * units + units + unit]);
                }
            }
        }

        static Model Build(LayerConfig layer, int outputs) =>
            Model.Build(new ModelConfig { Layers = [layer], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, outputs);
    }

    /// <summary>Rows that start from nothing have the bits of rows that start from zeros, although their first recurrent product is left out.</summary>
    [Theory, MemberData(nameof(WithoutLearnedStates))]
    public void NoStateIsAStateOfZeros(string name)
    {
        foreach (int time in new[] { 1, 9 })
        {
            using ModelHarness harness = TestModels.Harness(name, time, 5).Fill(24, time, (time + 1) / 2, time);
            string carried = Hashes();
            harness.StateIn.AsSpan().Clear();
            string zeros = Hashes();
            harness.ResetState = true;
            Assert.Equal(zeros, Hashes());
            Assert.NotEqual(carried, zeros);

            string Hashes()
            {
                StepResult step = harness.Train();
                return string.Join(' ', StepResult.Hash(step.Gradient), StepResult.Hash(step.StateOut), StepResult.Hash(harness.Predict()), step.Loss);
            }
        }
    }

    /// <summary>A bidirectional layer carries nothing: windows are whole sequences.</summary>
    [Fact]
    public void ABidirectionalLayerHasNoCarriedState()
    {
        Assert.Equal(0, TestModels.Everything["bidirectional-lstm"]().StateWidth);
        Assert.True(TestModels.Everything["bidirectional-lstm"]().ReadsAhead);
        Assert.False(TestModels.Everything["learned-states"]().ReadsAhead);
    }

    [Fact]
    public void AResidualLayerAddsItsInput()
    {
        using ModelHarness with = Harness(new GruConfig { Units = 3, Residual = true }), without = Harness(new GruConfig { Units = 3 });
        float[] added = with.Predict(), bare = without.Predict();
        for (int cell = 0; cell < 4 * 2; cell++)
        {
            for (int i = 0; i < 3; i++)
            {
                Assert.Equal(bare[(cell * 3) + i] + with.Batch.Features[(cell * 3) + i], added[(cell * 3) + i]);
            }
        }

        static ModelHarness Harness(LayerConfig layer) =>
            new ModelHarness(Model.Build(new ModelConfig { Layers = [layer], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, 3), 4, 4, 2).Fill(9);
    }

    /// <summary>Rows that start anew start from the learned state; a carried state is left alone, and then the learned one has no gradient.</summary>
    [Fact]
    public void LearnedStatesAreForRowsThatStartAnew()
    {
        using ModelHarness harness = TestModels.Harness("learned-states", 4, 3).Fill(21, 4, 2, 4);
        float[] fromZero = harness.Train(resetState: true).Gradient;
        harness.Tensor("lstm.initial_h_l0").Fill(0.5f);
        harness.Tensor("lstm.initial_c_l0").Fill(-0.5f);
        harness.Tensor("gru.initial_h_l0").Fill(0.25f);
        Assert.NotEqual(StepResult.Hash(fromZero), StepResult.Hash(harness.Train(resetState: true).Gradient));
        float[] carried = harness.Train().Gradient, started = harness.Train(resetState: true).Gradient;
        foreach (ParameterTensor tensor in harness.Model.Layout.Tensors.Where(tensor => tensor.Name.Contains("initial")))
        {
            Assert.All(carried.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray(), g => Assert.Equal(0f, g));
            Assert.Contains(started.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray(), g => g != 0f);
        }

        // A state handed in that equals the learned one gives the same outputs.
        float[] own = harness.Train(resetState: true).StateOut;
        for (int row = 0; row < 3; row++)
        {
            Span<float> state = harness.StateIn.AsSpan(row * harness.Model.StateWidth, harness.Model.StateWidth);
            state.Clear();
            state[..5].Fill(0.5f);
            state[5..10].Fill(-0.5f);
            state[10..16].Fill(0.25f);
        }

        Assert.Equal(own, harness.Train().StateOut);
    }

    /// <summary>A variational mask is the same at all times of a window, and another one in the next step.</summary>
    [Fact]
    public void AVariationalMaskLastsThroughTheWindow()
    {
        foreach (bool variational in new[] { true, false })
        {
            Model model = Model.Build(new ModelConfig { Layers = [new DenseConfig { Units = 64 }, new DropoutConfig { Rate = 0.5, Variational = variational }], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, 64);
            using ModelHarness harness = new ModelHarness(model, 3, 3, 2).Fill(5);
            // The same input at all times, no targets to speak of: the bias's gradient of a unit is 2 x output / (1 - p) x mask, summed.
            for (int i = 0; i < 3 * 2 * 3; i++)
            {
                harness.Batch.Features[i] = 1f;
            }

            new Span<float>(harness.Batch.TargetValues, 3 * 2 * 64).Clear();
            ParameterTensor bias = model.Layout["dense.bias"];
            float[] gradient = harness.Train().Gradient.AsSpan((int)bias.Offset, 64).ToArray();
            float[] next = harness.Train(version: 1).Gradient.AsSpan((int)bias.Offset, 64).ToArray();
            float[] kept = harness.Predict();
            // Kept 0, 1 or 2 rows x 3 times where the mask lasts; any number from 0 to 6 where it doesn't.
            int[] counts = [.. gradient.Select((g, unit) => (int)MathF.Round(g / (8f * kept[unit])))];
            Assert.Equal(variational, counts.All(count => count % 3 == 0));
            Assert.NotEqual(gradient, next);
        }
    }

    /// <summary>Recurrent dropout drops in training, differs from step to step, and leaves evaluation alone.</summary>
    [Fact]
    public void RecurrentDropoutIsForTraining()
    {
        Model dropping = TestModels.Tokens(new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 9, RecurrentDropout = 0.5 }, new DenseConfig());
        Model plain = TestModels.Tokens(new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 9 }, new DenseConfig());
        using ModelHarness a = new ModelHarness(dropping, 5, 5, 4).Fill(8, 5, 3), b = new ModelHarness(plain, 5, 5, 4).Fill(8, 5, 3);
        Assert.Equal(a.Loss(), b.Loss());
        Assert.NotEqual(a.Train().Loss, b.Train().Loss);
        Assert.NotEqual(a.Train().Loss, a.Train(version: 1).Loss);
    }

    /// <summary>Normalised gates don't depend on the scale of the weights before them, once it is far above epsilon; plain ones do.</summary>
    [Theory]
    [InlineData("rnn")]
    [InlineData("gru")]
    [InlineData("lstm")]
    public void ANormalizedCellForgetsTheScaleOfItsWeights(string kind)
    {
        foreach (bool layerNorm in new[] { true, false })
        {
            RecurrentConfig recurrent = kind switch
            {
                "rnn" => new RnnConfig { Units = 21, LayerNorm = layerNorm },
                "gru" => new GruConfig { Units = 21, LayerNorm = layerNorm },
                _ => new LstmConfig { Units = 21, LayerNorm = layerNorm },
            };
            Model model = Model.Build(new ModelConfig { Layers = [recurrent], Loss = LossKind.MeanSquaredError }, InputKind.Features, 3, 21);
            Assert.Equal(layerNorm ? kind == "lstm" ? 4 : 2 : 0, model.Layout.Tensors.Count(tensor => tensor.Name.Contains("gain") || tensor.Name.Contains("bias_c")));
            using ModelHarness harness = new ModelHarness(model, 5, 5, 2).Fill(4, 5, 3);
            float[] before = Scaled(), after = Scaled();
            double difference = before.Zip(after, (a, b) => (double)Math.Abs(a - b)).Max();
            Assert.True(layerNorm ? difference < 0.002 : difference > 0.1, $"{kind}, normalised {layerNorm}: {difference}");

            float[] Scaled()
            {
                foreach (string weight in new[] { "weight_ih_l0", "weight_hh_l0" })
                {
                    foreach (ref float value in harness.Tensor($"{kind}.{weight}"))
                    {
                        value *= 10;
                    }
                }

                return harness.Predict();
            }
        }
    }

    /// <summary>Tied weights are one tensor, and its gradient is the sum of what two would have.</summary>
    [Fact]
    public void TiedWeightsAreOneTensor()
    {
        Model tied = TestModels.All["tied"](), apart = TestModels.Tokens(new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 6 }, new DenseConfig());
        Assert.Null(tied.Layout.Find("dense.weight"));
        using ModelHarness one = new ModelHarness(tied, 4, 4, 3).Fill(6, 4, 2, 3), two = new ModelHarness(apart, 4, 4, 3).Fill(6, 4, 2, 3);
        foreach (ParameterTensor tensor in tied.Layout.Tensors)
        {
            one.Tensor(tensor.Name).CopyTo(two.Tensor(tensor.Name));
        }

        one.Tensor("embedding.weight").CopyTo(two.Tensor("dense.weight"));
        float[] gradient = one.Train().Gradient, both = two.Train().Gradient;
        ParameterTensor table = tied.Layout["embedding.weight"], first = apart.Layout["embedding.weight"], second = apart.Layout["dense.weight"];
        for (int i = 0; i < table.Count; i++)
        {
            Assert.Equal(both[first.Offset + i] + both[second.Offset + i], gradient[table.Offset + i]);
        }
    }

    /// <summary>Gates drawn for a long memory: together the two biases of the gate that keeps are ln u, u in [1, lag - 1], and those of the gate that writes -ln u.</summary>
    [Fact]
    public void LongMemoryIsDrawnIntoTheGates()
    {
        const int units = 200;
        using ModelHarness lstm = Of(new LstmConfig { Units = units, LongestLag = 100 }), gru = Of(new GruConfig { Units = units, LongestLag = 100 });
        float[] input = lstm.Tensor("lstm.bias_ih_l0").ToArray(), state = lstm.Tensor("lstm.bias_hh_l0").ToArray();
        Assert.All(state[..(2 * units)], bias => Assert.Equal(0f, bias));
        Assert.All(input[units..(2 * units)], bias => Assert.InRange(bias, 0f, (float)Math.Log(99)));
        Assert.Equal(input[..units], input[units..(2 * units)].Select(bias => -bias));
        Assert.InRange(input[units..(2 * units)].Average(bias => Math.Exp(bias)), 42.0, 58.0); // u's mean is 50
        Assert.All(input[(2 * units)..], bias => Assert.InRange(Math.Abs(bias), 0f, 1f / MathF.Sqrt(units)));
        float[] update = gru.Tensor("gru.bias_ih_l0").ToArray();
        Assert.InRange(update[units..(2 * units)].Average(bias => Math.Exp(bias)), 42.0, 58.0);
        Assert.All(update[..units], bias => Assert.InRange(Math.Abs(bias), 0f, 1f / MathF.Sqrt(units)));

        static ModelHarness Of(LayerConfig layer) => new(TestModels.Values(LossKind.MeanSquaredError, layer, new DenseConfig()), 1, 1, 1);
    }

    public static TheoryData<string, string> Mistakes => new()
    {
        { "residual", "layers[0].residual" }, { "residual-last", "layers[0].residual" }, { "bidirectional-residual", "layers[0].residual" }, { "dropped-reset", "layers[0].recurrentDropout" },
        { "tied-nothing", "layers[1].tied" }, { "tied-width", "layers[2].tied" }, { "tied-twice", "layers[3].tied" }, { "rate", "layers[0].recurrentDropout" }, { "two-biases", "layers[0].longestLag" },
        { "normalized-reset", "layers[0].layerNorm" }, { "normalized-peepholes", "layers[0].peepholes" },
    };

    [Theory, MemberData(nameof(Mistakes))]
    public void SaysWhatDoesNotFit(string mistake, string path)
    {
        var error = Assert.Throws<ModelException>(() => mistake switch
        {
            "residual" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 4, Residual = true }, new DenseConfig()),
            "residual-last" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 3, Residual = true, ReturnSequences = false }, new DenseConfig()),
            "bidirectional-residual" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 3, Residual = true, Bidirectional = true }, new DenseConfig()),
            "dropped-reset" => TestModels.Values(LossKind.MeanSquaredError, new GruConfig { Units = 3, RecurrentDropout = 0.1, ResetGate = GruResetGate.Before }, new DenseConfig()),
            "normalized-reset" => TestModels.Values(LossKind.MeanSquaredError, new GruConfig { Units = 3, LayerNorm = true, ResetGate = GruResetGate.Before }, new DenseConfig()),
            "normalized-peepholes" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 3, LayerNorm = true, Peepholes = true }, new DenseConfig()),
            "tied-nothing" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 4 }, new DenseConfig { Tied = true }),
            "tied-width" => TestModels.Tokens(new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5 }, new DenseConfig { Tied = true }),
            "tied-twice" => TestModels.Tokens(new EmbeddingConfig { Units = 11 }, new LstmConfig { Units = 11 }, new DenseConfig { Tied = true }, new DenseConfig { Tied = true }),
            "two-biases" => TestModels.Values(LossKind.MeanSquaredError, new LstmConfig { Units = 4, ForgetBias = 1, LongestLag = 9 }, new DenseConfig()),
            _ => TestModels.Values(LossKind.MeanSquaredError, new RnnConfig { Units = 4, RecurrentDropout = 1.0 }, new DenseConfig()),
        });
        Assert.Equal(path, error.Path);
    }
}
