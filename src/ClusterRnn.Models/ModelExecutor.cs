// Computes with a model: forward, loss, backward over a whole window for all rows of a slice at once, with the sums over
// rows formed per shard. One executor for each compute thread. All its buffers come from one arena at construction;
// nothing is allocated per step.
//
// A window that is longer than a segment is computed segment by segment (activation checkpointing: Chen et al., Training deep
// nets with sublinear memory cost, 2016). Forward through the window only the states at the segments' starts are kept. Then,
// from the last segment to the first, activations are computed again, and loss and gradients with them. Everything that
// sums over time goes on from one segment to the one before it, per shard, time descending as in a whole window, and
// shards are joined after the first segment: the same bits, in room for one segment instead of all time steps.
//
// A model from one sequence to another has two chains of layers. EncoderPass runs the first over the batch's inputs; the second,
// the decoder, is computed here over a batch that is formed from the targets: it reads <bos> and the targets before, or in
// scheduled sampling its own tokens, which it first writes one time step after the other.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>A model with buffers for windows up to a given size.</summary>
public sealed unsafe partial class ModelExecutor : IDisposable
{
    private readonly int maximumTime;
    private readonly int maximumTargetTime;
    private readonly int maximumRows;
    private readonly int maximumShards;
    private readonly int segmentTime;
    private readonly int gradientShards;
    private readonly int lastCoupling;
    private readonly bool training;
    private readonly int contextTime;
    private readonly TrainingStep step = new();
    private readonly int[] rowCounts;
    private readonly ParameterTensor[] tensors;
    private readonly ParameterTensor[] frozen;
    private readonly Arena arena;
    private readonly SpanBatch? targets; // what the decoder reads and writes
    private readonly SpanBatch? written; // one time step of it
    private EncoderPass? encoder;
    private float* writtenState; // [rows, StateWidth]
    private float* writtenLogits; // [rows, OutputWidth]
    private int encodedRows;
    private StepScope windowScope = null!;
    private StepScope targetScope = null!;
    private StepScope lastScope = null!;
    private readonly List<(StepScope Scope, StepScope Before, TimeKernel Kernel)> shortenedScopes = []; // after layers that give fewer time steps
    private Layer[] layers = null!;
    private LossHead loss = null!;
    private RowOrder rowOrder = null!;
    private float* segmentStates; // [segments, rows, StateWidth]: the state at the start of each
    private float* shardGradients; // [gradientShards - 1, Layout.Length]: of shards that are not the first of their subtree
    private readonly nint[] sumsOfShards; // [maximumShards]: the gradient of each shard
    private bool loaded;
    private int pastTime;
    private int pastRows;

    /// <summary>Reserves all buffers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="maximumTime">The longest window.</param>
    /// <param name="maximumTargetTime">The most time steps with targets.</param>
    /// <param name="maximumRows">The most rows; fewer may be used.</param>
    /// <param name="training">Whether <see cref="Train"/> will be called; without, there is no room for gradients.</param>
    /// <param name="maximumShards">The most shards of a slice.</param>
    /// <param name="segmentTime">Time steps of a segment: longer windows are trained and evaluated in segments, and activations computed twice. 0: windows are computed whole.</param>
    /// <param name="gradientShards">The most shards of a slice that is trained in segments; 0: as many as <paramref name="maximumShards"/>.</param>
    /// <param name="contextTime">The most time steps that <see cref="Continue"/> goes on from, the new ones included; 0: there is no room to keep any.</param>
    /// <exception cref="ModelException">The model can't be computed like this: attention in segments, or a context where time steps depend on later ones.</exception>
    public ModelExecutor(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards = 256, int segmentTime = 0, int gradientShards = 0, int contextTime = 0)
        : this(model, maximumTime, maximumTargetTime, maximumRows, training, maximumShards, segmentTime, gradientShards, contextTime, onlyMeasure: false)
    {
    }

