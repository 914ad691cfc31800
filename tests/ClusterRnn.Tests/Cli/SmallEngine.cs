using System.Diagnostics;
using ClusterRnn.Tests.Training;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Cli;

/// <summary>An engine without protocol or threads, on <see cref="SmallTrainer"/>: what the command line is tested with, and what the others must give.</summary>
internal sealed unsafe class SmallEngine : IEngine
{
    public string Name => "small";

    public string Description => "one thread, for tests";

    /// <summary>Called before each step with its number, so that a test can interrupt or fail there.</summary>
    public Action<long>? BeforeStep { get; init; }

    public Task<EngineResult> RunAsync(EngineRequest request, CancellationToken cancellation = default) => Task.FromResult(Run(request, cancellation));

    private EngineResult Run(EngineRequest request, CancellationToken cancellation)
    {
        TrainingJob job = request.Job.Job;
        IRunObserver observer = request.Observer ?? new RunObservers();
        using var trainer = new SmallTrainer(job, request.Servers);
        TrainingPolicy policy = trainer.Policy;
        if (request.ResumeFrom is { } from)
        {
            using TrainingState state = job.CreateState();
            CheckpointStore.Read(from, state);
            trainer.Resume(state);
        }

        long maximum = job.Settings.MaximumSteps;
        var clock = Stopwatch.StartNew();
        observer.OnStart(new RunStart(request.Job.Config.Name ?? "", null, policy.Version, maximum == long.MaxValue ? null : maximum, job.Train.StepsPerPass, job.Layout.ParameterCount, Name, request.Workers, request.Servers, job.Shards));
        string? checkpoint = null;
        long? checkpointStep = null;
        double? trainLoss = null;
        long evaluated = -1;
        while (policy.StopReason == StopReason.None && !cancellation.IsCancellationRequested && !(policy.Version >= request.StopAfterStep))
        {
            BeforeStep?.Invoke(policy.Version);
            double rate = policy.LearningRate;
            trainer.Step();
            double sum = 0;
            long count = 0;
            foreach (var report in trainer.Reports)
            {
                sum += report.Sums[0];
                count += report.Counts[0];
            }

            trainLoss = sum / count;
            observer.OnStep(new StepReport(policy.Version, (double)policy.Version / job.Train.StepsPerPass, trainLoss.Value, rate, null, count, clock.Elapsed));
            if (policy.LastEvaluation is { } evaluation && evaluation.Version == policy.Version && evaluated != policy.Version)
            {
                evaluated = policy.Version;
                var metrics = job.Model.Metrics.Finish([.. evaluation.Sums], [.. evaluation.Counts]);
                observer.OnEvaluation(new EvaluationReport(policy.Version, evaluation.Loss, metrics.Skip(1).ToDictionary(m => m.Name, m => m.Value), policy.BestVersion == policy.Version, clock.Elapsed));
            }

            if (policy.CheckpointDue)
            {
                checkpoint = Save() ?? checkpoint;
                checkpointStep = policy.Version;
            }
        }

        bool isInterrupted = policy.StopReason == StopReason.None;
        if (isInterrupted)
        {
            checkpoint = Save() ?? checkpoint;
            checkpointStep = policy.Version;
        }

        using TrainingState final = trainer.State();
        return new EngineResult
        {
            End = policy.StopReason switch { StopReason.None => RunEnd.Interrupted, StopReason.Epochs => RunEnd.Epochs, StopReason.Loss => RunEnd.Loss, StopReason.Patience => RunEnd.Patience, _ => RunEnd.Steps },
            Steps = policy.Version,
            ModelSha256 = final.ModelSha256(),
            StateSha256 = final.StateSha256(),
            Parameters = new ReadOnlySpan<float>(trainer.Parameters, (int)job.Layout.Length).ToArray(),
            TrainLoss = trainLoss,
            ValidationLoss = double.IsNaN(policy.ValidationLoss) ? null : policy.ValidationLoss,
            BestValidationLoss = policy.BestVersion < 0 ? null : policy.BestLoss,
            BestStep = policy.BestVersion < 0 ? null : policy.BestVersion,
            Checkpoint = checkpoint,
            CheckpointStep = checkpointStep,
        };

        string? Save()
        {
            policy.MarkSaved();
            using TrainingState state = trainer.State();
            CheckpointWrite? write = request.Checkpoints?.Save(
                state,
                new CheckpointInfo
                {
                    Version = policy.Version,
                    Seed = job.Seed,
                    Shards = job.Shards,
                    DataSha256 = job.DataSha256,
                    Config = job.Config,
                    BestVersion = policy.BestVersion,
                    TrainLoss = trainLoss ?? double.NaN,
                    ValidationLoss = policy.ValidationLoss,
                },
                request.Job.Artefacts);
            if (write?.Path is { } path)
            {
                observer.OnCheckpoint(policy.Version, path);
            }

            return write?.Path;
        }
    }
}
