// What applications that read recordings have in common.
namespace ClusterRnn.Data;

/// <summary>Reads recordings as spectra.</summary>
internal abstract class RecordingReader(RecordingsData config)
{
    private readonly RecordingSpectra _spectra = new(config);

    /// <summary>What one example is called.</summary>
    public string Unit => "recording";

    /// <summary>Values a time step.</summary>
    public int FeatureWidth => config.Bands;

    /// <summary>Whether a file is called as recordings are.</summary>
    public static bool IsRecording(string name) => name.EndsWith(".wav", StringComparison.OrdinalIgnoreCase);

    /// <summary>The mean and deviation of each band in the examples that train.</summary>
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

    /// <summary>Reads the recordings among some files.</summary>
    /// <param name="corpus">The files.</param>
    /// <param name="labelsOf">The labels of a recording by its path; null: it has none and is left out.</param>
    /// <param name="beside">What a file may be called that lies beside the recordings and is none.</param>
    protected RawExamples Read(Corpus corpus, Func<string, string[]?> labelsOf, string? beside = null)
    {
        var examples = new List<RawExample>();
        int others = 0, cut = 0;
        foreach (CorpusFile file in corpus.Files)
        {
            if (!IsRecording(file.Name))
            {
                others += Path.GetFileName(file.Name) == beside ? 0 : 1;
            }
            else if (labelsOf(file.Name) is { } labels)
            {
                float[] values = _spectra.SpectraOf(file.Name, file.Bytes.Span, out bool wasCut);
                cut += wasCut ? 1 : 0;
                examples.Add(new RawExample(file.Name, null, null, values, labels) { IsTest = config.TestFiles is { } pattern && FileSearch.Matches(pattern, Path.GetFileName(file.Name)) });
            }
        }

        if (config.TestFiles is not null && !examples.Any(example => example.IsTest))
        {
            throw new DataException("data.testFiles", "a pattern that fits some file's name", $"'{config.TestFiles}', which fits none of {examples.Count}", "Correct it");
        }

        return new RawExamples(corpus.Name, examples, corpus.Sha256, Dropped.Notes(
            corpus.Name, (others, "files that are no .wav", "left out"), (cut, $"recordings longer than {config.MaximumSeconds} s", "cut")));
    }

    /// <summary>Generated recordings of what is said, each with its labels.</summary>
    /// <param name="kind">What the generator and its version are called, in the data's hash.</param>
    /// <param name="seed">The generator's seed.</param>
    /// <param name="count">How many.</param>
    /// <param name="say">Says a recording by its number.</param>
    protected RawExamples Generate(string kind, ulong seed, int count, Func<int, (float[] Samples, string[] Labels)> say)
    {
        var examples = new List<RawExample>(count);
        for (int i = 0; i < count; i++)
        {
            (float[] samples, string[] labels) = say(i);
            examples.Add(new RawExample($"generated recording {i + 1}", null, null, _spectra.Spectra(samples), labels));
        }

        return new RawExamples(
            "generated recordings", examples, ExampleGenerators.Sha256($"{kind} {seed} {count} {config.SampleRate} {config.Bands} {config.WindowMs:R} {config.HopMs:R}{(config.Center ? " centered" : "")}"), []);
    }
}
