// From configuration to layers: names, widths, stacks unrolled into single layers, and the checks that need to know
// what comes before and after.
namespace ClusterRnn.Models;

/// <summary>Builds a model's layers in forward order.</summary>
internal static class LayerFactory
{
    /// <summary>The layers of <paramref name="model"/>.</summary>
    /// <exception cref="ModelException">They don't fit.</exception>
    public static IReadOnlyList<Layer> Create(Model model)
    {
        bool hasTokens = model.Input == InputKind.Tokens;
        List<Layer> layers;
        if (model.Config is { Encoder: { } encoder, Decoder: { } decoder })
        {
            layers = Chain(model, new ChainPlace("encoder", encoder, hasTokens, model.InputWidth) { IsEncoder = true });
            foreach (Layer layer in layers)
            {
                layer.IsEncoder = true;
            }

            var shape = new EncoderShape(layers[^1].OutputWidth, LevelsOf(encoder));
            List<Layer> writing = Chain(model, new ChainPlace("decoder", decoder, HasTokens: true, model.OutputWidth) { Encoder = shape });
            foreach (Layer layer in writing)
            {
                layer.IsDecoder = true;
            }

            layers.AddRange(writing);
        }
        else
        {
            layers = Chain(model, new ChainPlace("layers", model.Config.Layers, hasTokens, model.InputWidth));
        }

        for (int i = 0; i < layers.Count; i++)
        {
            layers[i].Index = i;
        }

        return layers;
    }

