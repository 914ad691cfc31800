// `clusterrnn coordinator`, `worker` and `server`: a cluster whose processes are started one by one, by hand, by a script or
// by docker compose.
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary>The commands that are a node of a cluster.</summary>
internal static class NodeCommands
{
    private const string DefaultListen = "127.0.0.1:7070";

    /// <summary><c>clusterrnn coordinator</c>.</summary>
    public static Command Coordinator(Terminal terminal)
    {
        var listen = new Option<string>("--listen") { Description = "Where workers and servers join.", HelpName = "HOST:PORT", DefaultValueFactory = _ => DefaultListen };
        var listenBulk = new Option<string?>("--listen-bulk") { Description = "Where blocks are taken. Default: any free port of the host of --listen.", HelpName = "HOST:PORT" };
        var advertise = new Option<string?>("--advertise") { Description = "The host under which the others reach this one. Default: that of --listen.", HelpName = "HOST" };
        Option<string?> certs = Certs();
        Option<string> engine = ClusterEngine();
        Option<string?> alive = Alive();
        Option<bool> child = Child();
        var command = new GroupedCommand("coordinator", "Train as a config file says, with workers and servers that join.", CommandGroup.Cluster) { listen, listenBulk, advertise, certs, engine, alive, child };
        command.Examples.Add(("coordinator configs/quickstart.yaml --servers 2", "Wait for two servers and for workers on this machine, then train."));
        command.Examples.Add(("coordinator configs/char-lm.yaml --listen 0.0.0.0:7070 --advertise trainer1 --certs certs", "The same for nodes on other machines."));
        command.Examples.Add(("coordinator configs/quickstart.yaml --out runs/q --resume", "Start again after a crash: workers and servers that live are taken over."));
        TrainCommand.Fill(command, terminal, null, (parsed, config) =>
        {
            if (parsed.GetValue(child))
            {
                _ = ExitWithInputAsync();
            }

            HostPort address = AddressOf("--listen", parsed.GetValue(listen)!);
            string? bulk = parsed.GetValue(listenBulk), host = parsed.GetValue(advertise);
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
        Option<double?> delay = NumberOption.Of<double>("--delay", "Make each computation last so many seconds longer, to try what a slow worker does.", 0, 3600, "SECONDS");
        Option<string?> certs = Certs();
        Option<string> engine = ClusterEngine();
        Option<string?> alive = Alive();
        Option<double?> wait = Wait();
        Option<bool> child = Child();
        var command = new GroupedCommand("worker", "Join a coordinator and compute gradients for it.", CommandGroup.Cluster) { join, data, threads, memory, certs, wait, delay, engine, alive, child };
        command.Examples.Add(("worker --join 127.0.0.1:7070", "Work for a coordinator on this machine until its job ends."));
        command.Examples.Add(("worker --join trainer1:7070 --certs certs --data /data/corpus", "Work for one elsewhere, with a copy of the data."));
        command.SetAction((parsed, cancellation) => RunAsync(terminal, parsed.GetValue(child), cancellation, drain => WorkerNode.RunAsync(
            new WorkerNodeOptions
            {
                Join = AddressOf("--join", parsed.GetValue(join)!),
                DataPath = parsed.GetValue(data),
                Threads = parsed.GetValue(threads) ?? 0,
                MemoryBytes = parsed.GetValue(memory) is { } limit ? BytesOf(limit) : 0,
                Delay = TimeSpan.FromSeconds(parsed.GetValue(delay) ?? 0),
                AliveFile = parsed.GetValue(alive),
                JoinTimeout = TimeSpan.FromSeconds(parsed.GetValue(wait) ?? 60),
            },
            SecurityOf(parsed.GetValue(certs), PeerRole.Worker),
            terminal.Say,
            drain)));
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
        Option<string?> alive = Alive();
        Option<double?> wait = Wait();
        Option<bool> child = Child();
        var command = new GroupedCommand("server", "Join a coordinator and hold parameters for it.", CommandGroup.Cluster) { join, listen, advertise, certs, wait, engine, alive, child };
        command.Examples.Add(("server --join 127.0.0.1:7070", "Hold parameters for a coordinator on this machine until its job ends."));
        command.Examples.Add(("server --join trainer1:7070 --listen 0.0.0.0:0 --advertise store1 --certs certs", "The same for one elsewhere."));
        command.SetAction((parsed, cancellation) => RunAsync(terminal, parsed.GetValue(child), cancellation, drain => ServerNode.RunAsync(
            new ServerNodeOptions
            {
                Join = AddressOf("--join", parsed.GetValue(join)!),
                Listen = AddressOf("--listen", parsed.GetValue(listen)!),
                Advertise = parsed.GetValue(advertise) is { } host ? new HostPort(host, 0) : null,
                AliveFile = parsed.GetValue(alive),
                JoinTimeout = TimeSpan.FromSeconds(parsed.GetValue(wait) ?? 60),
            },
            SecurityOf(parsed.GetValue(certs), PeerRole.Server),
            terminal.Say,
            drain)));
        return command;
    }

    /// <summary>Certificates from a folder, or the token that whoever started this process gave it.</summary>
    public static NodeSecurity SecurityOf(string? folder, PeerRole role)
        => folder is not null ? NodeSecurity.Load(folder, role) : NodeSecurity.OfToken(Environment.GetEnvironmentVariable(LocalNodes.TokenVariable) ?? "");

    /// <summary>What an option says as an address.</summary>
    /// <exception cref="UsageException">It is none.</exception>
    public static HostPort AddressOf(string option, string text)
    {
        try
        {
            return AddressRules.Parse(text);
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
        var option = new Option<string>("--engine") { Description = "What the cluster is run by: tcp.", HelpName = "NAME", DefaultValueFactory = _ => TcpEngine.EngineName };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string>() is var name && name != TcpEngine.EngineName)
            {
                result.AddError($"--engine {name}: expected {TcpEngine.EngineName}, the engine for several processes that this build has");
            }
        });
        return option;
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
