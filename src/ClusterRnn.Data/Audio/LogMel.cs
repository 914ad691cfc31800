// Logarithmic mel spectra: a Hann window moves over the recording; of each place the power spectrum (by a fast Fourier
// transform) is summed in triangular bands that are equally wide on the mel scale (Davis and Mermelstein 1980), and the
// logarithm taken. Sines, cosines and logarithms are our own: every machine reads the same values.
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Data;

/// <summary>Makes spectra of recordings.</summary>
public sealed class LogMel
{
    private const double Floor = 1e-8; // of a band's energy: silence
    private const double PreEmphasis = 0.97;

    private readonly int _window;
    private readonly int _hop;
    private readonly int _size; // of the transform: a power of two
    private readonly double[] _hann; // [window]
    private readonly double[] _cosines; // [size / 2]
    private readonly double[] _sines; // [size / 2]
    private readonly (int First, double[] Weights)[] _filters; // [bands]

    /// <summary>Prepares windows and bands.</summary>
    /// <param name="sampleRate">Samples a second.</param>
    /// <param name="bands">How many bands.</param>
    /// <param name="windowMs">Milliseconds of a window.</param>
    /// <param name="hopMs">Milliseconds from one window to the next.</param>
    /// <exception cref="DataException">A window or hop has less than two samples or one, or there are more bands than the spectrum tells apart.</exception>
    public LogMel(int sampleRate, int bands, double windowMs, double hopMs)
    {
        Bands = bands;
        _window = (int)(sampleRate * windowMs / 1000);
        _hop = (int)(sampleRate * hopMs / 1000);
        if (_window < 2 || _hop < 1)
        {
            throw new DataException("data.windowMs", "at least two samples in a window and one in a hop", $"{_window} and {_hop}", "Make data.windowMs and data.hopMs longer");
        }

        for (_size = 2; _size < _window; _size *= 2)
        {
        }

        _hann = [.. Enumerable.Range(0, _window).Select(i => 0.5 - (0.5 * ScalarMath.CosTurns(i / (double)_window)))];
        _cosines = [.. Enumerable.Range(0, _size / 2).Select(i => ScalarMath.CosTurns(i / (double)_size))];
        _sines = [.. Enumerable.Range(0, _size / 2).Select(i => ScalarMath.SinTurns(i / (double)_size))];
        double top = Mel(sampleRate / 2.0);
        double[] edges = [.. Enumerable.Range(0, bands + 2).Select(i => Hertz(top * i / (bands + 1)) * _size / sampleRate)];
        _filters = new (int, double[])[bands];
        for (int band = 0; band < bands; band++)
        {
            _filters[band] = Filter(edges[band], edges[band + 1], edges[band + 2]);
        }
    }

    /// <summary>Bands: values of a time step.</summary>
    public int Bands { get; }

    /// <summary>The time steps of a recording of so many samples: at least one, the last window filled up with silence.</summary>
    public int StepsOf(int samples) => samples <= _window ? 1 : ((samples - _window + _hop - 1) / _hop) + 1;

    /// <summary>The spectra of a recording.</summary>
    /// <param name="samples">Its samples.</param>
    /// <returns>[steps, bands].</returns>
    public float[] Of(ReadOnlySpan<float> samples)
    {
        int steps = StepsOf(samples.Length);
        float[] result = new float[steps * Bands];
        double[] real = new double[_size], imaginary = new double[_size], power = new double[(_size / 2) + 1];
        for (int step = 0; step < steps; step++)
        {
            Array.Clear(real);
            Array.Clear(imaginary);
            for (int i = 0, at = step * _hop; i < _window && at < samples.Length; i++, at++)
            {
                real[i] = _hann[i] * (samples[at] - (at == 0 ? 0 : PreEmphasis * samples[at - 1]));
            }

            Transform(real, imaginary);
            for (int i = 0; i < power.Length; i++)
            {
                power[i] = (real[i] * real[i]) + (imaginary[i] * imaginary[i]);
            }

            for (int band = 0; band < Bands; band++)
            {
                (int first, double[] weights) = _filters[band];
                double energy = 0;
                for (int i = 0; i < weights.Length; i++)
                {
                    energy = Math.FusedMultiplyAdd(weights[i], power[first + i], energy);
                }

                result[(step * Bands) + band] = (float)ScalarMath.Log(Math.Max(Floor, energy));
            }
        }

        return result;
    }

    private static double Mel(double hertz) => 1127.0 * ScalarMath.Log(1.0 + (hertz / 700.0));

    private static double Hertz(double mel) => 700.0 * ScalarMath.ExpMinusOne(mel / 1127.0);

    // A triangle over places of the spectrum; a band too narrow for one takes the nearest.
    private (int First, double[] Weights) Filter(double low, double middle, double high)
    {
        int first = (int)Math.Ceiling(low), last = Math.Min(_size / 2, (int)Math.Floor(high));
        if (first > last)
        {
            return (Math.Min(_size / 2, (int)Math.Round(middle)), [1.0]);
        }

        double[] weights = [.. Enumerable.Range(first, last - first + 1).Select(at => at <= middle ? (at - low) / (middle - low) : (high - at) / (high - middle))];
        return weights.Any(weight => weight > 0) ? (first, weights) : (Math.Min(_size / 2, (int)Math.Round(middle)), [1.0]);
    }

    // Cooley and Tukey's, in place: places in reversed order, then butterflies.
    private void Transform(double[] real, double[] imaginary)
    {
        for (int i = 1, j = 0; i < _size; i++)
        {
            int bit = _size >> 1;
            for (; (j & bit) != 0; bit >>= 1)
            {
                j ^= bit;
            }

            j |= bit;
            if (i < j)
            {
                (real[i], real[j]) = (real[j], real[i]);
            }
        }

        for (int length = 2; length <= _size; length *= 2)
        {
            int half = length / 2, step = _size / length;
            for (int start = 0; start < _size; start += length)
            {
                for (int k = 0; k < half; k++)
                {
                    double cosine = _cosines[k * step], sine = -_sines[k * step];
                    int a = start + k, b = a + half;
                    double turnedReal = (real[b] * cosine) - (imaginary[b] * sine), turnedImaginary = (real[b] * sine) + (imaginary[b] * cosine);
                    (real[b], imaginary[b]) = (real[a] - turnedReal, imaginary[a] - turnedImaginary);
                    (real[a], imaginary[a]) = (real[a] + turnedReal, imaginary[a] + turnedImaginary);
                }
            }
        }
    }
}
