// Draws the next token from a model's logits. The draw is keyed, never taken from a stateful generator, and uses the
// kernels' own exp: the same seed writes the same text on every machine.
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Training.Tasks;

/// <summary>Draws tokens by temperature, top-k and top-p (nucleus sampling; Holtzman et al. 2020).</summary>
public sealed class TokenSampler
{
    private readonly int[] order;
    private readonly double[] weights;
    private readonly double temperature;
    private readonly int topK;
    private readonly double topP;
    private readonly RandomKey key;

    /// <summary>Prepares to draw from <paramref name="vocabulary"/> tokens.</summary>
    /// <param name="vocabulary">V: how many tokens there are.</param>
    /// <param name="temperature">Divides the logits; 0 always takes the likeliest, of equals the lowest id.</param>
    /// <param name="topK">Only so many of the likeliest are considered; 0 considers all.</param>
    /// <param name="topP">Only the likeliest that together have this probability are considered.</param>
    /// <param name="seed">Keys the draws.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public TokenSampler(int vocabulary, double temperature, int topK, double topP, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabulary, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(temperature);
        ArgumentOutOfRangeException.ThrowIfNegative(topK);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(topP);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(topP, 1.0);
        order = new int[vocabulary];
        weights = new double[vocabulary];
        this.temperature = temperature;
        this.topK = topK == 0 ? vocabulary : Math.Min(topK, vocabulary);
        this.topP = topP;
        key = new RandomKey(seed, RandomPurpose.Sample, 0, 0);
    }

    /// <summary>Draws one token.</summary>
    /// <param name="logits">[V] unnormalised log-probabilities.</param>
    /// <param name="slot">Which text is written: keys the draw.</param>
    /// <param name="time">Which token of it: keys the draw.</param>
    public int Draw(ReadOnlySpan<float> logits, long slot, long time)
    {
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
            weights[i] = -(double)logits[i];
        }

        // Ascending by -logit; equal ones by id, because the sort keys are made distinct by a second pass over runs.
        Array.Sort(weights, order);
        SortEqualsById();
        if (temperature == 0)
        {
            return order[0];
        }

        double largest = -weights[0];
        double total = 0;
        for (int i = 0; i < topK; i++)
        {
            weights[i] = ScalarMath.Exp((-weights[i] - largest) / temperature);
            total += weights[i];
        }

        int kept = topK;
        if (topP < 1)
        {
            double reached = 0;
            for (kept = 0; kept < topK && reached < topP * total; kept++)
            {
                reached += weights[kept];
            }

            total = reached;
        }

        double rest = key.UniformDouble(slot, time, 0) * total;
        for (int i = 0; i < kept - 1; i++)
        {
            rest -= weights[i];
            if (rest < 0)
            {
                return order[i];
            }
        }

        return order[kept - 1];
    }

    private void SortEqualsById()
    {
        for (int start = 0; start < order.Length;)
        {
            int end = start + 1;
            while (end < order.Length && weights[end] == weights[start])
            {
                end++;
            }

            Array.Sort(order, start, end - start);
            start = end;
        }
    }
}
