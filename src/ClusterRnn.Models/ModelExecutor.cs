// Computes with a model: forward, loss, backward over a whole window for all rows of a slice at once, with the sums over
// rows formed per shard. One executor for each compute thread. All its buffers come from one arena at construction;
// nothing is allocated per step.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>A model with buffers for windows up to a given size.</summary>
public sealed unsafe class ModelExecutor : IDisposable
{
    private readonly int maximumTime;
    private readonly int maximumTargetTime;
    private readonly int maximumRows;
    private readonly int maximumShards;
    private readonly bool training;
    private readonly TrainingStep step = new();
    private readonly int[] rowCounts;
    private readonly ParameterTensor[] tensors;
    private readonly Arena arena;
    private StepScope windowScope = null!;
    private StepScope targetScope = null!;
    private StepScope lastScope = null!;
    private Layer[] layers = null!;
    private LossHead loss = null!;
    private bool loaded;

    /// <summary>Reserves all buffers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="maximumTime">The longest window.</param>
    /// <param name="maximumTargetTime">The most time steps with targets.</param>
    /// <param name="maximumRows">The most rows; fewer may be used.</param>
    /// <param name="training">Whether <see cref="Train"/> will be called; without, there is no room for gradients.</param>
    /// <param name="maximumShards">The most shards of a slice.</param>
    public ModelExecutor(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards = 256)
        : this(model, maximumTime, maximumTargetTime, maximumRows, training, maximumShards, onlyMeasure: false)
    {
    }

