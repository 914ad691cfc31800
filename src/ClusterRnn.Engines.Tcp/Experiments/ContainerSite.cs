using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>
/// Nodes that are containers on a network of their own, each with an address that it keeps when it is started again. Where the
/// scenario has faults of the network the nodes reach each other through proxies at the network's gateway, which is this machine.
/// </summary>
internal sealed class ContainerSite : ExperimentSite
{
    /// <summary>Marks containers and networks of experiments; its value names the run.</summary>
    public const string Label = "clusterrnn.experiment";

    private const int ControlPort = 7070, BulkPort = 7071, FirstAddress = 10;
    private const int CertificateDays = 2;
    private const string ProgramInImage = "/app/bin/clusterrnn.dll", RunFolder = "/experiment", WorkFolder = "/here", CertificateFolder = "/certs";

    private readonly ExperimentRun _run;
    private readonly string _image;
    private readonly string _jobFile;
    private readonly string _name = "clusterrnn-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4));
    private readonly string _certificates = Directory.CreateTempSubdirectory("clusterrnn-certs-").FullName;
    private readonly Dictionary<NodeName, IPAddress> _addresses = [];
    private readonly Dictionary<NodeName, NodeContainer> _nodes = [];
    private IPAddress _gateway = IPAddress.None;

    /// <summary>A site for a run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="image">The image.</param>
    /// <param name="jobFile">The job's config, in the run's folder.</param>
    public ContainerSite(ExperimentRun run, string image, string jobFile)
    {
        _run = run;
        _image = image;
        _jobFile = jobFile;
        if (run.Scenario.Faults.Any(fault => fault is NetworkFault and not PartitionFault { Direction: FaultDirection.Both, Peers.Count: 0 }))
        {
            Network = new FaultyNetwork(run.Scenario.Seed);
        }
    }

    /// <inheritdoc/>
    public override HostPort Coordinator => new(_addresses[NodeName.Coordinator].ToString(), ControlPort);

    /// <inheritdoc/>
    public override async Task PrepareAsync()
    {
        Certificates.Create(_certificates, CertificateDays);
        await Task.Run(MakeNetwork).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override NodeSecurity ClientSecurity() => NodeSecurity.Load(_certificates, PeerRole.Client);

    /// <inheritdoc/>
    public override ExperimentNode NodeOf(NodeName name, string log, Action<NodeName, string> said)
    {
        IPAddress address = _addresses[name];
        var options = new List<string>
        {
            "--label", $"{Label}={_name}", "--network", _name, "--ip", address.ToString(), "--hostname", name.ToString(),
            "--user", string.Create(CultureInfo.InvariantCulture, $"{UserOfThisProcess()}:{GroupOfThisProcess()}"),
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--read-only", "--tmpfs", "/tmp:size=64m,mode=1777",
            "--volume", $"{_certificates}:{CertificateFolder}:ro",
            "--volume", $"{Environment.CurrentDirectory}:{WorkFolder}:ro", "--workdir", WorkFolder, // what the config's paths are seen from
        };
        if (DataFolder() is { } data)
        {
            options.AddRange(["--volume", $"{data}:{data}:ro"]);
        }

        if (name.Role == ActorRole.Coordinator)
        {
            options.AddRange(["--volume", $"{Path.GetFullPath(_run.Folder)}:{RunFolder}"]);
        }

        options.AddRange(["--entrypoint", "dotnet"]);
        var container = new NodeContainer(name, _name, options, [_image, ProgramInImage, .. Arguments(name, address), "--certs", CertificateFolder, ProcessSupervisor.ChildOption], log, said);
        _nodes[name] = container;
        return container;
    }

    /// <inheritdoc/>
    public override Func<Task> CutOff(NodeName node) => () => _nodes[node].Call(container => ["network", "disconnect", _name, container]);

    /// <inheritdoc/>
    public override Task ReconnectAsync(NodeName node) => _nodes[node].Call(container => IsConnected(container)
        ? ["container", "inspect", "--format", "connected", container]
        : ["network", "connect", "--ip", _addresses[node].ToString(), _name, container]);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync().ConfigureAwait(false);
        await Task.Run(Clean).ConfigureAwait(false);
        Directory.Delete(_certificates, recursive: true);
    }

