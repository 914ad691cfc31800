// What a user writes under `model:`. Every layer is one record, told apart by `type`; the descriptions feed the JSON
// Schema and the messages of the strict loader. A value left out (null) takes the data's width or the default named here.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>A model: its layers in order, its loss and what is measured beside the loss.</summary>
[Description("The model: layers in order, from the input to the output; or an encoder and a decoder, from one sequence to another.")]
public sealed record ModelConfig : IValidatableObject
{
    /// <summary>The layers, from the input to the output; empty where there are <see cref="Encoder"/> and <see cref="Decoder"/>.</summary>
    [Description("The layers, from the input to the output. A model from one sequence to another has 'encoder' and 'decoder' instead.")]
    public IReadOnlyList<LayerConfig> Layers { get; init; } = [];

    /// <summary>The layers that read the source sequence; null in a model without a decoder.</summary>
    [Description("The layers that read the source sequence, for data with pairs of sequences. They see all of it: attention is full unless causal: true.")]
    public IReadOnlyList<LayerConfig>? Encoder { get; init; }

    /// <summary>The layers that write the target sequence token by token; null in a model without an encoder.</summary>
    [Description("The layers that write the target sequence token by token. Recurrent layers start from the encoder's last states, cross-attention and transformer look at its outputs.")]
    public IReadOnlyList<LayerConfig>? Decoder { get; init; }

    /// <summary>What the decoder reads in training; null: always the true tokens.</summary>
    [Description("What the decoder reads in training: the true token before, or its own. Default: always the true one.")]
    public TeacherForcingConfig? TeacherForcing { get; init; }

    /// <summary>What training makes small; null: cross-entropy when the input is tokens, else mean squared error.</summary>
    [Description("What training makes small. Default: cross-entropy when the input is tokens, else mean-squared-error.")]
    public LossKind? Loss { get; init; }

    /// <summary>K, for the loss gaussian-mixture: how many Gaussians.</summary>
    [Description("For the loss gaussian-mixture: how many Gaussians.")]
    [Range(2, GaussianMixture.MostComponents)]
    public int Components { get; init; } = 5;

    /// <summary>What is measured beside the loss; null: the loss's usual ones.</summary>
    [Description("What is measured beside the loss. Default: accuracy, perplexity and bits per character for cross-entropy; accuracy for binary-cross-entropy; mean absolute and root mean squared error for losses of values.")]
    public IReadOnlyList<MetricKind>? Metrics { get; init; }

    /// <summary>Which layers or tensors stay as they are: names, with * and ?.</summary>
    [Description("Layers or tensors that training leaves as they are: names as inspect shows them, or their first parts, with * and ?, such as embedding, lstm.*_l0, '*.bias'.")]
    public IReadOnlyList<string> Freeze { get; init; } = [];

    /// <summary>The layers that end in the output: the decoder's, or all.</summary>
    [JsonIgnore]
    public IReadOnlyList<LayerConfig> OutputLayers => Decoder ?? Layers;

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Encoder is null && Decoder is null)
        {
            if (Layers.Count == 0)
            {
                yield return new ValidationResult("'model' expects 'layers', or 'encoder' and 'decoder' for pairs of sequences; found neither", [nameof(Layers)]);
            }

            if (TeacherForcing is not null)
            {
                yield return new ValidationResult("'model.teacherForcing' says what a decoder reads; the model has none. Remove it, or give the model 'encoder' and 'decoder'", [nameof(TeacherForcing)]);
            }

            yield break;
        }

        if (Encoder is null or { Count: 0 } || Decoder is null or { Count: 0 })
        {
            yield return new ValidationResult("'model.encoder' and 'model.decoder' belong together; found only one of them with layers", [nameof(Encoder)]);
        }

        if (Layers.Count > 0)
        {
            yield return new ValidationResult("'model' expects either 'layers', or 'encoder' and 'decoder'; found both", [nameof(Layers)]);
        }
    }
}

/// <summary>How the share of true tokens that the decoder reads falls.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<TeacherForcingCourse>))]
public enum TeacherForcingCourse
{
    /// <summary>It stays.</summary>
    [JsonStringEnumMemberName("constant")]
    Constant,

    /// <summary>By the same amount each step.</summary>
    [JsonStringEnumMemberName("linear")]
    Linear,

