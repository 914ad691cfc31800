// What a worker has at hand to compute the shards of a step, and what it keeps for the next: the same on every engine.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using TrainingReport = ClusterRnn.Training.Computing.ShardReport;

namespace ClusterRnn.Node;

/// <summary>Trains on shards, digests what comes of it and keeps the recurrent states they lead to. Of one thread at a time.</summary>
public sealed unsafe class ShardWork : IDisposable
{
    private readonly TrainingJob _job;
    private readonly NativeBuffer<float>[] _states; // by parity of the version: [rows, StateWidth]
    private readonly ulong[][] _digests; // by subtree: one a layer
    private readonly bool[] _finite; // by subtree
    private readonly nint[] _pointers;

    /// <summary>Reserves what the job's largest assignment needs.</summary>
    public ShardWork(TrainingJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        _job = job;
        Reports = ShardComputer.CreateReports(job, Math.Max(job.Shards, job.EvaluationShards));
        int layers = 1;
        foreach (ParameterTensor tensor in job.Layout.Tensors)
        {
            layers = Math.Max(layers, tensor.Layer + 1);
        }

        int subtrees = 2 * (33 - int.LeadingZeroCount(job.Shards)); // the most that cover a contiguous range
        _digests = new ulong[subtrees][];
        for (int i = 0; i < subtrees; i++)
        {
            _digests[i] = new ulong[layers];
        }

        _finite = new bool[subtrees];
        _pointers = new nint[(2 * job.Shards) + subtrees];
        long floats = job.CarriesState ? (long)job.Train.BatchRows * job.Model.StateWidth : 0;
        _states = [new NativeBuffer<float>(floats), new NativeBuffer<float>(floats)];
    }

    /// <summary>A report for each shard of the last assignment, in the order of its range.</summary>
    public TrainingReport[] Reports { get; }

    /// <summary>The bytes of its buffers.</summary>
    public long MemoryBytes => (_states[0].Length + _states[1].Length) * sizeof(float);

    /// <summary>Where the committed states of a version are kept, at their shards' places: [BatchRows, StateWidth]. Those of the version two before lay there.</summary>
    public float* StatesOf(long version) => _states[version & 1].Pointer;

    /// <summary>Trains on the shards of an assignment, from the states kept of its version, into an answer.</summary>
    /// <param name="computer">Holds the parameters of the version.</param>
    /// <param name="compute">The assignment.</param>
    /// <param name="answer">Made ready for the subtrees of its range.</param>
    /// <param name="layerFinished">Is told each layer whose gradients are final; null: nobody asks.</param>
    public void Train(WorkerComputer computer, ComputeShards compute, AnswerMemory answer, Action<int>? layerFinished)
    {
        ArgumentNullException.ThrowIfNull(computer);
        ArgumentNullException.ThrowIfNull(compute);
        ArgumentNullException.ThrowIfNull(answer);
        ShardRange range = compute.Range;
        float* held = StatesOf(compute.Version);
        fixed (nint* pointers = _pointers)
        {
            float** statesIn = (float**)pointers;
            float** statesOut = (float**)(pointers + _job.Shards);
            float** gradients = (float**)(pointers + (2 * _job.Shards));
            for (int i = 0; i < range.Count; i++)
            {
                long offset = _job.StateOffset(range.Start + i);
                statesIn[i] = held + offset;
                statesOut[i] = answer.States + offset;
            }

            for (int i = 0; i < answer.Subtrees.Length; i++)
            {
                gradients[i] = answer.Gradient(i);
            }

            bool carries = _job.CarriesState;
            computer.Train(compute.Version, range, carries ? statesIn : null, carries ? statesOut : null, gradients, Reports, layerFinished);
            for (int i = 0; i < answer.Subtrees.Length; i++)
            {
                _finite[i] = ShardComputer.DigestGradient(_job.Layout, gradients[i], _digests[i]);
            }
        }
    }

    /// <summary>Keeps the states that an answer leads to, for when its step has committed.</summary>
    public void KeepStates(ComputeShards compute, AnswerMemory answer)
    {
        ArgumentNullException.ThrowIfNull(compute);
        ArgumentNullException.ThrowIfNull(answer);
        if (!_job.CarriesState)
        {
            return;
        }

        float* next = StatesOf(compute.Version + 1);
        for (int shard = compute.Range.Start; shard < compute.Range.End; shard++)
        {
            long offset = _job.StateOffset(shard);
            long bytes = _job.StateFloats(shard) * sizeof(float);
            Buffer.MemoryCopy(answer.States + offset, next + offset, bytes, bytes);
        }
    }

    /// <summary>Declares the first subtree's gradient not finite, as an experiment made it.</summary>
    public void Poison(AnswerMemory answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        *answer.Gradient(0) = float.NaN;
        _finite[0] = false;
        Reports[0].Finite = false;
    }

    /// <summary>What was computed last as the protocol's message.</summary>
    /// <param name="compute">The assignment.</param>
    /// <param name="subtrees">The subtrees of its gradients; none for an evaluation.</param>
    /// <param name="isUsable">Whether nothing changed underneath.</param>
    /// <param name="ticks">How long it took.</param>
    public Computed Result(ComputeShards compute, ShardRange[] subtrees, bool isUsable, long ticks)
    {
        ArgumentNullException.ThrowIfNull(compute);
        ArgumentNullException.ThrowIfNull(subtrees);
        var shards = new Protocol.Messages.ShardReport[compute.Range.Count];
        for (int i = 0; i < shards.Length; i++)
        {
            TrainingReport report = Reports[i];
            shards[i] = new Protocol.Messages.ShardReport(report.Shard, [.. report.Sums], [.. report.Counts], report.RowsDigest, report.StateDigest, report.Finite);
        }

        var gradients = new SubtreeReport[subtrees.Length];
        for (int i = 0; i < gradients.Length; i++)
        {
            gradients[i] = new SubtreeReport(subtrees[i], [.. _digests[i]], _finite[i]);
        }

        return new Computed(compute.Assignment, isUsable, shards, gradients, ticks);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _states[0].Dispose();
        _states[1].Dispose();
    }
}
