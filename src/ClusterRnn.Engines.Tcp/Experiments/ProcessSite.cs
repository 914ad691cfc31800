using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Nodes that are processes of this machine, on loopback addresses.</summary>
internal sealed class ProcessSite : ExperimentSite
{
    private const string Advertised = "127.0.0.2"; // the same port at another address of this machine is what a node advertises and the proxy listens on

    private readonly ExperimentRun _run;
    private readonly IReadOnlyList<string> _program;
    private readonly string _jobFile;
    private readonly Func<ActorId, NodeName?> _nameOf;
    private readonly string _token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <summary>A site for a run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="program">The program and its first arguments.</param>
    /// <param name="jobFile">The job's config.</param>
    /// <param name="nameOf">Under which number the coordinator knows whom.</param>
    public ProcessSite(ExperimentRun run, IReadOnlyList<string> program, string jobFile, Func<ActorId, NodeName?> nameOf)
    {
        _run = run;
        _program = program;
        _jobFile = jobFile;
        _nameOf = nameOf;
        Coordinator = new HostPort("127.0.0.1", FreePort());
        if (run.Scenario.Faults.Any(fault => fault is NetworkFault or CorruptFault))
        {
            Network = new FaultyNetwork(run.Scenario.Seed);
        }
    }

    /// <inheritdoc/>
    public override HostPort Coordinator { get; }

    /// <inheritdoc/>
    public override Task PrepareAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public override NodeSecurity ClientSecurity() => NodeSecurity.OfToken(_token);

    /// <inheritdoc/>
    public override ExperimentNode NodeOf(NodeName name, string log, Action<NodeName, string> said)
    {
        List<string> arguments = name.Role switch
        {
            ActorRole.Coordinator => ["coordinator", _jobFile, "--out", _run.Folder, "--resume", "--listen", Coordinator.ToString(), ProcessSupervisor.ChildOption],
            ActorRole.Worker => ["worker", "--join", JoinOf(name), ProcessSupervisor.ChildOption],
            _ => ["server", "--join", JoinOf(name), ProcessSupervisor.ChildOption],
        };
        if (Network is not null && name.Role != ActorRole.Worker)
        {
            int port = FreePort();
            arguments.AddRange([name.Role == ActorRole.Coordinator ? "--listen-bulk" : "--listen", $"127.0.0.1:{port}", "--advertise", Advertised]);
            Proxies.Add(new FaultyProxy(Network, new IPEndPoint(IPAddress.Parse(Advertised), port), new IPEndPoint(IPAddress.Loopback, port), name, Who));
        }

        return new NodeProcess(name, _program, arguments, _token, log, said);

        NodeName? Who(ProxyCaller caller) => caller.Role switch
        {
            PeerRole.Coordinator => NodeName.Coordinator,
            PeerRole.Worker or PeerRole.Server => _nameOf(new ActorId((ActorRole)caller.Role, caller.Number)),
            _ => null,
        };
    }

    private string JoinOf(NodeName node)
    {
        if (Network is null)
        {
            return Coordinator.ToString();
        }

        // A way of its own for each node, because a node that joins for the first time has no number yet.
        var proxy = new FaultyProxy(Network, new IPEndPoint(IPAddress.Loopback, 0), new IPEndPoint(IPAddress.Loopback, Coordinator.Port), NodeName.Coordinator, _ => node);
        Proxies.Add(proxy);
        return proxy.Address;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