    /// <summary>As k / (k + exp(step / k)) falls, k the steps (Bengio et al. 2015).</summary>
    [JsonStringEnumMemberName("inverse-sigmoid")]
    InverseSigmoid,
}

/// <summary>
/// What the decoder reads in training: at each time step the true token before, or, by a draw, the likeliest of its own output
/// (scheduled sampling: Bengio, Vinyals, Jaitly and Shazeer, Scheduled sampling for sequence prediction with recurrent neural
/// networks, 2015). The draw is keyed by seed, step, row and time; the decoder's own output is formed without dropout.
/// </summary>
[Description("What the decoder reads in training: the true token before, or with some probability its own (scheduled sampling).")]
public sealed record TeacherForcingConfig : IValidatableObject
{
    /// <summary>How the share falls.</summary>
    [Description("How the share of true tokens goes from 'ratio' to 'finalRatio'.")]
    public TeacherForcingCourse Course { get; init; }

    /// <summary>The share at the start.</summary>
    [Description("The share of true tokens at the start; 1 costs nothing.")]
    [Range(0.0, 1.0)]
    public double Ratio { get; init; } = 1;

    /// <summary>The share at the end.</summary>
    [Description("The share of true tokens at the end of the course, for linear and inverse-sigmoid.")]
    [Range(0.0, 1.0)]
    public double FinalRatio { get; init; }

    /// <summary>Steps of the course; k of the inverse sigmoid.</summary>
    [Description("Steps that linear takes to the end; the constant k of inverse-sigmoid, which is half way after about k ln k steps.")]
    [Range(1, 1 << 30)]
    public int Steps { get; init; } = 10_000;

    /// <summary>The share of true tokens in a step.</summary>
    /// <param name="version">The step's version, from 0.</param>
    public double RatioAt(long version)
    {
        double k = Steps;
        return Course switch
        {
            TeacherForcingCourse.Linear => Ratio + ((FinalRatio - Ratio) * (Math.Min(version, Steps) / k)),
            TeacherForcingCourse.InverseSigmoid => FinalRatio + ((Ratio - FinalRatio) * (k / (k + ScalarMath.Exp(Math.Min(version / k, 700.0))))),
            _ => Ratio,
        };
    }

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (FinalRatio > Ratio && Course != TeacherForcingCourse.Constant)
        {
            yield return new ValidationResult($"'model.teacherForcing.finalRatio' expects at most 'ratio', which is {Ratio}; found {FinalRatio}", [nameof(FinalRatio)]);
        }
    }
}

/// <summary>What training makes small. A loss is a mean over all targets of the global batch.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<LossKind>))]
public enum LossKind
{
    /// <summary>Softmax cross-entropy in nats, of logits against a class id.</summary>
    [JsonStringEnumMemberName("cross-entropy")]
    CrossEntropy,

    /// <summary>Sigmoid cross-entropy in nats, of logits against values in [0, 1].</summary>
    [JsonStringEnumMemberName("binary-cross-entropy")]
    BinaryCrossEntropy,

    /// <summary>The mean of the squared differences.</summary>
    [JsonStringEnumMemberName("mean-squared-error")]
    MeanSquaredError,

    /// <summary>Connectionist temporal classification in nats a label (Graves et al. 2006): labels in order, without times; class 0 is the blank.</summary>
    [JsonStringEnumMemberName("ctc")]
    Ctc,

    /// <summary>Minus the log density, in nats a value, of values under a Gaussian whose mean and log deviation the model gives.</summary>
    [JsonStringEnumMemberName("gaussian")]
    Gaussian,

    /// <summary>The same under several Gaussians with weights (Bishop 1994).</summary>
    [JsonStringEnumMemberName("gaussian-mixture")]
    GaussianMixture,
}

/// <summary>How a tensor's first values are drawn.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<InitializerKind>))]
public enum InitializerKind
{
    /// <summary>PyTorch's default: uniform within 1/sqrt(hidden) for recurrent, 1/sqrt(inputs) for dense layers, standard normal for embeddings.</summary>
    [JsonStringEnumMemberName("pytorch")]
    PyTorch,

    /// <summary>Uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010).</summary>
    [JsonStringEnumMemberName("glorot-uniform")]
    GlorotUniform,

    /// <summary>Normal of variance 2 / (inputs + outputs) (Glorot and Bengio 2010).</summary>
    [JsonStringEnumMemberName("glorot-normal")]
    GlorotNormal,

