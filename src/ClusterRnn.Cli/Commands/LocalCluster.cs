using System.Security.Cryptography;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Security;

namespace ClusterRnn.Cli.Commands;

/// <summary>A cluster of processes on this machine: this program, started several times.</summary>
internal static class LocalCluster
{
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
