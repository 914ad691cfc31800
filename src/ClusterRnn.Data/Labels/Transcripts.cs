// What is said in recordings: tab-separated lines of a file's name and a text. One table for all, or one in each folder.
namespace ClusterRnn.Data;

/// <summary>The texts of some recordings.</summary>
internal sealed class Transcripts(SpeechData config, string baseFolder)
{
    /// <summary>What a table is called that lies beside its recordings.</summary>
    public const string BesideThem = "transcripts.tsv";

    private readonly List<Table> _tables = []; // in the order in which they were first needed
    private int _without;

    /// <summary>The SHA-256 of all tables that were read.</summary>
    public string Sha256 => string.Join(' ', _tables.Select(table => table.Sha256));

    /// <summary>The characters of what is said in a recording, or null if no line says it.</summary>
    /// <exception cref="DataException">There is no table, it is not well formed, or two recordings go by one line.</exception>
    public string[]? LabelsOf(string recording)
    {
        string path = config.Transcripts ?? Path.Combine(Path.GetDirectoryName(recording) ?? "", BesideThem);
        Table? table = _tables.Find(known => known.Path == path);
        if (table is null)
        {
            _tables.Add(table = Read(path));
        }

        string name = Path.GetFileNameWithoutExtension(recording);
        if (!table.Texts.TryGetValue(name, out (string Text, int Line) said))
        {
            _without++;
            return null;
        }

        return table.Heard.Add(name)
            ? [.. Tokens.Split(said.Text, TokenLevel.Character)]
            : throw new DataException(table.Name, "one recording for each name", $"a second '{name}.wav': {recording}", "Rename one of them", said.Line);
    }

    /// <summary>What was left out, and why.</summary>
    public IEnumerable<string> Notes(string name) =>
    [
        .. Dropped.Notes(name, (_without, "recordings of which no line says what is said", "left out")),
        .. _tables.SelectMany(table => Dropped.Notes(table.Name, (table.Texts.Count - table.Heard.Count, "lines without a recording", "left out"))),
    ];

    private Table Read(string path)
    {
        if (config.Transcripts is null && !File.Exists(path))
        {
            throw new DataException(
                "data.transcripts", "a table that says what is said, a line for each recording: file name, tab, text", $"no {path}", "Write one, or set data.transcripts to where it is");
        }

        Corpus corpus = Corpus.OpenOne(path, baseFolder, "table of texts (data.transcripts)");
        var table = new Table(path, corpus.Files[0].Name, corpus.Sha256);
        foreach ((int line, string[] cells) in TsvReader.Read(table.Name, TokenizedText.DecodeUtf8(corpus.Files[0]), 2, out _))
        {
            string name = Path.GetFileName(cells[0].Trim());
            name = name.EndsWith(".wav", StringComparison.OrdinalIgnoreCase) ? name[..^4] : name;
            string text = string.Join(' ', LabelledInput.Words(config.Lowercase ? cells[1].ToLowerInvariant() : cells[1]));
            if (name.Length == 0 || text.Length == 0)
            {
                throw new DataException(table.Name, "a file's name, a tab and what is said", $"'{cells[0]}' and '{cells[1]}'", "Complete the line, or remove it", line);
            }

            if (!table.Texts.TryAdd(name, (text, line)))
            {
                throw new DataException(table.Name, "one line for each recording", $"a second one for '{name}'", $"Remove it, or line {table.Texts[name].Line}", line);
            }
        }

        return table;
    }

    // Texts by file name without .wav, and the names of those whose recording was there; asked and counted, never enumerated.
    private sealed record Table(string Path, string Name, string Sha256)
    {
        public Dictionary<string, (string Text, int Line)> Texts { get; } = new(StringComparer.Ordinal);

        public HashSet<string> Heard { get; } = new(StringComparer.Ordinal);
    }
}