    /// <summary>Uniform within sqrt(6 / inputs) (He et al. 2015).</summary>
    [JsonStringEnumMemberName("he-uniform")]
    HeUniform,

    /// <summary>Normal of variance 2 / inputs (He et al. 2015).</summary>
    [JsonStringEnumMemberName("he-normal")]
    HeNormal,

    /// <summary>Normal of standard deviation 0.05.</summary>
    [JsonStringEnumMemberName("normal")]
    Normal,

    /// <summary>Uniform within 0.05.</summary>
    [JsonStringEnumMemberName("uniform")]
    Uniform,

    /// <summary>Orthonormal rows or columns, gate by gate, from the QR factors of a normal matrix (Saxe et al. 2014).</summary>
    [JsonStringEnumMemberName("orthogonal")]
    Orthogonal,

    /// <summary>All zero.</summary>
    [JsonStringEnumMemberName("zeros")]
    Zeros,
}

/// <summary>An elementwise function, or softmax over the last dimension.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ActivationKind>))]
public enum ActivationKind
{
    /// <summary>x</summary>
    [JsonStringEnumMemberName("linear")]
    Linear,

    /// <summary>tanh(x)</summary>
    [JsonStringEnumMemberName("tanh")]
    Tanh,

    /// <summary>max(x, 0)</summary>
    [JsonStringEnumMemberName("relu")]
    Relu,

    /// <summary>1 / (1 + exp(-x))</summary>
    [JsonStringEnumMemberName("sigmoid")]
    Sigmoid,

    /// <summary>exp(x) / sum exp(x)</summary>
    [JsonStringEnumMemberName("softmax")]
    Softmax,
}

/// <summary>The function of a plain recurrent layer.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<RecurrentActivation>))]
public enum RecurrentActivation
{
    /// <summary>tanh(x)</summary>
    [JsonStringEnumMemberName("tanh")]
    Tanh,

    /// <summary>max(x, 0)</summary>
    [JsonStringEnumMemberName("relu")]
    Relu,

    /// <summary>1 / (1 + exp(-x))</summary>
    [JsonStringEnumMemberName("sigmoid")]
    Sigmoid,

    /// <summary>x</summary>
    [JsonStringEnumMemberName("identity")]
    Identity,
}

/// <summary>Where a GRU applies its reset gate.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<GruResetGate>))]
public enum GruResetGate
{
    /// <summary>On the result of the recurrent product, as PyTorch and cuDNN do.</summary>
    [JsonStringEnumMemberName("after")]
    After,

    /// <summary>On the state before the recurrent product, as in the original paper (Cho et al. 2014).</summary>
    [JsonStringEnumMemberName("before")]
    Before,
}

/// <summary>What tells attention where in the window a time step stands.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<PositionKind>))]
public enum PositionKind
{
    /// <summary>Sines and cosines of geometrically growing periods (Vaswani et al. 2017).</summary>
    [JsonStringEnumMemberName("sinusoidal")]
    Sinusoidal,

    /// <summary>A learned vector for each place.</summary>
    [JsonStringEnumMemberName("learned")]
    Learned,
}

/// <summary>Where a Transformer normalises.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<NormPlace>))]
public enum NormPlace
{
    /// <summary>Before each branch (Xiong et al. 2020), and once more after the last layer.</summary>
    [JsonStringEnumMemberName("pre")]
    Pre,

    /// <summary>After each branch is added, as first published (Vaswani et al. 2017).</summary>
    [JsonStringEnumMemberName("post")]
    Post,
}

/// <summary>The function of a Transformer's feed-forward network.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<TransformerActivation>))]
public enum TransformerActivation
{
    /// <summary>x Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016).</summary>
    [JsonStringEnumMemberName("gelu")]
    Gelu,

    /// <summary>x Φ(x) with Φ approximated by tanh.</summary>
    [JsonStringEnumMemberName("gelu-tanh")]
    GeluTanh,

    /// <summary>max(x, 0)</summary>
    [JsonStringEnumMemberName("relu")]
    Relu,
}

/// <summary>What a convolution reads beyond a row's ends.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ConvolutionPadding>))]
public enum ConvolutionPadding
{
    /// <summary>Zeros before and after: ceil(length / stride) outputs, each around its input step.</summary>
    [JsonStringEnumMemberName("same")]
    Same,

    /// <summary>Zeros before the row alone: an output sees its own and earlier time steps.</summary>
    [JsonStringEnumMemberName("causal")]
    Causal,

