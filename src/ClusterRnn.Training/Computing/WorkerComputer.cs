// What one worker computes with: a ShardComputer for each of its threads.
//
// A range of shards is cut into one part for each thread. Rows never couple, and what sums over rows is formed per shard, so
// the parts are computed side by side without a word between them; then the subtrees of the parts are joined to those of the
// whole range along the canonical tree, every thread joining a part of the vector. Threads change no bit.
using System.Runtime.ExceptionServices;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Computing;

/// <summary>Computes gradients and evaluations of shards on one or several threads. Its methods are called by one thread at a time, which computes as well.</summary>
public sealed unsafe class WorkerComputer : IDisposable
{
    private const int Spins = 1000; // a step of a small model is over before a thread would have fallen asleep
    private const int JoinedAtOnce = 8192; // floats that stay in the first cache

    private readonly TrainingJob job;
    private readonly ShardComputer[] computers;
    private readonly ComputeThread[] others;
    private readonly ManualResetEventSlim done = new(false, Spins);
    private readonly Dictionary<ShardRange, Division> divisions = [];
    private readonly List<NativeBuffer<float>> spare = []; // gradients of subtrees that are joined to others, [Layout.Length]
    private readonly nint[][] gradients; // by thread: where its subtrees go
    private readonly (int First, int End)[] layerBlocks; // by layer number
    private readonly int[] finished; // by layer number: how many threads are through with it
    private readonly bool[] joined; // by layer number
    private readonly Action<int> partFinished;
    private readonly Lock gate = new();
    private Call call;
    private int running;
    private ExceptionDispatchInfo? failure;
    private bool ending;

    /// <summary>Reserves buffers and starts threads.</summary>
    /// <param name="job">The job.</param>
    /// <param name="threads">Threads, the caller's included; more than there are shards are not used.</param>
    /// <param name="memoryBytes">What the buffers may take; 0 means no limit. One shard for each thread is always computed.</param>
    public WorkerComputer(TrainingJob job, int threads = 1, long memoryBytes = 0)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        this.job = job;
        threads = UsefulThreads(job, threads);
        long spareBytes = SpareVectors(job, threads) * job.Layout.Length * sizeof(float);
        computers = new ShardComputer[threads];
        gradients = new nint[threads][];
        for (int i = 0; i < threads; i++)
        {
            computers[i] = job.CreateComputer(MostShards(job, threads), memoryBytes <= 0 ? 0 : Math.Max(1, (memoryBytes - spareBytes) / threads));
            gradients[i] = new nint[2 * WorkerMemory.MostSubtrees(job.Shards)];
        }

        IReadOnlyList<ParameterTensor> tensors = job.Layout.Tensors;
        int layers = tensors.Count == 0 ? 0 : tensors.Max(tensor => tensor.Layer) + 1;
        layerBlocks = new (int First, int End)[layers];
        foreach (ParameterTensor tensor in tensors)
        {
            (int first, int end) = layerBlocks[tensor.Layer];
            int tensorEnd = tensor.FirstBlock + tensor.BlockCount;
            layerBlocks[tensor.Layer] = end == 0 ? (tensor.FirstBlock, tensorEnd) : (Math.Min(first, tensor.FirstBlock), Math.Max(end, tensorEnd));
        }

        finished = new int[job.Model.LayerNames.Count + layers];
        joined = new bool[layers];
        partFinished = OnPartFinished;
        others = new ComputeThread[threads - 1];
        for (int i = 0; i < others.Length; i++)
        {
            others[i] = new ComputeThread(this, i + 1);
        }