    private string[] Arguments(NodeName name, IPAddress address)
    {
        if (name.Role == ActorRole.Worker)
        {
            return ["worker", "--join", JoinOf(name)];
        }

        // A port of its own for each, because behind the gateway they share an address.
        int port = Network is null ? BulkPort : FreePort(_gateway);
        string advertised = (Network is null ? address : _gateway).ToString();
        if (Network is not null)
        {
            Proxies.Add(new FaultyProxy(Network, new IPEndPoint(_gateway, port), new IPEndPoint(address, port), name, _ => null, Who));
        }

        string bulk = string.Create(CultureInfo.InvariantCulture, $"0.0.0.0:{port}");
        return name.Role == ActorRole.Coordinator
            ? ["coordinator", $"{RunFolder}/{Path.GetFileName(_jobFile)}", "--out", RunFolder, "--resume",
                "--listen", string.Create(CultureInfo.InvariantCulture, $"0.0.0.0:{ControlPort}"), "--listen-bulk", bulk, "--advertise", advertised]
            : ["server", "--join", JoinOf(name), "--listen", bulk, "--advertise", advertised];
    }

    private string JoinOf(NodeName node)
    {
        if (Network is null)
        {
            return Coordinator.ToString();
        }

        var proxy = new FaultyProxy(
            Network, new IPEndPoint(_gateway, 0), new IPEndPoint(_addresses[NodeName.Coordinator], ControlPort), NodeName.Coordinator, _ => node);
        Proxies.Add(proxy);
        return proxy.Address;
    }

    // The links are encrypted, but each node has an address of its own.
    private NodeName? Who(IPAddress caller)
    {
        foreach ((NodeName name, IPAddress address) in _addresses)
        {
            if (address.Equals(caller))
            {
                return name;
            }
        }

        return null;
    }

    // Only on a network whose addresses were asked for can a container be given one: those that the engine chooses are asked for.
    private void MakeNetwork()
    {
        DockerEngine.Ask(DockerEngine.Deadline, "network", "prune", "--force", "--filter", $"label={Label}", "--filter", "until=24h"); // of runs that were killed
        const string Form = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}";
        DockerEngine.Call("network", "create", "--label", $"{Label}={_name}", _name);
        string[] chosen = DockerEngine.Call("network", "inspect", "--format", Form, _name).Split(' ');
        if (chosen.Length != 2 || !IPAddress.TryParse(chosen[1], out IPAddress? gateway) || gateway.AddressFamily != AddressFamily.InterNetwork)
        {
            throw new TrainingException($"The Docker engine made a network with the addresses '{string.Join(' ', chosen)}', expected one IPv4 subnet and its gateway.");
        }

        DockerEngine.Call("network", "rm", _name);
        DockerEngine.Call("network", "create", "--label", $"{Label}={_name}", "--subnet", chosen[0], "--gateway", chosen[1], _name);
        _gateway = gateway;
        byte[] bytes = gateway.GetAddressBytes();
        int next = (bytes[2] << 8) + bytes[3] + FirstAddress;
        foreach (NodeName name in _run.Scenario.AllNodes())
        {
            _addresses[name] = new IPAddress([bytes[0], bytes[1], (byte)(next >> 8), (byte)next]);
            next++;
        }
    }

    private void Clean()
    {
        string left = DockerEngine.Ask(DockerEngine.Deadline, "ps", "--all", "--quiet", "--filter", $"label={Label}={_name}").Output;
        if (left.Split('\n', StringSplitOptions.RemoveEmptyEntries) is { Length: > 0 } containers)
        {
            DockerEngine.Ask(DockerEngine.Deadline, ["rm", "--force", .. containers]);
        }

        DockerEngine.Ask(DockerEngine.Deadline, "network", "rm", _name);
    }

    private bool IsConnected(string container)
        => DockerEngine.Ask(DockerEngine.Deadline, "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", container)
            .Output.Split(' ', '\n').Contains(_name);

    // Data at an absolute path is seen there by the nodes as well.
    private string? DataFolder()
    {
        if (_run.Job.Config.Data is not { Path: { } path } || !Path.IsPathRooted(path))
        {
            return null;
        }

        string plain = path.Split('*', '?')[0];
        return Directory.Exists(plain) ? plain : Path.GetDirectoryName(plain);
    }

    private static int FreePort(IPAddress address)
    {
        using var listener = new TcpListener(address, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [DllImport("libc", EntryPoint = "geteuid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint UserOfThisProcess();

    [DllImport("libc", EntryPoint = "getegid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint GroupOfThisProcess();
}
