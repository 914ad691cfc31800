using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Documents packed in a row: each has the bits that it has in a row of its own.</summary>
public sealed unsafe class DocumentTests
{
    private const int Start = 2;

    public static TheoryData<string, RecurrentConfig> Cells => new()
    {
        { "rnn", new RnnConfig { Units = 9, LearnedInitialState = true } },
        { "lstm", new LstmConfig { Units = 17, LearnedInitialState = true } },
        { "peepholes", new LstmConfig { Units = 5, Peepholes = true, Layers = 2 } },
        { "gru", new GruConfig { Units = 6, LearnedInitialState = true } },
        { "normalized-lstm", new LstmConfig { Units = 17, LayerNorm = true, LearnedInitialState = true } },
        { "normalized-gru", new GruConfig { Units = 6, LayerNorm = true } },
        { "gru-before", new GruConfig { Units = 6, ResetGate = GruResetGate.Before } },
    };

    [Theory, MemberData(nameof(Cells))]
    public void PackedAndApartAreTheSame(string name, RecurrentConfig cell)
    {
        int[][] documents = [[Start, 1, 3, 0], [Start, 0], [Start, 3, 3, 1, 0]];
        LayerConfig[] layers = [new EmbeddingConfig { Units = 4 }, cell, new DenseConfig()];
        using var packed = new ModelHarness(TestModels.Documents(0, layers), documents.Sum(d => d.Length), documents.Sum(d => d.Length), 1);
        Draw(packed);
        int at = 0;
        foreach (int token in documents.SelectMany(d => d))
        {
            packed.Batch.Tokens[at++] = token;
        }

        packed.Batch.Lengths[0] = at;
        float[] together = packed.Predict();
        var apart = new List<float>();
        foreach (int[] document in documents)
        {
            using var alone = new ModelHarness(TestModels.Documents(0, layers), document.Length, document.Length, 1) { ResetState = true };
            Draw(alone);
            document.CopyTo(new Span<int>(alone.Batch.Tokens, document.Length));
            alone.Batch.Lengths[0] = document.Length;
            apart.AddRange(alone.Predict());
        }

        Assert.Equal(apart, together);
        using var oneDocument = new ModelHarness(Model.Build(new ModelConfig { Layers = layers }, InputKind.Tokens, 4, 4), at, at, 1);
        Draw(oneDocument);
        new ReadOnlySpan<int>(packed.Batch.Tokens, at).CopyTo(new Span<int>(oneDocument.Batch.Tokens, at));
        oneDocument.Batch.Lengths[0] = at;
        Assert.False(together.AsSpan().SequenceEqual(oneDocument.Predict()), name);
    }

    [Theory]
    [InlineData("attention")]
    [InlineData("elman")]
    [InlineData("bidirectional")]
    public void OtherLayersAreRefused(string kind)
    {
        LayerConfig layer = kind switch
        {
            "attention" => new AttentionConfig { Heads = 2 },
            "elman" => new ElmanConfig { Units = 4, Outputs = 4 },
            _ => new GruConfig { Units = 4, Bidirectional = true },
        };
        var error = Assert.Throws<ModelException>(() => TestModels.Documents(0, new EmbeddingConfig { Units = 4 }, layer, new DenseConfig()));
        Assert.Contains("data.documentStart", error.Message, StringComparison.Ordinal);
    }

    // The same parameters whatever the harness: initial states are zero as drawn.
    private static void Draw(ModelHarness harness)
    {
        foreach (ParameterTensor tensor in harness.Model.Layout.Tensors)
        {
            Span<float> values = harness.Tensor(tensor.Name);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = ((((i * 31) + (tensor.Layer * 7) + (tensor.Name.Length * 13)) % 41) - 20) / 30f;
            }
        }
    }
}
