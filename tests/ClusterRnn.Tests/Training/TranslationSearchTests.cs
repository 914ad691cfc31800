using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Tests.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

/// <summary>Greedy and beam search, and what translations are judged by.</summary>
public sealed unsafe class TranslationSearchTests
{
    private static readonly int[][] Sources = [[4, 5, 6], [7], [8, 9, 10, 4, 5], [], [6, 6], [10, 9], [5, 4, 6, 8]];

    public static TheoryData<string> Models => ["pair-lstm-general", "pair-transformer-pre", "pair-attention-twice", "pair-transformer-post"];

    /// <summary>A beam of one is the likeliest token each time, as a loop over full passes finds it.</summary>
    [Theory, MemberData(nameof(Models))]
    public void ABeamOfOneIsGreedy(string name)
    {
        using TrainedModel model = Trained(name);
        int[][] found = TranslationSearch.Write(model, Sources, new SearchOptions(1, 6));
        for (int i = 0; i < Sources.Length; i++)
        {
            Assert.Equal(Greedy(model, Sources[i], 6), found[i]);
        }

        Assert.InRange(found.Select(tokens => string.Join(' ', tokens)).Distinct().Count(), 3, Sources.Length);
    }

    /// <summary>A source's target is the same alone, among others, and in another order.</summary>
    [Theory, MemberData(nameof(Models))]
    public void CompanyChangesNothing(string name)
    {
        using TrainedModel model = Trained(name);
        foreach (int beam in new[] { 1, 3 })
        {
            var options = new SearchOptions(beam, 7);
            int[][] together = TranslationSearch.Write(model, Sources, options), turned = TranslationSearch.Write(model, [.. Sources.Reverse()], options);
            Assert.Equal(together, turned.Reverse());
            Assert.Equal(together, Sources.Select(source => TranslationSearch.Write(model, [source], options)[0]));
            Assert.Empty(together[3]);
        }
    }

    /// <summary>A beam as wide as all beginnings finds the best of all targets.</summary>
    [Fact]
    public void AWideBeamFindsTheBest()
    {
        using TrainedModel model = Trained("pair-lstm-general");
        const int Length = 3;
        foreach (double penalty in new[] { 0.0, 1.0 })
        {
            int[] found = TranslationSearch.Write(model, [Sources[0]], new SearchOptions(9, Length, penalty))[0];
            double best = double.NegativeInfinity;
            int[] expected = [];
            foreach (int[] tokens in All(Length, model.Model.OutputWidth))
            {
                double score = LogProbability(model, Sources[0], tokens, Length) / Math.Pow((5.0 + tokens.Length) / 6.0, penalty);
                (best, expected) = score > best ? (score, tokens) : (best, expected);
            }

            double reached = LogProbability(model, Sources[0], found, Length) / Math.Pow((5.0 + found.Length) / 6.0, penalty), greedy = LogProbability(model, Sources[0], Greedy(model, Sources[0], Length), Length);
            Assert.True(reached >= best - 1e-6, $"found {string.Join(' ', found)} with {reached}, the best is {string.Join(' ', expected)} with {best}");
            Assert.True(penalty > 0 || reached >= greedy);
        }
    }

    // Worked out by hand; sacreBLEU's default says the same.
    [Fact]
    public void BleuOfTextsWorkedOutByHand()
    {
        // Unigrams 5/6, bigrams 3/5, trigrams 1/4, no 4-gram of 3: smoothed to 1/2 of 1/3.
        var one = BleuScore.Of(["the cat sat on the mat"], ["the cat is on the mat"]);
        Assert.Equal(100 * Math.Pow(5.0 / 6 * (3.0 / 5) * (1.0 / 4) * (1.0 / 6), 0.25), one.Score, 9);
        Assert.Equal(37.99, one.Score, 2);

        // All there is is right, but four tokens stand for six: exp(1 - 6/4).
        var brief = BleuScore.Of(["the cat is on"], ["the cat is on the mat"]);
        Assert.Equal(100 * Math.Exp(-0.5), brief.Score, 9);
        Assert.Equal(Math.Exp(-0.5), brief.BrevityPenalty, 12);

        // A corpus sums over its texts: 9/11, 6/9, 3/7, 1/5; "the" twice in a text but once in its reference counts once.
        var two = BleuScore.Of(["the cat sat on the mat", "the the dog ran ."], ["the cat is on the mat", "the dog ran ."]);
        Assert.Equal(100 * Math.Pow(9.0 / 11 * (6.0 / 9) * (3.0 / 7) * (1.0 / 5), 0.25), two.Score, 9);
        Assert.Equal((11L, 10L, 1.0), (two.Tokens, two.ReferenceTokens, two.BrevityPenalty));
        Assert.Equal(100, BleuScore.Of(["a b c d e"], ["a b c d e"]).Score, 9);
        Assert.Equal(0, BleuScore.Of(["x y z w"], ["a b c d"]).Score);
        Assert.Equal(0, BleuScore.Of([""], ["a b c d"]).Score);
    }

    [Theory]
    [InlineData("Hello, world!", "Hello , world !")]
    [InlineData("It costs 1,000.50 (or 2-3).", "It costs 1,000.50 ( or 2 - 3 ) .")]
    [InlineData("state-of-the-art isn't", "state-of-the-art isn't")]
    [InlineData("a&amp;b &lt;c&gt;", "a & b < c >")]
    [InlineData("我爱Paris。", "我 爱 Paris 。")]
    public void TokensOfTheScore(string text, string tokens) => Assert.Equal(tokens, string.Join(' ', BleuScore.Tokenize(text)));

