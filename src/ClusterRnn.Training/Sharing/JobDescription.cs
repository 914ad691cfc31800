// What a node must be told to have the same job as the coordinator: the resolved config, the widths of data and model, and
// the vocabulary or scaler. It holds no data and no parameters, and travels once, when a node joins.
//
//     JobDescription.Of(resolved)   at the coordinator
//     description.Open(local)       at a worker that has the data
//     description.Build(source)     at a worker that is sent its rows, and at a server, which reads none
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Training.Sharing;

/// <summary>The outside of a batch source: everything about it but its rows.</summary>
/// <param name="BatchRows">B: rows of the global batch.</param>
/// <param name="StepsPerPass">Steps in one pass.</param>
/// <param name="TargetsPerPass">Targets in one pass.</param>
/// <param name="MaximumTime">The longest window.</param>
/// <param name="MaximumTargetTime">The most time steps with targets.</param>
/// <param name="FeatureWidth">Values a time step, 0 for token ids.</param>
/// <param name="TargetWidth">Targets a time step, 0 for class ids.</param>
/// <param name="CarriesState">Whether recurrent state goes on from step to step.</param>
/// <param name="Sha256">The hash of the data behind the rows.</param>
public sealed record SourceDescription(
    int BatchRows,
    long StepsPerPass,
    long TargetsPerPass,
    int MaximumTime,
    int MaximumTargetTime,
    int FeatureWidth,
    int TargetWidth,
    bool CarriesState,
    string Sha256)
{
    /// <summary>The outside of <paramref name="source"/>, or null without one.</summary>
    public static SourceDescription? Of(IBatchSource? source) => source is null ? null : new SourceDescription(
        source.BatchRows,
        source.StepsPerPass,
        source.TargetsPerPass,
        source.MaximumTime,
        source.MaximumTargetTime,
        source.FeatureWidth,
        source.TargetWidth,
        source.CarriesState,
        source.DatasetSha256);
}

/// <summary>A job as it travels.</summary>
public sealed record JobDescription
{
    /// <summary>Names the job: a hash of all that decides it.</summary>
    public required string JobId { get; init; }

    /// <summary>The job's name.</summary>
    public required string Name { get; init; }

    /// <summary>The resolved config as JSON.</summary>
    public required string Config { get; init; }

    /// <summary>The hash of all data.</summary>
    public required string DataSha256 { get; init; }

    /// <summary>The vocabulary or scaler as JSON.</summary>
    public required string Artefact { get; init; }

    /// <summary>What the model reads and writes.</summary>
    public required ModelWidths Widths { get; init; }

    /// <summary>The training data.</summary>
    public required SourceDescription Train { get; init; }

    /// <summary>The validation data, or null.</summary>
    public SourceDescription? Validation { get; init; }

    /// <summary>The test data, or null.</summary>
    public SourceDescription? Test { get; init; }

    /// <summary>Describes <paramref name="job"/>.</summary>
    public static JobDescription Of(ResolvedJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        TrainingJob training = job.Job;
        string artefact = job.Data.Artefact.ToJson();

        // Where a job runs and what it shows don't make it another one.
        string decisive = ConfigLoader.ToJson(job.Config with { Cluster = new ClusterConfig(), Output = new OutputConfig(), Generate = new GenerateConfig() });
        byte[] identity = SHA256.HashData(Encoding.UTF8.GetBytes($"{decisive}\0{training.DataSha256}\0{artefact}"));
        return new JobDescription
        {
            JobId = $"{job.Config.Name}-{Convert.ToHexStringLower(identity)[..16]}",
            Name = job.Config.Name ?? "job",
            Config = training.Config,
            DataSha256 = training.DataSha256,
            Artefact = artefact,
            Widths = ModelWidths.OfModel(training.Model),
            Train = SourceDescription.Of(training.Train)!,
            Validation = SourceDescription.Of(training.Validation),
            Test = SourceDescription.Of(training.Test),
        };
    }

    /// <summary>The description as bytes.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, ConfigJson.Options);

    /// <summary>Reads what <see cref="ToBytes"/> wrote.</summary>
    /// <exception cref="TrainingException">The bytes are no description of a job that this version understands.</exception>
    public static JobDescription FromBytes(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return JsonSerializer.Deserialize<JobDescription>(bytes, ConfigJson.Options)
                ?? throw new TrainingException("The coordinator described no job.");
        }
        catch (JsonException error)
        {
            throw new TrainingException($"The coordinator's description of the job is not one that this version understands: {error.Message}", error);
        }
    }

    /// <summary>The config.</summary>
    /// <exception cref="TrainingException">It is not one that this version understands.</exception>
    public JobConfig ReadConfig()
    {
        try
        {
            return ConfigLoader.FromJson<JobConfig>(Config, "the coordinator's config");
        }
        catch (ConfigException error)
        {
            throw new TrainingException($"The coordinator's config is not one that this version understands: {error.Message}", error);
        }
    }

    /// <summary>The job over data that lies here.</summary>
    /// <param name="dataPath">Where the data lies; null takes the config's own path, from <paramref name="baseFolder"/>.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <exception cref="DataException">The data can't be used.</exception>
    public TrainingJob Open(string? dataPath, string baseFolder)
    {
        JobConfig config = ReadConfig();
        if (dataPath is not null)
        {
            config = config with { Data = config.Data with { Path = dataPath } };
        }

        return ResolvedJob.Open(config, baseFolder, DataArtefact.FromJson(Artefact)).Job with { Config = Config };
    }

    /// <summary>The job over sources of rows that somebody else has.</summary>
    /// <param name="source">Gives the source for a part of the data.</param>
    public TrainingJob Build(Func<DataPart, SourceDescription, IBatchSource> source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return ResolvedJob.Assemble(
            ReadConfig(),
            Widths,
            source(DataPart.Train, Train),
            Validation is null ? null : source(DataPart.Validation, Validation),
            Test is null ? null : source(DataPart.Test, Test),
            DataSha256,
            Config);
    }
}
