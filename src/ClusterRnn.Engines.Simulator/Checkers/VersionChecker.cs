using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>Versions of a copy rise one by one; within an epoch they never fall.</summary>
/// <param name="simulation">The run.</param>
internal sealed class VersionChecker(Simulation simulation) : Checker(simulation, "versions")
{
    private readonly Dictionary<(int Process, int Range), (long Epoch, long Version)> _copies = [];
    private readonly Dictionary<(int Process, long Payload), long> _epochs = []; // of content that arrived

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (envelope.Message is RangeCopy copy)
        {
            _epochs[(node.Process, copy.Payload)] = copy.Epoch;
        }
    }

    /// <inheritdoc/>
    public override void Decided(SimulatedNode node, NodeEffect effect)
    {
        switch (effect)
        {
            case LoadRange load:
                long epoch = _epochs[(node.Process, load.Payload)];
                if (_copies.TryGetValue((node.Process, load.Range), out (long Epoch, long Version) before) && before.Epoch == epoch && load.Version < before.Version)
                {
                    throw Fail($"{node.Name} goes back from version {before.Version} of range {load.Range} to {load.Version} within epoch {epoch}.");
                }

                _copies[(node.Process, load.Range)] = (epoch, load.Version);
                break;
            case ApplyVerdict apply:
                (long Epoch, long Version) at = _copies.GetValueOrDefault((node.Process, apply.Range), (0, -1));
                if (apply.Step != at.Version)
                {
                    throw Fail($"{node.Name} applies step {apply.Step} to version {at.Version} of range {apply.Range}.");
                }

                _copies[(node.Process, apply.Range)] = (at.Epoch, at.Version + 1);
                break;
            case DropRange drop:
                _copies.Remove((node.Process, drop.Range));
                break;
        }
    }
}