    /// <summary>Nothing: floor((length - kernel) / stride) + 1 outputs.</summary>
    [JsonStringEnumMemberName("valid")]
    Valid,
}

/// <summary>What becomes of all of a row's time steps.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<GlobalPooling>))]
public enum GlobalPooling
{
    /// <summary>Their mean.</summary>
    [JsonStringEnumMemberName("mean")]
    Mean,

    /// <summary>Of each value the largest.</summary>
    [JsonStringEnumMemberName("max")]
    Max,

    /// <summary>The last one.</summary>
    [JsonStringEnumMemberName("last")]
    Last,
}

/// <summary>One layer of a model.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(EmbeddingConfig), "embedding")]
[JsonDerivedType(typeof(OneHotConfig), "one-hot")]
[JsonDerivedType(typeof(RnnConfig), "rnn")]
[JsonDerivedType(typeof(ElmanConfig), "elman")]
[JsonDerivedType(typeof(LstmConfig), "lstm")]
[JsonDerivedType(typeof(GruConfig), "gru")]
[JsonDerivedType(typeof(DenseConfig), "dense")]
[JsonDerivedType(typeof(DropoutConfig), "dropout")]
[JsonDerivedType(typeof(Convolution1dConfig), "convolution1d")]
[JsonDerivedType(typeof(Convolution2dConfig), "convolution2d")]
[JsonDerivedType(typeof(MaxPoolingConfig), "max-pooling")]
[JsonDerivedType(typeof(GlobalPoolingConfig), "global-pooling")]
[JsonDerivedType(typeof(FlattenConfig), "flatten")]
[JsonDerivedType(typeof(LayerNormConfig), "layer-norm")]
[JsonDerivedType(typeof(PositionsConfig), "positions")]
[JsonDerivedType(typeof(AttentionConfig), "attention")]
[JsonDerivedType(typeof(TransformerConfig), "transformer")]
[JsonDerivedType(typeof(CrossAttentionConfig), "cross-attention")]
public abstract record LayerConfig
{
    /// <summary>The layer's name, the first part of its tensors' names; null: its type, numbered from the second on.</summary>
    [Description("The layer's name in checkpoints. Default: its type, then type_1, type_2, ...")]
    public string? Name { get; init; }
}

/// <summary>A learned vector for each token.</summary>
[Description("A learned vector for each token.")]
public sealed record EmbeddingConfig : LayerConfig
{
    /// <summary>The vector's length.</summary>
    [Description("Length of each token's vector.")]
    [Range(1, 65536)]
    public int Units { get; init; } = 64;

    /// <summary>How the vectors are drawn.</summary>
    [Description("How the vectors are drawn at first.")]
    public InitializerKind Initializer { get; init; }
}

/// <summary>Each token as a vector of zeros with a single one: what the textbooks feed to small networks.</summary>
[Description("Each token as a vector of zeros with a single one.")]
public sealed record OneHotConfig : LayerConfig;

/// <summary>What all recurrent layers have in common.</summary>
public abstract record RecurrentConfig : LayerConfig
{
    /// <summary>H: the state's width.</summary>
    [Description("Width of the hidden state.")]
    [Range(1, 65536)]
    public int Units { get; init; } = 128;

    /// <summary>How many are stacked.</summary>
    [Description("How many of these are stacked on each other.")]
    [Range(1, 64)]
    public int Layers { get; init; } = 1;

    /// <summary>Dropout between stacked layers.</summary>
    [Description("Dropout between stacked layers (not after the last).")]
    [Range(0.0, 0.99)]
    public double Dropout { get; init; }

    /// <summary>Whether a row's mask, between stacked layers, is the same at all time steps.</summary>
    [Description("Drop the same values of a row at all time steps of a span (variational dropout).")]
    public bool Variational { get; init; }

    /// <summary>Dropout of the state before it goes into the recurrent product, with one mask a row for all time steps (Gal and Ghahramani 2016).</summary>
    [Description("Dropout of the state on its way into the recurrent product: the same values of a row at all time steps of a span.")]
    [Range(0.0, 0.99)]
    public double RecurrentDropout { get; init; }

    /// <summary>Whether each layer also reads its input from the end; the output is both directions side by side.</summary>
    [Description("Read each row also from its end to its start, and return both directions side by side (twice the units). Needs whole sequences: no state is carried from span to span.")]
    public bool Bidirectional { get; init; }

