using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Data;

/// <summary>What a text's counts alone say.</summary>
public static class TextStatistics
{
    /// <summary>
    /// The unigram entropy in nats a token: the loss of the best model that knows how often each token occurs and
    /// nothing else. Summed in order of ids.
    /// </summary>
    public static double UnigramEntropy(ReadOnlySpan<int> ids, int vocabularySize)
    {
        long[] counts = new long[vocabularySize];
        foreach (int id in ids)
        {
            counts[id]++;
        }

        double sum = 0;
        foreach (long count in counts)
        {
            if (count > 0)
            {
                sum += count * ScalarMath.Log(count / (double)ids.Length);
            }
        }

        return ids.IsEmpty ? 0 : -sum / ids.Length;
    }
}
