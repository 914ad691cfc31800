// The engine for clusters that outgrow one coordinator process. Every node that may coordinate waits for its turn: one has it,
// and when that one dies the next goes on from the journal and the checkpoints, which lie on storage that all of them see.
using ClusterRnn.Engines.Akka.Messages;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Runs;
using global::Akka.Actor;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>Runs jobs on an Akka cluster.</summary>
internal sealed class AkkaEngine(AkkaEngineOptions options) : IEngine, IAsyncDisposable
{
    private readonly CancellationTokenSource _draining = new();
    private AkkaNode? _node;
    private Task<string> _own = Task.FromResult("");
    private Action<string> _log = _ => { };

    /// <inheritdoc/>
    public string Name => AkkaBuild.EngineName;

    /// <inheritdoc/>
    public string Description => AkkaBuild.Description;

    /// <inheritdoc/>
    public long FirstStep(EngineRequest request) => JournalFiles.FirstStep(request);

    /// <inheritdoc/>
    public bool MayBeTakenOver => true;

    /// <inheritdoc/>
    public async Task<string?> WaitForTurnAsync(Action<string> log, CancellationToken cancellation)
    {
        _log = log;
        AkkaNode node = _node ??= await AkkaNode.StartAsync(options, text => _log(text), cancellation).ConfigureAwait(false);
        log($"this node is {HoconText.AddressOf(node.Address)} in its cluster ({string.Join(", ", HoconText.RolesOf(options.Roles))})");
        if (options.Nodes is null)
        {
            // A node that does several things begins with all of them; where this process starts the others it knows how many later.
            _own = OwnAsync(node, options.Roles.HasFlag(AkkaRoles.Server) ? options.OwnServers : 0, options.Roles.HasFlag(AkkaRoles.Worker));
        }

        Task first = await Task.WhenAny(node.Seated, node.JobEnded, node.Removed, Task.Delay(TimeSpan.FromSeconds(2), cancellation)).ConfigureAwait(false);
        if (first != node.Seated && first != node.JobEnded && first != node.Removed && !cancellation.IsCancellationRequested)
        {
            log("another node coordinates; this one takes over if that one dies");
            await Task.WhenAny(node.Seated, node.JobEnded, node.Removed, Task.Delay(Timeout.Infinite, cancellation)).ConfigureAwait(false);
        }

        cancellation.ThrowIfCancellationRequested();
        if (node.JobEnded.IsCompleted)
        {
            JobEnded ended = await node.JobEnded.ConfigureAwait(false);
            await EndAsync(drain: false).ConfigureAwait(false);
            return ended.Failed ? throw new TrainingException($"the job has failed under another coordinator: {ended.Reason}") : ended.Reason;
        }

        if (node.Removed.IsCompleted)
        {
            throw new TransportException(await node.Removed.ConfigureAwait(false));
        }

        return null;
    }

    /// <inheritdoc/>
    public async Task<EngineResult> RunAsync(EngineRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (_node is null && await WaitForTurnAsync(_log, cancellation).ConfigureAwait(false) is { } elsewhere)
        {
            throw new TrainingException($"the job has ended under another coordinator: {elsewhere}");
        }

        AkkaNode node = _node!;
        IActorRef seat = await node.Seated.ConfigureAwait(false);
        var terms = new TcpEngineOptions
        {
            ListenBulk = options.ListenBulk,
            Advertise = options.Advertise is { } host ? new HostPort(host, 0) : null,
            Security = options.Security,
            LeastSegmentBlocks = options.LeastSegmentBlocks,
            Times = options.Times,
            Transport = options.Transport,
            AliveFile = options.AliveFile,
        };
        JobEnded? ended = null; // while it has not, another node may go on with it
        Action<string> log = _log;
        try
        {
            EngineResult result = await CoordinatorNode.RunAsync(
                request, terms, new Plane(node, seat), (address, coordinator) => Listening(request, node, address, coordinator), cancellation).ConfigureAwait(false);
            ended = new JobEnded(Failed: false, result.Reason);
            return result;
        }
        catch (JobFailedException failure)
        {
            ended = new JobEnded(Failed: true, failure.Message);
            throw;
        }
        finally
        {
            _log = log; // the coordinator's observers have heard all
            if (ended is not null && !node.Removed.IsCompleted)
            {
                await node.TellEndAsync(ended).ConfigureAwait(false);
            }

            await EndAsync(drain: true).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await EndAsync(drain: true).ConfigureAwait(false);
        _draining.Dispose();
    }

    private ProcessSupervisor? Listening(EngineRequest request, AkkaNode node, HostPort address, CoordinatorNode coordinator)
    {
        _log = coordinator.Note;
        node.Removed.ContinueWith(
            removed => coordinator.Fail(new TrainingException(removed.Result)), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        if (options.Nodes is not { } nodes)
        {
            return null;
        }

        // A cluster on this machine has a node for each worker. This one holds the parameters as well.
        _own = OwnAsync(node, request.Servers, worksItself: true);
        _own.ContinueWith(
            own => coordinator.Fail(own.Exception!.GetBaseException()), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return new ProcessSupervisor(nodes, address, request.Workers - 1, servers: 0, coordinator.Note, coordinator.Fail);
    }

    private Task<string> OwnAsync(AkkaNode node, int servers, bool worksItself)
        => AkkaNodes.ServeAsync(node, options, servers, worksItself ? new WorkerNodeOptions { Join = node.Address } : null, _ => { }, text => _log(text), _draining.Token);

    private async Task EndAsync(bool drain)
    {
        if (Interlocked.Exchange(ref _node, null) is not { } node)
        {
            return;
        }

        try
        {
            if (drain)
            {
                // They were told that the job has ended; whoever was not, leaves now.
                await Task.WhenAny(_own, Task.Delay(TimeSpan.FromSeconds(5))).ConfigureAwait(false);
                await _draining.CancelAsync().ConfigureAwait(false);
            }

            await Task.WhenAny(_own, Task.Delay(TimeSpan.FromSeconds(10))).ConfigureAwait(false);
        }
        finally
        {
            await node.DisposeAsync().ConfigureAwait(false);
        }
    }

    private sealed class Plane(AkkaNode node, IActorRef seat) : IControlPlane
    {
        public string EngineName => AkkaBuild.EngineName;

        public IActorShell Host(IActor actor, IActorHost host) => new AkkaShell(node.System, actor, host);

        public ICoordinatorControl Coordinate(ControlTerms terms) => new SeatSession(seat, node.Address, terms);
    }
}
