using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Models;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn inspect</c>: what a checkpoint holds.</summary>
internal static class InspectCommand
{
    public static Command Make(Terminal terminal)
    {
        var run = new Argument<string>("RUN") { Description = SavedRun.Description };
        var best = new Option<bool>("--best") { Description = "The checkpoint with the best validation loss instead of the newest." };
        var config = new Option<bool>("--config") { Description = "Print the resolved config as well." };
        var command = new GroupedCommand("inspect", "Show a run's or checkpoint's parameters, shapes and hashes.", CommandGroup.Use) { run, best, config };
        command.Examples.Add(("inspect latest", "What the newest run holds."));
        command.SetAction(parsed =>
        {
            SavedRun saved = SavedRun.Find(parsed.GetValue(run)!, parsed.GetValue(best), terminal);
            using TrainedModel model = SavedModel.Open(saved.Checkpoint, Environment.CurrentDirectory).Model;
            Show(terminal, saved, model);
            if (parsed.GetValue(config))
            {
                terminal.WriteLine("");
                terminal.Write(ConfigLoader.ToYaml(saved.Config));
            }
        });
        return command;
    }

    private static void Show(Terminal terminal, SavedRun saved, TrainedModel model)
    {
        var info = saved.Checkpoint.Info;
        ParameterLayout layout = model.Model.Layout;
        Tables.Write(terminal, [], [
            ["checkpoint", saved.Checkpoint.Path],
            ["job", saved.Config.Name ?? ""],
            ["step", Figures.Count(info.Version)],
            ["training loss", Figures.Loss(info.TrainLoss)],
            ["validation loss", Figures.Loss(info.ValidationLoss)],
            ["best step", info.BestVersion < 0 ? "none yet" : Figures.Count(info.BestVersion)],
            ["seed", info.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture)],
            ["shards", Figures.Count(info.Shards)],
            ["parameters", Figures.Count(layout.ParameterCount)],
            ["modelSha256", info.ModelSha256],
            ["stateSha256", info.StateSha256],
            ["dataSha256", info.DataSha256],
        ]);
        terminal.WriteLine("");
        var rows = new List<string[]>();
        foreach (ParameterTensor tensor in layout.Tensors)
        {
            ReadOnlySpan<float> values = model.Parameters.Slice((int)tensor.Offset, (int)tensor.Count);
            double sum = 0, squares = 0;
            float largest = 0;
            foreach (float value in values)
            {
                sum += value;
                squares += (double)value * value;
                largest = MathF.Max(largest, MathF.Abs(value));
            }

            double mean = sum / values.Length;
            rows.Add([
                tensor.Name,
                string.Join(" x ", tensor.Shape.ToArray()),
                Figures.Count(tensor.Count),
                Figures.Loss(mean),
                Figures.Loss(Math.Sqrt(Math.Max(0, (squares / values.Length) - (mean * mean)))),
                Figures.Loss(largest),
            ]);
        }

        Tables.Write(terminal, ["tensor", "shape", "parameters", "mean", "deviation", "largest"], rows);
    }
}
