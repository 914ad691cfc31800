namespace ClusterRnn.Engines.Simulator;

/// <summary>
/// Delta debugging (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28, 2002) of a schedule of
/// faults: ever smaller parts of it are left out, and what still fails by the same checker is gone on with.
/// </summary>
/// <param name="plan">The whole run.</param>
/// <param name="failed">What it came to.</param>
/// <param name="mostRuns">How many runs that may take.</param>
internal sealed class Shrinker(SimulationPlan plan, SeedVerdict failed, int mostRuns)
{
    private int _runs;
    private bool _isCalm;
    private SeedVerdict? _smallest; // that fails

    /// <summary>The verdict of the smallest run that was found.</summary>
    public SeedVerdict Shrink()
    {
        List<int> left = [.. Enumerable.Range(0, plan.Faults.Count)];
        if (Fails([], calm: true) || Fails([], calm: false))
        {
            return _smallest ?? failed;
        }

        _isCalm = Fails(left, calm: true);
        int parts = 2;
        while (left.Count > 0 && _runs < mostRuns)
        {
            bool smaller = false;
            int size = Math.Max(1, (left.Count + parts - 1) / parts);
            for (int start = 0; start < left.Count && !smaller; start += size)
            {
                List<int> without = [.. left[..start], .. left[Math.Min(left.Count, start + size)..]];
                if (Fails(without, _isCalm))
                {
                    left = without;
                    parts = Math.Max(2, parts - 1);
                    smaller = true;
                }
            }

            if (!smaller && size == 1)
            {
                break;
            }

            parts = smaller ? parts : Math.Min(left.Count, parts * 2);
        }

        if (!_isCalm)
        {
            Fails(left, calm: true);
        }

        return _smallest ?? failed;
    }

    private bool Fails(List<int> only, bool calm)
    {
        if (_runs >= mostRuns)
        {
            return false;
        }

        _runs++;
        SeedVerdict verdict = SeedRuns.Run(plan, new SeedCut { Only = only, IsCalm = calm }, null).Verdict;
        if (verdict.Checker != failed.Checker)
        {
            return false;
        }

        _smallest = verdict;
        return true;
    }
}
