using System.CommandLine;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn engines</c>: what can run a job.</summary>
internal static class EnginesCommand
{
    public static Command Make(Terminal terminal, IReadOnlyList<IEngine> engines)
    {
        var command = new GroupedCommand("engines", "List the engines that can run a job.", CommandGroup.Cluster);
        command.SetAction(_ => Tables.Write(
            terminal,
            [],
            [
                .. engines.Select((e, i) => new[] { e.Name, e.Description, i == 0 ? "the default" : "" }),
                .. engines.Any(e => e.Name == AkkaBuild.EngineName) ? Array.Empty<string[]>() : [[AkkaBuild.EngineName, AkkaBuild.Description, $"not in this build; {AkkaBuild.HowToBuild}"]],
            ]));
        return command;
    }
}
