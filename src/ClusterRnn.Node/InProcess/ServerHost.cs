// A parameter server in this process: its work is a queue that one thread at a time takes.
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Node.InProcess;

/// <summary>The memory and the work of one server.</summary>
internal sealed unsafe class ServerHost : IDisposable
{
    private readonly RangeMemory _memory;
    private readonly Lock _gate = new();
    private readonly Queue<NodeEffect> _work = new();

    public ServerHost(ParameterServer actor, TrainingJob job, RangeMap map, int range, long version)
    {
        Actor = actor;
        _memory = new RangeMemory(job, map, range, version);
    }

    public ParameterServer Actor { get; }

    public ParameterRange Range => _memory.Range;

    /// <summary>The version whose parameters may be read, -1 while they are being changed.</summary>
    public long ReadableVersion => _memory.ReadableVersion;

    /// <summary>Whether it lies in the engine's queue of servers with work.</summary>
    public bool IsScheduled { get; set; }

    /// <summary>The committed states of the server's shards.</summary>
    public float* CommittedStates => _memory.CommittedStates;

    /// <summary>Takes over a state to start from.</summary>
    public void Load(TrainingState state) => _memory.Load(state);

    public void Add(NodeEffect work)
    {
        lock (_gate)
        {
            _work.Enqueue(work);
        }
    }

    public bool HasWork
    {
        get
        {
            lock (_gate)
            {
                return _work.Count > 0;
            }
        }
    }

    public bool TryTake(out NodeEffect? work)
    {
        lock (_gate)
        {
            return _work.TryDequeue(out work);
        }
    }

    /// <summary>Performs one piece of work.</summary>
    /// <param name="work">The work.</param>
    /// <param name="answers">Where pieces lie.</param>
    /// <param name="copy">Where copies for checkpoints go.</param>
    /// <returns>What the actor is told.</returns>
    public Message Perform(NodeEffect work, AnswerStore answers, TrainingState copy)
    {
        switch (work)
        {
            case ReduceSegment reduce:
                return _memory.Reduce(reduce, answers);
            case StoreStates store:
                return _memory.Store(store, answers);
            case ApplyVerdict apply:
                return _memory.Apply(apply);
            case SnapshotRange snapshot:
                _memory.CopyTo(copy);
                return new RangeSnapshotted(snapshot.Version, snapshot.Range);
            default:
                throw new InvalidOperationException($"A parameter server has no such work: {work}.");
        }
    }

    public void Dispose() => _memory.Dispose();
}
