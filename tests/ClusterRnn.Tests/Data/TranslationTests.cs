using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Tests.Data;

/// <summary>Pairs of texts: two files or one with tabs, words and characters, what is dropped, what is refused, and how they lie in a batch.</summary>
public sealed unsafe class TranslationTests : IDisposable
{
    private readonly Scratch _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void TwoFilesAndTabsGiveTheSamePairs()
    {
        _scratch.Write("a.txt", "\uFEFFone two\r\n\nThree\n four \nfive");
        _scratch.Write("b.txt", "eins zwei\nleer\nDrei\n\nfünf\n");
        _scratch.Write("both.tsv", "one two\teins zwei\n\tleer\nThree\tDrei\nfour\t\nfive\tfünf\n");
        PairTexts two = PairTexts.Read("a.txt", "b.txt", _scratch.Folder, lowercase: true), one = PairTexts.Read("both.tsv", null, _scratch.Folder, lowercase: true);
        Assert.Equal(["one two", "three", "five"], two.Sources);
        Assert.Equal(["eins zwei", "drei", "fünf"], two.Targets);
        Assert.Equal(two.Sources, one.Sources);
        Assert.Equal(two.Targets, one.Targets);
        Assert.Contains("2 of 5 pairs were dropped", Assert.Single(two.Notes), StringComparison.Ordinal);
        Assert.Contains("the first in line 2", Assert.Single(one.Notes), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a\nb\nc\n", "a\nb\n", "a.txt:3", "2 lines, as", "found 3")]
    [InlineData("a\n", "a\nb\nc\n", "b.txt:2", "1 lines, as", "found 3")]
    [InlineData("a\tb\n\nc\n", null, "a.txt:3", "a tab between", "no tab")]
    [InlineData("a\tb\tc\n", null, "a.txt:1", "a tab between", "2 tabs")]
    [InlineData(" \n\t\n", null, "a.txt", "two texts with a tab", "1 tabs")]
    [InlineData("a\n\n", "\nb\n", "a.txt", "pairs of texts", "each with an empty side")]
    public void MalformedFilesAreRefused(string source, string? target, string place, string expected, string found)
    {
        _scratch.Write("a.txt", source);
        if (target is not null)
        {
            _scratch.Write("b.txt", target);
        }

        if (place == "a.txt" && target is null)
        {
            Assert.Throws<DataException>(() => PairTexts.Read("a.txt", null, _scratch.Folder, lowercase: false));
            return;
        }

        string message = Assert.Throws<DataException>(() => PairTexts.Read("a.txt", target is null ? null : "b.txt", _scratch.Folder, lowercase: false)).Message;
        Assert.Contains(place, message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains(found, message, StringComparison.Ordinal);
    }

    [Fact]
    public void BytesThatAreNoTextAreNamedByLineAndColumn()
    {
        _scratch.Write("a.txt", [.. "gut\nfür "u8, 0xFC, (byte)'\n']);
        DataException error = Assert.Throws<DataException>(() => PairTexts.Read("a.txt", null, _scratch.Folder, lowercase: false));
        Assert.Equal((2, 6, "the byte 0xFC"), (error.Line, error.Column, error.Found));
    }

    [Theory]
    [InlineData(TokenLevel.Word)]
    [InlineData(TokenLevel.Character)]
    public void TextsComeBackFromTheirTokens(TokenLevel level)
    {
        string[] texts = ["Two dogs, one cat.", "我爱北京天安门", "dogs ran", "天安门 2026"];
        var vocabulary = SequenceVocabulary.Of(texts, level, 1);
        foreach (string text in texts)
        {
            int[] ids = vocabulary.Encode(text);
            Assert.DoesNotContain(ids, id => id < SequenceTokens.First);
            Assert.Equal(text, vocabulary.Decode(ids));
        }

        Assert.Equal(level == TokenLevel.Word ? 8 : 7, vocabulary.Encode(texts[1]).Length + (level == TokenLevel.Word ? 1 : 0)); // an ideograph is a word
        Assert.Equal(SequenceTokens.Unknown, vocabulary.Encode("鸟")[^1]);
        Assert.Equal(4, SequenceVocabulary.Of(texts, level, 99).Size);
        Assert.Equal(vocabulary.Vocabulary.Sha256, new SequenceVocabulary(Vocabulary.FromJson(vocabulary.Vocabulary.ToJson())).Vocabulary.Sha256);
        Assert.Throws<DataException>(() => new SequenceVocabulary(new Vocabulary(TokenLevel.Word, ["a", "b", "c", "d"], hasUnknown: false)));
    }

    [Fact]
    public void SourceAndTargetLieInABatchWithLengthsOfTheirOwn()
    {
        _scratch.Write("p.tsv", "a b c\tx\na\tx y z y\nb c\ty x\n");
        Dataset data = Open(new TranslationData { Path = "p.tsv", Validation = 0, Test = 0 }, rows: 3);
        Assert.True(data.HasPairs);
        var examples = (PairExamples)((IExampleSource)data.Training).Examples;
        Assert.Equal((5, 10L), (examples.Time, examples.Targets)); // four tokens and <eos>; 2 + 5 + 3
        StepPlan plan = data.Training.Plan(0);
        using var batch = new SpanBatch(5, 3, 0, 0);
        data.Training.Fill(plan, 0, 3, batch);
        var target = new SequenceVocabulary(data.Artefact.TargetVocabulary!);
        for (int row = 0; row < 3; row++)
        {
            var written = new List<int>();
            for (int time = 0; time < batch.TargetTime; time++)
            {
                written.Add(batch.TargetTokens[(time * 3) + row]);
            }

            string text = examples.Texts.Targets[(int)batch.RowIds[row]];
            int[] ids = target.Encode(text);
            Assert.Equal(ids.Append(SequenceTokens.End), written.Take(ids.Length + 1));
            Assert.All(written.Skip(ids.Length + 1), id => Assert.Equal(-1, id));
            Assert.Equal(examples.Texts.Sources[(int)batch.RowIds[row]].Split(' ').Length, batch.Lengths[row]);
        }

        DataArtefact again = DataArtefact.FromJson(data.Artefact.ToJson());
        Assert.Equal(data.Artefact.Sha256, again.Sha256);
    }

    [Fact]
    public void FilesOfTheirOwnAndLongPairs()
    {
        _scratch.Write("a", "a b\nb c d e\nc\n");
        _scratch.Write("b", "x y\nx\ny\n");
        _scratch.Write("v.tsv", "a a\ty\n");
        Dataset data = Open(new TranslationData { Path = "a", Target = "b", ValidationPath = "v.tsv", Test = 0, MaximumLength = 3 }, rows: 2);
        Assert.Equal(2, ((IExampleSource)data.Training).Examples.Count);
        Assert.Equal(1, ((IExampleSource)data.Validation!).Examples.Count);
        Assert.Null(data.Test);
        Assert.Contains(data.Notes, note => note.Contains("1 pairs are not trained on", StringComparison.Ordinal));
        Dataset other = Open(new TranslationData { Path = "a", Target = "b", Validation = 0, Test = 0, MaximumLength = 3 }, rows: 2);
        Assert.NotEqual(data.Sha256, other.Sha256); // what is validated on is data as well
    }

    [Fact]
    public void GeneratedPairsAreAFunctionOfTheirSeed()
    {
        PairTexts Of(ulong seed) => ((PairExamples)((IExampleSource)Open(new TranslationData { Seed = seed, Examples = 200 }, rows: 8).Training).Examples).Texts;
        PairTexts texts = Of(1);
        Assert.Equal(texts.Sources, Of(1).Sources);
        Assert.NotEqual(texts.Sources, Of(2).Sources);
        Assert.All(texts.Sources, text => Assert.Matches("^(the|an?) [a-z ]+\\.$", text));
        int turned = texts.Targets.Count(text => new[] { "heute", "oft", "jetzt", "immer", "manchmal", "nie", "wieder", "leise" }.Any(adverb => text.StartsWith(adverb + " ", StringComparison.Ordinal)));
        Assert.InRange(turned, 60, 140); // about half of them begin with an adverb, the verb before its subject
    }

    /// <summary>The translations that one would write oneself, of each gender and case.</summary>
    [Theory]
    [InlineData("the dog sees", "der Hund sieht")]
    [InlineData("sees the dog", "sieht den Hund")]
    [InlineData("an old man", "ein alter Mann")]
    [InlineData("finds a small", "findet einen kleinen")]
    public void ArticlesFollowGenderAndCase(string english, string german)
    {
        PairTexts texts = ((PairExamples)((IExampleSource)Open(new TranslationData { Examples = 20_000, Validation = 0, Test = 0 }, rows: 8).Training).Examples).Texts;
        int[] where = [.. Enumerable.Range(0, texts.Sources.Count).Where(i => texts.Sources[i].StartsWith(english, StringComparison.Ordinal) || texts.Sources[i].Contains(' ' + english, StringComparison.Ordinal))];
        Assert.NotEmpty(where);
        Assert.Contains(where, i => texts.Targets[i].Contains(german, StringComparison.Ordinal));
        Assert.DoesNotContain(texts.Targets, text => text.Contains("sieht der ", StringComparison.Ordinal) && text.StartsWith("die", StringComparison.Ordinal) && !text.Contains("und", StringComparison.Ordinal));
    }

    [Fact]
    public void TheSharedPairsOpen()
    {
        string folder = Scratch.Shared("multi30k");
        var config = new TranslationData
        {
            Path = Path.Combine(folder, "train.en"),
            Target = Path.Combine(folder, "train.de"),
            ValidationPath = Path.Combine(folder, "val.en"),
            ValidationTarget = Path.Combine(folder, "val.de"),
            TestPath = Path.Combine(folder, "test_2016_flickr.en"),
            TestTarget = Path.Combine(folder, "test_2016_flickr.de"),
            MinimumCount = 2,
        };
        Dataset data = Open(config, rows: 64);
        Assert.Equal(29_000, ((IExampleSource)data.Training).Examples.Count);
        Assert.Equal(1000, ((IExampleSource)data.Test!).Examples.Count);
        Assert.InRange(data.InputVocabulary, 5000, 7000);
    }

    private Dataset Open(TranslationData config, int rows) => Dataset.Open(config, new Batching(rows, 8, 8, false, 1), _scratch.Folder);
}
