// Real nodes in processes of their own: one answer, whoever coordinates and whatever dies. The figures that are printed are
// kept in Results/.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Akka;

public sealed class FailoverTests(ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);
    private readonly Dictionary<string, string> _environment = new() { ["CLUSTERRNN_TOKEN"] = Guid.NewGuid().ToString("N") };

    [Fact]
    public async Task Another_node_takes_over_when_the_coordinators_dies_and_a_node_comes_back()
    {
        await using Nodes nodes = await StartAsync();
        await nodes.StepsAsync(20);
        long killed = Stopwatch.GetTimestamp();
        nodes[0].Kill();
        await nodes.DecideAsync();
        TimeSpan detected = Stopwatch.GetElapsedTime(killed);
        await nodes.StepsAsync(1);
        TimeSpan recovered = Stopwatch.GetElapsedTime(killed);
        await nodes.StartAsync(0);
        Assert.True(await nodes[0].SaysAsync(line => line.Contains("in its cluster", StringComparison.Ordinal)), "the node did not come back");
        Assert.True(await nodes.AnySaysAsync("no node of the cluster has it"), "the server that died with the coordinator was waited for until its lease was over");
        FinishedRun run = await nodes.FinishAsync(1, 2, 0);
        Assert.Equal((await Job.ClusteredForLong.UndisturbedAsync()).Answer, run.Answer);
        output.WriteLine($"failover: detected after {detected.TotalSeconds:0.0} s, next step after {recovered.TotalSeconds:0.0} s");
    }

    [Fact]
    public async Task A_node_that_stands_still_is_taken_out_and_the_others_go_on()
    {
        Signals.SkipWithoutThem();
        await using Nodes nodes = await StartAsync();
        await nodes.StepsAsync(20);
        long stopped = Stopwatch.GetTimestamp();
        nodes[0].Signal(Signals.Stop);
        await nodes.DecideAsync();
        TimeSpan detected = Stopwatch.GetElapsedTime(stopped);
        await nodes.StepsAsync(5);
        output.WriteLine($"stopped node: taken out after {detected.TotalSeconds:0.0} s, five steps later after {Stopwatch.GetElapsedTime(stopped).TotalSeconds:0.0} s");
        nodes[0].Signal(Signals.Continue);
        Outcome outcome = await nodes[0].WaitAsync();
        Assert.NotEqual(0, outcome.ExitCode); // it coordinated, and must not go on
        FinishedRun run = await nodes.FinishAsync(1, 2);
        Assert.Equal((await Job.ClusteredForLong.UndisturbedAsync()).Answer, run.Answer);
    }

    private async Task<Nodes> StartAsync()
    {
        var nodes = new Nodes(Job.ClusteredForLong, _environment);
        for (int i = 0; i < 3; i++)
        {
            await nodes.StartAsync(i);
            Assert.True(await nodes[i].SaysAsync(line => line.Contains("in its cluster", StringComparison.Ordinal)), "a node did not join");
        }

        return nodes;
    }

    /// <summary>Three equal nodes, each a worker, a server and a possible coordinator.</summary>
    private sealed class Nodes(Job job, Dictionary<string, string> environment) : IAsyncDisposable
    {
        private readonly string _folder = TemporaryFolders.NewRun("akka");
        private readonly string[] _addresses = [.. FreePorts(3).Select(port => $"127.0.0.1:{port}")];
        private readonly RunningProgram[] _running = new RunningProgram[3];
        private readonly List<RunningProgram> _all = [];

        public RunningProgram this[int node] => _running[node];

        public async Task StartAsync(int node)
        {
            _running[node] = await ProgramUnderTest.StartAsync(
                job.CoordinatorArguments(
                    _folder, "--engine", "akka", "--roles", "coordinator,worker,server", "--workers", "3", "--servers", "3", "--replicas", "2", "--listen", _addresses[node],
                    "--seed-nodes", string.Join(',', _addresses)),
                environment,
                belongsToAnother: true);
            _all.Add(_running[node]);
        }

        /// <summary>Waits until one of the others says that the first node is taken out.</summary>
        public async Task DecideAsync() => Assert.True(await AnySaysAsync("SBR took decision"), "nobody decided");

        /// <summary>Waits until one of the others says something.</summary>
        public async Task<bool> AnySaysAsync(string text)
        {
            Task<bool>[] said = [.. _running.Skip(1).Select(node => node.SaysAsync(line => line.Contains(text, StringComparison.Ordinal)))];
            return await await Task.WhenAny(said).WaitAsync(s_patience, TestContext.Current.CancellationToken);
        }

        /// <summary>Waits until so many more steps are in the journals.</summary>
        public async Task StepsAsync(int steps)
        {
            const int BytesOfAStep = 150;
            long enough = JournalBytes() + ((long)steps * BytesOfAStep);
            for (long until = Environment.TickCount64 + (long)s_patience.TotalMilliseconds; JournalBytes() < enough; await Task.Delay(10, TestContext.Current.CancellationToken))
            {
                Assert.True(Environment.TickCount64 < until, string.Create(CultureInfo.InvariantCulture, $"no {steps} steps within {s_patience.TotalSeconds} s"));
            }
        }

        /// <summary>Waits until these nodes have ended, all of them with 0, one of them with the run.</summary>
        public async Task<FinishedRun> FinishAsync(params int[] nodes)
        {
            long started = Stopwatch.GetTimestamp();
            foreach (int node in nodes)
            {
                (await _running[node].WaitAsync()).Expect(0);
            }

            return new FinishedRun(_folder, Stopwatch.GetElapsedTime(started));
        }

        public async ValueTask DisposeAsync()
        {
            foreach (RunningProgram program in _all)
            {
                await program.DisposeAsync();
            }
        }

        private long JournalBytes()
        {
            string journals = Path.Combine(_folder, "journal");
            return Directory.Exists(journals) ? Directory.EnumerateFiles(journals).Sum(file => new FileInfo(file).Length) : 0;
        }

        private static int[] FreePorts(int count)
        {
            TcpListener[] listeners = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
            foreach (TcpListener listener in listeners)
            {
                listener.Start();
            }

            int[] ports = [.. listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
            foreach (TcpListener listener in listeners)
            {
                listener.Stop();
            }

            return ports;
        }
    }
}
