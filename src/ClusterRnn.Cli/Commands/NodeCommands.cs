// `clusterrnn coordinator`, `worker` and `server`: a cluster whose processes are started one by one, by hand, by a script or
// by docker compose.
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Commands;

/// <summary>The commands that are a node of a cluster.</summary>
internal static class NodeCommands
{
    private const string DefaultListen = "127.0.0.1:7070";
    private const string RolesVariable = "CLUSTERRNN_ROLES";
    private const string SeedNodesVariable = "CLUSTERRNN_SEED_NODES";

    /// <summary><c>clusterrnn coordinator</c>.</summary>
    public static Command Coordinator(Terminal terminal)
    {
        var listen = new Option<string>("--listen") { Description = "Where workers and servers join.", HelpName = "HOST:PORT", DefaultValueFactory = _ => DefaultListen };
        var listenBulk = new Option<string?>("--listen-bulk") { Description = "Where blocks are taken. Default: any free port of the host of --listen.", HelpName = "HOST:PORT" };
        var advertise = new Option<string?>("--advertise") { Description = "The host under which the others reach this one. Default: that of --listen.", HelpName = "HOST" };
        Option<string?> certs = Certs();
        Option<string> engine = ClusterEngine();
        Option<string?> roles = Roles("coordinator"), seeds = SeedNodes();
        Option<string?> alive = Alive();
        Option<bool> child = Child();
        var command = new GroupedCommand("coordinator", "Train as a config file says, with workers and servers that join.", CommandGroup.Cluster) { listen, listenBulk, advertise, certs, engine, roles, seeds, alive, child };
        command.Examples.Add(("coordinator configs/quickstart.yaml --servers 2", "Wait for two servers and for workers on this machine, then train."));
        command.Examples.Add(("coordinator configs/char-lm.yaml --listen 0.0.0.0:7070 --advertise trainer1 --certs certs", "The same for nodes on other machines."));
        command.Examples.Add((
            "coordinator configs/quickstart.yaml --engine akka --roles coordinator,worker,server --seed-nodes 127.0.0.1:7070 --out runs/q --resume",
            "One of several equal nodes: one coordinates, the others take over from the run's folder when it dies."));
        command.Examples.Add(("coordinator configs/quickstart.yaml --out runs/q --resume", "Start again after a crash: workers and servers that live are taken over."));
        TrainCommand.Fill(command, terminal, null, (parsed, config) =>
        {
            if (parsed.GetValue(child))
            {
                _ = ExitWithInputAsync();
            }

            HostPort address = AddressOf("--listen", parsed.GetValue(listen)!);
            string? bulk = parsed.GetValue(listenBulk), host = HostOf(parsed, advertise);
            if (parsed.GetValue(engine) == AkkaBuild.EngineName)
            {
                return Akka(parsed, roles, seeds, certs, alive, address, bulk is null ? address.WithPort(0) : AddressOf("--listen-bulk", bulk), host, [], 60) is var options
                    && options.Roles.HasFlag(AkkaRoles.Coordinator)
                    ? AkkaBuild.Engine(options)!
                    : throw new UsageException("--roles: a coordinator's node has the role coordinator; nodes without it are started by `clusterrnn worker` and `server`");
            }

            return new TcpEngine(new TcpEngineOptions
            {
                Listen = address,
                ListenBulk = bulk is null ? address.WithPort(0) : AddressOf("--listen-bulk", bulk),
                Advertise = host is null ? null : new HostPort(host, 0),
                AliveFile = parsed.GetValue(alive),
                Security = SecurityOf(parsed.GetValue(certs), PeerRole.Coordinator),
            });
        });
        return command;
    }

