// What a layer is. A layer declares its tensors once for the model; for each executor it plans its buffers in the
// executor's arena, packs its weights when parameters arrive, and runs forward and backward over a whole span.
//
// The gradient rule, everywhere: parameters +=, activations =. A layer's backward pass overwrites its input's gradient
// in [From, T); parameter gradients are sums over rows, so they are formed per shard and merged along the canonical tree
// (TrainingStep says where the finished subtrees go). Rows never couple.
//
// A long window may be computed in segments, the last one first on the way back (ModelExecutor): then a layer has room for
// one segment, time steps count from its start, and what goes on from one segment to the one before it (the gradient of the
// state, every sum of a parameter's gradient) starts at the window's end and goes on in the others (TrainingStep.IsEnd).
//
// Activations are feature-padded: [T, B, Stride], Stride = the width rounded up to 16; a product never reads the padding.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Models;

/// <summary>A value that flows between layers, with its gradient.</summary>
internal sealed unsafe class Signal(int width)
{
    /// <summary>Values a position; for tokens the size of the vocabulary.</summary>
    public int Width { get; } = width;

    /// <summary>Floats from one row to the next.</summary>
    public int Stride { get; set; } = ColumnGroups.Pad(width);

    /// <summary>The values, or null for tokens.</summary>
    public float* Values { get; set; } // [T, B, Stride]

    /// <summary>Token ids, or null.</summary>
    public int* Tokens { get; set; } // [T, B]

    /// <summary>The embedding whose rows the values would be, where the next layer reads <see cref="Tokens"/> through its table instead.</summary>
    public EmbeddingLayer? Embedding { get; set; }

    /// <summary>The gradient, valid in [Scope.From, Scope.Time); null where nobody asks for it (the model's input).</summary>
    public float* Gradient { get; set; } // [T, B, Stride]

    /// <summary>Whether <see cref="Gradient"/> is asked for.</summary>
    public bool HasGradient { get; set; }

    /// <summary>The time axis it runs along, and where gradients begin.</summary>
    public StepScope Scope { get; set; } = null!;

    /// <summary>Time steps there is room for.</summary>
    public int MaximumTime { get; set; }

    /// <summary>How its columns lie in a row.</summary>
    public ColumnGroups Columns => Stride == ColumnGroups.Pad(Width) ? ColumnGroups.Padded(Width) : ColumnGroups.Dense(Width);

    /// <summary>Reserves values and, in training, a gradient.</summary>
    public void Reserve(LayerPlan plan)
    {
        ReserveValues(plan);
        ReserveGradient(plan);
    }

    /// <summary>Reserves values.</summary>
    public void ReserveValues(LayerPlan plan) => Values = plan.Arena.Floats((long)MaximumTime * plan.MaximumRows * Stride);

    /// <summary>Reserves, in training, a gradient.</summary>
    public void ReserveGradient(LayerPlan plan)
    {
        HasGradient = plan.IsTraining;
        Gradient = HasGradient ? plan.Arena.Floats((long)MaximumTime * plan.MaximumRows * Stride) : null;
    }

    /// <summary>The values of one time step.</summary>
    public float* At(int time) => Values + (long)time * Scope.Rows * Stride;

    /// <summary>The gradient of one time step.</summary>
    public float* GradientAt(int time) => Gradient + (long)time * Scope.Rows * Stride;
}

/// <summary>Where a layer's buffers come from.</summary>
internal sealed class LayerPlan(Arena arena, int maximumTime, int windowTime, int maximumRows, int maximumShards, bool isTraining, int contextTime = 0, bool hasDocuments = false)
{
    public Arena Arena { get; } = arena;

    /// <summary>The most time steps computed at once: the longest window, or segment of one.</summary>
    public int MaximumTime { get; } = maximumTime;

    public int MaximumRows { get; } = maximumRows;

    public int MaximumShards { get; } = maximumShards;

    /// <summary>Whether gradients are wanted.</summary>
    public bool IsTraining { get; } = isTraining;

    /// <summary>Time steps that <see cref="ModelExecutor.Continue"/> may go back to, or 0.</summary>
    public int ContextTime { get; } = contextTime;

    /// <summary>For a decoder's layers: what the encoder gives; else null.</summary>
    public EncodedMemory? Memory { get; init; }

