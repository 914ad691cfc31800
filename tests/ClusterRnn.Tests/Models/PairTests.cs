using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>
/// Models from one sequence to another: writing token by token, several rows of one source, rows that go on from others, what the
/// decoder reads in training. Padding, grouping, differences and golden values: the tests of all models.
/// </summary>
public sealed unsafe class PairTests
{
    private const int Time = 5;
    private const int Rows = 4;

    /// <summary>Token by token, with the cache, each row several times and in any company: the logits of the full pass, bit for bit.</summary>
    [Theory, MemberData(nameof(TestModels.PairNames), MemberType = typeof(TestModels))]
    public void WritingTokenByTokenIsTheFullPass(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, Time, Rows).Fill(31, 4, 5, 2, 3);
        int width = harness.Model.OutputWidth;
        float[] whole = harness.Predict(logits: true);
        foreach (int copies in new[] { 1, 3 })
        {
            using var writer = new Writer(harness, copies);
            for (int time = 0; time < Time; time++)
            {
                float[] step = writer.Write(row => Input(harness, row / copies, time));
                for (int row = 0; row < Rows * copies; row++)
                {
                    if (harness.Batch.TargetTokens[(time * Rows) + (row / copies)] >= 0)
                    {
                        Assert.Equal(whole.AsSpan(((time * Rows) + (row / copies)) * width, width).ToArray(), step.AsSpan(row * width, width).ToArray());
                    }
                }
            }
        }

