using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn schema</c>: the JSON Schema of a config or a scenario.</summary>
internal static class SchemaCommand
{
    /// <summary>The schema's title.</summary>
    public const string Title = "ClusterRnn job";

    /// <summary>The title of the schema of scenarios.</summary>
    public const string ScenarioTitle = "ClusterRnn experiment";

    public static Command Make(Terminal terminal)
    {
        var experiment = new Option<bool>("--experiment") { Description = "The schema of an experiment's scenario instead." };
        var command = new GroupedCommand("schema", "Print the JSON Schema of a config, for completion in editors.", CommandGroup.Train) { experiment };
        command.Examples.Add(("schema > configs/schema.json", "Renew the schema that the configs' first line points to."));
        command.Examples.Add(("schema --experiment > configs/experiments/schema.json", "The same for the scenarios of experiments."));
        command.SetAction(parsed => terminal.Write(parsed.GetValue(experiment) ? ConfigSchema.Generate<Scenario>(ScenarioTitle) : ConfigSchema.Generate<JobConfig>(Title)));
        return command;
    }
}
