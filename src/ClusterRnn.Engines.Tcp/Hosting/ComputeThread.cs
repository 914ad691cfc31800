// A worker's computations, on a thread of their own: the actor goes on answering while it computes.
using System.Diagnostics;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Computes shards and keeps the recurrent states they lead to.</summary>
internal sealed unsafe class ComputeThread : IDisposable
{
    private readonly TrainingJob _job;
    private readonly ParameterStore _parameters;
    private readonly Action<Message> _tell;
    private readonly Action<Exception> _failed;
    private readonly TimeSpan _delay;
    private readonly Dictionary<ShardRange, ShardRange[]> _subtrees = [];
    private readonly ShardWork _work;
    private readonly int[][] _segmentsByLayer;
    private readonly Action<int>? _layerFinished;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _ready = new();
    private readonly CancellationTokenSource _ending = new();
    private readonly object _gate = new();
    private WorkerComputer? _computer;
    private long _training; // the assignment that is being trained; of the compute thread
    private long _earlySegments;
    private long _heldVersion = -1;
    private ComputeShards? _pending; // guarded by _gate
    private AnswerBuffers? _pendingAnswer;

    /// <summary>Makes the thread; it reserves the model's buffers on its own.</summary>
    /// <param name="job">The job.</param>
    /// <param name="parameters">Where the parameters of a version are found.</param>
    /// <param name="segmentsByLayer">The segments of a gradient that are final with each layer: see <see cref="Node.ProtocolJob.SegmentsByLayer"/>.</param>
    /// <param name="threads">On how many threads it computes.</param>
    /// <param name="memoryBytes">What the model's buffers may take, 0 for no limit.</param>
    /// <param name="delay">How long each computation is made to last longer, for experiments.</param>
    /// <param name="tell">Tells the actor what came of it.</param>
    /// <param name="failed">Is told why the thread ended, if it failed.</param>
    public ComputeThread(
        TrainingJob job, ParameterStore parameters, int[][] segmentsByLayer, int threads, long memoryBytes, TimeSpan delay, Action<Message> tell, Action<Exception> failed)
    {
        _job = job;
        _parameters = parameters;
        _segmentsByLayer = segmentsByLayer;
        _layerFinished = segmentsByLayer.Any(segments => segments.Length > 0) ? OnLayer : null;
        _delay = delay;
        _tell = tell;
        _failed = failed;
        _work = new ShardWork(job);
        _thread = new Thread(() => Run(threads, memoryBytes)) { IsBackground = true, Name = "compute" };
        _thread.Start();
    }

    /// <summary>Waits until the model's buffers are reserved.</summary>
    /// <returns>Whether they were in time.</returns>
    public bool WaitUntilReady(TimeSpan timeout) => _ready.Wait(timeout);

    /// <summary>Segments that were told to be final before the rest of their gradient.</summary>
    public long EarlySegments => Interlocked.Read(ref _earlySegments);

    /// <summary>The subtrees of a range. Of the actor's thread.</summary>
    public ShardRange[] SubtreesOf(ShardRange range)
    {
        if (!_subtrees.TryGetValue(range, out ShardRange[]? subtrees))
        {
            subtrees = new MergeProgram(range, _job.Shards).Subtrees;
            _subtrees.Add(range, subtrees);
        }

        return subtrees;
    }

    /// <summary>Gives it a computation; the one before has ended. Of the actor's thread.</summary>
    public void Give(ComputeShards compute, AnswerBuffers? answer)
    {
        lock (_gate)
        {
            _pendingAnswer = answer;
            _pending = compute;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Keeps committed states that arrived. Only called while nothing is computed.</summary>
    /// <param name="version">The version they are of.</param>
    /// <param name="shards">The shards, ascending.</param>
    /// <param name="values">Their rows, one shard after the other.</param>
    public void HoldStates(long version, int[] shards, float* values)
    {
        float* into = _work.StatesOf(version);
        foreach (int shard in shards)
        {
            long floats = _job.StateFloats(shard);
            Buffer.MemoryCopy(values, into + _job.StateOffset(shard), floats * sizeof(float), floats * sizeof(float));
            values += floats;
        }
    }

    /// <summary>Ends the thread after the shard it computes.</summary>
    public void Dispose()
    {
        _ending.Cancel();
        lock (_gate)
        {
            Monitor.Pulse(_gate);
        }

        if (_thread.Join(TimeSpan.FromMinutes(1)))
        {
            _computer?.Dispose();
            _work.Dispose();
        }
    }

    private void Run(int threads, long memoryBytes)
    {
        try
        {
            _computer = new WorkerComputer(_job, threads, memoryBytes);
            _ready.Set();
            while (!_ending.IsCancellationRequested)
            {
                ComputeShards? compute;
                AnswerBuffers? answer;
                lock (_gate)
                {
                    while (_pending is null && !_ending.IsCancellationRequested)
                    {
                        Monitor.Wait(_gate, 1000);
                    }

                    (compute, answer, _pending) = (_pending, _pendingAnswer, null);
                }

                if (compute is not null)
                {
                    _tell(Compute(compute, answer));
                }
            }
        }
        catch (OperationCanceledException) when (_ending.IsCancellationRequested)
        {
            // The node ends: nobody waits for the evaluation.
        }
        catch (Exception error)
        {
            _failed(error);
        }
    }

    private Computed Compute(ComputeShards compute, AnswerBuffers? answer)
    {
        long started = Stopwatch.GetTimestamp();
        Load(compute.Version);
        if (_delay > TimeSpan.Zero)
        {
            _ending.Token.WaitHandle.WaitOne(_delay);
        }

        if (compute.Kind == WorkKind.Train)
        {
            _training = compute.Assignment;
            _work.Train(_computer!, compute, answer!, _layerFinished);
            _work.KeepStates(compute, answer!);
        }
        else
        {
            _computer!.Evaluate(compute.Range, _work.Reports, _ending.Token);
        }

        long ticks = (Stopwatch.GetTimestamp() - started) * Instant.TicksPerSecond / Stopwatch.Frequency;
        return _work.Result(compute, answer?.Subtrees ?? [], isUsable: true, ticks);
    }

    private void Load(long version)
    {
        if (_heldVersion == version)
        {
            return;
        }

        _parameters.Release(_heldVersion);
        _heldVersion = -1;
        float* values = _parameters.Hold(version);
        if (values is null)
        {
            throw new TrainingException($"The parameters of step {version} were announced, but are not there.");
        }

        _heldVersion = version;
        _computer!.LoadParameters(values);
    }

    /// <summary>The gradients of a layer are final: what is complete with them travels while the layers below are computed.</summary>
    private void OnLayer(int layer)
    {
        if (layer >= _segmentsByLayer.Length)
        {
            return; // it has no parameters, nor has any above it
        }

        foreach (int segment in _segmentsByLayer[layer])
        {
            Interlocked.Increment(ref _earlySegments);
            _tell(new SegmentComputed(_training, segment));
        }
    }
}
