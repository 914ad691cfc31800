// From a config to everything that a training needs: the data is opened, the model is built to its widths, and the
// settings are tied to its size. A pure function of config, data and seed.
using System.Globalization;
using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.FineTuning;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training;

/// <summary>A config with its data opened and its model built.</summary>
/// <param name="Config">The config with every default spelled out.</param>
/// <param name="Data">Its data.</param>
/// <param name="Job">What a training is run from.</param>
/// <param name="BaseFolder">Where the config's relative paths start.</param>
public sealed record ResolvedJob(JobConfig Config, Dataset Data, TrainingJob Job, string BaseFolder)
{
    /// <summary>The file in a checkpoint's artefact folder that holds the vocabulary or scaler.</summary>
    public const string ArtefactFile = "data.json";

    /// <summary>What the application shows and predicts.</summary>
    public SequenceTask Task => SequenceTask.Of(Config.Data);

    /// <summary>What is saved beside the model so that it can be used without its data.</summary>
    public IReadOnlyDictionary<string, byte[]> Artefacts => new Dictionary<string, byte[]>
    {
        [ArtefactFile] = Encoding.UTF8.GetBytes(Data.Artefact.ToJson()),
        [ModelWidths.File] = ModelWidths.Of(Job.Model),
    };

    /// <summary>Opens the data of <paramref name="config"/> and builds its model.</summary>
    /// <param name="config">The config.</param>
    /// <param name="baseFolder">Where its relative paths start.</param>
    /// <param name="artefact">The vocabulary or scaler of an earlier training, as on resuming; null to make it.</param>
    /// <exception cref="DataException">The data can't be used as asked.</exception>
    /// <exception cref="ModelException">The layers don't fit each other or the data.</exception>
    public static ResolvedJob Open(JobConfig config, string baseFolder, DataArtefact? artefact = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        config = config.Resolve();
        BatchConfig batch = config.Batch;
        if (artefact is null && config.InitFrom is { } from)
        {
            // The tokens of a text keep the numbers that the other run's embedding knows them by.
            config = config with { InitFrom = StartingModel.Pin(from, baseFolder) };
            artefact = StartingModel.ArtefactFor(config, baseFolder);
        }

        var batching = new Batching(batch.Size, batch.Span, batch.LookBack ?? batch.Span, batch.CarryState, config.Seed) { Buckets = batch.Buckets };
        return Of(config, Dataset.Open(config.Data, batching, baseFolder, artefact), baseFolder, ConfigLoader.ToJson(config));
    }

