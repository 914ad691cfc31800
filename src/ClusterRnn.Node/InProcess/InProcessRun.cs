// One run of the in-process engine: what it consists of, how it begins and how it ends.
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
internal sealed partial class InProcessRun : IDisposable
{
    private const int ServiceMs = 10;
    private const int SleepMs = 1000;
    private const int WarmUpSteps = 3; // after them every range was seen and nothing grows any more

    private static readonly TimeSpan s_longestJoin = TimeSpan.FromMinutes(10);
    private static readonly long s_spinTicks = Stopwatch.Frequency * 150 / 1_000_000;

    private readonly TrainingJob _job;
    private readonly EngineOptions _options;
    private readonly JobShape _shape;
    private readonly RangeMap _map;
    private readonly int[][] _segmentsByLayer; // empty where the exchange doesn't overlap
    private readonly ProtocolTimes _times;
    private readonly TrainingVerdictPolicy _policy;
    private readonly Coordinator _coordinator;
    private readonly RunReports _reports;
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
    private Instant _savingSince;
    private Instant _savingIsLongAt;
    private long _actorBytes;
    private long _actorBytesAtWarmUp;
    private long[] _computeBytesAtWarmUp = [];
    private long _targets;
    private long _earlySegments;
    private string? _checkpoint;
    private long? _checkpointStep;
    private long _firstStepAt;
    private Exception? _failure;
    private bool _started;
    private int _firstWorkers;
    private int _nextJoiner;
    private bool _over;
    private bool _joined;
    private string? _leftBehind; // a thread that is stuck: the memory it may use is not freed
    private bool _copyIsHandedOver;

    public InProcessRun(TrainingJob job, EngineOptions options, IRunObserver observer, Counters counters, long epoch)
    {
        _isFirst = epoch == 1;
        _job = job;
        _options = options;
        _shape = ProtocolJob.ShapeOf(job, options.Name);
        _map = ProtocolJob.MapOf(job, options.Servers, options.LeastSegmentBlocks);
        _segmentsByLayer = options.LeastSegmentBlocks > 0 ? ProtocolJob.SegmentsByLayer(job.Layout, _map) : [];
        _times = new ProtocolTimes
        {
            // Losses are seen, not inferred, and no message is lost: heartbeats and repetitions would only cost.
            HeartbeatTicks = 0,
            RetryFloorTicks = 30 * Instant.TicksPerSecond,
            RetryCeilingTicks = 60 * Instant.TicksPerSecond,
            FirstFailureTicks = 2 * 3600 * Instant.TicksPerSecond,
            FailureFloorTicks = 600 * Instant.TicksPerSecond, // a process that was stopped for a while may go on
            SpeculationFloorTicks = (long)(options.SpeculationFloor.TotalSeconds * Instant.TicksPerSecond),
            NoWorkersTicks = 60 * Instant.TicksPerSecond, // this host ends the run itself, unless a worker is stuck
        };
        TrainingPolicy policy = job.CreatePolicy();
        if (options.ResumeFrom is { } resumed)
        {
            policy.Load(resumed.Policy);
        }

        _firstStep = policy.Version;
        _policy = new TrainingVerdictPolicy(policy, job, saves: options.Checkpoints is not null, captures: false, options.StopAfterStep);
        _coordinator = new Coordinator(ActorId.Coordinator, _shape, _map, _policy, _times, epoch, counters: counters);
        _reports = new RunReports(job, _policy, _coordinator.Counters);
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
        if (_failure is null && _leftBehind is { } stuck)
        {
            throw new TrainingException(stuck);
        }

        if (_failure is { } failure)
        {
            if (failure is TrainingException)
            {
                ExceptionDispatchInfo.Throw(failure); // it names who failed
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

        // With the last evaluation cut off the job is not done: whoever resumes does it.
        StopReason stop = _policy.Policy.EvaluationDue ? StopReason.None : _policy.Policy.StopReason;
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
            Reports = _reports,
            ModelSha256 = _copy.ModelSha256(),
            StateSha256 = _copy.StateSha256(),
            Counters = _coordinator.Counters,
            LastStep = _policy.LastDecision,
            EarlySegments = Interlocked.Read(ref _earlySegments),
            Targets = _targets,
            Elapsed = elapsed,
            Checkpoint = _checkpoint,
            CheckpointStep = _checkpointStep,
            ComputeAllocatedBytes = compute,
            WorkerMemoryBytes = _workers.Max(worker => worker.MemoryBytes + _answers.MemoryBytesOf(worker.Number)),
            ActorAllocatedBytes = _actorBytes - _actorBytesAtWarmUp,
        };
    }

    public void Dispose()
    {
        JoinThreads();
        if (_leftBehind is not null)
        {
            return;
        }

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

        float[] parameters = _job.InitialParameters();
        foreach (ServerHost server in _servers)
        {
            server.Range.Initialize(parameters);
        }
    }

    private void Start()
    {
        int workers = _options.Workers;
        RunStart start = _reports.Start(_options.Name, _options.Folder, _firstStep, "in-process", workers, _servers.Length);
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

    private void AddWorker()
    {
        int number = _workers.Count;
        var actor = new Worker(ActorId.Worker(number), ActorId.Coordinator, _shape, _times);
        var host = new WorkerHost(number, actor, _job, _servers, _options, _segmentsByLayer, OnSegment, _ending, _cancelEvaluation.Token);
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
            if (!thread.Join(s_longestJoin))
            {
                _leftBehind ??= $"The thread of {thread.Name} has not ended within {s_longestJoin.TotalSeconds} s.";
            }
        }

        // Only now: until the last thread had ended, one of them could have begun it.
        if (!_saving.Wait(s_longestJoin))
        {
            _leftBehind ??= $"The checkpoint in {_options.Checkpoints!.Folder} was not written within {s_longestJoin.TotalSeconds} s.";
        }

        _observer.Dispose();
    }
}
