// A simulated parameter server. Its memory is the product's RangeMemory; its work is a queue that is done in order, each piece of
// it when its time is over, as on a server's work thread.
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Hosts;

/// <summary>Hosts a parameter server.</summary>
internal sealed unsafe class ServerHost : SimulatedNode, IPayloads
{
    private readonly SimulatedJob _job;
    private readonly SortedList<int, Held> _ranges = [];
    private readonly Queue<NodeEffect> _work = new();
    private bool _isBusy;
    private long _epoch;

    public ServerHost(Simulation simulation, NodeName place, ActorId id)
        : base(simulation, place, new ParameterServer(id, ActorId.Coordinator, simulation.Plan.Job.Shape, simulation.Plan.Times, -1) { Planted = simulation.Plan.Planted }, id.ToString())
        => _job = simulation.Plan.Job;

    /// <inheritdoc/>
    float* IPayloads.Gradient(in HeldPiece piece, long firstFloat) => Payload(piece.Payload)[0].Pointer + firstFloat;

    /// <inheritdoc/>
    float* IPayloads.State(in HeldState state) => Payload(state.Payload)[0].Pointer;

    /// <inheritdoc/>
    public override void Stop()
    {
        base.Stop();
        foreach (Held held in _ranges.Values)
        {
            held.Memory.Dispose();
        }

        _ranges.Clear();
        _work.Clear();
    }

    /// <inheritdoc/>
    protected override Message? Arrived(Message message, Block[]? blocks)
    {
        switch (message)
        {
            case Piece piece:
                return piece with { Payload = Keep(blocks) };
            case StatePiece state:
                return state with { Payload = Keep(blocks) };
            case ReducedCopy copy:
                return copy with { Payload = Keep(blocks) };
            case RangeCopy copy:
                return copy with { Payload = Keep(blocks) };
            case ClaimEpoch claim:
                _epoch = Math.Max(_epoch, claim.Epoch);
                return claim;
            default:
                return message;
        }
    }

    /// <inheritdoc/>
    protected override void Do(NodeEffect effect)
    {
        switch (effect)
        {
            case Notice notice:
                Simulation.Noticed(this, notice);
                break;
            case EndActor end:
                Simulation.ProcessEnded(this, end.Reason, end.Failed);
                break;
            default:
                _work.Enqueue(effect);
                Pump();
                break;
        }
    }

    private void Pump()
    {
        while (!_isBusy && IsAlive && _work.TryPeek(out NodeEffect? effect))
        {
            long ticks = TicksOf(effect);
            if (ticks > 0)
            {
                _isBusy = true;
                Later(Simulation.Slowed(Place, ticks), Finish);
                return;
            }

            _work.Dequeue();
            Perform(effect);
        }
    }

    private void Finish()
    {
        _isBusy = false;
        Message? result = Perform(_work.Dequeue());
        if (result is not null)
        {
            Tell(result);
        }

        Pump();
    }

    private long TicksOf(NodeEffect effect) => effect switch
    {
        ReduceSegment or StoreStates => Simulation.WorkDice.Between(1, 500),
        ApplyVerdict or SnapshotRange => Simulation.WorkDice.Between(1, 1_000),
        LoadRange => Simulation.WorkDice.Between(1, 3_000),
        _ => 0,
    };

    private Message? Perform(NodeEffect effect)
    {
        switch (effect)
        {
            case ReduceSegment reduce:
                return MemoryOf(reduce.Segment.Range).Reduce(reduce, this);
            case StoreStates store:
                return MemoryOf(store.Range).Store(store, this);
            case ApplyVerdict apply:
                return Apply(apply);
            case LoadRange load:
                return Load(load);
            case DropRange drop:
                if (_ranges.Remove(drop.Range, out Held? dropped))
                {
                    dropped.Memory.Dispose();
                }

                return null;
            case SnapshotRange snapshot:
                Send(ActorId.Coordinator, new RangePushed(_epoch, snapshot.Version, snapshot.Range, 0), ServerContent.Of(MemoryOf(snapshot.Range)));
                return new RangeSnapshotted(snapshot.Version, snapshot.Range);
            case SendParameters send:
                SendParameters(send);
                return null;
            case SendState send:
                RangeMemory states = MemoryOf(send.Range);
                Send(send.To, new StateArrived(send.Epoch, send.Version, send.Shards, 0), [.. send.Shards.Select(shard => ServerContent.StateOf(states, _job.Job, shard))]);
                return null;
            case SendReducedCopy send:
                Send(
                    send.To,
                    new ReducedCopy(send.Epoch, send.Step, send.Attempt, send.Range, send.Fence, send.Digest, 0),
                    ServerContent.ReducedOf(MemoryOf(send.Range)));
                return null;
            case SendRangeCopy send:
                Send(send.To, new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0), ServerContent.Of(MemoryOf(send.Range)));
                return null;
            case ReleasePayload release:
                Release(release.Payload);
                return null;
            default:
                throw new InvalidOperationException($"A parameter server has no such work: {effect}.");
        }
    }

    private VerdictApplied Apply(ApplyVerdict apply)
    {
        Held held = HeldOf(apply.Range);
        if (apply.Payload != 0)
        {
            fixed (float* reduced = Payload(apply.Payload)[0].Values)
            {
                held.Memory.LoadReduced(reduced);
            }
        }

        VerdictApplied applied = held.Memory.Apply(apply);
        held.Published = null;
        Simulation.Checkers.ContentChanged(this, apply.Range, apply.Step + 1, held.Memory);
        return applied;
    }

    private RangeLoaded Load(LoadRange load)
    {
        if (!_ranges.TryGetValue(load.Range, out Held? held))
        {
            held = new Held(new RangeMemory(_job.Job, _job.Cut, load.Range, load.Version) { Planted = Simulation.Plan.Planted });
            _ranges.Add(load.Range, held);
        }

        held.Published = null;
        if (held.Memory.SnapshotFloats > 0)
        {
            fixed (float* content = Payload(load.Payload)[0].Values)
            {
                held.Memory.Load(content, load.Version);
            }
        }

        Simulation.Checkers.ContentChanged(this, load.Range, load.Version, held.Memory);
        return new RangeLoaded(load.Range, load.Version);
    }

    private void SendParameters(SendParameters send)
    {
        Held held = HeldOf(send.Range);
        if (held.Memory.Range.Floats > 0 && held.Memory.ReadableVersion != send.Version)
        {
            return; // it was asked for before a rollback; it will be asked for again
        }

        held.Published ??= ServerContent.ParametersOf(held.Memory);
        Send(send.To, new ParametersArrived(send.Epoch, send.Range, send.Version), held.Published);
    }

    private RangeMemory MemoryOf(int range) => HeldOf(range).Memory;

    private Held HeldOf(int range) => _ranges.TryGetValue(range, out Held? held) ? held : throw Simulation.Fail("memory", $"{Name} is asked for range {range}, which it does not hold.");

    private sealed class Held(RangeMemory memory)
    {
        public readonly RangeMemory Memory = memory;
        public Block? Published; // the parameters of the present version, as they are sent
    }
}
