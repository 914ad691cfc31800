using System.CommandLine;
using ClusterRnn.Cli.Output;
using Spectre.Console;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn engines</c>: what can run a job.</summary>
internal static class EnginesCommand
{
    /// <summary>The engine that runs everything in this process.</summary>
    public const string InProcess = "in-process";

    public static Command Make(Terminal terminal)
    {
        var command = new GroupedCommand("engines", "List the engines that can run a job.", CommandGroup.Cluster);
        command.SetAction(_ =>
        {
            Table table = new Table().Border(TableBorder.None).AddColumns("engine", "for", "here");
            table.AddRow(InProcess, "one machine: workers and servers on threads of one process", "yes, the default");
            terminal.Out.Write(table);
        });
        return command;
    }
}
