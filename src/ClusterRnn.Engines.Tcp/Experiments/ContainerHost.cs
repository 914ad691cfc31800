// Experiments on containers of this machine's Docker engine: a container a node, from the image that deploy/ builds. Kills and
// pauses are the engine's, a node that is cut off from everyone is taken off the network, a slow one gets a quota of processor
// time; other faults of the network happen in the same proxies as between processes.
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Runs experiments on containers.</summary>
/// <param name="image">The image.</param>
public sealed class ContainerHost(string image = ContainerHost.DefaultImage) : IExperimentHost
{
    /// <summary>Its name on the command line.</summary>
    public const string HostName = "containers";

    /// <summary>The image that docker-compose.yml builds.</summary>
    public const string DefaultImage = "clusterrnn";

    /// <inheritdoc/>
    public string Name => HostName;

    /// <inheritdoc/>
    public string? WhyNot(FaultConfig fault) => fault switch
    {
        NanFault or WrongBitsFault => ProcessHost.NoNonsense,
        CorruptFault => "links between containers are encrypted, and a flipped bit would only break the encryption; run it with --on processes or --on simulator",
        DiskFullFault when !ProcessHost.CanMount() => ProcessHost.NoDisk,
        _ => null,
    };

    /// <inheritdoc/>
    public string? WhatIsMissing() => DockerEngine.WhyNot(image);

    /// <inheritdoc/>
    public async Task<RunRecord> RunAsync(ExperimentRun run, Action<string> said, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(said);
        var containers = new ClusterRun(run, (job, _) => new ContainerSite(run, image, job), said);
        await using (containers.ConfigureAwait(false))
        {
            return await containers.RunAsync(cancellation).ConfigureAwait(false);
        }
    }
}
