using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp;

/// <summary>Where a cluster of processes listens and on what terms.</summary>
public sealed record TcpEngineOptions
{
    /// <summary>The coordinator's control address; port 0 takes a free one.</summary>
    public HostPort Listen { get; init; } = new("127.0.0.1", 0);

    /// <summary>The coordinator's address for blocks; port 0 takes a free one.</summary>
    public HostPort ListenBulk { get; init; } = new("127.0.0.1", 0);

    /// <summary>The host under which the others reach the coordinator; null takes the address listened on.</summary>
    public HostPort? Advertise { get; init; }

    /// <summary>Certificate and token.</summary>
    public required NodeSecurity Security { get; init; }

    /// <summary>The least blocks of a part of a gradient that travels while the backward pass goes on; 0 sends each gradient at its end.</summary>
    public int LeastSegmentBlocks { get; init; } = ProtocolJob.WorthwhileSegmentBlocks;

    /// <summary>The protocol's times.</summary>
    public ProtocolTimes Times { get; init; } = new();

    /// <summary>The links' bounds.</summary>
    public TransportOptions Transport { get; init; } = new();

    /// <summary>A file that is touched while the coordinator runs; null for none.</summary>
    public string? AliveFile { get; init; }

    /// <summary>Starts worker and server processes on this machine; null where others start them.</summary>
    public LocalNodes? Nodes { get; init; }
}

/// <summary>How nodes are started on this machine.</summary>
/// <param name="Program">The program and its first arguments, such as <c>dotnet clusterrnn.dll</c>.</param>
/// <param name="Token">The job's token; it reaches the processes through their environment.</param>
public sealed record LocalNodes(IReadOnlyList<string> Program, string Token)
{
    /// <summary>The environment variable that holds the token of a process started by another.</summary>
    public const string TokenVariable = "CLUSTERRNN_TOKEN";

    /// <summary>Is told the id of each process that is started.</summary>
    public Action<int>? Started { get; init; }

    /// <summary>More arguments for a worker, by its place; for experiments with slow workers.</summary>
    public Func<int, IReadOnlyList<string>> WorkerArguments { get; init; } = _ => [];

    /// <summary>More arguments for a server, by its place.</summary>
    public Func<int, IReadOnlyList<string>> ServerArguments { get; init; } = _ => [];
}
