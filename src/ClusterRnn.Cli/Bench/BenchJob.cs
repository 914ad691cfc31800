// Jobs to be measured: the full training step (embedding, recurrent or Transformer layers, dense, softmax cross-entropy, backward,
// clipping by global norm, Adam; mean squared error of the last step where there are no classes) on generated data, state carried.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Cli.Bench;

/// <summary>Makes jobs of a shape.</summary>
internal static class BenchJob
{
    private const int StepsPerPass = 16;
    private const ulong Seed = 1;

    /// <summary>The job for a cell and shape.</summary>
    public static TrainingJob Of(BenchCell cell, BenchShape shape)
    {
        IBatchSource source = shape.Ragged ? new WindowSource(new RaggedRows(shape), shape.Batch, Seed, shuffled: false)
            : shape.Classes > 0 ? Tokens(shape) : new WindowSource(new Windows(shape), shape.Batch, Seed, shuffled: true);
        int shards = TrainingJob.DefaultShards(shape.Batch);
        var config = new ModelConfig { Layers = cell == BenchCell.Transformer ? Transformer(shape) : Recurrent(cell, shape) };
        long positions = shape.Tokens / shards;
        return new TrainingJob
        {
            Model = shape.Classes > 0
                ? Model.Build(config, InputKind.Tokens, shape.Classes, shape.Classes, positions)
                : Model.Build(config, InputKind.Features, shape.Input, 1, positions),
            Train = source,
            Settings = new TrainingSettings
            {
                Optimizer = new AdamConfig { LearningRate = 0.001 },
                Clip = new ClipConfig { Norm = 1 },
                BatchRows = shape.Batch,
                StepsPerPass = source.StepsPerPass,
            },
            Seed = Seed,
            Shards = shards,
            DataSha256 = source.DatasetSha256,
        };
    }

    private static LayerConfig[] Transformer(BenchShape shape) =>
    [
        new EmbeddingConfig { Units = shape.Input }, new PositionsConfig(),
        new TransformerConfig { Layers = shape.Layers, Heads = shape.Heads, Units = shape.Hidden }, new DenseConfig(),
    ];

    private static LayerConfig[] Recurrent(BenchCell cell, BenchShape shape)
    {
        RecurrentConfig recurrent = cell switch
        {
            BenchCell.Lstm => new LstmConfig(),
            BenchCell.Gru => new GruConfig(),
            _ => new RnnConfig(),
        };
        recurrent = recurrent with { Units = shape.Hidden, Layers = shape.Layers, Bidirectional = shape.Bidirectional, ReturnSequences = shape.Classes > 0 };
        return shape.Classes > 0 ? [new EmbeddingConfig { Units = shape.Input }, recurrent, new DenseConfig()] : [recurrent, new DenseConfig()];
    }

    private static TokenStreamSource Tokens(BenchShape shape)
    {
        var tokens = new int[(shape.Tokens * StepsPerPass) + 1];
        var random = new RandomKey(Seed, RandomPurpose.Generate, 0, 0);
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = (int)(random.Uniform(0, 0, i) * shape.Classes);
        }

        return new TokenStreamSource(tokens, shape.Batch, shape.Span, shape.Span, carriesState: !shape.Bidirectional, "generated");
    }

    /// <summary>Windows of noise, each with one value to predict.</summary>
    private sealed unsafe class Windows(BenchShape shape) : IExamples
    {
        public long Count => (long)shape.Batch * StepsPerPass;

        public int Time => shape.Span;

        public int TargetTime => 1;

        public int FeatureWidth => shape.Input;

        public int TargetWidth => 1;

        public string Sha256 => "generated";

        public int Read(long example, SpanBatch into, int row)
        {
            for (int time = 0; time < shape.Span; time++)
            {
                float* features = into.Features + (((long)time * into.Rows) + row) * shape.Input;
                for (int i = 0; i < shape.Input; i++)
                {
                    // A cheap bijection of the place: data must not cost more than the model.
                    uint bits = (uint)((((example * shape.Span) + time) * shape.Input) + i) * 2654435761u;
                    features[i] = (bits >> 8) * (1f / (1 << 24));
                }
            }

            into.TargetValues[row] = (float)(example % 17) / 17f;
            return shape.Span;
        }
    }

    /// <summary>Rows of uniform tokens, each batch with the same lengths.</summary>
    private sealed unsafe class RaggedRows(BenchShape shape) : IExamples
    {
        public long Count => (long)shape.Batch * StepsPerPass;

        public int Time => shape.Span;

        public int TargetTime => shape.Span;

        public int FeatureWidth => 0;

        public int TargetWidth => 0;

        public string Sha256 => "generated";

        public int Read(long example, SpanBatch into, int row)
        {
            int length = shape.LengthOf((int)(example % shape.Batch));
            for (int time = 0; time < shape.Span; time++)
            {
                long cell = ((long)time * into.Rows) + row;
                bool runs = time < length;
                into.Tokens[cell] = runs ? Token(example, time) : 0;
                into.TargetTokens[cell] = runs ? Token(example, time + 1) : -1;
            }

            return length;
        }

        private int Token(long example, int time) => (int)((((uint)((example * (shape.Span + 1)) + time) * 2654435761u) >> 8) * (long)shape.Classes >> 24);
    }
}
