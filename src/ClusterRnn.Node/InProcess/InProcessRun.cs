// One run of the in-process engine: the actors, their hosts, the threads, and the hand-over of work between them.
//
// Shared work is of two kinds: envelopes to deliver and servers with something to do. A thread that looks for work first
// delivers, then computes if it is a worker's, then serves; if there is nothing it spins for a moment (while there are
// cores to spare) and then sleeps. Whoever adds shared work wakes the service thread if nobody is looking.
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node.InProcess;

/// <summary>A run.</summary>
internal sealed class InProcessRun : IDisposable
{
    private const int ServiceMs = 10;
    private const int SleepMs = 1000;
    private const int WarmUpSteps = 3; // after them every range was seen and nothing grows any more

    private static readonly long s_spinTicks = Stopwatch.Frequency * 150 / 1_000_000;

    private readonly TrainingJob _job;
    private readonly EngineOptions _options;
    private readonly JobShape _shape;
    private readonly RangeMap _map;
    private readonly ProtocolTimes _times;
    private readonly TrainingVerdictPolicy _policy;
    private readonly Coordinator _coordinator;
    private readonly ServerHost[] _servers;
    private readonly AnswerStore _answers;
    private readonly TrainingState _copy;
    private readonly ObserverPump _observer;
    private readonly EffectList _effects = new();
    private readonly Queue<WorkerHost> _joining = new();
    private readonly Queue<Envelope> _local = new(); // of whoever has the actors' role
    private readonly List<WorkerHost> _workers = []; // by number; the dead stay in their places
    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim _ending = new();
    private readonly CancellationTokenSource _cancelEvaluation = new();
    private readonly TaskCompletionSource<EndJob> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Sleeper _service = new();
    private readonly List<Thread> _threads = [];
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private readonly long _firstStep;
    private readonly bool _isFirst;

    private List<Arrival> _arrivals = []; // guarded by _gate
    private List<Arrival> _delivering = [];
    private readonly Queue<ServerHost> _busyServers = new(); // guarded by _gate
    private int _arrivalCount;
    private int _busyServerCount;
    private int _deliveringRole; // 1 while a thread delivers
    private int _lookouts; // threads that look for shared work
    private int _computing;
    private Exception? _failureOfWorker;
    private Task _saving = Task.CompletedTask;
    private long _actorBytes;
    private long _actorBytesAtWarmUp;
    private long[] _computeBytesAtWarmUp = [];
    private long _targets;
    private string? _checkpoint;
    private long _firstStepAt;
    private Exception? _failure;
    private bool _started;
    private int _firstWorkers;
    private int _nextJoiner;
    private bool _over;
    private bool _joined;
    private bool _copyIsHandedOver;

    public InProcessRun(TrainingJob job, EngineOptions options, IRunObserver observer, Counters counters, long epoch)
    {
        _isFirst = epoch == 1;
        _job = job;
        _options = options;
        _shape = ProtocolJob.ShapeOf(job, options.Name);
        _map = ProtocolJob.MapOf(job, options.Servers);
        _times = new ProtocolTimes
        {
            // Losses are seen, not inferred, and no message is lost: heartbeats and repetitions would only cost.
            HeartbeatTicks = 0,
            RetryFloorTicks = 30 * Instant.TicksPerSecond,
            RetryCeilingTicks = 60 * Instant.TicksPerSecond,
            FailureFloorTicks = 24 * 3600 * Instant.TicksPerSecond,
            SpeculationFloorTicks = (long)(options.SpeculationFloor.TotalSeconds * Instant.TicksPerSecond),
            NoWorkersTicks = 3600 * Instant.TicksPerSecond, // this host ends the run itself
        };
        TrainingPolicy policy = job.CreatePolicy();
        if (options.ResumeFrom is { } resumed)
        {
            policy.Load(resumed.Policy);
        }

        _firstStep = policy.Version;
        _policy = new TrainingVerdictPolicy(policy, job, saves: options.Checkpoints is not null, captures: false, options.StopAfterStep);
        _coordinator = new Coordinator(ActorId.Coordinator, _shape, _map, _policy, _times, epoch, counters: counters);
        _answers = new AnswerStore(job);
        _copy = job.CreateState();
        _servers = new ServerHost[options.Servers];
        for (int i = 0; i < _servers.Length; i++)
        {
            var actor = new ParameterServer(ActorId.Server(i), ActorId.Coordinator, _shape, _times, _firstStep);
            _servers[i] = new ServerHost(actor, job, _map, i, _firstStep);
        }

        LoadServers();
        _observer = new ObserverPump(observer, Fail);
    }

