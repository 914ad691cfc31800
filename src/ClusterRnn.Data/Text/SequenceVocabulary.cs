// One side's vocabulary of pairs of texts: <pad>, <bos>, <eos>, <unk>, then words or characters, the most frequent first. A word has
// the space before it, so that decoding is joining; a line's first word gets one too, so that it is the same word everywhere.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Data;

/// <summary>A vocabulary with the tokens of <see cref="SequenceTokens"/>.</summary>
public sealed class SequenceVocabulary
{
    private static readonly string[] Special = ["<pad>", "<bos>", "<eos>", Vocabulary.UnknownText];

    /// <summary>Takes a vocabulary that begins with the special tokens.</summary>
    /// <exception cref="DataException">It doesn't.</exception>
    public SequenceVocabulary(Vocabulary vocabulary)
    {
        ArgumentNullException.ThrowIfNull(vocabulary);
        if (vocabulary.HasUnknown || !vocabulary.Entries.Take(SequenceTokens.First).SequenceEqual(Special))
        {
            throw new DataException("vocabulary", $"one that begins with {string.Join(", ", Special)}", "another", "Take the artefact that a training on pairs of texts wrote");
        }

        Vocabulary = vocabulary;
    }

    /// <summary>The tokens' texts.</summary>
    public Vocabulary Vocabulary { get; }

    /// <summary>How many ids there are.</summary>
    public int Size => Vocabulary.Size;

    /// <summary>Makes one of some texts.</summary>
    /// <param name="texts">The texts, those to train on.</param>
    /// <param name="level">Characters or words.</param>
    /// <param name="minimumCount">Rarer ones are left out.</param>
    public static SequenceVocabulary Of(IEnumerable<string> texts, TokenLevel level, int minimumCount)
    {
        ArgumentNullException.ThrowIfNull(texts);
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string text in texts)
        {
            foreach (string token in Split(text, level))
            {
                counts[token] = counts.GetValueOrDefault(token) + 1;
            }
        }

        List<KeyValuePair<string, long>> kept = [.. counts.Where(entry => entry.Value >= minimumCount)];
        kept.Sort((a, b) => a.Value != b.Value ? b.Value.CompareTo(a.Value) : TokenizedText.CompareScalars(a.Key, b.Key));
        return new SequenceVocabulary(new Vocabulary(level, [.. Special, .. kept.Select(entry => entry.Key)], hasUnknown: false));
    }

    /// <summary>The ids of a text, without &lt;bos&gt; and &lt;eos&gt;.</summary>
    public int[] Encode(string text)
    {
        var ids = new List<int>();
        foreach (string token in Split(text, Vocabulary.Level))
        {
            int id = Vocabulary.IdOf(token);
            ids.Add(id < SequenceTokens.First ? SequenceTokens.Unknown : id);
        }

        return [.. ids];
    }

    /// <summary>The text of some ids.</summary>
    public string Decode(ReadOnlySpan<int> ids)
    {
        string text = Vocabulary.Decode(ids);
        return Vocabulary.Level == TokenLevel.Word && text.StartsWith(' ') ? text[1..] : text;
    }

    private static IEnumerable<string> Split(string text, TokenLevel level) => Tokens.Split(level == TokenLevel.Word ? " " + text : text, level);
}
