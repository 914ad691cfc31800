using System.Globalization;
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>What others are told is on the disk: a verdict is written before it is sent, an epoch's journal and the map are flushed before they are claimed, and nothing is written where a successor does not read it.</summary>
/// <param name="simulation">The run.</param>
internal sealed class WriteAheadChecker(Simulation simulation) : Checker(simulation, "write-ahead")
{
    private readonly HashSet<long> _steps = []; // of which a verdict is written
    private readonly Dictionary<int, long> _epochs = []; // whose journal each process writes
    private long _revision = -1;

    /// <inheritdoc/>
    public override void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
        if (record is EpochRecord begun)
        {
            _epochs[coordinator.Process] = begun.Epoch;
        }

        long epoch = _epochs.GetValueOrDefault(coordinator.Process);
        if (Simulation.Disk.Exists(NameOf(epoch + 1)))
        {
            throw Fail($"{coordinator.Name} goes on with {NameOf(epoch)}, and nobody reads what it writes: {NameOf(epoch + 1)} is claimed.");
        }

        if (record is VerdictRecord verdict)
        {
            _steps.Add(verdict.Verdict.Step);
        }
        else if (record is MapRecord map)
        {
            _revision = Math.Max(_revision, map.Map.Revision);
        }
    }

    /// <inheritdoc/>
    public override void PowerLost()
    {
        _steps.Clear();
        foreach (VerdictRecord verdict in JournalChain.ReadRecords(new SimulatedJournal(Simulation.Disk)).OfType<VerdictRecord>())
        {
            _steps.Add(verdict.Verdict.Step);
        }
    }

    /// <inheritdoc/>
    public override void Sent(SimulatedNode from, ActorId to, Message message)
    {
        if (message is Verdict verdict && from is CoordinatorHost && !_steps.Contains(verdict.Step))
        {
            throw Fail($"{from.Name} sends the verdict on step {verdict.Step}, which is not in the journal.");
        }

        if (message is ClaimEpoch claim)
        {
            string journal = NameOf(claim.Epoch);
            if (Simulation.Disk.DurableBytesOf(journal) == 0)
            {
                throw Fail($"{from.Name} claims epoch {claim.Epoch}, and a loss of power would take the claim away: {journal} is not flushed.");
            }

            if (claim.Map.Revision > _revision)
            {
                throw Fail($"{from.Name} claims with revision {claim.Map.Revision} of the map, which is not in the journal.");
            }
        }
    }

    private static string NameOf(long epoch) => SimulatedJournal.Prefix + epoch.ToString(CultureInfo.InvariantCulture);
}
