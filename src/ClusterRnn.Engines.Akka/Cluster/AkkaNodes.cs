using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Workers and servers as members of an Akka cluster.</summary>
internal static class AkkaNodes
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    /// <summary>Runs a node without a coordinator of its own until the job ends.</summary>
    /// <inheritdoc cref="AkkaBuild.RunNodeAsync"/>
    public static async Task<string> RunAsync(AkkaEngineOptions options, WorkerNodeOptions worker, Action<string> log, CancellationToken drain)
    {
        while (true)
        {
            Task<string> own;
            AkkaNode node = await AkkaNode.StartAsync(options, log, drain).ConfigureAwait(false);
            await using (node.ConfigureAwait(false))
            {
                log($"this node is {HoconText.AddressOf(node.Address)} in its cluster ({string.Join(", ", HoconText.RolesOf(options.Roles))})");
                using var removed = CancellationTokenSource.CreateLinkedTokenSource(drain);
                own = ServeAsync(
                    node, options, options.Roles.HasFlag(AkkaRoles.Server) ? options.OwnServers : 0, options.Roles.HasFlag(AkkaRoles.Worker) ? worker : null, log, log, removed.Token);
                if (await Task.WhenAny(own, node.Removed).ConfigureAwait(false) == own)
                {
                    return await own.ConfigureAwait(false);
                }

                // What it held counts for nothing any more: it comes back as a new node, with new numbers.
                log(await node.Removed.ConfigureAwait(false));
                await removed.CancelAsync().ConfigureAwait(false);
            }

            await Task.WhenAny(own, Task.Delay(s_patience, drain)).ConfigureAwait(false); // its memory is given back
        }
    }

    /// <summary>Runs workers and servers on a node that is a member, until the job ends.</summary>
    /// <param name="node">The node.</param>
    /// <param name="options">Where servers take blocks, and on what terms.</param>
    /// <param name="servers">How many servers.</param>
    /// <param name="worker">How the worker is run; null for none.</param>
    /// <param name="log">Is told what they have to say.</param>
    /// <param name="failed">Is told at once why one of them has failed; the others go on.</param>
    /// <param name="drain">Asks them to finish what they have and leave.</param>
    /// <returns>Why they ended.</returns>
    public static async Task<string> ServeAsync(
        AkkaNode node, AkkaEngineOptions options, int servers, WorkerNodeOptions? worker, Action<string> log, Action<string> failed, CancellationToken drain)
    {
        var running = new List<Task<string>>();
        for (int i = 0; i < servers; i++)
        {
            running.Add(SaidAsync("server", () => ServerAsync(node, options, log, drain), failed));
        }

        if (worker is not null)
        {
            running.Add(SaidAsync("worker", () => WorkerAsync(node, options, worker, log, drain), failed));
        }

        string[] reasons = await Task.WhenAll(running).ConfigureAwait(false);
        return reasons.Length > 0 ? reasons[^1] : "";
    }

    private static async Task<string> SaidAsync(string what, Func<Task<string>> run, Action<string> failed)
    {
        try
        {
            return await Task.Run(run).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            failed($"a {what} of this node has failed: {error.Message}");
            throw;
        }
    }

    private static async Task<string> WorkerAsync(AkkaNode node, AkkaEngineOptions options, WorkerNodeOptions worker, Action<string> log, CancellationToken drain)
    {
        using var control = new NodeGate(node, ActorRole.Worker, options.AliveFile, log);
        await control.OpenAsync("", options.JoinTimeout, drain).ConfigureAwait(false);
        return await WorkerNode.RunAsync(control, worker, SecurityOf(options, PeerRole.Worker), options.Transport, log, drain).ConfigureAwait(false);
    }

    private static async Task<string> ServerAsync(AkkaNode node, AkkaEngineOptions options, Action<string> log, CancellationToken drain)
    {
        using var control = new NodeGate(node, ActorRole.Server, options.AliveFile, log);
        var server = new ServerNodeOptions
        {
            Join = node.Address,
            Listen = options.ListenBulk.WithPort(0),
            Advertise = options.Advertise is { } host ? new HostPort(host, 0) : null,
        };
        return await ServerNode.RunAsync(
            control, address => control.OpenAsync(address, options.JoinTimeout, drain), server, SecurityOf(options, PeerRole.Server), options.Transport, log, drain).ConfigureAwait(false);
    }

    private static NodeSecurity SecurityOf(AkkaEngineOptions options, PeerRole role) => options.SecurityByRole?.Invoke(role) ?? options.Security;
}