    /// <summary>Whether each layer's input is added to its output.</summary>
    [Description("Add each layer's input to its output, x + layer(x); both must have the same width.")]
    public bool Residual { get; init; }

    /// <summary>Whether both parts of the gates are normalised before they are added, and what an LSTM's output sees of its cell (Ba, Kiros and Hinton 2016).</summary>
    [Description("Normalise within the layer, at each step: the input's and the state's part of the gates, each by itself, and what an LSTM's output sees of its cell.")]
    public bool LayerNorm { get; init; }

    /// <summary>Whether sequences start from a state that is learned, instead of zero.</summary>
    [Description("Start sequences from a learned state instead of zero.")]
    public bool LearnedInitialState { get; init; }

    /// <summary>Whether every time step is returned, or each row's last one.</summary>
    [Description("Return every time step (true) or each row's last one (false).")]
    public bool ReturnSequences { get; init; } = true;

    /// <summary>How the weights on the input are drawn.</summary>
    [Description("How the weights on the input are drawn at first.")]
    public InitializerKind KernelInitializer { get; init; }

    /// <summary>How the weights on the state are drawn.</summary>
    [Description("How the weights on the state are drawn at first.")]
    public InitializerKind RecurrentInitializer { get; init; }

    /// <summary>How the biases are drawn.</summary>
    [Description("How the biases are drawn at first.")]
    public InitializerKind BiasInitializer { get; init; }
}

/// <summary>A plain recurrent layer, h = f(W_ih x + b_ih + W_hh h + b_hh).</summary>
[Description("A plain recurrent layer, h = f(W_ih x + b_ih + W_hh h + b_hh).")]
public sealed record RnnConfig : RecurrentConfig
{
    /// <summary>f.</summary>
    [Description("The function f of the state.")]
    public RecurrentActivation Activation { get; init; }
}

/// <summary>Elman's network with the output formed from input and state together: o_t = W_o [x_t, h_(t-1)] + b_o, h_t = f(W_h [x_t, h_(t-1)] + b_h).</summary>
[Description("Elman's network: state and output are both formed from input and previous state together.")]
public sealed record ElmanConfig : LayerConfig
{
    /// <summary>H: the state's width.</summary>
    [Description("Width of the hidden state.")]
    [Range(1, 65536)]
    public int Units { get; init; } = 128;

    /// <summary>O: the output's width; null: the data's.</summary>
    [Description("Width of the output. Default: what the data asks for.")]
    [Range(1, 1048576)]
    public int? Outputs { get; init; }

    /// <summary>f.</summary>
    [Description("The function f of the state.")]
    public RecurrentActivation Activation { get; init; }

    /// <summary>Whether every time step is returned, or each row's last one.</summary>
    [Description("Return every time step (true) or each row's last one (false).")]
    public bool ReturnSequences { get; init; } = true;

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first.")]
    public InitializerKind KernelInitializer { get; init; }

    /// <summary>How the biases are drawn.</summary>
    [Description("How the biases are drawn at first.")]
    public InitializerKind BiasInitializer { get; init; }
}

/// <summary>A long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).</summary>
[Description("A long short-term memory.")]
public sealed record LstmConfig : RecurrentConfig
{
    /// <summary>What the forget gate's biases sum to at first; null: as the bias initializer drew them.</summary>
    [Description("Initial bias of the forget gate, b_ih and b_hh together. Default: as biasInitializer draws them.")]
    public double? ForgetBias { get; init; }

    /// <summary>Over how many time steps the layer may have to remember; null: nothing is known.</summary>
    [Description("Over how many time steps the layer may have to remember: gates are drawn so that its units keep their state for 1 to so many steps at first. Default: as biasInitializer draws them.")]
    [Range(2, 1 << 24)]
    public int? LongestLag { get; init; }

    /// <summary>Whether the gates also see the cell state, each unit its own (Gers, Schraudolph and Schmidhuber 2002).</summary>
    [Description("Let the gates see the cell state too, each unit its own: input and forget gate the one before, the output gate the one after.")]
    public bool Peepholes { get; init; }
}

/// <summary>A gated recurrent unit (Cho et al. 2014).</summary>
[Description("A gated recurrent unit.")]
public sealed record GruConfig : RecurrentConfig
{
    /// <summary>Where the reset gate acts.</summary>
    [Description("Apply the reset gate after the recurrent product (as PyTorch) or before it.")]
    public GruResetGate ResetGate { get; init; }

