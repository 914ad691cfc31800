// A parameter server in a process of its own.
//
//     actor's thread   ParameterServer decides; messages and effects are performed here, in order
//     work thread      reduces, stores, applies, copies: in the order in which the actor asked for it
//     links' threads   take in pieces
//
// Parameters are sent from a copy that is made once a version, so a slow reader never sees them change.
using System.Collections.Concurrent;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Models;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>How a parameter server is run.</summary>
public sealed record ServerNodeOptions
{
    /// <summary>The coordinator's control address.</summary>
    public required HostPort Join { get; init; }

    /// <summary>Where the server takes blocks.</summary>
    public HostPort Listen { get; init; } = new("127.0.0.1", 0);

    /// <summary>Where the others reach that; null takes the address listened on.</summary>
    public HostPort? Advertise { get; init; }

    /// <summary>A file that is touched while the coordinator is heard of; null for none.</summary>
    public string? AliveFile { get; init; }

    /// <summary>How long a coordinator is waited for.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(60);
}

/// <summary>Hosts a parameter server.</summary>
public sealed class ServerNode : IActorHost, IBulkNode, IPayloads, IDisposable
{
    private const long PoolBytes = 1L << 34; // what is expected decides what is taken; this is the last line

    private readonly NodeControl _connection;
    private readonly Action<string> _log;
    private readonly string _jobId;
    private readonly TrainingJob _job;
    private readonly RangeMap _cut; // where ranges and segments lie; it never changes
    private readonly int _sections;
    private readonly BlockPool _pool;
    private readonly BulkIntake _intake;
    private readonly BulkPeers _peers;
    private readonly IActorShell _shell;
    private readonly BlockingCollection<NodeEffect> _work = [];
    private readonly Thread _thread;
    private readonly SortedList<int, Held> _ranges = []; // of the work thread
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _epoch;

    private ServerNode(NodeControl connection, NodeSecurity security, TransportOptions transport, Action<string> log)
    {
        _connection = connection;
        _log = log;
        JobOffer offer = connection.Offer;
        JobDescription description = JobDescription.FromBytes(offer.Job);
        _jobId = description.JobId;
        _job = description.Build((part, source) => new RemoteSource(part, source, null));
        _cut = ProtocolJob.MapOf(_job, offer.Servers, offer.LeastSegmentBlocks);
        _sections = ParameterRange.SectionNamesOf(_job.Settings).Count;
        _pool = new BlockPool(PoolBytes);
        _intake = new BulkIntake(this, _pool, () => log("a block was damaged on its way and is asked for again"));
        _peers = new BulkPeers(() => new NodeIdentity(PeerRole.Server, connection.Number), security, transport, _intake, log);
        _peers.Learn(ActorId.Coordinator, offer.Bulk);
        var actor = new ParameterServer(connection.Actor, ActorId.Coordinator, ProtocolJob.ShapeOf(_job, description.JobId), offer.Times, version: -1);
        _shell = connection.Host(actor, this);
        _thread = new Thread(Work) { IsBackground = true, Name = "ranges" };
    }

    /// <summary>Runs a server until the job ends, or until its ranges were handed over because <paramref name="drain"/> was cancelled.</summary>
    /// <param name="options">How.</param>
    /// <param name="security">Its certificate and token.</param>
    /// <param name="log">Is told what a person should know.</param>
    /// <param name="drain">Asks it to hand its ranges over and leave.</param>
    /// <returns>Why it ended.</returns>
    /// <exception cref="TransportException">There is no coordinator, or it refused the server.</exception>
    /// <exception cref="TrainingException">It could not go on.</exception>
    public static async Task<string> RunAsync(ServerNodeOptions options, NodeSecurity security, Action<string> log, CancellationToken drain)
    {
        ArgumentNullException.ThrowIfNull(options);
        var transport = new TransportOptions();
        using var connection = new CoordinatorConnection(options.Join, PeerRole.Server, security, transport, options.AliveFile, log);
        return await RunAsync(
            connection, address => connection.OpenAsync(address, options.JoinTimeout, drain), options, security, transport, log, drain).ConfigureAwait(false);
    }

