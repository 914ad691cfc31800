// A worker in a process of its own: joins, gets the job, computes, until the job ends.
//
//     actor's thread    Worker decides; messages and effects are performed here, in order
//     compute thread    forward and backward
//     links' threads    take in blocks: parameters into the store, states and rows into the pool
using ClusterRnn.Data;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Models;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>How a worker is run.</summary>
public sealed record WorkerNodeOptions
{
    /// <summary>The coordinator's control address.</summary>
    public required HostPort Join { get; init; }

    /// <summary>Where the data lies; null takes the config's own path, and asks the coordinator for rows if nothing is there.</summary>
    public string? DataPath { get; init; }

    /// <summary>What the worker's buffers may take in bytes; 0 means what the config says.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>On how many threads the worker computes; 0 means as many as the config says.</summary>
    public int Threads { get; init; }

    /// <summary>A file that is touched while the coordinator is heard of; null for none.</summary>
    public string? AliveFile { get; init; }

    /// <summary>How long a coordinator is waited for.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long each computation is made to last longer, for experiments with slow workers.</summary>
    public TimeSpan Delay { get; init; }
}

/// <summary>Hosts a worker.</summary>
public sealed class WorkerNode : IActorHost, IBulkNode, IDisposable
{
    private const long PoolBytes = 1L << 34; // what is expected decides what is taken; this is the last line
    private static readonly TimeSpan s_rowsTimeout = TimeSpan.FromSeconds(60);

    private readonly NodeControl _connection;
    private readonly Action<string> _log;
    private readonly JobDescription _description;
    private readonly TrainingJob _job;
    private readonly RangeMap _cut; // where ranges and segments lie; it never changes
    private readonly BlockPool _pool;
    private readonly BulkPeers _peers;
    private readonly ParameterStore _parameters;
    private readonly AnswerPool _answers;
    private readonly ComputeThread _compute;
    private readonly IActorShell _shell;
    private readonly RowRequests? _rows;
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int _threads;
    private long _epoch = -1;

    private WorkerNode(NodeControl connection, WorkerNodeOptions options, NodeSecurity security, TransportOptions transport, Action<string> log)
    {
        _connection = connection;
        _log = log;
        JobOffer offer = connection.Offer;
        _description = JobDescription.FromBytes(offer.Job);
        _pool = new BlockPool(PoolBytes);
        var intake = new BulkIntake(this, _pool, () => log("a block was damaged on its way and is asked for again"));
        _peers = new BulkPeers(() => new NodeIdentity(PeerRole.Worker, connection.Number), security, transport, intake, log);
        _peers.Learn(ActorId.Coordinator, offer.Bulk);
        (_job, _rows) = OpenJob(options);
        _cut = ProtocolJob.MapOf(_job, offer.Servers, offer.LeastSegmentBlocks);
        _parameters = new ParameterStore(_job.Layout.Length);
        _answers = new AnswerPool(_job);
        var actor = new Worker(connection.Actor, ActorId.Coordinator, ProtocolJob.ShapeOf(_job, _description.JobId), offer.Times);
        _shell = connection.Host(actor, this);
        ClusterConfig cluster = _description.ReadConfig().Cluster;
        long limit = options.MemoryBytes > 0 ? options.MemoryBytes : cluster.WorkerMemoryBytes;
        _threads = WorkerComputer.UsefulThreads(_job, options.Threads > 0 ? options.Threads : cluster.Threads);
        var memory = WorkerMemory.Of(_job, workers: 2, servers: 2, limit, _threads); // it has copies of gradients and parameters however many there are
        memory.ThrowIfTooSmall();
        _compute = new ComputeThread(
            _job,
            _parameters,
            ProtocolJob.SegmentsByLayer(_job.Layout, _cut),
            _threads,
            memory.ComputerLimitBytes,
            options.Delay,
            _shell.Post,
            error => Failed(actor.Id, error));
    }

