using System.Security.Cryptography;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Commands;

/// <summary>A cluster of processes on this machine: this program, started several times.</summary>
internal static class LocalCluster
{
    /// <summary>The engines that this build has, the default first.</summary>
    public static IReadOnlyList<IEngine> Engines() => [.. new IEngine?[] { new InProcessEngine(), Engine(), AkkaEngine() }.OfType<IEngine>()];

    /// <summary>The akka engine that starts its worker nodes itself; null in a build without it.</summary>
    private static IEngine? AkkaEngine()
    {
        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        return AkkaBuild.Engine(new AkkaEngineOptions
        {
            Roles = AkkaRoles.Coordinator | AkkaRoles.Worker | AkkaRoles.Server,
            Security = NodeSecurity.OfToken(token),
            Nodes = new LocalNodes(ThisProgram(), token) { WorkerArguments = _ => ["--engine", AkkaBuild.EngineName] },
        });
    }

    /// <summary>The tcp engine that starts its workers and servers itself.</summary>
    public static TcpEngine Engine()
    {
        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        return new TcpEngine(new TcpEngineOptions { Security = NodeSecurity.OfToken(token), Nodes = new LocalNodes(ThisProgram(), token) });
    }

    /// <summary><c>dotnet clusterrnn.dll</c> where the runtime was told which program to run, else the program itself.</summary>
    public static IReadOnlyList<string> ThisProgram()
    {
        string process = Environment.ProcessPath!;
        return Path.GetFileNameWithoutExtension(process) == "dotnet" ? [process, typeof(LocalCluster).Assembly.Location] : [process];
    }
}
