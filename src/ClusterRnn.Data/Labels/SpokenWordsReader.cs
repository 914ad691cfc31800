// Recordings of a word each: WAV files named by their word, or made words.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads recordings of a word each.</summary>
internal sealed class SpokenWordsReader(SpokenWordsData config) : RecordingReader(config)
{
    /// <inheritdoc/>
    public override RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.SpokenWords, 0);
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            string word = MadeSpeech.Words[(int)key.Below(i, 0, 0, MadeSpeech.Words.Count)];
            examples.Add(new RawExample($"generated recording {i + 1}", null, null, Spectra(MadeSpeech.Say(word, key, i, config.SampleRate)), [word]));
        }

        return new RawExamples(
            "generated recordings", examples, ExampleGenerators.Sha256($"spoken words 1 {seed} {count} {config.SampleRate} {config.Bands} {config.WindowMs:R} {config.HopMs:R}{(config.Center ? " centered" : "")}"), []);
    }

    /// <inheritdoc/>
    protected override string[] LabelsOf(string file)
    {
        string name = Path.GetFileNameWithoutExtension(file);
        string label = config.Label == RecordingLabel.File ? name.Split('_')[0] : Path.GetFileName(Path.GetDirectoryName(file)) ?? "";
        return label.Length > 0 && (config.Label != RecordingLabel.File || label != name)
            ? [label]
            : throw new DataException(file, "a file name that begins with its word and an underscore", $"'{Path.GetFileName(file)}'", "Rename it, or set data.label: folder");
    }
}
