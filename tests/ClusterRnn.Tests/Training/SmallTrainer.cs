using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Tests.Training;

/// <summary>
/// A training without protocol or threads: ranges of shards one after the other, then ranges of parameters. What every
/// engine must give bit for bit.
/// </summary>
internal sealed unsafe class SmallTrainer : IDisposable
{
    private readonly TrainingJob job;
    private readonly ShardRange[] workers;
    private readonly ShardComputer computer;
    private readonly ParameterRange[] servers;
    private readonly NativeBuffer<float> parameters;
    private readonly NativeBuffer<float> committed; // [BatchRows, StateWidth]
    private readonly NativeBuffer<float> pending; // [BatchRows, StateWidth]
    private readonly List<NativeBuffer<float>> gradients = [];
    private readonly ShardReport[] reports;

    public SmallTrainer(TrainingJob job, int serverCount = 1, long memoryBytes = 0, params int[] cuts)
    {
        this.job = job;
        int[] bounds = [0, .. cuts, job.Shards];
        workers = [.. bounds.Zip(bounds.Skip(1), (start, end) => new ShardRange(start, end)).Where(range => range.Count > 0)];
        computer = job.CreateComputer(job.Shards, memoryBytes);
        servers = [.. job.CutRanges(serverCount).Select(job.CreateRange)];
        Policy = job.CreatePolicy();
        parameters = new NativeBuffer<float>(job.Layout.Length);
        committed = new NativeBuffer<float>((long)job.Train.BatchRows * job.Model.StateWidth);
        pending = new NativeBuffer<float>((long)job.Train.BatchRows * job.Model.StateWidth);
        reports = ShardComputer.CreateReports(job, job.Shards);
        job.InitialParameters().CopyTo(parameters.AsSpan());
        Array.ForEach(servers, server => server.Initialize(parameters.AsSpan()));
    }

    public TrainingPolicy Policy { get; }

    public ShardComputer Computer => computer;

    public float* Parameters => parameters.Pointer;

    public IReadOnlyList<ShardReport> Reports => reports;

    public void Run(long steps)
    {
        while (Policy.Version < steps)
        {
            Step();
        }
    }

    public void Step()
    {
        computer.LoadParameters(parameters.Pointer);
        var pieces = new List<(ShardRange Shards, nint Values)>();
        float** into = stackalloc float*[job.Shards];
        float** statesIn = stackalloc float*[job.Shards];
        float** statesOut = stackalloc float*[job.Shards];
        foreach (ShardRange range in workers)
        {
            ShardRange[] subtrees = new MergeProgram(range, job.Shards).Subtrees;
            for (int i = 0; i < subtrees.Length; i++)
            {
                into[i] = Gradient(pieces.Count);
                pieces.Add((subtrees[i], (nint)into[i]));
            }

            for (int i = 0; i < range.Count; i++)
            {
                statesIn[i] = committed.Pointer + job.StateOffset(range.Start + i);
                statesOut[i] = pending.Pointer + job.StateOffset(range.Start + i);
            }

            computer.Train(Policy.Version, range, statesIn, statesOut, into, reports.AsSpan(range.Start, range.Count));
        }

        StepDecision decision = Reduce(pieces);
        foreach (ParameterRange server in servers)
        {
            server.Apply(decision.Update);
            new ReadOnlySpan<float>(server.Parameters, (int)server.Floats).CopyTo(parameters.AsSpan(server.Blocks.FirstFloat, (int)server.Floats));
        }

        pending.AsSpan().CopyTo(committed.AsSpan());
        Policy.Advance(decision);
        if (Policy.EvaluationDue)
        {
            Policy.Observe(Evaluate(DataPart.Validation));
        }
    }

    public EvaluationSums Evaluate(DataPart part, params int[] cuts)
    {
        computer.LoadParameters(parameters.Pointer);
        int shards = job.ShardsOf(part);
        ShardReport[] evaluated = ShardComputer.CreateReports(job, shards);
        int[] bounds = [0, .. cuts, shards];
        for (int i = 0; i + 1 < bounds.Length; i++)
        {
            computer.Evaluate(part, new ShardRange(bounds[i], bounds[i + 1]), evaluated.AsSpan(bounds[i], bounds[i + 1] - bounds[i]));
        }

        (double[] sums, long[] counts) = Join(evaluated);
        return new EvaluationSums(Policy.Version, sums, counts);
    }

    public TrainingState State()
    {
        TrainingState state = job.CreateState();
        Array.ForEach(servers, state.CopyFrom);
        if (job.CarriesState)
        {
            committed.AsSpan().CopyTo(new Span<float>(state.Streams, (int)committed.Length));
        }

        state.Policy = Policy.Save();
        return state;
    }

    public string StateSha256()
    {
        using TrainingState state = State();
        return state.StateSha256();
    }

    public void Resume(TrainingState state)
    {
        foreach (ParameterRange server in servers)
        {
            state.CopyTo(server);
            new ReadOnlySpan<float>(server.Parameters, (int)server.Floats).CopyTo(parameters.AsSpan(server.Blocks.FirstFloat, (int)server.Floats));
        }

        if (job.CarriesState)
        {
            new ReadOnlySpan<float>(state.Streams, (int)committed.Length).CopyTo(committed.AsSpan());
        }

        Policy.Load(state.Policy);
    }

    public void Dispose()
    {
        computer.Dispose();
        parameters.Dispose();
        committed.Dispose();
        pending.Dispose();
        gradients.ForEach(gradient => gradient.Dispose());
        Array.ForEach(servers, server => server.Dispose());
    }

    private static (double[] Sums, long[] Counts) Join(ReadOnlySpan<ShardReport> shards)
    {
        var sums = new List<double>();
        var counts = new List<long>();
        foreach (ShardReport report in shards)
        {
            sums.AddRange(report.Sums);
            counts.AddRange(report.Counts);
        }

        double[] sum = new double[shards[0].Sums.Length];
        long[] count = new long[shards[0].Counts.Length];
        ShardSums.Join(sums.ToArray(), sum.Length, sum);
        ShardSums.Join(counts.ToArray(), count.Length, count);
        return (sum, count);
    }

    private StepDecision Reduce(List<(ShardRange Shards, nint Values)> pieces)
    {
        double[] squares = new double[job.Layout.BlockCount];
        bool finite = true;
        foreach (ParameterRange server in servers)
        {
            var mine = new GradientPiece[pieces.Count];
            for (int i = 0; i < mine.Length; i++)
            {
                mine[i] = new GradientPiece(pieces[i].Shards, (float*)pieces[i].Values + server.Blocks.FirstFloat);
            }

            server.Reduce(server.Blocks, mine);
            finite &= server.SumSquares(server.Blocks, squares.AsSpan(server.Blocks.First, server.Blocks.Count));
        }

        double[] total = new double[1];
        ShardSums.Join(squares, 1, total);
        (double[] sums, long[] counts) = Join(reports);
        return Policy.Decide(new StepSums { Sums = sums, Counts = counts, SumOfSquares = total[0], Finite = finite });
    }

    private float* Gradient(int index)
    {
        while (gradients.Count <= index)
        {
            // Not zero: whoever computes a gradient must overwrite all of it.
            gradients.Add(new NativeBuffer<float>(job.Layout.Length));
            gradients[^1].AsSpan().Fill(float.NaN);
        }

        return gradients[index].Pointer;
    }
}
