// Where what is right stands among candidates that are sorted by score. Of equal scores every order is as likely: a rank counts as its
// mean over them, so that a model that tells nothing apart has the figures of a guess.
namespace ClusterRnn.Training.Tasks;

/// <summary>Ranks of what is right, summed over questions.</summary>
internal sealed class RankSum
{
    // How many ranks have so many above them and as many others beside them; sorted, so that sums have one order.
    private readonly SortedDictionary<(int Greater, int Equal), long> counts = [];

    /// <summary>How many there are.</summary>
    public long Count { get; private set; }

    /// <summary>The mean of 1 over the rank.</summary>
    public double MeanReciprocalRank => MeanReciprocalRankAt(int.MaxValue);

    /// <summary>Adds the rank of one candidate.</summary>
    /// <param name="scores">A score for each candidate, above others the better.</param>
    /// <param name="right">Which candidate is right.</param>
    public void Add(ReadOnlySpan<double> scores, int right)
    {
        int greater = 0, equal = -1;
        foreach (double score in scores)
        {
            greater += score > scores[right] ? 1 : 0;
            equal += score == scores[right] ? 1 : 0;
        }

        Count++;
        counts[(greater, equal)] = counts.GetValueOrDefault((greater, equal)) + 1;
    }

    /// <summary>The share that stands among the first <paramref name="places"/>.</summary>
    public double Recall(int places)
    {
        double sum = 0;
        foreach (((int greater, int equal), long count) in counts)
        {
            sum += count * Math.Clamp((places - greater) / (equal + 1.0), 0, 1);
        }

        return sum / Count;
    }

    /// <summary>The mean of 1 over the rank, 0 for what stands behind the first <paramref name="places"/>.</summary>
    public double MeanReciprocalRankAt(int places)
    {
        double sum = 0;
        foreach (((int greater, int equal), long count) in counts)
        {
            double inverse = 0;
            for (int rank = greater + 1; rank <= greater + 1 + equal && rank <= places; rank++)
            {
                inverse += 1.0 / rank;
            }

            sum += count * inverse / (equal + 1);
        }

        return sum / Count;
    }
}