    /// <summary>Runs a worker until the job ends, or until it has left because <paramref name="drain"/> was cancelled.</summary>
    /// <param name="options">How.</param>
    /// <param name="security">Its certificate and token.</param>
    /// <param name="log">Is told what a person should know.</param>
    /// <param name="drain">Asks it to finish what it has and leave.</param>
    /// <returns>Why it ended.</returns>
    /// <exception cref="TransportException">There is no coordinator, or it refused the worker.</exception>
    /// <exception cref="TrainingException">It could not go on.</exception>
    public static async Task<string> RunAsync(WorkerNodeOptions options, NodeSecurity security, Action<string> log, CancellationToken drain)
    {
        ArgumentNullException.ThrowIfNull(options);
        var transport = new TransportOptions();
        using var connection = new CoordinatorConnection(options.Join, PeerRole.Worker, security, transport, options.AliveFile, log);
        await connection.OpenAsync("", options.JoinTimeout, drain).ConfigureAwait(false);
        return await RunAsync(connection, options, security, transport, log, drain).ConfigureAwait(false);
    }

    /// <summary>Runs a worker that has joined a coordinator.</summary>
    internal static async Task<string> RunAsync(
        NodeControl connection, WorkerNodeOptions options, NodeSecurity security, TransportOptions transport, Action<string> log, CancellationToken drain)
    {
        using var node = new WorkerNode(connection, options, security, transport, log);
        return await node.RunAsync(drain).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _shell.Dispose();
        _compute.Dispose();
        _peers.Dispose();
        _answers.Dispose();
        _parameters.Dispose();
        _pool.Dispose();
    }

    /// <inheritdoc/>
    void IActorHost.Send(ActorId from, ActorId to, Message message)
    {
        if (to.Role == ActorRole.Coordinator)
        {
            _connection.Send(from, to, message);
        }
        else
        {
            _peers.Send(from, to, message, 0, 0);
        }
    }

    /// <inheritdoc/>
    unsafe void IActorHost.Perform(ActorId actor, NodeEffect effect)
    {
        switch (effect)
        {
            case ComputeShards compute:
                _compute.Give(compute, compute.Kind == WorkKind.Train ? _answers.Rent(compute.Assignment, _compute.SubtreesOf(compute.Range)) : null);
                break;
            case SendPiece send:
                SendPiece(actor, send);
                break;
            case SendStatePiece send:
                if (_answers.Find(send.Assignment) is { } answer)
                {
                    answer.Use();
                    var message = new StatePiece(send.Epoch, send.Step, send.Fence, send.Shard, send.Assignment, 0);
                    _peers.Send(actor, send.To, message, send.Epoch, send.Step, answer.States + _job.StateOffset(send.Shard), _job.StateFloats(send.Shard), answer.Done);
                }

                break;
            case HoldStates hold:
                _compute.HoldStates(hold.Version, hold.Shards, _pool[hold.Payload]);
                break;
            case ReleaseAnswer release:
                _answers.Find(release.Assignment)?.Done();
                break;
            case ReleasePayload release:
                _pool.Return(release.Payload);
                break;
            case Notice notice:
                _log(notice.Text);
                break;
            case EndActor end:
                if (end.Failed)
                {
                    _ended.TrySetException(new TrainingException($"{actor}: {end.Reason}"));
                }
                else
                {
                    _ended.TrySetResult(end.Reason);
                }

                break;
        }
    }

    /// <inheritdoc/>
    void IActorHost.Failed(ActorId actor, Exception failure) => Failed(actor, failure);

    /// <inheritdoc/>
    long IBulkNode.ExpectedFloats(Message message) => message switch
    {
        ParametersArrived arrived when arrived.Range < _cut.Ranges.Length => FloatsOf(arrived.Range),
        StateArrived state => state.Shards.Sum(shard => shard < _job.Shards ? _job.StateFloats(shard) : -1),
        RowsArrived rows when SourceOf(rows.Part) is { } source => RowRequests.ExpectedFloats(rows, source),
        _ => -1,
    };

    /// <inheritdoc/>
    unsafe void IBulkNode.Arrived(BulkLink link, ActorId from, ActorId to, Message message)
    {
        switch (message)
        {
            case ParametersBlock block:
                // Into the store before the actor hears of it; a second answer changes nothing there, one of an older epoch may be of another course.
                if (block.Arrived.Epoch == Interlocked.Read(ref _epoch))
                {
                    _parameters.Add(
                        block.Arrived.Version, block.Arrived.Range, FirstFloatOf(block.Arrived.Range), _pool[block.Payload], FloatsOf(block.Arrived.Range));
                }

                _pool.Return(block.Payload);
                _shell.Post(from, block.Arrived);
                break;
            case RowsArrived rows:
                if (_rows is null)
                {
                    _pool.Return(rows.Payload);
                }
                else
                {
                    _rows.Take(rows);
                }

                break;
            case RowsRefused refused:
                _rows?.Take(refused);
                break;
            case StateArrived or ParametersArrived or ReadRefused:
                _shell.Post(from, message);
                break;
        }
    }