    /// <summary>Builds the model of <paramref name="config"/> for data that is already open.</summary>
    /// <param name="config">The config.</param>
    /// <param name="data">The data; its batches have the config's size.</param>
    /// <param name="baseFolder">Where its relative paths start.</param>
    /// <param name="json">What checkpoints keep of the config.</param>
    /// <exception cref="ModelException">The layers don't fit each other or the data.</exception>
    public static ResolvedJob Of(JobConfig config, Dataset data, string baseFolder, string json = "{}")
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(data);
        config = config.Resolve();
        var widths = data.InputVocabulary > 0
            ? new ModelWidths(InputKind.Tokens, data.InputVocabulary, data.OutputWidth, DocumentStartOf(data))
            : new ModelWidths(InputKind.Features, data.FeatureWidth, data.OutputWidth);
        TrainingJob job = Assemble(config, widths, data.Training, data.Validation, data.Test, data.Sha256, json);
        job = job with { Start = config.InitFrom is { } from ? new StartingModel(from, baseFolder, data.Artefact.Vocabulary) : null };
        CheckTargets(job.Model, data);
        CheckWholeSequences(config, job.Model, data);
        return new ResolvedJob(config, data, job, baseFolder);
    }

    /// <summary>A job over sources of rows, wherever they come from.</summary>
    /// <param name="config">The config.</param>
    /// <param name="widths">What the model reads and writes.</param>
    /// <param name="train">The training data.</param>
    /// <param name="validation">The validation data, or null.</param>
    /// <param name="test">The test data, or null.</param>
    /// <param name="dataSha256">The hash of all data.</param>
    /// <param name="json">What checkpoints keep of the config.</param>
    /// <exception cref="ModelException">The layers don't fit each other or the widths.</exception>
    public static TrainingJob Assemble(
        JobConfig config, ModelWidths widths, IBatchSource train, IBatchSource? validation, IBatchSource? test, string dataSha256, string json)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(widths);
        ArgumentNullException.ThrowIfNull(train);
        config = config.Resolve();
        BatchConfig batch = config.Batch;
        int shards = batch.Shards ?? BatchConfig.DefaultShards(batch.Size);

        // The model's algorithms are chosen by the config's shards, never by the workers.
        long positions = (long)train.MaximumTime * train.BatchRows / shards;
        var job = new TrainingJob
        {
            Model = Model.Build(config.Model, widths.Input, widths.InputWidth, widths.OutputWidth, positions, widths.DocumentStart ?? -1),
            Train = train,
            Validation = validation,
            Test = test,
            Settings = new TrainingSettings
            {
                Optimizer = config.Optimizer,
                Schedule = config.Schedule,
                Clip = config.Clip,
                Regularization = config.Regularization,
                Accumulate = config.Accumulate,
                Stop = config.Stop,
                Evaluate = config.Evaluate,
                Checkpoint = config.Checkpoint,
                NonFinite = config.NonFinite,
                BatchRows = batch.Size,
                StepsPerPass = train.StepsPerPass,
                HasValidation = validation is not null,
            },
            Seed = config.Seed,
            Shards = shards,
            DataSha256 = dataSha256,
            Config = json,
        };
        ClusterConfig cluster = config.Cluster;
        int every = cluster.Recompute ? cluster.RecomputeEvery ?? (int)Math.Ceiling(Math.Sqrt(job.MaximumTime)) : 0;
        job = job with { RecomputeEvery = every };
        ModelExecutor.MeasureBytes(job.Model, job.MaximumTime, 1, 1, training: true, maximumShards: 1, every); // says now what can't be computed
        return job;
    }

    /// <summary>The number of the token that begins a document.</summary>
    /// <exception cref="DataException">It is no token of the text.</exception>
    private static int? DocumentStartOf(Dataset data)
    {
        if (data.Config is not TextData { DocumentStart: { } start } || data.Artefact.Vocabulary is not { } vocabulary)
        {
            return null;
        }

        int[] ids = vocabulary.Level == TokenLevel.Byte || vocabulary.IdOf(start) < 0 ? [] : [vocabulary.IdOf(start)];
        if (vocabulary.Level == TokenLevel.Byte && System.Text.Encoding.UTF8.GetByteCount(start) == 1)
        {
            ids = [start[0]];
        }

        return ids.Length == 1 && vocabulary.Show(ids[0]) is not Vocabulary.UnknownText
            ? ids[0]
            : throw new DataException("data.documentStart", $"one {vocabulary.Level.ToString().ToLowerInvariant()} of the text", $"'{start}'", "Name the one with which each document begins, such as \"\\n\"");
    }

    /// <summary>A layer that reads ahead needs whole sequences, all at once, and must not see what it is to predict.</summary>
    private static void CheckWholeSequences(JobConfig config, Model model, Dataset data)
    {
        if (model.Loss == LossKind.Ctc && config.Cluster.Recompute)
        {
            throw new ModelException("loss", "cluster.recompute computes a window in segments from its start, but the loss ctc needs all of it. Set cluster.recompute: false.");
        }

        if (model.IsEncoderDecoder && config.Cluster.Recompute)
        {
            throw new ModelException("encoder", "cluster.recompute computes a window in segments from its start, but a decoder needs all of its source. Set cluster.recompute: false.");
        }

        int pooling = config.Model.Layers.TakeWhile(each => each is not (MaxPoolingConfig or GlobalPoolingConfig or FlattenConfig)).Count();
        if (data.PredictsNext && pooling < config.Model.Layers.Count)
        {
            throw new ModelException($"layers[{pooling}]", "The data's targets are the next tokens of a text, which is written token by token, and the layer makes one of several time steps: nothing could be written with it. Remove it, or take a recurrent layer with returnSequences: false.");
        }

        int layer = 0;
        while (layer < config.Model.Layers.Count && !ReadsAhead(config.Model.Layers[layer]))
        {
            layer++;
        }

        if (layer == config.Model.Layers.Count)
        {
            return;
        }

        if (config.Model.Layers[layer] is not RecurrentConfig)
        {
            if (data.PredictsNext)
            {
                throw config.Model.Layers[layer] is ConvolutionConfig
                    ? new ModelException($"layers[{layer}].padding", "The data's targets are the next tokens of a text, and a convolution around a time step reads them as inputs: it would learn to copy. Set padding: causal and stride: 1.")
                    : new ModelException($"layers[{layer}].causal", "The data's targets are the next tokens of a text, and attention to all of the window reads them as inputs: it would learn to copy. Set causal: true.");
            }

            return;
        }

        string path = $"layers[{layer}].bidirectional";
        if (data.PredictsNext)
        {
            throw new ModelException(path, "The data's targets are the next tokens of a text, and a bidirectional layer reads them as inputs: it would learn to copy. Set bidirectional: false.");
        }

        if (data.Training.CarriesState)
        {
            throw new ModelException(path, "The data is read span by span with the state carried on, but the reverse direction starts at a span's end, which the next span comes after. Set bidirectional: false, or batch.carryState: false.");
        }

        if (config.Cluster.Recompute)
        {
            throw new ModelException(path, "cluster.recompute computes a window in segments from its start, but the reverse direction needs all of it. Set bidirectional: false, or cluster.recompute: false.");
        }
    }

    private static bool ReadsAhead(LayerConfig layer) =>
        layer is RecurrentConfig { Bidirectional: true } or AttentionConfig { Causal: false } or TransformerConfig { Causal: false }
            or ConvolutionConfig { Stride: > 1 } or ConvolutionConfig { Kernel: > 1, Padding: not ConvolutionPadding.Causal };

    /// <summary>What a model can be built with, but not trained: outputs or a loss that the data's targets don't fit.</summary>
    private static void CheckTargets(Model model, Dataset data)
    {
        if (model.ReturnsLast && data.Training.MaximumTargetTime > 1)
        {
            int layer = 0;
            while (model.Config.Layers[layer] is not (RecurrentConfig { ReturnSequences: false } or ElmanConfig { ReturnSequences: false } or GlobalPoolingConfig or FlattenConfig))
            {
                layer++;
            }

            if (model.Config.Layers[layer] is GlobalPoolingConfig or FlattenConfig)
            {
                throw new ModelException($"layers[{layer}]", "The data has targets at every time step, but the layer returns one vector a row. Remove the layer" + (data.Series is null ? "." : ", or set data.everyStep: false."));
            }

            throw new ModelException(
                $"layers[{layer}].returnSequences",
                "The data has targets at every time step, but the layer returns each row's last one only. "
                + (data.Series is null ? "Set returnSequences: true." : "Set returnSequences: true, or data.everyStep: false."));
        }

        // Rows that have ended before the window's last time step would have no target there, and nothing would say so.
        if (!model.ReturnsLast && data.Training is IExampleSource { Examples: { DifferInLength: true, TargetTime: 1 } })
        {
            throw new ModelException("layers", "The data's rows differ in length and have one target each, at their last time step, but the model gives an output at every time step. Set returnSequences: false in the last recurrent layer, or put a global-pooling before the last layer.");
        }

        if (data.HasPairs != model.IsEncoderDecoder)
        {
            throw new ModelException(data.HasPairs ? "layers" : "decoder", data.HasPairs
                ? "The data has pairs of sequences: expected 'encoder' and 'decoder', found 'layers'. Give the model both."
                : "The data has no pairs of sequences, which 'encoder' and 'decoder' expect. Give the model 'layers', or take data.source: translation.");
        }

        if (data.HasLabels != (model.Loss == LossKind.Ctc))
        {
            throw new ModelException("loss", data.HasLabels
                ? "The data's targets are labels without times: expected the loss ctc. Set loss: ctc."
                : "The loss ctc expects labels without times, which this data doesn't have. Leave loss out, or take data.source: speech or digit-strings.");
        }

        foreach (IBatchSource source in new[] { data.Training, data.Validation, data.Test }.OfType<IBatchSource>())
        {
            if (data.HasLabels && source is IExampleSource { Examples: LabelledExamples examples })
            {
                CheckLabels(model, examples);
            }
        }

        bool hasClasses = data.Training.TargetWidth == 0;
        if (hasClasses != (model.Loss is LossKind.CrossEntropy or LossKind.Ctc))
        {
            throw new ModelException(
                "loss",
                hasClasses
                    ? "The data's targets are classes: expected the loss cross-entropy. Leave loss out."
                    : "The data's targets are values: expected the loss mean-squared-error, gaussian or gaussian-mixture, or binary-cross-entropy for values from 0 to 1. Leave loss out.");
        }

        if (model.Loss == LossKind.BinaryCrossEntropy && data.Series is { } series)
        {
            foreach (int column in series.Targets)
            {
                for (int row = 0; row < series.Table.Rows; row++)
                {
                    float target = (float)series.Scaler.Scale(column, series.Table.Values[column][row]);
                    if (target is not (>= 0f and <= 1f))
                    {
                        throw new ModelException("loss", string.Create(
                            CultureInfo.InvariantCulture,
                            $"binary-cross-entropy expects targets from 0 to 1; found {target} in column '{series.Table.Columns[column]}', row {row + 1} of the data as scaled. Set data.scale so that they lie there, or take mean-squared-error."));
                    }
                }
            }
        }
    }

    // A row whose labels don't fit into its outputs has an infinite loss, and would take its whole step with it.
    private static void CheckLabels(Model model, LabelledExamples examples)
    {
        for (int i = 0; i < examples.Count; i++)
        {
            int needed = LabelledExamples.StepsFor(examples[i].Classes), outputs = model.OutputLength(examples.LengthOf(i));
            if (needed > outputs)
            {
                throw new ModelException(
                    "layers",
                    $"{examples[i].Name} has {examples[i].Classes.Length} labels, for which the loss ctc needs {needed} time steps; of its {examples.LengthOf(i)} the layers leave {outputs}. Shorten time by less (stride, pooling), let time steps be shorter (data.hopMs), or leave it out of the data.");
            }
        }
    }
}
