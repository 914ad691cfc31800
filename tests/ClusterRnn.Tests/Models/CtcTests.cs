// The loss of labels without times against a sum over all ways to place them, told out one by one; and its decoders. Gradients and
// PyTorch's values are tested with all models.
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

public sealed unsafe class CtcTests
{
    private const int Classes = 3;

    /// <summary>Every sequence of classes whose repetitions and blanks, left out, leave the labels, counts with its probability.</summary>
    [Fact]
    public void TheLossIsThatOfAllWaysTogether()
    {
        int[][] cases = [[], [1], [2, 1], [1, 1], [2, 2, 1]];
        foreach (int[] labels in cases)
        {
            using ModelHarness harness = Harness(time: 5, labels);
            double sum = 0;
            foreach ((int[] path, double probability) in Paths(harness.Predict(logits: true), 5))
            {
                sum += Labels(path).SequenceEqual(labels) ? probability : 0;
            }

            StepResult step = harness.Train();
            Assert.Equal(labels.Length, step.Count);
            Assert.Equal(-Math.Log(sum), step.Loss, 1e-6);
        }
    }

    /// <summary>Labels that can't be said in so few time steps have no probability: the loss says so, the gradient is zero.</summary>
    [Fact]
    public void LabelsThatDoNotFitHaveNoProbability()
    {
        using ModelHarness harness = Harness(time: 2, [1, 1]);
        StepResult step = harness.Train();
        Assert.True(double.IsPositiveInfinity(step.Loss));
        Assert.All(step.Gradient, g => Assert.Equal(0f, g));
    }

    /// <summary>The greedy decoder takes the likeliest path; a beam wide enough takes the likeliest labels, which may be others.</summary>
    [Fact]
    public void DecodersFindWhatIsLikeliest()
    {
        int differ = 0;
        for (ulong seed = 1; seed <= 40; seed++)
        {
            var key = new RandomKey(seed, RandomPurpose.Generate, 0, 0);
            float[] logits = [.. Enumerable.Range(0, 5 * Classes).Select(i => 1.5f * key.NormalDeviate(0, 0, i))];
            var byLabels = new Dictionary<string, double>();
            (int[] Path, double Probability) best = ([], -1);
            foreach ((int[] path, double probability) in Paths(logits, 5))
            {
                string labels = string.Join(',', Labels(path));
                byLabels[labels] = byLabels.GetValueOrDefault(labels) + probability;
                best = probability > best.Probability ? (path, probability) : best;
            }

            fixed (float* first = logits)
            {
                string greedy = string.Join(',', CtcDecoder.Greedy(5, first, Classes, Classes)), beam = string.Join(',', CtcDecoder.Beam(5, first, Classes, Classes, 200));
                Assert.Equal(string.Join(',', Labels(best.Path)), greedy);
                Assert.Equal(byLabels.MaxBy(pair => pair.Value).Key, beam);
                differ += greedy == beam ? 0 : 1;
            }
        }

        Assert.True(differ > 0, "a beam finds nothing that the greedy decoder doesn't");
    }

    private static ModelHarness Harness(int time, int[] labels)
    {
        Model model = Model.Build(new ModelConfig { Layers = [new DenseConfig()], Loss = LossKind.Ctc }, InputKind.Features, 3, Classes);
        ModelHarness harness = new ModelHarness(model, time, time, 1).Fill(4);
        for (int t = 0; t < time; t++)
        {
            harness.Batch.TargetTokens[t] = t < labels.Length ? labels[t] : -1;
        }

        return harness;
    }

    private static IEnumerable<(int[] Path, double Probability)> Paths(float[] logits, int time)
    {
        for (int number = 0; number < Math.Pow(Classes, time); number++)
        {
            int[] path = new int[time];
            double probability = 1;
            for (int t = 0, rest = number; t < time; t++, rest /= Classes)
            {
                path[t] = rest % Classes;
                double[] powers = [.. logits.Skip(t * Classes).Take(Classes).Select(logit => Math.Exp(logit))];
                probability *= powers[path[t]] / powers.Sum();
            }

            yield return (path, probability);
        }
    }

    private static IEnumerable<int> Labels(int[] path) => path.Where((c, t) => c != 0 && (t == 0 || path[t - 1] != c));
}
