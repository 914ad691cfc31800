// Recordings of a word each: WAV files named by their word, or sounds made like speech. A made word is two syllables, each a
// consonant (a burst or hiss of noise) and a vowel (harmonics of a voice, shaped by two resonances); voices differ in pitch, size
// and pace, and there is noise around.
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Reads recordings of a word each.</summary>
internal sealed class SpokenWordsReader(SpokenWordsData config) : ILabelledReader
{
    private static readonly string[] Words = ["kalu", "siko", "tame", "polu", "reki", "sasu", "nimo", "tolu"];

    // First and second resonance of a vowel, in hertz.
    private static readonly Dictionary<char, (double First, double Second)> Vowels = new()
    {
        ['a'] = (750, 1250),
        ['e'] = (500, 1850),
        ['i'] = (300, 2250),
        ['o'] = (480, 900),
        ['u'] = (330, 750),
    };

    private readonly LogMel _spectra = new(config.SampleRate, config.Bands, config.WindowMs, config.HopMs);

    /// <inheritdoc/>
    public string Unit => "recording";

    /// <inheritdoc/>
    public int FeatureWidth => config.Bands;

    /// <inheritdoc/>
    public RawExamples Read(Corpus corpus)
    {
        var examples = new List<RawExample>();
        int others = 0, cut = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            if (!file.Name.EndsWith(".wav", StringComparison.OrdinalIgnoreCase))
            {
                others++;
                continue;
            }

            string name = Path.GetFileNameWithoutExtension(file.Name);
            string label = config.Label == RecordingLabel.File ? name.Split('_')[0] : Path.GetFileName(Path.GetDirectoryName(file.Name)) ?? "";
            if (label.Length == 0 || (config.Label == RecordingLabel.File && label == name))
            {
                throw new DataException(file.Name, "a file name that begins with its word and an underscore", $"'{Path.GetFileName(file.Name)}'", "Rename it, or set data.label: folder");
            }

            float[] values = SpectraOf(file.Name, file.Bytes.Span, out bool wasCut);
            cut += wasCut ? 1 : 0;
            examples.Add(new RawExample(file.Name, null, null, values, [label]) { IsTest = config.TestFiles is { } pattern && FileSearch.Matches(pattern, Path.GetFileName(file.Name)) });
        }

        if (config.TestFiles is not null && !examples.Any(example => example.IsTest))
        {
            throw new DataException("data.testFiles", "a pattern that fits some file's name", $"'{config.TestFiles}', which fits none of {examples.Count}", "Correct it");
        }