    /// <summary>Over how many time steps the layer may have to remember; null: nothing is known.</summary>
    [Description("Over how many time steps the layer may have to remember: gates are drawn so that its units keep their state for 1 to so many steps at first. Default: as biasInitializer draws them.")]
    [Range(2, 1 << 24)]
    public int? LongestLag { get; init; }
}

/// <summary>A dense layer, y = f(W x + b), at every time step.</summary>
[Description("A dense layer, y = f(W x + b), at every time step.")]
public sealed record DenseConfig : LayerConfig
{
    /// <summary>The output's width; null: the data's.</summary>
    [Description("Width of the output. Default: what the data asks for.")]
    [Range(1, 1048576)]
    public int? Units { get; init; }

    /// <summary>Whether the weights are the table of the embedding, which the model must begin with.</summary>
    [Description("Take the embedding's vectors as weights: the layer's input must be as wide as they are, its output as wide as the vocabulary.")]
    public bool Tied { get; init; }

    /// <summary>f.</summary>
    [Description("The function of the output. Before cross-entropy softmax, and before binary-cross-entropy sigmoid, is joined with the loss.")]
    public ActivationKind Activation { get; init; }

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first.")]
    public InitializerKind KernelInitializer { get; init; }

    /// <summary>How the biases are drawn.</summary>
    [Description("How the biases are drawn at first.")]
    public InitializerKind BiasInitializer { get; init; }
}

/// <summary>What both convolutions have in common.</summary>
public abstract record ConvolutionConfig : LayerConfig
{
    /// <summary>N: the output's channels.</summary>
    [Description("Channels of the output.")]
    [Range(1, 65536)]
    public int Units { get; init; } = 64;

    /// <summary>K: time steps that an output reads.</summary>
    [Description("Time steps that an output reads.")]
    [Range(1, 65536)]
    public int Kernel { get; init; } = 3;

    /// <summary>Time steps from one output to the next.</summary>
    [Description("Time steps from one output to the next: with 2 there are half as many outputs.")]
    [Range(1, 65536)]
    public int Stride { get; init; } = 1;

    /// <summary>What it reads beyond a row's ends.</summary>
    [Description("What is read beyond a row's ends: same (zeros before and after), causal (zeros before, so that an output sees its own and earlier time steps), valid (nothing: fewer outputs).")]
    public ConvolutionPadding Padding { get; init; }

    /// <summary>f.</summary>
    [Description("The function of the output.")]
    public ActivationKind Activation { get; init; }

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first.")]
    public InitializerKind KernelInitializer { get; init; }

    /// <summary>How the biases are drawn.</summary>
    [Description("How the biases are drawn at first.")]
    public InitializerKind BiasInitializer { get; init; }
}

/// <summary>A convolution over time; each value of a time step is a channel.</summary>
[Description("A convolution over time, y = f(W * x + b); each value of a time step is a channel.")]
public sealed record Convolution1dConfig : ConvolutionConfig;

/// <summary>A convolution over time and the features of a time step: over a picture row by row, or over spectra.</summary>
[Description("A convolution over time and the features of a time step: a picture row by row, or spectra. After another one it goes over each of its channels.")]
public sealed record Convolution2dConfig : ConvolutionConfig
{
    /// <summary>Features that an output reads; null: as many as time steps.</summary>
    [Description("Features that an output reads. Default: as many as time steps.")]
    [Range(1, 65536)]
    public int? FeatureKernel { get; init; }

    /// <summary>Features from one output to the next; null: as time steps.</summary>
    [Description("Features from one output to the next. Default: as time steps.")]
    [Range(1, 65536)]
    public int? FeatureStride { get; init; }
}

/// <summary>The largest of neighbouring values, channel by channel.</summary>
[Description("The largest of neighbouring values, channel by channel.")]
public sealed record MaxPoolingConfig : LayerConfig
{
    /// <summary>Time steps of which one is left.</summary>
    [Description("Time steps of which one is left.")]
    [Range(1, 65536)]
    public int Size { get; init; } = 2;

    /// <summary>Time steps from one output to the next; null: <see cref="Size"/>.</summary>
    [Description("Time steps from one output to the next. Default: size.")]
    [Range(1, 65536)]
    public int? Stride { get; init; }

