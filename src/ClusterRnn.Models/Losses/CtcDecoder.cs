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
        var tree = new LabelTree();
        var followed = new List<Beginning> { new(0, 0.0, double.NegativeInfinity) };
        var next = new List<Beginning>();
        var places = new Dictionary<int, int>(); // asked, never enumerated
        double[] logarithms = new double[classes];
        for (int t = 0; t < time; t++, logits += stride)
        {
            Logarithms(new ReadOnlySpan<float>(logits, classes), logarithms);
            next.Clear();
            places.Clear();
            foreach (Beginning beginning in followed)
            {
                int last = tree.LastOf(beginning.Node);
                double score = Join(beginning.AfterBlank, beginning.AfterLabel);
                Add(beginning.Node, score + logarithms[0], last == 0 ? double.NegativeInfinity : beginning.AfterLabel + logarithms[last]);
                for (int c = 1; c < classes; c++)
                {
                    // The same label again is another one only after a blank.
                    Add(tree.Extend(beginning.Node, c), double.NegativeInfinity, (c == last ? beginning.AfterBlank : score) + logarithms[c]);
                }
            }

            for (int i = 0; i < next.Count; i++)
            {
                next[i] = next[i] with { Score = Join(next[i].AfterBlank, next[i].AfterLabel) };
            }

            next.Sort((x, y) => x.Score != y.Score ? y.Score.CompareTo(x.Score) : tree.LabelsOf(x.Node).AsSpan().SequenceCompareTo(tree.LabelsOf(y.Node)));
            (followed, next) = (next, followed);
            if (followed.Count > beams)
            {
                followed.RemoveRange(beams, followed.Count - beams);
            }
        }

        return tree.LabelsOf(followed[0].Node);

        void Add(int node, double afterBlank, double afterLabel)
        {
            if (places.TryGetValue(node, out int place))
            {
                Beginning known = next[place];
                next[place] = known with { AfterBlank = Join(known.AfterBlank, afterBlank), AfterLabel = Join(known.AfterLabel, afterLabel) };
                return;
            }

            places.Add(node, next.Count);
            next.Add(new Beginning(node, afterBlank, afterLabel));
        }
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
        if (double.IsNegativeInfinity(a) || double.IsNegativeInfinity(b))
        {
            return Math.Max(a, b);
        }

        double larger = Math.Max(a, b);
        return larger + ScalarMath.Log(1.0 + ScalarMath.Exp(Math.Min(a, b) - larger));
    }

    // The logarithms of the probabilities of all ways to these labels that end with a blank, and with the last label.
    private readonly record struct Beginning(int Node, double AfterBlank, double AfterLabel)
    {
        public double Score { get; init; }
    }

    // All beginnings met, each once: a node is a label after another node; node 0 is no label.
    private sealed class LabelTree
    {
        private readonly List<(int Before, int Label)> nodes = [(-1, 0)];
        private readonly Dictionary<(int Node, int Label), int> known = [];

        public int LastOf(int node) => nodes[node].Label;

        public int Extend(int node, int label)
        {
            if (!known.TryGetValue((node, label), out int longer))
            {
                longer = nodes.Count;
                nodes.Add((node, label));
                known.Add((node, label), longer);
            }

            return longer;
        }

        public int[] LabelsOf(int node)
        {
            var labels = new List<int>();
            for (; node != 0; node = nodes[node].Before)
            {
                labels.Add(nodes[node].Label);
            }

            labels.Reverse();
            return [.. labels];
        }
    }
}
