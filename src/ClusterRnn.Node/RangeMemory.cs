// What a parameter server holds of one range, and its effects on it: reduce, store states, apply, copy.
//
// One thread at a time may change it; which thread doesn't matter. Until Apply nothing of the committed version changes.
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Node;

/// <summary>Where an engine keeps the blocks behind the payload numbers of pieces and states.</summary>
public unsafe interface IPayloads
{
    /// <summary>The values of a piece, beginning with its segment's first block.</summary>
    /// <param name="piece">The piece.</param>
    /// <param name="firstFloat">Where the segment begins in the flat vector.</param>
    float* Gradient(in HeldPiece piece, long firstFloat);

    /// <summary>The state after a shard: [rows of the shard, StateWidth].</summary>
    float* State(in HeldState state);
}

/// <summary>The parameters, optimizer and states of a range.</summary>
public sealed unsafe class RangeMemory : IDisposable
{
    private const int BlocksAtOnce = 32; // 128 KiB of gradient: reduced and squared while it is in the cache

    private readonly TrainingJob _job;
    private readonly int _blockCount;
    private readonly double[] _squares;
    private readonly NativeBuffer<float>[] _states; // committed and pending: [rows, StateWidth] each, own shards filled
    private readonly int[] _ownShards;
    private int _committed;
    private bool _storedStates;
    private long _readable;

