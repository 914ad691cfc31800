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
        IReadOnlyList<LayerConfig> configs = model.Config.Layers;
        if (configs.Count == 0)
        {
            throw new ModelException("layers", "A model needs at least one layer.");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        var layers = new List<Layer>();
        bool tokens = model.Input == InputKind.Tokens, ended = false;
        int width = model.InputWidth;
        for (int i = 0; i < configs.Count; i++)
        {
            LayerConfig config = configs[i];
            string path = $"layers[{i}]", name = NameOf(config, i, configs, names);
            bool takesTokens = config is EmbeddingConfig or OneHotConfig;
            if (takesTokens && !tokens)
            {
                throw new ModelException(path, $"{name} reads tokens, but {(i == 0 ? "the data gives values" : "the layer before it gives values")}. Remove it.");
            }

            if (!takesTokens && tokens)
            {
                throw new ModelException(path, $"{name} reads values, but the data gives tokens. Put an embedding (or one-hot) before it.");
            }

            if (ended && config is RecurrentConfig or ElmanConfig)
            {
                throw new ModelException(path, $"{name} needs a sequence, but a layer before it returns the last step only. Set returnSequences: true there.");
            }

            bool isLast = i == configs.Count - 1;
            switch (config)
            {
                case EmbeddingConfig embedding:
                    Positive(embedding.Units, path, "units");
                    bool isProjected = width <= model.PositionsPerShard && i + 1 < configs.Count && configs[i + 1] is RecurrentConfig;
                    layers.Add(new EmbeddingLayer(name, width, embedding, isProjected));
                    break;
                case OneHotConfig:
                    layers.Add(new OneHotLayer(name, width));
                    break;
                case RecurrentConfig recurrent:
                    Positive(recurrent.Units, path, "units");
                    Positive(recurrent.Layers, path, "layers");
                    Rate(recurrent.Dropout, path, "dropout");
                    NoOrthogonalBias(recurrent.BiasInitializer, path);
                    for (int level = 0; level < recurrent.Layers; level++)
                    {
                        if (level > 0 && recurrent.Dropout > 0.0)
                        {
                            layers.Add(new DropoutLayer($"{name}.dropout_l{level - 1}", width, recurrent.Dropout));
                        }

                        bool sequences = recurrent.ReturnSequences || level < recurrent.Layers - 1;
                        layers.Add(recurrent switch
                        {
                            LstmConfig lstm => new LstmLayer(name, level, width, lstm, sequences),
                            GruConfig gru => new GruLayer(name, level, width, gru, sequences),
                            RnnConfig rnn => new RnnLayer(name, level, width, rnn, sequences),
                            _ => throw new ModelException(path, $"{recurrent.GetType().Name} is not a recurrent layer that can be built."),
                        });
                        width = recurrent.Units;
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
                    layers.Add(new DenseLayer(name, width, Width(dense.Units, isLast, model, path, "units"), activation, dense));
                    break;
                case DropoutConfig dropout:
                    Rate(dropout.Rate, path, "rate");
                    layers.Add(new DropoutLayer(name, width, dropout.Rate));
                    break;
                case LayerNormConfig layerNorm:
                    layers.Add(new LayerNormLayer(name, width, layerNorm.Epsilon));
                    break;
                default:
                    throw new ModelException(path, $"{config.GetType().Name} is not a layer that can be built.");
            }

            tokens = false;
            width = layers[^1].OutputWidth;
        }

        if (width != model.OutputWidth)
        {
            throw new ModelException($"layers[{configs.Count - 1}]", $"The last layer gives {width} values, the data asks for {model.OutputWidth}. End with a dense layer without units, or set its units to {model.OutputWidth}.");
        }

        for (int i = 0; i < layers.Count; i++)
        {
            layers[i].Index = i;
        }

        return layers;
    }

    /// <summary>The last layer's function where the loss takes it over: softmax before cross-entropy, sigmoid before its binary form.</summary>
    public static ActivationKind FinalActivation(ModelConfig config, LossKind loss) => (loss, config.Layers.Count == 0 ? null : config.Layers[^1]) switch
    {
        (LossKind.CrossEntropy, DenseConfig { Activation: ActivationKind.Softmax }) => ActivationKind.Softmax,
        (LossKind.BinaryCrossEntropy, DenseConfig { Activation: ActivationKind.Sigmoid }) => ActivationKind.Sigmoid,
        _ => ActivationKind.Linear,
    };

    private static int Width(int? configured, bool isLast, Model model, string path, string key)
    {
        if (configured is int width)
        {
            Positive(width, path, key);
            return width;
        }

        return isLast ? model.OutputWidth : throw new ModelException($"{path}.{key}", $"Expected {key}: only the last layer's width follows from the data.");
    }

    private static string NameOf(LayerConfig config, int index, IReadOnlyList<LayerConfig> configs, HashSet<string> names)
    {
        string name = config.Name ?? Numbered();
        if (name.Length == 0 || !names.Add(name))
        {
            throw new ModelException($"layers[{index}].name", $"Expected a name that no other layer has, found '{name}'.");
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
}
