// What a worker of a job needs, before anything is reserved: for the dry run, and for an error before a run begins instead
// of a machine that runs out of memory in the middle of it.
using System.Numerics;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Computing;

/// <summary>The memory of one worker: its native buffers. What the runtime itself takes comes on top.</summary>
/// <param name="LimitBytes">What they may take; 0: no limit.</param>
/// <param name="GroupShards">How many shards are computed together.</param>
/// <param name="ComputerBytes">The buffers of a <see cref="WorkerComputer"/> for so many: activations, gradients, packed weights, data.</param>
/// <param name="AnswerBytes">What lies beside them: an answer's gradients and states, and what is held from step to step.</param>
/// <param name="LeastBytes">The lowest limit with which the job can be computed.</param>
public sealed record WorkerMemory(long LimitBytes, int GroupShards, long ComputerBytes, long AnswerBytes, long LeastBytes)
{
    /// <summary>All of it.</summary>
    public long TotalBytes => ComputerBytes + AnswerBytes;

    /// <summary>Whether the limit leaves room for one shard.</summary>
    public bool Fits => LimitBytes == 0 || LeastBytes <= LimitBytes;

    /// <summary>In how many groups the given shards are computed, one after the other.</summary>
    public int GroupsOf(int shards) => (shards + GroupShards - 1) / GroupShards;

    /// <summary>Plans the memory of each worker.</summary>
    /// <param name="job">The job.</param>
    /// <param name="workers">How many share the shards.</param>
    /// <param name="servers">How many own the parameters: a worker keeps a copy where there are several.</param>
    /// <param name="limitBytes">What a worker's buffers may take; 0: no limit.</param>
    /// <param name="threads">On how many threads each computes.</param>
    public static WorkerMemory Of(TrainingJob job, int workers, int servers, long limitBytes, int threads = 1)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(servers, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(limitBytes);
        threads = WorkerComputer.UsefulThreads(job, threads);
        int shards = (job.Shards + threads - 1) / threads; // of a thread; a worker goes on alone when the others are lost
        long vector = job.Layout.Length * sizeof(float), states = job.CarriesState ? (long)job.Train.BatchRows * job.Model.StateWidth * sizeof(float) : 0;
        // One worker is always given all shards, which are one subtree.
        long answer = ((workers == 1 ? 1 : MostSubtrees(job.Shards)) * vector) + (3 * states) + (servers > 1 ? vector : 0);
        int group = limitBytes == 0 ? shards : FittingShards(job, threads, shards, limitBytes - answer);
        // Where the parameters weigh more than the rows, the tree's levels above small groups cost more than the groups save.
        long least = long.MaxValue;
        for (int shardsOfGroup = 1; shardsOfGroup <= shards; shardsOfGroup *= 2)
        {
            least = Math.Min(least, WorkerComputer.MeasureBytes(job, threads, shardsOfGroup) + answer);
        }

        least = Math.Min(least, WorkerComputer.MeasureBytes(job, threads, shards) + answer);
        return new WorkerMemory(limitBytes, group * threads, WorkerComputer.MeasureBytes(job, threads, group), answer, least);
    }

    private static int FittingShards(TrainingJob job, int threads, int shards, long bytes)
    {
        long spare = WorkerComputer.MeasureBytes(job, threads, shards) - (threads * ShardComputer.MeasureBytes(job, shards));
        return ShardComputer.FittingShards(job, shards, Math.Max(1, (bytes - spare) / threads));
    }

    /// <summary>What is left of a limit for a <see cref="WorkerComputer"/>; 0 without a limit.</summary>
    public long ComputerLimitBytes => LimitBytes == 0 ? 0 : Math.Max(1, LimitBytes - AnswerBytes);

    /// <summary>Says what is needed where not even one shard fits.</summary>
    /// <exception cref="TrainingException">The limit is too low.</exception>
    public void ThrowIfTooSmall()
    {
        if (!Fits)
        {
            throw new TrainingException(TooSmall);
        }
    }

    /// <summary>What is needed where not even one shard fits, in words.</summary>
    public string TooSmall =>
        $"'cluster.workerMemory' expects at least {MemorySize.AtLeast(LeastBytes)}: {MemorySize.AtLeast(LeastBytes - AnswerBytes)} to compute the smallest group of shards and {MemorySize.AtLeast(AnswerBytes)} for its answer; found {MemorySize.AtLeast(LimitBytes)}. "
        + "Raise it, cut the batch into more shards (batch.shards, another model), or let a smaller batch, span or model need less.";

    /// <summary>The most maximal subtrees that a contiguous range of shards falls into.</summary>
    public static int MostSubtrees(int shards) => Math.Max(1, (2 * (32 - BitOperations.LeadingZeroCount((uint)(shards - 1)))) - 2);
}
