// `clusterrnn status`: what the coordinator knows of everyone.
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn status</c>.</summary>
internal static class StatusCommand
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { WriteIndented = true, Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) } };

    public static Command Make(Terminal terminal)
    {
        Option<string> join = NodeCommands.Join();
        Option<string?> certs = NodeCommands.Certs();
        var json = new Option<bool>("--json") { Description = "Print JSON instead of a table." };
        var command = new GroupedCommand("status", "Show a cluster's nodes, what each has, and who is slow and why.", CommandGroup.Cluster) { join, certs, json };
        command.Examples.Add(("status --join 127.0.0.1:7070", "Look at the cluster of a coordinator on this machine."));
        command.SetAction(async (parsed, cancellation) =>
        {
            StatusReply status = await StatusClient.AskAsync(
                NodeCommands.AddressOf("--join", parsed.GetValue(join)!), NodeCommands.SecurityOf(parsed.GetValue(certs), PeerRole.Client), cancellation).ConfigureAwait(false);
            if (parsed.GetValue(json))
            {
                terminal.WriteLine(JsonSerializer.Serialize(Plain(status), s_json));
            }
            else
            {
                Show(terminal, status);
            }

            return ExitCode.Success;
        });
        return command;
    }

    private static void Show(Terminal terminal, StatusReply status)
    {
        string pace = status.StepTicks > 0 ? string.Create(CultureInfo.InvariantCulture, $", {1e6 / status.StepTicks:0.##} steps a second") : "";
        terminal.WriteLine($"step {status.Version}, epoch {status.Epoch}{pace}: {status.Activity}");
        Tables.Write(
            terminal,
            ["node", "state", "work", "step", "heard ago", "computing", "waiting", "a shard", "why"],
            [.. status.Nodes.Select(node => new[]
            {
                node.Actor.ToString(),
                node.Condition.ToString().ToLowerInvariant(),
                node.Work,
                node.Version < 0 ? "-" : node.Version.ToString(CultureInfo.InvariantCulture),
                Time(node.SilenceTicks),
                node.ComputeTicks > 0 ? Time(node.ComputeTicks) : "-",
                node.WaitTicks > 0 ? Time(node.WaitTicks) : "-",
                node.TicksPerShard > 0 ? Time(node.TicksPerShard) : "-",
                node.Why,
            })]);
        NamedCount[] counted = [.. status.Counters.Where(counter => counter.Count != 0)];
        if (counted.Length > 0)
        {
            terminal.WriteLine(string.Join(", ", counted.Select(counter => $"{counter.Name} {counter.Count}")));
        }
    }

    private static object Plain(StatusReply status) => new
    {
        status.Epoch,
        step = status.Version,
        status.Activity,
        stepSeconds = status.StepTicks / 1e6,
        status.Ended,
        nodes = status.Nodes.Select(node => new
        {
            node = node.Actor.ToString(),
            role = node.Actor.Role,
            node.Actor.Number,
            state = node.Condition,
            node.Work,
            step = node.Version,
            silenceSeconds = node.SilenceTicks / 1e6,
            computeSeconds = node.ComputeTicks / 1e6,
            waitSeconds = node.WaitTicks / 1e6,
            shardSeconds = node.TicksPerShard / 1e6,
            node.Why,
        }),
        counters = status.Counters.ToDictionary(counter => counter.Name, counter => counter.Count),
    };

    private static string Time(long ticks) => ticks < Instant.TicksPerSecond
        ? string.Create(CultureInfo.InvariantCulture, $"{ticks / 1000.0:0.#} ms")
        : string.Create(CultureInfo.InvariantCulture, $"{ticks / 1e6:0.#} s");
}
