using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn schema</c>: the JSON Schema of a config.</summary>
internal static class SchemaCommand
{
    /// <summary>The schema's title.</summary>
    public const string Title = "ClusterRnn job";

    public static Command Make(Terminal terminal)
    {
        var command = new GroupedCommand("schema", "Print the JSON Schema of a config, for completion in editors.", CommandGroup.Train);
        command.Examples.Add(("schema > configs/schema.json", "Renew the schema that the configs' first line points to."));
        command.SetAction(_ => terminal.Write(ConfigSchema.Generate<JobConfig>(Title)));
        return command;
    }
}