    [Fact]
    public void LinesAreTranslatedOneByOne()
    {
        JobConfig config = ConfigLoader.Parse<JobConfig>(
            """
            data: { source: translation, examples: 60 }
            model:
              encoder: [{ type: embedding, units: 4 }, { type: gru, units: 4 }]
              decoder: [{ type: embedding, units: 4 }, { type: gru, units: 4 }, { type: cross-attention }, dense]
            batch: { size: 4 }
            generate: { beam: 2, maximumLength: 5 }
            """,
            "test").Value;
        ResolvedJob job = ResolvedJob.Open(config, ".");
        float[] parameters = new float[job.Job.Layout.Length];
        job.Job.Model.Initialize(1, parameters);
        using var model = new TrainedModel(job.Job.Model, parameters);
        var trained = new TaskModel(job.Config, model, job.Data.Artefact, ".");
        Assert.True(job.Task.ReadsLines);
        string text = job.Task.Predict(trained, new PredictionRequest("the dog sees a cat.\n\na bird\n", job.Config.Generate)).Text!;
        string[] lines = text.Split('\n');
        Assert.Equal(4, lines.Length); // three lines, each ended
        Assert.Equal("", lines[1]);
        Assert.Equal(lines[2], job.Task.Predict(trained, new PredictionRequest("a bird", job.Config.Generate)).Text!.TrimEnd('\n'));
        Assert.Equal(2, job.Task.Predict(trained, new PredictionRequest(null, job.Config.Generate, 2)).Tables[0].Rows.Count);
        TaskOutcome outcome = job.Task.Conclude(trained, job.Data, null, null);
        Assert.Equal(["testBleu", "testWhollyRight"], outcome.Figures.Select(figure => figure.Key));
    }

    [Theory]
    [InlineData("model: { layers: [{ type: embedding, units: 4 }, dense] }\ndata: { source: translation }", "layers", "expected 'encoder' and 'decoder'")]
    [InlineData("model: { encoder: [{ type: embedding, units: 4 }], decoder: [{ type: embedding, units: 4 }, dense] }\ndata: { source: sums }", "decoder", "no pairs of sequences")]
    [InlineData("model: { encoder: [{ type: embedding, units: 4 }], decoder: [{ type: embedding, units: 4 }, dense] }\ndata: { source: translation }\ncluster: { recompute: true }", "encoder", "cluster.recompute")]
    public void PairsAndModelsMustFit(string config, string path, string words)
    {
        ModelException error = Assert.Throws<ModelException>(() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(config, "test").Value, "."));
        Assert.Equal(path, error.Path);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model: { encoder: [dense] }\ndata: { source: translation }", "belong together")]
    [InlineData("model: { layers: [dense], encoder: [dense], decoder: [dense] }\ndata: { source: translation }", "found both")]
    [InlineData("model: { loss: cross-entropy }\ndata: { source: translation }", "found neither")]
    [InlineData("model: { layers: [dense], teacherForcing: { ratio: 0.5 } }\ndata: { source: translation }", "the model has none")]
    [InlineData("model: { layers: [dense] }\ndata: { source: translation, level: byte }", "word or character")]
    [InlineData("model: { layers: [dense] }\ndata: { source: translation, target: x }", "found none. Set data.path")]
    public void ConfigsAreChecked(string config, string words)
    {
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>(config, "test"));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    private static TrainedModel Trained(string name)
    {
        Model model = TestModels.Pairs[name]();
        float[] parameters = new float[model.Layout.Length];
        model.Initialize(4, parameters);
        for (int i = 0; i < parameters.Length; i++)
        {
            parameters[i] *= 4; // untrained, a model would say the same of every source
        }

        return new TrainedModel(model, parameters);
    }

    // Full passes over what is written so far.
    private static int[] Greedy(TrainedModel model, int[] source, int most)
    {
        var tokens = new List<int>();
        while (source.Length > 0 && tokens.Count < most)
        {
            float[] logits = Logits(model, source, [.. tokens, SequenceTokens.End])[^1];
            int best = SequenceTokens.End;
            for (int token = best; token < logits.Length; token++)
            {
                best = logits[token] > logits[best] ? token : best;
            }

            if (best == SequenceTokens.End)
            {
                break;
            }

            tokens.Add(best);
        }

        return [.. tokens];
    }

    private static double LogProbability(TrainedModel model, int[] source, int[] tokens, int most)
    {
        int[] targets = tokens.Length == most ? tokens : [.. tokens, SequenceTokens.End];
        return Logits(model, source, targets).Zip(targets, (row, token) => row[token] - Math.Log(row.Sum(value => Math.Exp(value)))).Sum();
    }

    private static float[][] Logits(TrainedModel model, int[] source, int[] targets)
    {
        int time = Math.Max(source.Length, targets.Length), width = model.Model.OutputWidth;
        using var batch = new SpanBatch(time, 1, 0, 0) { Time = time, TargetTime = targets.Length, Rows = 1 };
        source.CopyTo(new Span<int>(batch.Tokens, time));
        targets.CopyTo(new Span<int>(batch.TargetTokens, time));
        batch.Lengths[0] = source.Length;
        using ModelExecutor executor = model.CreateExecutor(time, time, 1);
        float[] outputs = new float[targets.Length * width];
        fixed (float* into = outputs)
        {
            executor.Predict(batch, null, null, into, logits: true);
        }

        return [.. outputs.Chunk(width)];
    }

    // All targets of up to so many tokens; those of the most have no <eos>.
    private static IEnumerable<int[]> All(int most, int width)
    {
        IEnumerable<int[]> level = [[]];
        for (int length = 0; length <= most; length++)
        {
            foreach (int[] tokens in level)
            {
                yield return tokens;
            }

            level = [.. level.SelectMany(tokens => Enumerable.Range(SequenceTokens.Unknown, width - SequenceTokens.Unknown).Select(token => (int[])[.. tokens, token]))];
        }
    }
}