    /// <summary><c>clusterrnn worker</c>.</summary>
    public static Command Worker(Terminal terminal)
    {
        Option<string> join = Join();
        var data = new Option<string?>("--data") { Description = "Where the data lies here. Default: the config's path; if nothing is there, the coordinator sends the rows.", HelpName = "PATH" };
        var memory = new Option<string?>("--memory") { Description = "What the worker's buffers may take, such as 512MB. The result is the same for any limit.", HelpName = "LIMIT" };
        Option<int?> threads = NumberOption.Of<int>("--threads", "Threads on which it computes. Default: what the config says (cluster.threads). The result is the same for any number.", 1, 1024);
        var listen = new Option<string>("--listen") { Description = "With --engine akka: where this node's remoting listens; port 0 is any free one.", HelpName = "HOST:PORT", DefaultValueFactory = _ => "127.0.0.1:0" };
        var advertise = new Option<string?>("--advertise") { Description = "With --engine akka: the host under which the others reach this node. Default: that of --listen.", HelpName = "HOST" };
        Option<double?> delay = NumberOption.Of<double>("--delay", "Make each computation last so many seconds longer, to try what a slow worker does.", 0, 3600, "SECONDS");
        Option<string?> certs = Certs();
        Option<string> engine = ClusterEngine();
        Option<string?> roles = Roles("worker"), seeds = SeedNodes();
        Option<string?> alive = Alive();
        Option<double?> wait = Wait();
        Option<bool> child = Child();
        var command = new GroupedCommand("worker", "Join a coordinator and compute gradients for it.", CommandGroup.Cluster) { join, data, threads, memory, certs, wait, delay, engine, roles, seeds, listen, advertise, alive, child };
        command.Examples.Add(("worker --join 127.0.0.1:7070", "Work for a coordinator on this machine until its job ends."));
        command.Examples.Add(("worker --join trainer1:7070 --certs certs --data /data/corpus", "Work for one elsewhere, with a copy of the data."));
        command.SetAction((parsed, cancellation) => RunAsync(terminal, parsed.GetValue(child), cancellation, drain =>
        {
            HostPort coordinator = AddressOf("--join", parsed.GetValue(join)!);
            double patience = parsed.GetValue(wait) ?? 60;
            var options = new WorkerNodeOptions
            {
                Join = coordinator,
                DataPath = parsed.GetValue(data),
                Threads = parsed.GetValue(threads) ?? 0,
                MemoryBytes = parsed.GetValue(memory) is { } limit ? BytesOf(limit) : 0,
                Delay = TimeSpan.FromSeconds(parsed.GetValue(delay) ?? 0),
                AliveFile = parsed.GetValue(alive),
                JoinTimeout = TimeSpan.FromSeconds(patience),
            };
            if (parsed.GetValue(engine) != AkkaBuild.EngineName)
            {
                return WorkerNode.RunAsync(options, SecurityOf(parsed.GetValue(certs), PeerRole.Worker), terminal.Say, drain);
            }

            HostPort here = AddressOf("--listen", parsed.GetValue(listen)!);
            return AkkaBuild.RunNodeAsync(
                Akka(parsed, roles, seeds, certs, alive, here, here.WithPort(0), HostOf(parsed, advertise), [coordinator], patience), options, terminal.Say, drain);
        }));
        return command;
    }

