using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn evaluate</c>: loss and metrics of a saved model.</summary>
internal static class EvaluateCommand
{
    public static Command Make(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = SavedRun.Description };
        var best = new Option<bool>("--best") { Description = "The checkpoint with the best validation loss instead of the newest." };
        var data = new Option<string?>("--data") { Description = "Other data: a file, folder or glob, all of it evaluated. Of translations one file with both sides of a line.", HelpName = "PATH" };
        var command = new GroupedCommand("evaluate", "Loss and metrics of a trained model on its validation and test data.", CommandGroup.Use) { run, best, data };
        command.Examples.Add(("evaluate latest", "How good the newest run's model is."));
        command.SetAction((parsed, cancellation) => Task.Run(
            () =>
            {
                SavedRun saved = SavedRun.Find(parsed.GetValue(run)!, parsed.GetValue(best), terminal);
                Run(terminal, saved, parsed.GetValue(data), cancellation);
                return ExitCode.Success;
            },
            cancellation));
        return command;
    }

    private static void Run(Terminal terminal, SavedRun saved, string? path, CancellationToken cancellation)
    {
        string folder = Environment.CurrentDirectory;
        TaskModel trained = SavedModel.Open(saved.Checkpoint, folder);
        using TrainedModel model = trained.Model;
        JobConfig config = trained.Job;
        DataPart[] parts = [DataPart.Train, DataPart.Validation, DataPart.Test];
        if (path is not null)
        {
            // The part that is called training is then the whole of the other data; nothing is trained.
            config = config with { Data = config.Data.AllOf(path) };
            parts = [DataPart.Train];
        }

        ResolvedJob job = ResolvedJob.Open(config, folder, trained.Artefact);
        if (path is null && job.Job.DataSha256 != saved.Checkpoint.Info.DataSha256)
        {
            terminal.Warn($"the data has changed since the training: its SHA-256 was {saved.Checkpoint.Info.DataSha256}, now it is {job.Job.DataSha256}");
        }

        terminal.Say($"{saved.Checkpoint.Path}, step {saved.Checkpoint.Info.Version}");
        List<string> heads = ["data"];
        var rows = new List<IReadOnlyList<string>>();
        foreach (DataPart part in parts)
        {
            if (part != DataPart.Train && (part == DataPart.Validation ? job.Job.Validation : job.Job.Test) is null)
            {
                continue;
            }

            IReadOnlyList<MetricValue> values = Evaluate(job.Job, config.Cluster, model, part, cancellation);
            heads = ["data", .. values.Select(v => v.Name)];
            rows.Add([path ?? part.ToString().ToLowerInvariant(), .. values.Select(v => Figures.Loss(v.Value))]);
        }

        Tables.Write(terminal, heads, rows);
    }

    /// <summary>Loss and metrics of a model on a part of a job's data.</summary>
    public static unsafe IReadOnlyList<MetricValue> Evaluate(TrainingJob job, ClusterConfig cluster, TrainedModel model, DataPart part, CancellationToken cancellation)
    {
        int shards = job.ShardsOf(part);
        ShardReport[] reports = ShardComputer.CreateReports(job, shards);
        using ShardComputer computer = job.CreateComputer(job.Shards, cluster.WorkerMemoryBytes);
        MetricSchema schema = job.Model.Metrics;
        fixed (float* parameters = model.Parameters)
        {
            computer.LoadParameters(parameters);
            computer.Evaluate(part, new ShardRange(0, shards), reports, cancellation);
        }

        double[] sums = new double[schema.SumWidth];
        long[] counts = new long[schema.CountWidth];
        ShardSums.Join(reports.SelectMany(r => r.Sums).ToArray().AsSpan(), schema.SumWidth, sums);
        ShardSums.Join(reports.SelectMany(r => r.Counts).ToArray().AsSpan(), schema.CountWidth, counts);
        return schema.Finish(sums, counts);
    }
}