        if (others.Length > 0)
        {
            done.Wait(1); // what a wait that blocks needs is made now, not in the first step that has to wait
        }
    }

    private enum Work
    {
        Load,
        Train,
        Join,
        Evaluate,
    }

    /// <summary>Threads that compute.</summary>
    public int Threads => computers.Length;

    /// <summary>The bytes of all buffers.</summary>
    public long MemoryBytes
    {
        get
        {
            long bytes = spare.Count * job.Layout.Length * sizeof(float);
            foreach (ShardComputer computer in computers)
            {
                bytes += computer.MemoryBytes;
            }

            return bytes;
        }
    }

    /// <summary>What the threads other than the caller's allocated on the managed heap while they worked.</summary>
    public long OthersAllocatedBytes
    {
        get
        {
            long bytes = 0;
            foreach (ComputeThread other in others)
            {
                bytes += Interlocked.Read(ref other.AllocatedBytes);
            }

            return bytes;
        }
    }

    /// <summary>How many of so many threads have shards to compute.</summary>
    public static int UsefulThreads(TrainingJob job, int threads)
    {
        ArgumentNullException.ThrowIfNull(job);
        return Math.Min(threads, job.Shards);
    }

    /// <summary>The bytes of a computer whose threads compute groups of so many shards each.</summary>
    public static long MeasureBytes(TrainingJob job, int threads, int groupShards)
    {
        threads = UsefulThreads(job, threads);
        return (threads * ShardComputer.MeasureBytes(job, Math.Min(groupShards, MostShards(job, threads)))) + (SpareVectors(job, threads) * job.Layout.Length * sizeof(float));
    }

    /// <summary>Takes over the parameters of a version: see <see cref="ShardComputer.LoadParameters"/>.</summary>
    public void LoadParameters(float* parameters) => Run(new Call { Work = Work.Load, Parameters = parameters });

    /// <summary>Computes the gradient of a range of shards: see <see cref="ShardComputer.Train"/>.</summary>
    /// <param name="version">The version whose parameters are loaded.</param>
    /// <param name="range">The shards.</param>
    /// <param name="statesIn">See there.</param>
    /// <param name="statesOut">See there.</param>
    /// <param name="subtreeGradients">For each of the maximal subtrees of <paramref name="range"/> a flat vector, overwritten.</param>
    /// <param name="reports">The first range.Count are overwritten.</param>
    /// <param name="layerFinished">See there; it may be told by any of the threads, by one at a time.</param>
    public void Train(
        long version, ShardRange range, float** statesIn, float** statesOut, float** subtreeGradients, ShardReport[] reports, Action<int>? layerFinished = null)
    {
        if (Threads == 1)
        {
            computers[0].Train(version, range, statesIn, statesOut, subtreeGradients, reports.AsSpan(0, range.Count), layerFinished);
            return;
        }

        Division division = DivisionOf(range);
        for (int i = 0; i < division.Pieces.Length; i++)
        {
            (int thread, int place, int into) = division.Pieces[i];
            gradients[thread][place] = into >= 0 ? (nint)subtreeGradients[into] : (nint)spare[-1 - into].Pointer;
        }

        Array.Clear(finished);
        Array.Clear(joined);
        var training = new Call
        {
            Work = Work.Train,
            Version = version,
            Range = range,
            StatesIn = statesIn,
            StatesOut = statesOut,
            Gradients = subtreeGradients,
            Reports = reports,
            Division = division,
            LayerFinished = layerFinished,
        };
        Run(training);
        if (division.Joins.Length > 0)
        {
            Run(training with { Work = Work.Join });
        }
    }

    /// <summary>Evaluates shards of an evaluation during the training: see <see cref="ShardComputer.Evaluate(ShardRange, ReadOnlySpan{ShardReport}, CancellationToken)"/>.</summary>
    /// <param name="range">The shards.</param>
    /// <param name="reports">The first range.Count are overwritten.</param>
    /// <param name="cancellation">Ends the evaluation between two steps.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Evaluate(ShardRange range, ShardReport[] reports, CancellationToken cancellation = default)
        => Run(new Call { Work = Work.Evaluate, Range = range, Reports = reports, Cancellation = cancellation });

    /// <inheritdoc/>
    public void Dispose()
    {
        ending = true;
        foreach (ComputeThread other in others)
        {
            other.End();
        }

        foreach (ShardComputer computer in computers)
        {
            computer.Dispose();
        }

        foreach (NativeBuffer<float> buffer in spare)
        {
            buffer.Dispose();
        }

        done.Dispose();
    }

    private static int MostShards(TrainingJob job, int threads) => (job.Shards + threads - 1) / threads;

    // Of a range of all shards: every piece of it needs a vector, and the subtrees' own are given.
    private static long SpareVectors(TrainingJob job, int threads)
        => threads == 1 ? 0 : new Division(new ShardRange(0, job.Shards), job.Shards, threads).Joins.Length;

    private static ShardRange PartOf(ShardRange range, int thread, int threads)
        => new(range.Start + (int)((long)range.Count * thread / threads), range.Start + (int)((long)range.Count * (thread + 1) / threads));

    private Division DivisionOf(ShardRange range)
    {
        if (!divisions.TryGetValue(range, out Division? division))
        {
            division = new Division(range, job.Shards, Threads);
            divisions.Add(range, division);
            while (spare.Count < division.Joins.Length)
            {
                spare.Add(new NativeBuffer<float>(job.Layout.Length));
            }
        }

        return division;
    }

    private void Run(in Call next)
    {
        call = next;
        if (others.Length == 0)
        {
            Perform(0);
            return;
        }

        failure = null;
        done.Reset();
        Volatile.Write(ref running, others.Length);
        foreach (ComputeThread other in others)
        {
            other.Go();
        }

        try
        {
            Perform(0);
        }
        finally
        {
            done.Wait(); // the others use the same buffers; each ends with the shards it has
        }

        failure?.Throw();
    }

    private void Perform(int thread)
    {
        ShardRange range = call.Work == Work.Load ? default : PartOf(call.Range, thread, Threads);
        int first = range.Start - call.Range.Start;
        switch (call.Work)
        {
            case Work.Load:
                computers[thread].LoadParameters(call.Parameters);
                break;
            case Work.Train when range.Count > 0:
                fixed (nint* into = gradients[thread])
                {
                    computers[thread].Train(
                        call.Version,
                        range,
                        call.StatesIn is null ? null : call.StatesIn + first,
                        call.StatesOut is null ? null : call.StatesOut + first,
                        (float**)into,
                        call.Reports!.AsSpan(first, range.Count),
                        call.LayerFinished is null ? null : partFinished);
                }

                break;
            case Work.Join:
                for (int layer = 0; layer < layerBlocks.Length; layer++)
                {
                    if (!joined[layer])
                    {
                        (int start, int end) = layerBlocks[layer];
                        Join(start + (int)((long)(end - start) * thread / Threads), start + (int)((long)(end - start) * (thread + 1) / Threads));
                    }
                }

                break;
            case Work.Evaluate when range.Count > 0:
                computers[thread].Evaluate(range, call.Reports!.AsSpan(first, range.Count), call.Cancellation);
                break;
        }
    }

    /// <summary>A thread's part of a layer's gradient is final; with the last part all of it is.</summary>
    private void OnPartFinished(int layer)
    {
        lock (gate)
        {
            if (++finished[layer] < call.Division!.Parts)
            {
                return;
            }

            if (layer < joined.Length)
            {
                (int first, int end) = layerBlocks[layer];
                Join(first, end);
                joined[layer] = true;
            }

            call.LayerFinished!(layer);
        }
    }

    private void Join(int firstBlock, int endBlock)
    {
        long end = (long)endBlock * ParameterLayout.BlockSize;
        for (long at = (long)firstBlock * ParameterLayout.BlockSize; at < end; at += JoinedAtOnce)
        {
            long count = Math.Min(JoinedAtOnce, end - at);
            foreach ((int into, int from) in call.Division!.Joins)
            {
                float* target = (into >= 0 ? call.Gradients[into] : spare[-1 - into].Pointer) + at;
                ElementwiseFunctions.Add(count, target, spare[-1 - from].Pointer + at, target);
            }
        }
    }

    private void Help(int thread)
    {
        try
        {
            Perform(thread);
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
        }

        if (Interlocked.Decrement(ref running) == 0)
        {
            done.Set();
        }
    }

    private struct Call
    {
        public Work Work;
        public float* Parameters;
        public long Version;
        public ShardRange Range;
        public float** StatesIn;
        public float** StatesOut;
        public float** Gradients;
        public ShardReport[]? Reports;
        public Division? Division;
        public Action<int>? LayerFinished;
        public CancellationToken Cancellation;
    }

    /// <summary>
    /// How a range is divided. Vectors are numbered: from 0 the subtrees of the range, -1 - i the spare vector i. The
    /// leftmost piece of a subtree lies in the subtree's own vector, and what is joined goes to the left.
    /// </summary>
    private sealed class Division
    {
        public Division(ShardRange range, int shards, int threads)
        {
            var pieces = new List<(int Thread, int Place, int Into)>();
            var places = new Dictionary<ShardRange, int>();
            var joins = new List<(int Into, int From)>();
            ShardRange[] subtrees = new MergeProgram(range, shards).Subtrees;
            int spares = 0;
            for (int thread = 0; thread < threads; thread++)
            {
                ShardRange part = PartOf(range, thread, threads);
                ShardRange[] own = part.Count == 0 ? [] : new MergeProgram(part, shards).Subtrees;
                Parts += part.Count == 0 ? 0 : 1;
                for (int place = 0; place < own.Length; place++)
                {
                    int begins = Array.FindIndex(subtrees, subtree => subtree.Start == own[place].Start);
                    int into = begins >= 0 ? begins : -1 - spares++;
                    pieces.Add((thread, place, into));
                    places.Add(own[place], into);
                }
            }

            foreach (ShardRange subtree in subtrees)
            {
                JoinNode(subtree, places, joins);
            }

            Pieces = [.. pieces];
            Joins = [.. joins];
        }

        /// <summary>Threads that have shards.</summary>
        public int Parts { get; }

        public (int Thread, int Place, int Into)[] Pieces { get; }

        public (int Into, int From)[] Joins { get; }

        private static int JoinNode(ShardRange node, Dictionary<ShardRange, int> places, List<(int Into, int From)> joins)
        {
            if (places.TryGetValue(node, out int place))
            {
                return place;
            }

            int middle = CanonicalTree.Split(node.Start, node.End);
            int left = JoinNode(new ShardRange(node.Start, middle), places, joins), right = JoinNode(new ShardRange(middle, node.End), places, joins);
            joins.Add((left, right));
            return left;
        }
    }

    /// <summary>A thread beside the caller's.</summary>
    private sealed class ComputeThread
    {
        private readonly WorkerComputer owner;
        private readonly int number;
        private readonly ManualResetEventSlim wanted = new(false, Spins);
        private readonly Thread thread;

        public ComputeThread(WorkerComputer owner, int number)
        {
            this.owner = owner;
            this.number = number;
            thread = new Thread(Work) { IsBackground = true, Name = $"compute {number}" };
            thread.Start();
        }

        public long AllocatedBytes;

        public void Go() => wanted.Set();

        public void End()
        {
            wanted.Set();
            thread.Join();
            wanted.Dispose();
        }

        private void Work()
        {
            while (true)
            {
                wanted.Wait();
                wanted.Reset();
                if (owner.ending)
                {
                    return;
                }

                long before = GC.GetAllocatedBytesForCurrentThread();
                owner.Help(number);
                Interlocked.Add(ref AllocatedBytes, GC.GetAllocatedBytesForCurrentThread() - before);
            }
        }
    }
}
