// A model as a value: which layers, which tensors in which order, how they are drawn, what is measured. It holds no
// parameters and no buffers; a ModelExecutor computes with it, one for each compute thread.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Models;

/// <summary>What a model reads at each time step.</summary>
public enum InputKind
{
    /// <summary>One token id.</summary>
    Tokens,

    /// <summary>A vector of values.</summary>
    Features,
}

/// <summary>A model built from its configuration and the widths of its data.</summary>
public sealed class Model
{
    private readonly IReadOnlyList<Initializer> initializers;
    private readonly List<TimeKernel> shortening = [];

    private Model(ModelConfig config, InputKind input, int inputWidth, int outputWidth, long positionsPerShard, int documentStart)
    {
        Config = config;
        Input = input;
        InputWidth = inputWidth;
        TargetWidth = outputWidth;
        PositionsPerShard = positionsPerShard;
        DocumentStart = documentStart;
        Loss = config.Loss ?? (input == InputKind.Tokens || IsEncoderDecoder ? LossKind.CrossEntropy : LossKind.MeanSquaredError);
        OutputWidth = GaussianMixture.Of(Loss, config.Components, outputWidth)?.OutputWidth ?? outputWidth;
        IReadOnlyList<MetricKind> metrics = config.Metrics ?? DefaultMetrics(Loss);
        CheckMetrics(metrics);
        Metrics = new MetricSchema(Loss, metrics, outputWidth);
        CheckPair();
        IReadOnlyList<Layer> layers = CreateLayers();
        EncoderLayerCount = layers.Count(layer => layer.IsEncoder);
        var declarations = new ParameterDeclarations();
        string? shortens = null;
        foreach (Layer layer in layers)
        {
            declarations.Layer = layer.Index;
            layer.Declare(declarations);
            StateWidth += layer.IsEncoder ? 0 : layer.StateWidth;
            ReturnsLast |= layer.ReturnsLast;
            ReadsAhead |= layer.ReadsAhead;
            NeedsContext |= layer.NeedsContext;
            if (layer.TimeKernel is { KeepsTime: false } kernel)
            {
                shortening.Add(kernel);
                shortens ??= layer.Name;
            }
        }

        if (shortens is not null && !ReturnsLast && Loss != LossKind.Ctc)
        {
            throw new ModelException(
                "layers",
                $"{shortens} gives fewer time steps than it reads, so targets at single time steps have none to belong to. "
                + "Let a later layer return one output a row (returnSequences: false, global-pooling or flatten), take stride: 1 with padding same or causal, or the loss ctc.");
        }

        if (documentStart >= 0 && (NeedsContext || ReadsAhead || IsEncoderDecoder || layers.Any(layer => layer is ElmanLayer)))
        {
            throw new ModelException("layers", "Documents begin anew within a row (data.documentStart): that works for rnn, lstm and gru in the direction of time, not for elman, attention, positions or bidirectional layers. Leave data.documentStart out.");
        }

        // A row's labels have no times: its loss needs all of its outputs. A target needs all of its source.
        ReadsAhead |= Loss == LossKind.Ctc || IsEncoderDecoder;
        Layout = new ParameterLayout(declarations.Tensors, Frozen(config.Freeze, declarations.Tensors));
        FirstTrainedLayer = Layout.Tensors.Where(tensor => !tensor.IsFrozen).Select(tensor => tensor.Layer).DefaultIfEmpty(layers.Count).Min();
        LayerNames = [.. layers.Select(layer => layer.Name)];
        initializers = declarations.Initializers;
        FinalActivation = LayerFactory.FinalActivation(config, Loss);
    }

    /// <summary>What it was built from.</summary>
    public ModelConfig Config { get; }

    /// <summary>What it reads.</summary>
    public InputKind Input { get; }

    /// <summary>The vocabulary's size, or the values a time step.</summary>
    public int InputWidth { get; }

    /// <summary>Classes, or values a target: what the data asks for.</summary>
    public int TargetWidth { get; }

    /// <summary>Values of an output: classes, values, or the distribution over them (<see cref="GaussianMixture"/>).</summary>
    public int OutputWidth { get; }

