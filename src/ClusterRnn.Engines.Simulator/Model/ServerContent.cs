using ClusterRnn.Node;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>Takes blocks out of a server's memory of a range.</summary>
internal static unsafe class ServerContent
{
    /// <summary>All that moves with a step.</summary>
    public static Block Of(RangeMemory memory)
    {
        var block = new Block(memory.SnapshotFloats);
        fixed (float* into = block.Values)
        {
            memory.Save(into);
        }

        return block;
    }

    /// <summary>The parameters.</summary>
    public static Block ParametersOf(RangeMemory memory) => Copy(memory.Range.Parameters, memory.Range.Floats, pinned: false);

    /// <summary>The committed state of a shard.</summary>
    public static Block StateOf(RangeMemory memory, TrainingJob job, int shard)
        => Copy(memory.CommittedStates + job.StateOffset(shard), job.StateFloats(shard), pinned: false);

    /// <summary>The reduced gradient and the pending states.</summary>
    public static Block ReducedOf(RangeMemory memory)
    {
        var block = new Block(memory.ReducedFloats);
        fixed (float* into = block.Values)
        {
            memory.SaveReduced(into);
        }

        return block;
    }

    private static Block Copy(float* from, long floats, bool pinned)
    {
        var block = new Block(floats, pinned);
        new ReadOnlySpan<float>(from, (int)floats).CopyTo(block.Values);
        return block;
    }
}
