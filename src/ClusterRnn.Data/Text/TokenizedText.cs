// From a corpus to token ids, and to a training and a validation part: the last share of the tokens validates, or in a
// cross-validation one of several equal parts.
using System.Globalization;
using System.Text;

namespace ClusterRnn.Data;

/// <summary>A corpus as token ids.</summary>
public sealed class TokenizedText
{
    private const int LargestString = 0x3FFFFFDF; // the runtime's limit

    private TokenizedText(Vocabulary vocabulary, int[] ids, Range validation)
    {
        Vocabulary = vocabulary;
        Ids = ids;
        (int start, int length) = validation.GetOffsetAndLength(ids.Length);
        Validation = Ids.Slice(start, length);
        Training = start + length == ids.Length ? Ids[..start] : start == 0 ? Ids[length..] : (int[])[.. ids.AsSpan(0, start), .. ids.AsSpan(start + length)];
    }

    /// <summary>What the ids stand for.</summary>
    public Vocabulary Vocabulary { get; }

    /// <summary>All tokens in order.</summary>
    public ReadOnlyMemory<int> Ids { get; }

    /// <summary>The tokens to train on; of a fold in the middle the tokens before it, then those after it.</summary>
    public ReadOnlyMemory<int> Training { get; }

    /// <summary>The tokens to validate on; empty when nothing is kept.</summary>
    public ReadOnlyMemory<int> Validation { get; }

    /// <summary>Tokenizes <paramref name="corpus"/>.</summary>
    /// <param name="corpus">The bytes.</param>
    /// <param name="level">What a token is.</param>
    /// <param name="minimumCount">Rarer characters and words become &lt;unk&gt;.</param>
    /// <param name="validation">The share of tokens kept for validation.</param>
    /// <param name="vocabulary">
    /// The vocabulary to use, as on resuming; null to make one: of all bytes, of the characters of the whole corpus, or
    /// of the words of the training part.
    /// </param>
    /// <param name="fold">The part that validates instead of the last share; null: none.</param>
    /// <exception cref="DataException">The corpus is not UTF-8, or has a character the vocabulary lacks.</exception>
    public static TokenizedText Read(
        Corpus corpus, TokenLevel level, int minimumCount, double validation, Vocabulary? vocabulary = null, FoldConfig? fold = null)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentOutOfRangeException.ThrowIfLessThan(minimumCount, 1);
        if (vocabulary is not null && vocabulary.Level != level)
        {
            throw new DataException(
                "vocabulary", $"one of level {level}", $"one of level {vocabulary.Level}", "Take the artefact of the same config");
        }

        return level switch
        {
            TokenLevel.Byte => FromBytes(corpus, Kept, vocabulary),
            TokenLevel.Character => FromCharacters(corpus, minimumCount, Kept, vocabulary),
            _ => FromWords(corpus, minimumCount, Kept, vocabulary),
        };

