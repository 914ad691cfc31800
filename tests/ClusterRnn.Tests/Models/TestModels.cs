using ClusterRnn.Models;

namespace ClusterRnn.Tests.Models;

/// <summary>Small models that between them use every layer, function and loss.</summary>
internal static class TestModels
{
    public static IReadOnlyDictionary<string, Func<Model>> All { get; } = new Dictionary<string, Func<Model>>
    {
        ["embedding-lstm-dense"] = () => Tokens(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 7, ForgetBias = 1 }, new DenseConfig()),
        ["embedding-gru-dense"] = () => Tokens(new EmbeddingConfig { Units = 17 }, new GruConfig { Units = 6 }, new DenseConfig { Activation = ActivationKind.Softmax }),
        ["embedding-gru-before-dense"] = () => Tokens(new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 18, ResetGate = GruResetGate.Before }, new DenseConfig()),
        ["one-hot-rnn-tanh"] = () => Tokens(new OneHotConfig(), new RnnConfig { Units = 9 }, new DenseConfig()),
        ["elman"] = () => Tokens(new EmbeddingConfig { Units = 3 }, new ElmanConfig { Units = 6 }),
        ["elman-last-dense"] = () => Tokens(new OneHotConfig(), new ElmanConfig { Units = 5, Outputs = 4, Activation = RecurrentActivation.Identity, ReturnSequences = false }, new DenseConfig()),
        ["elman-relu-sigmoid"] = () => Tokens(new EmbeddingConfig { Units = 4 }, new ElmanConfig { Units = 6, Outputs = 5, Activation = RecurrentActivation.Relu }, new ElmanConfig { Units = 5, Outputs = 4, Activation = RecurrentActivation.Sigmoid }, new DenseConfig()),
        ["rnn-relu"] = () => Values(LossKind.MeanSquaredError, new RnnConfig { Units = 8, Activation = RecurrentActivation.Relu }, new DenseConfig()),
        ["rnn-sigmoid"] = () => Values(LossKind.MeanSquaredError, new RnnConfig { Units = 5, Activation = RecurrentActivation.Sigmoid }, new DenseConfig()),
        ["rnn-identity-last"] = () => Values(LossKind.MeanSquaredError, new RnnConfig { Units = 5, Activation = RecurrentActivation.Identity, ReturnSequences = false }, new DenseConfig()),
        ["three-lstm-last"] = () => Values(LossKind.MeanSquaredError, new LstmConfig { Units = 6 }, new LstmConfig { Units = 4 }, new LstmConfig { Units = 5, ReturnSequences = false }, new DenseConfig()),
        ["stacks-with-dropout"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 5, Layers = 2, Dropout = 0.3 }, new DropoutConfig { Rate = 0.2 }, new GruConfig { Units = 4, Layers = 3, Dropout = 0.1 }, new DenseConfig()),
        ["dense-tanh-sigmoid"] = () => Values(LossKind.BinaryCrossEntropy, new DenseConfig { Units = 7, Activation = ActivationKind.Tanh }, new LstmConfig { Units = 5 }, new DenseConfig { Activation = ActivationKind.Sigmoid }),
        ["dense-relu-softmax"] = () => Values(LossKind.MeanSquaredError, new DropoutConfig { Rate = 0.25 }, new DenseConfig { Units = 7, Activation = ActivationKind.Relu }, new GruConfig { Units = 5 }, new DenseConfig { Units = 4, Activation = ActivationKind.Softmax }, new DenseConfig { Activation = ActivationKind.Sigmoid }),
        ["projected-lstm"] = () => Projected(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 7, Layers = 2, Dropout = 0.2 }, new DenseConfig()),
        ["projected-gru"] = () => Projected(new EmbeddingConfig { Units = 18 }, new GruConfig { Units = 6 }, new DenseConfig()),
        ["projected-gru-before"] = () => Projected(new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 17, ResetGate = GruResetGate.Before }, new DenseConfig()),
        ["projected-rnn"] = () => Projected(new EmbeddingConfig { Units = 3 }, new RnnConfig { Units = 5 }, new DenseConfig()),
        ["layer-norm-lstm"] = () => Values(LossKind.MeanSquaredError, new LayerNormConfig(), new LstmConfig { Units = 19 }, new LayerNormConfig { Epsilon = 0.01 }, new DenseConfig()),
        ["peepholes"] = () => Tokens(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 18, Layers = 2, Peepholes = true }, new DenseConfig()),
        ["residual"] = () => Values(LossKind.MeanSquaredError, new LstmConfig { Units = 3, Residual = true }, new GruConfig { Units = 3, Layers = 2, Residual = true }, new DenseConfig()),
        ["learned-states"] = () => Tokens(new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5, LearnedInitialState = true }, new GruConfig { Units = 6, LearnedInitialState = true }, new RnnConfig { Units = 4, LearnedInitialState = true, ReturnSequences = false }, new DenseConfig()),
        ["variational-dropout"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new DropoutConfig { Rate = 0.2, Variational = true }, new LstmConfig { Units = 5, Layers = 2, Dropout = 0.3, Variational = true, RecurrentDropout = 0.25 }, new GruConfig { Units = 4, Layers = 2, Dropout = 0.2, Variational = true, RecurrentDropout = 0.2, LearnedInitialState = true }, new RnnConfig { Units = 5, Layers = 2, Dropout = 0.2, Variational = true, RecurrentDropout = 0.2 }, new DenseConfig()),
        ["tied"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 6 }, new DenseConfig { Tied = true }),
        ["projected-tied"] = () => Projected(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 7, Peepholes = true, LearnedInitialState = true }, new DenseConfig { Units = 5, Activation = ActivationKind.Tanh }, new DenseConfig { Tied = true }),
        ["documents"] = () => Documents(0, new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5, LearnedInitialState = true, Peepholes = true }, new GruConfig { Units = 6, LearnedInitialState = true }, new RnnConfig { Units = 4, LearnedInitialState = true }, new LstmConfig { Units = 17 }, new DenseConfig()),
        ["documents-dropout"] = () => Documents(4, new EmbeddingConfig { Units = 4 }, new RnnConfig { Units = 5, RecurrentDropout = 0.2 }, new LstmConfig { Units = 5, RecurrentDropout = 0.2, LearnedInitialState = true, Layers = 2, Dropout = 0.2, Residual = true }, new GruConfig { Units = 6, ResetGate = GruResetGate.Before, LearnedInitialState = true, ReturnSequences = false }, new DenseConfig()),
        ["normalized-cells"] = () => Tokens(new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 7, LayerNorm = true, LearnedInitialState = true }, new GruConfig { Units = 6, LayerNorm = true }, new RnnConfig { Units = 18, LayerNorm = true, ReturnSequences = false }, new DenseConfig()),
        ["normalized-projected"] = () => Projected(new EmbeddingConfig { Units = 5 }, new GruConfig { Units = 17, Layers = 2, LayerNorm = true, LearnedInitialState = true }, new DenseConfig()),
        ["normalized-dropout"] = () => Projected(new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 6, Layers = 2, Dropout = 0.2, RecurrentDropout = 0.25, Residual = true, LayerNorm = true }, new RnnConfig { Units = 5, RecurrentDropout = 0.2, LayerNorm = true, Activation = RecurrentActivation.Sigmoid }, new GruConfig { Units = 5, RecurrentDropout = 0.2, LayerNorm = true, LearnedInitialState = true }, new DenseConfig()),
        ["normalized-documents"] = () => Documents(4, new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5, LayerNorm = true, LearnedInitialState = true }, new GruConfig { Units = 6, LayerNorm = true }, new RnnConfig { Units = 5, LayerNorm = true, LearnedInitialState = true }, new DenseConfig()),
        ["attention-causal"] = () => Values(LossKind.MeanSquaredError, new DenseConfig { Units = 6 }, new AttentionConfig { Heads = 2 }, new DenseConfig()),
        ["transformer-pre"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new PositionsConfig(), new TransformerConfig { Heads = 3 }, new DenseConfig()),
        ["transformer-post-tanh"] = () => Tokens(new EmbeddingConfig { Units = 8 }, new PositionsConfig { Kind = PositionKind.Learned, MaximumLength = 9 }, new TransformerConfig { Heads = 2, Units = 17, Norm = NormPlace.Post, Activation = TransformerActivation.GeluTanh }, new DenseConfig()),
        ["transformer-dropout"] = () => Tokens(new EmbeddingConfig { Units = 8 }, new TransformerConfig { Layers = 1, Heads = 2, Dropout = 0.2, FinalNorm = false }, new LstmConfig { Units = 8 }, new AttentionConfig { Heads = 2, Dropout = 0.3 }, new TransformerConfig { Layers = 1, Heads = 2, Norm = NormPlace.Post, Activation = TransformerActivation.Relu, Dropout = 0.1 }, new DenseConfig()),
        ["convolution-causal"] = () => Tokens(new EmbeddingConfig { Units = 5 }, new Convolution1dConfig { Units = 6, Padding = ConvolutionPadding.Causal, Activation = ActivationKind.Tanh }, new LstmConfig { Units = 4 }, new Convolution1dConfig { Units = 17, Kernel = 2, Padding = ConvolutionPadding.Causal }, new DenseConfig()),
        ["gaussian"] = () => Values(LossKind.Gaussian, new GruConfig { Units = 5 }, new DenseConfig()),
        ["gaussian-mixture"] = () => Values(LossKind.GaussianMixture, new LstmConfig { Units = 5 }, new DenseConfig()),
        ["hidden-1"] = () => Tokens(new EmbeddingConfig { Units = 1 }, new LstmConfig { Units = 1 }, new GruConfig { Units = 1 }, new RnnConfig { Units = 1 }, new DenseConfig()),
    };

    /// <summary>Models whose outputs depend on later time steps: their windows can't be cut.</summary>
    public static IReadOnlyDictionary<string, Func<Model>> Ahead { get; } = new Dictionary<string, Func<Model>>
    {
        ["bidirectional-lstm"] = () => Tokens(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 7, Bidirectional = true }, new DenseConfig()),
        ["bidirectional-gru-last"] = () => Values(LossKind.MeanSquaredError, new GruConfig { Units = 6, Layers = 2, Bidirectional = true, ReturnSequences = false, LearnedInitialState = true }, new DenseConfig()),
        ["bidirectional-rnn-residual"] = () => Projected(new EmbeddingConfig { Units = 8 }, new RnnConfig { Units = 4, Bidirectional = true, Residual = true, LearnedInitialState = true }, new LstmConfig { Units = 17, Peepholes = true }, new DenseConfig()),
        ["bidirectional-gru-before"] = () => Tokens(new EmbeddingConfig { Units = 3 }, new LstmConfig { Units = 4 }, new GruConfig { Units = 5, Bidirectional = true, ResetGate = GruResetGate.Before }, new DenseConfig()),
        ["bidirectional-dropout"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 5, Layers = 2, Bidirectional = true, Dropout = 0.3, Variational = true, RecurrentDropout = 0.25, Peepholes = true }, new GruConfig { Units = 10, RecurrentDropout = 0.2, Residual = true }, new DenseConfig()),
        ["bidirectional-normalized"] = () => Tokens(new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 9, Bidirectional = true, LayerNorm = true }, new GruConfig { Units = 9, Bidirectional = true, Residual = true, LayerNorm = true }, new DenseConfig()),
        ["bidirectional-normalized-last"] = () => Values(LossKind.MeanSquaredError, new GruConfig { Units = 9, Bidirectional = true, LayerNorm = true, LearnedInitialState = true }, new RnnConfig { Units = 9, Bidirectional = true, LayerNorm = true, ReturnSequences = false }, new DenseConfig()),
        ["ctc"] = () => Model.Build(new ModelConfig { Layers = [new GruConfig { Units = 5 }, new DenseConfig()], Loss = LossKind.Ctc }, InputKind.Features, 3, 4),
        ["projected-bidirectional-lstm"] = () => Projected(new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 7, Bidirectional = true, Peepholes = true, LearnedInitialState = true }, new DenseConfig { Units = 5, Activation = ActivationKind.Tanh }, new DenseConfig { Tied = true }),
        ["projected-bidirectional-gru"] = () => Projected(new EmbeddingConfig { Units = 18 }, new GruConfig { Units = 6, Layers = 2, Bidirectional = true }, new DenseConfig()),
        ["bidirectional-hidden-1"] = () => Tokens(new EmbeddingConfig { Units = 1 }, new LstmConfig { Units = 1, Bidirectional = true, Peepholes = true, LearnedInitialState = true }, new DenseConfig()),
        ["convolution-same"] = () => Values(LossKind.MeanSquaredError, new Convolution1dConfig { Units = 5, Kernel = 4, Activation = ActivationKind.Sigmoid }, new GruConfig { Units = 6, Bidirectional = true }, new Convolution1dConfig { Units = 18 }, new DenseConfig()),
        ["convolution-relu"] = () => Values(LossKind.MeanSquaredError, new Convolution1dConfig { Units = 6, Activation = ActivationKind.Relu }, new DenseConfig()),
        ["convolution-stride-last"] = () => Tokens(new EmbeddingConfig { Units = 4 }, new Convolution1dConfig { Units = 7, Stride = 2, Activation = ActivationKind.Tanh }, new LstmConfig { Units = 5, Bidirectional = true, ReturnSequences = false, LearnedInitialState = true }, new DenseConfig()),
        ["convolution-valid-mean"] = () => Values(LossKind.MeanSquaredError, new Convolution1dConfig { Units = 6, Kernel = 2, Padding = ConvolutionPadding.Valid }, new ElmanConfig { Units = 5, Outputs = 4 }, new GlobalPoolingConfig(), new DenseConfig()),
        ["convolution-valid-elman"] = () => Values(LossKind.MeanSquaredError, new Convolution1dConfig { Units = 6, Kernel = 3, Padding = ConvolutionPadding.Valid }, new ElmanConfig { Units = 5, Outputs = 4, ReturnSequences = false }, new DenseConfig()),
        ["convolution-plane-pooling"] = () => Plane(new DenseConfig { Units = 10 }, new Convolution2dConfig { Units = 3, Activation = ActivationKind.Tanh }, new MaxPoolingConfig { FeatureSize = 2, Stride = 1 }, new Convolution2dConfig { Units = 18, Kernel = 2, FeatureKernel = 3, FeatureStride = 2, Padding = ConvolutionPadding.Valid }, new GlobalPoolingConfig { Kind = GlobalPooling.Max }, new DenseConfig()),
        ["convolution-plane-dropout"] = () => Plane(new DenseConfig { Units = 10 }, new Convolution2dConfig { Units = 3, Stride = 2, Padding = ConvolutionPadding.Causal, Activation = ActivationKind.Relu }, new DropoutConfig { Rate = 0.3 }, new LayerNormConfig(), new Convolution2dConfig { Units = 2, Activation = ActivationKind.Sigmoid }, new TransformerConfig { Layers = 1, Heads = 2, Dropout = 0.2, Causal = false }, new GlobalPoolingConfig { Kind = GlobalPooling.Last }, new DenseConfig()),
        ["pooling-lstm"] = () => Values(LossKind.MeanSquaredError, new LstmConfig { Units = 5 }, new MaxPoolingConfig { Stride = 1 }, new LstmConfig { Units = 5, Residual = true }, new GruConfig { Units = 6, ReturnSequences = false }, new DenseConfig()),
        ["flatten"] = () => Tokens(new EmbeddingConfig { Units = 3 }, new RnnConfig { Units = 5 }, new FlattenConfig { Steps = 3 }, new DenseConfig { Units = 7, Activation = ActivationKind.Tanh }, new DenseConfig()),
        ["attention-full"] = () => Values(LossKind.MeanSquaredError, new AttentionConfig { Heads = 1, Causal = false }, new DenseConfig()),
        ["transformer-relu-full"] = () => Values(LossKind.MeanSquaredError, new PositionsConfig { Kind = PositionKind.Learned, MaximumLength = 9 }, new TransformerConfig { Layers = 1, Heads = 1, Activation = TransformerActivation.Relu, Causal = false }, new TransformerConfig { Layers = 1, Heads = 3, Units = 5, Norm = NormPlace.Post, FinalNorm = true, Causal = false }, new DenseConfig()),
    };

    /// <summary>Models from one sequence to another.</summary>
    public static IReadOnlyDictionary<string, Func<Model>> Pairs { get; } = new Dictionary<string, Func<Model>>
    {
        ["pair-gru-dot"] = () => Pair([new EmbeddingConfig { Units = 5 }, new GruConfig { Units = 6 }], new EmbeddingConfig { Units = 4 }, new GruConfig { Units = 6 }, new CrossAttentionConfig { Score = AttentionScore.Dot }, new DenseConfig()),
        ["pair-lstm-general"] = () => Pair([new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 4, Layers = 2, Bidirectional = true }], new EmbeddingConfig { Units = 3 }, new LstmConfig { Units = 7, Layers = 2 }, new CrossAttentionConfig { Units = 5 }, new DenseConfig()),
        ["pair-rnn-additive"] = () => Model.Build(
            new ModelConfig
            {
                Encoder = [new DenseConfig { Units = 4, Activation = ActivationKind.Tanh }, new RnnConfig { Units = 5 }],
                Decoder = [new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 18 }, new CrossAttentionConfig { Score = AttentionScore.Additive, ScoreUnits = 3 }, new GruConfig { Units = 5 }, new DenseConfig()],
            },
            InputKind.Features,
            3,
            9),
        ["pair-state-alone"] = () => Pair([new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5, LearnedInitialState = true, Peepholes = true }], new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 5, Peepholes = true }, new DenseConfig()),
        ["pair-normalized"] = () => Pair([new EmbeddingConfig { Units = 5 }, new LstmConfig { Units = 4, Bidirectional = true, LayerNorm = true }], new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 6, LayerNorm = true }, new CrossAttentionConfig(), new DenseConfig()),
        ["pair-attention-twice"] = () => Pair([new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 3, Bidirectional = true, Residual = true }], new EmbeddingConfig { Units = 6 }, new CrossAttentionConfig(), new GruConfig { Units = 6, Residual = true }, new CrossAttentionConfig { Score = AttentionScore.Additive }, new DenseConfig { Tied = true }),
        ["pair-transformer-pre"] = () => Pair([new EmbeddingConfig { Units = 6 }, new PositionsConfig(), new TransformerConfig { Heads = 3, Layers = 1 }], new EmbeddingConfig { Units = 6 }, new PositionsConfig(), new TransformerConfig { Heads = 2 }, new DenseConfig()),
        ["pair-transformer-post"] = () => Pair([new EmbeddingConfig { Units = 4 }, new LstmConfig { Units = 3, Bidirectional = true }], new EmbeddingConfig { Units = 8 }, new PositionsConfig { Kind = PositionKind.Learned, MaximumLength = 9 }, new TransformerConfig { Heads = 2, Units = 17, Layers = 1, Norm = NormPlace.Post, Activation = TransformerActivation.GeluTanh }, new DenseConfig()),
        ["pair-dropout"] = () => Pair([new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 5, Bidirectional = true, RecurrentDropout = 0.2 }, new TransformerConfig { Layers = 1, Heads = 2, Dropout = 0.2 }], new EmbeddingConfig { Units = 8 }, new DropoutConfig { Rate = 0.2 }, new TransformerConfig { Layers = 1, Heads = 2, Dropout = 0.2, Norm = NormPlace.Post, Activation = TransformerActivation.Relu }, new GruConfig { Units = 7, RecurrentDropout = 0.2 }, new CrossAttentionConfig(), new AttentionConfig { Heads = 7, Dropout = 0.2 }, new TransformerConfig { Layers = 1, Heads = 1, Dropout = 0.1 }, new DenseConfig()),
        ["pair-own-dropout"] = () => Model.Build(
            new ModelConfig
            {
                Encoder = [new EmbeddingConfig { Units = 6 }, new GruConfig { Units = 6 }],
                Decoder = [new EmbeddingConfig { Units = 6 }, new LstmConfig { Units = 7 }, new CrossAttentionConfig(), new TransformerConfig { Layers = 1, Heads = 1, Dropout = 0.1 }, new DenseConfig()],
                TeacherForcing = new TeacherForcingConfig { Ratio = 0.5 },
            },
            InputKind.Tokens,
            11,
            9),
        ["pair-hidden-1"] = () => Pair([new EmbeddingConfig { Units = 1 }, new LstmConfig { Units = 1 }], new EmbeddingConfig { Units = 1 }, new LstmConfig { Units = 1 }, new CrossAttentionConfig { Score = AttentionScore.Dot }, new DenseConfig()),
    };

    public static IReadOnlyDictionary<string, Func<Model>> Everything { get; } = All.Concat(Ahead).Concat(Pairs).ToDictionary();

    public static TheoryData<string> PairNames => [.. Pairs.Keys];

    public static TheoryData<string> Names => [.. All.Keys];

    public static TheoryData<string> EveryName => [.. Everything.Keys];

    /// <summary>Those that need nothing of earlier time steps but a state that is carried.</summary>
    public static TheoryData<string> Recurrent => [.. All.Where(model => !model.Value().NeedsContext).Select(model => model.Key)];

    /// <summary>Those without attention or positions.</summary>
    public static TheoryData<string> WithoutContext => [.. Everything.Where(model => !model.Value().NeedsContext).Select(model => model.Key)];

    /// <summary>Those that go on token by token from time steps that are kept.</summary>
    public static TheoryData<string> Continuing => [.. All.Where(model => model.Value() is { NeedsContext: true, ReadsAhead: false }).Select(model => model.Key)];

    public static Model Tokens(params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers }, InputKind.Tokens, 11, 11);

    public static Model Pair(LayerConfig[] encoder, params LayerConfig[] decoder) => Model.Build(new ModelConfig { Encoder = encoder, Decoder = decoder }, InputKind.Tokens, 11, 9);

    /// <summary>A model that reads its tokens through the embedding's table, projected once.</summary>
    public static Model Projected(params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers }, InputKind.Tokens, 11, 11, positionsPerShard: 11);

    /// <summary>A model whose rows begin anew before each token 2 of 4.</summary>
    public static Model Documents(long positionsPerShard, params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers }, InputKind.Tokens, 4, 4, positionsPerShard, documentStart: 2);

    public static Model Values(LossKind loss, params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers, Loss = loss }, InputKind.Features, 3, 2);

    /// <summary>A classifier of pictures of ten features a time step.</summary>
    private static Model Plane(params LayerConfig[] layers) => Model.Build(new ModelConfig { Layers = layers, Loss = LossKind.CrossEntropy }, InputKind.Features, 3, 4);

    /// <summary>The model with a batch that suits it: all targets, or the last where it returns one.</summary>
    public static ModelHarness Harness(string name, int time, int rows, ulong seed = 1, int targetTime = 0)
    {
        Model model = Everything[name]();
        return new ModelHarness(model, time, model.ReturnsLast ? 1 : targetTime == 0 || model.Loss == LossKind.Ctc || model.IsEncoderDecoder ? time : targetTime, rows, seed);
    }
}
