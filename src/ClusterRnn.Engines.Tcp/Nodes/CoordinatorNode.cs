// The coordinator's host: listens, keeps journal and checkpoints, gives servers their first content, tells observers.
//
//     actor's thread   Coordinator decides; messages, journal records and copies of ranges are performed here, in order
//     links' threads   take in what servers push for a checkpoint, and questions for rows
//     tasks            write checkpoints, read one back after a rollback
using System.Diagnostics;
using System.Text.Json;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Models;
using ClusterRnn.Node;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>The job can't go on, and everybody was told so. Any other failure is the coordinator's own: another one may go on.</summary>
/// <param name="reason">Why.</param>
internal sealed class JobFailedException(string reason) : TrainingException(reason);

/// <summary>Hosts a coordinator.</summary>
internal sealed class CoordinatorNode : IActorHost, IBulkNode, IDisposable
{
    private const long PoolBytes = 1L << 34; // what is expected decides what is taken; this is the last line
    private const int EpochBits = 16; // numbers given by different coordinators of a job never meet

    private static readonly TimeSpan s_pushTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(5);

    private readonly EngineRequest _request;
    private readonly TcpEngineOptions _options;
    private readonly string _engineName;
    private readonly TrainingJob _job;
    private readonly RangeMap _cut;
    private readonly int _sections;
    private readonly TrainingVerdictPolicy _policy;
    private readonly Coordinator _coordinator;
    private readonly RunReports _reports;
    private readonly ObserverPump _observer;
    private readonly JournalFiles? _journal;
    private readonly BlockPool _pool;
    private readonly BulkIntake _intake;
    private readonly BulkPeers _peers;
    private readonly RowServer _rows;
    private readonly IActorShell _shell;
    private readonly ICoordinatorControl _control;
    private readonly TaskCompletionSource<EndJob> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private readonly Lock _copyGate = new();
    private readonly HashSet<int> _pushed = []; // the ranges that are in the copy; guarded by _copyGate
    private readonly SemaphoreSlim _pushArrived = new(0);
    private readonly byte[] _description;

    private TrainingState _source; // what servers are filled from
    private readonly TrainingState _copy; // what checkpoints are written from
    private (long Epoch, long Version) _copyOf = (-1, -1);
    private Task _saving = Task.CompletedTask;
    private string? _checkpoint;
    private long? _checkpointStep;
    private bool _hasStarted;
    private long _firstStep;

    private CoordinatorNode(EngineRequest request, TcpEngineOptions options, IControlPlane plane, JournalFiles? journal)
    {
        _request = request;
        _options = options;
        _engineName = plane.EngineName;
        _job = request.Job.Job;
        _cut = ProtocolJob.MapOf(_job, request.Servers, options.LeastSegmentBlocks);
        _sections = ParameterRange.SectionNamesOf(_job.Settings).Count;
        _copy = _job.CreateState();
        _source = StartState();
        TrainingPolicy policy = _job.CreatePolicy();
        if (_source.Policy.Length > 0)
        {
            policy.Load(_source.Policy);
        }

        _firstStep = policy.Version;
        _policy = new TrainingVerdictPolicy(policy, _job, saves: request.Checkpoints is not null, captures: true, request.StopAfterStep);
        JobDescription description = JobDescription.Of(request.Job);
        _description = description.ToBytes();
        JournalReading? read = journal?.Read();
        long epoch = (read?.Epoch ?? 0) + 1;
        _journal = journal;
        if (journal is not null)
        {
            journal.Claim(epoch);
            read = journal.ReadBefore(epoch, read!);
        }

        var plan = new ServerPlan(
            request.Servers, request.Replicas, policy.Version, read?.State, read?.Predecessor ?? -1, read?.Bytes ?? 0);
        _coordinator = new Coordinator(
            ActorId.Coordinator, ProtocolJob.ShapeOf(_job, description.JobId), _cut, _policy, options.Times, epoch, plan: plan);
        _reports = new RunReports(_job, _policy, _coordinator.Counters);
        _observer = new ObserverPump(request.Observer ?? new NobodyLooks(), Fail);
        foreach (DamagedRecord damage in read?.Damages ?? [])
        {
            Note(damage.What);
        }

        _pool = new BlockPool(PoolBytes);
        _intake = new BulkIntake(this, _pool, () => Note("a block was damaged on its way and is asked for again"));
        _peers = new BulkPeers(() => new NodeIdentity(PeerRole.Coordinator, 0), options.Security, options.Transport, _intake, Note);
        _rows = new RowServer(_job, _pool, _peers);
        _shell = plane.Host(_coordinator, this);
        ActorId[] awaited = [.. (read?.State?.Map?.Ranges ?? []).SelectMany(range => new[] { range.Owner, range.Replica ?? range.Owner }).Distinct()];
        _control = plane.Coordinate(new ControlTerms(description.JobId, (int)((epoch - 1) << EpochBits), _shell.Post, Note, awaited));
    }

