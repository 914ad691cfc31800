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
    public IReadOnlyList<string> WhatItCannot(Scenario scenario)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        var reasons = new List<string>();
        for (int i = 0; i < scenario.Faults.Count; i++)
        {
            string? why = scenario.Faults[i] switch
            {
                NanFault or WrongBitsFault => "the program has no switch that makes a worker compute nonsense; run it with --on simulator",
                CorruptFault => "links between containers are encrypted, and a flipped bit would only break the encryption; run it with --on processes or --on simulator",
                DiskFullFault when !ProcessHost.CanMount() => "filling a disk needs to mount a small file system: Linux, as root. Without that run it with --on simulator",
                _ => null,
            };
            if (why is not null)
            {
                reasons.Add($"faults[{i}], {scenario.Faults[i].Kind}: {why}");
            }
        }

        if (reasons.Count == 0 && DockerEngine.WhyNot(image) is { } missing)
        {
            reasons.Add(missing);
        }

        return reasons;
    }

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