    /// <summary>Whether documents begin within rows, see <see cref="Model.DocumentStart"/>.</summary>
    public bool HasDocuments { get; } = hasDocuments;

    /// <summary>The most cells computed at once.</summary>
    public long MaximumCells => (long)MaximumTime * MaximumRows;

    /// <summary>The most cells of a window.</summary>
    public long WindowCells => (long)windowTime * MaximumRows;
}

/// <summary>What the layers need to know about the step they run in. One object an executor, refilled each step.</summary>
internal sealed unsafe class TrainingStep
{
    /// <summary>How the shards are joined; null when nothing is trained.</summary>
    public MergeProgram Merge { get; set; } = null!;

    /// <summary>The gradient of each subtree, in the flat layout.</summary>
    public float** SubtreeGradients { get; set; } // [Merge.Subtrees.Length]

    /// <summary>The batch, all of its window, rows as they came.</summary>
    public SpanBatch Batch { get; set; } = null!;

    /// <summary>The rows of each shard, as they came: [shards + 1] bounds.</summary>
    public int[] RowStarts { get; set; } = null!;

    /// <summary>The order in which the rows of <see cref="Batch"/> are computed; scopes and activations are in this order.</summary>
    public RowOrder RowOrder { get; set; } = null!;

    /// <summary>The rows of each shard that have time steps at all, as cells of one time step.</summary>
    public ShardRows ShardRows { get; set; } = null!;

    /// <summary>The tokens that the model reads, where documents begin within rows; else null.</summary>
    public int* DocumentTokens { get; set; } // [T, B]

    /// <summary>The token that begins a document.</summary>
    public int DocumentStart { get; set; }

    /// <summary>Whether the rows start from no state but the layers' own.</summary>
    public bool IsReset { get; set; }

    /// <summary>Whether the segment is the window's first, or the window is computed whole.</summary>
    public bool IsStart { get; set; } = true;

    /// <summary>Whether the segment is the window's last, where the way back begins, or the window is computed whole.</summary>
    public bool IsEnd { get; set; } = true;

    /// <summary>Scratch that every product may use.</summary>
    public Workspace Workspace { get; set; } = null!;

    public ulong Seed { get; set; }

    public long Version { get; set; }

    /// <summary>Is told the gradients of recurrent states on the way back; null: nobody looks.</summary>
    public StateGradients? Watched { get; set; }

    /// <summary>Whether dropout is active and backward will follow.</summary>
    public bool IsTraining { get; set; }

    /// <summary>Whether the batch goes on from time steps that are kept (<see cref="ModelExecutor.Continue"/>).</summary>
    public bool HasContext { get; set; }

    /// <summary>The time steps that are kept: time step 0 follows them.</summary>
    public int PastTime { get; set; }

    /// <summary>Gives <paramref name="to"/> the gradient of <paramref name="from"/>: both add to the same value.</summary>
    public void CopyGradient(ParameterTensor from, ParameterTensor to) => CopyGradient(from, to, from.Count);

    /// <summary>The first elements of two tensors have the same gradient.</summary>
    public void CopyGradient(ParameterTensor from, ParameterTensor to, long count)
    {
        for (int i = 0; i < Merge.Subtrees.Length; i++)
        {
            float* gradient = SubtreeGradients[i];
            new ReadOnlySpan<float>(gradient + from.Offset, (int)count).CopyTo(new Span<float>(gradient + to.Offset, (int)count));
        }
    }
}

/// <summary>One layer: its tensors, its buffers, its forward and backward pass.</summary>
internal abstract unsafe class Layer(string name)
{
    /// <summary>The first part of its tensors' names.</summary>
    public string Name { get; } = name;

    /// <summary>Its place in forward order; keys its dropout and orders gradients.</summary>
    public int Index { get; set; }

    /// <summary>Whether it is one of an encoder's layers.</summary>
    public bool IsEncoder { get; set; }

    /// <summary>Whether it is one of a decoder's layers.</summary>
    public bool IsDecoder { get; set; }

    /// <summary>The output's width.</summary>
    public abstract int OutputWidth { get; }

    /// <summary>Whether time steps depend on earlier ones, so that the whole window is needed for any output.</summary>
    public virtual bool CouplesTime => false;

