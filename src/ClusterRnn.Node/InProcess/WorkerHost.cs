// Performs a worker's computations on a thread of its own.
//
// Parameters are read by reference where one server owns all of them. In sync mode nobody changes version v while a worker
// that counts still reads it; a worker that is late (its shards were computed elsewhere) may be overtaken, and notices it
// afterwards: an answer read from parameters that changed underneath is declared unusable and never compared.
using System.Diagnostics;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Node.InProcess;

/// <summary>The buffers and the thread of one worker.</summary>
internal sealed unsafe class WorkerHost : IDisposable
{
    private readonly TrainingJob _job;
    private readonly ServerHost[] _servers;
    private readonly EngineOptions _options;
    private readonly int[][] _segmentsByLayer;
    private readonly Action<WorkerHost, ComputeShards, int> _onSegment;
    private readonly Action<int>? _layerFinished;
    private readonly ManualResetEventSlim _ending;
    private readonly CancellationToken _cancelEvaluation;
    private readonly Dictionary<ShardRange, ShardRange[]> _subtrees = [];
    private readonly ShardWork _work;
    private readonly NativeBuffer<float>? _gathered; // [Layout.Length] where several servers own the parameters
    private readonly List<(long Assignment, AnswerBuffers Buffers)> _answers = []; // of whoever runs the actors
    private WorkerComputer? _computer;
    private long _loadedVersion = -1;
    private bool _statesAreTorn;
    private ComputeShards? _pending;
    private AnswerBuffers? _pendingAnswer;

    public WorkerHost(
        int number,
        Worker actor,
        TrainingJob job,
        ServerHost[] servers,
        EngineOptions options,
        int[][] segmentsByLayer,
        Action<WorkerHost, ComputeShards, int> onSegment,
        ManualResetEventSlim ending,
        CancellationToken cancelEvaluation)
    {
        Number = number;
        Actor = actor;
        _job = job;
        _servers = servers;
        _options = options;
        _segmentsByLayer = segmentsByLayer;
        _onSegment = onSegment;
        _layerFinished = segmentsByLayer.Any(segments => segments.Length > 0) ? OnLayer : null;
        _ending = ending;
        _cancelEvaluation = cancelEvaluation;
        _work = new ShardWork(job);
        _gathered = servers.Length > 1 ? new NativeBuffer<float>(job.Layout.Length) : null;
    }

    public int Number { get; }

    public Worker Actor { get; }

    public Sleeper Sleeper { get; } = new();

    /// <summary>Whether it is gone: what its thread still computes is of no interest.</summary>
    public bool IsDead { get; set; }

    /// <summary>Whether its buffers are reserved.</summary>
    public bool IsReady { get; set; }

    /// <summary>Whether its actor has been started: one that joins later waits for its step.</summary>
    public bool IsStarted { get; set; }

    public bool HasWork => Volatile.Read(ref _pending) is not null;

    /// <summary>What it is computing, or computed last; of its own thread.</summary>
    public ComputeShards? Computing { get; private set; }

    /// <summary>What was computed last; read by whoever runs the actors before the next computation begins.</summary>
    public ComputeShards? Done { get; private set; }

    public bool IsUsable { get; private set; }

    public long ComputeTicks { get; private set; }

    /// <summary>What training computations allocated on the managed heap.</summary>
    public long AllocatedBytes { get; private set; }

    /// <summary>The bytes of all its buffers but answers.</summary>
    public long MemoryBytes => (_computer?.MemoryBytes ?? 0) + _work.MemoryBytes + ((_gathered?.Length ?? 0) * sizeof(float));

    /// <summary>Reserves the model's buffers, on the worker's own thread.</summary>
    public void Prepare()
    {
        foreach (Fault fault in _options.Faults.Faults)
        {
            if (fault is FailWorker { Step: < 0 } fail && fail.Worker == Number)
            {
                throw new PlannedFailureException(fail);
            }
        }

        var memory = WorkerMemory.Of(_job, _options.Workers, _servers.Length, _options.WorkerMemoryBytes, _options.WorkerThreads);
        _computer = new WorkerComputer(_job, _options.WorkerThreads, memory.ComputerLimitBytes);
    }