    /// <summary>Runs a server: it listens, joins by <paramref name="join"/>, which is told where it takes blocks, and serves.</summary>
    internal static async Task<string> RunAsync(
        NodeControl connection, Func<string, Task> join, ServerNodeOptions options, NodeSecurity security, TransportOptions transport, Action<string> log, CancellationToken drain)
    {
        ServerNode? node = null;
        BulkListener listener = await BulkListener.StartAsync(
            options.Listen, PeerRole.Server, security, transport, Admit, log, drain).ConfigureAwait(false);
        await using (listener.ConfigureAwait(false))
        {
            await join(AddressRules.Advertise(options.Advertise, listener.LocalEndPoint).ToString()).ConfigureAwait(false);
            using var opened = new ServerNode(connection, security, transport, log);
            Volatile.Write(ref node, opened);
            return await opened.RunAsync(drain).ConfigureAwait(false);
        }

        LinkAdmission<IBulkHandler> Admit(LinkOffer offer) => Volatile.Read(ref node) is { } ready
            ? LinkAdmission<IBulkHandler>.Accept(ready._intake, offer.Number)
            : LinkAdmission<IBulkHandler>.Refuse("this server has not joined its job yet");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _shell.Dispose();
        _work.CompleteAdding();
        if (_thread.IsAlive)
        {
            _thread.Join(TimeSpan.FromMinutes(1));
        }

        _peers.Dispose();
        foreach (Held held in _ranges.Values)
        {
            held.Memory.Dispose();
        }

        _pool.Dispose();
        _work.Dispose();
    }

    /// <inheritdoc/>
    unsafe float* IPayloads.Gradient(in HeldPiece piece, long firstFloat) => _pool[piece.Payload];

    /// <inheritdoc/>
    unsafe float* IPayloads.State(in HeldState state) => _pool[state.Payload];

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
    void IActorHost.Perform(ActorId actor, NodeEffect effect)
    {
        switch (effect)
        {
            case Notice notice:
                _log(notice.Text);
                break;
            case EndActor { Failed: true } end:
                _ended.TrySetException(new TrainingException($"{actor}: {end.Reason}"));
                break;
            case EndActor end:
                _ended.TrySetResult(end.Reason);
                break;
            default:
                _work.Add(effect); // in the order in which they were decided
                break;
        }
    }

    /// <inheritdoc/>
    void IActorHost.Failed(ActorId actor, Exception failure) => Failed(failure);

    /// <inheritdoc/>
    long IBulkNode.ExpectedFloats(Message message) => message switch
    {
        Piece piece when piece.Key.Segment < _cut.Segments.Length && ProtocolJob.IsFrozen(_job, _cut.Segments[piece.Key.Segment]) => 0,
        Piece piece when piece.Key.Segment < _cut.Segments.Length => BlocksOf(_cut.Segments[piece.Key.Segment]).Floats,
        StatePiece state when state.Shard < _job.Shards => _job.StateFloats(state.Shard),
        ReducedCopy copy when copy.Range < _cut.Ranges.Length => FloatsOf(copy.Range) + StateFloatsOf(copy.Range),
        RangeCopy copy when copy.Range < _cut.Ranges.Length => (_sections * FloatsOf(copy.Range)) + StateFloatsOf(copy.Range),
        _ => -1,
    };

    /// <inheritdoc/>
    void IBulkNode.Arrived(BulkLink link, ActorId from, ActorId to, Message message) => _shell.Post(from, message);

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

    private static BlockRange BlocksOf(Segment segment) => new(segment.FirstBlock, segment.BlockCount);

