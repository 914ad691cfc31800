using ClusterRnn.Models;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Policy;
using ShardReport = ClusterRnn.Protocol.Messages.ShardReport;

namespace ClusterRnn.Node;

/// <summary>Puts a training's policy behind the protocol's interface: joins the shards' sums along the canonical tree and translates its decisions.</summary>
public sealed class TrainingVerdictPolicy : IVerdictPolicy
{
    private readonly MetricSchema _schema;
    private readonly bool _saves;
    private readonly bool _captures;
    private readonly long _stopAfter;
    private readonly int _testShards;
    private readonly double[] _sums;
    private readonly long[] _counts;
    private double[] _shardSums = [];
    private long[] _shardCounts = [];

    /// <summary>Wraps a policy that is at the version the training starts from.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="job">The job it decides: which sums and counts shards report, and which of an evaluation's shards are test data.</param>
    /// <param name="saves">Whether checkpoints are written; without, only the end of the job keeps its state.</param>
    /// <param name="captures">Whether each verdict carries the policy's state, for engines that keep a journal.</param>
    /// <param name="stopAfter">Ends the job at this version as if it were interrupted there; null lets it run to its own end.</param>
    public TrainingVerdictPolicy(TrainingPolicy policy, TrainingJob job, bool saves, bool captures, long? stopAfter = null)
    {
        _stopAfter = stopAfter ?? long.MaxValue;
        Policy = policy;
        _schema = job.Model.Metrics;
        _testShards = job.TestShards;
        _saves = saves;
        _captures = captures;
        _sums = new double[_schema.SumWidth];
        _counts = new long[_schema.CountWidth];
    }

    /// <summary>The policy.</summary>
    public TrainingPolicy Policy { get; }

    /// <summary>The last evaluation of the test data, or null; nothing is decided by it.</summary>
    public EvaluationSums? LastTest { get; private set; }

    /// <summary>The last decision, or null before the first.</summary>
    public StepDecision? LastDecision { get; private set; }

    /// <summary>Whether the last decision asks to go back to the last scheduled checkpoint.</summary>
    public bool AsksForRollback => LastDecision is { Kind: DecisionKind.Rollback };

    /// <inheritdoc/>
    public string EndReason => Policy.StopReason switch
    {
        StopReason.Steps => "all steps are done",
        StopReason.Epochs => "all epochs are done",
        StopReason.Loss => "the loss reached its threshold",
        StopReason.Patience => "the loss has stopped falling",
        StopReason.NonFinite => "a step was not finite",
        _ => "stopped after the step asked for",
    };

    /// <inheritdoc/>
    public Decision Decide(in StepOutcome outcome)
    {
        Join(outcome.Shards);
        StepDecision decision = Policy.Decide(new StepSums { Sums = _sums, Counts = _counts, SumOfSquares = outcome.SumOfSquares, Finite = outcome.Finite });
        LastDecision = decision;
        if (decision.Kind != DecisionKind.Rollback)
        {
            Policy.Advance(decision);
        }

        UpdateNumbers numbers = decision.Update;
        return decision.Kind switch
        {
            DecisionKind.Commit => new Decision(
                numbers.Apply ? VerdictKind.Apply : VerdictKind.Accumulate, numbers.Count, numbers.ClipScale, numbers.LearningRate, numbers.Number, null),
            DecisionKind.Skip => new Decision(VerdictKind.Skip, 0, 1, 0, Policy.Updates, $"Step {decision.Version} is not finite and is skipped."),
            DecisionKind.Rollback => new Decision(VerdictKind.Stop, 0, 1, 0, Policy.Updates, $"Step {decision.Version} is not finite."),
            _ => new Decision(VerdictKind.Stop, 0, 1, 0, Policy.Updates,
                $"Step {decision.Version} is not finite: its loss or gradient holds NaN or infinity. Lower the learning rate, set clip.norm, or set nonFinite to skip or rollback."),
        };
    }

    /// <inheritdoc/>
    public NextAction Next(long version)
    {
        if (version >= _stopAfter && Policy.StopReason == StopReason.None)
        {
            return NextAction.End; // what is due here is done by whoever resumes
        }

        if (Policy.EvaluationDue)
        {
            return NextAction.Evaluate;
        }

        if (_saves && Policy.CheckpointDue)
        {
            return NextAction.Save;
        }

        return Policy.StopReason == StopReason.None ? NextAction.Train : NextAction.End;
    }

    /// <inheritdoc/>
    public void Evaluated(long version, ShardReport[] shards)
    {
        if (_testShards > 0)
        {
            Join(shards[^_testShards..]);
            LastTest = new EvaluationSums(version, [.. _sums], [.. _counts]);
        }

        Join(shards[..^_testShards]);
        Policy.Observe(new EvaluationSums(version, [.. _sums], [.. _counts]));
    }

    /// <inheritdoc/>
    public void Saved(long version) => Policy.MarkSaved();

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Capture() => _captures ? Policy.Save() : ReadOnlyMemory<byte>.Empty;

    /// <inheritdoc/>
    public long GoesBackTo => AsksForRollback ? Policy.RollbackVersion : -1;

    /// <inheritdoc/>
    public void GoBack(ReadOnlyMemory<byte> checkpoint) => Policy.RollBackTo(checkpoint.Span);

    /// <inheritdoc/>
    public void Restore(ReadOnlyMemory<byte> state) => Policy.Load(state.Span);

    private void Join(ShardReport[] shards)
    {
        int sums = _schema.SumWidth, counts = _schema.CountWidth;
        if (_shardSums.Length != shards.Length * sums)
        {
            _shardSums = new double[shards.Length * sums];
            _shardCounts = new long[shards.Length * counts];
        }

        for (int i = 0; i < shards.Length; i++)
        {
            shards[i].Sums.CopyTo(_shardSums, i * sums);
            shards[i].Counts.CopyTo(_shardCounts, i * counts);
        }

        ShardSums.Join(_shardSums, sums, _sums);
        ShardSums.Join(_shardCounts, counts, _counts);
    }
}