    /// <summary><c>clusterrnn server</c>.</summary>
    public static Command Server(Terminal terminal)
    {
        Option<string> join = Join();
        var listen = new Option<string>("--listen") { Description = "Where this server takes blocks; port 0 is any free one.", HelpName = "HOST:PORT", DefaultValueFactory = _ => "127.0.0.1:0" };
        var advertise = new Option<string?>("--advertise") { Description = "The host under which the others reach this one. Default: that of --listen.", HelpName = "HOST" };
        Option<string?> certs = Certs();
        Option<string> engine = ClusterEngine();
        Option<string?> roles = Roles("server"), seeds = SeedNodes();
        Option<string?> alive = Alive();
        Option<double?> wait = Wait();
        Option<bool> child = Child();
        var command = new GroupedCommand("server", "Join a coordinator and hold parameters for it.", CommandGroup.Cluster) { join, listen, advertise, certs, wait, engine, roles, seeds, alive, child };
        command.Examples.Add(("server --join 127.0.0.1:7070", "Hold parameters for a coordinator on this machine until its job ends."));
        command.Examples.Add(("server --join trainer1:7070 --listen 0.0.0.0:0 --advertise store1 --certs certs", "The same for one elsewhere."));
        command.SetAction((parsed, cancellation) => RunAsync(terminal, parsed.GetValue(child), cancellation, drain =>
        {
            HostPort coordinator = AddressOf("--join", parsed.GetValue(join)!), here = AddressOf("--listen", parsed.GetValue(listen)!);
            double patience = parsed.GetValue(wait) ?? 60;
            string? host = HostOf(parsed, advertise);
            return parsed.GetValue(engine) == AkkaBuild.EngineName
                ? AkkaBuild.RunNodeAsync(
                    Akka(parsed, roles, seeds, certs, alive, here.WithPort(0), here, host, [coordinator], patience), new WorkerNodeOptions { Join = coordinator }, terminal.Say, drain)
                : ServerNode.RunAsync(
                    new ServerNodeOptions
                    {
                        Join = coordinator,
                        Listen = here,
                        Advertise = host is null ? null : new HostPort(host, 0),
                        AliveFile = parsed.GetValue(alive),
                        JoinTimeout = TimeSpan.FromSeconds(patience),
                    },
                    SecurityOf(parsed.GetValue(certs), PeerRole.Server),
                    terminal.Say,
                    drain);
        }));
        return command;
    }

    /// <summary>Certificates from a folder, or the token that whoever started this process gave it.</summary>
    public static NodeSecurity SecurityOf(string? folder, PeerRole role)
        => folder is not null ? NodeSecurity.Load(folder, role) : NodeSecurity.OfToken(Environment.GetEnvironmentVariable(LocalNodes.TokenVariable) ?? "");

    /// <summary>What an option says as an address.</summary>
    /// <exception cref="UsageException">It is none.</exception>
    public static HostPort AddressOf(string option, string text) => Parsed(option, AddressRules.Parse, text);

    /// <summary>The host that an option names, or null.</summary>
    private static string? HostOf(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) is { } text ? Parsed(option.Name, AddressRules.ParseHost, text) : null;

    private static T Parsed<T>(string option, Func<string, T> parse, string text)
    {
        try
        {
            return parse(text);
        }
        catch (TransportException error)
        {
            throw new UsageException($"{option}: {error.Message}");
        }
    }

    /// <summary>The option that names the coordinator.</summary>
    public static Option<string> Join() => new("--join") { Description = "The coordinator's address.", HelpName = "HOST:PORT", DefaultValueFactory = _ => DefaultListen };

    /// <summary>The option that names the folder of certificates.</summary>
    public static Option<string?> Certs() => new("--certs")
    {
        Description = $"The folder with certificates and token that `clusterrnn certs` made. Without, only this machine can be reached, and {LocalNodes.TokenVariable} may hold a token.",
        HelpName = "FOLDER",
    };

    private static Option<string?> Alive() => new("--alive") { Description = "A file to touch as long as this node is in touch with the others, for health checks.", HelpName = "FILE" };

    private static Option<string> ClusterEngine()
    {
        var option = new Option<string>("--engine") { Description = "What the cluster is run by: tcp, or akka (`clusterrnn engines`).", HelpName = "NAME", DefaultValueFactory = _ => TcpEngine.EngineName };
        option.Validators.Add(result =>
        {
            switch (result.GetValueOrDefault<string>())
            {
                case TcpEngine.EngineName:
                case AkkaBuild.EngineName when AkkaBuild.IsBuilt:
                    break;
                case AkkaBuild.EngineName:
                    result.AddError($"--engine {AkkaBuild.EngineName} is not in this build: {AkkaBuild.HowToBuild}");
                    break;
                case var name:
                    result.AddError($"--engine {name}: expected {TcpEngine.EngineName} or {AkkaBuild.EngineName}");
                    break;
            }
        });
        return option;
    }