    private async Task<string> RunAsync(CancellationToken drain)
    {
        _thread.Start();
        _connection.Begin(
            Received,
            reason => _shell.Post(ActorId.Coordinator, new ActorDown(ActorId.Coordinator, reason)),
            offer => _peers.Learn(ActorId.Coordinator, offer.Bulk));
        _log($"joined {_jobId} as {_connection.Actor}");
        _shell.Start();
        using (drain.UnsafeRegister(static node => ((ServerNode)node!)._shell.Post(new Drain()), this))
        {
            string reason = await _ended.Task.ConfigureAwait(false);
            if (_connection.Heartbeats.Summary() is { } times)
            {
                _log(times);
            }

            return reason;
        }
    }

    private void Received(Envelope envelope)
    {
        if (envelope.Message is AddressBook book)
        {
            _peers.Learn(book);
            return;
        }

        if (envelope.Message is ClaimEpoch claim)
        {
            Volatile.Write(ref _epoch, Math.Max(_epoch, claim.Epoch));
        }

        _shell.Post(envelope.From, envelope.Message);
    }

    private void Work()
    {
        try
        {
            foreach (NodeEffect effect in _work.GetConsumingEnumerable())
            {
                if (Perform(effect) is { } result)
                {
                    _shell.Post(result);
                }
            }
        }
        catch (Exception error)
        {
            Failed(error);
        }
    }

