using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>Parameters, optimizer and states of every copy of every range are at each version those of the undisturbed run.</summary>
/// <param name="simulation">The run.</param>
internal sealed class HashChainChecker(Simulation simulation) : Checker(simulation, "hash chain")
{
    /// <inheritdoc/>
    public override void ContentChanged(ServerHost server, int range, long version, RangeMemory memory)
    {
        ulong digest = ServerContent.Of(memory).Digest;
        if (!Simulation.Plan.Job.Reference.Has(version, range, digest))
        {
            throw Fail($"{server.Name} has range {range} at version {version} with other bits ({digest:x16}) than the undisturbed run.");
        }
    }
}
