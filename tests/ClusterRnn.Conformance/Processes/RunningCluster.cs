// A cluster of real processes, each started by the test and known by its own id.
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Conformance.Jobs;

namespace ClusterRnn.Conformance.Processes;

/// <summary>A coordinator with the nodes that were started for it.</summary>
internal sealed class RunningCluster : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly Job _job;
    private readonly string[] _more;
    private readonly List<RunningProgram> _nodes = [];
    private readonly Dictionary<string, string> _environment = new() { ["CLUSTERRNN_TOKEN"] = Guid.NewGuid().ToString("N") };

    private RunningCluster(Job job, string[] more, string? folder)
    {
        _job = job;
        _more = more;
        Folder = folder ?? TemporaryFolders.NewRun("cluster");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Address = listener.LocalEndpoint.ToString()!;
    }

    /// <summary>The run folder.</summary>
    public string Folder { get; }

    /// <summary>Where the coordinator is joined.</summary>
    public string Address { get; }

    public RunningProgram Coordinator { get; private set; } = null!;

    public List<RunningProgram> Workers { get; } = [];

    public List<RunningProgram> Servers { get; } = [];

    /// <summary>What every worker, server and status is started with, such as the folder of certificates.</summary>
    public string[] NodeArguments { get; init; } = [];

    /// <summary>Starts a cluster.</summary>
    /// <param name="job">What it trains.</param>
    /// <param name="workers">How many workers.</param>
    /// <param name="servers">How many servers.</param>
    /// <param name="more">More arguments for the coordinator.</param>
    public static async Task<RunningCluster> StartAsync(Job job, int workers, int servers, params string[] more)
    {
        RunningCluster cluster = await StartWithoutNodesAsync(job, servers, more);
        for (int i = 0; i < servers; i++)
        {
            await cluster.AddServerAsync();
        }

        for (int i = 0; i < workers; i++)
        {
            await cluster.AddWorkerAsync();
        }

        foreach (RunningProgram node in cluster.Servers.Concat(cluster.Workers))
        {
            await JoinedAsync(node);
        }

        return cluster;
    }

    /// <summary>Starts a coordinator; the test adds the nodes.</summary>
    public static Task<RunningCluster> StartWithoutNodesAsync(Job job, int servers, params string[] more) => StartWithoutNodesAsync(job, servers, more, []);

    /// <summary>The same with arguments for every node.</summary>
    public static async Task<RunningCluster> StartWithoutNodesAsync(Job job, int servers, string[] more, string[] nodeArguments, string? folder = null)
    {
        var cluster = new RunningCluster(job, ["--servers", servers.ToString(CultureInfo.InvariantCulture), .. more], folder) { NodeArguments = nodeArguments };
        await cluster.StartCoordinatorAsync(isFirst: true);
        return cluster;
    }

    /// <summary>Waits until a node has joined.</summary>
    public static async Task JoinedAsync(RunningProgram node)
        => Assert.True(await node.SaysAsync(line => line.Contains("joined", StringComparison.Ordinal)), "a node ended before it joined");

    /// <summary>Starts the coordinator (again).</summary>
    public async Task StartCoordinatorAsync(bool isFirst = false)
    {
        Coordinator = await ProgramUnderTest.StartAsync(
            _job.CoordinatorArguments(Folder, ["--engine", EngineUnderTest.Name, "--listen", Address, .. _more]), _environment, belongsToAnother: !isFirst);
        _nodes.Add(Coordinator);
    }

    /// <summary>Starts a worker.</summary>
    public async Task<RunningProgram> AddWorkerAsync(params string[] more)
    {
        // Each computation lasts a little longer, so that there is a middle to be hit.
        string[] delay = more.Contains("--delay") ? [] : ["--delay", "0.01"];
        RunningProgram worker = await ProgramUnderTest.StartAsync(["worker", "--engine", EngineUnderTest.Name, .. Joining(more), .. delay, .. more], _environment, belongsToAnother: true);
        _nodes.Add(worker);
        Workers.Add(worker);
        return worker;
    }

    /// <summary>Starts a server.</summary>
    public async Task<RunningProgram> AddServerAsync(params string[] more)
    {
        RunningProgram server = await ProgramUnderTest.StartAsync(["server", "--engine", EngineUnderTest.Name, .. Joining(more), .. more], _environment, belongsToAnother: true);
        _nodes.Add(server);
        Servers.Add(server);
        return server;
    }

    /// <summary>Starts a node that does not belong to the cluster; it is not waited for at the end.</summary>
    /// <param name="role">worker or server.</param>
    /// <param name="more">Its arguments.</param>
    public async Task<RunningProgram> AddStrangerAsync(string role, params string[] more)
    {
        RunningProgram stranger = await ProgramUnderTest.StartAsync([role, "--join", Address, .. more], belongsToAnother: true);
        _nodes.Add(stranger);
        return stranger;
    }

    /// <summary>Asks for the status.</summary>
    public async Task<Outcome> StatusAsync(params string[] more)
    {
        await using RunningProgram status = await ProgramUnderTest.StartAsync(["status", .. Joining(more), .. more], _environment, belongsToAnother: true);
        return await status.WaitAsync();
    }

    /// <summary>Waits until so many more steps are in the journal, by its growth.</summary>
    public async Task StepsAsync(int steps)
    {
        const int BytesOfAStep = 150; // at least: the policy's state alone is longer
        long enough = JournalBytes() + ((long)steps * BytesOfAStep);
        long until = Environment.TickCount64 + (long)s_patience.TotalMilliseconds;
        while (JournalBytes() < enough)
        {
            if (Environment.TickCount64 > until || Coordinator.HasEnded)
            {
                Outcome outcome = await EndedAsync();
                Assert.Fail($"no {steps} steps within {s_patience.TotalSeconds:F0} s, or before the coordinator's end\n{outcome}");
            }

            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Waits for the end of the job and of every node that was not killed.</summary>
    public async Task<(FinishedRun Run, Outcome Outcome)> FinishAsync()
    {
        Outcome outcome = (await Coordinator.WaitAsync()).Expect(0);
        foreach (RunningProgram node in Workers.Concat(Servers))
        {
            if (!node.WasKilled)
            {
                (await node.WaitAsync()).Expect(0);
            }
        }

        return (new FinishedRun(Folder, outcome.Elapsed), outcome);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (RunningProgram node in Enumerable.Reverse(_nodes))
        {
            await node.DisposeAsync();
        }
    }

    private string[] Joining(string[] more) => more.Contains("--join") ? NodeArguments : ["--join", Address, .. NodeArguments];

    private async Task<Outcome> EndedAsync()
    {
        Coordinator.Kill();
        return await Coordinator.WaitAsync();
    }

    /// <summary>The length of all journals: it grows with every step that is committed.</summary>
    public long JournalBytes()
    {
        string folder = Path.Combine(Folder, "journal");
        return Directory.Exists(folder) ? new DirectoryInfo(folder).EnumerateFiles().Sum(file => file.Length) : 0;
    }
}
