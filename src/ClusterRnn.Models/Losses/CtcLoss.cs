// Connectionist temporal classification (Graves et al. 2006): the labels of a row in order, without saying when. Class 0 is the
// blank. Of all ways to spread the labels over the row's time steps, each label once or several times in a row, with blanks
// in between wherever one likes and wherever a label stands twice, the loss is minus the logarithm of their probabilities' sum.
//
// Forward and backward over the labels with blanks between them, in logarithms and in double precision, so that long rows
// neither vanish nor depend on how they are scaled. One row at a time: padding and neighbours change nothing.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>The loss of rows whose labels have no times, and its gradient.</summary>
internal sealed unsafe class CtcLoss(Arena arena, int maximumTime, int classes)
{
    private readonly double* forward = arena.Doubles((long)maximumTime * ((2L * maximumTime) + 1)); // [T, 2 U + 1]
    private readonly double* backward = arena.Doubles(2L * ((2L * maximumTime) + 1)); // of this time step and the next
    private readonly double* scales = arena.Doubles(maximumTime); // [T]: ln of the sum of exp(logit)
    private readonly double* shares = arena.Doubles(classes); // of one time step: how probable each class is, given the labels
    private readonly int* labels = arena.Ints(maximumTime); // [U]

    /// <summary>Computes a row's loss, and replaces its logits by the loss's gradient.</summary>
    /// <param name="time">T: the row's time steps.</param>
    /// <param name="logits">The row's logits [T, classes] at the first time step; overwritten.</param>
    /// <param name="stride">Floats from one time step to the next.</param>
    /// <param name="targets">The row's labels at the first time step, one a time step, up to the first that is negative.</param>
    /// <param name="targetStride">Numbers from one to the next.</param>
    /// <param name="mostLabels">How many there may be: where the outputs have fewer time steps than the row, more than <paramref name="time"/>.</param>
    /// <param name="labelCount">How many labels there are.</param>
    /// <returns>The loss in nats; infinite where the labels don't fit into the row, and then the gradient is zero.</returns>
    public double Evaluate(int time, float* logits, nint stride, int* targets, nint targetStride, int mostLabels, out int labelCount)
    {
        labelCount = 0;
        for (int i = 0; i < mostLabels && targets[i * targetStride] >= 0; i++)
        {
            labels[labelCount++] = targets[i * targetStride];
        }

        int states = (2 * labelCount) + 1;
        Scale(time, logits, stride);
        double loss = -Forward(time, states, logits, stride);
        if (double.IsPositiveInfinity(loss))
        {
            for (int t = 0; t < time; t++)
            {
                new Span<float>(logits + (t * stride), classes).Clear();
            }

            return loss;
        }

        Backward(time, states, logits, stride, loss);
        return loss;
    }

    private static double Join(double a, double b)
    {
        double larger = Math.Max(a, b);
        return double.IsNegativeInfinity(larger) ? larger : larger + ScalarMath.Log(ScalarMath.Exp(a - larger) + ScalarMath.Exp(b - larger));
    }

    private void Scale(int time, float* logits, nint stride)
    {
        for (int t = 0; t < time; t++, logits += stride)
        {
            double largest = logits[0], sum = 0.0;
            for (int c = 1; c < classes; c++)
            {
                largest = Math.Max(largest, logits[c]);
            }

            for (int c = 0; c < classes; c++)
            {
                sum += ScalarMath.Exp(logits[c] - largest);
            }

            scales[t] = largest + ScalarMath.Log(sum);
        }
    }

    // The class that a state stands for: blanks between the labels and around them.
    private int ClassOf(int state) => (state & 1) == 0 ? 0 : labels[state >> 1];

    // Whether a state may follow the one before the blank before it: a label that differs from the last.
    private bool MaySkip(int state) => (state & 1) == 1 && state >= 2 && labels[state >> 1] != labels[(state >> 1) - 1];

    // forward[t, s]: ln of the probability of all ways that are in state s at time t.
    private double Forward(int time, int states, float* logits, nint stride)
    {
        for (int t = 0; t < time; t++, logits += stride)
        {
            double* now = forward + ((long)t * states), before = now - states;
            for (int s = 0; s < states; s++)
            {
                double ways = t == 0 ? s < 2 ? 0.0 : double.NegativeInfinity : before[s];
                if (t > 0 && s > 0)
                {
                    ways = Join(ways, before[s - 1]);
                }

                if (t > 0 && MaySkip(s))
                {
                    ways = Join(ways, before[s - 2]);
                }

                now[s] = ways + (logits[ClassOf(s)] - scales[t]);
            }
        }

        double* last = forward + ((time - 1L) * states);
        return time == 0 ? states == 1 ? 0.0 : double.NegativeInfinity : states == 1 ? last[0] : Join(last[states - 1], last[states - 2]);
    }

    // The gradient of a logit is its class's probability less its share given the labels.
    private void Backward(int time, int states, float* logits, nint stride, double loss)
    {
        double* now = backward, next = backward + states;
        for (int t = time - 1; t >= 0; t--)
        {
            float* step = logits + (t * stride);
            new Span<double>(shares, classes).Clear();
            for (int s = 0; s < states; s++)
            {
                double ways = t == time - 1 ? s >= states - 2 ? 0.0 : double.NegativeInfinity : next[s];
                if (t < time - 1 && s + 1 < states)
                {
                    ways = Join(ways, next[s + 1]);
                }

                if (t < time - 1 && s + 2 < states && MaySkip(s + 2))
                {
                    ways = Join(ways, next[s + 2]);
                }

                now[s] = ways + (step[ClassOf(s)] - scales[t]); // with this step's own, for the step before
                shares[ClassOf(s)] += ScalarMath.Exp(forward[((long)t * states) + s] + ways + loss);
            }

            for (int c = 0; c < classes; c++)
            {
                step[c] = ScalarMath.Flush((float)(ScalarMath.Exp(step[c] - scales[t]) - shares[c]));
            }

            double* other = next;
            next = now;
            now = other;
        }
    }
}
