using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>Two servers never act as owner of a range under the same epoch and fence, and none answers a read with another fence.</summary>
/// <param name="simulation">The run.</param>
internal sealed class FenceChecker(Simulation simulation) : Checker(simulation, "fences")
{
    private readonly Dictionary<int, ServerView> _views = [];
    private readonly Dictionary<(long Epoch, int Range, long Fence), int> _owners = [];

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (node is ServerHost)
        {
            ViewOf(node).Take(envelope.Message);
        }
    }

    /// <inheritdoc/>
    public override void Sent(SimulatedNode from, ActorId to, Message message)
    {
        if (message is Prepared prepared)
        {
            Act(from, prepared.Epoch, prepared.Range, prepared.Fence, "prepares a step");
        }
    }

    /// <inheritdoc/>
    public override void Decided(SimulatedNode node, NodeEffect effect)
    {
        if (node is not ServerHost)
        {
            return;
        }

        switch (effect)
        {
            case SendReducedCopy send:
                Act(node, send.Epoch, send.Range, send.Fence, "has a replica follow");
                break;
            case SendRangeCopy send:
                Act(node, send.Epoch, send.Range, send.Fence, "fills a replica");
                break;
            case SendParameters send:
                Answer(node, send.Epoch, send.Range, ViewOf(node).Handling is ReadParameters read && read.Range == send.Range ? read.Fence : null);
                break;
            case SendState send:
                Answer(node, send.Epoch, send.Range, ViewOf(node).Handling is ReadState of && of.Range == send.Range ? of.Fence : null);
                break;
        }
    }

    private void Answer(SimulatedNode node, long epoch, int range, long? asked)
    {
        long fence = ViewOf(node).FenceOf(range);
        if (asked is { } theirs && theirs != fence)
        {
            throw Fail($"{node.Name} answers a read of range {range} with fence {theirs}, and knows fence {fence}.");
        }

        Act(node, epoch, range, fence, "answers a read");
    }

    private void Act(SimulatedNode node, long epoch, int range, long fence, string what)
    {
        if (!_owners.TryAdd((epoch, range, fence), node.Process) && _owners[(epoch, range, fence)] != node.Process)
        {
            throw Fail($"{node.Name} {what} as owner of range {range} with fence {fence} of epoch {epoch}; so did process {_owners[(epoch, range, fence)]} before.");
        }
    }

    private ServerView ViewOf(SimulatedNode node)
    {
        if (!_views.TryGetValue(node.Process, out ServerView? view))
        {
            _views.Add(node.Process, view = new ServerView());
        }

        return view;
    }
}