    /// <summary>Whether an output depends on later time steps: then windows are computed whole, and no state goes from one to the next.</summary>
    public virtual bool ReadsAhead => false;

    /// <summary>Whether it returns each row's last time step only.</summary>
    public virtual bool ReturnsLast => false;

    /// <summary>Whether it takes token ids instead of values.</summary>
    public virtual bool TakesTokens => false;

    /// <summary>Whether a time step depends on earlier ones by themselves, or on its place among them, and not through a state that is carried.</summary>
    public virtual bool NeedsContext => false;

    /// <summary>The widest operand of its weights' gradients beside input and output, or 0.</summary>
    public virtual int WidestOperand => 0;

    /// <summary>How it moves along a row where it reads several time steps at once, or null.</summary>
    public virtual TimeKernel? TimeKernel => null;

    /// <summary>Floats of state a row carries from span to span.</summary>
    public virtual int StateWidth => 0;

    /// <summary>What flows in; set before <see cref="Plan"/>.</summary>
    public Signal Input { get; set; } = null!;

    /// <summary>What flows out; set, without buffers, before <see cref="Plan"/>.</summary>
    public Signal Output { get; set; } = null!;

    /// <summary>Declares the tensors, in the layout's order.</summary>
    public virtual void Declare(ParameterDeclarations declarations)
    {
    }

    /// <summary>Learns where the tensors lie.</summary>
    public virtual void Bind(ParameterLayout layout)
    {
    }

    /// <summary>Takes the layer's buffers. Runs twice: the arena first only measures.</summary>
    public virtual void Plan(LayerPlan plan) => Output.Reserve(plan);

    /// <summary>Takes over new parameters (the flat vector, valid until the next call).</summary>
    public virtual void Pack(float* parameters)
    {
    }

    /// <summary>Sets the state before the window; null: zero, or what the layer has learned.</summary>
    /// <param name="states">The first row's state of this layer, or null.</param>
    /// <param name="stride">Floats from one row's state to the next.</param>
    public virtual void LoadState(float* states, nint stride)
    {
    }

    /// <summary>Writes each row's state after min(<paramref name="time"/>, its length) time steps.</summary>
    /// <param name="time">Time steps of the window.</param>
    /// <param name="states">The first row's state of this layer.</param>
    /// <param name="stride">Floats from one row's state to the next.</param>
    public virtual void StoreState(int time, float* states, nint stride)
    {
    }

    /// <summary>After a forward pass: what the first row's time steps attend to, one map a head.</summary>
    public virtual void ReadAttention(TrainingStep step, ICollection<AttentionMap> maps)
    {
    }

    /// <summary>In a decoder: the encoder has run; takes from its outputs and states what all time steps need.</summary>
    public virtual void ReadMemory(TrainingStep step)
    {
    }

    /// <summary>Rearranges what is kept of earlier time steps (<see cref="ModelExecutor.Reorder"/>).</summary>
    /// <param name="from">[rows]: whose past each row goes on from.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="time">Time steps that are kept.</param>
    public virtual void Reorder(int* from, int rows, int time)
    {
    }

    /// <summary>Computes the output from the input.</summary>
    public abstract void Forward(TrainingStep step);

    /// <summary>From the output's gradient: the input's (overwritten, if it has room for one) and the parameters'.</summary>
    public abstract void Backward(TrainingStep step);
}

/// <summary>Collects the tensors of a model and how each is drawn.</summary>
internal sealed class ParameterDeclarations
{
    private readonly List<(string Name, long[] Shape, int Layer)> tensors = [];
    private readonly List<Initializer> initializers = [];

    /// <summary>The layer that is declaring.</summary>
    public int Layer { get; set; }

    /// <summary>The tensors so far.</summary>
    public IReadOnlyList<(string Name, long[] Shape, int Layer)> Tensors => tensors;

    /// <summary>How each is drawn.</summary>
    public IReadOnlyList<Initializer> Initializers => initializers;

    /// <summary>Declares one tensor.</summary>
    public void Add(string name, Initializer initializer, params long[] shape)
    {
        tensors.Add((name, shape, Layer));
        initializers.Add(initializer);
    }
}
