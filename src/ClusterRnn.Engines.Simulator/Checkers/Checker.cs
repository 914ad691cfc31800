// A rule that must hold in every run. A checker sees what anyone outside could see: messages as they are sent and arrive, effects as
// they are decided, the disk, the content of a server's memory. It knows nothing of the state machines' insides, so that a piece
// missing there can't be missing here as well.
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>A rule. Each method is told of one thing that happened; a rule that is broken throws <see cref="Fail"/>.</summary>
/// <param name="simulation">The run.</param>
/// <param name="name">The rule's name in reports.</param>
internal abstract class Checker(Simulation simulation, string name)
{
    /// <summary>The rule's name.</summary>
    public string Name => name;

    /// <summary>The run.</summary>
    protected Simulation Simulation => simulation;

    /// <summary>A process has started.</summary>
    public virtual void Started(SimulatedNode node)
    {
    }

    /// <summary>A message is sent, whether it will arrive or not.</summary>
    public virtual void Sent(SimulatedNode from, ActorId to, Message message)
    {
    }

    /// <summary>A message has arrived; what the actor makes of it comes next.</summary>
    public virtual void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
    }

    /// <summary>An actor has decided something; it is performed next.</summary>
    public virtual void Decided(SimulatedNode node, NodeEffect effect)
    {
    }

    /// <summary>A worker computes.</summary>
    public virtual void Computing(SimulatedNode node, ComputeShards compute, ShardReport[] reports, bool isWrong)
    {
    }

    /// <summary>The content of a range on a server has changed: it is at a version now.</summary>
    public virtual void ContentChanged(ServerHost server, int range, long version, RangeMemory memory)
    {
    }

    /// <summary>A record was written to the journal.</summary>
    public virtual void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
    }

    /// <summary>A coordinator has read its checkpoints and goes on from this version, 0 when there was none.</summary>
    public virtual void Restored(long version)
    {
    }

    /// <summary>The coordinators' machine has lost its power.</summary>
    public virtual void PowerLost()
    {
    }

    /// <summary>A version is reached.</summary>
    public virtual void Committed(CoordinatorHost coordinator, long version)
    {
    }

    /// <summary>Something has happened, and all decisions about it are performed.</summary>
    public virtual void TimePassed()
    {
    }

    /// <summary>The job has ended.</summary>
    public virtual void Finished(EndJob end, SavedState? final)
    {
    }

    /// <summary>The rule is broken.</summary>
    protected SimulationFailure Fail(string what) => simulation.Fail(name, what);
}

/// <summary>All rules of a run.</summary>
/// <param name="simulation">The run.</param>
/// <param name="checkers">The rules.</param>
internal sealed class CheckerSet(Simulation simulation, Checker[] checkers)
{
    /// <summary>Every rule there is.</summary>
    public static Checker[] All(Simulation simulation) =>
    [
        new HashChainChecker(simulation),
        new PieceChecker(simulation),
        new AnswerChecker(simulation),
        new ReplicaChecker(simulation),
        new WriteAheadChecker(simulation),
        new LedgerChecker(simulation),
        new VersionChecker(simulation),
        new EpochChecker(simulation),
        new FenceChecker(simulation),
        new CheckpointChecker(simulation),
        new LivenessChecker(simulation),
        new EndChecker(simulation),
    ];

    /// <inheritdoc cref="Checker.Started"/>
    public void Started(SimulatedNode node)
    {
        foreach (Checker checker in checkers)
        {
            checker.Started(node);
        }
    }

    /// <inheritdoc cref="Checker.Sent"/>
    public void Sent(SimulatedNode from, ActorId to, Message message)
    {
        foreach (Checker checker in checkers)
        {
            checker.Sent(from, to, message);
        }
    }

    /// <inheritdoc cref="Checker.Delivered"/>
    public void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        foreach (Checker checker in checkers)
        {
            checker.Delivered(node, sender, envelope);
        }
    }

    /// <inheritdoc cref="Checker.Decided"/>
    public void Decided(SimulatedNode node, NodeEffect effect)
    {
        foreach (Checker checker in checkers)
        {
            checker.Decided(node, effect);
        }
    }

    /// <inheritdoc cref="Checker.Computing"/>
    public void Computing(SimulatedNode node, ComputeShards compute, ShardReport[] reports, bool isWrong)
    {
        foreach (Checker checker in checkers)
        {
            checker.Computing(node, compute, reports, isWrong);
        }
    }

    /// <inheritdoc cref="Checker.ContentChanged"/>
    public void ContentChanged(ServerHost server, int range, long version, RangeMemory memory)
    {
        foreach (Checker checker in checkers)
        {
            checker.ContentChanged(server, range, version, memory);
        }
    }

    /// <inheritdoc cref="Checker.Journaled"/>
    public void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
        foreach (Checker checker in checkers)
        {
            checker.Journaled(coordinator, record);
        }
    }

    /// <inheritdoc cref="Checker.Restored"/>
    public void Restored(long version)
    {
        foreach (Checker checker in checkers)
        {
            checker.Restored(version);
        }
    }

    /// <inheritdoc cref="Checker.PowerLost"/>
    public void PowerLost()
    {
        foreach (Checker checker in checkers)
        {
            checker.PowerLost();
        }
    }

    /// <inheritdoc cref="Checker.Committed"/>
    public void Committed(CoordinatorHost coordinator, long version)
    {
        foreach (Checker checker in checkers)
        {
            checker.Committed(coordinator, version);
        }
    }

    /// <inheritdoc cref="Checker.TimePassed"/>
    public void TimePassed()
    {
        foreach (Checker checker in checkers)
        {
            checker.TimePassed();
        }
    }

    /// <inheritdoc cref="Checker.Finished"/>
    public void Finished(EndJob end, SavedState? final)
    {
        foreach (Checker checker in checkers)
        {
            checker.Finished(end, final);
        }

        simulation.Count("checked");
    }
}

/// <summary>What a server was told last of who owns what.</summary>
internal sealed class ServerView
{
    private readonly Dictionary<long, PieceKey> _pieces = [];

    /// <summary>The epoch of its map.</summary>
    public long Epoch { get; private set; } = -1;

    /// <summary>Its map.</summary>
    public RangeMap? Map { get; private set; }

    /// <summary>The message it is handling, or handled last.</summary>
    public Message? Handling { get; private set; }

    /// <summary>Takes in a message that arrived.</summary>
    public void Take(Message message)
    {
        Handling = message;
        if (message is ClaimEpoch claim && (claim.Epoch > Epoch || (claim.Epoch == Epoch && claim.Map.Revision > Map!.Revision)))
        {
            (Epoch, Map) = (claim.Epoch, claim.Map);
        }
        else if (message is Piece piece)
        {
            _pieces[piece.Payload] = piece.Key;
        }
        else if (message is StatePiece state)
        {
            _pieces[state.Payload] = new PieceKey(state.Epoch, state.Step, state.Fence, -1, new ShardRange(state.Shard, state.Shard + 1), state.Assignment);
        }
    }

    /// <summary>What a payload was sent as; of a state the segment is -1.</summary>
    public PieceKey? KeyOf(long payload) => _pieces.TryGetValue(payload, out PieceKey key) ? key : null;

    /// <summary>The fence of a range.</summary>
    public long FenceOf(int range) => Map?.Ranges[range].Fence ?? -1;
}
