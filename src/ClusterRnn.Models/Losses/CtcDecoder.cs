// From the outputs of a model trained with the loss ctc to labels. Greedy: the likeliest class of each time step, repetitions
// and blanks left out. Prefix beam search (Hannun et al. 2014): of all ways to the same labels the probabilities are joined, and
// the likeliest few beginnings are followed. Ties go to the lower class, and to the beginning that comes first in order.
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>Labels from the outputs of a model trained with the loss ctc; class 0 is the blank.</summary>
public static unsafe class CtcDecoder
{
    /// <summary>The labels of the likeliest class at each time step.</summary>
    /// <param name="time">T: time steps of the row.</param>
    /// <param name="outputs">Logits or probabilities [T, classes] at the first time step.</param>
    /// <param name="stride">Floats from one time step to the next.</param>
    /// <param name="classes">Classes, the blank among them.</param>
    public static int[] Greedy(int time, float* outputs, nint stride, int classes)
    {
        var labels = new List<int>();
        int last = 0;
        for (int t = 0; t < time; t++, outputs += stride)
        {
            int likeliest = 0;
            for (int c = 1; c < classes; c++)
            {
                likeliest = outputs[c] > outputs[likeliest] ? c : likeliest;
            }

            if (likeliest != 0 && likeliest != last)
            {
                labels.Add(likeliest);
            }

            last = likeliest;
        }

        return [.. labels];
    }

    /// <summary>The labels that are likeliest by beam search.</summary>
    /// <param name="time">T: time steps of the row.</param>
    /// <param name="logits">Logits [T, classes] at the first time step.</param>
    /// <param name="stride">Floats from one time step to the next.</param>
    /// <param name="classes">Classes, the blank among them.</param>
    /// <param name="beams">How many beginnings are followed.</param>
    /// <exception cref="ArgumentOutOfRangeException">No beginning is to be followed.</exception>
    public static int[] Beam(int time, float* logits, nint stride, int classes, int beams)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(beams, 1);
        var followed = new List<Beginning> { new([], 0.0, double.NegativeInfinity) };
        double[] logarithms = new double[classes];
        for (int t = 0; t < time; t++, logits += stride)
        {
            Logarithms(new ReadOnlySpan<float>(logits, classes), logarithms);
            var next = new List<Beginning>();
            var places = new Dictionary<string, int>(StringComparer.Ordinal); // asked, never enumerated
            foreach (Beginning beginning in followed)
            {
                int last = beginning.Labels.Length == 0 ? 0 : beginning.Labels[^1];
                Add(next, places, beginning.Labels, beginning.Score + logarithms[0], last == 0 ? double.NegativeInfinity : beginning.AfterLabel + logarithms[last]);
                for (int c = 1; c < classes; c++)
                {
                    // The same label again is another one only after a blank.
                    double before = c == last ? beginning.AfterBlank : beginning.Score;
                    Add(next, places, [.. beginning.Labels, c], double.NegativeInfinity, before + logarithms[c]);
                }
            }

            next.Sort(Compare);
            followed = next.GetRange(0, Math.Min(beams, next.Count));
        }

        return followed[0].Labels;
    }

    private static void Add(List<Beginning> beginnings, Dictionary<string, int> places, int[] labels, double afterBlank, double afterLabel)
    {
        string key = string.Join(',', labels);
        if (places.TryGetValue(key, out int place))
        {
            Beginning known = beginnings[place];
            beginnings[place] = known with { AfterBlank = Join(known.AfterBlank, afterBlank), AfterLabel = Join(known.AfterLabel, afterLabel) };
            return;
        }

        places.Add(key, beginnings.Count);
        beginnings.Add(new Beginning(labels, afterBlank, afterLabel));
    }

    private static int Compare(Beginning a, Beginning b)
    {
        int order = b.Score.CompareTo(a.Score);
        return order != 0 ? order : a.Labels.AsSpan().SequenceCompareTo(b.Labels);
    }

    private static void Logarithms(ReadOnlySpan<float> logits, double[] into)
    {
        double largest = double.NegativeInfinity, sum = 0.0;
        foreach (float logit in logits)
        {
            largest = Math.Max(largest, logit);
        }

        foreach (float logit in logits)
        {
            sum += ScalarMath.Exp(logit - largest);
        }

        double scale = largest + ScalarMath.Log(sum);
        for (int c = 0; c < into.Length; c++)
        {
            into[c] = logits[c] - scale;
        }
    }

    private static double Join(double a, double b)
    {
        double larger = Math.Max(a, b);
        return double.IsNegativeInfinity(larger) ? larger : larger + ScalarMath.Log(ScalarMath.Exp(a - larger) + ScalarMath.Exp(b - larger));
    }

    // The logarithms of the probabilities of all ways to these labels that end with a blank, and with the last label.
    private sealed record Beginning(int[] Labels, double AfterBlank, double AfterLabel)
    {
        public double Score => Join(AfterBlank, AfterLabel);
    }
}
