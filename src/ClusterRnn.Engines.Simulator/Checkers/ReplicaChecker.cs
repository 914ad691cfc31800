using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>Whoever says that a range with a replica is prepared has the replica's word for it.</summary>
/// <param name="simulation">The run.</param>
internal sealed class ReplicaChecker(Simulation simulation) : Checker(simulation, "replicas")
{
    private readonly HashSet<(int Process, ActorId Replica, long Epoch, long Step, int Attempt, int Range)> _held = [];

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (envelope.Message is ReplicaHolds holds)
        {
            _held.Add((node.Process, envelope.From, holds.Epoch, holds.Step, holds.Attempt, holds.Range));
        }
    }

    /// <inheritdoc/>
    public override void Sent(SimulatedNode from, ActorId to, Message message)
    {
        if (message is Prepared { Replica: { } replica } prepared
            && !_held.Contains((from.Process, replica, prepared.Epoch, prepared.Step, prepared.Attempt, prepared.Range)))
        {
            throw Fail($"{from.Name} is prepared for step {prepared.Step} of range {prepared.Range}, and {replica} has not said that it holds it.");
        }
    }
}