    /// <summary>Features of a channel of which one is left.</summary>
    [Description("Features of a channel of which one is left, after a convolution2d.")]
    [Range(1, 65536)]
    public int FeatureSize { get; init; } = 1;

    /// <summary>Features from one output to the next; null: <see cref="FeatureSize"/>.</summary>
    [Description("Features from one output to the next. Default: featureSize.")]
    [Range(1, 65536)]
    public int? FeatureStride { get; init; }
}

/// <summary>One vector of all of a row's time steps.</summary>
[Description("One vector of all of a row's time steps: their mean, of each value the largest, or the last one.")]
public sealed record GlobalPoolingConfig : LayerConfig
{
    /// <summary>Which.</summary>
    [Description("mean, max or last.")]
    public GlobalPooling Kind { get; init; }
}

/// <summary>A row's last time steps side by side: what a network without memory reads.</summary>
[Description("A row's last time steps side by side, as one vector: what a network without memory reads.")]
public sealed record FlattenConfig : LayerConfig
{
    /// <summary>How many time steps.</summary>
    [Description("How many time steps; zeros stand for those that a shorter row lacks at its start.")]
    [Range(1, 65536)]
    public required int Steps { get; init; }
}

/// <summary>Drops values at random in training and scales up the others (Srivastava et al. 2014).</summary>
[Description("Drops values at random in training and scales up the others.")]
public sealed record DropoutConfig : LayerConfig
{
    /// <summary>The share that is dropped.</summary>
    [Description("The share of values that is dropped.")]
    [Range(0.0, 0.99)]
    public double Rate { get; init; } = 0.5;

    /// <summary>Whether a row's mask is the same at all time steps of a window (Gal and Ghahramani 2016).</summary>
    [Description("Drop the same values of a row at all time steps of a span (variational dropout).")]
    public bool Variational { get; init; }
}

/// <summary>Layer normalisation of each time step's values by themselves (Ba, Kiros and Hinton 2016).</summary>
[Description("Layer normalisation: each time step's values with mean 0 and variance 1, then a learned gain and bias.")]
public sealed record LayerNormConfig : LayerConfig
{
    /// <summary>What is added to the variance.</summary>
    [Description("What is added to the variance.")]
    [Range(1e-12, 1.0)]
    public double Epsilon { get; init; } = 1e-5;
}

/// <summary>Adds to each time step a vector for its place in the window, so that attention knows the order.</summary>
[Description("Adds to each time step a vector for its place in the window, so that attention knows the order.")]
public sealed record PositionsConfig : LayerConfig
{
    /// <summary>Which vectors.</summary>
    [Description("Sines and cosines, or a learned vector for each place.")]
    public PositionKind Kind { get; init; }

    /// <summary>For learned vectors: how many places there are.</summary>
    [Description("For learned vectors: how many places there are, at least the longest window (batch.lookBack, or batch.span).")]
    [Range(1, 1048576)]
    public int MaximumLength { get; init; } = 1024;

    /// <summary>For learned vectors: how they are drawn.</summary>
    [Description("For learned vectors: how they are drawn at first.")]
    public InitializerKind Initializer { get; init; }
}

/// <summary>Self-attention of several heads (Vaswani et al. 2017), without a residual way around it.</summary>
[Description("Self-attention of several heads over the window, without a residual way around it.")]
public sealed record AttentionConfig : LayerConfig
{
    /// <summary>How many heads share the width.</summary>
    [Description("How many heads share the width; they must divide it.")]
    [Range(1, 1024)]
    public int Heads { get; init; } = 4;

    /// <summary>Whether a time step sees itself and earlier ones alone; null: it does, but not in an encoder.</summary>
    [Description("Each time step sees itself and earlier ones (true), or all of the window (false). Default: true, in an encoder false.")]
    public bool? Causal { get; init; }

    /// <summary>Dropout of attention weights.</summary>
    [Description("Dropout of attention weights.")]
    [Range(0.0, 0.99)]
    public double Dropout { get; init; }

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first. The default draws the joint projection by Glorot's rule, as PyTorch does.")]
    public InitializerKind KernelInitializer { get; init; }
}