    /// <summary>Runs a job.</summary>
    /// <param name="request">The run.</param>
    /// <param name="options">Where to listen, and on what terms.</param>
    /// <param name="plane">Mailboxes and control links.</param>
    /// <param name="listening">Is told the control address, once it is listened on.</param>
    /// <param name="cancellation">Ends the run after the step that is under way, with a checkpoint.</param>
    /// <exception cref="JobFailedException">The job failed.</exception>
    /// <exception cref="TrainingException">The coordinator failed, or another one has taken over.</exception>
    /// <exception cref="TransportException">The addresses can't be listened on.</exception>
    public static async Task<EngineResult> RunAsync(
        EngineRequest request,
        TcpEngineOptions options,
        IControlPlane plane,
        Func<HostPort, CoordinatorNode, IDisposable?> listening,
        CancellationToken cancellation)
    {
        using JournalFiles? journal = JournalFiles.Of(request);
        using var node = new CoordinatorNode(request, options, plane, journal);
        BulkListener bulk = await BulkListener.StartAsync(
            options.ListenBulk,
            PeerRole.Coordinator,
            options.Security,
            options.Transport,
            offer => LinkAdmission<IBulkHandler>.Accept(node._intake, offer.Number),
            node.Note,
            CancellationToken.None).ConfigureAwait(false);
        await using (bulk.ConfigureAwait(false))
        {
            ICoordinatorControl control = node._control;
            await using (control.ConfigureAwait(false))
            {
                var offer = new JobOffer(
                    node._description, AddressRules.Advertise(options.Advertise?.WithPort(0), bulk.LocalEndPoint).ToString(), request.Servers, options.LeastSegmentBlocks, options.Times);
                HostPort address = await control.OpenAsync(offer.ToBytes()).ConfigureAwait(false);
                using IDisposable? nodes = listening(address, node);
                return await node.RunAsync(cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Ends the run because it can't go on.</summary>
    public void Fail(Exception failure)
        => _ended.TrySetException(failure is TrainingException ? failure : new TrainingException($"The coordinator failed: {failure.Message}", failure));

    /// <summary>Tells the user something that needs attention.</summary>
    public void Note(string text) => _observer.Tell(observer => observer.OnNotice(text));

    /// <summary>Tells the user something that goes as it should.</summary>
    public void Inform(string text) => _observer.Tell(observer => observer.OnInformation(text));

    /// <inheritdoc/>
    public void Dispose()
    {
        _control.Close("the coordinator ends");
        _shell.Dispose();
        _rows.Dispose();
        _peers.Dispose();
        _saving.Wait(s_pushTimeout * 2);
        _observer.Dispose();
        _pool.Dispose();
        _source.Dispose();
        _copy.Dispose();
        _pushArrived.Dispose();
    }

    /// <inheritdoc/>
    void IActorHost.Send(ActorId from, ActorId to, Message message) => _control.Send(from, to, message);

    /// <inheritdoc/>
    void IActorHost.Failed(ActorId actor, Exception failure) => Fail(failure);

    /// <inheritdoc/>
    void IActorHost.Perform(ActorId actor, NodeEffect effect)
    {
        switch (effect)
        {
            case AppendJournal append:
                Append(append.Record);
                break;
            case SendRangeCopy send:
                SendCopy(send);
                break;
            case RestoreCheckpoint restore:
                Task before = _saving;
                _saving = Task.Run(() => RestoreAsync(restore, before));
                break;
            case SaveCheckpoint save:
                Save(save.Version);
                break;
            case StepCommitted committed:
                OnCommitted(committed.Version);
                break;
            case EvaluationFinished evaluated:
                EvaluationReport evaluation = _reports.Evaluation(evaluated.Version, Stopwatch.GetElapsedTime(_startedAt));
                _observer.Tell(observer => observer.OnEvaluation(evaluation));
                break;
            case Notice notice:
                var happened = new NodeEvent(TimeProvider.System.GetUtcNow(), JsonNamingPolicy.CamelCase.ConvertName(notice.Kind.ToString()), notice.Actor.ToString(), notice.Text);
                _observer.Tell(observer => observer.OnNodeEvent(happened));
                if (notice.Kind != NoticeKind.Joined || _hasStarted)
                {
                    if (notice.IsWarning)
                    {
                        Note(notice.Text);
                    }
                    else
                    {
                        Inform(notice.Text);
                    }
                }

                break;
            case EndJob end:
                _journal?.ThrowIfOvertaken(); // before anyone is told
                _ended.TrySetResult(end);
                break;
            case EndActor end:
                Fail(new TrainingException(end.Reason));
                break;
        }
    }

    /// <inheritdoc/>
    long IBulkNode.ExpectedFloats(Message message)
        => message is RangePushed pushed && pushed.Range < _cut.Ranges.Length ? (_sections * FloatsOf(pushed.Range)) + StateFloatsOf(pushed.Range) : -1;

    /// <inheritdoc/>
    void IBulkNode.Arrived(BulkLink link, ActorId from, ActorId to, Message message)
    {
        switch (message)
        {
            case RangePushed pushed:
                Take(pushed);
                break;
            case ReadRows question:
                _rows.Ask(link.Peer, question);
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

    private async Task<EngineResult> RunAsync(CancellationToken cancellation)
    {
        var alive = new AliveFile(_options.AliveFile);
        using var touch = new Timer(_ => alive.Touch(), null, 0, 1000);
        _shell.Start();
        EndJob end;
        using (cancellation.UnsafeRegister(static node => ((CoordinatorNode)node!)._shell.Post(new StopRequested("interrupted")), this))
        {
            end = await _ended.Task.ConfigureAwait(false);
        }

        // Everyone is told once more if their goodbye was lost: they end by themselves.
        for (long started = Stopwatch.GetTimestamp(); _control.Count(ActorRole.Worker) + _control.Count(ActorRole.Server) > 0 && Stopwatch.GetElapsedTime(started) < s_farewell;)
        {
            await Task.Delay(20, CancellationToken.None).ConfigureAwait(false);
        }

        await _saving.ConfigureAwait(false);
        if (end.Failed)
        {
            throw new JobFailedException(end.Reason);
        }

        return _reports.Result(StateAt(end), end.Version, end.Reason, _checkpoint, _checkpointStep, _request.ResumeFrom);
    }

    /// <summary>The state that the job ended at: what the servers sent of it, or what they were given, when no step came after that.</summary>
    /// <exception cref="TrainingException">It was never gathered.</exception>
    private TrainingState StateAt(EndJob end)
    {
        TrainingPolicy given = _job.CreatePolicy();
        if (_source.Policy.Length > 0)
        {
            given.Load(_source.Policy);
        }

        bool isGathered;
        lock (_copyGate)
        {
            isGathered = _copyOf.Version == end.Version && _pushed.Count == _cut.Ranges.Length;
        }

        TrainingState state = isGathered ? _copy : given.Version == end.Version ? _source
            : throw new TrainingException($"The job ended at step {end.Version} ({end.Reason}), and the servers' state there was not gathered. The last checkpoint can be resumed.");
        state.Policy = _policy.Policy.Save();
        return state;
    }

    /// <summary>What the run starts from.</summary>
    private TrainingState StartState()
    {
        if (_request.ResumeFrom is not { } checkpoint)
        {
            return FirstState();
        }

        TrainingState state = _job.CreateState();
        try
        {
            CheckpointStore.Read(checkpoint, state);
            return state;
        }
        catch
        {
            state.Dispose();
            throw;
        }
    }

    /// <summary>What the job started from, before its first step.</summary>
    private unsafe TrainingState FirstState()
    {
        TrainingState state = _job.CreateState();
        float[] parameters = _job.InitialParameters();
        parameters.CopyTo(new Span<float>(state.Parameters, parameters.Length));
        state.Policy = _job.CreatePolicy().Save();
        return state;
    }

    private void Append(JournalRecord record)
    {
        if (_journal is null)
        {
            return;
        }

        try
        {
            _journal.Append(record, flush: record is not VerdictRecord);
        }
        catch (IOException error)
        {
            throw new TrainingException($"The journal can't be written, and no step may be committed without it: {error.Message}", error);
        }
    }

    private unsafe void SendCopy(SendRangeCopy send)
    {
        var message = new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0);
        long floats = (_sections * FloatsOf(send.Range)) + StateFloatsOf(send.Range);
        if (floats == 0)
        {
            SendToServer(send.To, message, send.Epoch, send.Version, null, 0, null);
            return;
        }

        float* block = _pool.Rent(floats, out long number);
        if (block is null)
        {
            Note($"no memory left to send range {send.Range} to {send.To}");
            return;
        }

        _source.CopyTo(BlocksOf(send.Range), block);
        float* states = block + (_sections * FloatsOf(send.Range));
        foreach (int shard in ShardsOf(send.Range))
        {
            long count = _job.StateFloats(shard);
            Buffer.MemoryCopy(_source.Streams + _job.StateOffset(shard), states, count * sizeof(float), count * sizeof(float));
            states += count;
        }

        SendToServer(send.To, message, send.Epoch, send.Version, block, floats, () => _pool.Return(number));
    }

    private unsafe void SendToServer(ActorId to, Message message, long epoch, long step, float* block, long floats, Action? done)
    {
        if (_control.BulkAddressOf(to) is { } address)
        {
            _peers.Learn(to, address);
        }

        _peers.Send(ActorId.Coordinator, to, message, epoch, step, block, floats, done);
    }

    /// <summary>Takes a server's copy into the state that the next checkpoint is written from.</summary>
    private unsafe void Take(RangePushed pushed)
    {
        lock (_copyGate)
        {
            (long Epoch, long Version) of = (pushed.Epoch, pushed.Version);
            if (of.CompareTo(_copyOf) > 0)
            {
                _copyOf = of;
                _pushed.Clear();
            }

            if (of == _copyOf && _pushed.Add(pushed.Range) && pushed.Payload != 0)
            {
                float* block = _pool[pushed.Payload];
                _copy.CopyFrom(BlocksOf(pushed.Range), block);
                block += _sections * FloatsOf(pushed.Range);
                foreach (int shard in ShardsOf(pushed.Range))
                {
                    long count = _job.StateFloats(shard);
                    Buffer.MemoryCopy(block, _copy.Streams + _job.StateOffset(shard), count * sizeof(float), count * sizeof(float));
                    block += count;
                }
            }
        }

        _pool.Return(pushed.Payload);
        _pushArrived.Release();
    }

    private async Task<bool> WaitForPushesAsync(long epoch, long version)
    {
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < s_pushTimeout)
        {
            lock (_copyGate)
            {
                if (_copyOf == (epoch, version) && _pushed.Count == _cut.Ranges.Length)
                {
                    return true;
                }
            }

            await _pushArrived.WaitAsync(TimeSpan.FromMilliseconds(200)).ConfigureAwait(false);
        }

        return false;
    }

    private void Save(long version)
    {
        byte[] policy = _policy.Policy.Save();
        CheckpointInfo info = _reports.Checkpoint(version);
        long epoch = _coordinator.Epoch; // copies of the same version from before the job went back may be of another course
        Task before = _saving;
        _saving = Task.Run(async () =>
        {
            Message result;
            try
            {
                await before.ConfigureAwait(false);
                result = await WaitForPushesAsync(epoch, version).ConfigureAwait(false)
                    ? Write(version, policy, info)
                    : new CheckpointFailed(version, $"a server's copy did not arrive within {s_pushTimeout.TotalSeconds:0} s");
            }
            catch (Exception error)
            {
                Fail(new TrainingException($"The checkpoint of step {version} failed: {error.Message}", error));
                return;
            }

            _shell.Post(result);
        });
    }

    private Message Write(long version, byte[] policy, CheckpointInfo info)
    {
        _copy.Policy = policy;
        if (_request.Checkpoints is not { } store)
        {
            return new CheckpointSaved(version);
        }

        // Whoever resumes from the checkpoint has only what the observers keep of the steps before it.
        _observer.TellNow(observer => observer.OnSaving(version));
        _journal?.ThrowIfOvertaken(); // the other one may be on another course, which this checkpoint would not be of
        CheckpointWrite written = store.Save(_copy, info, _request.Job.Artefacts);
        if (written.Path is not { } folder)
        {
            return new CheckpointFailed(version, written.Warning ?? "");
        }

        (_checkpoint, _checkpointStep) = (folder, version);
        _observer.Tell(observer => observer.OnCheckpoint(version, folder));
        if (written.Warning is { } warning)
        {
            Note(warning);
        }

        return new CheckpointSaved(version);
    }

    private async Task RestoreAsync(RestoreCheckpoint restore, Task before)
    {
        long epoch = restore.Epoch;
        try
        {
            await before.ConfigureAwait(false);
            long adopted = _journal?.Claim(epoch) ?? 0;
            TrainingState state = _job.CreateState();
            if (CheckpointFor(restore) is { } found)
            {
                CheckpointStore.Read(found, state);
            }
            else
            {
                state.Dispose();
                state = restore.Version >= 0 ? FirstState() : StartState();
            }

            TrainingPolicy policy = _job.CreatePolicy();
            policy.Load(state.Policy);
            _source.Dispose();
            _source = state;
            _observer.TellNow(observer => observer.OnRollback(policy.Version));
            _shell.Post(new CheckpointRestored(epoch, policy.Version, state.Policy, adopted));
        }
        catch (Exception error) when (error is TrainingException or CheckpointException or IOException)
        {
            _shell.Post(new RestoreFailed(epoch, error.Message));
        }
        catch (Exception error)
        {
            Fail(error);
        }
    }

    /// <summary>The checkpoint to go back to; null for the start.</summary>
    private Checkpoint? CheckpointFor(RestoreCheckpoint restore)
    {
        if (_request.Checkpoints is not { } store)
        {
            return restore.Version <= 0 ? null
                : throw new TrainingException($"The training would go back to step {restore.Version}, but it saves no checkpoints. Give it a folder for them, or set nonFinite to skip or stop.");
        }

        if (restore.Version >= 0)
        {
            CheckpointSearch before = store.FindNewest(_job.Expectation, restore.Version);
            if ((before.Found?.Info.Version ?? 0) == restore.Version)
            {
                store.RemoveAfter(restore.Version);
            }

            return before.Found;
        }

        CheckpointSearch search = store.FindNewest(_job.Expectation);
        foreach (PassedOver passed in search.PassedOver)
        {
            Note($"passed over {passed.Path}: {passed.Reason}");
        }

        return search.Found;
    }

    private void OnCommitted(long version)
    {
        if (!_hasStarted)
        {
            _hasStarted = true;
            _firstStep = version - 1;
            RunStart start = _reports.Start(
                _request.Job.Config.Name ?? "job",
                _request.Checkpoints is { } store ? Path.GetDirectoryName(store.Folder) : null,
                _firstStep,
                _engineName,
                _control.Count(ActorRole.Worker),
                _request.Servers);
            _observer.Tell(observer => observer.OnStart(start));
        }

        StepReport report = _reports.Step(version, Stopwatch.GetElapsedTime(_startedAt));
        _observer.Tell(observer => observer.OnStep(report));
    }

    private BlockRange BlocksOf(int range) => new(_cut.Ranges[range].FirstBlock, _cut.Ranges[range].BlockCount);

    private long FloatsOf(int range) => (long)_cut.Ranges[range].BlockCount * ParameterLayout.BlockSize;

    private IEnumerable<int> ShardsOf(int range) => Enumerable.Range(0, _job.CarriesState ? _job.Shards : 0).Where(shard => _cut.StateRange(shard) == range);

    private long StateFloatsOf(int range) => ShardsOf(range).Sum(_job.StateFloats);

    private sealed class NobodyLooks : IRunObserver;
}