        using ModelHarness alone = harness.Rows(1, 2);
        float[] single = alone.Predict(logits: true);
        Assert.Equal(whole.AsSpan(width, width).ToArray(), single.AsSpan(0, width).ToArray());
        Assert.NotEqual(whole.AsSpan(0, width).ToArray(), single.AsSpan(0, width).ToArray());
    }

    /// <summary>A row that goes on from another one's past writes what that one would.</summary>
    [Theory, MemberData(nameof(TestModels.PairNames), MemberType = typeof(TestModels))]
    public void RowsGoOnFromOthers(string name)
    {
        using ModelHarness harness = TestModels.Harness(name, Time, 2).Fill(32, 4, 5);
        int width = harness.Model.OutputWidth;
        using var writer = new Writer(harness, 3);
        using var other = new Writer(harness, 3);
        int[] from = [2, 0, 0, 4, 5, 4];
        for (int time = 0; time < 3; time++)
        {
            writer.Write(row => 2 + ((row + time) % 5));
            other.Write(row => 2 + ((from[row] + time) % 5));
        }

        writer.Reorder(from);
        float[] expected = other.Write(row => 2 + row), actual = writer.Write(row => 2 + row);
        Assert.Equal(expected, actual);
        if (width > 1 && name != "pair-hidden-1")
        {
            using var unmoved = new Writer(harness, 3);
            for (int time = 0; time < 3; time++)
            {
                unmoved.Write(row => 2 + ((row + time) % 5));
            }

            Assert.NotEqual(expected, unmoved.Write(row => 2 + row));
        }
    }

    /// <summary>A decoder's outputs have room for as many targets as it was made for, however long its windows may be.</summary>
    [Fact]
    public void MoreTargetsThanThereIsRoomForAreRefused()
    {
        using ModelHarness harness = TestModels.Harness("pair-hidden-1", Time, 2).Fill(32, 4, 5);
        using var executor = new ModelExecutor(harness.Model, Time, 1, 2, training: false, contextTime: Time);
        using var batch = new SpanBatch(2, 2, 0, 0) { Time = 2, TargetTime = 2, Rows = 2 };
        harness.Batch.TargetTime = 1;
        fixed (float* parameters = harness.Parameters)
        {
            executor.LoadParameters(parameters);
            executor.Encode(harness.Batch);
            Assert.Contains("(2)", Assert.Throws<ArgumentException>(() => executor.Continue(batch, null, null, null)).Message, StringComparison.Ordinal);
        }
    }

    /// <summary>Reading only its own tokens, a decoder whose targets are just these has the gradient of one that reads the targets.</summary>
    [Theory, InlineData(0.0), InlineData(0.5)]
    public void ReadsItsOwnTokens(double ratio)
    {
        using ModelHarness forced = Of(null), own = Of(new TeacherForcingConfig { Ratio = ratio }), always = Of(new TeacherForcingConfig());
        string reference = StepResult.Hash(forced.Train().Gradient);
        Assert.Equal(reference, StepResult.Hash(always.Train().Gradient));
        Assert.NotEqual(reference, StepResult.Hash(own.Train().Gradient));
        if (ratio > 0)
        {
            Assert.NotEqual(StepResult.Hash(own.Train(version: 1).Gradient), StepResult.Hash(own.Train(version: 2).Gradient)); // each step draws anew
        }

        int width = forced.Model.OutputWidth;
        using var writer = new Writer(forced, 1);
        int[] tokens = [1, 1, 1];
        for (int time = 0; time < Time; time++)
        {
            float[] logits = writer.Write(row => tokens[row]);
            for (int row = 0; row < 3; row++)
            {
                int cell = (time * 3) + row;
                tokens[row] = Array.IndexOf(logits, logits.AsSpan(row * width, width).ToArray().Max(), row * width) - (row * width);
                foreach (ModelHarness harness in new[] { forced, own })
                {
                    harness.Batch.TargetTokens[cell] = harness.Batch.TargetTokens[cell] < 0 ? -1 : tokens[row];
                }
            }
        }

        Assert.Equal(StepResult.Hash(forced.Train().Gradient), StepResult.Hash(own.Train().Gradient));

        static ModelHarness Of(TeacherForcingConfig? forcing)
        {
            var config = new ModelConfig
            {
                Encoder = [new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 6 }],
                Decoder = [new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 6 }, new CrossAttentionConfig(), new TransformerConfig { Layers = 1, Heads = 2 }, new DenseConfig()],
                TeacherForcing = forcing,
            };
            return new ModelHarness(Model.Build(config, InputKind.Tokens, 11, 9), Time, Time, 3).Fill(33, 4, 5, 2);
        }
    }

    [Fact]
    public void TheShareOfTrueTokensFalls()
    {
        var linear = new TeacherForcingConfig { Course = TeacherForcingCourse.Linear, Ratio = 0.9, FinalRatio = 0.1, Steps = 8 };
        Assert.Equal([0.9, 0.5, 0.1, 0.1], new long[] { 0, 4, 8, 100 }.Select(version => Math.Round(linear.RatioAt(version), 12)));
        var sigmoid = new TeacherForcingConfig { Course = TeacherForcingCourse.InverseSigmoid, Ratio = 1, FinalRatio = 0, Steps = 10 };
        Assert.Equal(10.0 / 11.0, sigmoid.RatioAt(0), 12);
        Assert.Equal(10.0 / (10.0 + Math.Exp(3.0)), sigmoid.RatioAt(30), 12);
        Assert.Equal(0.0, sigmoid.RatioAt(1_000_000_000), 12);
        Assert.Equal(0.7, new TeacherForcingConfig { Ratio = 0.7 }.RatioAt(12345));
    }

    [Theory]
    [InlineData("decoder[1].bidirectional", "would read the tokens")]
    [InlineData("decoder[1].causal", "would see the tokens")]
    [InlineData("encoder[1].returnSequences", "last step only")]
    [InlineData("decoder[2].score", "expects the same width")]
    [InlineData("decoder[2].scoreUnits", "score: additive")]
    [InlineData("layers[1]", "looks at an encoder's outputs")]
    [InlineData("loss", "writes tokens")]
    [InlineData("decoder", "target vocabulary has 4")]
    public void SaysWhatDoesNotFit(string path, string words)
    {
        LayerConfig[] encoder = [new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 6, ReturnSequences = path != "encoder[1].returnSequences" }];
        LayerConfig second = path switch
        {
            "decoder[1].bidirectional" => new GruConfig { Bidirectional = true },
            "decoder[1].causal" => new TransformerConfig { Heads = 1, Causal = false },
            _ => new GruConfig { Units = 5 },
        };
        var attention = new CrossAttentionConfig
        {
            Score = path == "decoder[2].score" ? AttentionScore.Dot : AttentionScore.General,
            ScoreUnits = path == "decoder[2].scoreUnits" ? 3 : null,
        };
        ModelConfig config = path == "layers[1]"
            ? new ModelConfig { Layers = [new EmbeddingConfig(), new CrossAttentionConfig(), new DenseConfig()] }
            : new ModelConfig { Encoder = encoder, Decoder = [new EmbeddingConfig { Units = 4 }, second, attention, new DenseConfig()], Loss = path == "loss" ? LossKind.MeanSquaredError : null };
        ModelException error = Assert.Throws<ModelException>(() => Model.Build(config, InputKind.Tokens, 11, path == "decoder" ? 4 : 9));
        Assert.Equal(path, error.Path);
        Assert.Contains(words, error.Message);
    }

    private static int Input(ModelHarness harness, int row, int time)
    {
        int token = time == 0 ? SequenceTokens.Beginning : harness.Batch.TargetTokens[((time - 1) * harness.Batch.Rows) + row];
        return Math.Max(0, token);
    }

    /// <summary>An executor that has read a batch's sources and writes one token a row at a time.</summary>
    private sealed class Writer : IDisposable
    {
        private readonly ModelHarness harness;
        private readonly ModelExecutor executor;
        private readonly SpanBatch batch;
        private float[] state;
        private int time;

        public Writer(ModelHarness harness, int copies)
        {
            this.harness = harness;
            int rows = harness.Batch.Rows * copies;
            executor = new ModelExecutor(harness.Model, Time, Time, rows, training: false, contextTime: Time + 2);
            fixed (float* parameters = harness.Parameters)
            {
                executor.LoadParameters(parameters);
            }

            executor.Encode(harness.Batch);
            batch = new SpanBatch(1, rows, 0, 0) { Time = 1, TargetTime = 1, Rows = rows };
            new Span<int>(batch.Lengths, rows).Fill(1);
            state = new float[Math.Max(1, rows * harness.Model.StateWidth)];
        }

        public float[] Write(Func<int, int> token)
        {
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.Tokens[row] = token(row);
            }

            var logits = new float[batch.Rows * harness.Model.OutputWidth];
            fixed (float* states = state, into = logits)
            {
                executor.Continue(batch, time++ == 0 ? null : states, states, into, logits: true);
            }

            return logits;
        }

        public void Reorder(int[] from)
        {
            executor.Reorder(from);
            int width = harness.Model.StateWidth;
            state = width == 0 ? state : [.. from.SelectMany(row => state.AsSpan(row * width, width).ToArray())];
        }

        public void Dispose()
        {
            executor.Dispose();
            batch.Dispose();
        }
    }
}