/// <summary>
/// A stack of Transformer layers: self-attention and a feed-forward network, each with a residual way around it (Vaswani et al.
/// 2017). In a decoder attention to the encoder's outputs stands between them.
/// </summary>
[Description("A stack of Transformer layers: self-attention and a feed-forward network, each with a residual way around it, and in a decoder attention to the encoder's outputs between them. Windows are independent: nothing is carried from span to span.")]
public sealed record TransformerConfig : LayerConfig
{
    /// <summary>How many are stacked.</summary>
    [Description("How many layers are stacked.")]
    [Range(1, 64)]
    public int Layers { get; init; } = 2;

    /// <summary>How many heads share the width.</summary>
    [Description("How many heads share the width; they must divide it.")]
    [Range(1, 1024)]
    public int Heads { get; init; } = 4;

    /// <summary>Width of the feed-forward network; null: four times the width of what comes before.</summary>
    [Description("Width of the feed-forward network. Default: four times the width of what comes before.")]
    [Range(1, 1048576)]
    public int? Units { get; init; }

    /// <summary>Where it normalises.</summary>
    [Description("Normalise before each branch (pre), or after it is added (post).")]
    public NormPlace Norm { get; init; }

    /// <summary>Whether there is a last normalisation; null: with norm pre.</summary>
    [Description("Normalise once more after the last layer. Default: with norm pre.")]
    public bool? FinalNorm { get; init; }

    /// <summary>The function of the feed-forward network.</summary>
    [Description("The function of the feed-forward network.")]
    public TransformerActivation Activation { get; init; }

    /// <summary>Whether a time step sees itself and earlier ones alone; null: it does, but not in an encoder.</summary>
    [Description("Each time step sees itself and earlier ones (true), or all of the window (false). Default: true, in an encoder false.")]
    public bool? Causal { get; init; }

    /// <summary>Dropout of attention weights, of the function's values and of what each branch adds.</summary>
    [Description("Dropout of attention weights, of the function's values and of what each branch adds.")]
    [Range(0.0, 0.99)]
    public double Dropout { get; init; }

    /// <summary>What the normalisations add to the variance.</summary>
    [Description("What the normalisations add to the variance.")]
    [Range(1e-12, 1.0)]
    public double Epsilon { get; init; } = 1e-5;

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first. The default draws the joint projection of the attention by Glorot's rule, as PyTorch does.")]
    public InitializerKind KernelInitializer { get; init; }

    /// <summary>How the biases of the feed-forward network are drawn.</summary>
    [Description("How the biases of the feed-forward network are drawn at first.")]
    public InitializerKind BiasInitializer { get; init; }
}

/// <summary>How attention scores a target's state against the encoder's outputs.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<AttentionScore>))]
public enum AttentionScore
{
    /// <summary>q · (W_a h): Luong et al. 2015.</summary>
    [JsonStringEnumMemberName("general")]
    General,

    /// <summary>q · h, both of the same width: Luong et al. 2015.</summary>
    [JsonStringEnumMemberName("dot")]
    Dot,

    /// <summary>v · tanh(W_q h + W_k q): Bahdanau et al. 2015.</summary>
    [JsonStringEnumMemberName("additive")]
    Additive,
}

/// <summary>
/// Attention of a recurrent decoder to the encoder's outputs: y = tanh(W_c [c, h] + b_c), c the mean of the outputs weighted by
/// the softmax of their scores with h (Luong, Pham and Manning, Effective approaches to attention-based neural machine translation,
/// 2015; the additive score is that of Bahdanau, Cho and Bengio, Neural machine translation by jointly learning to align and
/// translate, 2015).
/// </summary>
[Description("In a decoder: attention to the encoder's outputs, joined with what comes before: tanh(W [context, h] + b).")]
public sealed record CrossAttentionConfig : LayerConfig
{
    /// <summary>How outputs are scored.</summary>
    [Description("How the encoder's outputs are scored: general (h W s), dot (h s, both of the same width), or additive (v tanh(W h + U s)).")]
    public AttentionScore Score { get; init; }

    /// <summary>The output's width; null: that of what comes before.</summary>
    [Description("Width of the output. Default: that of what comes before.")]
    [Range(1, 65536)]
    public int? Units { get; init; }

    /// <summary>For the additive score: how wide tanh is; null: the width of what comes before.</summary>
    [Description("For the additive score: the width of its inner layer. Default: that of what comes before.")]
    [Range(1, 65536)]
    public int? ScoreUnits { get; init; }

    /// <summary>How the weights are drawn.</summary>
    [Description("How the weights are drawn at first.")]
    public InitializerKind KernelInitializer { get; init; }
}