    private ModelExecutor(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards, int segmentTime, int gradientShards, int contextTime, bool onlyMeasure)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumTime, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumTargetTime, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maximumTargetTime, maximumTime);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumRows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumShards, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(segmentTime);
        ArgumentOutOfRangeException.ThrowIfNegative(gradientShards);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(gradientShards, maximumShards);
        ArgumentOutOfRangeException.ThrowIfNegative(contextTime);
        Model = model;
        bool writes = training && model.Config.TeacherForcing is { } forcing && (forcing.Ratio < 1.0 || forcing.Course != TeacherForcingCourse.Constant);
        this.contextTime = writes ? Math.Max(contextTime, maximumTargetTime) : contextTime;
        if (model.NeedsContext && segmentTime > 0 && segmentTime < maximumTime)
        {
            throw new ModelException("layers", "Attention, positions and convolutions need the whole window: activations can't be computed again segment by segment. Set cluster.recompute: false, or shorten the window.");
        }

        if (contextTime > 0 && model.ReadsAhead && !model.IsEncoderDecoder)
        {
            throw new ModelException("layers", "The model can't go on token by token: it sees later time steps. Train attention with causal: true, convolutions with padding: causal and stride: 1.");
        }

        this.segmentTime = segmentTime == 0 || model.ReadsAhead ? maximumTime : Math.Min(segmentTime, maximumTime);
        this.gradientShards = gradientShards == 0 ? maximumShards : gradientShards;
        lastCoupling = Array.FindLastIndex([.. model.CreateLayers().Skip(model.EncoderLayerCount)], layer => layer.CouplesTime);
        sumsOfShards = new nint[maximumShards];
        this.maximumTime = maximumTime;
        this.maximumTargetTime = maximumTargetTime;
        this.maximumRows = maximumRows;
        this.maximumShards = maximumShards;
        this.training = training;
        rowCounts = new int[maximumShards];
        tensors = [.. model.Layout.Tensors];
        frozen = [.. tensors.Where(tensor => tensor.IsFrozen)];
        long arenaBytes = Arena.Measure(Plan);
        MemoryBytes = arenaBytes;
        if (model.IsEncoderDecoder)
        {
            MemoryBytes += SpanBatch.MeasureBytes(maximumTime, maximumRows, 0, 0) + (writes ? SpanBatch.MeasureBytes(1, maximumRows, 0, 0) : 0);
        }

        arena = new Arena(onlyMeasure ? 0 : arenaBytes);
        if (!onlyMeasure)
        {
            targets = model.IsEncoderDecoder ? new SpanBatch(maximumTime, maximumRows, 0, 0) : null;
            written = writes ? new SpanBatch(1, maximumRows, 0, 0) : null;
            Plan(arena);
        }
    }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>The bytes of all buffers, packed weights included.</summary>
    public long MemoryBytes { get; }

    /// <summary>The bytes an executor of these limits reserves, without reserving them.</summary>
    /// <inheritdoc cref="ModelExecutor(Model, int, int, int, bool, int, int, int, int)" path="/param"/>
    public static long MeasureBytes(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards = 256, int segmentTime = 0, int gradientShards = 0)
    {
        using var executor = new ModelExecutor(model, maximumTime, maximumTargetTime, maximumRows, training, maximumShards, segmentTime, gradientShards, 0, onlyMeasure: true);
        return executor.MemoryBytes;
    }

    /// <summary>Takes over the parameters of a version and packs the weights once for all time steps.</summary>
    /// <param name="parameters">The flat vector; it must stay valid and unchanged until the next call.</param>
    public void LoadParameters(float* parameters)
    {
        foreach (Layer layer in encoder?.Layers ?? [])
        {
            layer.Pack(parameters);
        }

        foreach (Layer layer in layers)
        {
            layer.Pack(parameters);
        }

        loaded = true;
    }

    /// <summary>Forward, loss and backward over a window.</summary>
    /// <param name="batch">The rows of the slice, in shard order.</param>
    /// <param name="slice">Its shards.</param>
    /// <param name="stateIn">[rows, <see cref="Model.StateWidth"/>]; may be null if the slice resets the state.</param>
    /// <param name="stateOut">[rows, <see cref="Model.StateWidth"/>], overwritten; null if nobody needs it. It may be <paramref name="stateIn"/>.</param>
    /// <param name="subtreeGradients">For each of <c>slice.Merge.Subtrees</c> a flat vector: the gradient of the subtree's summed loss, overwritten, padding +0.</param>
    /// <param name="sums">Loss, metrics and counts of each shard, overwritten.</param>
    /// <param name="layerFinished">Is told the number of each layer, descending, as soon as the gradients of its tensors are final in all subtrees. Not where the window is computed in segments: then nothing is final before the end.</param>
    public void Train(SpanBatch batch, TrainingSlice slice, float* stateIn, float* stateOut, float** subtreeGradients, ShardSums sums, Action<int>? layerFinished = null)
    {
        if (!training)
        {
            throw new InvalidOperationException("This executor has no room for gradients; construct it with training: true.");
        }

        step.SubtreeGradients = subtreeGradients;
        batch = Begin(batch, slice, sums, isTraining: true);
        stateIn = step.IsReset ? null : rowOrder.StatesIn(stateIn);
        if (batch.Time > segmentTime)
        {
            TrainInSegments(batch, slice, stateIn, rowOrder.StatesOut(stateOut), subtreeGradients, sums);
            rowOrder.FinishStates(stateOut);
            return;
        }

        LoadScopes(batch, slice);
        ClearPadding(slice.Merge.Subtrees.Length, subtreeGradients);
        Forward(batch, stateIn);
        loss.Forward(batch, rowOrder, sums);
        encoder?.Memory.ClearGradients();
        for (int i = layers.Length - 1; i >= 0; i--)
        {
            Backward(layers[i], step, layerFinished);
        }

        for (int i = Model.EncoderLayerCount - 1; i >= 0; i--)
        {
            Backward(encoder!.Layers[i], encoder.Step, layerFinished);
        }

        StoreState(slice.CaptureTime, stateOut);
    }

    /// <summary>Forward and loss over a window, without dropout.</summary>
    /// <inheritdoc cref="Train" path="/param"/>
    public void Evaluate(SpanBatch batch, TrainingSlice slice, float* stateIn, float* stateOut, ShardSums sums)
    {
        batch = Begin(batch, slice, sums, isTraining: false);
        stateIn = step.IsReset ? null : rowOrder.StatesIn(stateIn);
        if (batch.Time > segmentTime)
        {
            StatesOfSegments(batch, slice, stateIn, rowOrder.StatesOut(stateOut));
            BackThroughSegments(batch, slice, sums);
            rowOrder.FinishStates(stateOut);
            return;
        }

        LoadScopes(batch, slice);
        Forward(batch, stateIn);
        loss.Forward(batch, rowOrder, sums);
        StoreState(slice.CaptureTime, stateOut);
    }

    /// <summary>Forward over a window, without dropout. A decoder reads the batch's own targets.</summary>
    /// <param name="batch">The rows.</param>
    /// <param name="stateIn">[rows, <see cref="Model.StateWidth"/>], or null where the rows begin: the zero state, or the one that a layer has learned.</param>
    /// <param name="stateOut">The state after each row's last time step, overwritten; null if nobody needs it. It may be <paramref name="stateIn"/>.</param>
    /// <param name="outputs">[TargetTime, rows, <see cref="Model.OutputWidth"/>], overwritten; rows that have ended hold junk.</param>
    /// <param name="logits">Whether to leave out the last function that the loss takes over (<see cref="Model.FinalActivation"/>).</param>
    public void Predict(SpanBatch batch, float* stateIn, float* stateOut, float* outputs, bool logits = false)
    {
        CheckBatch(batch);
        if (batch.Time > segmentTime)
        {
            throw new InvalidOperationException($"The window is {batch.Time} time steps, a segment {segmentTime}: predictions are made of whole windows.");
        }

        if (encoder is not null)
        {
            Encode(batch);
            batch = Targets(batch);
            stateIn = null; // a decoder starts from its encoder
        }

        Run(batch, stateIn, stateOut, outputs, logits);
    }

    /// <summary>
    /// Reads the sources of a model from one sequence to another, without dropout. Then <see cref="Continue"/> writes their targets, from
    /// <see cref="SequenceTokens.Beginning"/> on: of each source's row as many rows in turn as the decoder's batch has times more.
    /// </summary>
    /// <param name="batch">The sources; targets are not looked at.</param>
    /// <exception cref="InvalidOperationException">The model has no encoder.</exception>
    public void Encode(SpanBatch batch)
    {
        CheckBatch(batch);
        if (encoder is null)
        {
            throw new InvalidOperationException("The model has no encoder.");
        }

        step.IsTraining = false;
        encoder.Forward(batch, default, step);
        ReadMemory();
        encodedRows = batch.Rows;
        Forget();
    }

    /// <summary>Lets each row go on from the time steps that are kept of another, as beam search needs it. States that the caller keeps are the caller's to rearrange.</summary>
    /// <param name="from">[rows]: whose time steps each row goes on from; all hypotheses of one source come from that source's rows.</param>
    public void Reorder(ReadOnlySpan<int> from)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(from.Length, pastRows, nameof(from));
        fixed (int* rows = from)
        {
            foreach (Layer layer in layers)
            {
                layer.Reorder(rows, pastRows, pastTime);
            }
        }
    }

    private void Run(SpanBatch batch, float* stateIn, float* stateOut, float* outputs, bool logits)
    {
        rowOrder.Load(batch);
        LoadScopes(batch, 0, batch.Time, default, default);
        step.IsTraining = false;
        step.IsReset = stateIn is null;
        step.Batch = batch;
        step.RowOrder = rowOrder;
        Forward(batch, rowOrder.StatesIn(stateIn));
        StoreState(batch.Time, stateOut);
        loss.Outputs(outputs, logits ? ActivationKind.Linear : Model.FinalActivation, rowOrder.Places);
    }

    /// <summary>Time steps that are kept: <see cref="Continue"/> goes on from them.</summary>
    public int PastTime => pastTime;

    /// <summary>
    /// Forward over time steps that follow those of the calls before, without dropout: gives the bits of <see cref="Predict"/>
    /// over all of them. Attention finds the keys and values of earlier time steps where it left them.
    /// </summary>
    /// <param name="batch">The rows, none of them ended; the same rows in every call until <see cref="Forget"/>.</param>
    /// <param name="stateIn">[rows, <see cref="Model.StateWidth"/>], or null for the zero state.</param>
    /// <param name="stateOut">The state after the last time step, overwritten; null if nobody needs it. It may be <paramref name="stateIn"/>.</param>
    /// <param name="outputs">[TargetTime, rows, <see cref="Model.OutputWidth"/>], overwritten.</param>
    /// <param name="logits">Whether to leave out the last function that the loss takes over (<see cref="Model.FinalActivation"/>).</param>
    /// <exception cref="InvalidOperationException">There is no room for so many time steps.</exception>
    public void Continue(SpanBatch batch, float* stateIn, float* stateOut, float* outputs, bool logits = false)
    {
        if (encoder is null)
        {
            CheckBatch(batch);
        }
        else
        {
            CheckWritten(batch);
        }

        if (pastTime + batch.Time > contextTime)
        {
            throw new InvalidOperationException($"{pastTime} time steps are kept and {batch.Time} more were given; there is room for {contextTime}.");
        }

        if (pastTime > 0 && batch.Rows != pastRows)
        {
            throw new ArgumentException($"The time steps that are kept are those of {pastRows} rows, the batch has {batch.Rows}.", nameof(batch));
        }

        step.HasContext = true;
        step.PastTime = pastTime;
        try
        {
            Run(batch, stateIn, stateOut, outputs, logits);
        }
        finally
        {
            step.HasContext = false;
            step.PastTime = 0;
        }

        pastTime += batch.Time;
        pastRows = batch.Rows;
    }

    /// <summary>Forgets the time steps that are kept.</summary>
    public void Forget() => pastTime = 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        targets?.Dispose();
        written?.Dispose();
        arena.Dispose();
    }

    private void Plan(Arena from)
    {
        int targetTime = Math.Min(segmentTime, maximumTargetTime);
        Layer[] all = [.. Model.CreateLayers()];
        if (Model.IsEncoderDecoder)
        {
            encoder = new EncoderPass(Model, all[..Model.EncoderLayerCount], from, maximumTime, maximumRows, maximumShards, training);
        }

        var plan = new LayerPlan(from, segmentTime, maximumTime, maximumRows, maximumShards, training, contextTime, Model.DocumentStart >= 0) { Memory = encoder?.Memory };
        windowScope = new StepScope(from, segmentTime, segmentTime, maximumRows, maximumShards);
        targetScope = new StepScope(from, segmentTime, targetTime, maximumRows, maximumShards);
        lastScope = new StepScope(from, 1, 1, maximumRows, maximumShards);
        shortenedScopes.Clear();
        rowOrder = new RowOrder(from, Model, encoder is not null || Model.Input == InputKind.Tokens, segmentTime, targetTime, maximumRows);
        layers = all[Model.EncoderLayerCount..];
        Connect(from);
        foreach (Layer layer in layers)
        {
            layer.Bind(Model.Layout);
            layer.Plan(plan);
        }

        loss = new LossHead(Model, layers[^1].Output, plan, targetTime);
        step.Workspace = training ? new Workspace(from, plan.MaximumCells, all.Max(WeightColumns)) : new Workspace(from);
        if (encoder is not null)
        {
            encoder.Memory.DecoderOrder = rowOrder;
            bool writes = training && contextTime > 0;
            writtenState = from.Floats(writes ? (long)maximumRows * Model.StateWidth : 0);
            writtenLogits = from.Floats(writes ? (long)maximumRows * Model.OutputWidth : 0);
        }

        if (segmentTime < maximumTime)
        {
            segmentStates = from.Floats((long)SegmentsOf(maximumTime) * maximumRows * Model.StateWidth);
            shardGradients = training ? from.Floats((gradientShards - 1L) * Model.Layout.Length) : null;
        }
    }

    /// <summary>The columns of a layer's weights that are rearranged together: those of input and state.</summary>
    private int WeightColumns(Layer layer)
    {
        bool readsTokens = layer is EmbeddingLayer or OneHotLayer; // no product has a column for each
        int input = readsTokens ? 0 : (layer.Input.Width + 31) & ~31;
        return layer.CouplesTime ? Math.Max(input + layer.OutputWidth, layer.WidestOperand) : Math.Max(input, layer.OutputWidth);
    }

    /// <summary>Gives every activation its width and time axis.</summary>
    private void Connect(Arena from)
    {
        bool ended = false;
        int time = segmentTime;
        StepScope? shortened = null;
        int inputWidth = encoder is null ? Model.InputWidth : Model.OutputWidth;
        var flowing = new Signal(inputWidth) { Stride = inputWidth, MaximumTime = segmentTime };
        flowing.Scope = lastCoupling < 0 ? targetScope : windowScope;
        for (int i = 0; i < layers.Length; i++)
        {
            Layer layer = layers[i];
            ended |= layer.ReturnsLast;
            layer.Input = flowing;
            if (!ended && layer.TimeKernel is { KeepsTime: false } kernel)
            {
                time = kernel.After(time);
                shortened = new StepScope(from, time, time, maximumRows, maximumShards);
                shortenedScopes.Add((shortened, flowing.Scope, kernel));
            }

            flowing = new Signal(layer.OutputWidth)
            {
                Scope = ended ? lastScope : shortened ?? (i >= lastCoupling ? targetScope : windowScope),
                MaximumTime = ended ? 1 : time,
            };
            layer.Output = flowing;
        }
    }

    // Returns what the layers are computed over: the batch, or the targets that a decoder reads.
    private SpanBatch Begin(SpanBatch batch, in TrainingSlice slice, ShardSums sums, bool isTraining)
    {
        ArgumentNullException.ThrowIfNull(sums);
        CheckBatch(batch);
        loss.Check(batch);
        MergeProgram merge = slice.Merge;
        if (slice.RowStarts.Length != merge.Range.Count + 1 || slice.RowStarts[0] != 0 || slice.RowStarts[^1] != batch.Rows)
        {
            throw new ArgumentException($"A slice of {merge.Range.Count} shards with {batch.Rows} rows needs {merge.Range.Count + 1} row starts from 0 to {batch.Rows}.", nameof(slice));
        }

        ArgumentOutOfRangeException.ThrowIfGreaterThan(merge.Range.Count, maximumShards, nameof(slice));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)slice.CaptureTime, (uint)batch.Time, nameof(slice));
        sums.Reset(merge.Range.Count);
        int shards = merge.Range.Count;
        for (int shard = 0; shard < shards; shard++)
        {
            rowCounts[shard] = slice.RowStarts[shard + 1] - slice.RowStarts[shard];
        }

        step.IsReset = slice.ResetState || encoder is not null;
        step.RowStarts = slice.RowStarts;
        step.IsStart = true;
        step.IsEnd = true;
        step.Merge = merge;
        step.Seed = slice.Seed;
        step.Version = slice.Version;
        step.IsTraining = isTraining;
        if (encoder is not null)
        {
            encoder.Forward(batch, slice.RowStarts, step);
            ReadMemory();
            encodedRows = batch.Rows;
            batch = Targets(batch);
            double ratio = isTraining ? Model.Config.TeacherForcing?.RatioAt(slice.Version) ?? 1.0 : 1.0;
            if (ratio < 1.0)
            {
                WriteInputs(batch, ratio);
            }
        }

        rowOrder.Load(batch);
        step.Batch = batch;
        step.RowOrder = rowOrder;
        step.ShardRows = lastScope.Shards;
        step.IsTraining = isTraining;
        return batch;
    }

    private void ReadMemory()
    {
        foreach (Layer layer in layers)
        {
            layer.ReadMemory(step);
        }
    }

    // What the decoder reads and writes: of each row the targets before its first -1, and <bos> with all of them but the last.
    private SpanBatch Targets(SpanBatch batch)
    {
        SpanBatch into = targets!;
        int rows = batch.Rows;
        (into.Time, into.TargetTime, into.Rows, into.FirstRow, into.StartTime) = (batch.TargetTime, batch.TargetTime, rows, batch.FirstRow, 0);
        for (int row = 0; row < rows; row++)
        {
            into.RowIds[row] = batch.RowIds[row];
            int length = 0, before = SequenceTokens.Beginning;
            for (int time = 0; time < batch.TargetTime; time++)
            {
                int cell = (time * rows) + row, target = batch.TargetTokens[cell];
                bool isTarget = target >= 0 && length == time;
                length += isTarget ? 1 : 0;
                into.TargetTokens[cell] = isTarget ? target : -1;
                into.Tokens[cell] = isTarget ? before : SequenceTokens.Padding;
                before = target;
            }

            into.Lengths[row] = length;
        }

        return into;
    }

    // Scheduled sampling: time step by time step the decoder writes, without dropout, and what a draw takes from the targets it reads next.
    private void WriteInputs(SpanBatch batch, double ratio)
    {
        bool isTraining = step.IsTraining;
        var key = new RandomKey(step.Seed, RandomPurpose.Noise, 0, (ulong)step.Version);
        SpanBatch next = written!;
        int rows = batch.Rows, time = 0;
        (next.Time, next.TargetTime, next.Rows, next.FirstRow, next.StartTime) = (1, 1, rows, batch.FirstRow, 0);
        Forget();
        while (time < batch.Time - 1 && AnyLonger(batch, time + 1))
        {
            new ReadOnlySpan<int>(batch.Tokens + ((long)time * rows), rows).CopyTo(new Span<int>(next.Tokens, rows));
            new Span<int>(next.Lengths, rows).Fill(1);
            Continue(next, time == 0 ? null : writtenState, writtenState, writtenLogits, logits: true);
            time++;
            for (int row = 0; row < rows; row++)
            {
                if (time < batch.Lengths[row] && key.Uniform(batch.FirstRow + row, time, 0) >= ratio)
                {
                    batch.Tokens[((long)time * rows) + row] = Largest(new ReadOnlySpan<float>(writtenLogits + ((long)row * Model.OutputWidth), Model.OutputWidth));
                }
            }
        }

        Forget();
        step.IsTraining = isTraining;
        step.IsReset = true;
    }

    private static bool AnyLonger(SpanBatch batch, int time)
    {
        for (int row = 0; row < batch.Rows; row++)
        {
            if (batch.Lengths[row] > time)
            {
                return true;
            }
        }

        return false;
    }

    // The first of the greatest.
    private static int Largest(ReadOnlySpan<float> logits)
    {
        int largest = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            largest = logits[i] > logits[largest] ? i : largest;
        }

        return largest;
    }

    private void CheckWritten(SpanBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (encodedRows == 0)
        {
            throw new InvalidOperationException("Encode the sources before their targets are written.");
        }

        if (batch.Tokens is null || batch.Rows % encodedRows != 0 || batch.Rows > maximumRows || batch.Time > maximumTime || batch.TargetTime < 1 || batch.TargetTime > Math.Min(batch.Time, maximumTargetTime))
        {
            throw new ArgumentException($"A decoder writes tokens for a multiple of the {encodedRows} rows of its sources, at most {maximumRows}, at most {maximumTime} time steps at once ({maximumTargetTime} with targets); the batch has {batch.Rows} rows of {batch.Time} ({batch.TargetTime}).", nameof(batch));
        }

        encoder!.Memory.RowsPerSource = batch.Rows / encodedRows;
    }

    private void CheckBatch(SpanBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (!loaded)
        {
            throw new InvalidOperationException("Load parameters before computing.");
        }

        if (batch.Time < 1 || batch.Time > maximumTime || batch.Rows > maximumRows || batch.TargetTime < 1 || batch.TargetTime > maximumTargetTime || batch.TargetTime > batch.Time)
        {
            throw new ArgumentException($"The batch is {batch.Time} time steps ({batch.TargetTime} with targets) x {batch.Rows} rows; there is room for {maximumTime} ({maximumTargetTime}) x {maximumRows}.", nameof(batch));
        }

        if (Model.ReturnsLast && batch.TargetTime != 1)
        {
            throw new ArgumentException($"The model gives one output a row, the batch has targets at {batch.TargetTime} time steps.", nameof(batch));
        }

        if (Model.Input == InputKind.Tokens ? batch.Tokens is null : batch.Features is null || batch.FeatureWidth != Model.InputWidth)
        {
            throw new ArgumentException($"The model reads {Model.Input} of width {Model.InputWidth}, the batch holds {(batch.FeatureWidth == 0 ? "tokens" : $"features of width {batch.FeatureWidth}")}.", nameof(batch));
        }
    }

    private void LoadScopes(SpanBatch batch, in TrainingSlice slice) => LoadScopes(batch, slice, 0, batch.Time);

    private void LoadScopes(SpanBatch batch, in TrainingSlice slice, int start, int time)
    {
        int shards = slice.Merge.Range.Count;
        LoadScopes(batch, start, time, slice.RowStarts.AsSpan(0, shards), rowCounts.AsSpan(0, shards));
    }

    private void LoadScopes(SpanBatch batch, int start, int time, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        windowScope.Load(batch, rowOrder, start, time, start, firstRows, rowCounts);
        targetScope.Load(batch, rowOrder, start, time, batch.Time - batch.TargetTime, firstRows, rowCounts);
        lastScope.LoadLast(batch, rowOrder, firstRows, rowCounts);
        foreach ((StepScope scope, StepScope before, TimeKernel kernel) in shortenedScopes)
        {
            scope.LoadAfter(before, kernel, rowOrder, firstRows, rowCounts);
        }
    }

    private void Forward(SpanBatch batch, float* stateIn)
    {
        LoadInput(batch, 0);
        LoadState(stateIn);
        foreach (Layer layer in layers)
        {
            layer.Forward(step);
        }
    }

    private void LoadInput(SpanBatch batch, int start)
    {
        long cell = (long)start * batch.Rows;
        Signal input = layers[0].Input;
        input.Tokens = batch.Tokens is null ? null : rowOrder.Tokens(batch.Tokens + cell, windowScope.Time);
        step.DocumentTokens = Model.DocumentStart >= 0 ? input.Tokens : null;
        step.DocumentStart = Model.DocumentStart;
        input.Values = batch.Features is null ? null : rowOrder.Features(batch.Features + (cell * batch.FeatureWidth), windowScope.Time, batch.FeatureWidth);
    }

    private void LoadState(float* state)
    {
        foreach (Layer layer in layers)
        {
            if (layer.StateWidth > 0)
            {
                layer.LoadState(state, Model.StateWidth);
                state = state is null ? null : state + layer.StateWidth;
            }
        }
    }

    private void StoreState(int captureTime, float* stateOut)
    {
        StoreStates(captureTime, rowOrder.StatesOut(stateOut));
        rowOrder.FinishStates(stateOut);
    }

    private void StoreStates(int captureTime, float* stateOut)
    {
        foreach (Layer layer in layers)
        {
            if (layer.StateWidth > 0 && stateOut is not null)
            {
                layer.StoreState(captureTime, stateOut, Model.StateWidth);
                stateOut += layer.StateWidth;
            }
        }
    }

    private int SegmentsOf(int time) => (time + segmentTime - 1) / segmentTime;

    private void TrainInSegments(SpanBatch batch, in TrainingSlice slice, float* stateIn, float* stateOut, float** subtreeGradients, ShardSums sums)
    {
        MergeProgram merge = slice.Merge;
        int shards = merge.Range.Count, spare = 0;
        if (shards - merge.Subtrees.Length >= gradientShards)
        {
            throw new ArgumentException($"A slice of {shards} shards is trained in segments; there is room for the gradients of {gradientShards}.", nameof(slice));
        }

        StatesOfSegments(batch, slice, stateIn, stateOut);
        fixed (nint* pointers = sumsOfShards)
        {
            float** gradients = (float**)pointers; // [shards]
            for (int shard = 0, subtree = 0; shard < shards; shard++)
            {
                bool isFirst = shard == 0 || merge.OutputAfter[shard - 1] >= 0;
                gradients[shard] = isFirst ? subtreeGradients[subtree++] : shardGradients + (spare++ * Model.Layout.Length);
            }

            ClearPadding(shards, gradients);
            step.Merge = merge.Apart;
            step.SubtreeGradients = gradients;
            BackThroughSegments(batch, slice, sums);
            Join(merge, gradients);
        }

        for (int layer = 0; layer < layers.Length && frozen.Length > 0; layer++)
        {
            ClearFrozen(layer, merge.Subtrees.Length, subtreeGradients);
        }
    }

    /// <summary>Forward through the layers that carry a state: keeps the state at the start of each segment, and the one to be captured.</summary>
    private void StatesOfSegments(SpanBatch batch, in TrainingSlice slice, float* stateIn, float* stateOut)
    {
        int segments = SegmentsOf(batch.Time);
        long floats = (long)batch.Rows * Model.StateWidth;
        var first = new Span<float>(segmentStates, checked((int)floats));
        if (stateIn is null)
        {
            first.Clear();
        }
        else
        {
            new ReadOnlySpan<float>(stateIn, (int)floats).CopyTo(first); // stateOut may be stateIn
        }

        for (int segment = 0; segment < segments; segment++)
        {
            int start = segment * segmentTime, time = Math.Min(segmentTime, batch.Time - start);
            LoadSegment(batch, slice, start, time, segmentStates + (segment * floats), sums: false);
            for (int i = 0; i <= lastCoupling; i++)
            {
                layers[i].Forward(step);
            }

            if (segment < segments - 1)
            {
                StoreStates(time, segmentStates + ((segment + 1) * floats));
            }

            if (slice.CaptureTime > start - (segment == 0 ? 1 : 0) && slice.CaptureTime <= start + time)
            {
                StoreStates(slice.CaptureTime - start, stateOut);
            }
        }
    }

    /// <summary>Loss and, in training, gradients, from the last segment to the first.</summary>
    private void BackThroughSegments(SpanBatch batch, in TrainingSlice slice, ShardSums sums)
    {
        int segments = SegmentsOf(batch.Time), firstTarget = Model.ReturnsLast ? batch.Time - 1 : batch.Time - batch.TargetTime;
        for (int segment = segments - 1; segment >= 0; segment--)
        {
            int start = segment * segmentTime, time = Math.Min(segmentTime, batch.Time - start);
            bool hasTargets = start + time > firstTarget;
            if (!hasTargets && !step.IsTraining)
            {
                break;
            }

            step.IsStart = segment == 0;
            step.IsEnd = segment == segments - 1;
            LoadSegment(batch, slice, start, time, segmentStates + ((long)segment * batch.Rows * Model.StateWidth), sums: true);
            int ran = step.IsEnd && lastCoupling >= 0 ? lastCoupling + 1 : 0; // the last segment's states were computed last
            int end = hasTargets ? layers.Length : lastCoupling + 1;
            for (int i = ran; i < end; i++)
            {
                layers[i].Forward(step);
            }

            if (hasTargets)
            {
                loss.Forward(batch, rowOrder, sums);
            }

            for (int i = end - 1; i >= Model.FirstTrainedLayer && step.IsTraining; i--)
            {
                layers[i].Backward(step);
            }
        }
    }

    private void LoadSegment(SpanBatch batch, in TrainingSlice slice, int start, int time, float* state, bool sums)
    {
        if (sums)
        {
            LoadScopes(batch, slice, start, time);
        }
        else
        {
            LoadScopes(batch, start, time, default, default);
        }

        LoadInput(batch, start);
        LoadState(start == 0 && step.IsReset ? null : state);
    }

    /// <summary>Joins the gradients of shards along the tree, each subtree in the place of its first shard.</summary>
    private void Join(MergeProgram merge, float** gradients)
    {
        int depth = 0;
        for (int shard = 0; shard < merge.Range.Count; shard++)
        {
            gradients[depth++] = gradients[shard]; // the stack lies where gradients were read
            for (int i = 0; i < merge.MergesAfter[shard]; i++)
            {
                depth--;
                ElementwiseFunctions.Add(Model.Layout.Length, gradients[depth - 1], gradients[depth], gradients[depth - 1]);
            }

            depth = merge.OutputAfter[shard] >= 0 ? 0 : depth;
        }
    }

    /// <summary>What is frozen has the gradient +0, whatever the layers above it have written there.</summary>
    private void Backward(Layer layer, TrainingStep of, Action<int>? layerFinished)
    {
        if (layer.Index >= Model.FirstTrainedLayer)
        {
            layer.Backward(of);
        }

        ClearFrozen(layer.Index, of.Merge.Subtrees.Length, of.SubtreeGradients);
        layerFinished?.Invoke(layer.Index);
    }

    private void ClearFrozen(int layer, int subtrees, float** gradients)
    {
        foreach (ParameterTensor tensor in frozen)
        {
            for (int i = 0; i < subtrees && tensor.Layer == layer; i++)
            {
                new Span<float>(gradients[i] + tensor.Offset, (int)tensor.Count).Clear();
            }
        }
    }

    private void ClearPadding(int subtrees, float** gradients)
    {
        foreach (ParameterTensor tensor in tensors)
        {
            long padding = (long)tensor.BlockCount * ParameterLayout.BlockSize - tensor.Count;
            for (int i = 0; i < subtrees; i++)
            {
                new Span<float>(gradients[i] + tensor.Offset + tensor.Count, (int)padding).Clear();
            }
        }
    }
}
