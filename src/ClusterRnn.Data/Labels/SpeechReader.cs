// Recordings of speech and what is said in them: WAV files with a table of texts, or two or three made words by a voice. The labels are
// the text's characters in order; nobody says when they are spoken (Graves et al. 2006).
using System.Security.Cryptography;
using System.Text;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads recordings of speech.</summary>
internal sealed class SpeechReader(SpeechData config, string baseFolder) : RecordingReader(config), ILabelledReader
{
    private const string Blank = "<blank>"; // class 0, between labels and for none

    /// <inheritdoc/>
    public LabelPlaces Places => LabelPlaces.Somewhere;

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var texts = new Transcripts(config, baseFolder);
        RawExamples read = Read(corpus, texts.LabelsOf, Transcripts.BesideThem);
        return read with
        {
            Sha256 = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{read.Sha256} {texts.Sha256}"))),
            Notes = [.. read.Notes, .. texts.Notes(corpus.Name)],
        };
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Speech, 0);
        return Generate("speech 1", seed, count, number =>
        {
            string[] words = new string[2 + key.Below(number, 0, 0, 2)];
            var samples = new List<float>();
            for (int word = 0; word < words.Length; word++)
            {
                words[word] = MadeSpeech.Words[(int)key.Below(number, 0, 1 + word, MadeSpeech.Words.Count)];
                samples.AddRange(MadeSpeech.Say(words[word], key, number, config.SampleRate));
            }

            return ([.. samples], [.. Tokens.Split(string.Join(' ', words), TokenLevel.Character)]);
        });
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) => [Blank, .. ILabelledReader.LabelsIn(examples)];

    /// <inheritdoc/>
    public IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note)
    {
        var known = new HashSet<string>(artefact.Labels ?? [], StringComparer.Ordinal);
        int unknown = part.SelectMany(example => example.Labels).Count(label => !known.Contains(label));
        if (unknown > 0)
        {
            note($"left out {unknown} characters of texts that the training part doesn't have");
        }

        RawExample[] said = [.. part.Select(example => example with { Labels = [.. example.Labels.Where(known.Contains)] }).Where(example => example.Labels.Length > 0)];
        RawExample[] fitting = [.. said.Where(example => LabelledExamples.StepsFor(example.Labels) <= example.Values!.Length / FeatureWidth)];
        if (fitting.Length < said.Length)
        {
            note($"left out {said.Length - fitting.Length} recordings that are too short for their texts, such as {said.Except(fitting).First().Name}");
        }

        return fitting;
    }
}
