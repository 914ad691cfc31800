// The oracle: the same job without a cluster. One pass over its steps with the product's policy, reduction and optimizer, and no
// message, no server and no fault. Whatever a simulated run does, each range must be at each version what it is here.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>What an undisturbed run comes to.</summary>
internal sealed class ReferenceRun
{
    private readonly HashSet<(long Version, int Range, ulong Digest)> _contents = [];
    private readonly Dictionary<(long Version, int Shard), ulong> _rows = [];

    private ReferenceRun()
    {
    }

    /// <summary>The version it ends at.</summary>
    public long Steps { get; private set; }

    /// <summary>Why it fails, or null when it does not.</summary>
    public string? Failure { get; private set; }

    /// <summary>How many steps were skipped because they were not finite.</summary>
    public long SkippedSteps { get; private set; }

    /// <summary>How often it went back because of a step that was not finite.</summary>
    public int PolicyRollbacks { get; private set; }

    /// <summary>The hash of the parameters at the end.</summary>
    public string ModelSha256 { get; private set; } = "";

    /// <summary>The hash of all that moves with a step at the end.</summary>
    public string StateSha256 { get; private set; } = "";

    /// <summary>Whether a range may have this content at a version.</summary>
    public bool Has(long version, int range, ulong digest) => _contents.Contains((version, range, digest));

    /// <summary>The digest of the rows a shard of a step reads.</summary>
    public ulong RowsOf(long version, int shard) => _rows[(version, shard)];

    /// <summary>Runs a job.</summary>
    public static ReferenceRun Of(SimulatedJob simulated)
    {
        var reference = new ReferenceRun();
        using var run = new Pass(simulated, reference);
        run.Perform();
        return reference;
    }

    private sealed unsafe class Pass : IPayloads, IDisposable
    {
        private readonly SimulatedJob _simulated;
        private readonly ReferenceRun _into;
        private readonly TrainingVerdictPolicy _policy;
        private readonly RangeMemory[] _ranges;
        private readonly Dictionary<long, (Block[] Contents, byte[] Policy)> _saved = [];
        private Block[] _states = [];
        private Block? _gradient;

        public Pass(SimulatedJob simulated, ReferenceRun into)
        {
            _simulated = simulated;
            _into = into;
            _policy = new TrainingVerdictPolicy(simulated.Job.CreatePolicy(), simulated.Job, saves: true, captures: true);
            _ranges = new RangeMemory[simulated.Cut.Ranges.Length];
            for (int range = 0; range < _ranges.Length; range++)
            {
                _ranges[range] = new RangeMemory(simulated.Job, simulated.Cut, range, 0);
            }
        }

        float* IPayloads.Gradient(in HeldPiece piece, long firstFloat) => _gradient!.Pointer + firstFloat;

        float* IPayloads.State(in HeldState state) => _states[state.Shard].Pointer;

        public void Dispose()
        {
            foreach (RangeMemory range in _ranges)
            {
                range.Dispose();
            }
        }

        public void Perform()
        {
            Load([.. Enumerable.Range(0, _ranges.Length).Select(_simulated.StartContent)], 0);
            _saved[0] = (Contents(), _simulated.StartPolicy);
            long version = 0;
            Note(version);
            while (true)
            {
                switch (_policy.Next(version))
                {
                    case NextAction.Evaluate:
                        ParameterSet evaluated = Parameters();
                        _policy.Evaluated(version, [.. Enumerable.Range(0, _simulated.Job.EvaluationShards).Select(shard => _simulated.Calculations.Evaluate(evaluated, shard))]);
                        break;
                    case NextAction.Save:
                        _policy.Saved(version);
                        _saved[version] = (Contents(), _policy.Policy.Save());
                        break;
                    case NextAction.End:
                        Finish(version);
                        return;
                    default:
                        Decision decision = Step(version);
                        if (_policy.AsksForRollback)
                        {
                            version = GoBack();
                            break;
                        }

                        if (decision.Kind == VerdictKind.Stop)
                        {
                            _into.Failure = decision.Reason;
                            Finish(version);
                            return;
                        }

                        _into.SkippedSteps += decision.Kind == VerdictKind.Skip ? 1 : 0;
                        version++;
                        Note(version);
                        break;
                }
            }
        }

        private Decision Step(long version)
        {
            ParameterSet parameters = Parameters();
            if (_simulated.Calculations.Poison?.Version == version)
            {
                _simulated.Calculations.PoisonedParameters ??= parameters.Digest;
            }

            int shards = _simulated.Job.Shards;
            ShardAnswer[] answers = [.. Enumerable.Range(0, shards).Select(shard => _simulated.Calculations.Train(parameters, version, shard, StateOf(shard)))];
            for (int shard = 0; shard < shards; shard++)
            {
                _into._rows[(version, shard)] = answers[shard].Report.RowsDigest;
            }

            _gradient = _simulated.Calculations.Sum(new ShardRange(0, shards), answers).Gradient;
            _states = [.. answers.Select(answer => answer.NextState)];
            var sums = new List<BlockSum>();
            bool finite = answers.All(answer => answer.Report.Finite);
            foreach (Segment segment in _simulated.Cut.Segments)
            {
                SegmentReduced reduced = _ranges[segment.Range].Reduce(
                    new ReduceSegment(version, 0, segment, [new HeldPiece(new ShardRange(0, shards), 0, 0)]), this);
                sums.AddRange(reduced.Squares);
                finite &= reduced.Finite;
            }

            double squares = BlockSums.Join(sums, _simulated.Cut.BlockCount);
            Decision decision = _policy.Decide(new StepOutcome(version, [.. answers.Select(answer => answer.Report)], squares, finite));
            for (int range = 0; range < _ranges.Length && decision.Kind is not VerdictKind.Stop && !_policy.AsksForRollback; range++)
            {
                HeldState[] states = [.. _simulated.ShardsOf(range).Select(shard => new HeldState(shard, 0, 0))];
                if (states.Length > 0)
                {
                    _ranges[range].Store(new StoreStates(version, 0, states, range), this);
                }

                _ranges[range].Apply(new ApplyVerdict(version, decision, 0, range));
            }

            return decision;
        }

        private long GoBack()
        {
            long version = _policy.Policy.RollbackVersion;
            (Block[] contents, byte[] policy) = _saved[version];
            Load(contents, version);
            _policy.Policy.RollBackTo(policy);
            _into.PolicyRollbacks++;
            return version;
        }

        private void Finish(long version)
        {
            _into.Steps = version;
            using TrainingState state = _simulated.Assemble(Contents(), _policy.Policy.Save());
            _into.ModelSha256 = state.ModelSha256();
            _into.StateSha256 = state.StateSha256();
        }

        private void Note(long version)
        {
            Block[] contents = Contents();
            for (int range = 0; range < contents.Length; range++)
            {
                _into._contents.Add((version, range, contents[range].Digest));
            }
        }

        private void Load(Block[] contents, long version)
        {
            for (int range = 0; range < _ranges.Length; range++)
            {
                fixed (float* values = contents[range].Values)
                {
                    _ranges[range].Load(values, version);
                }
            }
        }

        private Block[] Contents() => [.. _ranges.Select(ServerContent.Of)];

        private ParameterSet Parameters() => new([.. _ranges.Select(ServerContent.ParametersOf)]);

        private Block? StateOf(int shard) => _simulated.Job.CarriesState ? ServerContent.StateOf(_ranges[_simulated.Cut.StateRange(shard)], _simulated.Job, shard) : null;
    }
}
