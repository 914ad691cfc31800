// A simulated worker. What it computes is the real model's answer to the inputs it really has; how long that takes is chance.
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Hosts;

/// <summary>Hosts a worker.</summary>
internal sealed class WorkerHost : SimulatedNode
{
    private readonly SimulatedJob _job;
    private readonly SortedList<(long Version, int Range), Block> _parameters = [];
    private readonly Block?[][] _states; // [parity of the version][shard]
    private readonly Dictionary<long, Answer> _answers = [];
    private ParameterSet? _set;
    private long _setVersion = -1;
    private long _epoch = -1;

    public WorkerHost(Simulation simulation, NodeName place, ActorId id)
        : base(simulation, place, new Worker(id, ActorId.Coordinator, simulation.Plan.Job.Shape, simulation.Plan.Times), id.ToString())
    {
        _job = simulation.Plan.Job;
        _states = [new Block?[_job.Job.Shards], new Block?[_job.Job.Shards]];
    }

    /// <inheritdoc/>
    protected override Message? Arrived(Message message, Block[]? blocks)
    {
        switch (message)
        {
            case ParametersArrived arrived:
                // Into the store before the actor hears of it; a second answer changes nothing there, one of an older epoch may be of another course.
                if (arrived.Epoch == _epoch)
                {
                    _parameters.TryAdd((arrived.Version, arrived.Range), blocks![0]);
                }

                return arrived;
            case StateArrived state:
                return state with { Payload = Keep(blocks) };
            case Welcome welcome when welcome.Epoch > _epoch:
                _epoch = welcome.Epoch;
                _parameters.Clear();
                _setVersion = -1;
                return welcome;
            default:
                return message;
        }
    }

    /// <inheritdoc/>
    protected override void Do(NodeEffect effect)
    {
        switch (effect)
        {
            case ComputeShards compute:
                Compute(compute);
                break;
            case SendPiece send:
                if (_answers.TryGetValue(send.Key.Assignment, out Answer? answer) && answer.GradientOf(send.Key.Subtree) is { } gradient)
                {
                    Send(send.To, new Piece(send.Key, 0), gradient);
                }

                break;
            case SendStatePiece send:
                if (_answers.TryGetValue(send.Assignment, out Answer? held))
                {
                    Send(send.To, new StatePiece(send.Epoch, send.Step, send.Fence, send.Shard, send.Assignment, 0), held.NextStates[send.Shard - held.Range.Start]);
                }

                break;
            case HoldStates hold:
                Block[] states = Payload(hold.Payload);
                for (int i = 0; i < hold.Shards.Length; i++)
                {
                    _states[hold.Version & 1][hold.Shards[i]] = states[i];
                }

                Release(hold.Payload);
                break;
            case ReleaseAnswer release:
                _answers.Remove(release.Assignment);
                break;
            case ReleasePayload release:
                Release(release.Payload);
                break;
            case Notice notice:
                Simulation.Noticed(this, notice);
                break;
            case EndActor end:
                Simulation.ProcessEnded(this, end.Reason, end.Failed);
                break;
        }
    }

    private void Compute(ComputeShards compute)
    {
        ParameterSet parameters = ParametersOf(compute.Version);
        long ticks = 0;
        for (int i = 0; i < compute.Range.Count; i++)
        {
            ticks += Simulation.WorkDice.Between(Simulation.Plan.TicksPerShard, Simulation.Plan.TicksPerShard * 3 / 2);
        }

        ticks = Math.Max(1, Simulation.Slowed(Place, ticks));
        if (compute.Kind == WorkKind.Evaluate)
        {
            ShardReport[] results = [.. Shards(compute.Range).Select(shard => _job.Calculations.Evaluate(parameters, shard))];
            Later(ticks, () => Tell(new Computed(compute.Assignment, true, results, [], ticks)));
            return;
        }

        Answer answer = Train(compute, parameters);
        Spoiled spoiled = Simulation.Injector.SpoilAnswer(this, compute, answer.Shards);
        ticks += spoiled.DelayTicks;
        answer.Spoil(spoiled, _job.Calculations);
        Simulation.Checkers.Computing(this, compute, answer.Reports, spoiled.IsWrong);
        _answers[compute.Assignment] = answer;
        if (Simulation.Plan.SendsEarly && !spoiled.IsSpoiled)
        {
            long at = 0;
            for (int layer = _job.SegmentsByLayer.Length - 1; layer >= 0; layer--)
            {
                at += Simulation.WorkDice.Between(0, Math.Max(1, (ticks - at) / 2));
                foreach (int segment in _job.SegmentsByLayer[layer])
                {
                    Later(at, () => Tell(new SegmentComputed(compute.Assignment, segment)));
                }
            }
        }

        Later(ticks, () =>
        {
            for (int i = 0; i < compute.Range.Count && _job.Job.CarriesState; i++)
            {
                _states[(compute.Version + 1) & 1][compute.Range.Start + i] = answer.NextStates[i];
            }

            Tell(new Computed(compute.Assignment, true, answer.Reports, answer.Subtrees, ticks));
        });
    }

