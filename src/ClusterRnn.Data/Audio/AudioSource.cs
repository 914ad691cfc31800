// Sound as an endless stream of classes, one a sample, that a model predicts one after the other: recordings in order, or plucked
// strings that play a melody from a seed.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Sound, predicted sample by sample.</summary>
[Description("Sound (WAV files), predicted sample by sample as one of 256 levels (8-bit mu-law); a generated melody where no path is named.")]
public sealed record AudioData : DataConfig
{
    /// <summary>The generator's seed.</summary>
    [Description("The generator's seed; the job's own seed doesn't change the data.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How long the generated melody is.</summary>
    [Description("Seconds of the generated melody.")]
    [Range(1.0, 36_000.0)]
    public double Seconds { get; init; } = 30;

    /// <summary>Samples a second that all recordings must have.</summary>
    [Description("Samples a second that all recordings have.")]
    [Range(1000, 192_000)]
    public int SampleRate { get; init; } = 8000;
}

/// <summary>Opens sound.</summary>
public static class AudioSource
{
    private static readonly int[] Scale = [0, 2, 4, 7, 9, 12, 14, 16]; // semitones of two octaves without the half steps

    /// <summary>Opens the data of a section.</summary>
    /// <exception cref="DataException">A file is no recording of the right kind, or there are too few samples.</exception>
    internal static Dataset Open(AudioData config, Batching batching, string baseFolder)
    {
        (string name, int[] tokens, string sha256, int files, int others) = config.Path is null ? Generate(config) : Read(config, baseFolder);
        Range kept = config.Fold is { } fold ? TokenizedText.Part(tokens.Length, fold) : TokenizedText.LastShare(tokens.Length, config.Validation);
        int[] validation = tokens[kept], training = [.. tokens.AsSpan(0, kept.Start.Value), .. tokens.AsSpan(kept.End.Value)];
        long needed = ((long)batching.Rows * batching.Span) + 1;
        if (training.Length < needed || (validation.Length < 2 && config.Validation > 0))
        {
            throw new DataException(
                name, $"at least {needed} samples to train on ({batching.Rows} streams of one span of {batching.Span}, and one) and 2 to validate on", $"{training.Length} and {validation.Length}", "Take more sound, or a smaller batch.size or batch.span");
        }

        return new Dataset
        {
            Config = config,
            Training = new TokenStreamSource(training, batching.Rows, batching.Span, batching.LookBack, batching.CarryState, sha256),
            Validation = validation.Length < 2 ? null : new TokenStreamSource(validation, batching.EvaluationRows ?? batching.Rows, batching.Span, batching.Span, batching.CarryState, sha256),
            Sha256 = sha256,
            InputVocabulary = MuLaw.Classes,
            OutputWidth = MuLaw.Classes,
            PredictsNext = true,
            UnigramEntropy = TextStatistics.UnigramEntropy(training, MuLaw.Classes),
            Artefact = new DataArtefact(null, null),
            Notes =
            [
                $"{name}: {files} recording{(files == 1 ? "" : "s")}, {training.Length} samples to train and {validation.Length} to validate on, {config.SampleRate} a second",
                .. Dropped.Notes(name, (others, "files that are no .wav", "left out")),
            ],
        };
    }

    /// <summary>The classes of a recording's samples.</summary>
    /// <exception cref="DataException">It is no recording, or has another sample rate.</exception>
    public static int[] TokensOf(string name, ReadOnlySpan<byte> bytes, int sampleRate)
    {
        WavFile recording = WavFile.Parse(name, bytes);
        return recording.SampleRate == sampleRate ? Array.ConvertAll(recording.Samples, MuLaw.Encode) : throw new DataException(
            name, $"{sampleRate} samples a second", $"{recording.SampleRate}", $"Convert the recording (ffmpeg -i ... -ar {sampleRate} out.wav), or set data.sampleRate if all have {recording.SampleRate}");
    }

    private static (string Name, int[] Tokens, string Sha256, int Files, int Others) Read(AudioData config, string baseFolder)
    {
        Corpus corpus = Corpus.Open(config.Path!, baseFolder);
        var tokens = new List<int>();
        int files = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            if (file.Name.EndsWith(".wav", StringComparison.OrdinalIgnoreCase))
            {
                tokens.AddRange(TokensOf(file.Name, file.Bytes.Span, config.SampleRate));
                files++;
            }
        }

        return (corpus.Name, [.. tokens], corpus.Sha256, files, corpus.Files.Count - files);
    }

    // Notes of a few lengths, each a plucked string: harmonics that die away, the higher ones sooner.
    private static (string Name, int[] Tokens, string Sha256, int Files, int Others) Generate(AudioData config)
    {
        var key = new RandomKey(config.Seed, RandomPurpose.Generate, GeneratorLayer.Melodies, 0);
        float[] samples = new float[(int)(config.Seconds * config.SampleRate)];
        int degree = 3;
        for (int note = 0, at = 0; at < samples.Length; note++)
        {
            degree = Math.Clamp(degree + (int)key.Below(note, 0, 0, 5) - 2, 0, Scale.Length - 1);
            int length = (int)(config.SampleRate * 0.125) * (1 + (int)key.Below(note, 0, 1, 3));
            double pitch = 220.0 * ScalarMath.Pow(2.0, Scale[degree] / 12.0);
            for (int harmonic = 1; harmonic <= 4 && harmonic * pitch < 0.45 * config.SampleRate; harmonic++)
            {
                double cosine = ScalarMath.CosTurns(harmonic * pitch / config.SampleRate), sine = ScalarMath.SinTurns(harmonic * pitch / config.SampleRate);
                double fade = ScalarMath.Exp(-(1.5 + harmonic) / (0.3 * config.SampleRate)), x = 0, y = 0.5 / (harmonic * harmonic);
                for (int i = at; i < Math.Min(samples.Length, at + length); i++)
                {
                    samples[i] += (float)x;
                    (x, y) = (fade * ((x * cosine) + (y * sine)), fade * ((y * cosine) - (x * sine)));
                }
            }

            at += length;
        }

        return ("generated melody", Array.ConvertAll(samples, MuLaw.Encode), ExampleGenerators.Sha256($"melody 1 {config.Seed} {config.Seconds:R} {config.SampleRate}"), 1, 0);
    }
}
