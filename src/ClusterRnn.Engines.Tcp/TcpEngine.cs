// A cluster of processes with nothing else installed: the coordinator in this one, workers and servers in others, which it
// starts itself or which join from elsewhere.
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Engines.Tcp;

/// <summary>Runs jobs on a cluster of processes.</summary>
/// <param name="options">Where it listens and on what terms.</param>
public sealed class TcpEngine(TcpEngineOptions options) : IEngine
{
    /// <summary>Its name on the command line.</summary>
    public const string EngineName = "tcp";

    /// <inheritdoc/>
    public string Name => EngineName;

    /// <inheritdoc/>
    public string Description => "several processes, containers or machines: control over Kestrel connections, blocks over plain sockets";

    /// <inheritdoc/>
    public long FirstStep(EngineRequest request) => JournalFiles.FirstStep(request);

    /// <inheritdoc/>
    public bool MayBeTakenOver => true;

    /// <inheritdoc/>
    /// <remarks>There is nobody to wait for; but a mistake in an address is found before a run's folder is made.</remarks>
    public async Task<string?> WaitForTurnAsync(Action<string> log, CancellationToken cancellation)
    {
        foreach (HostPort address in new[] { options.Listen, options.ListenBulk })
        {
            await AddressRules.TryListeningAsync(address, options.Security.UsesTls, options.Transport.HandshakeTimeout, cancellation).ConfigureAwait(false);
        }

        return null;
    }

    /// <inheritdoc/>
    public Task<EngineResult> RunAsync(EngineRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return CoordinatorNode.RunAsync(
            request,
            options,
            new TcpControlPlane(options),
            (address, node) =>
            {
                if (options.Nodes is { } nodes)
                {
                    return new ProcessSupervisor(nodes, address, request.Workers, request.Servers, node.Note, node.Fail);
                }

                node.Inform($"listening on {address}: waiting for {request.Servers} server{(request.Servers == 1 ? "" : "s")} and workers to join");
                return null;
            },
            cancellation);
    }
}
