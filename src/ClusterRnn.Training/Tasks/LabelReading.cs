// What a model trained with the loss ctc reads in sequences, beside what is there.
using ClusterRnn.Data;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>The labels of a sequence, and those found in it by beam search.</summary>
/// <param name="Expected">What is there.</param>
/// <param name="Found">What is read.</param>
public sealed record LabelReading(IReadOnlyList<int> Expected, IReadOnlyList<int> Found)
{
    private const int Beams = 8;

    /// <summary>The fewest labels to be put in, left out or replaced to make one of the other.</summary>
    public int Edits => EditsOf(Expected, Found);

    /// <summary>Reads the first examples, in order.</summary>
    /// <param name="model">A model trained with the loss ctc.</param>
    /// <param name="examples">Examples whose labels have no times.</param>
    /// <param name="most">How many of them at the most.</param>
    /// <param name="cancellation">Gives up between batches.</param>
    public static unsafe List<LabelReading> Of(TrainedModel model, IExamples examples, int most, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(examples);
        var readings = new List<LabelReading>();
        int width = model.Model.OutputWidth;
        ExampleOutputs.Visit(
            model,
            examples,
            most,
            logits: true,
            (batch, row, outputs) =>
            {
                var expected = new List<int>();
                for (int time = 0; time < batch.TargetTime && batch.TargetTokens[((long)time * batch.Rows) + row] >= 0; time++)
                {
                    expected.Add(batch.TargetTokens[((long)time * batch.Rows) + row]);
                }

                int steps = model.Model.OutputLength(batch.Lengths[row]);
                readings.Add(new LabelReading(expected, CtcDecoder.Beam(steps, outputs + ((long)row * width), (nint)batch.Rows * width, width, Beams)));
            },
            cancellation);
        return readings;
    }

    /// <summary>Levenshtein's distance.</summary>
    public static int EditsOf<T>(IReadOnlyList<T> expected, IReadOnlyList<T> found)
        where T : IEquatable<T>
    {
        ArgumentNullException.ThrowIfNull(expected);
        ArgumentNullException.ThrowIfNull(found);
        int[] before = [.. Enumerable.Range(0, found.Count + 1)], now = new int[found.Count + 1];
        for (int i = 1; i <= expected.Count; i++)
        {
            now[0] = i;
            for (int j = 1; j <= found.Count; j++)
            {
                int changed = before[j - 1] + (expected[i - 1].Equals(found[j - 1]) ? 0 : 1);
                now[j] = Math.Min(changed, 1 + Math.Min(before[j], now[j - 1]));
            }

            (before, now) = (now, before);
        }

        return before[found.Count];
    }
}
