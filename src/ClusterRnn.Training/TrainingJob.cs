// A job after its configuration has been resolved: what every process of a training must agree on. A pure function of
// configuration, data and seed; it holds no parameters and no state.
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.FineTuning;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Training;

/// <summary>Which data is read.</summary>
public enum DataPart
{
    /// <summary>The data that is trained on.</summary>
    Train,

    /// <summary>The data that decides about schedule and patience.</summary>
    Validation,

    /// <summary>The data that is looked at last.</summary>
    Test,
}

/// <summary>A resolved job.</summary>
public sealed record TrainingJob
{
    /// <summary>The most shards that are chosen by default.</summary>
    public const int DefaultShardLimit = 8;

    /// <summary>The model.</summary>
    public required Model Model { get; init; }

    /// <summary>The training data.</summary>
    public required IBatchSource Train { get; init; }

    /// <summary>The validation data, or null.</summary>
    public IBatchSource? Validation { get; init; }

    /// <summary>The test data, or null.</summary>
    public IBatchSource? Test { get; init; }

    /// <summary>What decides the course of the training.</summary>
    public required TrainingSettings Settings { get; init; }

    /// <summary>The seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>S: the shards of the global batch, see <see cref="DefaultShards"/>.</summary>
    public required int Shards { get; init; }

    /// <summary>The SHA-256 of all data, lower-case hexadecimal.</summary>
    public required string DataSha256 { get; init; }

    /// <summary>The resolved configuration as JSON; goes into checkpoints.</summary>
    public string Config { get; init; } = "{}";

    /// <summary>
    /// Windows that are longer are computed in segments of so many time steps: only the state at each segment's start is
    /// kept, and activations are computed again on the way back. 0: all activations are kept. It changes no bit.
    /// </summary>
    public int RecomputeEvery { get; init; }

    /// <summary>The model of another run from which the training starts, or null.</summary>
    public StartingModel? Start { get; init; }

    /// <summary>Validation and test data, as far as there are any.</summary>
    public IEnumerable<IBatchSource> EvaluationSources => new[] { Validation, Test }.OfType<IBatchSource>();

    /// <summary>The longest window of any data.</summary>
    public int MaximumTime => EvaluationSources.Select(source => source.MaximumTime).Append(Train.MaximumTime).Max();

    /// <summary>Where the parameters lie.</summary>
    public ParameterLayout Layout => Model.Layout;

    /// <summary>Whether recurrent state travels from step to step.</summary>
    public bool CarriesState => Train.CarriesState && Model.StateWidth > 0;

    /// <summary>The shards the validation data is cut into, 0 without.</summary>
    public int ValidationShards => Validation is null ? 0 : DefaultShards(Validation.BatchRows);

    /// <summary>The shards the test data is cut into where it is evaluated during the training, else 0.</summary>
    public int TestShards => Settings.Evaluate.Test && Test is not null ? DefaultShards(Test.BatchRows) : 0;

    /// <summary>The shards of an evaluation during the training: those of the validation data, then those of the test data.</summary>
    public int EvaluationShards => ValidationShards + TestShards;

    /// <summary>The default number of shards: the largest power of two up to 8 that divides the batch.</summary>
    public static int DefaultShards(int batchRows)
    {
        int shards = DefaultShardLimit;
        while (batchRows % shards != 0)
        {
            shards /= 2;
        }

        return shards;
    }

    /// <summary>The data of a part.</summary>
    /// <exception cref="ArgumentException">The job has no such part.</exception>
    public IBatchSource Source(DataPart part) => part switch
    {
        DataPart.Train => Train,
        DataPart.Validation => Validation,
        _ => Test,
    } ?? throw new ArgumentException($"The job has no {part} data.", nameof(part));

    /// <summary>The shards a part's batch is cut into when it is evaluated; the training data's own when it is trained on.</summary>
    public int ShardsOf(DataPart part) => part == DataPart.Train ? Shards : DefaultShards(Source(part).BatchRows);

    /// <summary>Rows of a shard of the training batch.</summary>
    public int RowsOf(int shard) => Dealing.RowsOf(shard, Shards, Train.BatchRows).Count;

    /// <summary>Floats of recurrent state of a shard: [rows, <see cref="Model.StateWidth"/>]; 0 when none is carried.</summary>
    public long StateFloats(int shard) => CarriesState ? (long)RowsOf(shard) * Model.StateWidth : 0;

    /// <summary>Where a shard's state begins among the states of all rows.</summary>
    public long StateOffset(int shard) =>
        CarriesState ? (long)Dealing.RowsOf(shard, Shards, Train.BatchRows).First * Model.StateWidth : 0;

    /// <summary>The parameters before the first step: drawn, and taken over from another run where the job starts from one.</summary>
    /// <returns>The flat vector.</returns>
    /// <exception cref="TrainingException">The other run's model is not there any more, or not the one it was.</exception>
    /// <exception cref="CheckpointException">It can't be read.</exception>
    public float[] InitialParameters()
    {
        var parameters = new float[Layout.Length];
        Model.Initialize(Seed, parameters);
        Start?.Take(Layout, parameters);
        return parameters;
    }

    /// <summary>The decisions of the training, at version 0.</summary>
    /// <exception cref="TrainingException">The settings contradict each other.</exception>
    public TrainingPolicy CreatePolicy() => new(Settings);

    /// <summary>Cuts the parameters into ranges for servers.</summary>
    public BlockRange[] CutRanges(int servers) => RangeDealer.Cut(Layout, servers, Settings.Optimizer.NeedsWholeTensors);

    /// <summary>Memory for a server's range; the parameters are zero.</summary>
    public ParameterRange CreateRange(BlockRange blocks) => new(Layout, blocks, Settings, Shards);

    /// <summary>Room for all that moves with a step.</summary>
    public TrainingState CreateState() =>
        new(Layout, ParameterRange.SectionNamesOf(Settings), CarriesState ? Train.BatchRows : 0, Model.StateWidth);

    /// <summary>A computer of shards, for one thread.</summary>
    /// <param name="maximumShards">The most shards it computes together; a larger range is computed in groups.</param>
    /// <param name="memoryBytes">What its buffers may take: another limit to the groups. 0 means none.</param>
    public ShardComputer CreateComputer(int maximumShards, long memoryBytes = 0) => new(this, maximumShards, memoryBytes);

    /// <summary>What a checkpoint of this job must match.</summary>
    public CheckpointExpectation Expectation => new(Shards, DataSha256, Seed);
}
