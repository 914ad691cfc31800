// A coordinator's host, between its state machine and everybody else: who is told of the end depends on whether it still has the job.
using System.Collections.Concurrent;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class CoordinatorNodeTests : IDisposable
{
    private const string Config = """
        data: { source: seasonal, rows: 60, window: 4, validation: 0.1, test: 0.2, season: 4 }
        model: { layers: [{ type: dense, units: 1 }] }
        batch: { size: 8 }
        stop: { steps: 1 }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-coordinator-").FullName;
    private readonly Plane _plane = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task TheEndOfAJobIsToldToThoseWhoAreThere()
    {
        Task<EngineResult> run = await StartAsync();
        _plane.Shell!.Post(new StopRequested("interrupted"));
        Assert.Equal("interrupted", (await run.Within()).Reason);
        Assert.Equal(ActorId.Server(0), Assert.Single(_plane.Sent, sent => sent.Message is Shutdown).To);
    }

    [Fact]
    public async Task WhoHasBeenOvertakenTellsNobodyThatTheJobHasEnded()
    {
        Task<EngineResult> run = await StartAsync();
        using var other = new JournalFiles(JournalFiles.FolderOf(_folder));
        other.Claim(2);
        _plane.Shell!.Post(new StopRequested("interrupted"));
        TrainingException error = await Assert.ThrowsAsync<TrainingException>(() => run.Within());
        Assert.Contains("another coordinator has taken over", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(_plane.Sent, sent => sent.Message is Shutdown);
    }

    [Fact]
    public async Task WhoHearsThatItWasOvertakenTellsNobodyEither()
    {
        Task<EngineResult> run = await StartAsync();
        _plane.Shell!.Post(ActorId.Server(0), new Heartbeat(2, -1, 0));
        TrainingException error = await Assert.ThrowsAsync<TrainingException>(() => run.Within());
        Assert.Contains("server 0 follows epoch 2", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(_plane.Sent, sent => sent.Message is Shutdown);
    }

    [Fact]
    public void AJournalOfAnotherNumberOfServersIsRefusedBeforeItsEpochIsClaimed()
    {
        using var journal = new JournalFiles(JournalFiles.FolderOf(_folder));
        journal.Claim(1);
        journal.Append(new EpochRecord(1, -1, 0), flush: true);
        journal.Append(new MapRecord(1, ProtocolJob.MapOf(Job().Job, 2)), flush: true);
        Assert.Equal(0, JournalFiles.FirstStep(Request(servers: 2)));
        TrainingException error = Assert.Throws<TrainingException>(() => JournalFiles.FirstStep(Request(servers: 1)));
        Assert.Contains("(--servers 2)", error.Message, StringComparison.Ordinal);
        Assert.Single(Directory.GetFiles(JournalFiles.FolderOf(_folder)));
    }

    private static ResolvedJob Job() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(Config, "coordinator").Value, ".");

    private EngineRequest Request(int servers)
    {
        ResolvedJob job = Job();
        return new EngineRequest { Job = job, Servers = servers, Checkpoints = new CheckpointStore(Path.Combine(_folder, "checkpoints"), job.Job.Settings.Checkpoint) };
    }

    /// <summary>A coordinator that waits for the second of two servers.</summary>
    private async Task<Task<EngineResult>> StartAsync()
    {
        EngineRequest request = Request(servers: 2);
        ResolvedJob job = request.Job;
        var options = new TcpEngineOptions { Security = NodeSecurity.OfToken("a-token-for-this-test") };
        Task<EngineResult> run = CoordinatorNode.RunAsync(request, options, _plane, (_, _) => null, TestContext.Current.CancellationToken);
        await Task.WhenAny(run, _plane.Opened).Within();
        _plane.Shell!.Post(ActorId.Server(0), new ServerHello(Limits.ProtocolVersion, JobDescription.Of(job).JobId));
        await Task.WhenAny(run, _plane.Answered).Within();
        return run;
    }

    /// <summary>Nobody is connected; what is sent is kept.</summary>
    private sealed class Plane : IControlPlane, ICoordinatorControl
    {
        private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public string EngineName => "test";

        public IActorShell? Shell { get; private set; }

        public Task Opened => _opened.Task;

        public Task Answered => _answered.Task;

        public ConcurrentQueue<(ActorId To, Message Message)> Sent { get; } = [];

        public IActorShell Host(IActor actor, IActorHost host) => Shell = new ActorShell(actor, host);

        public ICoordinatorControl Coordinate(ControlTerms terms) => this;

        public Task<HostPort> OpenAsync(byte[] offer)
        {
            _opened.TrySetResult();
            return Task.FromResult(new HostPort("127.0.0.1", 1));
        }

        public int Count(ActorRole role) => 0;

        public string? BulkAddressOf(ActorId server) => null;

        public void Send(ActorId from, ActorId to, Message message)
        {
            Sent.Enqueue((to, message));
            _answered.TrySetResult();
        }

        public void Close(string reason)
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