    private static List<Layer> Chain(Model model, ChainPlace place)
    {
        IReadOnlyList<LayerConfig> configs = place.Configs;
        if (configs.Count == 0)
        {
            throw new ModelException(place.Key, "A model needs at least one layer.");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        var layers = new List<Layer>();
        bool tokens = place.HasTokens, ended = false;
        int width = place.InputWidth, channels = 1, decoderLevel = 0; // a time step's values are channels x features
        int decoderLevels = LevelsOf(configs).Length;
        for (int i = 0; i < configs.Count; i++)
        {
            LayerConfig config = configs[i];
            string path = $"{place.Key}[{i}]", name = place.Prefix + NameOf(config, i, configs, names, place.Key);
            CheckPlace(config, place, name, path);
            bool takesTokens = config is EmbeddingConfig or OneHotConfig;
            if (takesTokens && !tokens)
            {
                throw new ModelException(path, $"{name} reads tokens, but {(i == 0 ? "the data gives values" : "the layer before it gives values")}. Remove it.");
            }

            if (!takesTokens && tokens)
            {
                throw new ModelException(path, $"{name} reads values, but the data gives tokens. Put an embedding (or one-hot) before it.");
            }

            if (ended && config is RecurrentConfig or CrossAttentionConfig or ElmanConfig or AttentionConfig or TransformerConfig or PositionsConfig or ConvolutionConfig or MaxPoolingConfig or GlobalPoolingConfig or FlattenConfig)
            {
                throw new ModelException(path, $"{name} needs a sequence, but a layer before it returns the last step only. Set returnSequences: true there.");
            }

            bool isLast = i == configs.Count - 1 && !place.IsEncoder;
            int newChannels = config is DropoutConfig or LayerNormConfig or PositionsConfig or MaxPoolingConfig ? channels : 1;
            switch (config)
            {
                case EmbeddingConfig embedding:
                    Positive(embedding.Units, path, "units");
                    bool isProjected = width <= model.PositionsPerShard && i + 1 < configs.Count && configs[i + 1] is RecurrentConfig { Residual: false };
                    layers.Add(new EmbeddingLayer(name, width, embedding, isProjected));
                    break;
                case OneHotConfig:
                    layers.Add(new OneHotLayer(name, width));
                    break;
                case RecurrentConfig recurrent:
                    CheckRecurrent(recurrent, width, name, path);
                    for (int level = 0; level < recurrent.Layers; level++)
                    {
                        if (level > 0 && recurrent.Dropout > 0.0)
                        {
                            layers.Add(new DropoutLayer($"{name}.dropout_l{level - 1}", width, recurrent.Dropout, recurrent.Variational));
                        }

                        bool sequences = recurrent.ReturnSequences || level < recurrent.Layers - 1;
                        StateBridge? bridge = BridgeOf(recurrent, name, level, decoderLevel++, decoderLevels, place.Encoder);
                        layers.Add(Recurrent(recurrent, new RecurrentPlace(name, level, width, sequences, recurrent.Bidirectional), path, bridge));
                        width = layers[^1].OutputWidth;
                    }

                    ended |= !recurrent.ReturnSequences;
                    break;
                case ElmanConfig elman:
                    Positive(elman.Units, path, "units");
                    NoOrthogonalBias(elman.BiasInitializer, path);
                    layers.Add(new ElmanLayer(name, width, elman, Width(elman.Outputs, isLast, model, path, "outputs")));
                    ended |= !elman.ReturnSequences;
                    break;
                case DenseConfig dense:
                    NoOrthogonalBias(dense.BiasInitializer, path);
                    ActivationKind activation = isLast && FinalActivation(model.Config, model.Loss) == dense.Activation ? ActivationKind.Linear : dense.Activation;
                    int units = dense.Tied ? dense.Units ?? place.InputWidth : Width(dense.Units, isLast, model, path, "units");
                    layers.Add(new DenseLayer(name, width, units, activation, dense, dense.Tied ? TiedTo(layers, width, units, path) : null));
                    break;
                case DropoutConfig dropout:
                    Rate(dropout.Rate, path, "rate");
                    layers.Add(new DropoutLayer(name, width, dropout.Rate, dropout.Variational));
                    break;
                case PositionsConfig positions:
                    Positive(positions.MaximumLength, path, "maximumLength");
                    layers.Add(new PositionsLayer(name, width, positions));
                    break;
                case AttentionConfig attention:
                    Heads(attention.Heads, width, path);
                    Rate(attention.Dropout, path, "dropout");
                    layers.Add(new AttentionLayer(name, width, attention, attention.Causal ?? !place.IsEncoder));
                    break;
                case TransformerConfig transformer:
                    Heads(transformer.Heads, width, path);
                    Positive(transformer.Layers, path, "layers");
                    Positive(transformer.Units ?? 1, path, "units");
                    Rate(transformer.Dropout, path, "dropout");
                    NoOrthogonalBias(transformer.BiasInitializer, path);
                    for (int level = 0; level < transformer.Layers; level++)
                    {
                        layers.Add(place.Encoder is { } encoder
                            ? new TransformerDecoderLayer($"{name}.layers.{level}", width, encoder.Width, transformer)
                            : new TransformerLayer($"{name}.layers.{level}", width, transformer, transformer.Causal ?? !place.IsEncoder));
                    }

                    if (transformer.FinalNorm ?? transformer.Norm == NormPlace.Pre)
                    {
                        layers.Add(new LayerNormLayer($"{name}.norm", width, transformer.Epsilon));
                    }

                    break;
                case Convolution1dConfig convolution:
                    CheckConvolution(convolution, path);
                    layers.Add(new ConvolutionLayer(name, convolution, width, KernelOf(convolution), FeatureKernel.None, isPlane: false));
                    break;
                case Convolution2dConfig convolution:
                    CheckConvolution(convolution, path);
                    var plane = new FeatureKernel(width / channels, convolution.FeatureKernel ?? convolution.Kernel, convolution.FeatureStride ?? convolution.Stride, convolution.Padding != ConvolutionPadding.Valid);
                    CheckFeatures(plane, path, "featureKernel");
                    layers.Add(new ConvolutionLayer(name, convolution, channels, KernelOf(convolution), plane, isPlane: true));
                    newChannels = convolution.Units;
                    break;
                case MaxPoolingConfig pooling:
                    Positive(pooling.Size, path, "size");
                    Positive(pooling.Stride ?? 1, path, "stride");
                    var pooled = new FeatureKernel(width / channels, pooling.FeatureSize, pooling.FeatureStride ?? pooling.FeatureSize, false);
                    CheckFeatures(pooled, path, "featureSize");
                    layers.Add(new MaxPoolingLayer(name, channels, new TimeKernel(pooling.Size, pooling.Stride ?? pooling.Size, ConvolutionPadding.Valid), pooled));
                    break;
                case GlobalPoolingConfig pooling:
                    layers.Add(new GlobalPoolingLayer(name, width, pooling.Kind));
                    ended = true;
                    break;
                case FlattenConfig flatten:
                    Positive(flatten.Steps, path, "steps");
                    layers.Add(new FlattenLayer(name, width, flatten.Steps));
                    ended = true;
                    break;
                case CrossAttentionConfig cross:
                    Positive(cross.Units ?? 1, path, "units");
                    Positive(cross.ScoreUnits ?? 1, path, "scoreUnits");
                    CheckScore(cross, width, place.Encoder!.Width, name, path);
                    layers.Add(new CrossAttentionLayer(name, width, place.Encoder.Width, cross));
                    break;
                case LayerNormConfig layerNorm:
                    layers.Add(new LayerNormLayer(name, width, layerNorm.Epsilon));
                    break;
                default:
                    throw new ModelException(path, $"{config.GetType().Name} is not a layer that can be built.");
            }

            tokens = false;
            width = layers[^1].OutputWidth;
            channels = newChannels;
        }

        if (!place.IsEncoder && width != model.OutputWidth)
        {
            throw new ModelException($"{place.Key}[{configs.Count - 1}]", $"The last layer gives {width} values, the data asks for {model.OutputWidth}. End with a dense layer without units, or set its units to {model.OutputWidth}.");
        }

        return layers;
    }

    /// <summary>The last layer's function where the loss takes it over: softmax before cross-entropy, sigmoid before its binary form.</summary>
    public static ActivationKind FinalActivation(ModelConfig config, LossKind loss) => (loss, config.OutputLayers.Count == 0 ? null : config.OutputLayers[^1]) switch
    {
        (LossKind.CrossEntropy or LossKind.Ctc, DenseConfig { Activation: ActivationKind.Softmax }) => ActivationKind.Softmax,
        (LossKind.BinaryCrossEntropy, DenseConfig { Activation: ActivationKind.Sigmoid }) => ActivationKind.Sigmoid,
        _ => ActivationKind.Linear,
    };

    // One level: one direction or two, with what it read added or not.
    private static Layer Recurrent(RecurrentConfig config, RecurrentPlace place, string path, StateBridge? bridge)
    {
        if (bridge is not null)
        {
            RecurrentLayer first = Direction(config, place, path);
            first.Bridge = bridge;
            return config.Residual ? new ResidualLayer(first) : first;
        }

        Layer layer = config.Bidirectional ? new BidirectionalLayer(Direction(config, place, path), Direction(config, place with { IsReverse = true }, path)) : Direction(config, place, path);
        return config.Residual ? new ResidualLayer(layer) : layer;
    }

    private static RecurrentLayer Direction(RecurrentConfig config, RecurrentPlace place, string path) => config switch
    {
        LstmConfig lstm => new LstmLayer(place, lstm),
        GruConfig gru => new GruLayer(place, gru),
        RnnConfig rnn => new RnnLayer(place, rnn),
        _ => throw new ModelException(path, $"{config.GetType().Name} is not a recurrent layer that can be built."),
    };

    // The states that a chain's recurrent levels end in, the lowest first.
    private static EncoderLevelShape[] LevelsOf(IReadOnlyList<LayerConfig> configs) =>
    [
        .. configs.OfType<RecurrentConfig>().SelectMany(config => Enumerable.Repeat(
            new EncoderLevelShape(config.Bidirectional ? 2 * config.Units : config.Units, config is LstmConfig), Math.Max(0, config.Layers))),
    ];

    // The last level starts from the encoder's last, the one below from the one below; where the encoder has fewer, from its lowest.
    private static StateBridge? BridgeOf(RecurrentConfig config, string name, int level, int number, int levels, EncoderShape? encoder)
    {
        if (encoder is null || encoder.Levels.Length == 0 || config.LearnedInitialState)
        {
            return null;
        }

        int from = Math.Max(0, encoder.Levels.Length - levels + number);
        return new StateBridge(name, $"l{level}", from, encoder.Levels[from], config.Units, config is LstmConfig, config.KernelInitializer);
    }

    // What can't stand in an encoder or a decoder, or only there.
    private static void CheckPlace(LayerConfig config, ChainPlace place, string name, string path)
    {
        if (config is CrossAttentionConfig && place.Encoder is null)
        {
            throw new ModelException(path, $"{name} looks at an encoder's outputs: expected it in 'decoder', of a model with 'encoder' and 'decoder'. Take 'attention' for attention within one sequence.");
        }

        if (place.Key == "layers")
        {
            return;
        }

        if (config is RecurrentConfig { ReturnSequences: false } or ElmanConfig { ReturnSequences: false })
        {
            throw new ModelException($"{path}.returnSequences", $"{name} returns the last step only, but a decoder attends to and writes every step; it takes the encoder's last state by itself. Set returnSequences: true.");
        }

        if (config is ElmanConfig)
        {
            throw new ModelException(path, $"{name}: an elman layer has no place in an encoder or decoder. Take rnn, whose output is its state.");
        }

        if (config is ConvolutionConfig or MaxPoolingConfig or GlobalPoolingConfig or FlattenConfig)
        {
            throw new ModelException(path, $"{name}: convolutions and pooling have no place in an encoder or decoder. Expected embedding, dense, dropout, layer-norm, positions, recurrent or attention layers. Remove it.");
        }

        if (place.IsEncoder)
        {
            return;
        }

        if (config is RecurrentConfig { Bidirectional: true })
        {
            throw new ModelException($"{path}.bidirectional", $"{name} would read the tokens that the decoder is to write. Set bidirectional: false.");
        }

        if (config is AttentionConfig { Causal: false } or TransformerConfig { Causal: false })
        {
            throw new ModelException($"{path}.causal", $"{name} would see the tokens that the decoder is to write. Leave causal out, or set it to true.");
        }
    }

    private static void CheckScore(CrossAttentionConfig config, int width, int memoryWidth, string name, string path)
    {
        if (config.Score == AttentionScore.Dot && width != memoryWidth)
        {
            throw new ModelException($"{path}.score", $"{name} multiplies states of width {width} with the encoder's outputs of width {memoryWidth}: the score dot expects the same width. Take score: general, or make them equally wide.");
        }

        if (config.Score != AttentionScore.Additive && config.ScoreUnits is not null)
        {
            throw new ModelException($"{path}.scoreUnits", $"scoreUnits is the inner width of the score additive; {name} has another score. Remove it, or set score: additive.");
        }
    }

    private static void CheckRecurrent(RecurrentConfig config, int width, string name, string path)
    {
        Positive(config.Units, path, "units");
        Positive(config.Layers, path, "layers");
        Rate(config.Dropout, path, "dropout");
        Rate(config.RecurrentDropout, path, "recurrentDropout");
        NoOrthogonalBias(config.BiasInitializer, path);
        int output = config.Bidirectional ? 2 * config.Units : config.Units;
        if (config.Residual && width != output)
        {
            string units = config.Bidirectional && width % 2 != 0 ? "Put a dense layer of an even width before it" : $"Set units to {(config.Bidirectional ? width / 2 : width)}, or put a dense layer of {output} units before it";
            throw new ModelException($"{path}.residual", $"{name} adds its input of width {width} to its output of width {output}: expected the same width. {units}.");
        }

        if (config.Residual && !config.ReturnSequences)
        {
            throw new ModelException($"{path}.residual", $"{name} returns the last step only, its input has every step: they can't be added. Set returnSequences: true, or residual: false.");
        }

        if (config is LstmConfig { ForgetBias: not null, LongestLag: not null })
        {
            throw new ModelException($"{path}.longestLag", $"{name} has both forgetBias and longestLag, which set the same biases. Remove one of them.");
        }

        if (config is LstmConfig { LayerNorm: true, Peepholes: true })
        {
            throw new ModelException($"{path}.peepholes", $"{name} normalises its gates, and peepholes would be added to them unnormalised: the two are not defined together. Remove one of them.");
        }

        if (config is GruConfig { ResetGate: GruResetGate.Before, LayerNorm: true })
        {
            throw new ModelException($"{path}.layerNorm", $"{name} applies its reset gate before the recurrent product; normalised is the form with the gate after it. Set resetGate: after, or layerNorm: false.");
        }

        if (config is GruConfig { ResetGate: GruResetGate.Before, RecurrentDropout: > 0.0 })
        {
            throw new ModelException($"{path}.recurrentDropout", $"{name} applies its reset gate before the recurrent product, where a dropped state is not defined. Set resetGate: after, or recurrentDropout: 0.");
        }
    }

    private static TimeKernel KernelOf(ConvolutionConfig config) => new(config.Kernel, config.Stride, config.Padding);

    private static void CheckConvolution(ConvolutionConfig config, string path)
    {
        Positive(config.Units, path, "units");
        Positive(config.Kernel, path, "kernel");
        Positive(config.Stride, path, "stride");
        NoOrthogonalBias(config.BiasInitializer, path);
        if (config.Activation == ActivationKind.Softmax)
        {
            throw new ModelException($"{path}.activation", "A convolution's values are no classes: softmax is for a dense layer. Set activation: relu.");
        }
    }

    private static void CheckFeatures(FeatureKernel kernel, string path, string key)
    {
        Positive(kernel.Size, path, key);
        Positive(kernel.Stride, path, "featureStride");
        if (!kernel.IsPadded && kernel.Size > kernel.Features)
        {
            throw new ModelException($"{path}.{key}", $"Expected at most {kernel.Features}, the features of a channel before it; found {kernel.Size}.");
        }
    }

    private static EmbeddingLayer TiedTo(List<Layer> layers, int width, int units, string path)
    {
        if (layers.Count == 0 || layers[0] is not EmbeddingLayer embedding)
        {
            throw new ModelException($"{path}.tied", "Expected an embedding as the model's first layer, whose vectors are the weights. Put one there, or set tied: false.");
        }

        if (embedding.Units != width || embedding.Vocabulary != units)
        {
            throw new ModelException(
                $"{path}.tied",
                $"The embedding has {embedding.Vocabulary} vectors of {embedding.Units} values, the layer needs {units} of {width}. "
                + "Set the embedding's units to the width of what comes before this layer (or put a dense layer in between), and leave units out here.");
        }

        return embedding.TryTie() ? embedding : throw new ModelException($"{path}.tied", "The embedding's vectors are another dense layer's weights already. Set tied: false here.");
    }

    private static int Width(int? configured, bool isLast, Model model, string path, string key)
    {
        if (configured is int width)
        {
            Positive(width, path, key);
            return width;
        }

        return isLast ? model.OutputWidth : throw new ModelException($"{path}.{key}", $"Expected {key}: only the last layer's width follows from the data.");
    }

    private static string NameOf(LayerConfig config, int index, IReadOnlyList<LayerConfig> configs, HashSet<string> names, string key)
    {
        string name = config.Name ?? Numbered();
        if (name.Length == 0 || !names.Add(name))
        {
            throw new ModelException($"{key}[{index}].name", $"Expected a name that no other layer has, found '{name}'.");
        }

        return name;

        string Numbered()
        {
            int before = configs.Take(index).Count(other => other.GetType() == config.GetType());
            string type = config switch
            {
                EmbeddingConfig => "embedding",
                OneHotConfig => "one_hot",
                RnnConfig => "rnn",
                ElmanConfig => "elman",
                LstmConfig => "lstm",
                GruConfig => "gru",
                DenseConfig => "dense",
                DropoutConfig => "dropout",
                LayerNormConfig => "layer_norm",
                Convolution1dConfig => "convolution1d",
                Convolution2dConfig => "convolution2d",
                MaxPoolingConfig => "max_pooling",
                GlobalPoolingConfig => "global_pooling",
                FlattenConfig => "flatten",
                PositionsConfig => "positions",
                AttentionConfig => "attention",
                TransformerConfig => "transformer",
                CrossAttentionConfig => "cross_attention",
                _ => "layer",
            };
            return before == 0 ? type : $"{type}_{before}";
        }
    }

    private static void Positive(int value, string path, string key)
    {
        if (value < 1)
        {
            throw new ModelException($"{path}.{key}", $"Expected at least 1, found {value}.");
        }
    }

    private static void Heads(int heads, int width, string path)
    {
        Positive(heads, path, "heads");
        if (width % heads != 0)
        {
            throw new ModelException($"{path}.heads", $"Expected a number of heads that divides the width of what comes before, {width}; found {heads}.");
        }
    }

    private static void Rate(double value, string path, string key)
    {
        if (value is not (>= 0.0 and < 1.0))
        {
            throw new ModelException($"{path}.{key}", $"Expected a share from 0 to below 1, found {value}.");
        }
    }

    private static void NoOrthogonalBias(InitializerKind kind, string path)
    {
        if (kind == InitializerKind.Orthogonal)
        {
            throw new ModelException($"{path}.biasInitializer", "A bias can't be orthogonal. Use zeros.");
        }
    }

    /// <summary>A list of layers: where it stands in the configuration and what it reads.</summary>
    private sealed record ChainPlace(string Key, IReadOnlyList<LayerConfig> Configs, bool HasTokens, int InputWidth)
    {
        /// <summary>The first part of the layers' names.</summary>
        public string Prefix => Key == "layers" ? "" : $"{Key}.";

        /// <summary>Whether it is an encoder.</summary>
        public bool IsEncoder { get; init; }

        /// <summary>For a decoder: what the encoder gives.</summary>
        public EncoderShape? Encoder { get; init; }
    }

    /// <summary>What an encoder gives: the width of its outputs, and its recurrent levels' last states.</summary>
    private sealed record EncoderShape(int Width, EncoderLevelShape[] Levels);
}
