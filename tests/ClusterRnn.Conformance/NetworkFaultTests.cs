// A network between one worker and the rest that is cut, heals, or flips a bit: the answer of one process, and the fault was
// noticed. Every connection of the worker goes through a proxy: to the coordinator because it joins there, to the
// server because that one advertises an address of its own.
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;
using ClusterRnn.Engines.Tcp.Experiments;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Conformance;

public sealed class NetworkFaultTests(ITestOutputHelper output)
{
    private static readonly TimeSpan s_longerThanALease = TimeSpan.FromSeconds(6);

    // So long that a worker that was cut off for longer than a link's silence is back in time.
    private static readonly Job s_enduring = new("cut", Repository.Config("tiny.yaml"), "--set", "stop.epochs=120", "--set", "checkpoint.every=500", "--set", "evaluate.every=900");

    [Fact]
    public Task AWorkerIsCutOffAndComesBack() => CutAsync(Job.ClusteredForLong, swallows: true, s_longerThanALease);

    [Theory]
    [InlineData(false, 6)]
    [InlineData(false, 13)] // longer than a link's silence
    [InlineData(true, 13)]
    [InlineData(true, 1.5)] // suspected, not evicted
    [InlineData(false, 1.5)]
    public Task CutsOfSeveralKindsAndLengths(bool swallows, double seconds)
    {
        LongTests.SkipUnlessOn();
        return CutAsync(s_enduring, swallows, TimeSpan.FromSeconds(seconds));
    }

    [Theory]
    [InlineData(FrameKind.Bulk)]
    [InlineData(FrameKind.Control)]
    public async Task ABitIsFlippedOnItsWay(FrameKind kind)
    {
        await using Split split = await Split.StartAsync(Job.Clustered);
        RunningCluster cluster = split.Cluster;
        await cluster.StepsAsync(10);
        Task flipped = split.Network.FlipBits(Split.Behind, [kind == FrameKind.Bulk ? NodeName.Server(0) : NodeName.Coordinator], 1, kind);
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        Assert.True(flipped.IsCompleted, "no bit was flipped");
        Assert.Equal((await Job.Clustered.UndisturbedAsync()).Answer, run.Answer);
        string said = outcome.Error + (await cluster.Servers[0].WaitAsync()).Error + (await split.Worker.WaitAsync()).Error;
        output.WriteLine(said);
        if (kind == FrameKind.Bulk)
        {
            Assert.Contains("a block was damaged on its way", said, StringComparison.Ordinal);
        }
        else
        {
            // Whichever end reads it closes the link; the coordinator says that it ended, and the worker joins again.
            Assert.True(run.Counter("workersLost") > 0, "the damaged message did not end its link");
            outcome.ExpectError("worker 1 is lost");
        }
    }

    private async Task CutAsync(Job job, bool swallows, TimeSpan length)
    {
        await using Split split = await Split.StartAsync(job);
        RunningCluster cluster = split.Cluster;
        await cluster.StepsAsync(10);
        NetworkCondition cut = split.Network.Begin(new NetworkCondition(Split.Behind, []) { IsCut = true, Swallows = swallows });
        await Task.Delay(length, TestContext.Current.CancellationToken);
        split.Network.End(cut);
        (FinishedRun run, Outcome outcome) = await cluster.FinishAsync();
        output.WriteLine(outcome.Error);
        Assert.Equal((await job.UndisturbedAsync()).Answer, run.Answer);
        Assert.Equal((await job.UndisturbedAsync()).Metrics(), run.Metrics());
        Assert.True(split.ToCoordinator.HeldBytes > 0 && split.ToServer.HeldBytes > 0, "nothing was on its way when the network was cut");
        Assert.True(run.Counter("speculativeShards") > 0, "nobody took over what the worker held when it became suspect");
        if (length >= s_longerThanALease)
        {
            Assert.True(run.Counter("evictions") > 0, "the worker behind the cut kept its lease");
            Assert.True(run.Counter("workersJoined") >= 2, "the worker was not let in again after the cut");
        }
    }

    /// <summary>A cluster of two workers and a server in which one worker reaches the others through the test.</summary>
    private sealed class Split(RunningCluster cluster) : IAsyncDisposable
    {
        private const int Number = 1; // the second worker's

        /// <summary>The worker behind the proxies.</summary>
        public static NodeName Behind => NodeName.Worker(Number);

        public RunningCluster Cluster => cluster;

        public FaultyNetwork Network { get; } = new(seed: 1);

        public RunningProgram Worker { get; private set; } = null!;

        public FaultyProxy ToCoordinator { get; private set; } = null!;

        public FaultyProxy ToServer { get; private set; } = null!;

        public static async Task<Split> StartAsync(Job job)
        {
            Assert.SkipUnless(OperatingSystem.IsLinux(), "needs more than one loopback address");
            var split = new Split(await RunningCluster.StartWithoutNodesAsync(job, servers: 1));
            try
            {
                // The same port at another address of this machine: what the server advertises and does not listen on.
                var server = new IPEndPoint(IPAddress.Loopback, FreePort());
                split.ToServer = new FaultyProxy(
                    split.Network,
                    new IPEndPoint(IPAddress.Parse("127.0.0.2"), server.Port),
                    server,
                    NodeName.Server(0),
                    caller => caller == new ProxyCaller(PeerRole.Worker, Number) ? Behind : null);
                split.ToCoordinator = new FaultyProxy(
                    split.Network, new IPEndPoint(IPAddress.Loopback, 0), IPEndPoint.Parse(split.Cluster.Address), NodeName.Coordinator, _ => Behind);
                await split.Cluster.AddServerAsync("--listen", server.ToString(), "--advertise", "127.0.0.2");
                await RunningCluster.JoinedAsync(await split.Cluster.AddWorkerAsync());
                split.Worker = await split.Cluster.AddWorkerAsync("--join", split.ToCoordinator.Address);
                Assert.True(
                    await split.Worker.SaysAsync(line => line.Contains($"as worker {Number}", StringComparison.Ordinal)),
                    $"the second worker did not become worker {Number}");
                return split;
            }
            catch
            {
                await split.DisposeAsync();
                throw;
            }

        }

        public async ValueTask DisposeAsync()
        {
            Network.EndAll();
            await cluster.DisposeAsync();
            foreach (FaultyProxy? proxy in new[] { ToCoordinator, ToServer })
            {
                if (proxy is not null)
                {
                    await proxy.DisposeAsync();
                }
            }
        }

        private static int FreePort()
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            return ((IPEndPoint)listener.LocalEndpoint).Port;
        }
    }
}