    private Answer Train(ComputeShards compute, ParameterSet parameters)
    {
        var shards = new ShardAnswer[compute.Range.Count];
        for (int i = 0; i < shards.Length; i++)
        {
            int shard = compute.Range.Start + i;
            Block? state = _states[compute.Version & 1][shard];
            if (state is null && _job.Job.CarriesState && _job.Job.StateFloats(shard) > 0)
            {
                throw Simulation.Fail("memory", $"{Name} computes shard {shard} of step {compute.Version} without its state.");
            }

            shards[i] = _job.Calculations.Train(parameters, compute.Version, shard, state ?? s_nothing);
        }

        ShardRange[] subtrees = new MergeProgram(compute.Range, _job.Job.Shards).Subtrees;
        var sums = new SubtreeAnswer[subtrees.Length];
        for (int i = 0; i < sums.Length; i++)
        {
            sums[i] = _job.Calculations.Sum(subtrees[i], shards.AsSpan(subtrees[i].Start - compute.Range.Start, subtrees[i].Count));
        }

        return new Answer(compute.Range, shards, sums);
    }

    private static readonly Block s_nothing = new(0);

    private static IEnumerable<int> Shards(ShardRange range) => Enumerable.Range(range.Start, range.Count);

    private ParameterSet ParametersOf(long version)
    {
        if (_setVersion == version)
        {
            return _set!;
        }

        var ranges = new Block[_job.Cut.Ranges.Length];
        for (int range = 0; range < ranges.Length; range++)
        {
            if (_parameters.TryGetValue((version, range), out Block? held))
            {
                ranges[range] = held;
            }
            else if (_job.Cut.Ranges[range].BlockCount == 0)
            {
                ranges[range] = s_nothing;
            }
            else
            {
                throw Simulation.Fail("memory", $"{Name} computes step {version} without the parameters of range {range}.");
            }
        }

        while (_parameters.Count > 0 && _parameters.GetKeyAtIndex(0).Version < version - 1)
        {
            _parameters.RemoveAt(0);
        }

        _set = new ParameterSet(ranges);
        _setVersion = version;
        return _set;
    }
}

/// <summary>What a worker holds of an assignment.</summary>
/// <param name="range">Its shards.</param>
/// <param name="shards">One answer a shard.</param>
/// <param name="sums">One a subtree.</param>
internal sealed class Answer(ShardRange range, ShardAnswer[] shards, SubtreeAnswer[] sums)
{
    private readonly Block[] _gradients = [.. sums.Select(sum => sum.Gradient)];

    /// <summary>Its shards.</summary>
    public ShardRange Range => range;

    /// <summary>One answer a shard.</summary>
    public ShardAnswer[] Shards => shards;

    /// <summary>What is reported of each shard.</summary>
    public ShardReport[] Reports { get; } = [.. shards.Select(shard => shard.Report)];

    /// <summary>What is reported of each subtree.</summary>
    public SubtreeReport[] Subtrees { get; } = [.. sums.Select(sum => sum.Report)];

    /// <summary>The state after each shard.</summary>
    public Block[] NextStates { get; } = [.. shards.Select(shard => shard.NextState)];

    /// <summary>The gradient of a subtree, or null.</summary>
    public Block? GradientOf(ShardRange subtree)
    {
        for (int i = 0; i < Subtrees.Length; i++)
        {
            if (Subtrees[i].Subtree == subtree)
            {
                return _gradients[i];
            }
        }

        return null;
    }

    /// <summary>Makes the answer for a shard one that nobody else would give.</summary>
    public void Spoil(Spoiled spoiled, Calculations calculations)
    {
        if (!spoiled.IsSpoiled)
        {
            return;
        }

        int index = spoiled.Shard - range.Start;
        int subtree = Array.FindIndex(Subtrees, sum => sum.Subtree.Start <= spoiled.Shard && spoiled.Shard < sum.Subtree.End);
        Block gradient = _gradients[subtree].Copy();
        ShardReport report = Reports[index];
        if (spoiled.IsWrong)
        {
            // A bit in the forward pass reaches everything behind it: loss, state and gradient.
            gradient.Values[0] = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(gradient.Values[0]) ^ 0x400000);
            double loss = BitConverter.Int64BitsToDouble(BitConverter.DoubleToInt64Bits(report.Sums[0]) ^ 0x100);
            report = report with { Sums = [loss, .. report.Sums.AsSpan(1)] };
            if (NextStates[index].Values.Length > 0)
            {
                Block state = NextStates[index].Copy();
                state.Values[0] = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(state.Values[0]) ^ 0x100);
                NextStates[index] = state;
                report = report with { StateDigest = state.Digest };
            }
        }
        else
        {
            gradient.Values[0] = float.NaN;
            report = report with { Finite = false };
        }

        _gradients[subtree] = gradient;
        Reports[index] = report;
        Subtrees[subtree] = calculations.Describe(Subtrees[subtree].Subtree, gradient);
    }
}

/// <summary>What a fault does to an answer.</summary>
/// <param name="Shard">The shard it hits.</param>
/// <param name="IsSpoiled">Whether it does anything.</param>
/// <param name="IsWrong">Whether the bits are wrong, rather than not finite.</param>
/// <param name="DelayTicks">How much longer it takes.</param>
internal readonly record struct Spoiled(int Shard, bool IsSpoiled, bool IsWrong, long DelayTicks);