    /// <summary>What training makes small.</summary>
    public LossKind Loss { get; }

    /// <summary>What the shards report and what it means.</summary>
    public MetricSchema Metrics { get; }

    /// <summary>Its tensors in the flat vector.</summary>
    public ParameterLayout Layout { get; }

    /// <summary>Floats of state that a row carries from span to span: for each recurrent layer in order h, then for an LSTM c.</summary>
    public int StateWidth { get; }

    /// <summary>Whether it gives one output a row, at the row's last time step.</summary>
    public bool ReturnsLast { get; }

    /// <summary>Whether an output depends on later time steps (a bidirectional layer), or the loss on all of a row's outputs (ctc): windows are computed whole and carry no state.</summary>
    public bool ReadsAhead { get; }

    /// <summary>Whether a time step depends on earlier ones of its window by themselves (attention, positions, convolutions): predictions step by step then go on by <see cref="ModelExecutor.Continue"/>.</summary>
    public bool NeedsContext { get; }

    /// <summary>
    /// Whether it goes from one sequence to another: an encoder reads a row's inputs, and a decoder writes the row's target tokens, which
    /// begin at the batch's first time step with targets and end before the first -1.
    /// </summary>
    public bool IsEncoderDecoder => Config.Decoder is not null;

    /// <summary>How many of its layers are the encoder's: the first ones.</summary>
    internal int EncoderLayerCount { get; }

    /// <summary>The token that begins a document: a row's recurrent states start anew before it, wherever it stands. -1: there is none.</summary>
    public int DocumentStart { get; }

    /// <summary>The names of its layers in forward order, as <see cref="ParameterTensor.Layer"/> numbers them; a stack counts once for each of its layers.</summary>
    public IReadOnlyList<string> LayerNames { get; }

    /// <summary>The lowest layer that has something to learn: the way back ends there. The number of layers when all is frozen.</summary>
    public int FirstTrainedLayer { get; }

    /// <summary>The last function that the loss takes over (softmax, sigmoid) or linear: what turns logits into outputs.</summary>
    public ActivationKind FinalActivation { get; }

    /// <summary>Positions (time steps x rows) of a shard by the job's configuration, 0 if unknown: chooses between algorithms.</summary>
    internal long PositionsPerShard { get; }

    /// <summary>Builds a model.</summary>
    /// <param name="config">Its layers and loss.</param>
    /// <param name="input">What it reads.</param>
    /// <param name="inputWidth">The vocabulary's size, or the values a time step.</param>
    /// <param name="outputWidth">Classes, or values a target.</param>
    /// <param name="positionsPerShard">
    /// Time steps of a window x rows of the global batch / shards, or 0. The sums of an embedding's gradient are formed
    /// in another order when a shard has at least as many positions as there are tokens: so it is part of the one
    /// answer, a function of the configuration alone, never of the workers.
    /// </param>
    /// <param name="documentStart">The token that begins a document, see <see cref="DocumentStart"/>, or -1.</param>
    /// <exception cref="ModelException">The layers don't fit each other or the data.</exception>
    public static Model Build(ModelConfig config, InputKind input, int inputWidth, int outputWidth, long positionsPerShard = 0, int documentStart = -1)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfLessThan(inputWidth, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outputWidth, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(positionsPerShard);
        ArgumentOutOfRangeException.ThrowIfLessThan(documentStart, -1);
        return new Model(config, input, inputWidth, outputWidth, positionsPerShard, documentStart);
    }

    /// <summary>How many time steps its outputs have for a row of <paramref name="length"/>: fewer where convolutions or pooling shorten it.</summary>
    public int OutputLength(int length)
    {
        foreach (TimeKernel kernel in shortening)
        {
            length = kernel.After(length);
        }

        return length;
    }

