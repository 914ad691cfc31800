// What token ids stand for. A vocabulary is computed once, by whoever opens the corpus first, and travels as an
// artefact with a hash; every token is a piece of UTF-8, so that ids decode back to text by concatenation.
//
// Order: characters ascend by scalar value; words descend by count, ties ascend ordinally by scalar values; <unk>, where
// there is one, is id 0; bytes are their own ids.
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ClusterRnn.Data;

/// <summary>The tokens of a text job: ids to pieces of text and back.</summary>
public sealed class Vocabulary
{
    /// <summary>What &lt;unk&gt; looks like.</summary>
    public const string UnknownText = "<unk>";

    private static readonly JsonSerializerOptions JsonForm = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    private readonly Dictionary<string, int> _ids;
    private readonly byte[][] _bytes;

    /// <summary>A vocabulary of known entries.</summary>
    /// <param name="level">What a token is.</param>
    /// <param name="entries">The tokens' texts by id, without &lt;unk&gt;; empty at byte level.</param>
    /// <param name="hasUnknown">Whether id 0 is &lt;unk&gt; and the entries start at 1.</param>
    /// <exception cref="DataException">Two entries are the same, or an entry is no token of the level.</exception>
    public Vocabulary(TokenLevel level, IReadOnlyList<string> entries, bool hasUnknown)
    {
        Level = level;
        Entries = entries;
        HasUnknown = hasUnknown;
        int offset = hasUnknown ? 1 : 0;
        _ids = new Dictionary<string, int>(entries.Count, StringComparer.Ordinal);
        Size = level == TokenLevel.Byte ? 256 : entries.Count + offset;
        _bytes = new byte[Size][];
        if (level == TokenLevel.Byte)
        {
            if (entries.Count > 0 || hasUnknown)
            {
                throw new DataException("vocabulary", "no entries at byte level", $"{entries.Count}", "Take the artefact the training wrote");
            }

            for (int i = 0; i < 256; i++)
            {
                _bytes[i] = [(byte)i];
            }
        }
        else
        {
            if (hasUnknown)
            {
                _bytes[0] = Encoding.UTF8.GetBytes(UnknownText);
            }

            for (int i = 0; i < entries.Count; i++)
            {
                if (!_ids.TryAdd(entries[i], i + offset) || entries[i].Length == 0)
                {
                    throw new DataException(
                        "vocabulary", "different entries, none of them empty", $"'{entries[i]}' as entry {i} again", "Take the artefact the training wrote");
                }

                _bytes[i + offset] = Encoding.UTF8.GetBytes(entries[i]);
            }
        }

        Sha256 = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(ToJson())));
    }

    /// <summary>What a token is.</summary>
    public TokenLevel Level { get; }

    /// <summary>The tokens' texts, without &lt;unk&gt;; empty at byte level.</summary>
    public IReadOnlyList<string> Entries { get; }

    /// <summary>Whether id 0 is &lt;unk&gt;.</summary>
    public bool HasUnknown { get; }

    /// <summary>How many ids there are.</summary>
    public int Size { get; }

    /// <summary>The SHA-256 of <see cref="ToJson"/> as UTF-8, lower-case hexadecimal.</summary>
    public string Sha256 { get; }

    /// <summary>The vocabulary as an artefact, the same text every time.</summary>
    public string ToJson() => JsonSerializer.Serialize(new Artefact(Level, HasUnknown, Entries), JsonForm);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="DataException">It is no vocabulary.</exception>
    public static Vocabulary FromJson(string json)
    {
        Artefact? artefact;
        try
        {
            artefact = JsonSerializer.Deserialize<Artefact>(json, JsonForm);
        }
        catch (JsonException fault)
        {
            throw new DataException("vocabulary", "a vocabulary as JSON", fault.Message.TrimEnd('.'), "Take the artefact the training wrote", inner: fault);
        }

        return artefact is null
            ? throw new DataException("vocabulary", "a vocabulary as JSON", "null", "Take the artefact the training wrote")
            : new Vocabulary(artefact.Level, artefact.Entries, artefact.HasUnknown);
    }

    /// <summary>The id of one token's text, &lt;unk&gt;'s id where it is unknown, or -1 when there is no &lt;unk&gt;.</summary>
    public int IdOf(string token) => _ids.TryGetValue(token, out int id) ? id : HasUnknown ? 0 : -1;

    /// <summary>The UTF-8 bytes one token stands for.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such id.</exception>
    public ReadOnlyMemory<byte> BytesOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, Size);
        return _bytes[id];
    }

    /// <summary>What a token is called in a table or a figure: as it is shown, a word without the space before it.</summary>
    /// <param name="id">The token.</param>
    public string NameOf(int id)
    {
        string text = Show(id);
        return text.Length > 1 && text[0] == ' ' ? text[1..] : text;
    }

    /// <summary>How one token is shown in a table: its text, with control characters and stray bytes as escapes.</summary>
    public string Show(int id)
    {
        string text = Level == TokenLevel.Byte && id >= 0x80 ? $"\\x{id:x2}" : Encoding.UTF8.GetString(BytesOf(id).Span);
        var shown = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            shown.Append(rune.Value switch
            {
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                _ when Rune.IsControl(rune) => $"\\u{{{rune.Value:x}}}",
                _ => rune.ToString(),
            });
        }

        return shown.ToString();
    }

    /// <summary>The text of some ids; bytes that are no UTF-8 become U+FFFD.</summary>
    public string Decode(ReadOnlySpan<int> ids)
    {
        using var bytes = new MemoryStream();
        foreach (int id in ids)
        {
            bytes.Write(BytesOf(id).Span);
        }

        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    /// <summary>The ids of a text, for instance of a prompt.</summary>
    /// <exception cref="DataException">A character the training text didn't have, where there is no &lt;unk&gt;.</exception>
    public int[] Encode(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (Level == TokenLevel.Byte)
        {
            return Array.ConvertAll(bytes, value => (int)value);
        }

        var ids = new List<int>();
        int position = 0;
        foreach (string token in Tokens.Split(text, Level))
        {
            int id = IdOf(token);
            if (id < 0)
            {
                throw new DataException(
                    "text", "characters of the training text", $"'{token}' (U+{char.ConvertToUtf32(token, 0):X4})", "Leave it out, or train with minimumCount: 2 so that there is an <unk>", position: position);
            }

            ids.Add(id);
            position += Encoding.UTF8.GetByteCount(token);
        }

        return [.. ids];
    }

    private sealed record Artefact(TokenLevel Level, bool HasUnknown, IReadOnlyList<string> Entries);
}
