// Sounds made like speech. A made word is of syllables, each a consonant (a burst or hiss of noise) and a vowel (harmonics of a
// voice, shaped by two resonances); voices differ in pitch, size and pace, and there is noise around.
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Says made words.</summary>
public static class MadeSpeech
{
    /// <summary>The words there are.</summary>
    public static IReadOnlyList<string> Words { get; } = ["kalu", "siko", "tame", "polu", "reki", "sasu", "nimo", "tolu"];

    // First and second resonance of a vowel, in hertz.
    private static readonly Dictionary<char, (double First, double Second)> Vowels = new()
    {
        ['a'] = (750, 1250),
        ['e'] = (500, 1850),
        ['i'] = (300, 2250),
        ['o'] = (480, 900),
        ['u'] = (330, 750),
    };

    /// <summary>A word, spoken by a voice of its own.</summary>
    /// <param name="word">Two syllables of a consonant and a vowel each.</param>
    /// <param name="key">The random numbers.</param>
    /// <param name="number">Which recording.</param>
    /// <param name="sampleRate">Samples a second.</param>
    public static float[] Say(string word, RandomKey key, long number, int sampleRate)
    {
        ArgumentNullException.ThrowIfNull(word);
        double Between(int element, double low, double high) => low + ((high - low) * key.UniformDouble(number, 1, element));
        double pitch = Between(0, 90, 240), size = Between(1, 0.88, 1.14), pace = Between(2, 0.8, 1.25), noise = Between(3, 0.002, 0.02), loudness = Between(4, 0.3, 0.9);
        var samples = new List<float>();
        void Silence(double ms) => samples.AddRange(new float[(int)(sampleRate * ms / 1000)]);
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
            int count = (int)(sampleRate * length * pace / 1000), first = samples.Count;
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
            int count = (int)(sampleRate * 0.14 * pace);
            float[] made = new float[count];
            for (int harmonic = 1; harmonic * voice < 0.45 * sampleRate; harmonic++)
            {
                double hertz = harmonic * voice;
                double level = 0.25 * (Resonance(hertz, first * size, 90) + (0.6 * Resonance(hertz, second * size, 130)) + 0.01);

                // A turning pointer instead of a sine for each sample.
                double cosine = ScalarMath.CosTurns(hertz / sampleRate), sine = ScalarMath.SinTurns(hertz / sampleRate), x = 0, y = level;
                for (int i = 0; i < count; i++)
                {
                    made[i] += (float)x;
                    (x, y) = ((x * cosine) + (y * sine), (y * cosine) - (x * sine));
                }
            }

            for (int i = 0; i < count; i++)
            {
                double edge = Math.Min(1, Math.Min(i, count - 1 - i) / (0.02 * sampleRate));
                samples.Add((float)(made[i] * edge));
            }
        }

        static double Resonance(double hertz, double centre, double width) => 1 / (1 + ((hertz - centre) * (hertz - centre) / (width * width)));
    }
}