    /// <summary>Reserves the memory; all is zero.</summary>
    /// <param name="job">The job.</param>
    /// <param name="map">How its blocks are spread.</param>
    /// <param name="range">Which range.</param>
    /// <param name="version">The version it is about to hold.</param>
    public RangeMemory(TrainingJob job, RangeMap map, int range, long version)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(map);
        _job = job;
        _blockCount = map.BlockCount;
        RangeOwner owner = map.Ranges[range];
        Range = job.CreateRange(new BlockRange(owner.FirstBlock, owner.BlockCount));
        _squares = new double[owner.BlockCount];
        long floats = job.CarriesState ? (long)job.Train.BatchRows * job.Model.StateWidth : 0;
        _states = [new NativeBuffer<float>(floats), new NativeBuffer<float>(floats)];
        _ownShards = job.CarriesState ? [.. Enumerable.Range(0, job.Shards).Where(shard => map.StateRange(shard) == range)] : [];
        _readable = version;
        foreach (int shard in _ownShards)
        {
            StateFloats += job.StateFloats(shard);
        }
    }

    /// <summary>Parameters, optimizer and gradient.</summary>
    public ParameterRange Range { get; }

    /// <summary>A piece that is missing, in tests.</summary>
    internal PlantedFault Planted { get; init; }

    /// <summary>The version whose parameters may be read, -1 while they are being changed.</summary>
    public long ReadableVersion => Volatile.Read(ref _readable);

    /// <summary>The committed states, where each shard has its place; those of the range's own shards are filled.</summary>
    public float* CommittedStates => _states[_committed].Pointer; // [BatchRows, StateWidth]

    /// <summary>Floats of state of the range's own shards.</summary>
    public long StateFloats { get; }

    /// <summary>How many floats <see cref="Save"/> writes.</summary>
    public long SnapshotFloats => Range.SnapshotFloats + StateFloats;

    /// <summary>How many floats <see cref="SaveReduced"/> writes.</summary>
    public long ReducedFloats => Range.Floats + StateFloats;

    /// <summary>Takes over a state to start from.</summary>
    public void Load(TrainingState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.CopyTo(Range);
        foreach (int shard in _ownShards)
        {
            Copy(state.Streams + _job.StateOffset(shard), CommittedStates + _job.StateOffset(shard), _job.StateFloats(shard));
        }
    }

    /// <summary>Copies the range into a state of the whole job.</summary>
    public void CopyTo(TrainingState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.CopyFrom(Range);
        foreach (int shard in _ownShards)
        {
            Copy(CommittedStates + _job.StateOffset(shard), state.Streams + _job.StateOffset(shard), _job.StateFloats(shard));
        }
    }

    /// <summary>Copies all that moves with a step: parameters, optimizer, then the states of its shards, ascending.</summary>
    /// <param name="into">[<see cref="SnapshotFloats"/>], overwritten.</param>
    public void Save(float* into)
    {
        Range.Save(into);
        into += Range.SnapshotFloats;
        foreach (int shard in _ownShards)
        {
            Copy(CommittedStates + _job.StateOffset(shard), into, _job.StateFloats(shard));
            into += _job.StateFloats(shard);
        }
    }

    /// <summary>Takes over what <see cref="Save"/> wrote for the same range; whatever was pending is forgotten.</summary>
    /// <param name="from">[<see cref="SnapshotFloats"/>].</param>
    /// <param name="version">The version it is at.</param>
    public void Load(float* from, long version)
    {
        Interlocked.Exchange(ref _readable, -1);
        _storedStates = false;
        Range.Load(from);
        from += Range.SnapshotFloats;
        foreach (int shard in _ownShards)
        {
            Copy(from, CommittedStates + _job.StateOffset(shard), _job.StateFloats(shard));
            from += _job.StateFloats(shard);
        }

        Interlocked.Exchange(ref _readable, version);
    }

    /// <summary>Copies what a replica needs to apply the step as well: the reduced gradient, then the pending states of its shards.</summary>
    /// <param name="into">[<see cref="ReducedFloats"/>], overwritten.</param>
    public void SaveReduced(float* into)
    {
        Copy(Range.Gradient, into, Range.Floats);
        into += Range.Floats;
        foreach (int shard in _ownShards)
        {
            Copy(_states[1 - _committed].Pointer + _job.StateOffset(shard), into, _job.StateFloats(shard));
            into += _job.StateFloats(shard);
        }
    }

    /// <summary>Takes over what <see cref="SaveReduced"/> wrote for the same range.</summary>
    /// <param name="from">[<see cref="ReducedFloats"/>].</param>
    public void LoadReduced(float* from)
    {
        Copy(from, Range.Gradient, Range.Floats);
        from += Range.Floats;
        foreach (int shard in _ownShards)
        {
            Copy(from, _states[1 - _committed].Pointer + _job.StateOffset(shard), _job.StateFloats(shard));
            from += _job.StateFloats(shard);
        }

        _storedStates = _ownShards.Length > 0;
    }

    /// <summary>Finishes the canonical tree for a segment.</summary>
    /// <returns>What the actor is told.</returns>
    public SegmentReduced Reduce(ReduceSegment reduce, IPayloads payloads)
    {
        ArgumentNullException.ThrowIfNull(reduce);
        ArgumentNullException.ThrowIfNull(payloads);
        Segment segment = reduce.Segment;
        long start = new BlockRange(segment.FirstBlock, segment.BlockCount).FirstFloat;
        Span<GradientPiece> pieces = reduce.Pieces.Length <= 64 ? stackalloc GradientPiece[reduce.Pieces.Length] : new GradientPiece[reduce.Pieces.Length];
        bool finite = true;
        int reduced = ProtocolJob.IsFrozen(_job, segment) ? 0 : segment.BlockCount; // a frozen gradient is and stays zero
        for (int first = 0; first < reduced; first += BlocksAtOnce)
        {
            var blocks = new BlockRange(segment.FirstBlock + first, Math.Min(BlocksAtOnce, segment.BlockCount - first));
            for (int i = 0; i < pieces.Length; i++)
            {
                HeldPiece piece = reduce.Pieces[i];
                pieces[i] = new GradientPiece(piece.Subtree, payloads.Gradient(piece, start) + (blocks.FirstFloat - start));
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

    /// <summary>Keeps states as pending.</summary>
    /// <returns>What the actor is told.</returns>
    public StatesStored Store(StoreStates store, IPayloads payloads)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(payloads);
        foreach (HeldState state in store.States)
        {
            Copy(payloads.State(state), _states[1 - _committed].Pointer + _job.StateOffset(state.Shard), _job.StateFloats(state.Shard));
        }

        _storedStates = true;
        return new StatesStored(store.Step, store.Ticket, store.Range);
    }

    /// <summary>Applies a decided step.</summary>
    /// <returns>What the actor is told.</returns>
    public VerdictApplied Apply(ApplyVerdict apply)
    {
        ArgumentNullException.ThrowIfNull(apply);

        // Whoever is still reading version v by reference has to notice.
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
            _committed = Planted == PlantedFault.StateNotCommitted ? _committed : 1 - _committed;
            if (decision.Kind == VerdictKind.Skip)
            {
                foreach (int shard in _ownShards)
                {
                    StreamStates.ZeroNonFinite(CommittedStates + _job.StateOffset(shard), _job.RowsOf(shard), _job.Model.StateWidth);
                }
            }
        }

        Interlocked.Exchange(ref _readable, apply.Step + 1);
        return new VerdictApplied(apply.Step, apply.Range);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Range.Dispose();
        _states[0].Dispose();
        _states[1].Dispose();
    }

    private static void Copy(float* from, float* into, long floats)
        => Buffer.MemoryCopy(from, into, floats * sizeof(float), floats * sizeof(float));
}