        Range Kept(int tokens) => fold is null ? LastShare(tokens, validation) : Part(tokens, fold);
    }

    /// <summary>Which of <paramref name="tokens"/> tokens validate when a share at the end is kept for it.</summary>
    public static Range LastShare(int tokens, double validation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(validation, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(validation, 1);
        return (tokens - (int)(tokens * validation))..tokens;
    }

    /// <summary>Which of <paramref name="tokens"/> tokens validate in a fold: all folds together each token once.</summary>
    public static Range Part(int tokens, FoldConfig fold)
    {
        ArgumentNullException.ThrowIfNull(fold);
        return (int)((long)tokens * (fold.Number - 1) / fold.Of)..(int)((long)tokens * fold.Number / fold.Of);
    }

    private static TokenizedText FromBytes(Corpus corpus, Func<int, Range> validation, Vocabulary? vocabulary)
    {
        int[] ids = new int[corpus.Length];
        int at = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            foreach (byte value in file.Bytes.Span)
            {
                ids[at++] = value;
            }
        }

        return new TokenizedText(
            vocabulary ?? new Vocabulary(TokenLevel.Byte, [], hasUnknown: false), ids, validation(at));
    }

    private static TokenizedText FromCharacters(Corpus corpus, int minimumCount, Func<int, Range> validation, Vocabulary? vocabulary)
    {
        // First the scalar values themselves, then, when it is known which there are, their ids in place.
        int[] scalars = new int[corpus.Length];
        long[] counts = new long[0x110000];
        int length = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            RefuseNul(file);
            ReadOnlySpan<byte> rest = file.Bytes.Span;
            while (!rest.IsEmpty)
            {
                if (Rune.DecodeFromUtf8(rest, out Rune rune, out int used) != System.Buffers.OperationStatus.Done)
                {
                    throw NotUtf8(file, file.Bytes.Length - rest.Length);
                }

                scalars[length++] = rune.Value;
                counts[rune.Value]++;
                rest = rest[used..];
            }
        }

        if (vocabulary is null)
        {
            var entries = new List<string>();
            bool rare = false;
            for (int scalar = 0; scalar < counts.Length; scalar++)
            {
                if (counts[scalar] >= minimumCount)
                {
                    entries.Add(char.ConvertFromUtf32(scalar));
                }
                else
                {
                    rare |= counts[scalar] > 0;
                }
            }

            vocabulary = new Vocabulary(TokenLevel.Character, entries, hasUnknown: rare || minimumCount > 1);
        }

        int[] idOf = new int[counts.Length];
        Array.Fill(idOf, vocabulary.HasUnknown ? 0 : -1);
        foreach (string entry in vocabulary.Entries)
        {
            idOf[char.ConvertToUtf32(entry, 0)] = vocabulary.IdOf(entry);
        }

        for (int i = 0; i < length; i++)
        {
            int id = idOf[scalars[i]];
            if (id < 0)
            {
                throw new DataException(
                    corpus.Name,
                    "characters of the vocabulary",
                    $"'{char.ConvertFromUtf32(scalars[i])}' (U+{scalars[i]:X4}) as character {i.ToString(CultureInfo.InvariantCulture)}",
                    "Use the text the vocabulary was made from, or make it with minimumCount: 2 so that there is an <unk>");
            }

            scalars[i] = id;
        }

        Array.Resize(ref scalars, length);
        return new TokenizedText(vocabulary, scalars, validation(length));
    }

    private static TokenizedText FromWords(Corpus corpus, int minimumCount, Func<int, Range> validation, Vocabulary? vocabulary)
    {
        // First ids in order of appearance, then the vocabulary's.
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = seen.GetAlternateLookup<ReadOnlySpan<char>>();
        var words = new List<string>();
        var ids = new List<int>();
        foreach (CorpusFile file in corpus.Files)
        {
            ReadOnlySpan<char> text = DecodeUtf8(file);
            while (!text.IsEmpty)
            {
                int length = Tokens.WordLength(text);
                if (!lookup.TryGetValue(text[..length], out int id))
                {
                    id = words.Count;
                    string word = text[..length].ToString();
                    words.Add(word);
                    seen.Add(word, id);
                }

                ids.Add(id);
                text = text[length..];
            }
        }

        Range kept = validation(ids.Count);
        if (vocabulary is null)
        {
            long[] counts = new long[words.Count];
            for (int i = 0; i < ids.Count; i++)
            {
                counts[ids[i]] += i < kept.Start.Value || i >= kept.End.Value ? 1 : 0;
            }

            var entries = new List<int>();
            for (int id = 0; id < words.Count; id++)
            {
                if (counts[id] >= minimumCount)
                {
                    entries.Add(id);
                }
            }

            entries.Sort((a, b) => counts[a] != counts[b] ? counts[b].CompareTo(counts[a]) : CompareScalars(words[a], words[b]));
            vocabulary = new Vocabulary(TokenLevel.Word, entries.ConvertAll(id => words[id]), hasUnknown: true);
        }

        int[] final = new int[words.Count];
        for (int id = 0; id < words.Count; id++)
        {
            final[id] = vocabulary.IdOf(words[id]);
            if (final[id] < 0)
            {
                throw new DataException(corpus.Name, "words of the vocabulary", $"'{words[id]}'", "Use a vocabulary that has an <unk>");
            }
        }

        int[] result = new int[ids.Count];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = final[ids[i]];
        }

        return new TokenizedText(vocabulary, result, kept);
    }

    /// <summary>Compares by scalar values, which is also the order of the UTF-8 bytes.</summary>
    internal static int CompareScalars(string a, string b) =>
        Encoding.UTF8.GetBytes(a).AsSpan().SequenceCompareTo(Encoding.UTF8.GetBytes(b));

    /// <summary>The text of a file that must be UTF-8.</summary>
    /// <exception cref="DataException">It is not, and the message has the byte's position; or it is longer than a string can be.</exception>
    internal static string DecodeUtf8(CorpusFile file)
    {
        RefuseNul(file);
        ReadOnlySpan<byte> bytes = file.Bytes.Span;
        if (!System.Text.Unicode.Utf8.IsValid(bytes))
        {
            int at = 0;
            while (Rune.DecodeFromUtf8(bytes[at..], out _, out int used) == System.Buffers.OperationStatus.Done)
            {
                at += used;
            }

            throw NotUtf8(file, at);
        }

        int characters = Encoding.UTF8.GetCharCount(bytes);
        if (characters > LargestString)
        {
            throw new DataException(
                file.Name, $"at most {LargestString} UTF-16 units of text in a file", $"{characters}", "Split the file, or use level: byte");
        }

        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>A NUL is UTF-8, but in a text it means UTF-16, or a file that is none.</summary>
    /// <exception cref="DataException">There is one.</exception>
    internal static void RefuseNul(CorpusFile file)
    {
        int at = file.Bytes.Span.IndexOf((byte)0);
        if (at >= 0)
        {
            throw new DataException(
                file.Name, "UTF-8 text", "a NUL byte, as in UTF-16 or a file that is no text", "Convert the file to UTF-8 (iconv -f UTF-16 -t UTF-8), or use level: byte for what is no text", position: at);
        }
    }

    private static DataException NotUtf8(CorpusFile file, int position)
    {
        string bytes = Convert.ToHexStringLower(file.Bytes.Span.Slice(position, Math.Min(4, file.Bytes.Length - position)));
        return new DataException(
            file.Name,
            "UTF-8 text",
            $"the bytes {bytes} that are none",
            "Convert the file to UTF-8 (iconv -f ... -t UTF-8), or use level: byte",
            position: position);
    }
}
