using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>What a server sums is every shard once, each piece computed for this epoch, this step and this range's fence.</summary>
/// <param name="simulation">The run.</param>
internal sealed class PieceChecker(Simulation simulation) : Checker(simulation, "pieces")
{
    private readonly Dictionary<int, ServerView> _views = [];

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (node is ServerHost)
        {
            ViewOf(node).Take(envelope.Message);
        }
    }

    /// <inheritdoc/>
    public override void Decided(SimulatedNode node, NodeEffect effect)
    {
        switch (effect)
        {
            case ReduceSegment reduce:
                int next = 0;
                foreach (HeldPiece piece in reduce.Pieces)
                {
                    if (piece.Subtree.Start != next)
                    {
                        throw Fail($"{node.Name} sums {string.Join(' ', reduce.Pieces.Select(p => p.Subtree))} of segment {reduce.Segment.Index}: a shard twice, or not at all.");
                    }

                    next = piece.Subtree.End;
                    Expect(node, piece.Payload, reduce.Segment.Index, reduce.Step, reduce.Segment.Range);
                }

                if (next != Simulation.Plan.Job.Job.Shards)
                {
                    throw Fail($"{node.Name} sums segment {reduce.Segment.Index} up to shard {next} of {Simulation.Plan.Job.Job.Shards}.");
                }

                break;
            case StoreStates store:
                foreach (HeldState state in store.States)
                {
                    Expect(node, state.Payload, -1, store.Step, store.Range);
                }

                break;
        }
    }

    private void Expect(SimulatedNode node, long payload, int segment, long step, int range)
    {
        ServerView view = ViewOf(node);
        PieceKey key = view.KeyOf(payload) ?? throw Fail($"{node.Name} sums a piece that never arrived.");
        string what = segment < 0 ? $"the state of shard {key.Subtree.Start}" : $"a piece of segment {segment}";
        if (key.Segment != segment || key.Step != step)
        {
            throw Fail($"{node.Name} takes {what} for step {step} that was computed for segment {key.Segment} of step {key.Step}.");
        }

        if (key.Epoch != view.Epoch)
        {
            throw Fail($"{node.Name} takes {what} of epoch {key.Epoch}, and follows epoch {view.Epoch}.");
        }

        if (key.Fence != view.FenceOf(range))
        {
            throw Fail($"{node.Name} takes {what} with fence {key.Fence}; range {range} has fence {view.FenceOf(range)}.");
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