    private ModelExecutor(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards, bool onlyMeasure)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumTime, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumTargetTime, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maximumTargetTime, maximumTime);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumRows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumShards, 1);
        Model = model;
        this.maximumTime = maximumTime;
        this.maximumTargetTime = maximumTargetTime;
        this.maximumRows = maximumRows;
        this.maximumShards = maximumShards;
        this.training = training;
        rowCounts = new int[maximumShards];
        tensors = [.. model.Layout.Tensors];
        MemoryBytes = Arena.Measure(Plan);
        arena = new Arena(onlyMeasure ? 0 : MemoryBytes);
        if (!onlyMeasure)
        {
            Plan(arena);
        }
    }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>The bytes of all buffers, packed weights included.</summary>
    public long MemoryBytes { get; }

    /// <summary>The bytes an executor of these limits reserves, without reserving them.</summary>
    /// <inheritdoc cref="ModelExecutor(Model, int, int, int, bool, int)" path="/param"/>
    public static long MeasureBytes(Model model, int maximumTime, int maximumTargetTime, int maximumRows, bool training, int maximumShards = 256)
    {
        using var executor = new ModelExecutor(model, maximumTime, maximumTargetTime, maximumRows, training, maximumShards, onlyMeasure: true);
        return executor.MemoryBytes;
    }

    /// <summary>Takes over the parameters of a version and packs the weights once for all time steps.</summary>
    /// <param name="parameters">The flat vector; it must stay valid and unchanged until the next call.</param>
    public void LoadParameters(float* parameters)
    {
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
    public void Train(SpanBatch batch, TrainingSlice slice, float* stateIn, float* stateOut, float** subtreeGradients, ShardSums sums)
    {
        if (!training)
        {
            throw new InvalidOperationException("This executor has no room for gradients; construct it with training: true.");
        }

        Begin(batch, slice, sums, isTraining: true);
        step.SubtreeGradients = subtreeGradients;
        ClearPadding(slice.Merge.Subtrees.Length, subtreeGradients);
        Forward(batch, slice.ResetState ? null : stateIn);
        loss.Forward(batch, sums);
        for (int i = layers.Length - 1; i >= 0; i--)
        {
            layers[i].Backward(step);
        }

        StoreState(slice.CaptureTime, stateOut);
    }

    /// <summary>Forward and loss over a window, without dropout.</summary>
    /// <inheritdoc cref="Train" path="/param"/>
    public void Evaluate(SpanBatch batch, TrainingSlice slice, float* stateIn, float* stateOut, ShardSums sums)
    {
        Begin(batch, slice, sums, isTraining: false);
        Forward(batch, slice.ResetState ? null : stateIn);
        loss.Forward(batch, sums);
        StoreState(slice.CaptureTime, stateOut);
    }

    /// <summary>Forward over a window, without dropout.</summary>
    /// <param name="batch">The rows.</param>
    /// <param name="stateIn">[rows, <see cref="Model.StateWidth"/>], or null for the zero state.</param>
    /// <param name="stateOut">The state after each row's last time step, overwritten; null if nobody needs it. It may be <paramref name="stateIn"/>.</param>
    /// <param name="outputs">[TargetTime, rows, <see cref="Model.OutputWidth"/>], overwritten; rows that have ended hold junk.</param>
    /// <param name="logits">Whether to leave out the last function that the loss takes over (<see cref="Model.FinalActivation"/>).</param>
    public void Predict(SpanBatch batch, float* stateIn, float* stateOut, float* outputs, bool logits = false)
    {
        CheckBatch(batch);
        LoadScopes(batch, default, default);
        step.IsTraining = false;
        Forward(batch, stateIn);
        StoreState(batch.Time, stateOut);
        loss.Outputs(outputs, logits ? ActivationKind.Linear : Model.FinalActivation);
    }

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    private void Plan(Arena from)
    {
        var plan = new LayerPlan(from, maximumTime, maximumRows, maximumShards, training);
        windowScope = new StepScope(from, maximumTime, maximumRows, maximumShards);
        targetScope = new StepScope(from, maximumTargetTime, maximumRows, maximumShards);
        lastScope = new StepScope(from, 1, maximumRows, maximumShards);
        layers = [.. Model.CreateLayers()];
        Connect();
        foreach (Layer layer in layers)
        {
            layer.Bind(Model.Layout);
            layer.Plan(plan);
        }

        loss = new LossHead(Model, layers[^1].Output, plan, maximumTargetTime);
        step.Workspace = training ? new Workspace(from, plan.MaximumCells, layers.Max(WeightColumns)) : new Workspace(from);
    }

    /// <summary>The columns of a layer's weights that are rearranged together: those of input and state.</summary>
    private int WeightColumns(Layer layer)
    {
        bool readsTokens = layer == layers[0] && Model.Input == InputKind.Tokens; // no product has a column for each
        int input = readsTokens ? 0 : (layer.Input.Width + 31) & ~31;
        return layer.StateWidth > 0 ? input + layer.OutputWidth : Math.Max(input, layer.OutputWidth);
    }

    /// <summary>Gives every activation its width and time axis.</summary>
    private void Connect()
    {
        int lastCoupling = Array.FindLastIndex(layers, layer => layer.CouplesTime);
        bool ended = false;
        var flowing = new Signal(Model.InputWidth) { Stride = Model.InputWidth, MaximumTime = maximumTime };
        flowing.Scope = lastCoupling < 0 ? targetScope : windowScope;
        for (int i = 0; i < layers.Length; i++)
        {
            Layer layer = layers[i];
            ended |= layer.ReturnsLast;
            layer.Input = flowing;
            flowing = new Signal(layer.OutputWidth)
            {
                Scope = ended ? lastScope : i >= lastCoupling ? targetScope : windowScope,
                MaximumTime = ended ? 1 : maximumTime,
            };
            layer.Output = flowing;
        }
    }

    private void Begin(SpanBatch batch, in TrainingSlice slice, ShardSums sums, bool isTraining)
    {
        ArgumentNullException.ThrowIfNull(sums);
        CheckBatch(batch);
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

        LoadScopes(batch, slice.RowStarts.AsSpan(0, shards), rowCounts.AsSpan(0, shards));
        step.Merge = merge;
        step.Seed = slice.Seed;
        step.Version = slice.Version;
        step.IsTraining = isTraining;
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

    private void LoadScopes(SpanBatch batch, ReadOnlySpan<int> firstRows, ReadOnlySpan<int> rowCounts)
    {
        windowScope.Load(batch, 0, last: false, firstRows, rowCounts);
        targetScope.Load(batch, batch.Time - batch.TargetTime, last: false, firstRows, rowCounts);
        lastScope.Load(batch, 0, last: true, firstRows, rowCounts);
    }

    private void Forward(SpanBatch batch, float* stateIn)
    {
        Signal input = layers[0].Input;
        input.Tokens = batch.Tokens;
        input.Values = batch.Features;
        float* state = stateIn;
        foreach (Layer layer in layers)
        {
            if (layer.StateWidth > 0)
            {
                layer.LoadState(state, Model.StateWidth);
                state = state is null ? null : state + layer.StateWidth;
            }

            layer.Forward(step);
        }
    }

    private void StoreState(int captureTime, float* stateOut)
    {
        if (stateOut is null)
        {
            return;
        }

        foreach (Layer layer in layers)
        {
            if (layer.StateWidth > 0)
            {
                layer.StoreState(captureTime, stateOut, Model.StateWidth);
                stateOut += layer.StateWidth;
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
