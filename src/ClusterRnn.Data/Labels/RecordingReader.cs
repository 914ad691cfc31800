// What applications that read recordings have in common: a time step is a logarithmic mel spectrum.
namespace ClusterRnn.Data;

/// <summary>Reads recordings as spectra.</summary>
internal abstract class RecordingReader(RecordingsData config) : ILabelledReader
{
    private readonly LogMel _spectra = new(config.SampleRate, config.Bands, config.WindowMs, config.HopMs);

    /// <inheritdoc/>
    public string Unit => "recording";

    /// <inheritdoc/>
    public int FeatureWidth => config.Bands;

    /// <inheritdoc/>
    public virtual LabelPlaces Places => LabelPlaces.Last;

    /// <inheritdoc/>
    public abstract RawExamples Generate(ulong seed, int count);

    /// <inheritdoc/>
    public virtual IReadOnlyList<string> LabelsOf(IReadOnlyList<RawExample> examples, Vocabulary? vocabulary) =>
        [.. examples.SelectMany(example => example.Labels).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <inheritdoc/>
    public virtual IReadOnlyList<RawExample> Finish(IReadOnlyList<RawExample> part, bool trains, DataArtefact artefact, Action<string> note) => part;

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

            if (LabelsOf(file.Name) is not { } labels)
            {
                continue;
            }

            float[] values = SpectraOf(file.Name, file.Bytes.Span, out bool wasCut);
            cut += wasCut ? 1 : 0;
            examples.Add(new RawExample(file.Name, null, null, values, labels) { IsTest = config.TestFiles is { } pattern && FileSearch.Matches(pattern, Path.GetFileName(file.Name)) });
        }

        if (config.TestFiles is not null && !examples.Any(example => example.IsTest))
        {
            throw new DataException("data.testFiles", "a pattern that fits some file's name", $"'{config.TestFiles}', which fits none of {examples.Count}", "Correct it");
        }

        return new RawExamples(corpus.Name, examples, Sha256Of(corpus.Sha256), [
            .. Dropped.Notes(corpus.Name, (others, OtherFiles, "left out"), (cut, $"recordings longer than {config.MaximumSeconds} s", "cut")), .. LabelNotes(corpus.Name)]);
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

    /// <summary>The spectra of samples, centered if that is asked.</summary>
    protected float[] Spectra(ReadOnlySpan<float> samples)
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

    /// <summary>What is left out beside the recordings.</summary>
    protected virtual string OtherFiles => "files that are no .wav";

    /// <summary>The labels of a recording; null: it has none and is left out.</summary>
    /// <exception cref="DataException">Its name is not as it should be.</exception>
    protected abstract string[]? LabelsOf(string file);

    /// <summary>The SHA-256 of the recordings and whatever else was read.</summary>
    protected virtual string Sha256Of(string recordings) => recordings;

    /// <summary>What was left out of the labels, and why.</summary>
    protected virtual IReadOnlyList<string> LabelNotes(string name) => [];
}
