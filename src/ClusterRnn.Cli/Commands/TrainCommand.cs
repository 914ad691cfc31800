// `clusterrnn train CONFIG`: check everything, then train. Options that name a config key are merged into the config
// before it is checked, so `--workers 0` and `cluster: { workers: 0 }` get the same complaint.
using System.CommandLine;
using System.Globalization;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn train</c>.</summary>
internal static class TrainCommand
{
    public static Command Make(Terminal terminal)
    {
        var config = new Argument<string?>("CONFIG") { Description = "The job's config file (YAML); with --resume RUN it may be left out.", Arity = ArgumentArity.ZeroOrOne };
        var dryRun = new Option<bool>("--dry-run") { Description = "Check everything; print the resolved config, parameters, memory and shards; train nothing." };
        var workers = new Option<string?>("--workers") { Description = "Workers (cluster.workers). The result is the same for any number.", HelpName = "N" };
        var servers = new Option<string?>("--servers") { Description = "Parameter servers (cluster.servers). The result is the same for any number.", HelpName = "N" };
        var set = new Option<string[]>("--set") { Description = "Set a config key, as often as needed: --set batch.size=32.", HelpName = "KEY=VALUE", AllowMultipleArgumentsPerToken = false };
        var output = new Option<string?>("--out", "-o") { Description = "The run folder. Default: a new folder runs/NAME-N.", HelpName = "FOLDER" };
        var seed = new Option<string?>("--seed") { Description = "The seed of everything random (seed).", HelpName = "N" };
        Option<long?> steps = NumberOption.Of<long>("--steps", "Stop after step N, with a checkpoint, as if interrupted there; --resume goes on.", 0);
        var resume = new Option<string?>("--resume") { Description = "Go on from the newest whole checkpoint of RUN; without RUN: of this config's newest run.", HelpName = "RUN", Arity = ArgumentArity.ZeroOrOne };
        var command = new GroupedCommand("train", "Train a model as a config file says.", CommandGroup.Train) { config, dryRun, workers, servers, set, output, seed, steps, resume };
        command.Examples.Add(("train configs/quickstart.yaml", "Train a small character model with two workers in this process."));
        command.Examples.Add(("train configs/char-lm.yaml --set data.path='texts/**/*.txt'", "Train on any text."));
        command.Examples.Add(("train configs/quickstart.yaml --resume", "Go on where the newest run of this config was stopped."));
        command.SetAction((parsed, cancellation) =>
        {
            var assignments = new List<ConfigAssignment>();
            Assign("--workers", "cluster.workers", parsed.GetValue(workers));
            Assign("--servers", "cluster.servers", parsed.GetValue(servers));
            Assign("--seed", "seed", parsed.GetValue(seed));
            assignments.AddRange((parsed.GetValue(set) ?? []).Select(ConfigAssignment.Parse));
            string path = parsed.GetValue(config) ?? throw new UsageException("train needs a config file, for example: clusterrnn train configs/quickstart.yaml");
            BoundConfig<JobConfig> job = JobConfig.Load(path, assignments);
            terminal.WriteLine(ConfigLoader.ToYaml(job.Value));
            return Task.FromResult(ExitCode.Success);

            void Assign(string option, string key, string? value)
            {
                if (value is not null)
                {
                    assignments.Add(new ConfigAssignment(string.Create(CultureInfo.InvariantCulture, $"{option} {value}"), key, value));
                }
            }
        });
        return command;
    }
}
