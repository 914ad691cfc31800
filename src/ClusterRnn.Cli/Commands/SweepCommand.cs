// `clusterrnn sweep FILE`: check every trial's config, then train them all. Nothing is written before all configs, the
// first trial's data and its model have passed.
using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Report;
using ClusterRnn.Cli.Sweeps;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Sweeps;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn sweep</c>.</summary>
internal static class SweepCommand
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Make(Terminal terminal, IReadOnlyList<IEngine> engines)
    {
        var file = new Argument<string>("FILE") { Description = "The sweep's file (YAML): a job's config, the keys that vary, how they are searched." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Check everything; print the trials and the rungs; train nothing." };
        Option<int?> parallel = NumberOption.Of<int>("--parallel", "Runs that train at once (parallel). The winner is the same for any number.", 1, 1024);
        var set = new Option<string[]>("--set") { Description = "Set a key of the sweep, as often as needed: --set search.trials=20. Keys of the job are below set: --set set={stop.steps: 100}.", HelpName = "KEY=VALUE", AllowMultipleArgumentsPerToken = false };
        var output = new Option<string?>("--out", "-o") { Description = "The sweep's folder. Default: a new folder runs/NAME-sweep-N.", HelpName = "FOLDER" };
        var resume = new Option<string?>("--resume") { Description = "Go on with the sweep in FOLDER; without FOLDER: with the newest one of this file.", HelpName = "FOLDER", Arity = ArgumentArity.ZeroOrOne };
        var command = new GroupedCommand("sweep", "Search for settings: train many variants of a job and name the best.", CommandGroup.Train) { file, dryRun, parallel, set, output, resume };
        command.Examples.Add(("sweep configs/sweeps/quickstart.yaml", "Nine learning rates and widths, of which one is trained to the end (successive halving)."));
        command.Examples.Add(("sweep configs/sweeps/series-folds.yaml --dry-run", "What would be tried: a grid, judged by cross-validation in time order."));
        command.Examples.Add(("sweep configs/sweeps/quickstart.yaml --resume", "Go on after an interruption: what is done is not done again."));
        command.SetAction((parsed, cancellation) => Task.Run(
            () =>
            {
                ConfigAssignment[] assignments = [.. (parsed.GetValue(set) ?? []).Select(ConfigAssignment.Parse)];
                var request = new Request(
                    parsed.GetValue(file)!, assignments, parsed.GetValue(dryRun), parsed.GetValue(parallel), parsed.GetValue(output), parsed.GetResult(resume) is not null, parsed.GetValue(resume));
                return RunAsync(terminal, engines, request, cancellation);
            },
            CancellationToken.None));
        return command;
    }

    private static async Task<int> RunAsync(Terminal terminal, IReadOnlyList<IEngine> engines, Request request, CancellationToken cancellation)
    {
        BoundConfig<SweepConfig> bound = SweepConfig.Load(request.File, request.Assignments);
        SweepConfig sweep = bound.Value;
        string jobPath = Path.GetRelativePath(Environment.CurrentDirectory, Path.Combine(Path.GetDirectoryName(request.File) ?? "", sweep.Config));
        ConfigAssignment[] forAll = [.. sweep.Set.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => new ConfigAssignment($"set {s.Key}", s.Key, s.Value))];
        JobConfig job = JobConfig.Load(jobPath, forAll).Value;
        SweepPlan plan = SweepPlan.Of(sweep);
        SweepGoal goal = sweep.Goal ?? (sweep.Metric.Contains("ccuracy", StringComparison.Ordinal) ? SweepGoal.Maximum : SweepGoal.Minimum);
        var jobs = new Dictionary<(int, int), (JobConfig, long)>();
        foreach (Trial trial in plan.Trials)
        {
            for (int fold = sweep.Folds == 1 ? 0 : 1; fold <= (sweep.Folds == 1 ? 0 : sweep.Folds); fold++)
            {
                jobs[(trial.Number, fold)] = Check(bound, jobPath, [.. forAll, .. trial.Assignments], fold);
            }
        }

        if (request.IsDryRun)
        {
            Show(terminal, sweep, plan, jobs);
            return ExitCode.Success;
        }

        int parallel = request.Parallel ?? sweep.Parallel ?? Math.Max(1, Environment.ProcessorCount / Math.Max(1, job.Cluster.Workers * job.Cluster.Threads));
        SweepFolder folder = request.Resumes
            ? SweepFolder.Open(request.ResumeFolder ?? request.Out, job.Output.Folder, sweep, job)
            : SweepFolder.Create(request.Out, job.Output.Folder, sweep, job);
        string again = $"clusterrnn sweep {request.File} --resume {folder.Path}";
        terminal.Say($"{sweep.Name}: {plan.Trials.Count} trials{(sweep.Folds > 1 ? $" of {sweep.Folds} folds" : "")}, {plan.Rungs.Count} rung{(plan.Rungs.Count == 1 ? "" : "s")}, {parallel} at once, in {folder.Path}");
        IReadOnlyList<TrialStanding> standings;
        try
        {
            standings = await new SweepRun(terminal, sweep, plan, goal, jobs, config => TrainCommand.Choose(engines, config.Cluster.Engine), folder).RunAsync(parallel, cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            terminal.Say($"stopped with everything saved; go on with: {again}");
            return ExitCode.Interrupted;
        }

        TrialStanding best = standings[0];
        if (!double.IsFinite(best.Score))
        {
            throw new TrainingException($"every trial failed; the first: {best.Failure}");
        }

        string train = $"clusterrnn train {jobPath}" + string.Concat(forAll.Concat(best.Trial.Assignments).Select(a => $" --set {Quoted($"{a.Path}={a.Value}")}"));
        WriteSummary(folder, sweep, goal, best, standings, train);
        SweepReport.Write(folder.ReportPath, sweep, plan, goal, standings, folder.Results(), train, again);
        Show(terminal, sweep, standings);
        terminal.WriteLine("");
        terminal.WriteLine($"best: trial {best.Trial.Number}, {sweep.Metric} {Figures.Loss(best.Score)}: {best.Trial}");
        terminal.WriteLine($"train it by itself: {train}");
        terminal.WriteLine($"report: {folder.ReportPath}");
        return ExitCode.Success;
    }

    // A trial that can't be built is a mistake in the sweep's file: better known before hours of training.
    private static (JobConfig Config, long LastSteps) Check(BoundConfig<SweepConfig> sweep, string jobPath, ConfigAssignment[] assignments, int fold)
    {
        ConfigAssignment[] folds = fold == 0 ? [] : [new ConfigAssignment("folds", "data.fold", $"{{ number: {fold}, of: {sweep.Value.Folds} }}")];
        BoundConfig<JobConfig> bound = JobConfig.Load(jobPath, [.. assignments, .. folds]);
        JobConfig config = bound.Value;
        ResolvedJob job = TrainCommand.Open(bound);

        if (job.Job.Validation is null)
        {
            throw bound.Error("data", "trials are compared on validation data, and there is none", "Set data.validation in the job's config, or folds in the sweep.");
        }

        MetricSchema metrics = job.Job.Model.Metrics;
        string[] names = [.. metrics.Finish(new double[metrics.SumWidth], new long[metrics.CountWidth]).Select(m => m.Name)];
        if (!names.Contains(sweep.Value.Metric))
        {
            throw sweep.Error("metric", $"the model has no metric '{sweep.Value.Metric}'; expected one of {string.Join(", ", names)}");
        }

        long most = job.Job.CreatePolicy().Settings.MaximumSteps;
        if (sweep.Value.Search is HalvingSearch halving)
        {
            most = Math.Min(most, halving.Steps ?? long.MaxValue);
            if (most == long.MaxValue)
            {
                throw sweep.Error("search", "halving measures its rungs by steps, and this job has no end in steps", "Set search.steps, or the job's stop.steps or stop.epochs.");
            }
        }

        return (config, most);
    }

    private static void Show(Terminal terminal, SweepConfig sweep, SweepPlan plan, Dictionary<(int, int), (JobConfig, long LastSteps)> jobs)
    {
        int fold = sweep.Folds == 1 ? 0 : 1;
        Tables.Write(
            terminal,
            ["trial", .. plan.Trials[0].Values.Select(v => v.Key), "steps"],
            [.. plan.Trials.Select(t => (IReadOnlyList<string>)[$"{t.Number}", .. t.Values.Select(v => v.Value), jobs[(t.Number, fold)].LastSteps is var s && s < long.MaxValue ? Figures.Count(s) : "-"])]);
        terminal.WriteLine("");
        Tables.Write(
            terminal,
            ["rung", "trials", "runs", "of the steps"],
            [.. plan.Rungs.Select(r => (IReadOnlyList<string>)[$"{r.Number}", $"{r.Trials}", $"{r.Trials * sweep.Folds}", r.Divisor == 1 ? "all" : $"1/{r.Divisor}"])]);
    }

    private static void Show(Terminal terminal, SweepConfig sweep, IReadOnlyList<TrialStanding> standings)
    {
        terminal.WriteLine("");
        Tables.Write(
            terminal,
            ["trial", .. standings[0].Trial.Values.Select(v => v.Key), "steps", "time", sweep.Metric, .. sweep.Folds > 1 ? ["deviation"] : Array.Empty<string>()],
            [.. standings.Select(s => (IReadOnlyList<string>)
            [
                $"{s.Trial.Number}", .. s.Trial.Values.Select(v => v.Value), Figures.Count(s.Steps), Figures.Time(TimeSpan.FromSeconds(s.Seconds)), double.IsFinite(s.Score) ? Figures.Loss(s.Score) : "failed",
                .. s.Deviation is { } deviation ? [double.IsFinite(deviation) ? Figures.Loss(deviation) : "-"] : Array.Empty<string>(),
            ])]);
    }

    private static void WriteSummary(SweepFolder folder, SweepConfig sweep, SweepGoal goal, TrialStanding best, IReadOnlyList<TrialStanding> standings, string train)
    {
        var summary = new
        {
            sweep.Name,
            sweep.Metric,
            Goal = goal.ToString().ToLowerInvariant(),
            Trials = standings.Count,
            sweep.Folds,
            Best = new
            {
                Trial = best.Trial.Number,
                Values = best.Trial.Values.ToDictionary(v => v.Key, v => v.Value),
                best.Score,
                best.Deviation,
                best.Steps,
                ModelSha256 = folder.Results().Where(r => r.Trial == best.Trial.Number && r.Rung == best.Rung).OrderBy(r => r.Fold).Select(r => r.ModelSha256).ToArray(),
            },
            Command = train,
        };
        File.WriteAllText(folder.SummaryPath + ".new", JsonSerializer.Serialize(summary, s_json) + "\n");
        File.Move(folder.SummaryPath + ".new", folder.SummaryPath, overwrite: true);
    }

    private static string Quoted(string argument) => argument.Any(c => char.IsWhiteSpace(c) || "'\"{}[]*?$&|;<>()#!".Contains(c, StringComparison.Ordinal)) ? $"'{argument}'" : argument;

    private sealed record Request(string File, IReadOnlyList<ConfigAssignment> Assignments, bool IsDryRun, int? Parallel, string? Out, bool Resumes, string? ResumeFolder);
}
