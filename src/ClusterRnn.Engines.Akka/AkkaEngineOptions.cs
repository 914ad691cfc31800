using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Akka;

/// <summary>What a node of an Akka cluster does; any combination.</summary>
[Flags]
public enum AkkaRoles
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>May coordinate the job: one such node does, the others wait to take over.</summary>
    Coordinator = 1,

    /// <summary>Computes gradients.</summary>
    Worker = 2,

    /// <summary>Holds parameters.</summary>
    Server = 4,
}

/// <summary>Where a node of an Akka cluster listens, whom it joins, and on what terms.</summary>
public sealed record AkkaEngineOptions
{
    /// <summary>Where Akka's remoting listens; port 0 takes a free one.</summary>
    public HostPort Listen { get; init; } = new("127.0.0.1", 0);

    /// <summary>Where blocks are taken; port 0 takes a free one.</summary>
    public HostPort ListenBulk { get; init; } = new("127.0.0.1", 0);

    /// <summary>The host under which the others reach this one; null takes the address listened on.</summary>
    public string? Advertise { get; init; }

    /// <summary>Nodes that are asked to let this one in; none makes this node the first of its cluster.</summary>
    public IReadOnlyList<HostPort> SeedNodes { get; init; } = [];

    /// <summary>What this node does.</summary>
    public AkkaRoles Roles { get; init; } = AkkaRoles.Coordinator;

    /// <summary>Parameter servers that run in this process, where it has the role.</summary>
    public int OwnServers { get; init; } = 1;

    /// <summary>How often nodes tell each other that they are there.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>How much silence is nothing to worry about.</summary>
    public TimeSpan AcceptablePause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>For how long the picture must not change before the smaller side of a split is downed.</summary>
    public TimeSpan StableAfter { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long the cluster is waited for.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Certificate and token, for Akka's remoting and for a coordinator's blocks.</summary>
    public required NodeSecurity Security { get; init; }

    /// <summary>The same for a role whose blocks are exchanged; null where <see cref="Security"/> serves all of them.</summary>
    public Func<PeerRole, NodeSecurity>? SecurityByRole { get; init; }

    /// <summary>The least blocks of a part of a gradient that travels while the backward pass goes on; 0 sends each gradient at its end.</summary>
    public int LeastSegmentBlocks { get; init; } = ProtocolJob.WorthwhileSegmentBlocks;

    /// <summary>The protocol's times.</summary>
    public ProtocolTimes Times { get; init; } = new();

    /// <summary>The links' bounds.</summary>
    public TransportOptions Transport { get; init; } = new();

    /// <summary>A file that is touched while the node runs; null for none.</summary>
    public string? AliveFile { get; init; }

    /// <summary>Starts the other worker nodes on this machine; null where others start them.</summary>
    public LocalNodes? Nodes { get; init; }
}
