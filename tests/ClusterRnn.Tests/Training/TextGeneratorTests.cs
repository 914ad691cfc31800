// Text written with keys and values of earlier tokens kept, against whole windows predicted anew for each token.
using ClusterRnn.Models;
using ClusterRnn.Tests.Models;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

public sealed unsafe class TextGeneratorTests
{
    /// <summary>The likeliest tokens, also where the context is full and begins anew from its later half.</summary>
    [Theory, InlineData(6), InlineData(20)]
    public void AttentionWritesWhatWholeWindowsWouldWrite(int context)
    {
        const int length = 17;
        Model model = TestModels.Tokens(new EmbeddingConfig { Units = 6 }, new PositionsConfig(), new TransformerConfig { Heads = 2 }, new DenseConfig());
        float[] parameters = new float[model.Layout.Length];
        model.Initialize(5, parameters);
        using var trained = new TrainedModel(model, parameters);
        int[] prompt = [3, 1, 4];
        int[][] texts = TextGenerator.Write(trained, prompt, length, 2, new TokenSampler(11, 0.0, 0, 1.0, 1), contextTime: context);

        var expected = new List<int>();
        var window = new List<int>();
        foreach (int token in prompt)
        {
            See(token);
        }

        while (expected.Count < length)
        {
            int next = Likeliest(model, parameters, window);
            expected.Add(next);
            See(next);
        }

        Assert.Equal(expected, texts[0]);
        Assert.Equal(expected, texts[1]);
        Assert.True(expected.Distinct().Count() > 1, "a text of one token shows nothing");

        void See(int token)
        {
            if (window.Count == context)
            {
                window.RemoveRange(0, context - (context / 2));
            }

            window.Add(token);
        }
    }

    [Fact]
    public void FullAttentionCannotWrite()
    {
        Model model = TestModels.Tokens(new EmbeddingConfig { Units = 6 }, new TransformerConfig { Heads = 2, Causal = false }, new DenseConfig());
        using var trained = new TrainedModel(model, new float[model.Layout.Length]);
        ModelException error = Assert.Throws<ModelException>(() => TextGenerator.Write(trained, [1], 3, 1, new TokenSampler(11, 0.0, 0, 1.0, 1)));
        Assert.Contains("causal: true", error.Message);
    }

    private static int Likeliest(Model model, float[] parameters, List<int> window)
    {
        using var harness = new ModelHarness(model, window.Count, 1, 1);
        parameters.CopyTo(harness.Parameters);
        harness.Batch.Lengths[0] = window.Count;
        window.ToArray().CopyTo(new Span<int>(harness.Batch.Tokens, window.Count));
        float[] logits = harness.Predict(logits: true);
        return Array.IndexOf(logits, logits.Max());
    }
}
