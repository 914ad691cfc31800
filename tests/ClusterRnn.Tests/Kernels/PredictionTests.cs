using ClusterRnn.Kernels.Losses;

namespace ClusterRnn.Tests.Kernels;

public sealed unsafe class PredictionTests
{
    // The rule in its plainest form: the first of the greatest; a NaN is below every number; nothing but NaN gives 0.
    private static int Expected(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best] || (float.IsNaN(logits[best]) && !float.IsNaN(logits[i])))
            {
                best = i;
            }
        }

        return best;
    }

    [Fact]
    public void The_first_of_the_greatest_is_predicted()
    {
        float[] values = [0f, -0f, 1f, 1f, -1f, 2f, float.NaN, float.NegativeInfinity, float.PositiveInfinity, float.Epsilon, float.MinValue];
        var random = new Random(5);
        float[] logits = new float[64];
        for (int classes = 1; classes <= 40; classes++)
        {
            for (int turn = 0; turn < 200; turn++)
            {
                // Few different values, so that ties and rows of NaN and -infinity alone occur.
                int kinds = random.Next(1, values.Length + 1), first = random.Next(values.Length);
                for (int i = 0; i < classes; i++)
                {
                    logits[i] = values[(first + random.Next(kinds)) % values.Length];
                }

                logits.AsSpan(classes).Fill(float.PositiveInfinity); // beyond the row
                int prediction;
                fixed (float* pointer = logits)
                {
                    SoftmaxCrossEntropy.Predict(1, classes, pointer, classes, &prediction);
                }

                Assert.Equal(Expected(logits.AsSpan(0, classes)), prediction);
            }
        }
    }
}
