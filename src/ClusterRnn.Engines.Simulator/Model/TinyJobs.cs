// The jobs that seeds train: real models, as small as they can be while every promise is at work.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>The jobs of <c>clusterrnn simulate</c>.</summary>
internal static class TinyJobs
{
    private const int Vocabulary = 7;

    private static readonly Lazy<SimulatedJob> s_whole = new(() => Recurrent("whole", servers: 3));
    private static readonly Lazy<SimulatedJob> s_narrow = new(() => Recurrent("narrow", servers: 1, rows: 1, shards: 1));
    private static readonly Lazy<SimulatedJob> s_wide = new(() => Recurrent("wide", servers: 3, rows: 13, shards: 13, accumulate: 1));
    private static readonly Lazy<SimulatedJob> s_stateless = new(Stateless);
    private static readonly Lazy<SimulatedJob> s_skipping = new(() => Recurrent("poison-skip", servers: 2, poison: new PoisonedShard(4, 2)));
    private static readonly Lazy<SimulatedJob> s_stopping = new(() => Recurrent("poison-stop", servers: 2, poison: new PoisonedShard(4, 2), policy: NonFinitePolicy.Stop));
    private static readonly Lazy<SimulatedJob> s_returning = new(() => Recurrent("poison-rollback", servers: 2, poison: new PoisonedShard(4, 2), policy: NonFinitePolicy.Rollback));

    /// <summary>Two recurrent layers, state carried with gradients that reach further back than an update, dropout, ragged rows, an empty shard, clipping that bites, accumulation, a plateau that falls; three ranges.</summary>
    public static SimulatedJob Whole => s_whole.Value;

    /// <summary>One row, one shard, one range.</summary>
    public static SimulatedJob Narrow => s_narrow.Value;

    /// <summary>Thirteen shards of one row, which is no power of two.</summary>
    public static SimulatedJob Wide => s_wide.Value;

    /// <summary>No state, and a range without blocks.</summary>
    public static SimulatedJob WithoutState => s_stateless.Value;

    /// <summary>Poisoned data: the step is skipped.</summary>
    public static SimulatedJob Skipping => s_skipping.Value;

    /// <summary>Poisoned data: the job ends.</summary>
    public static SimulatedJob Stopping => s_stopping.Value;

    /// <summary>Poisoned data: the job goes back and on with half the learning rate.</summary>
    public static SimulatedJob Returning => s_returning.Value;

    /// <summary>All of them.</summary>
    public static IReadOnlyList<SimulatedJob> All => [Whole, Narrow, Wide, WithoutState, Skipping, Stopping, Returning];

    private static SimulatedJob Recurrent(
        string name, int servers, int rows = 6, int shards = 7, int accumulate = 2, PoisonedShard? poison = null, NonFinitePolicy policy = NonFinitePolicy.Skip)
    {
        int[] tokens = Tokens(40 * Math.Max(rows, 6));
        int cut = tokens.Length * 4 / 5;
        var train = new TokenStreamSource(tokens.AsMemory(0, cut), rows, 4, 6, true, "train");
        var validation = new TokenStreamSource(tokens.AsMemory(cut), 2, 8, 8, true, "validation");
        var config = new ModelConfig
        {
            Layers = [new EmbeddingConfig { Units = 3 }, new LstmConfig { Units = 4 }, new DropoutConfig { Rate = 0.2 }, new GruConfig { Units = 3 }, new DenseConfig()],
        };
        return new SimulatedJob(name, JobOf(config, train, validation, rows, shards, accumulate, policy, train.StepsPerPass + 4), servers, poison);
    }

    private static SimulatedJob Stateless()
    {
        const int Rows = 8;
        int[] tokens = Tokens(300);
        var train = new TokenStreamSource(tokens.AsMemory(0, 240), Rows, 4, 4, false, "train");
        var validation = new TokenStreamSource(tokens.AsMemory(240), 2, 6, 6, false, "validation");
        var config = new ModelConfig { Layers = [new EmbeddingConfig { Units = 2 }, new DenseConfig()] };
        return new SimulatedJob("stateless", JobOf(config, train, validation, Rows, 8, 1, NonFinitePolicy.Skip, 9), servers: 4);
    }

    private static TrainingJob JobOf(
        ModelConfig config, TokenStreamSource train, TokenStreamSource validation, int rows, int shards, int accumulate, NonFinitePolicy policy, long steps) => new()
        {
            Model = Models.Model.Build(config, InputKind.Tokens, Vocabulary, Vocabulary),
            Train = train,
            Validation = validation,
            Settings = new TrainingSettings
            {
                Optimizer = new AdamConfig { LearningRate = 0.02 },
                Schedule = new PlateauScheduleConfig { Patience = 0, Factor = 0.5, Threshold = 0.5 },
                Clip = new ClipConfig { Norm = 0.1 },
                Regularization = new RegularizationConfig { L2 = 0.0001 },
                Accumulate = accumulate,
                BatchRows = rows,
                StepsPerPass = train.StepsPerPass,
                HasValidation = true,
                Evaluate = new EvaluateConfig { Every = 3 },
                Checkpoint = new CheckpointConfig { Every = 3 },
                NonFinite = policy,
                Stop = new StopConfig { Steps = steps },
            },
            Seed = 5,
            Shards = shards,
            DataSha256 = "generated",
        };

    private static int[] Tokens(int count)
    {
        int[] tokens = new int[count];
        var random = new RandomKey(77, RandomPurpose.Sample, 0, 0);
        for (int i = 1; i < count; i++)
        {
            tokens[i] = random.Uniform(0, 0, i) < 0.9f ? (tokens[i - 1] + 1) % Vocabulary : i % Vocabulary;
        }

        return tokens;
    }
}