    private unsafe Message? Perform(NodeEffect effect)
    {
        switch (effect)
        {
            case ReduceSegment reduce:
                return MemoryOf(reduce.Segment.Range).Reduce(reduce, this);
            case StoreStates store:
                return MemoryOf(store.Range).Store(store, this);
            case ApplyVerdict apply:
                RangeMemory memory = MemoryOf(apply.Range);
                if (apply.Payload != 0)
                {
                    memory.LoadReduced(_pool[apply.Payload]);
                }

                return memory.Apply(apply);
            case LoadRange load:
                Load(load);
                return new RangeLoaded(load.Range, load.Version);
            case DropRange drop:
                if (_ranges.Remove(drop.Range, out Held? dropped))
                {
                    Withdraw(dropped);
                    dropped.Memory.Dispose();
                }

                return null;
            case SnapshotRange snapshot:
                Push(snapshot);
                return new RangeSnapshotted(snapshot.Version, snapshot.Range);
            case SendParameters send:
                SendParameters(send);
                return null;
            case SendState send:
                SendState(send);
                return null;
            case SendReducedCopy send:
                Send(
                    send.To,
                    new ReducedCopy(send.Epoch, send.Step, send.Attempt, send.Range, send.Fence, send.Digest, 0),
                    send.Epoch,
                    send.Step,
                    MemoryOf(send.Range).ReducedFloats,
                    block => MemoryOf(send.Range).SaveReduced((float*)block));
                return null;
            case SendRangeCopy send:
                Send(
                    send.To,
                    new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0),
                    send.Epoch,
                    send.Version,
                    MemoryOf(send.Range).SnapshotFloats,
                    block => MemoryOf(send.Range).Save((float*)block));
                return null;
            case ReleasePayload release:
                _pool.Return(release.Payload);
                return null;
            default:
                throw new InvalidOperationException($"A parameter server has no such work: {effect}.");
        }
    }

    private RangeMemory MemoryOf(int range) => HeldOf(range).Memory;

    private Held HeldOf(int range) => _ranges.TryGetValue(range, out Held? held)
        ? held
        : throw new InvalidOperationException($"Range {range} is not held here.");

    private unsafe void Load(LoadRange load)
    {
        if (!_ranges.TryGetValue(load.Range, out Held? held))
        {
            held = new Held(new RangeMemory(_job, _cut, load.Range, load.Version));
            _ranges.Add(load.Range, held);
        }

        Withdraw(held);
        if (held.Memory.SnapshotFloats > 0)
        {
            held.Memory.Load(_pool[load.Payload], load.Version);
        }
    }

    private unsafe void Push(SnapshotRange snapshot) => Send(
        ActorId.Coordinator,
        new RangePushed(Volatile.Read(ref _epoch), snapshot.Version, snapshot.Range, 0),
        Volatile.Read(ref _epoch),
        snapshot.Version,
        MemoryOf(snapshot.Range).SnapshotFloats,
        block => MemoryOf(snapshot.Range).Save((float*)block));

    /// <summary>Sends what <paramref name="fill"/> writes.</summary>
    private unsafe void Send(ActorId to, Message message, long epoch, long step, long floats, Action<nint> fill)
    {
        if (floats == 0)
        {
            _peers.Send(_connection.Actor, to, message, epoch, step);
            return;
        }

        float* block = _pool.Rent(floats, out long number);
        if (block is null)
        {
            _log($"no memory left to send {message.GetType().Name} to {to}");
            return;
        }

        fill((nint)block);
        _peers.Send(_connection.Actor, to, message, epoch, step, block, floats, () => _pool.Return(number));
    }

    private unsafe void SendParameters(SendParameters send)
    {
        Held held = HeldOf(send.Range);
        long floats = held.Memory.Range.Floats;
        var message = new ParametersArrived(send.Epoch, send.Range, send.Version);
        if (floats == 0)
        {
            _peers.Send(_connection.Actor, send.To, message, send.Epoch, send.Version);
            return;
        }

        long version = held.Memory.ReadableVersion;
        if (version != send.Version)
        {
            return; // it was asked for before a rollback; it will be asked for again
        }

        if (held.Published is not { } published || published.Version != version)
        {
            Withdraw(held);
            float* block = _pool.Rent(floats, out long number);
            if (block is null)
            {
                _log($"no memory left to send parameters to {send.To}");
                return;
            }

            Buffer.MemoryCopy(held.Memory.Range.Parameters, block, floats * sizeof(float), floats * sizeof(float));
            published = held.Published = new Published(_pool, (nint)block, number, version);
        }

        published.Use();
        _peers.Send(_connection.Actor, send.To, message, send.Epoch, send.Version, (float*)published.Block, floats, published.Done);
    }

    private unsafe void SendState(SendState send)
    {
        RangeMemory memory = MemoryOf(send.Range);
        long floats = 0;
        foreach (int shard in send.Shards)
        {
            floats += _job.StateFloats(shard);
        }

        Send(send.To, new StateArrived(send.Epoch, send.Version, send.Shards, 0), send.Epoch, send.Version, floats, block =>
        {
            float* into = (float*)block;
            foreach (int shard in send.Shards)
            {
                long count = _job.StateFloats(shard);
                Buffer.MemoryCopy(memory.CommittedStates + _job.StateOffset(shard), into, count * sizeof(float), count * sizeof(float));
                into += count;
            }
        });
    }

    private static void Withdraw(Held held)
    {
        held.Published?.Done();
        held.Published = null;
    }

    private long FloatsOf(int range) => (long)_cut.Ranges[range].BlockCount * ParameterLayout.BlockSize;

    private long StateFloatsOf(int range)
    {
        long floats = 0;
        for (int shard = 0; shard < _job.Shards; shard++)
        {
            floats += _cut.StateRange(shard) == range ? _job.StateFloats(shard) : 0;
        }

        return floats;
    }

    private void Failed(Exception failure)
        => _ended.TrySetException(failure is TrainingException ? failure : new TrainingException($"{_connection.Actor} failed: {failure.Message}", failure));

    private sealed class Held(RangeMemory memory)
    {
        public readonly RangeMemory Memory = memory;
        public Published? Published;
    }

    /// <summary>A version's parameters as they are sent; given back when nobody sends them and another version is current.</summary>
    private sealed class Published(BlockPool pool, nint block, long number, long version)
    {
        private int _users = 1;

        public nint Block => block;

        public long Version => version;

        public void Use() => Interlocked.Increment(ref _users);

        public void Done()
        {
            if (Interlocked.Decrement(ref _users) == 0)
            {
                pool.Return(number);
            }
        }
    }
}
