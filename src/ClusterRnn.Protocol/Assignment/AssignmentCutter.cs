// How a run of shards is dealt to workers.
//
// Each worker gets a contiguous range, sized by its measured speed so that all end together. Among the cuts whose step is
// at most a sixteenth longer than the shortest, the one that needs the fewest aligned subtrees is taken: each subtree is a
// whole gradient to write, send and sum. Cuts never change a bit of the result.
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Protocol.Assignment;

/// <summary>Cuts ranges of shards.</summary>
public static class AssignmentCutter
{
    /// <summary>Cuts <paramref name="range"/> into one contiguous range for each worker, in the workers' order; some may be empty.</summary>
    /// <param name="range">The shards to deal.</param>
    /// <param name="shards">S: the tree they are nodes of.</param>
    /// <param name="ticksPerShard">How long each worker takes for a shard, at least 1.</param>
    /// <param name="result">Receives one range a worker.</param>
    public static void Cut(ShardRange range, int shards, ReadOnlySpan<long> ticksPerShard, List<ShardRange> result)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ticksPerShard.Length, 1);
        result.Clear();
        int count = range.Count;
        int workers = ticksPerShard.Length;
        long shortest = ShortestMakespan(count, ticksPerShard);
        long allowed = shortest + (shortest / Limits.CutSlack);

        // best[w, n]: the least cost with which the first w workers take the first n shards.
        var best = new long[workers + 1, count + 1];
        var taken = new int[workers + 1, count + 1];
        for (int w = 0; w <= workers; w++)
        {
            for (int n = 0; n <= count; n++)
            {
                best[w, n] = long.MaxValue;
            }
        }

        best[0, 0] = 0;
        for (int w = 1; w <= workers; w++)
        {
            long ticks = ticksPerShard[w - 1];
            int most = (int)Math.Min(count, allowed / ticks);
            for (int n = 0; n <= count; n++)
            {
                for (int take = Math.Min(most, n); take >= 0; take--)
                {
                    long before = best[w - 1, n - take];
                    if (before == long.MaxValue)
                    {
                        continue;
                    }

                    long subtrees = Subtrees.Count(new ShardRange(range.Start + n - take, range.Start + n), shards);
                    long cost = before + (subtrees << 32) + ((long)take * take); // fewest subtrees, then the most even
                    if (cost <= best[w, n]) // of equals the one that leaves later workers idle
                    {
                        best[w, n] = cost;
                        taken[w, n] = take;
                    }
                }
            }
        }

        int end = count;
        for (int w = workers; w >= 1; w--)
        {
            int take = taken[w, end];
            result.Add(new ShardRange(range.Start + end - take, range.Start + end));
            end -= take;
        }

        result.Reverse();
    }

    /// <summary>The time of the slowest worker under a cut.</summary>
    public static long Makespan(IReadOnlyList<ShardRange> cut, ReadOnlySpan<long> ticksPerShard)
    {
        long longest = 0;
        for (int i = 0; i < cut.Count; i++)
        {
            longest = Math.Max(longest, cut[i].Count * ticksPerShard[i]);
        }

        return longest;
    }

    /// <summary>The least time in which the workers can take <paramref name="count"/> shards.</summary>
    private static long ShortestMakespan(int count, ReadOnlySpan<long> ticksPerShard)
    {
        long low = 0, high = 0;
        foreach (long ticks in ticksPerShard)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(ticks, 1);
            high = Math.Max(high, ticks * count);
        }

        while (low < high)
        {
            long middle = low + ((high - low) / 2);
            long possible = 0;
            foreach (long ticks in ticksPerShard)
            {
                possible += middle / ticks;
            }

            if (possible >= count)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        return low;
    }
}
