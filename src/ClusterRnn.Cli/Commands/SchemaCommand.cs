using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Sweeps;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn schema</c>: the JSON Schema of a config, a scenario or a sweep.</summary>
internal static class SchemaCommand
{
    /// <summary>What has a schema: its name on the command line, where the committed one lies, and how it is made.</summary>
    public static IReadOnlyList<(string Kind, string File, Func<string> Make)> All { get; } =
    [
        ("job", "configs/schema.json", () => ConfigSchema.Generate<JobConfig>("ClusterRnn job")),
        ("experiment", "configs/experiments/schema.json", () => ConfigSchema.Generate<Scenario>("ClusterRnn experiment")),
        ("sweep", "configs/sweeps/schema.json", () => ConfigSchema.Generate<SweepConfig>("ClusterRnn sweep")),
    ];

    public static Command Make(Terminal terminal)
    {
        string[] kinds = [.. All.Select(s => s.Kind)];
        var kind = new Argument<string>("KIND") { Description = $"Of what: {string.Join(", ", kinds)}. Default: {kinds[0]}.", Arity = ArgumentArity.ZeroOrOne, DefaultValueFactory = _ => kinds[0] };
        var command = new GroupedCommand("schema", "Print the JSON Schema of a config, for completion in editors.", CommandGroup.Train) { kind };
        foreach ((string name, string file, _) in All)
        {
            command.Examples.Add((name == kinds[0] ? $"schema > {file}" : $"schema {name} > {file}", $"Renew the schema that the first line of every {name}'s file points to."));
        }

        command.SetAction(parsed =>
        {
            string wanted = parsed.GetValue(kind)!;
            terminal.Write((All.FirstOrDefault(s => s.Kind == wanted).Make ?? throw new UsageException($"schema {wanted}: expected one of {string.Join(", ", kinds)}"))());
        });
        return command;
    }
}