    /// <summary>Draws the first parameters: a pure function of the model and the seed.</summary>
    /// <param name="seed">The job's seed.</param>
    /// <param name="parameters">The flat vector, overwritten, its padding with +0.</param>
    /// <exception cref="ArgumentException">The vector has another length than the layout.</exception>
    public void Initialize(ulong seed, Span<float> parameters)
    {
        if (parameters.Length != Layout.Length)
        {
            throw new ArgumentException($"The layout has {Layout.Length} floats, the vector {parameters.Length}.", nameof(parameters));
        }

        parameters.Clear();
        for (int i = 0; i < initializers.Count; i++)
        {
            ParameterTensor tensor = Layout.Tensors[i];

            // A convolution's weights are one row an output.
            int columns = checked((int)(tensor.Shape.Length > 2 ? tensor.Count / tensor.Shape.Span[0] : tensor.Shape.Span[^1]));
            int rows = checked((int)(tensor.Count / columns));
            var key = new RandomKey(seed, RandomPurpose.Initialize, (uint)i, 0);
            initializers[i].Fill(key, rows, columns, parameters.Slice((int)tensor.Offset, (int)tensor.Count));
        }
    }

    /// <summary>Fresh layers in forward order, bound to nothing yet.</summary>
    internal IReadOnlyList<Layer> CreateLayers() => LayerFactory.Create(this);

    private static Func<string, bool>? Frozen(IReadOnlyList<string> patterns, IReadOnlyList<(string Name, long[] Shape, int Layer)> tensors)
    {
        for (int i = 0; i < patterns.Count; i++)
        {
            if (!tensors.Any(tensor => TensorNames.Matches(patterns[i], tensor.Name)))
            {
                throw new ModelException($"freeze[{i}]", $"'{patterns[i]}' matches none of the model's tensors: expected a layer's name or a tensor's, with * and ?; there are {string.Join(", ", tensors.Select(tensor => tensor.Name))}.");
            }
        }

        if (patterns.Count > 0 && tensors.All(tensor => patterns.Any(pattern => TensorNames.Matches(pattern, tensor.Name))))
        {
            throw new ModelException("freeze", $"{string.Join(", ", patterns.Select(pattern => $"'{pattern}'"))} leaves nothing to learn: all of the model's tensors are frozen. Leave one of its layers out.");
        }

        return patterns.Count == 0 ? null : name => patterns.Any(pattern => TensorNames.Matches(pattern, name));
    }

    private static IReadOnlyList<MetricKind> DefaultMetrics(LossKind loss) => loss switch
    {
        LossKind.CrossEntropy => [MetricKind.Accuracy, MetricKind.Perplexity, MetricKind.BitsPerCharacter],
        LossKind.BinaryCrossEntropy => [MetricKind.Accuracy],
        LossKind.Ctc => [],
        _ => [MetricKind.MeanAbsoluteError, MetricKind.RootMeanSquaredError],
    };

    private void CheckPair()
    {
        if (IsEncoderDecoder && Loss != LossKind.CrossEntropy)
        {
            throw new ModelException("loss", $"A decoder writes tokens: expected the loss cross-entropy, found {Loss}. Leave loss out, or set it to cross-entropy.");
        }

        if (IsEncoderDecoder && OutputWidth <= SequenceTokens.First)
        {
            throw new ModelException("decoder", $"A decoder needs the tokens <pad>, <bos>, <eos>, <unk> and others; the target vocabulary has {OutputWidth}.");
        }
    }

    private void CheckMetrics(IReadOnlyList<MetricKind> metrics)
    {
        for (int i = 0; i < metrics.Count; i++)
        {
            bool fits = metrics[i] switch
            {
                MetricKind.MeanAbsoluteError or MetricKind.RootMeanSquaredError => Loss is LossKind.MeanSquaredError or LossKind.Gaussian or LossKind.GaussianMixture,
                MetricKind.Perplexity or MetricKind.BitsPerCharacter => Loss == LossKind.CrossEntropy,
                _ => Loss is LossKind.CrossEntropy or LossKind.BinaryCrossEntropy,
            };
            if (!fits)
            {
                throw new ModelException($"metrics[{i}]", $"{metrics[i]} can't be measured with the loss {Loss}; leave metrics out for the usual ones.");
            }
        }
    }
}
