using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Engines.Akka;

/// <summary>Whether this build has the Akka engine, and how one gets it.</summary>
public static class AkkaBuild
{
    /// <summary>The engine's name on the command line.</summary>
    public const string EngineName = "akka";

    /// <summary>What the engine is for, in a line.</summary>
    public const string Description = "several machines without a fixed coordinator: Akka.NET's gossip, failure detection and split-brain resolver; the coordinator moves by itself";

    /// <summary>How a build without the engine becomes one that has it.</summary>
    public const string HowToBuild = "build with EnableAkka=true: `EnableAkka=true ./clusterrnn train CONFIG --engine akka` restores Akka.NET and builds it in";

    /// <summary>Whether Akka.NET is built in.</summary>
    public static bool IsBuilt =>
#if AKKA
        true;
#else
        false;
#endif

    /// <summary>Roles from their names, separated by commas.</summary>
    /// <exception cref="FormatException">One is none.</exception>
    public static AkkaRoles ParseRoles(string text) => HoconText.ParseRoles(text);

    /// <summary>The role of the certificate that a node shows which has these.</summary>
    public static PeerRole IdentityOf(AkkaRoles roles)
        => roles.HasFlag(AkkaRoles.Coordinator) ? PeerRole.Coordinator : roles.HasFlag(AkkaRoles.Server) ? PeerRole.Server : PeerRole.Worker;

    /// <summary>The engine with these terms, or null in a build without it.</summary>
    public static IEngine? Engine(AkkaEngineOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
#if AKKA
        return new Cluster.AkkaEngine(options);
#else
        return null;
#endif
    }

    /// <summary>Runs a worker or server that belongs to no coordinator's process, until its job ends.</summary>
    /// <param name="options">Its node.</param>
    /// <param name="worker">How its worker is run, where it has that role.</param>
    /// <param name="log">Is told what a person should know.</param>
    /// <param name="drain">Asks it to finish what it has and leave.</param>
    /// <returns>Why it ended.</returns>
    /// <exception cref="NotSupportedException">Akka.NET is not built in.</exception>
    public static Task<string> RunNodeAsync(AkkaEngineOptions options, Tcp.Nodes.WorkerNodeOptions worker, Action<string> log, CancellationToken drain)
    {
#if AKKA
        return Cluster.AkkaNodes.RunAsync(options, worker, log, drain);
#else
        throw new NotSupportedException(HowToBuild);
#endif
    }
}
