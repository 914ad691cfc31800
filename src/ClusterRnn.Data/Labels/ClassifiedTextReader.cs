// Lines of text with a class: TSV files, or texts that a generator makes: reviews (Reviews), utterances (Utterances).
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads lines of text with a class.</summary>
internal sealed class ClassifiedTextReader(ClassifiedTextData config) : ILabelledReader
{
    /// <inheritdoc/>
    public string Unit => "text";

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var examples = new List<RawExample>();
        int emptyLines = 0, emptyTexts = 0, cut = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            IReadOnlyList<(int Line, string[] Cells)> rows = TsvReader.Read(file.Name, TokenizedText.DecodeUtf8(file), Math.Max(config.TextColumn, config.LabelColumn), out int empty);
            emptyLines += empty;
            foreach ((int line, string[] cells) in rows.Skip(config.Header ? 1 : 0))
            {
                string text = cells[config.TextColumn - 1], label = cells[config.LabelColumn - 1].Trim();
                if (label.Length == 0)
                {
                    throw new DataException(file.Name, $"a class in column {config.LabelColumn}", "none", "Complete the line, or set data.labelColumn", line);
                }

                if (string.IsNullOrWhiteSpace(text))
                {
                    emptyTexts++;
                    continue;
                }

                string[] pieces = Pieces(text);
                cut += pieces.Length > config.MaximumLength ? 1 : 0;
                examples.Add(new RawExample(file.Name, line, pieces[..Math.Min(pieces.Length, config.MaximumLength)], null, [label]));
            }
        }

        return new RawExamples(corpus.Name, examples, corpus.Sha256, Dropped.Notes(
            corpus.Name, (emptyLines, "empty lines", "dropped"), (emptyTexts, "lines without text", "dropped"), (cut, $"texts longer than {config.MaximumLength} tokens", "cut")));
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        (string kind, uint layer, Func<RandomKey, int, (string Text, string Label)> make) = config is IntentData
            ? ("utterances", GeneratorLayer.Intents, Utterances.Make)
            : ("reviews", GeneratorLayer.Sentiment, (Func<RandomKey, int, (string Text, string Label)>)Reviews.Make);
        var key = new RandomKey(seed, RandomPurpose.Generate, layer, 0);
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            (string text, string label) = make(key, i);
            examples.Add(new RawExample($"generated {kind}", i + 1, Pieces(text), null, [label]));
        }

        return new RawExamples($"generated {kind}", examples, ExampleGenerators.Sha256($"{kind} 1 {seed} {count}"), []);
    }

    /// <inheritdoc/>
    public Vocabulary? VocabularyOf(IReadOnlyList<RawExample> examples) => config.Level == TokenLevel.Byte
        ? new Vocabulary(TokenLevel.Byte, [], hasUnknown: false)
        : WordCounts.VocabularyOf(config.Level, examples, config.MinimumCount);

    /// <inheritdoc/>
    public int[] Encode(string[] pieces, Vocabulary vocabulary) =>
        vocabulary.Level == TokenLevel.Byte ? [.. pieces.Select(piece => (int)piece[0])] : [.. pieces.Select(vocabulary.IdOf)];

    private string[] Pieces(string text) => PiecesOf(text, config.Level);

    /// <summary>A text's tokens. As if a space stood before it: its first word is the same one as elsewhere. Bytes are Latin-1 characters here.</summary>
    internal static string[] PiecesOf(string text, TokenLevel level) => level == TokenLevel.Byte
        ? [.. System.Text.Encoding.UTF8.GetBytes(text).Select(value => ((char)value).ToString())]
        : [.. Tokens.Split(" " + text.Trim(), level)];
}

/// <summary>What was left out of files, in words.</summary>
internal static class Dropped
{
    public static IReadOnlyList<string> Notes(string name, params (int Count, string What, string How)[] dropped) =>
        [.. dropped.Where(entry => entry.Count > 0).Select(entry => $"{name}: {entry.How} {entry.Count} of these: {entry.What}")];
}

/// <summary>Vocabularies of pieces.</summary>
internal static class WordCounts
{
    /// <summary>Pieces that occur often enough: the most frequent first, ties by scalar values; &lt;unk&gt; is id 0 where there is one.</summary>
    public static Vocabulary VocabularyOf(TokenLevel level, IReadOnlyList<RawExample> examples, int minimumCount, bool hasUnknown = true)
    {
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string piece in examples.SelectMany(example => example.Pieces!))
        {
            counts[piece] = counts.GetValueOrDefault(piece) + 1;
        }

        List<string> entries = [.. counts.Where(pair => pair.Value >= minimumCount).Select(pair => pair.Key)];
        entries.Sort((a, b) => counts[a] != counts[b] ? counts[b].CompareTo(counts[a]) : TokenizedText.CompareScalars(a, b));
        return new Vocabulary(level, entries, hasUnknown);
    }
}