    /// <summary>The policy, where the run left it.</summary>
    public TrainingPolicy Policy => _policy.Policy;

    /// <summary>How many steps are committed.</summary>
    public long Version => _coordinator.Version;

    /// <summary>Runs to the end.</summary>
    /// <returns>What it came to; null when the job has to go back to a checkpoint.</returns>
    public async Task<RunResult?> RunAsync(CancellationToken cancellation)
    {
        Start();
        EndJob end;
        using (cancellation.UnsafeRegister(static run => ((InProcessRun)run!).Stop(), this))
        {
            end = await _ended.Task.ConfigureAwait(false);
        }

        JoinThreads();
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_firstStepAt == 0 ? _startedAt : _firstStepAt);
        if (_failure is { } failure)
        {
            if (failure is TrainingException or OperationCanceledException)
            {
                ExceptionDispatchInfo.Throw(failure);
            }

            throw new TrainingException($"{end.Reason} {failure.Message}".Trim(), failure);
        }

        if (end.Failed)
        {
            if (_policy.AsksForRollback)
            {
                return null;
            }

            throw new TrainingException(end.Reason);
        }

        StopReason stop = _policy.Policy.StopReason;
        long compute = 0;
        for (int i = 0; i < _workers.Count; i++)
        {
            compute += i < _computeBytesAtWarmUp.Length ? _workers[i].AllocatedBytes - _computeBytesAtWarmUp[i] : 0;
        }

