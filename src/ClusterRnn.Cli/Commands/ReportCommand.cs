using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Report;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn report</c>: writes a run's report again, or several runs side by side.</summary>
internal static class ReportCommand
{
    public static Command Make(Terminal terminal)
    {
        var runs = new Argument<string[]>("RUN") { Description = SavedRun.Description + " Several are put side by side.", Arity = ArgumentArity.OneOrMore };
        var output = new Option<string?>("--out", "-o") { Description = "The page. Default: the run's report.html; of several runs comparison.html.", HelpName = "FILE" };
        var command = new GroupedCommand("report", "Write a run's report again, or several runs side by side.", CommandGroup.Use) { runs, output };
        command.Examples.Add(("report latest", "The report of the newest run, with what can be seen of its inside."));
        command.Examples.Add(("report runs/side-by-side-rnn-1 runs/side-by-side-lstm-1", "How far back each of the two learns from."));
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(terminal, parsed.GetValue(runs)!, parsed.GetValue(output)), cancellation));
        return command;
    }

    private static int Run(Terminal terminal, string[] names, string? output)
    {
        SavedRun[] saved = [.. names.Select(name => SavedRun.Find(name, best: false, terminal))];
        foreach ((SavedRun run, int i) in saved.Select((run, i) => (run, i)))
        {
            if (run.Folder is null || !File.Exists(run.Folder.SummaryPath))
            {
                throw new UsageException($"{names[i]}: expected the folder of a run that has ended, found no {RunFolder.SummaryFile} there");
            }
        }

        string page = output ?? (saved.Length == 1 ? saved[0].Folder!.ReportPath : "comparison.html");
        if (saved.Length == 1)
        {
            HtmlReport.Write(page, Again(saved[0]));
        }
        else
        {
            ComparedRun[] compared = [.. saved.Select(Compare)];
            ComparisonPage.Write(page, compared);
            Tables.Write(terminal, ComparisonPage.Heads, [.. compared.Select(ComparisonPage.RowOf)]);
        }

        terminal.Say($"written to {Path.GetFullPath(page)}");
        return ExitCode.Success;
    }

    private static ReportData Again(SavedRun run)
    {
        TaskModel trained = SavedModel.Open(run.Checkpoint, Environment.CurrentDirectory);
        using TrainedModel model = trained.Model;
        ResolvedJob job = ResolvedJob.Open(run.Config, Environment.CurrentDirectory, trained.Artefact);
        RunSummary summary = RunSummary.Read(run.Folder!.SummaryPath);
        TaskOutcome outcome = job.Task.Conclude(trained, job.Data, summary.FinalTrainLoss, summary.FinalValidationLoss);
        return new ReportData(
            summary, MetricsLog.Read(run.Folder.MetricsPath), outcome, ConfigLoader.ToYaml(job.Config), File.GetLastWriteTimeUtc(run.Folder.SummaryPath), CommandLine.Version, ModelInsight.Of(model, trained.Artefact, job.Data));
    }

    private static ComparedRun Compare(SavedRun run)
    {
        TaskModel trained = SavedModel.Open(run.Checkpoint, Environment.CurrentDirectory);
        using TrainedModel model = trained.Model;
        ResolvedJob job = ResolvedJob.Open(run.Config, Environment.CurrentDirectory, trained.Artefact);
        using var untrained = new TrainedModel(model.Model, job.Job.InitialParameters());
        return new ComparedRun(
            Path.GetFileName(Path.TrimEndingDirectorySeparator(run.Folder!.Path)),
            RunSummary.Read(run.Folder.SummaryPath),
            MetricsLog.Read(run.Folder.MetricsPath),
            ModelInsight.Of(untrained, trained.Artefact, job.Data).Gradients,
            ModelInsight.Of(model, trained.Artefact, job.Data).Gradients);
    }
}
