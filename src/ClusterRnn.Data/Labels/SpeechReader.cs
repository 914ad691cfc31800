// Recordings of speech and what is said in them: WAV files and a table of texts, or two or three made words by a voice. The labels are
// the text's characters in order; nobody says when they are spoken (Graves et al. 2006).
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads recordings of speech.</summary>
internal sealed class SpeechReader(SpeechData config, string baseFolder) : RecordingReader(config)
{
    /// <summary>Class 0, which stands between labels and for none.</summary>
    public const string Blank = "<blank>";

    private const string BesideThem = "transcripts.tsv";

    private Dictionary<string, (string Text, int Line)>? _texts; // by file name without .wav
    private string _textsName = "";
    private string _textsSha256 = "";
    private int _without;
    private readonly HashSet<string> _heard = new(StringComparer.Ordinal); // asked and counted, never enumerated

    /// <inheritdoc/>
    public override LabelPlaces Places => LabelPlaces.Somewhere;

    /// <inheritdoc/>
    public override RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Speech, 0);
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            string[] words = new string[2 + key.Below(i, 0, 0, 2)];
            var samples = new List<float>();
            for (int word = 0; word < words.Length; word++)
            {
                words[word] = MadeSpeech.Words[(int)key.Below(i, 0, 1 + word, MadeSpeech.Words.Count)];
                samples.AddRange(MadeSpeech.Say(words[word], key, i, config.SampleRate));
            }

            examples.Add(new RawExample($"generated recording {i + 1}", null, null, Spectra([.. samples]), [.. Tokens.Split(string.Join(' ', words), TokenLevel.Character)]));
        }

        return new RawExamples(
            "generated recordings", examples, ExampleGenerators.Sha256($"speech 1 {seed} {count} {config.SampleRate} {config.Bands} {config.WindowMs:R} {config.HopMs:R}{(config.Center ? " centered" : "")}"), []);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) => [Blank, .. base.LabelsOf(examples, vocabulary)];

    /// <inheritdoc/>
    public override IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note)
    {
        var known = new HashSet<string>(artefact.Labels ?? [], StringComparer.Ordinal);
        int unknown = part.SelectMany(example => example.Labels).Count(label => !known.Contains(label));
        if (unknown == 0)
        {
            return part;
        }

        note($"left out {unknown} characters of texts that the training part doesn't have");
        return [.. part.Select(example => example with { Labels = [.. example.Labels.Where(known.Contains)] }).Where(example => example.Labels.Length > 0)];
    }

    /// <inheritdoc/>
    protected override string OtherFiles => "files that are no .wav (the transcripts may be among them)";

    /// <inheritdoc/>
    protected override string[]? LabelsOf(string file)
    {
        string name = Path.GetFileNameWithoutExtension(file);
        if (!(_texts ??= ReadTexts(file)).TryGetValue(name, out (string Text, int Line) said))
        {
            _without++;
            return null;
        }

        return _heard.Add(name)
            ? [.. Tokens.Split(said.Text, TokenLevel.Character)]
            : throw new DataException(_textsName, "one recording for each name", $"a second '{name}.wav': {file}", "Rename one of them", said.Line);
    }

    /// <inheritdoc/>
    protected override string Sha256Of(string recordings) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(recordings + ' ' + _textsSha256)));

    /// <inheritdoc/>
    protected override IReadOnlyList<string> LabelNotes(string name) =>
        Dropped.Notes(name, (_without, $"recordings without a line in {_textsName}", "left out"), ((_texts?.Count ?? 0) - _heard.Count, $"lines of {_textsName} without a recording", "left out"));

    private Dictionary<string, (string Text, int Line)> ReadTexts(string recording)
    {
        string path = config.Transcripts ?? Path.Combine(Path.GetDirectoryName(recording) ?? "", BesideThem);
        if (config.Transcripts is null && !File.Exists(path))
        {
            throw new DataException(
                "data.transcripts", "a table that says what is said, a line for each recording: file name, tab, text", $"no {path}", "Write one, or set data.transcripts to where it is");
        }

        Corpus corpus = Corpus.OpenOne(path, baseFolder, "table of texts (data.transcripts)");
        (_textsName, _textsSha256) = (corpus.Files[0].Name, corpus.Sha256);
        var texts = new Dictionary<string, (string, int)>(StringComparer.Ordinal);
        foreach ((int line, string[] cells) in TsvReader.Read(_textsName, TokenizedText.DecodeUtf8(corpus.Files[0]), 2, out _))
        {
            string name = Path.GetFileName(cells[0].Trim());
            name = name.EndsWith(".wav", StringComparison.OrdinalIgnoreCase) ? name[..^4] : name;
            string text = string.Join(' ', LabelledInput.Words(config.Lowercase ? cells[1].ToLowerInvariant() : cells[1]));
            if (name.Length == 0 || text.Length == 0)
            {
                throw new DataException(_textsName, "a file's name, a tab and what is said", $"'{cells[0]}' and '{cells[1]}'", "Complete the line, or remove it", line);
            }

            if (!texts.TryAdd(name, (text, line)))
            {
                throw new DataException(_textsName, "one line for each recording", $"a second one for '{name}'", $"Remove it, or line {texts[name].Item2}", line);
            }
        }

        return texts;
    }
}