        _copyIsHandedOver = true;
        return new RunResult
        {
            Version = end.Version,
            FirstStep = _firstStep,
            Outcome = stop == StopReason.None ? RunOutcome.Interrupted : RunOutcome.Completed,
            StopReason = stop,
            Reason = end.Reason,
            State = _copy,
            Policy = _policy.Policy,
            ModelSha256 = _copy.ModelSha256(),
            StateSha256 = _copy.StateSha256(),
            Counters = _coordinator.Counters,
            LastStep = _policy.LastDecision,
            Targets = _targets,
            Elapsed = elapsed,
            Checkpoint = _checkpoint,
            ComputeAllocatedBytes = compute,
            ActorAllocatedBytes = _actorBytes - _actorBytesAtWarmUp,
        };
    }

    public void Dispose()
    {
        JoinThreads();
        foreach (WorkerHost worker in _workers)
        {
            worker.Dispose();
        }

        foreach (ServerHost server in _servers)
        {
            server.Dispose();
        }

        if (!_copyIsHandedOver)
        {
            _copy.Dispose();
        }

        _answers.Dispose();
        _ending.Dispose();
        _cancelEvaluation.Dispose();
    }

    private static Instant Now() => new((long)(Stopwatch.GetTimestamp() * ((double)Instant.TicksPerSecond / Stopwatch.Frequency)));

    private void LoadServers()
    {
        if (_options.ResumeFrom is { } resumed)
        {
            foreach (ServerHost server in _servers)
            {
                server.Load(resumed);
            }

            return;
        }

        var parameters = new float[_job.Layout.Length];
        _job.Model.Initialize(_job.Seed, parameters);
        foreach (ServerHost server in _servers)
        {
            server.Range.Initialize(parameters);
        }
    }

    // ---- life ---------------------------------------------------------------------------------------------------------

    private void Start()
    {
        int workers = _options.Workers;
        long? total = _job.Settings.MaximumSteps == long.MaxValue ? null : _job.Settings.MaximumSteps;
        var start = new RunStart(
            _options.Name, _options.Folder, _firstStep, total, _job.Train.StepsPerPass, CountParameters(), "in-process", workers, _servers.Length, _job.Shards);
        if (_isFirst)
        {
            _observer.Tell(observer => observer.OnStart(start));
        }

        if (_isFirst && workers > _job.Shards)
        {
            int idle = workers - _job.Shards;
            _observer.Tell(observer => observer.OnNotice($"{workers} workers for {_job.Shards} shards: {idle} will only be of use when others fail or are late."));
        }

        // Nothing is delivered before everyone is on the list.
        Volatile.Write(ref _deliveringRole, 1);

        // Those that join later are made ready as well, so that they join at their step and not some time after it.
        for (int i = 0; i < workers; i++)
        {
            AddWorker();
        }

        foreach (Fault fault in _options.Faults.Faults)
        {
            if (fault is JoinWorker)
            {
                AddWorker();
            }
        }

        _firstWorkers = _workers.Count;
        _nextJoiner = workers;
        Volatile.Write(ref _deliveringRole, 0);
        var service = new Thread(Serve) { IsBackground = true, Name = "service" };
        lock (_gate)
        {
            _threads.Add(service);
        }

        service.Start();
    }

    private long CountParameters()
    {
        long count = 0;
        foreach (Models.ParameterTensor tensor in _job.Layout.Tensors)
        {
            count += tensor.Count;
        }

        return count;
    }

    private void AddWorker()
    {
        int number = _workers.Count;
        var actor = new Worker(ActorId.Worker(number), ActorId.Coordinator, _shape, _times);
        var host = new WorkerHost(number, actor, _job, _servers, _options, _ending, _cancelEvaluation.Token);
        var thread = new Thread(() => Work(host)) { IsBackground = true, Name = $"worker {number}" };
        lock (_gate)
        {
            _workers.Add(host);
            if (_over)
            {
                return;
            }

            _threads.Add(thread);
            thread.Start();
        }
    }

    private void Stop()
    {
        _cancelEvaluation.Cancel();
        Post(new Arrival(new Envelope(ActorId.Coordinator, ActorId.Coordinator, new StopRequested("interrupted")), null, null));
    }

    private void Fail(Exception failure)
    {
        Interlocked.CompareExchange(ref _failure, failure, null);
        End(new EndJob(_coordinator.Version, true, ""));
    }

    private void End(EndJob end)
    {
        Volatile.Write(ref _over, true);
        _ending.Set();
        _ended.TrySetResult(end);
    }

    private void JoinThreads()
    {
        if (!_over)
        {
            End(new EndJob(_coordinator.Version, true, "The run was abandoned."));
        }

        if (_joined)
        {
            return;
        }

        _joined = true;
        _cancelEvaluation.Cancel();
        _service.Wake();
        Thread[] threads;
        WorkerHost[] workers;
        lock (_gate)
        {
            threads = [.. _threads];
            workers = [.. _workers]; // a thread that still delivers may add one
        }

        // A late worker may still compute; it ends with the shard it has.
        foreach (WorkerHost worker in workers)
        {
            worker.Sleeper.Wake();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        _saving.Wait(); // only now: until the last thread had ended, one of them could have begun it
        _observer.Dispose();
    }

    // ---- threads ------------------------------------------------------------------------------------------------------

    private void Work(WorkerHost host)
    {
        try
        {
            if (!Try(host, static worker => worker.Prepare()))
            {
                return;
            }

            Post(new Arrival(default, host, null));
            Interlocked.Increment(ref _lookouts);
            while (!Volatile.Read(ref _over) && !host.IsDead)
            {
                if (Deliver())
                {
                    continue;
                }

                if (host.HasWork)
                {
                    Interlocked.Increment(ref _computing);
                    StopLooking();
                    bool computed = Try(host, static worker => worker.Compute());
                    Interlocked.Increment(ref _lookouts);
                    Interlocked.Decrement(ref _computing);
                    if (!computed)
                    {
                        break;
                    }

                    Post(new Arrival(default, host, host.Done));
                }
                else if (!ServeOne())
                {
                    Idle(host);
                }
            }

            StopLooking();
        }
        catch (Exception e)
        {
            Fail(e); // not the worker's own doing: actors and servers are run on its thread as well
        }
    }

    /// <summary>Does something of the worker's own; if it fails, the worker is lost and the others go on.</summary>
    private bool Try(WorkerHost host, Action<WorkerHost> action)
    {
        try
        {
            action(host);
            return true;
        }
        catch (Exception e)
        {
            Post(new Arrival(default, host, null, e));
            return false;
        }
    }

    private void Serve()
    {
        try
        {
            while (!Volatile.Read(ref _over))
            {
                Interlocked.Increment(ref _lookouts);
                while (Deliver() || ServeOne())
                {
                }

                Tick();
                Interlocked.Decrement(ref _lookouts);
                if (Volatile.Read(ref _arrivalCount) == 0 && Volatile.Read(ref _busyServerCount) == 0)
                {
                    _service.Sleep(ServiceMs);
                }
            }
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    private bool HasSharedWork
        => (Volatile.Read(ref _arrivalCount) > 0 && Volatile.Read(ref _deliveringRole) == 0) || Volatile.Read(ref _busyServerCount) > 0;

    private void StopLooking()
    {
        if (Interlocked.Decrement(ref _lookouts) == 0 && HasSharedWork)
        {
            _service.Wake();
        }
    }

    /// <summary>Waits for work: spinning while there are cores to spare, then asleep.</summary>
    private void Idle(WorkerHost host)
    {
        long since = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref _computing) + Volatile.Read(ref _lookouts) <= Environment.ProcessorCount
            && Stopwatch.GetTimestamp() - since < s_spinTicks)
        {
            if (host.HasWork || HasSharedWork || Volatile.Read(ref _over))
            {
                return;
            }

            Thread.SpinWait(20);
        }

        StopLooking();
        if (!host.HasWork && !Volatile.Read(ref _over))
        {
            host.Sleeper.Sleep(SleepMs);
        }

        Interlocked.Increment(ref _lookouts);
    }

    // ---- shared work --------------------------------------------------------------------------------------------------

    private void Post(in Arrival arrival)
    {
        lock (_gate)
        {
            _arrivals.Add(arrival);
            _arrivalCount = _arrivals.Count;
        }

        if (Volatile.Read(ref _lookouts) == 0)
        {
            _service.Wake();
        }
    }

    /// <summary>Takes the actors' role if it is free and something has arrived.</summary>
    private bool Deliver()
    {
        if (Volatile.Read(ref _arrivalCount) == 0 || Interlocked.CompareExchange(ref _deliveringRole, 1, 0) != 0)
        {
            return false;
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            while (true)
            {
                lock (_gate)
                {
                    (_arrivals, _delivering) = (_delivering, _arrivals);
                    _arrivalCount = 0;
                }

                if (_delivering.Count == 0)
                {
                    break;
                }

                for (int i = 0; i < _delivering.Count; i++)
                {
                    TakeIn(_delivering[i]);
                    DeliverLocal();
                }

                _delivering.Clear();
            }
        }
        finally
        {
            _actorBytes += GC.GetAllocatedBytesForCurrentThread() - allocated;
            Volatile.Write(ref _deliveringRole, 0);
        }

        return true;
    }

    private void TakeIn(in Arrival arrival)
    {
        if (arrival.Worker is not { } host)
        {
            _local.Enqueue(arrival.Envelope);
        }
        else if (arrival.Failure is { } failure)
        {
            LoseWorker(host, failure);
        }
        else if (arrival.Done is null)
        {
            host.IsReady = true;
            StartWhenReady(host);
        }
        else if (!host.IsDead)
        {
            _local.Enqueue(new Envelope(host.Actor.Id, host.Actor.Id, host.Result(_options.DealsEvenly)));
        }
    }

    /// <summary>The job starts when all its first workers are ready, so that they share the first step; later ones join.</summary>
    private void StartWhenReady(WorkerHost? last)
    {
        if (_started)
        {
            StartWorker(last);
            return;
        }

        for (int i = 0; i < _firstWorkers; i++)
        {
            if (!_workers[i].IsReady && !_workers[i].IsDead)
            {
                return;
            }
        }

        _started = true;
        StartActor(_coordinator);
        foreach (ServerHost server in _servers)
        {
            StartActor(server.Actor);
        }

        for (int i = 0; i < _options.Workers; i++)
        {
            StartWorker(_workers[i]);
        }
    }

    private void StartWorker(WorkerHost? worker)
    {
        if (worker is { IsDead: false, IsStarted: false })
        {
            worker.IsStarted = true;
            StartActor(worker.Actor);
        }
    }

    private void StartActor(IActor actor)
    {
        actor.Start(Now(), _effects);
        Perform(actor);
    }

    private void DeliverLocal()
    {
        while (_local.TryDequeue(out Envelope envelope))
        {
            IActor? actor = ActorOf(envelope.To);
            if (actor is not null)
            {
                actor.Handle(envelope, Now(), _effects);
                Perform(actor);
            }

            while (_joining.TryDequeue(out WorkerHost? worker))
            {
                StartWorker(worker);
            }
        }
    }

    private IActor? ActorOf(ActorId id) => id.Role switch
    {
        ActorRole.Coordinator => _coordinator,
        ActorRole.Server => _servers[id.Number].Actor,
        _ => _workers[id.Number].IsDead ? null : _workers[id.Number].Actor,
    };

    /// <summary>Looks at the deadlines, if nobody is delivering; whoever is will be through in a moment.</summary>
    private void Tick()
    {
        if (Interlocked.CompareExchange(ref _deliveringRole, 1, 0) != 0)
        {
            return;
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            if (!_started)
            {
                return;
            }

            Instant now = Now();
            TickOne(_coordinator, now);
            foreach (ServerHost server in _servers)
            {
                TickOne(server.Actor, now);
            }

            for (int i = 0; i < _workers.Count; i++)
            {
                if (_workers[i] is { IsStarted: true, IsDead: false })
                {
                    TickOne(_workers[i].Actor, now);
                }
            }
        }
        finally
        {
            _actorBytes += GC.GetAllocatedBytesForCurrentThread() - allocated;
            Volatile.Write(ref _deliveringRole, 0);
        }
    }

    private void TickOne(IActor actor, Instant now)
    {
        if (actor.NextTick <= now)
        {
            actor.Tick(now, _effects);
            Perform(actor);
            DeliverLocal();
        }
    }

    /// <summary>Takes one server's work if there is any.</summary>
    private bool ServeOne()
    {
        if (Volatile.Read(ref _busyServerCount) == 0)
        {
            return false;
        }

        ServerHost? server;
        lock (_gate)
        {
            if (!_busyServers.TryDequeue(out server))
            {
                return false;
            }

            _busyServerCount = _busyServers.Count;
        }

        while (true)
        {
            while (server.TryTake(out NodeEffect? work))
            {
                Message result = server.Perform(work!, _answers, _copy);
                Post(new Arrival(new Envelope(server.Actor.Id, server.Actor.Id, result), null, null));
            }

            lock (_gate)
            {
                if (!server.HasWork)
                {
                    server.IsScheduled = false;
                    return true;
                }
            }
        }
    }

    private void Schedule(ServerHost server, NodeEffect work)
    {
        bool others;
        lock (_gate)
        {
            server.Add(work);
            if (server.IsScheduled)
            {
                return;
            }

            server.IsScheduled = true;
            others = _busyServers.Count > 0;
            _busyServers.Enqueue(server);
            _busyServerCount = _busyServers.Count;
        }

        if (others)
        {
            // More than one server has work: a second thread pays.
            for (int i = 0; i < _workers.Count; i++)
            {
                if (!_workers[i].HasWork)
                {
                    _workers[i].Sleeper.Wake();
                }
            }
        }
    }

    // ---- effects ------------------------------------------------------------------------------------------------------

    private void Perform(IActor actor)
    {
        // Nothing below makes an actor decide again, so the list doesn't change while it is read.
        for (int i = 0; i < _effects.Count; i++)
        {
            Effect effect = _effects[i];
            if (effect.Message is { } message)
            {
                _local.Enqueue(new Envelope(actor.Id, effect.To, message));
            }
            else
            {
                Do(actor.Id, effect.Action!);
            }
        }

        _effects.Clear();
    }

    private void Do(ActorId from, NodeEffect action)
    {
        switch (action)
        {
            case ComputeShards compute:
                Compute(_workers[from.Number], compute);
                break;
            case SendPiece send:
                _local.Enqueue(new Envelope(from, send.To, new Piece(send.Key, _workers[from.Number].AnswerTo(send.Key.Assignment).Number)));
                break;
            case SendStatePiece send:
                _local.Enqueue(new Envelope(from, send.To, new StatePiece(
                    send.Epoch, send.Step, send.Fence, send.Shard, send.Assignment, _workers[from.Number].AnswerTo(send.Assignment).Number)));
                break;
            case ReleaseAnswer release:
                _workers[from.Number].Release(release.Assignment);
                break;
            case HoldStates hold:
                _workers[from.Number].HoldStates(hold);
                break;
            case ReduceSegment or StoreStates or ApplyVerdict or SnapshotRange:
                Schedule(_servers[from.Number], action);
                break;
            case SendParameters send:
                _local.Enqueue(new Envelope(from, send.To, new ParametersArrived(send.Epoch, send.Range, send.Version)));
                break;
            case SendState send:
                _local.Enqueue(new Envelope(from, send.To, new StateArrived(send.Epoch, send.Version, send.Shards, from.Number)));
                break;
            case SaveCheckpoint save:
                Save(save.Version);
                break;
            case StepCommitted committed:
                OnCommitted(committed.Version);
                break;
            case EvaluationFinished evaluated:
                OnEvaluated(evaluated.Version);
                break;
            case Notice notice:
                OnNotice(notice);
                break;
            case EndJob end:
                End(end);
                break;
            case EndActor when from.Role == ActorRole.Worker:
                _workers[from.Number].IsDead = true;
                _workers[from.Number].Sleeper.Wake();
                EndWithoutWorkers();
                break;
        }
    }

    private void Compute(WorkerHost worker, ComputeShards compute)
    {
        if (_firstStepAt == 0)
        {
            _firstStepAt = Stopwatch.GetTimestamp();
        }

        AnswerBuffers? answer = compute.Kind == WorkKind.Train
            ? _answers.Rent(worker.Number, compute.Version, worker.SubtreesOf(compute.Range))
            : null;
        worker.Give(compute, answer);
        worker.Sleeper.Wake();
    }

    private void LoseWorker(WorkerHost worker, Exception failure)
    {
        worker.IsDead = true;
        _failureOfWorker ??= failure;
        if (failure is PlannedFailureException { Fault.Replace: true })
        {
            AddWorker();
        }

        _local.Enqueue(new Envelope(ActorId.Coordinator, ActorId.Coordinator, new ActorDown(worker.Actor.Id, failure.Message)));
        StartWhenReady(null);
        EndWithoutWorkers();
    }

    private void EndWithoutWorkers()
    {
        foreach (WorkerHost worker in _workers)
        {
            if (!worker.IsDead && (worker.IsStarted || !_started || worker.Number >= _firstWorkers))
            {
                return;
            }
        }

        if (!_over)
        {
            Fail(_failureOfWorker ?? new TrainingException($"No worker is left at step {_coordinator.Version}."));
        }
    }

    private void Save(long version)
    {
        if (Volatile.Read(ref _over))
        {
            return; // nobody waits for it, and the copy is about to go
        }

        _copy.Policy = _policy.Policy.Save();
        if (_options.Checkpoints is not { } store)
        {
            _local.Enqueue(new Envelope(ActorId.Coordinator, ActorId.Coordinator, new CheckpointSaved(version)));
            return;
        }

        TrainingPolicy policy = _policy.Policy;
        Counters counters = _coordinator.Counters;
        var info = new CheckpointInfo
        {
            Version = version,
            Seed = _job.Seed,
            Shards = _job.Shards,
            DataSha256 = _job.DataSha256,
            Config = _job.Config,
            BestVersion = policy.BestVersion,
            TrainLoss = _policy.LastDecision?.Loss ?? double.NaN,
            ValidationLoss = policy.ValidationLoss,
            Counters = new Dictionary<string, long>
            {
                ["disputedShards"] = counters.DisputedShards,
                ["lostShards"] = counters.LostShards,
                ["recomputedShards"] = counters.RecomputedShards,
                ["speculativeShards"] = counters.SpeculativeShards,
            },
        };
        _saving = Task.Run(() =>
        {
            Message result;
            try
            {
                // Whoever resumes from the checkpoint has only what the observers keep of the steps before it.
                _observer.TellNow(observer => observer.OnSaving(version));
                CheckpointWrite written = store.Save(_copy, info, _options.Artefacts);
                result = written.Path is { } path ? new CheckpointSaved(version) : new CheckpointFailed(version, written.Warning ?? "");
                if (written.Path is { } folder)
                {
                    _checkpoint = folder;
                    _observer.Tell(observer => observer.OnCheckpoint(version, folder));
                    if (written.Warning is { } warning)
                    {
                        _observer.Tell(observer => observer.OnNotice(warning));
                    }
                }
            }
            catch (Exception e)
            {
                Fail(e);
                return;
            }

            Post(new Arrival(new Envelope(ActorId.Coordinator, ActorId.Coordinator, result), null, null));
        });
    }

    private void OnCommitted(long version)
    {
        StepDecision decision = _policy.LastDecision!;
        _targets += decision.Count;
        double? norm = decision.Update.Apply ? decision.GradientNorm : null;
        var report = new StepReport(
            version, (double)version / _job.Train.StepsPerPass, decision.Loss, decision.Update.LearningRate, norm, decision.Count, Elapsed());
        _observer.Tell(observer => observer.OnStep(report));
        if (version == _firstStep + WarmUpSteps)
        {
            _actorBytesAtWarmUp = _actorBytes;
            _computeBytesAtWarmUp = [.. _workers.Select(worker => worker.AllocatedBytes)];
        }

        foreach (Fault fault in _options.Faults.Faults)
        {
            if (fault is JoinWorker join && join.Step == version)
            {
                _joining.Enqueue(_workers[_nextJoiner++]); // not here: effects are being performed
            }
            else if (fault is LeaveWorker leave && leave.Step == version && leave.Worker < _workers.Count)
            {
                ActorId worker = ActorId.Worker(leave.Worker);
                _local.Enqueue(new Envelope(worker, worker, new Drain()));
            }
        }
    }

    private void OnEvaluated(long version)
    {
        EvaluationSums sums = _policy.Policy.LastEvaluation!;
        var metrics = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach (Models.MetricValue metric in _job.Model.Metrics.Finish([.. sums.Sums], [.. sums.Counts]))
        {
            if (metric.Name != "loss")
            {
                metrics[metric.Name] = metric.Value;
            }
        }

        if (_policy.LastTest is { } test)
        {
            metrics["testLoss"] = test.Loss;
        }

        var report = new EvaluationReport(version, sums.Loss, metrics, _policy.Policy.BestVersion == version, Elapsed());
        _observer.Tell(observer => observer.OnEvaluation(report));
    }

    private void OnNotice(Notice notice)
    {
        if (notice.Kind != NoticeKind.Joined || _coordinator.Counters.Steps > 0)
        {
            _observer.Tell(observer => observer.OnNotice(notice.Text));
        }
    }

    private TimeSpan Elapsed() => Stopwatch.GetElapsedTime(_startedAt);

    /// <summary>Something for the actors: a message, a worker that is ready, has computed, or has failed.</summary>
    private readonly record struct Arrival(Envelope Envelope, WorkerHost? Worker, ComputeShards? Done, Exception? Failure = null);
}
