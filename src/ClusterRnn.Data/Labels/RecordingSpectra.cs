// From a recording to what a model reads: a time step is a logarithmic mel spectrum.
namespace ClusterRnn.Data;

/// <summary>Makes spectra of recordings, as a section asks.</summary>
internal sealed class RecordingSpectra(RecordingsData config)
{
    private readonly LogMel _spectra = new(config.SampleRate, config.Bands, config.WindowMs, config.HopMs);

    /// <summary>The spectra of a file.</summary>
    /// <exception cref="DataException">It is no recording of the right kind.</exception>
    public float[] SpectraOf(string name, ReadOnlySpan<byte> bytes, out bool wasCut)
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
    public float[] Spectra(ReadOnlySpan<float> samples)
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
}