    /// <summary>The subtrees of a range.</summary>
    public ShardRange[] SubtreesOf(ShardRange range)
    {
        if (!_subtrees.TryGetValue(range, out ShardRange[]? subtrees))
        {
            subtrees = new MergeProgram(range, _job.Shards).Subtrees;
            _subtrees.Add(range, subtrees);
        }

        return subtrees;
    }

    /// <summary>Gives it a computation.</summary>
    public void Give(ComputeShards compute, AnswerBuffers? answer)
    {
        if (answer is not null)
        {
            _answers.Add((compute.Assignment, answer));
        }

        _pendingAnswer = answer;
        Volatile.Write(ref _pending, compute);
    }

    /// <summary>Where the answer to an assignment lies.</summary>
    public AnswerBuffers AnswerTo(long assignment)
    {
        foreach ((long held, AnswerBuffers buffers) in _answers)
        {
            if (held == assignment)
            {
                return buffers;
            }
        }

        throw new InvalidOperationException($"Worker {Number} holds no answer to assignment {assignment}.");
    }

    /// <summary>An answer won't be asked for again.</summary>
    public void Release(long assignment)
    {
        for (int i = _answers.Count - 1; i >= 0; i--)
        {
            if (_answers[i].Assignment == assignment)
            {
                _answers.RemoveAt(i);
            }
        }
    }

    /// <summary>Keeps committed states of a version that a server sent.</summary>
    public void HoldStates(HoldStates hold)
    {
        ServerHost server = _servers[hold.Payload];
        float* into = _work.StatesOf(hold.Version);
        foreach (int shard in hold.Shards)
        {
            long bytes = _job.StateFloats(shard) * sizeof(float);
            Buffer.MemoryCopy(server.CommittedStates + _job.StateOffset(shard), into + _job.StateOffset(shard), bytes, bytes);
        }

        Interlocked.MemoryBarrier(); // what was read comes before the question whether it changed
        _statesAreTorn |= server.ReadableVersion != hold.Version;
    }

    /// <summary>Performs the pending computation, if there is one.</summary>
    /// <returns>Whether there was.</returns>
    public bool Compute()
    {
        if (Volatile.Read(ref _pending) is not { } compute)
        {
            return false;
        }

        AnswerBuffers? answer = _pendingAnswer;
        _pending = null;
        Computing = compute;
        long allocated = GC.GetAllocatedBytesForCurrentThread() + _computer!.OthersAllocatedBytes;
        long started = Stopwatch.GetTimestamp();
        Load(compute.Version);
        bool usable = _servers.Length > 1 ? _loadedVersion == compute.Version : true;
        if (compute.Kind == WorkKind.Train)
        {
            TakeLonger(compute); // after the parameters were loaded, so that the others may overtake it
            _work.Train(_computer, compute, answer!, IsPoisoned(compute) ? null : _layerFinished);
            ApplyFaults(compute, answer!);
        }
        else
        {
            usable &= Evaluate(compute);
        }

        Interlocked.MemoryBarrier(); // what was read comes before the question whether it changed
        if (_servers.Length == 1 && _servers[0].ReadableVersion != compute.Version)
        {
            usable = false;
            _loadedVersion = -1;
        }

        usable &= !_statesAreTorn;
        _statesAreTorn = false;
        if (compute.Kind == WorkKind.Train)
        {
            if (usable)
            {
                _work.KeepStates(compute, answer!);
            }

            answer!.IsWriting = false;
        }

        Done = compute;
        IsUsable = usable;
        ComputeTicks = (Stopwatch.GetTimestamp() - started) * Instant.TicksPerSecond / Stopwatch.Frequency;
        AllocatedBytes += compute.Kind == WorkKind.Train ? GC.GetAllocatedBytesForCurrentThread() + _computer.OthersAllocatedBytes - allocated : 0;
        return true;
    }

