using System.Globalization;
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>A checkpoint that is said to be saved is whole and durable, and whoever goes on from a checkpoint goes on from that one or a newer one.</summary>
/// <param name="simulation">The run.</param>
internal sealed class CheckpointChecker(Simulation simulation) : Checker(simulation, "checkpoints")
{
    private long _saved;

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (envelope.Message is not CheckpointSaved saved)
        {
            return;
        }

        _saved = Math.Max(_saved, saved.Version);
        if (Simulation.Disk.CorruptedFiles > 0)
        {
            return;
        }

        string name = string.Create(CultureInfo.InvariantCulture, $"{SimulatedCheckpoints.Prefix}{saved.Version}");
        bool isPruned = new SimulatedCheckpoints(Simulation.Disk, Simulation.Plan.Job).Versions().FirstOrDefault(-1) > saved.Version;
        if (!isPruned && (Simulation.Disk.DurableBytesOf(name) == 0 || Simulation.Disk.DurableBytesOf(name) < Simulation.Disk.LengthOf(name)))
        {
            throw Fail($"the checkpoint of step {saved.Version} is said to be saved, and is not on the disk.");
        }
    }

    /// <inheritdoc/>
    public override void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
        if (record is RollbackRecord { PolicyState.IsEmpty: false } back)
        {
            _saved = Math.Min(_saved, back.Version); // newer ones are of a course that was given up
        }
    }

    /// <inheritdoc/>
    public override void Restored(long version)
    {
        if (version < _saved && Simulation.Disk.CorruptedFiles == 0)
        {
            throw Fail($"a coordinator goes on from the checkpoint of step {version}, though that of step {_saved} was said to be saved.");
        }
    }
}
