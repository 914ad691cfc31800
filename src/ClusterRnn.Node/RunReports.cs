// What observers, checkpoints and summaries say of a run, whichever engine carries it out.
using ClusterRnn.Models;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node;

/// <summary>Makes a run's reports from the job, the policy and the coordinator's counters.</summary>
/// <param name="job">The job.</param>
/// <param name="policy">The policy the coordinator decides by.</param>
/// <param name="counters">The coordinator's counters.</param>
public sealed class RunReports(TrainingJob job, TrainingVerdictPolicy policy, Counters counters)
{
    /// <summary>The beginning of the run.</summary>
    public RunStart Start(string name, string? folder, long firstStep, string engine, int workers, int servers) => new(
        name,
        folder,
        firstStep,
        job.Settings.MaximumSteps == long.MaxValue ? null : job.Settings.MaximumSteps,
        job.Train.StepsPerPass,
        job.Layout.ParameterCount,
        engine,
        workers,
        servers,
        job.Shards);

    /// <summary>The step that led to <paramref name="version"/>, which was committed last.</summary>
    public StepReport Step(long version, TimeSpan elapsed)
    {
        StepDecision decision = policy.LastDecision!;
        double? norm = decision.Update.Apply ? decision.GradientNorm : null;
        return new StepReport(
            version, (double)version / job.Train.StepsPerPass, decision.Loss, decision.Update.LearningRate, norm, decision.Count, elapsed);
    }

    /// <summary>The evaluation of <paramref name="version"/>, which ended last.</summary>
    public EvaluationReport Evaluation(long version, TimeSpan elapsed)
    {
        EvaluationSums sums = policy.Policy.LastEvaluation!;
        var metrics = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach (MetricValue metric in job.Model.Metrics.Finish([.. sums.Sums], [.. sums.Counts]))
        {
            if (metric.Name != "loss")
            {
                metrics[metric.Name] = metric.Value;
            }
        }

        if (policy.LastTest is { } test)
        {
            metrics["testLoss"] = test.Loss;
        }

        return new EvaluationReport(version, sums.Loss, metrics, policy.Policy.BestVersion == version, elapsed);
    }

    /// <summary>What a checkpoint of <paramref name="version"/> says of itself.</summary>
    public CheckpointInfo Checkpoint(long version) => new()
    {
        Version = version,
        Seed = job.Seed,
        Shards = job.Shards,
        DataSha256 = job.DataSha256,
        Config = job.Config,
        BestVersion = policy.Policy.BestVersion,
        RollbackVersion = policy.Policy.RollbackVersion,
        TrainLoss = policy.LastDecision?.Loss ?? double.NaN,
        ValidationLoss = policy.Policy.ValidationLoss,
        Counters = new Dictionary<string, long>
        {
            ["disputedShards"] = counters.DisputedShards,
            ["lostShards"] = counters.LostShards,
            ["recomputedShards"] = counters.RecomputedShards,
            ["speculativeShards"] = counters.SpeculativeShards,
        },
    };

    /// <summary>What a run came to.</summary>
    /// <param name="state">Parameters, optimizer, streams and policy at the last committed version.</param>
    /// <param name="version">That version.</param>
    /// <param name="reason">Why the run ended, in words.</param>
    /// <param name="written">The newest checkpoint that this run wrote, or null.</param>
    /// <param name="writtenStep">Its step.</param>
    /// <param name="resumedFrom">The checkpoint the run went on from, or null.</param>
    public unsafe EngineResult Result(TrainingState state, long version, string reason, string? written, long? writtenStep, Checkpoint? resumedFrom)
    {
        ArgumentNullException.ThrowIfNull(state);
        TrainingPolicy course = policy.Policy;
        bool hasBest = course.BestVersion >= 0 && job.Validation is not null;

        // With the last evaluation cut off the job is not done: whoever resumes does it.
        StopReason stop = course.EvaluationDue ? StopReason.None : course.StopReason;
        return new EngineResult
        {
            End = stop switch
            {
                StopReason.Steps => RunEnd.Steps,
                StopReason.Epochs => RunEnd.Epochs,
                StopReason.Loss => RunEnd.Loss,
                StopReason.Patience => RunEnd.Patience,
                _ => RunEnd.Interrupted,
            },
            Steps = version,
            ModelSha256 = state.ModelSha256(),
            StateSha256 = state.StateSha256(),
            Parameters = new ReadOnlySpan<float>(state.Parameters, checked((int)state.Layout.Length)).ToArray(),
            TrainLoss = policy.LastDecision is { Count: > 0 } last ? last.Loss : Known(resumedFrom?.Info.TrainLoss),
            ValidationLoss = Known(course.ValidationLoss),
            BestValidationLoss = hasBest ? course.BestLoss : null,
            BestStep = hasBest ? course.BestVersion : null,
            RecomputedShards = counters.RecomputedShards,
            Counters = new SortedDictionary<string, long>(StringComparer.Ordinal)
            {
                ["disputedShards"] = counters.DisputedShards,
                ["evictions"] = counters.Evictions,
                ["failedCheckpoints"] = counters.FailedCheckpoints,
                ["faultyAnswers"] = counters.FaultyAnswers,
                ["lostShards"] = counters.LostShards,
                ["promotions"] = counters.Promotions,
                ["refills"] = counters.Refills,
                ["refusedAnswers"] = counters.RefusedAnswers,
                ["refusedMessages"] = counters.RefusedMessages,
                ["reproducedSteps"] = counters.ReproducedSteps,
                ["rollbackShards"] = counters.RollbackShards,
                ["rollbacks"] = counters.Rollbacks,
                ["serversLost"] = counters.LostServers,
                ["skippedSteps"] = counters.SkippedSteps,
                ["speculativeShards"] = counters.SpeculativeShards,
                ["workersJoined"] = counters.LateJoins,
                ["workersLeft"] = counters.Leaves,
                ["workersLost"] = counters.LostWorkers,
                ["workersQuarantined"] = counters.Quarantined,
            },
            Checkpoint = written ?? resumedFrom?.Path,
            CheckpointStep = writtenStep ?? resumedFrom?.Info.Version,
            Reason = reason,
        };
    }

    // A checkpoint says NaN where there was no loss yet.
    private static double? Known(double? loss) => loss is { } value && !double.IsNaN(value) ? value : null;
}
