// A distribution over a target's values as a model's output: a Gaussian, or several of them with weights (mixture density
// network: Bishop 1994; drawn from step by step: Graves 2013). The loss is minus the logarithm of the density at the target,
// its constant included, so that it is in nats and can be held beside another model's.
//
// An output lies as [weights' logits K, where K > 1][means K x D][log of the deviations K x D]; a component's D values are
// independent of each other. Everything is computed in double precision, one target at a time, with our own exp and log.
// A deviation is at least e^-7 of the scaled data: below, its gradient only leads back, so that no component collapses onto
// a target.
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>Reads a model's outputs as mixtures of Gaussians.</summary>
/// <param name="Components">K; 1 for a single Gaussian.</param>
/// <param name="Width">D: values of a target.</param>
public readonly record struct GaussianMixture(int Components, int Width)
{
    /// <summary>The most components.</summary>
    public const int MostComponents = 256;

    private const double LowestLogDeviation = -7.0;
    private const double HalfLogTwoPi = 0.91893853320467274178;

    /// <summary>Values of an output.</summary>
    public int OutputWidth => checked((Components > 1 ? Components : 0) + (2 * Components * Width));

    private int FirstMean => Components > 1 ? Components : 0;

    private int FirstDeviation => FirstMean + (Components * Width);

    /// <summary>The mixture that a model's outputs describe, or null where they are the values themselves.</summary>
    public static GaussianMixture? Of(Model model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Of(model.Loss, model.Config.Components, model.TargetWidth);
    }

    /// <summary>The expected values.</summary>
    /// <param name="output">[<see cref="OutputWidth"/>].</param>
    /// <param name="values">[<see cref="Width"/>], overwritten.</param>
    public void Mean(ReadOnlySpan<float> output, Span<float> values)
    {
        Span<double> weights = stackalloc double[Components];
        Weights(output, weights);
        for (int i = 0; i < Width; i++)
        {
            double mean = 0.0;
            for (int k = 0; k < Components; k++)
            {
                mean = Math.FusedMultiplyAdd(weights[k], output[FirstMean + (k * Width) + i], mean);
            }

            values[i] = (float)mean;
        }
    }

    /// <summary>Draws values: a component by its weight, then each value around its mean.</summary>
    /// <param name="output">[<see cref="OutputWidth"/>].</param>
    /// <param name="key">The random numbers.</param>
    /// <param name="slot">Which sequence is drawn: keys the draw.</param>
    /// <param name="time">Which step of it: keys the draw.</param>
    /// <param name="temperature">Multiplies the deviations, and divides the weights' logits: below 1 less varied; 0: the likeliest component's mean.</param>
    /// <param name="values">[<see cref="Width"/>], overwritten.</param>
    public void Draw(ReadOnlySpan<float> output, RandomKey key, long slot, long time, double temperature, Span<float> values)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(temperature);
        int component = 0;
        if (temperature == 0)
        {
            for (int k = 1; k < Components; k++)
            {
                component = output[k] > output[component] ? k : component;
            }
        }
        else
        {
            Span<double> weights = stackalloc double[Components];
            Weights(output, weights, temperature);
            double rest = key.UniformDouble(slot, time, 0);
            while (component < Components - 1 && rest >= weights[component])
            {
                rest -= weights[component++];
            }
        }

        for (int i = 0; i < Width; i++)
        {
            double mean = output[FirstMean + (component * Width) + i], deviation = temperature * Deviation(output[FirstDeviation + (component * Width) + i]);
            values[i] = (float)Math.FusedMultiplyAdd(deviation, key.NormalDeviateDouble(slot, time, 1 + i), mean);
        }
    }

    internal static GaussianMixture? Of(LossKind loss, int components, int width) => loss switch
    {
        LossKind.Gaussian => new GaussianMixture(1, width),
        LossKind.GaussianMixture => new GaussianMixture(components, width),
        _ => null,
    };

    /// <summary>Replaces an output by the loss's gradient, tiny values as +0.</summary>
    /// <param name="output">[<see cref="OutputWidth"/>].</param>
    /// <param name="target">[<see cref="Width"/>].</param>
    /// <returns>The loss in nats, of the target's values together.</returns>
    public double Evaluate(Span<float> output, ReadOnlySpan<float> target)
    {
        Span<double> shares = stackalloc double[Components], weights = stackalloc double[Components];
        double scale = LogWeights(output, weights, 1.0), largest = double.NegativeInfinity, sum = 0.0;
        for (int k = 0; k < Components; k++)
        {
            double density = weights[k] - scale;
            for (int i = 0; i < Width; i++)
            {
                double log = Math.Max(LowestLogDeviation, output[FirstDeviation + (k * Width) + i]), z = (target[i] - (double)output[FirstMean + (k * Width) + i]) * ScalarMath.Exp(-log);
                density -= log + HalfLogTwoPi + (0.5 * z * z);
            }

            shares[k] = density;
            largest = density > largest || double.IsNaN(density) ? density : largest;
        }

        for (int k = 0; k < Components; k++)
        {
            sum += ScalarMath.Exp(shares[k] - largest);
        }

        double total = largest + ScalarMath.Log(sum);
        for (int k = 0; k < Components; k++)
        {
            double share = ScalarMath.Exp(shares[k] - total);
            if (Components > 1)
            {
                output[k] = ScalarMath.Flush((float)(ScalarMath.Exp(weights[k] - scale) - share));
            }

            for (int i = 0; i < Width; i++)
            {
                ref float mean = ref output[FirstMean + (k * Width) + i], log = ref output[FirstDeviation + (k * Width) + i];
                double inverse = ScalarMath.Exp(-Math.Max(LowestLogDeviation, log)), z = (target[i] - (double)mean) * inverse;
                double slope = share * (1.0 - (z * z));
                mean = ScalarMath.Flush((float)(-share * z * inverse));
                log = log < LowestLogDeviation && slope > 0.0 ? 0f : ScalarMath.Flush((float)slope);
            }
        }

        return -total;
    }

    private static double Deviation(float log) => ScalarMath.Exp(Math.Max(LowestLogDeviation, log));

    // Logits by a temperature; returns the logarithm of the sum of their exponentials.
    private double LogWeights(ReadOnlySpan<float> output, Span<double> weights, double temperature)
    {
        if (Components == 1)
        {
            weights[0] = 0.0;
            return 0.0;
        }

        double largest = double.NegativeInfinity, sum = 0.0;
        for (int k = 0; k < Components; k++)
        {
            weights[k] = output[k] / temperature;
            largest = Math.Max(largest, weights[k]);
        }

        for (int k = 0; k < Components; k++)
        {
            sum += ScalarMath.Exp(weights[k] - largest);
        }

        return largest + ScalarMath.Log(sum);
    }

    private void Weights(ReadOnlySpan<float> output, Span<double> weights, double temperature = 1.0)
    {
        double scale = LogWeights(output, weights, temperature);
        for (int k = 0; k < Components; k++)
        {
            weights[k] = ScalarMath.Exp(weights[k] - scale);
        }
    }
}
