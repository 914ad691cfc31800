// Trains the trials of a sweep, rung by rung, several at once. A rung decides when all of its runs have reported, by scores
// and trial numbers alone. A run stops at a rung as if interrupted there and is evaluated from outside, so a trial that
// goes on ends with the bits of one that never stopped.
using System.Collections.Concurrent;
using System.Diagnostics;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Sweeps;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Sweeps;

/// <summary>Where a trial stands after the last rung that it reached.</summary>
/// <param name="Trial">The trial.</param>
/// <param name="Rung">The last rung it reached.</param>
/// <param name="Steps">Steps trained, of the first fold.</param>
/// <param name="Score">The mean over the folds; not finite if one failed.</param>
/// <param name="Deviation">The standard deviation over the folds, or null without folds.</param>
/// <param name="Seconds">How long its last rung took, over all folds, the evaluation included.</param>
/// <param name="Failure">Why it failed, or null.</param>
internal sealed record TrialStanding(Trial Trial, int Rung, long Steps, double Score, double? Deviation, double Seconds, string? Failure);

/// <summary>A sweep being carried out.</summary>
/// <param name="terminal">Where it is shown.</param>
/// <param name="sweep">What is searched.</param>
/// <param name="plan">Its trials and rungs.</param>
/// <param name="goal">Which score wins.</param>
/// <param name="jobs">The config of each trial and fold, and the steps of its last rung.</param>
/// <param name="engine">Gives the engine of a config.</param>
/// <param name="folder">Where everything goes.</param>
internal sealed class SweepRun(
    Terminal terminal, SweepConfig sweep, SweepPlan plan, SweepGoal goal, IReadOnlyDictionary<(int Trial, int Fold), (JobConfig Config, long LastSteps)> jobs, Func<JobConfig, IEngine> engine, SweepFolder folder)
{
    private static readonly TimeSpan s_sayEvery = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<(int Rung, int Trial, int Fold), TrialResult> _results = [];
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private long _stepsDone; // in this process
    private long _stepsPlanned;
    private long _saidAt;

    private IEnumerable<int> Folds => sweep.Folds == 1 ? [0] : Enumerable.Range(1, sweep.Folds);

    /// <summary>Runs all rungs.</summary>
    /// <returns>All trials, the winner first, then by how far they came and their scores.</returns>
    public async Task<IReadOnlyList<TrialStanding>> RunAsync(int parallel, CancellationToken cancellation)
    {
        foreach (TrialResult done in folder.Results())
        {
            _results[(done.Rung, done.Trial, done.Fold)] = done;
        }

        IReadOnlyList<int> alive = [.. plan.Trials.Select(t => t.Number)];
        _stepsPlanned = PlannedSteps();
        var standings = new Dictionary<int, TrialStanding>();
        foreach (Rung rung in plan.Rungs)
        {
            await RunRungAsync(rung, alive, parallel, cancellation).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            foreach (int trial in alive)
            {
                standings[trial] = Stand(rung, trial);
            }

            int next = rung.Number < plan.Rungs.Count ? plan.Rungs[rung.Number].Trials : alive.Count;
            alive = SweepPlan.Best(alive.Select(t => (t, standings[t].Score)), goal, next);
        }

        return
        [
            .. standings.Values.GroupBy(s => s.Rung).OrderByDescending(g => g.Key)
                .SelectMany(g => SweepPlan.Best(g.Select(s => (s.Trial.Number, s.Score)), goal, g.Count()))
                .Select(trial => standings[trial]),
        ];
    }

    private async Task RunRungAsync(Rung rung, IReadOnlyList<int> alive, int parallel, CancellationToken cancellation)
    {
        (int Trial, int Fold)[] open = [.. alive.Order().SelectMany(t => Folds.Select(f => (t, f))).Where(run => !_results.ContainsKey((rung.Number, run.t, run.f)))];
        await Parallel.ForEachAsync(open, new ParallelOptions { MaxDegreeOfParallelism = parallel }, async (run, _) =>
        {
            if (cancellation.IsCancellationRequested)
            {
                return;
            }

            // On a thread of its own: the engine's caller may be made to compute.
            TrialResult? result = await Task.Factory.StartNew(
                () => TrainAsync(rung, plan.Trials[run.Trial - 1], run.Fold, cancellation), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap().ConfigureAwait(false);
            if (result is not null)
            {
                _results[(rung.Number, run.Trial, run.Fold)] = result;
                folder.Add(result);
                Say(rung, result);
            }
        }).ConfigureAwait(false);
    }

    private async Task<TrialResult?> TrainAsync(Rung rung, Trial trial, int fold, CancellationToken cancellation)
    {
        long began = Stopwatch.GetTimestamp();
        (JobConfig config, long lastSteps) = jobs[(trial.Number, fold)];
        RunFolder run = folder.Of(trial, fold);
        long steps = 0;
        try
        {
            Directory.CreateDirectory(run.Path);
            run.WriteConfig(config);
            ResolvedJob job = ResolvedJob.Open(config, Environment.CurrentDirectory);
            var checkpoints = new CheckpointStore(run.CheckpointsPath, config.Checkpoint);
            var request = new EngineRequest
            {
                Job = job,
                Checkpoints = checkpoints,
                ResumeFrom = Directory.Exists(run.CheckpointsPath) ? checkpoints.FindNewest(job.Job.Expectation).Found : null,
                Workers = config.Cluster.Workers,
                Servers = config.Cluster.Servers,
                Replicas = config.Cluster.Replicas,
                StopAfterStep = rung.StepsOf(lastSteps) is var stop && stop < long.MaxValue ? stop : null,
            };
            IEngine runs = engine(config);
            using var metrics = new MetricsLog(run.MetricsPath, runs.FirstStep(request));
            EngineResult result = await runs.RunAsync(request with { Observer = new RunObservers(metrics, new Counting(this)) }, cancellation).ConfigureAwait(false);
            steps = result.Steps;
            if (result.End == RunEnd.Interrupted && cancellation.IsCancellationRequested)
            {
                return null; // saved; --resume goes on
            }

            using var model = new TrainedModel(job.Job.Model, result.Parameters);
            IReadOnlyList<MetricValue> values = EvaluateCommand.Evaluate(job.Job, config.Cluster, model, DataPart.Validation, cancellation);
            double score = values.First(v => v.Name == sweep.Metric).Value;
            return new TrialResult(
                rung.Number, trial.Number, fold, steps, double.IsFinite(score) ? score : null, result.ModelSha256, Stopwatch.GetElapsedTime(began).TotalSeconds,
                double.IsFinite(score) ? null : $"its {sweep.Metric} is not finite");
        }
        catch (TrainingException error)
        {
            // A learning rate too high is a result; the search goes on without this trial.
            return new TrialResult(rung.Number, trial.Number, fold, steps, null, null, Stopwatch.GetElapsedTime(began).TotalSeconds, error.Message);
        }
    }

    private TrialStanding Stand(Rung rung, int trial)
    {
        TrialResult[] folds = [.. Folds.Select(fold => _results[(rung.Number, trial, fold)])];
        double sum = 0, squares = 0, seconds = 0;
        foreach (TrialResult fold in folds)
        {
            seconds += fold.Seconds;
            sum += fold.Score ?? double.NaN;
        }

        double mean = sum / folds.Length;
        foreach (TrialResult fold in folds)
        {
            squares += ((fold.Score ?? double.NaN) - mean) * ((fold.Score ?? double.NaN) - mean);
        }

        return new TrialStanding(
            plan.Trials[trial - 1], rung.Number, folds[0].Steps, mean, folds.Length == 1 ? null : Math.Sqrt(squares / (folds.Length - 1)), seconds, folds.FirstOrDefault(f => f.Failure is not null)?.Failure);
    }

    /// <summary>Steps that are to be trained yet, as far as the plan knows them.</summary>
    private long PlannedSteps()
    {
        double steps = 0;
        long before = 0;
        foreach (Rung rung in plan.Rungs)
        {
            // Who goes on isn't known yet; the trials are alike enough for an estimate.
            double each = jobs.Values.Average(j => (double)Math.Min(rung.StepsOf(j.LastSteps), 1L << 40));
            int done = _results.Keys.Count(k => k.Rung == rung.Number);
            steps += ((rung.Trials * sweep.Folds) - done) * Math.Max(0, each - before);
            before = (long)each;
        }

        return (long)Math.Max(1, steps);
    }

    private void Say(Rung rung, TrialResult result)
    {
        string fold = result.Fold == 0 ? "" : $"  fold {result.Fold}/{sweep.Folds}";
        string outcome = result.Failure is null ? $"{sweep.Metric} {Figures.Loss(result.Score!.Value)}" : $"failed: {result.Failure}";
        terminal.Say($"rung {rung.Number}/{plan.Rungs.Count}  trial {result.Trial}/{plan.Trials.Count}{fold}  {result.Steps} steps  {outcome}  {plan.Trials[result.Trial - 1]}");
        Interlocked.Exchange(ref _saidAt, _clock.ElapsedTicks);
    }

    private void OnStep()
    {
        long done = Interlocked.Increment(ref _stepsDone), now = _clock.ElapsedTicks, said = Interlocked.Read(ref _saidAt);
        if (now - said > s_sayEvery.Ticks * (Stopwatch.Frequency / (double)TimeSpan.TicksPerSecond) && Interlocked.CompareExchange(ref _saidAt, now, said) == said)
        {
            double share = Math.Min(1, done / (double)_stepsPlanned);
            TimeSpan left = share > 0 ? _clock.Elapsed * ((1 - share) / share) : TimeSpan.Zero;
            terminal.Say($"{share:P0} of the steps, {Figures.Time(left)} left");
        }
    }

    private sealed class Counting(SweepRun run) : IRunObserver
    {
        public void OnStep(StepReport step) => run.OnStep();
    }
}