    /// <summary>The last answer as the protocol's message.</summary>
    /// <param name="hidesSpeed">Whether every shard is said to take the same time.</param>
    public Computed Result(bool hidesSpeed)
    {
        ComputeShards done = Done!;
        return _work.Result(done, done.Kind == WorkKind.Train ? SubtreesOf(done.Range) : [], IsUsable, hidesSpeed ? done.Range.Count : ComputeTicks);
    }

    public void Dispose()
    {
        _computer?.Dispose();
        _gathered?.Dispose();
        _work.Dispose();
    }

    private void Load(long version)
    {
        if (_loadedVersion == version)
        {
            return;
        }

        _loadedVersion = version;
        if (_gathered is null)
        {
            _computer!.LoadParameters(_servers[0].Range.Parameters);
            return;
        }

        foreach (ServerHost server in _servers)
        {
            long bytes = server.Range.Floats * sizeof(float);
            Buffer.MemoryCopy(server.Range.Parameters, _gathered.Pointer + server.Range.Blocks.FirstFloat, bytes, bytes);
            Interlocked.MemoryBarrier();
            if (server.Range.Floats > 0 && server.ReadableVersion != version)
            {
                _loadedVersion = -1; // overtaken
            }
        }

        _computer!.LoadParameters(_gathered.Pointer);
    }

    private void OnLayer(int layer)
    {
        foreach (int segment in _segmentsByLayer[layer])
        {
            _onSegment(this, Computing!, segment);
        }
    }

    /// <summary>Whether the answer will be spoilt at the end: then nothing of it may be sent before.</summary>
    private bool IsPoisoned(ComputeShards compute)
    {
        IReadOnlyList<Fault> faults = _options.Faults.Faults;
        for (int i = 0; i < faults.Count; i++)
        {
            if (faults[i] is PoisonWorker poison && poison.Worker == Number && compute.Version == poison.Step)
            {
                return true;
            }
        }

        return false;
    }

    private bool Evaluate(ComputeShards compute)
    {
        try
        {
            _computer!.Evaluate(compute.Range, _work.Reports, _cancelEvaluation);
            return true;
        }
        catch (OperationCanceledException) when (_cancelEvaluation.IsCancellationRequested)
        {
            return false;
        }
    }

    private void TakeLonger(ComputeShards compute)
    {
        IReadOnlyList<Fault> faults = _options.Faults.Faults;
        for (int i = 0; i < faults.Count; i++)
        {
            if (faults[i] is SlowWorker slow && slow.Worker == Number && compute.Version >= slow.Step && compute.Version < slow.Step + slow.Steps)
            {
                _ending.Wait(slow.Delay);
            }
        }
    }

    private void ApplyFaults(ComputeShards compute, AnswerBuffers answer)
    {
        IReadOnlyList<Fault> faults = _options.Faults.Faults;
        for (int i = 0; i < faults.Count; i++)
        {
            switch (faults[i])
            {
                case FailWorker fail when fail.Worker == Number && compute.Version >= fail.Step:
                    throw new PlannedFailureException(fail);
                case PoisonWorker poison when poison.Worker == Number && compute.Version == poison.Step:
                    _work.Poison(answer);
                    break;
            }
        }
    }
}

/// <summary>A worker fails because the plan says so.</summary>
internal sealed class PlannedFailureException(FailWorker fault) : Exception(fault.Step < 0 ? "it was made to fail" : $"it was made to fail at step {fault.Step}")
{
    public FailWorker Fault { get; } = fault;
}

/// <summary>A thread that may be woken; a wake that comes first is not lost.</summary>
internal sealed class Sleeper
{
    private readonly object _gate = new();
    private bool _woken;

    public void Wake()
    {
        lock (_gate)
        {
            _woken = true;
            Monitor.Pulse(_gate);
        }
    }

    public void Sleep(int milliseconds)
    {
        lock (_gate)
        {
            if (!_woken)
            {
                Monitor.Wait(_gate, milliseconds);
            }

            _woken = false;
        }
    }
}
