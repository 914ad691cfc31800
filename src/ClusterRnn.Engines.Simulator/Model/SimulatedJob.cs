using ClusterRnn.Models;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>A job as simulated hosts see it: a real one, its cut into ranges, and its arithmetic. Shared by all runs of it.</summary>
internal sealed unsafe class SimulatedJob
{
    private readonly Lazy<ReferenceRun> _reference;

    /// <summary>Cuts a job for so many servers.</summary>
    /// <param name="name">Names it in reports.</param>
    /// <param name="job">The job.</param>
    /// <param name="servers">Into how many ranges.</param>
    /// <param name="poison">A shard whose data is poison, or null.</param>
    /// <param name="leastSegmentBlocks">See <see cref="ProtocolJob.MapOf"/>.</param>
    public SimulatedJob(string name, TrainingJob job, int servers, PoisonedShard? poison = null, int leastSegmentBlocks = 1)
    {
        Name = name;
        Job = job;
        Servers = servers;
        Cut = ProtocolJob.MapOf(job, servers, leastSegmentBlocks);
        Shape = ProtocolJob.ShapeOf(job, name);
        SegmentsByLayer = ProtocolJob.SegmentsByLayer(job.Layout, Cut);
        Calculations = new Calculations(job) { Poison = poison };
        Initial = job.InitialParameters();
        StartPolicy = job.CreatePolicy().Save();
        Sections = ParameterRange.SectionNamesOf(job.Settings).Count;
        _reference = new Lazy<ReferenceRun>(() => ReferenceRun.Of(this));
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What is trained.</summary>
    public TrainingJob Job { get; }

    /// <summary>How many servers the job begins with.</summary>
    public int Servers { get; }

    /// <summary>Where ranges and segments lie.</summary>
    public RangeMap Cut { get; }

    /// <summary>What the protocol knows of it.</summary>
    public JobShape Shape { get; }

    /// <summary>Which segments are final when a layer is.</summary>
    public int[][] SegmentsByLayer { get; }

    /// <summary>Its arithmetic.</summary>
    public Calculations Calculations { get; }

    /// <summary>The parameters it starts from.</summary>
    public float[] Initial { get; } // [Layout.Length]

    /// <summary>The policy's state it starts from.</summary>
    public byte[] StartPolicy { get; }

    /// <summary>How many vectors a range keeps.</summary>
    public int Sections { get; }

    /// <summary>What an undisturbed run comes to, version by version; computed once.</summary>
    public ReferenceRun Reference => _reference.Value;

    /// <summary>Where a range lies.</summary>
    public BlockRange BlocksOf(int range) => new(Cut.Ranges[range].FirstBlock, Cut.Ranges[range].BlockCount);

    /// <summary>The shards whose state a range owns.</summary>
    public IEnumerable<int> ShardsOf(int range) => Enumerable.Range(0, Job.CarriesState ? Job.Shards : 0).Where(shard => Cut.StateRange(shard) == range);

    /// <summary>Floats of a range's content: its vectors, then the states of its shards.</summary>
    public long ContentFloats(int range) => (Sections * BlocksOf(range).Floats) + ShardsOf(range).Sum(Job.StateFloats);

    /// <summary>The content of a range at the start.</summary>
    public Block StartContent(int range)
    {
        var block = new Block(ContentFloats(range));
        Array.Clear(block.Values);
        BlockRange blocks = BlocksOf(range);
        Initial.AsSpan((int)blocks.FirstFloat, (int)blocks.Floats).CopyTo(block.Values);
        return block;
    }

    /// <summary>The state of the whole job from its ranges.</summary>
    /// <param name="contents">One content a range.</param>
    /// <param name="policy">The policy's state.</param>
    /// <returns>The state; the caller disposes of it.</returns>
    public TrainingState Assemble(IReadOnlyList<Block> contents, byte[] policy)
    {
        TrainingState state = Job.CreateState();
        for (int range = 0; range < contents.Count; range++)
        {
            BlockRange blocks = BlocksOf(range);
            fixed (float* values = contents[range].Values)
            {
                if (blocks.Count > 0)
                {
                    state.CopyFrom(blocks, values);
                }
            }

            long at = Sections * blocks.Floats;
            foreach (int shard in ShardsOf(range))
            {
                contents[range].Values.AsSpan((int)at, (int)Job.StateFloats(shard)).CopyTo(new Span<float>(state.Streams + Job.StateOffset(shard), (int)Job.StateFloats(shard)));
                at += Job.StateFloats(shard);
            }
        }

        state.Policy = policy;
        return state;
    }
}
