using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>
/// An epoch has one coordinator; a server that has accepted an epoch accepts, applies and answers nothing of a lower one; a coordinator
/// after whose epoch another one has claimed the next ends nobody but itself.
/// </summary>
/// <param name="simulation">The run.</param>
internal sealed class EpochChecker(Simulation simulation) : Checker(simulation, "epochs")
{
    private readonly Dictionary<long, int> _coordinators = []; // by epoch: the process that claimed it
    private readonly Dictionary<int, long> _accepted = []; // by server process
    private readonly Dictionary<int, Message> _handling = [];

    /// <inheritdoc/>
    public override void Sent(SimulatedNode from, ActorId to, Message message)
    {
        if (message is ClaimEpoch claim)
        {
            if (_coordinators.TryGetValue(claim.Epoch, out int other) && other != from.Process)
            {
                throw Fail($"{from.Name} (process {from.Process}) claims epoch {claim.Epoch}, which process {other} has claimed.");
            }

            _coordinators[claim.Epoch] = from.Process;
        }
        else if (message is EpochAccepted accepted)
        {
            if (accepted.Epoch < _accepted.GetValueOrDefault(from.Process, -1))
            {
                throw Fail($"{from.Name} accepts epoch {accepted.Epoch} after {_accepted[from.Process]}.");
            }

            _accepted[from.Process] = accepted.Epoch;
        }
        else if (message is Shutdown shutdown && from is CoordinatorHost coordinator && Simulation.IsOvertaken(coordinator))
        {
            throw Fail($"{from.Name} tells {to} that the job has ended ({shutdown.Reason}), and another coordinator has taken over.");
        }
    }

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope) => _handling[node.Process] = envelope.Message;

    /// <inheritdoc/>
    public override void Decided(SimulatedNode node, NodeEffect effect)
    {
        long epoch = (effect, _handling.GetValueOrDefault(node.Process)) switch
        {
            (ApplyVerdict, Verdict verdict) => verdict.Epoch,
            (SendParameters, ReadParameters read) => read.Epoch,
            (SendState, ReadState read) => read.Epoch,
            _ => long.MaxValue,
        };
        if (epoch < _accepted.GetValueOrDefault(node.Process, -1))
        {
            throw Fail($"{node.Name} does {effect} because of a message of epoch {epoch}, and has accepted {_accepted[node.Process]}.");
        }
    }
}
