using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>A step commits once, whatever it comes to is the same each time it is executed, and it reads the rows that the permutation says: every row counts once in a pass.</summary>
/// <param name="simulation">The run.</param>
internal sealed class LedgerChecker(Simulation simulation) : Checker(simulation, "ledger")
{
    private readonly Dictionary<long, VerdictRecord> _first = [];
    private readonly List<long> _courses = []; // where each began
    private bool _lostPower;

    /// <inheritdoc/>
    public override void PowerLost() => _lostPower = true;

    /// <inheritdoc/>
    public override void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
        if (record is RollbackRecord back)
        {
            // From where another course begins, or one is left again, steps come to something else.
            long[] left = [.. _courses.Where(began => began > back.Version)];
            long otherwise = !back.PolicyState.IsEmpty ? back.Version : left.Length > 0 ? left.Min() : long.MaxValue;
            _courses.RemoveAll(began => began > back.Version);
            if (!back.PolicyState.IsEmpty)
            {
                _courses.Add(back.Version);
            }

            foreach (long step in _first.Keys.Where(step => step >= otherwise).ToArray())
            {
                _first.Remove(step);
            }
        }

        if (record is not VerdictRecord { RowDigests.Length: > 0 } verdict || Simulation.IsInconclusive)
        {
            return;
        }

        CheckRows(verdict);
        long at = verdict.Verdict.Step;
        if (_first.TryGetValue(at, out VerdictRecord? before)
            && (before.Digest != verdict.Digest || before.Verdict.Decision != verdict.Verdict.Decision || !before.Verdict.PolicyState.Span.SequenceEqual(verdict.Verdict.PolicyState.Span)))
        {
            throw Fail($"step {at} was decided twice, and not alike: {before.Verdict.Decision} and {verdict.Verdict.Decision}.");
        }

        _first[at] = verdict;
    }

    /// <inheritdoc/>
    public override void Finished(EndJob end, SavedState? final)
    {
        if (Simulation.IsJournalDamaged)
        {
            return; // what it lacks is what can't be read any more
        }

        var counted = new List<bool>(); // by step of the history that counts: whether its rows are known
        foreach (JournalRecord record in JournalChain.ReadRecords(new SimulatedJournal(Simulation.Disk)))
        {
            if (record is RollbackRecord back)
            {
                Pad(counted, back.Version);
                counted.RemoveRange((int)back.Version, counted.Count - (int)back.Version);
            }
            else if (record is VerdictRecord verdict)
            {
                if (verdict.RowDigests.Length == 0)
                {
                    Pad(counted, verdict.Verdict.Step);
                }

                if (verdict.Verdict.Step != counted.Count)
                {
                    throw Fail($"the journal has step {verdict.Verdict.Step} at place {counted.Count}: a step was committed twice, or not at all.");
                }

                counted.Add(verdict.RowDigests.Length > 0);
            }
        }

        if (counted.Count != end.Version && !(_lostPower && counted.Count < end.Version))
        {
            throw Fail($"the journal ends at step {counted.Count}, and the job at {end.Version}.");
        }
    }

    private void Pad(List<bool> counted, long count)
    {
        while (counted.Count < count)
        {
            counted.Add(_lostPower ? false : throw Fail($"the journal lacks step {counted.Count}."));
        }
    }

    private void CheckRows(VerdictRecord verdict)
    {
        for (int shard = 0; shard < verdict.RowDigests.Length; shard++)
        {
            if (verdict.RowDigests[shard] != Simulation.Plan.Job.Reference.RowsOf(verdict.Verdict.Step, shard))
            {
                throw Fail($"shard {shard} of step {verdict.Verdict.Step} read other rows than the permutation says.");
            }
        }
    }
}
