// Recordings of a word each: WAV files named by their word, or made words.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads recordings of a word each.</summary>
internal sealed class SpokenWordsReader(SpokenWordsData config) : RecordingReader(config), ILabelledReader
{
    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus) => Read(corpus, LabelOf);

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.SpokenWords, 0);
        return Generate("spoken words 1", seed, count, number =>
        {
            string word = MadeSpeech.Words[(int)key.Below(number, 0, 0, MadeSpeech.Words.Count)];
            return (MadeSpeech.Say(word, key, number, config.SampleRate), [word]);
        });
    }

    private string[] LabelOf(string file)
    {
        string name = Path.GetFileNameWithoutExtension(file);
        string label = config.Label == RecordingLabel.File ? name.Split('_')[0] : Path.GetFileName(Path.GetDirectoryName(file)) ?? "";
        return label.Length > 0 && (config.Label != RecordingLabel.File || label != name)
            ? [label]
            : throw new DataException(file, "a file name that begins with its word and an underscore", $"'{Path.GetFileName(file)}'", "Rename it, or set data.label: folder");
    }
}
