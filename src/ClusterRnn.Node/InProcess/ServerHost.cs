// Performs a parameter server's effects: reduce, store states, apply, copy. Its work is a queue that one thread at a time
// takes; which thread doesn't matter.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Node.InProcess;

/// <summary>The memory and the work of one server.</summary>
internal sealed unsafe class ServerHost : IDisposable
{
    private const int BlocksAtOnce = 32; // 128 KiB of gradient: reduced and squared while it is in the cache

    private readonly TrainingJob _job;
    private readonly int _blockCount;
    private readonly double[] _squares;
    private readonly NativeBuffer<float>[] _states; // committed and pending: [rows, StateWidth] each, own shards filled
    private readonly int[] _ownShards;
    private readonly Lock _gate = new();
    private readonly Queue<NodeEffect> _work = new();
    private int _committed;
    private bool _storedStates;
    private long _readable;

    public ServerHost(ParameterServer actor, TrainingJob job, RangeMap map, int range, long version)
    {
        Actor = actor;
        _job = job;
        _blockCount = map.BlockCount;
        RangeOwner owner = map.Ranges[range];
        Range = job.CreateRange(new BlockRange(owner.FirstBlock, owner.BlockCount));
        _squares = new double[owner.BlockCount];
        long floats = job.CarriesState ? (long)job.Train.BatchRows * job.Model.StateWidth : 0;
        _states = [new NativeBuffer<float>(floats), new NativeBuffer<float>(floats)];
        _ownShards = job.CarriesState ? [.. Enumerable.Range(0, job.Shards).Where(shard => map.StateRange(shard) == range)] : [];
        _readable = version;
    }

    public ParameterServer Actor { get; }

    public ParameterRange Range { get; }

    /// <summary>The version whose parameters may be read, -1 while they are being changed.</summary>
    public long ReadableVersion => Volatile.Read(ref _readable);

    /// <summary>Whether it lies in the engine's queue of servers with work.</summary>
    public bool IsScheduled { get; set; }

    /// <summary>The committed states of the server's shards.</summary>
    public float* CommittedStates => _states[_committed].Pointer;

    /// <summary>Takes over a state to start from.</summary>
    public void Load(TrainingState state)
    {
        state.CopyTo(Range);
        foreach (int shard in _ownShards)
        {
            Copy(state.Streams + _job.StateOffset(shard), CommittedStates + _job.StateOffset(shard), _job.StateFloats(shard));
        }
    }

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
                return Reduce(reduce, answers);
            case StoreStates store:
                foreach (HeldState state in store.States)
                {
                    long offset = _job.StateOffset(state.Shard);
                    Copy(answers[state.Payload].States + offset, _states[1 - _committed].Pointer + offset, _job.StateFloats(state.Shard));
                }

                _storedStates = true;
                return new StatesStored(store.Step, store.Ticket);
            case ApplyVerdict apply:
                Apply(apply);
                return new VerdictApplied(apply.Step);
            case SnapshotRange snapshot:
                copy.CopyFrom(Range);
                foreach (int shard in _ownShards)
                {
                    Copy(CommittedStates + _job.StateOffset(shard), copy.Streams + _job.StateOffset(shard), _job.StateFloats(shard));
                }

                return new RangeSnapshotted(snapshot.Version);
            default:
                throw new InvalidOperationException($"A parameter server has no such work: {work}.");
        }
    }

    public void Dispose()
    {
        Range.Dispose();
        _states[0].Dispose();
        _states[1].Dispose();
    }

    private SegmentReduced Reduce(ReduceSegment reduce, AnswerStore answers)
    {
        Segment segment = reduce.Segment;
        Span<GradientPiece> pieces = reduce.Pieces.Length <= 64 ? stackalloc GradientPiece[reduce.Pieces.Length] : new GradientPiece[reduce.Pieces.Length];
        bool finite = true;
        for (int first = 0; first < segment.BlockCount; first += BlocksAtOnce)
        {
            var blocks = new BlockRange(segment.FirstBlock + first, Math.Min(BlocksAtOnce, segment.BlockCount - first));
            for (int i = 0; i < pieces.Length; i++)
            {
                HeldPiece piece = reduce.Pieces[i];
                pieces[i] = new GradientPiece(piece.Subtree, answers[piece.Payload].GradientOf(piece.Subtree) + blocks.FirstFloat);
            }

            Range.Reduce(blocks, pieces);
            finite &= Range.SumSquares(blocks, _squares.AsSpan(blocks.First - Range.Blocks.First, blocks.Count));
        }

        ReadOnlySpan<double> squares = _squares.AsSpan(segment.FirstBlock - Range.Blocks.First, segment.BlockCount);
        ulong digest;
        fixed (byte* bytes = MemoryMarshal.AsBytes(squares))
        {
            digest = ContentDigest.Of(bytes, squares.Length * sizeof(double));
        }

        var range = new ShardRange(segment.FirstBlock, segment.FirstBlock + segment.BlockCount);
        return new SegmentReduced(reduce.Step, reduce.Ticket, segment.Index, BlockSums.Fold(squares, range, _blockCount), finite, digest);
    }

    private void Apply(ApplyVerdict apply)
    {
        // Whoever is still reading version v has to notice: see WorkerHost.
        Interlocked.Exchange(ref _readable, -1);
        Decision decision = apply.Decision;
        if (decision.Kind is VerdictKind.Apply or VerdictKind.Accumulate)
        {
            Range.Apply(new UpdateNumbers(
                decision.Kind == VerdictKind.Apply, decision.Count, (float)decision.ClipScale, decision.LearningRate, decision.Update));
        }

        if (_storedStates)
        {
            _storedStates = false;
            _committed = 1 - _committed;
            if (decision.Kind == VerdictKind.Skip)
            {
                foreach (int shard in _ownShards)
                {
                    StreamStates.ZeroNonFinite(CommittedStates + _job.StateOffset(shard), _job.RowsOf(shard), _job.Model.StateWidth);
                }
            }
        }

        Interlocked.Exchange(ref _readable, apply.Step + 1);
    }

    private static void Copy(float* from, float* into, long floats)
        => Buffer.MemoryCopy(from, into, floats * sizeof(float), floats * sizeof(float));
}
