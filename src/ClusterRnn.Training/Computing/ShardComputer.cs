// Computes shards on one thread: reads their rows, runs the model forward and backward, hands out one gradient for each
// maximal subtree of the range. Which shards are computed together, and where, changes no bit.
//
// When the rows of a range don't fit the memory limit, its subtrees are cut down to nodes of the tree that fit, and their
// gradients are summed on the way back up.
using System.Runtime.InteropServices;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Computing;

/// <summary>Computes gradients and evaluations of shards; for one thread, allocates nothing per step once a range was seen.</summary>
public sealed unsafe class ShardComputer : IDisposable
{
    private const int DigestedAtOnce = 4096;

    private readonly TrainingJob job;
    private readonly int groupShards;
    private readonly ModelExecutor executor;
    private readonly SpanBatch batch;
    private readonly ShardSums sums;
    private readonly NativeBuffer<float> stateIn; // [group rows, StateWidth]
    private readonly NativeBuffer<float> stateOut; // [group rows, StateWidth]
    private readonly Dictionary<(ShardRange Range, int Shards, int Rows), Slice> slices = [];
    private readonly List<NativeBuffer<float>> gradients = []; // one for each level of the tree above the groups, [Layout.Length]

    /// <summary>Reserves buffers.</summary>
    /// <param name="job">The job.</param>
    /// <param name="maximumShards">The most shards that are computed together; a larger range is computed in groups.</param>
    /// <param name="memoryBytes">What the buffers may take; 0 means no limit. One shard at a time is always computed.</param>
    public ShardComputer(TrainingJob job, int maximumShards, long memoryBytes = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumShards, 1);
        this.job = job;
        maximumShards = Math.Min(maximumShards, job.Shards);
        groupShards = memoryBytes <= 0 ? maximumShards : FittingShards(job, maximumShards, memoryBytes);
        int rows = MaximumRowsOf(job, groupShards), shards = ExecutorShards(groupShards);
        executor = new ModelExecutor(job.Model, job.MaximumTime, MaximumTargetTime(job), rows, training: true, shards, job.RecomputeEvery, groupShards);
        batch = new SpanBatch(job.MaximumTime, rows, job.Train.FeatureWidth, job.Train.TargetWidth);
        MaximumRows = rows;
        sums = new ShardSums(job.Model.Metrics, shards);
        stateIn = new NativeBuffer<float>((long)rows * job.Model.StateWidth);
        stateOut = new NativeBuffer<float>((long)rows * job.Model.StateWidth);
    }

    /// <summary>The most rows that are computed together.</summary>
    public int MaximumRows { get; }

    /// <summary>The most shards that are computed together.</summary>
    public int GroupShards => groupShards;

    /// <summary>The bytes of all buffers: the model's, the data's, states, and gradients above the groups as far as they were needed.</summary>
    public long MemoryBytes => executor.MemoryBytes + batch.MemoryBytes + ((stateIn.Length + stateOut.Length + (gradients.Count * job.Layout.Length)) * sizeof(float));

    /// <summary>The bytes that a computer reserves which computes so many shards together, and of which a range of all shards is asked.</summary>
    public static long MeasureBytes(TrainingJob job, int groupShards)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentOutOfRangeException.ThrowIfLessThan(groupShards, 1);
        int rows = MaximumRowsOf(job, groupShards);
        long executor = ModelExecutor.MeasureBytes(job.Model, job.MaximumTime, MaximumTargetTime(job), rows, training: true, ExecutorShards(groupShards), job.RecomputeEvery, groupShards);
        long batch = SpanBatch.MeasureBytes(job.MaximumTime, rows, job.Train.FeatureWidth, job.Train.TargetWidth);
        return executor + batch + (((2L * rows * job.Model.StateWidth) + (LevelsAbove(0, job.Shards, groupShards) * job.Layout.Length)) * sizeof(float));
    }

    /// <summary>The most shards, up to <paramref name="maximumShards"/>, that a computer of <paramref name="memoryBytes"/> computes together; at least 1, whether it fits or not.</summary>
    public static int FittingShards(TrainingJob job, int maximumShards, long memoryBytes)
    {
        // Groups are nodes of the tree: in between two powers of two nothing is gained.
        int shards = maximumShards;
        while (shards > 1 && MeasureBytes(job, shards) > memoryBytes)
        {
            shards = 1 << (31 - int.LeadingZeroCount(shards - 1));
        }

        return shards;
    }

    /// <summary>The reports of a call, to be kept and reused by the caller.</summary>
    public static ShardReport[] CreateReports(TrainingJob job, int shards)
    {
        var reports = new ShardReport[shards];
        for (int i = 0; i < shards; i++)
        {
            reports[i] = new ShardReport(job.Model.Metrics);
        }

        return reports;
    }

    /// <summary>Takes over the parameters of a version; call it once for each version, before <see cref="Train"/> or <see cref="Evaluate(DataPart, ShardRange, ReadOnlySpan{ShardReport}, CancellationToken)"/>.</summary>
    /// <param name="parameters">The flat vector; it must stay valid and unchanged until the next call.</param>
    public void LoadParameters(float* parameters) => executor.LoadParameters(parameters);

    /// <summary>Computes the gradient of a range of shards of the step from a version.</summary>
    /// <param name="version">The version whose parameters are loaded.</param>
    /// <param name="range">The shards.</param>
    /// <param name="statesIn">For each shard of the range its committed state [rows, StateWidth]. Null, or null entries, where the job carries no state or the step resets it.</param>
    /// <param name="statesOut">For each shard of the range room for its next state. Null where the job carries no state.</param>
    /// <param name="subtreeGradients">For each of the maximal subtrees of <paramref name="range"/> a flat vector, overwritten, padding included.</param>
    /// <param name="reports">[range.Count], overwritten.</param>
    /// <param name="layerFinished">
    /// Is told, on this thread, the number of each layer, descending, as soon as the gradients of its tensors are final in all
    /// subtrees, so that they can be sent while the backward pass goes on. Not where a range is computed in several groups
    /// or a window in segments: then nothing is final before the end.
    /// </param>
    public void Train(
        long version, ShardRange range, float** statesIn, float** statesOut, float** subtreeGradients, ReadOnlySpan<ShardReport> reports, Action<int>? layerFinished = null)
    {
        StepPlan plan = job.Train.Plan(version);
        if (range.Count <= groupShards)
        {
            TrainGroup(plan, range, statesIn, statesOut, subtreeGradients, reports, layerFinished);
            return;
        }

        ShardRange[] subtrees = SliceOf(range, job.Shards, job.Train.BatchRows).Merge.Subtrees;
        for (int i = 0; i < subtrees.Length; i++)
        {
            TrainSubtree(plan, range, subtrees[i], 0, statesIn, statesOut, subtreeGradients[i], reports);
        }
    }

    /// <summary>Evaluates shards of a part's data over one whole pass.</summary>
    /// <param name="part">Which data. Its batch is cut into <see cref="TrainingJob.ShardsOf"/> shards.</param>
    /// <param name="range">The shards.</param>
    /// <param name="reports">[range.Count], overwritten; their sums run over the pass's steps in order.</param>
    /// <param name="cancellation">Ends the evaluation between two steps.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Evaluate(DataPart part, ShardRange range, ReadOnlySpan<ShardReport> reports, CancellationToken cancellation = default)
    {
        IBatchSource source = job.Source(part);
        int shards = job.ShardsOf(part);
        int first = range.Start;
        while (first < range.End)
        {
            int end = first + 1;
            while (end < range.End && end + 1 - first <= sums.MaximumShards && RowsOf(source, shards, new ShardRange(first, end + 1)).Count <= MaximumRows)
            {
                end++;
            }

            EvaluateGroup(source, shards, new ShardRange(first, end), reports[(first - range.Start)..(end - range.Start)], cancellation);
            first = end;
        }
    }

    /// <summary>Evaluates shards of an evaluation during the training, see <see cref="TrainingJob.EvaluationShards"/>.</summary>
    /// <param name="range">The shards, numbered over validation and test data.</param>
    /// <param name="reports">[range.Count], overwritten.</param>
    /// <param name="cancellation">Ends the evaluation between two steps.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Evaluate(ShardRange range, ReadOnlySpan<ShardReport> reports, CancellationToken cancellation = default)
    {
        int validation = Math.Clamp(job.ValidationShards - range.Start, 0, range.Count);
        if (validation > 0)
        {
            Evaluate(DataPart.Validation, new ShardRange(range.Start, range.Start + validation), reports[..validation], cancellation);
        }

        if (validation < range.Count)
        {
            ReadOnlySpan<ShardReport> test = reports[validation..];
            int first = range.Start + validation - job.ValidationShards;
            Evaluate(DataPart.Test, new ShardRange(first, first + test.Length), test, cancellation);
            foreach (ShardReport report in test)
            {
                report.Shard += job.ValidationShards;
            }
        }
    }

    /// <summary>The digest of a gradient for each layer of the model in forward order, and whether all of it is finite.</summary>
    /// <param name="layout">The parameters.</param>
    /// <param name="gradient">A flat vector.</param>
    /// <param name="layers">One digest a layer number, overwritten.</param>
    public static bool DigestGradient(ParameterLayout layout, float* gradient, Span<ulong> layers)
    {
        layers.Clear();
        bool finite = true;
        IReadOnlyList<ParameterTensor> tensors = layout.Tensors;
        for (int i = 0; i < tensors.Count; i++)
        {
            ParameterTensor tensor = tensors[i];
            ulong digest = layers[tensor.Layer];
            for (long at = 0; at < tensor.Count; at += DigestedAtOnce)
            {
                // Both look at the same floats while they are in the first cache.
                float* part = gradient + tensor.Offset + at;
                long count = Math.Min(DigestedAtOnce, tensor.Count - at);
                bool isFinite = ContentDigest.IsFinite(part, count);
                finite &= isFinite;
                digest = ContentDigest.Join(digest, isFinite ? ContentDigest.OfFloats(part, count) : ContentDigest.OfNonFinite(part, count));
            }

            layers[tensor.Layer] = digest;
        }

        return finite;
    }

    /// <summary>What a report says of the rows that a shard of a training step read; the ledger is verified with the same.</summary>
    /// <param name="batch">The batch that holds them.</param>
    /// <param name="first">The shard's first row within it.</param>
    /// <param name="count">Its rows; a shard without rows has the digest 0, whatever it was computed with.</param>
    public static ulong RowsDigest(SpanBatch batch, int first, int count) => count == 0 ? 0 : RowDigest.Of(batch, first, count);

    /// <inheritdoc/>
    public void Dispose()
    {
        executor.Dispose();
        batch.Dispose();
        stateIn.Dispose();
        stateOut.Dispose();
        foreach (NativeBuffer<float> gradient in gradients)
        {
            gradient.Dispose();
        }
    }

    private static (int First, int Count) RowsOf(IBatchSource source, int shards, ShardRange range)
    {
        int first = Dealing.RowsOf(range.Start, shards, source.BatchRows).First;
        (int last, int count) = Dealing.RowsOf(range.End - 1, shards, source.BatchRows);
        return (first, last + count - first);
    }

    private static int RowsOfLargestGroup(IBatchSource source, int shards, int group)
    {
        int rows = 1;
        for (int first = 0; first + group <= shards; first++)
        {
            rows = Math.Max(rows, RowsOf(source, shards, new ShardRange(first, first + group)).Count);
        }

        return rows;
    }

    private void TrainSubtree(
        StepPlan plan, ShardRange range, ShardRange node, int level, float** statesIn, float** statesOut, float* into, ReadOnlySpan<ShardReport> reports)
    {
        if (node.Count <= groupShards)
        {
            int first = node.Start - range.Start;
            TrainGroup(
                plan,
                node,
                statesIn is null ? null : statesIn + first,
                statesOut is null ? null : statesOut + first,
                &into,
                reports.Slice(first, node.Count),
                null);
            return;
        }

        if (gradients.Count == level)
        {
            gradients.Add(new NativeBuffer<float>(job.Layout.Length));
        }

        float* upper = gradients[level].Pointer;
        int middle = CanonicalTree.Split(node.Start, node.End);
        TrainSubtree(plan, range, new ShardRange(node.Start, middle), level + 1, statesIn, statesOut, into, reports);
        TrainSubtree(plan, range, new ShardRange(middle, node.End), level + 1, statesIn, statesOut, upper, reports);
        ElementwiseFunctions.Add(job.Layout.Length, into, upper, into);
    }

    private void TrainGroup(StepPlan plan, ShardRange range, float** statesIn, float** statesOut, float** into, ReadOnlySpan<ShardReport> reports, Action<int>? layerFinished)
    {
        Slice slice = SliceOf(range, job.Shards, job.Train.BatchRows);
        int stateWidth = job.Model.StateWidth;
        bool carries = job.CarriesState;
        bool reads = carries && !plan.ResetState;
        if (slice.Rows == 0)
        {
            LeaveEmpty(slice, into, reports);
            return;
        }

        job.Train.Fill(plan, slice.FirstRow, slice.Rows, batch);
        if (reads)
        {
            for (int i = 0; i < range.Count; i++)
            {
                Copy(statesIn[i], stateIn.Pointer + (long)slice.RowStarts[i] * stateWidth, (long)slice.RowsOf(i) * stateWidth);
            }
        }

        var part = new TrainingSlice(slice.Merge, slice.RowStarts, job.Seed, plan.Version, plan.CaptureTime, !reads);
        executor.Train(batch, part, stateIn.Pointer, carries ? stateOut.Pointer : null, into, sums, layerFinished);
        for (int i = 0; i < range.Count; i++)
        {
            ShardReport report = reports[i];
            report.Shard = range.Start + i;
            sums.SumsOf(i).CopyTo(report.Sums);
            sums.CountsOf(i).CopyTo(report.Counts);
            report.RowsDigest = RowsDigest(batch, slice.RowStarts[i], slice.RowsOf(i));
            report.StateDigest = 0;
            report.Finite = AreFinite(report.Sums);
            if (carries && slice.RowsOf(i) > 0)
            {
                float* state = stateOut.Pointer + (long)slice.RowStarts[i] * stateWidth;
                long floats = (long)slice.RowsOf(i) * stateWidth;
                Copy(state, statesOut[i], floats);
                bool isFinite = ContentDigest.IsFinite(state, floats);
                report.StateDigest = isFinite ? ContentDigest.OfFloats(state, floats) : ContentDigest.OfNonFinite(state, floats);
                report.Finite &= isFinite;
            }
        }
    }

    // More shards than rows: nothing is read, and the gradient is +0.
    private void LeaveEmpty(Slice slice, float** into, ReadOnlySpan<ShardReport> reports)
    {
        for (int i = 0; i < slice.Merge.Subtrees.Length; i++)
        {
            NativeMemory.Clear(into[i], (nuint)(job.Layout.Length * sizeof(float)));
        }

        for (int i = 0; i < reports.Length; i++)
        {
            reports[i].Clear(slice.Merge.Range.Start + i);
        }
    }

    private void EvaluateGroup(IBatchSource source, int shards, ShardRange range, ReadOnlySpan<ShardReport> reports, CancellationToken cancellation)
    {
        Slice slice = SliceOf(range, shards, source.BatchRows);
        for (int i = 0; i < range.Count; i++)
        {
            reports[i].Clear(range.Start + i);
        }

        bool carries = source.CarriesState && job.Model.StateWidth > 0;
        for (long step = 0; step < source.StepsPerPass && slice.Rows > 0; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            StepPlan plan = source.Plan(step);
            source.Fill(plan, slice.FirstRow, slice.Rows, batch);
            var part = new TrainingSlice(slice.Merge, slice.RowStarts, job.Seed, step, plan.CaptureTime, plan.ResetState || !carries);
            executor.Evaluate(batch, part, stateIn.Pointer, carries ? stateIn.Pointer : null, sums);
            for (int i = 0; i < range.Count; i++)
            {
                ShardReport report = reports[i];
                Add(report.Sums, sums.SumsOf(i));
                Add(report.Counts, sums.CountsOf(i));
                if (slice.RowsOf(i) > 0)
                {
                    // A shard without rows reports the same 0 whether it is computed alone or beside others.
                    report.RowsDigest = ContentDigest.Join(report.RowsDigest, RowDigest.Of(batch, slice.RowStarts[i], slice.RowsOf(i)));
                }
            }
        }

        foreach (ShardReport report in reports)
        {
            report.Finite = AreFinite(report.Sums);
        }
    }

    private static void Add(double[] total, ReadOnlySpan<double> step)
    {
        for (int i = 0; i < total.Length; i++)
        {
            total[i] += step[i];
        }
    }

    private static void Add(long[] total, ReadOnlySpan<long> step)
    {
        for (int i = 0; i < total.Length; i++)
        {
            total[i] += step[i];
        }
    }

    private static bool AreFinite(double[] values)
    {
        bool finite = true;
        foreach (double value in values)
        {
            finite &= double.IsFinite(value);
        }

        return finite;
    }

    private static void Copy(float* from, float* into, long floats) =>
        Buffer.MemoryCopy(from, into, floats * sizeof(float), floats * sizeof(float));

    private static int MaximumTargetTime(TrainingJob job) =>
        Math.Max(job.Train.MaximumTargetTime, job.EvaluationSources.Select(s => s.MaximumTargetTime).DefaultIfEmpty().Max());

    // An evaluation goes shard by shard where the training batch is smaller.
    private static int MaximumRowsOf(TrainingJob job, int groupShards) => job.EvaluationSources
        .Select(source => RowsOfLargestGroup(source, TrainingJob.DefaultShards(source.BatchRows), 1))
        .Append(RowsOfLargestGroup(job.Train, job.Shards, groupShards))
        .Max();

    private static int ExecutorShards(int groupShards) => Math.Max(groupShards, TrainingJob.DefaultShardLimit);

    // The levels of the tree over a node at which the gradients of two halves are held.
    private static int LevelsAbove(int start, int end, int groupShards)
    {
        if (end - start <= groupShards)
        {
            return 0;
        }

        int middle = CanonicalTree.Split(start, end);
        return 1 + Math.Max(LevelsAbove(start, middle, groupShards), LevelsAbove(middle, end, groupShards));
    }

    private Slice SliceOf(ShardRange range, int shards, int batchRows)
    {
        if (!slices.TryGetValue((range, shards, batchRows), out Slice? slice))
        {
            slice = new Slice(range, shards, batchRows);
            slices.Add((range, shards, batchRows), slice);
        }

        return slice;
    }

    /// <summary>The rows of a range of shards.</summary>
    private sealed class Slice
    {
        public Slice(ShardRange range, int shards, int batchRows)
        {
            Merge = new MergeProgram(range, shards);
            RowStarts = new int[range.Count + 1];
            FirstRow = Dealing.RowsOf(range.Start, shards, batchRows).First;
            for (int i = 0; i < range.Count; i++)
            {
                (int first, int count) = Dealing.RowsOf(range.Start + i, shards, batchRows);
                RowStarts[i + 1] = first + count - FirstRow;
            }
        }

        public MergeProgram Merge { get; }

        public int[] RowStarts { get; }

        public int FirstRow { get; }

        public int Rows => RowStarts[^1];

        public int RowsOf(int index) => RowStarts[index + 1] - RowStarts[index];
    }
}