        return new RawExamples(corpus.Name, examples, corpus.Sha256, Dropped.Notes(
            corpus.Name, (others, "files that are no .wav", "left out"), (cut, $"recordings longer than {config.MaximumSeconds} s", "cut")));
    }

    /// <summary>The spectra of a file.</summary>
    /// <exception cref="DataException">It is no recording of the right kind.</exception>
    internal float[] SpectraOf(string name, ReadOnlySpan<byte> bytes, out bool wasCut)
    {
        WavFile recording = WavFile.Parse(name, bytes);
        if (recording.SampleRate != config.SampleRate)
        {
            throw new DataException(name, $"{config.SampleRate} samples a second", $"{recording.SampleRate}", $"Convert the recording (ffmpeg -i ... -ar {config.SampleRate} out.wav), or set data.sampleRate if all have {recording.SampleRate}");
        }

        int most = (int)(config.MaximumSeconds * config.SampleRate);
        wasCut = recording.Samples.Length > most;
        return Spectra(recording.Samples.AsSpan(0, Math.Min(most, recording.Samples.Length)));
    }

    private float[] Spectra(ReadOnlySpan<float> samples)
    {
        float[] values = _spectra.Of(samples);
        double[] means = new double[config.Bands];
        for (int i = 0; i < values.Length && config.Center; i++)
        {
            means[i % config.Bands] += values[i];
        }

        int steps = values.Length / config.Bands;
        for (int i = 0; i < values.Length && config.Center; i++)
        {
            values[i] -= (float)(means[i % config.Bands] / steps);
        }

        return values;
    }

    /// <inheritdoc/>
    public RawExamples Generate(ulong seed, int count)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.SpokenWords, 0);
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            string word = Words[key.Below(i, 0, 0, Words.Length)];
            examples.Add(new RawExample($"generated recording {i + 1}", null, null, Spectra(Say(word, key, i)), [word]));
        }

        return new RawExamples(
            "generated recordings", examples, ExampleGenerators.Sha256($"spoken words 1 {seed} {count} {config.SampleRate} {config.Bands} {config.WindowMs:R} {config.HopMs:R}{(config.Center ? " centered" : "")}"), []);
    }

    /// <inheritdoc/>
    public SeriesScaler? ScalerOf(IReadOnlyList<RawExample> examples)
    {
        double[] sums = new double[config.Bands], squares = new double[config.Bands];
        long steps = 0;
        foreach (float[] values in examples.Select(example => example.Values!))
        {
            steps += values.Length / config.Bands;
            for (int i = 0; i < values.Length; i++)
            {
                sums[i % config.Bands] += values[i];
                squares[i % config.Bands] += (double)values[i] * values[i];
            }
        }

        double[] offsets = [.. sums.Select(sum => sum / steps)];
        double[] scales = [.. squares.Select((square, band) => Math.Sqrt(Math.Max(0, (square / steps) - (offsets[band] * offsets[band]))) is > 1e-3 and double deviation ? deviation : 1)];
        return SeriesScaler.Of([.. Enumerable.Range(1, config.Bands).Select(band => $"band {band}")], offsets, scales);
    }

    /// <summary>A word, spoken by a voice of its own.</summary>
    /// <param name="word">Two syllables of a consonant and a vowel each.</param>
    /// <param name="key">The random numbers.</param>
    /// <param name="number">Which recording.</param>
    internal float[] Say(string word, RandomKey key, long number)
    {
        double Between(int element, double low, double high) => low + ((high - low) * key.UniformDouble(number, 1, element));
        double pitch = Between(0, 90, 240), size = Between(1, 0.88, 1.14), pace = Between(2, 0.8, 1.25), noise = Between(3, 0.002, 0.02), loudness = Between(4, 0.3, 0.9);
        var samples = new List<float>();
        void Silence(double ms) => samples.AddRange(new float[(int)(config.SampleRate * ms / 1000)]);
        Silence(Between(5, 20, 120));
        for (int syllable = 0; syllable < word.Length / 2; syllable++)
        {
            Consonant(word[2 * syllable]);
            Vowel(word[(2 * syllable) + 1], (Between(10 + syllable, 0.9, 1.1) * pitch) - (syllable * 0.1 * pitch));
        }

        Silence(Between(6, 20, 120));
        for (int i = 0; i < samples.Count; i++)
        {
            samples[i] = (float)((loudness * samples[i]) + (noise * key.NormalDeviateDouble(number, 3, i)));
        }

        return [.. samples];

        void Consonant(char sound)
        {
            // s hisses, k and t and p burst after a silence, the others begin with the voice.
            (double silence, double length, double level) = sound switch { 's' => (0, 90, 0.25), 'k' => (35, 25, 0.3), 't' => (35, 15, 0.4), 'p' => (40, 10, 0.2), _ => (10, 0, 0) };
            Silence(silence * pace);
            int count = (int)(config.SampleRate * length * pace / 1000), first = samples.Count;
            double last = 0;
            for (int i = 0; i < count; i++)
            {
                double white = key.NormalDeviateDouble(number, 2, first + i);
                samples.Add((float)(level * (sound == 'p' ? 0.5 * (white + last) : sound == 'k' ? white : 0.6 * (white - last))));
                last = white;
            }
        }

        void Vowel(char sound, double voice)
        {
            (double first, double second) = Vowels[sound];
            int count = (int)(config.SampleRate * 0.14 * pace);
            float[] made = new float[count];
            for (int harmonic = 1; harmonic * voice < 0.45 * config.SampleRate; harmonic++)
            {
                double hertz = harmonic * voice;
                double level = 0.25 * (Resonance(hertz, first * size, 90) + (0.6 * Resonance(hertz, second * size, 130)) + 0.01);

                // A turning pointer instead of a sine for each sample.
                double cosine = ScalarMath.CosTurns(hertz / config.SampleRate), sine = ScalarMath.SinTurns(hertz / config.SampleRate), x = 0, y = level;
                for (int i = 0; i < count; i++)
                {
                    made[i] += (float)x;
                    (x, y) = ((x * cosine) + (y * sine), (y * cosine) - (x * sine));
                }
            }

            for (int i = 0; i < count; i++)
            {
                double edge = Math.Min(1, Math.Min(i, count - 1 - i) / (0.02 * config.SampleRate));
                samples.Add((float)(made[i] * edge));
            }
        }

        static double Resonance(double hertz, double centre, double width) => 1 / (1 + ((hertz - centre) * (hertz - centre) / (width * width)));
    }
}
