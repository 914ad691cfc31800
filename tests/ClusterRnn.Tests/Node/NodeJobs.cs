using ClusterRnn.Data;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Tests.Node;

/// <summary>Small jobs in which everything that could depend on the cluster is active.</summary>
internal static class NodeJobs
{
    public const int Steps = 17;

    /// <summary>11 ragged rows in 5 shards, k2 &gt; k1, two recurrent layers, dropout, clipping, accumulation, a plateau that falls often.</summary>
    public static TrainingJob Text(ulong seed = 1, int shards = 5, int rows = 11, long steps = Steps, int accumulate = 2, IReadOnlyList<LayerConfig>? layers = null, IReadOnlyList<string>? freeze = null, int documentStart = -1)
    {
        const int Vocabulary = 9;
        int[] tokens = new int[1000];
        var random = new RandomKey(77, RandomPurpose.Sample, 0, 0);
        for (int i = 1; i < tokens.Length; i++)
        {
            tokens[i] = random.Uniform(0, 0, i) < 0.9f ? (tokens[i - 1] + 1) % Vocabulary : i % Vocabulary;
        }

        var train = new TokenStreamSource(tokens.AsMemory(0, 600), rows, 7, 11, true, "train");
        var validation = new TokenStreamSource(tokens.AsMemory(600), 4, 9, 9, true, "validation");
        var config = new ModelConfig
        {
            Layers = layers ?? [new EmbeddingConfig { Units = 12 }, new LstmConfig { Units = 18 }, new DropoutConfig { Rate = 0.3 }, new GruConfig { Units = 10 }, new DenseConfig()],
            Freeze = freeze ?? [],
        };
        return new TrainingJob
        {
            Model = Model.Build(config, InputKind.Tokens, Vocabulary, Vocabulary, documentStart: documentStart),
            Train = train,
            Validation = validation,
            Settings = new TrainingSettings
            {
                Optimizer = new AdamConfig { LearningRate = 0.02 },
                Schedule = new PlateauScheduleConfig { Patience = 0, Factor = 0.5, Threshold = 0.5 },
                Clip = new ClipConfig { Norm = 0.5 },
                Accumulate = accumulate,
                BatchRows = rows,
                StepsPerPass = train.StepsPerPass,
                HasValidation = true,
                Evaluate = new EvaluateConfig { Every = 3 },
                Stop = new StopConfig { Steps = steps },
            },
            Seed = seed,
            Shards = shards,
            DataSha256 = "data",
        };
    }

    /// <summary>The same with attention: both places of the norm, dropout everywhere, learned places, a look-back beyond the targets.</summary>
    public static TrainingJob Attention(ulong seed = 1) => Text(
        seed,
        layers:
        [
            new EmbeddingConfig { Units = 12 }, new PositionsConfig { Kind = PositionKind.Learned, MaximumLength = 11 },
            new TransformerConfig { Layers = 1, Heads = 3, Units = 20, Dropout = 0.2 },
            new TransformerConfig { Layers = 1, Heads = 2, Units = 15, Dropout = 0.1, Norm = NormPlace.Post, Activation = TransformerActivation.Relu }, new DenseConfig(),
        ]);

    /// <summary>The same with convolutions that see the past alone, a recurrent layer between them.</summary>
    public static TrainingJob Convolution(ulong seed = 1) => Text(
        seed,
        layers:
        [
            new EmbeddingConfig { Units = 12 }, new Convolution1dConfig { Units = 10, Padding = ConvolutionPadding.Causal, Activation = ActivationKind.Relu },
            new GruConfig { Units = 9 }, new DropoutConfig { Rate = 0.2 }, new Convolution1dConfig { Units = 20, Kernel = 2, Padding = ConvolutionPadding.Causal }, new DenseConfig(),
        ]);

    public static async Task<string> HashOf(TrainingJob job, int workers = 1, int servers = 1)
    {
        using RunResult result = await InProcessEngine.RunAsync(job, new EngineOptions { Workers = workers, Servers = servers });
        return result.StateSha256;
    }
}
