// One run from its folder to its report: the engine computes, this keeps the records and shows them.
using System.Diagnostics;
using System.Text.RegularExpressions;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Report;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary>A training run with all it leaves behind.</summary>
internal sealed partial class TrainingRun(
    Terminal terminal,
    IEngine engine,
    ResolvedJob job,
    RunFolder folder,
    Checkpoint? from,
    string? configPath,
    IReadOnlyList<ConfigAssignment> assignments)
{
    private JobConfig Config => job.Config;

    /// <summary>Runs to the end, or to <paramref name="stopAfter"/>.</summary>
    /// <returns>An <see cref="ExitCode"/>.</returns>
    public async Task<int> RunAsync(long? stopAfter, CancellationToken cancellation)
    {
        using IDisposable held = folder.Hold(engine.MayBeTakenOver);
        var clock = Stopwatch.StartNew();
        var tally = new Tally();
        EngineResult result;
        var request = new EngineRequest
        {
            Job = job,
            Checkpoints = new CheckpointStore(folder.CheckpointsPath, Config.Checkpoint),
            ResumeFrom = from,
            Workers = Config.Cluster.Workers,
            Servers = Config.Cluster.Servers,
            Replicas = Config.Cluster.Replicas,
            StopAfterStep = stopAfter,
        };
        long first = engine.FirstStep(request); // what the run can't be gone on with leaves its config as it is
        folder.WriteConfig(Config);
        using (var metrics = new MetricsLog(folder.MetricsPath, first))
        using (var events = new EventsLog(folder.EventsPath))
        using (TensorBoardLog? board = Config.Output.TensorBoard ? new TensorBoardLog(folder.Path, first, TimeProvider.System) : null)
        {
            result = await ProgressPresenter.ShowAsync(terminal, shown =>
            {
                IRunObserver[] observers = board is null ? [tally, metrics, events, shown] : [tally, metrics, events, board, shown];
                return engine.RunAsync(request with { Observer = new RunObservers(observers) }, cancellation);
            }).ConfigureAwait(false);
        }

        bool wasCancelled = cancellation.IsCancellationRequested;
        (TaskOutcome outcome, ModelInsight insight) = wasCancelled || result.Steps == 0 ? (TaskOutcome.Empty, ModelInsight.Nothing) : Conclude(result);
        RunSummary summary = Summarize(result, tally, outcome, clock.Elapsed, first);
        summary.Write(folder.SummaryPath);
        outcome.Calibration?.Write(folder.CalibrationPath, result.ModelSha256);
        if (Config.Output.Report)
        {
            HtmlReport.Write(folder.ReportPath, new ReportData(summary, MetricsLog.Read(folder.MetricsPath), outcome, ConfigLoader.ToYaml(Config), TimeProvider.System.GetUtcNow(), CommandLine.Version, insight));
        }

        Show(result, summary, outcome);
        return wasCancelled ? ExitCode.Interrupted : IsSaved(result) ? ExitCode.Success : ExitCode.Failed;
    }

    private (TaskOutcome Outcome, ModelInsight Insight) Conclude(EngineResult result)
    {
        using var model = new TrainedModel(job.Job.Model, result.Parameters);
        TaskOutcome outcome = job.Task.Conclude(new TaskModel(Config, model, job.Data.Artefact, job.BaseFolder), job.Data, result.TrainLoss, result.ValidationLoss);
        return (outcome, Config.Output.Report ? ModelInsight.Of(model, job.Data.Artefact, job.Data) : ModelInsight.Nothing);
    }

    private RunSummary Summarize(EngineResult result, Tally tally, TaskOutcome outcome, TimeSpan elapsed, long first) => new()
    {
        Name = Config.Name!,
        Ended = result.End.ToString().ToLowerInvariant(),
        ModelSha256 = result.ModelSha256,
        StateSha256 = result.StateSha256,
        DataSha256 = job.Job.DataSha256,
        Steps = result.Steps,
        Epochs = (double)result.Steps / job.Job.Train.StepsPerPass,
        FinalTrainLoss = result.TrainLoss,
        FinalValidationLoss = result.ValidationLoss,
        BestValidationLoss = result.BestValidationLoss,
        BestStep = result.BestStep,
        TokensPerSecond = tally.Seconds > 0 ? tally.Tokens / tally.Seconds : 0,
        WallSeconds = elapsed.TotalSeconds,
        Engine = engine.Name,
        Workers = Config.Cluster.Workers,
        Servers = Config.Cluster.Servers,
        Shards = job.Job.Shards,
        Parameters = job.Job.Layout.ParameterCount,
        Seed = Config.Seed,
        RecomputedShards = result.RecomputedShards,
        ResumedFromStep = first,
        Counters = result.Counters,
        Figures = outcome.Figures.Concat(outcome.Details).ToDictionary(f => f.Key, f => f.Value),
    };

    private void Show(EngineResult result, RunSummary summary, TaskOutcome outcome)
    {
        if (terminal.Verbosity > Verbosity.Quiet)
        {
            terminal.WriteLine("");
        }

        var rows = new List<string[]>();
        bool hasLoss = outcome.Figures.Any(f => f.Key == "loss");
        if (result.TrainLoss is { } train)
        {
            rows.Add(["training loss, last step", Figures.Loss(train)]);
        }

        if (result.ValidationLoss is { } validation && !hasLoss)
        {
            rows.Add(["validation loss", Figures.Loss(validation)]);
        }

        rows.AddRange(outcome.Figures.Select(f => new[] { f.Label.Length > 0 ? char.ToLowerInvariant(f.Label[0]) + f.Label[1..] : "", f.Note is null ? f.Text : $"{f.Text}  ({f.Note})" }));
        rows.Add(["steps", $"{Figures.Count(summary.Steps)} in {Figures.Time(TimeSpan.FromSeconds(summary.WallSeconds))}, {Figures.Short(summary.TokensPerSecond)} targets a second"]);
        rows.Add(["modelSha256", result.ModelSha256 + Known(result)]);
        rows.Add(["run folder", folder.Path]);
        Tables.Write(terminal, [], rows);
        foreach (FigureTable table in outcome.Tables)
        {
            terminal.WriteLine("");
            terminal.WriteLine(table.Title);
            Tables.Write(terminal, table.Columns, table.Rows, table.IsText);
        }

        if (!string.IsNullOrWhiteSpace(outcome.Sample) && terminal.Verbosity > Verbosity.Quiet)
        {
            terminal.WriteLine("");
            terminal.WriteLine("sample");
            foreach (string line in outcome.Sample.Trim('\n').Split('\n'))
            {
                terminal.WriteLine("  " + line);
            }
        }

        if (result.End == RunEnd.Interrupted || !IsSaved(result))
        {
            terminal.Say(Kept(result, $"clusterrnn train {configPath ?? folder.ConfigPath} --resume {folder.Path}"));
        }
    }

    private static bool IsSaved(EngineResult result) => result.Steps == 0 || result.CheckpointStep == result.Steps;

    /// <summary>What of a run is kept, and how to go on.</summary>
    internal static string Kept(EngineResult result, string command)
    {
        string verb = result.End == RunEnd.Interrupted ? "stopped" : "ended";
        return result.CheckpointStep is not { } kept
            ? result.Steps == 0 ? $"{verb} before there was anything to save" : $"{verb} at step {result.Steps}, and none of it could be saved ({result.Reason})"
            : kept == result.Steps ? $"{verb} with everything saved; go on with: {command}"
            : $"{verb} at step {result.Steps}, but only step {kept} is saved ({result.Reason}); go on from there with: {command}";
    }

    // The README prints the hashes of jobs that need no data of the user's. A run that changed nothing can be held against it.
    private string Known(EngineResult result)
    {
        bool isUntouched = assignments.All(a => a.Path.StartsWith("cluster.", StringComparison.Ordinal) || a.Path.StartsWith("output.", StringComparison.Ordinal));
        if (configPath is null || !isUntouched || result.End == RunEnd.Interrupted)
        {
            return "";
        }

        for (DirectoryInfo? parent = Directory.GetParent(Path.GetFullPath(configPath)); parent is not null; parent = parent.Parent)
        {
            string readme = Path.Combine(parent.FullName, "README.md");
            if (File.Exists(readme))
            {
                string[] known = [.. HashesNear(File.ReadAllText(readme), Path.GetFileNameWithoutExtension(configPath))];
                return known.Length == 0 ? ""
                    : known.Contains(result.ModelSha256) ? "  (the README's)"
                    : $"  (the README says {known[0]}: please report this)";
            }
        }

        return "";
    }

    /// <summary>The hashes on lines of <paramref name="text"/> that begin with <paramref name="name"/>, as a README prints them.</summary>
    internal static IEnumerable<string> HashesNear(string text, string name) =>
        text.Split('\n')
            .Where(l => l.Split((char[])[' ', '|', '`', '.'], StringSplitOptions.RemoveEmptyEntries) is [var first, ..] && first == name)
            .SelectMany(l => Hash().Matches(l).Select(m => m.Value));

    [GeneratedRegex(@"\b[0-9a-f]{64}\b")]
    private static partial Regex Hash();

    private sealed class Tally : IRunObserver
    {
        public long Tokens { get; private set; }

        public double Seconds { get; private set; }

        public void OnStep(StepReport step)
        {
            Tokens += step.Tokens;
            Seconds = step.Elapsed.TotalSeconds;
        }
    }
}