    private static Option<string?> Roles(string usual) => new("--roles")
    {
        Description = $"With --engine akka: what this node does, any of coordinator, worker and server. Default: {RolesVariable}, or {usual}.",
        HelpName = "ROLES",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(RolesVariable) ?? usual,
    };

    private static Option<string?> SeedNodes() => new("--seed-nodes")
    {
        Description = $"With --engine akka: nodes that let this one in, the same list on every node; the first of them begins the cluster. Default: {SeedNodesVariable}, or --join where there is one.",
        HelpName = "HOST:PORT,...",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(SeedNodesVariable),
    };

    /// <summary>A node of an Akka cluster from what the command line says.</summary>
    private static AkkaEngineOptions Akka(
        ParseResult parsed,
        Option<string?> roles,
        Option<string?> seeds,
        Option<string?> certs,
        Option<string?> alive,
        HostPort listen,
        HostPort listenBulk,
        string? advertise,
        HostPort[] usualSeeds,
        double patience)
    {
        AkkaRoles does;
        try
        {
            does = AkkaBuild.ParseRoles(parsed.GetValue(roles)!);
        }
        catch (FormatException error)
        {
            throw new UsageException($"--roles: {error.Message}");
        }

        return new AkkaEngineOptions
        {
            Listen = listen,
            ListenBulk = listenBulk,
            Advertise = advertise,
            Roles = does,
            SeedNodes = parsed.GetValue(seeds) is { } text
                ? [.. text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(seed => AddressOf("--seed-nodes", seed))]
                : usualSeeds,
            Security = SecurityOf(parsed.GetValue(certs), AkkaBuild.IdentityOf(does)),
            SecurityByRole = role => SecurityOf(parsed.GetValue(certs), role),
            AliveFile = parsed.GetValue(alive),
            JoinTimeout = TimeSpan.FromSeconds(patience),
        };
    }

    private static Option<double?> Wait() => NumberOption.Of<double>("--wait", "How long a coordinator is waited for. Default: 60.", 0, 86400, "SECONDS");

    private static Option<bool> Child() => new(ProcessSupervisor.ChildOption) { Description = "End when the standard input does: whoever started this process is gone.", Hidden = true };

    private static long BytesOf(string limit)
    {
        try
        {
            return MemorySize.Parse(limit);
        }
        catch (FormatException error)
        {
            throw new UsageException($"--memory: {error.Message}");
        }
    }

    /// <summary>Runs a node until its job ends. A first Ctrl-C or SIGTERM drains it; a child leaves Ctrl-C to whoever started it.</summary>
    private static async Task<int> RunAsync(Terminal terminal, bool isChild, CancellationToken interrupted, Func<CancellationToken, Task<string>> node)
    {
        using var drain = new CancellationTokenSource();
        using PosixSignalRegistration? terminated = isChild ? PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => drain.Cancel()) : null;
        using CancellationTokenRegistration forwarded = isChild ? default : interrupted.Register(drain.Cancel);
        Task<string> run = Task.Run(() => node(drain.Token), CancellationToken.None);
        if (isChild && await Task.WhenAny(run, InputEndsAsync()).ConfigureAwait(false) != run)
        {
            return ExitCode.Failed; // nobody is left to work for
        }

        string reason = await run.ConfigureAwait(false);
        terminal.Say(reason);
        return ExitCode.Success;
    }

    // Nobody is left who would look at the result; the journal and the checkpoints are as after a crash.
    private static async Task ExitWithInputAsync()
    {
        await InputEndsAsync().ConfigureAwait(false);
        Environment.Exit(ExitCode.Failed);
    }

    private static Task InputEndsAsync() => Task.Run(() =>
    {
        Stream input = Console.OpenStandardInput();
        Span<byte> ignored = stackalloc byte[64];
        while (input.Read(ignored) > 0)
        {
        }
    });
}
