using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn verify-ledger</c>: did every sample count exactly once?</summary>
internal static class VerifyLedgerCommand
{
    public static Command Make(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = "The folder of a run of the tcp engine, or 'latest' for the newest run." };
        var data = new Option<string?>("--data") { Description = "Where the data lies now. Default: the config's path.", HelpName = "PATH" };
        Option<long?> first = NumberOption.Of<long>("--first", "The first step that the journal should have. Default: 0.", 0);
        Option<long?> end = NumberOption.Of<long>("--end", "The step after the last that it should have. Default: what summary.json says, if it is there.", 0);
        var command = new GroupedCommand("verify-ledger", "Show that a cluster's run lost, repeated and changed no sample.", CommandGroup.Experiment) { run, data, first, end };
        command.Examples.Add(("verify-ledger runs/quickstart-1", "After processes were killed: which steps count, and what they read. Exit code 1 if anything is wrong."));
        command.SetAction((parsed, cancellation) => Task.Run(
            () => Run(terminal, parsed.GetValue(run)!, parsed.GetValue(data), parsed.GetValue(first) ?? 0, parsed.GetValue(end), cancellation), CancellationToken.None));
        return command;
    }

    private static int Run(Terminal terminal, string run, string? data, long first, long? end, CancellationToken cancellation)
    {
        RunFolder folder = Find(terminal, run);
        string journals = JournalFiles.FolderOf(folder.Path);
        if (!Directory.Exists(journals))
        {
            throw new UsageException($"{journals}: expected the journal of a cluster's run, found none (in one process no step is written down one by one; train with --engine tcp)");
        }

        IReadOnlyList<JournalRecord> records;
        using (var files = new JournalFiles(journals))
        {
            records = files.ReadRecords();
        }

        foreach (DamagedRecord damage in records.OfType<DamagedRecord>())
        {
            terminal.Warn(damage.What);
        }

        JobConfig config = JobConfig.Load(folder.ConfigPath, []).Value;
        ResolvedJob job = ResolvedJob.Open(data is null ? config : config with { Data = config.Data with { Path = data } }, Environment.CurrentDirectory);
        RunSummary? summary = File.Exists(folder.SummaryPath) ? RunSummary.Read(folder.SummaryPath) : null;
        ExpectTheData(folder, job, summary);
        LedgerReport report = Ledger.Verify(records, job.Job, first, end ?? summary?.Steps, cancellation);
        Show(terminal, report);
        if (report.FirstOffence is { } offence)
        {
            terminal.Fail(offence);
            return ExitCode.Failed;
        }

        return ExitCode.Success;
    }

    private static RunFolder Find(Terminal terminal, string run)
    {
        if (run == "latest" && !Directory.Exists(run))
        {
            string parent = new OutputConfig().Folder;
            RunFolder newest = RunFolder.Newest(parent, null) ?? throw new UsageException($"latest: there is no run in {Path.GetFullPath(parent)}; train one first, or name a run's folder");
            terminal.Say($"latest is {newest.Path}");
            return newest;
        }

        var folder = new RunFolder(run);
        return File.Exists(folder.ConfigPath) ? folder : throw new UsageException($"{run}: expected a run's folder, found no {RunFolder.ConfigFile} in it");
    }

    // Digests of other data would differ everywhere and say nothing about the run.
    private static void ExpectTheData(RunFolder folder, ResolvedJob job, RunSummary? summary)
    {
        string? expected = summary?.DataSha256
            ?? (Directory.Exists(folder.CheckpointsPath) ? new CheckpointStore(folder.CheckpointsPath, new CheckpointConfig()).FindNewest().Found?.Info.DataSha256 : null);
        if (expected is not null && expected != job.Job.DataSha256)
        {
            throw new UsageException($"the data has changed since the training: its SHA-256 was {expected}, now it is {job.Job.DataSha256}; name the data of that time with --data");
        }
    }

    private static void Show(Terminal terminal, LedgerReport report)
    {
        List<string[]> rows =
        [
            ["steps committed", Figures.Count(report.Steps)],
            ["samples read", $"{Figures.Count(report.Samples)}, with {Figures.Count(report.Targets)} targets"],
            ["whole passes", $"{Figures.Count(report.WholePasses)}{(report.UnevenPasses > 0 ? $", {Figures.Count(report.UnevenPasses)} of them not the data" : "")}"],
            ["lost", $"{Figures.Count(report.LostSamples)} samples, {Figures.Count(report.LostSteps)} steps"],
            ["repeated", $"{Figures.Count(report.RepeatedSamples)} samples, {Figures.Count(report.RepeatedSteps)} steps"],
            ["differing", $"{Figures.Count(report.DifferingShards)} shards"],
            ["executed again", $"{Figures.Count(report.StepsAgain)} steps after {Figures.Count(report.Rollbacks)} rollbacks, {Figures.Count(report.DifferingAgain)} of them with another result"],
        ];
        if (report.UnrecordedSteps > 0)
        {
            rows.Add(["committed, rows not recorded", $"{Figures.Count(report.UnrecordedSteps)} steps: known from a server after a coordinator's end"]);
        }

        Tables.Write(terminal, [], rows);
    }
}