    /// <inheritdoc/>
    void IBulkNode.Changed(BulkLink link, string? closedBecause)
    {
        if (closedBecause is null)
        {
            _peers.Opened(link.Peer, link);
        }
        else
        {
            _peers.Closed(link.Peer, link);
        }
    }

    private async Task<string> RunAsync(CancellationToken drain)
    {
        if (!_compute.WaitUntilReady(TimeSpan.FromMinutes(5)))
        {
            if (_ended.Task.IsFaulted)
            {
                return await _ended.Task.ConfigureAwait(false);
            }

            throw new TrainingException("The model's buffers were not reserved within five minutes.");
        }

        _connection.Begin(
            Received,
            reason => _shell.Post(ActorId.Coordinator, new ActorDown(ActorId.Coordinator, reason)),
            offer => _peers.Learn(ActorId.Coordinator, offer.Bulk));
        _log($"joined {_description.JobId} as {_connection.Actor}, computing on {_threads} thread{(_threads == 1 ? "" : "s")}");
        _shell.Start();
        using (drain.UnsafeRegister(static node => ((WorkerNode)node!)._shell.Post(new Drain()), this))
        {
            string reason = await _ended.Task.ConfigureAwait(false);
            if (_compute.EarlySegments is > 0 and var early)
            {
                _log($"{early} parts of gradients travelled while the rest was computed");
            }

            if (_connection.Heartbeats.Summary() is { } times)
            {
                _log(times);
            }

            return reason;
        }
    }

    private void Received(Envelope envelope)
    {
        switch (envelope.Message)
        {
            case AddressBook book:
                _peers.Learn(book);
                break;
            case Welcome welcome:
                if (Interlocked.Exchange(ref _epoch, welcome.Epoch) != welcome.Epoch)
                {
                    _parameters.Forget();
                }

                _shell.Post(envelope.From, welcome);
                break;
            default:
                _shell.Post(envelope.From, envelope.Message);
                break;
        }
    }

    private unsafe void SendPiece(ActorId actor, SendPiece send)
    {
        if (_answers.Find(send.Key.Assignment) is not { } answer || answer.GradientOf(send.Key.Subtree) is var gradient && gradient is null)
        {
            return;
        }

        Segment segment = _cut.Segments[send.Key.Segment];
        var blocks = new BlockRange(segment.FirstBlock, segment.BlockCount);
        bool isFrozen = ProtocolJob.IsFrozen(_job, segment);
        answer.Use();
        _peers.Send(
            actor, send.To, new Piece(send.Key, 0), send.Key.Epoch, send.Key.Step, isFrozen ? null : gradient + blocks.FirstFloat, isFrozen ? 0 : blocks.Floats, answer.Done);
    }

    private (TrainingJob Job, RowRequests? Rows) OpenJob(WorkerNodeOptions options)
    {
        string? own = options.DataPath ?? _description.ReadConfig().Data.Path;
        if (options.DataPath is not null || own is null || DataIsHere(own))
        {
            return (_description.Open(options.DataPath, Environment.CurrentDirectory), null);
        }

        _log($"{own} is not here: the coordinator sends the rows");
        ActorId self = _connection.Actor;
        var rows = new RowRequests(question => _peers.Send(self, ActorId.Coordinator, question, 0, 0), _pool, s_rowsTimeout);
        return (_description.Build((part, source) => new RemoteSource(part, source, rows)), rows);
    }

    private static bool DataIsHere(string path)
    {
        try
        {
            FileSearch.Find(path, Environment.CurrentDirectory);
            return true;
        }
        catch (DataException)
        {
            return false;
        }
    }

    private SourceDescription? SourceOf(int part) => (DataPart)part switch
    {
        DataPart.Train => _description.Train,
        DataPart.Validation => _description.Validation,
        DataPart.Test => _description.Test,
        _ => null,
    };

    private long FirstFloatOf(int range) => (long)_cut.Ranges[range].FirstBlock * ParameterLayout.BlockSize;

    private long FloatsOf(int range) => (long)_cut.Ranges[range].BlockCount * ParameterLayout.BlockSize;

    private void Failed(ActorId actor, Exception failure)
        => _ended.TrySetException(failure is TrainingException ? failure : new TrainingException($"{actor} failed: {failure.Message}", failure));
}
