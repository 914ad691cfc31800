// The root of a configuration: everything that decides a job. Each part is a record in the room that uses it; the root
// only names them. `clusterrnn schema` and configs/schema.json are generated from these records.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Training.FineTuning;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Training.Configuration;

/// <summary>Where a job runs; none of it changes the result.</summary>
[Description("Where the job runs. Nothing here changes the trained model.")]
public sealed record ClusterConfig : IValidatableObject
{
    /// <summary>Workers: each computes gradients of its shards.</summary>
    [Description("Workers, each computing the gradients of its shards. More than batch.shards help no further.")]
    [Range(1, 4096)]
    public int Workers { get; init; } = 1;

    /// <summary>On how many threads each worker computes.</summary>
    [Description("Threads on which each worker computes. Default: 1; several workers of one thread are as fast as one of several.")]
    [Range(1, 1024)]
    public int Threads { get; init; } = 1;

    /// <summary>Parameter servers: each owns a range of the parameters.</summary>
    [Description("Parameter servers, each owning a range of the parameters.")]
    [Range(1, 4096)]
    public int Servers { get; init; } = 1;

    /// <summary>What runs the job: see <c>clusterrnn engines</c>. Null: the default.</summary>
    [Description("The engine that runs the job: in-process, tcp for several processes, or akka where the build has it. Default: in-process.")]
    [RegularExpression("in-process|tcp|akka", ErrorMessage = "in-process, tcp or akka")]
    public string? Engine { get; init; }

    /// <summary>Copies of each server's range.</summary>
    [Description("Copies of each range of parameters: with 2, another server holds a replica, and a lost server costs nothing. The in-process engine needs none.")]
    [Range(1, 2)]
    public int Replicas { get; init; } = 1;

    /// <summary>What a worker's buffers may take (<see cref="MemorySize"/>); null: no limit.</summary>
    [Description("What each worker's buffers may take, such as 512MB or 1GiB: its shards are computed in groups that fit. Default: no limit.")]
    [RegularExpression(MemorySize.Pattern, ErrorMessage = MemorySize.Words)]
    public string? WorkerMemory { get; init; }

    /// <summary>The same in bytes; 0: no limit.</summary>
    [JsonIgnore]
    public long WorkerMemoryBytes => WorkerMemory is null ? 0 : MemorySize.Parse(WorkerMemory);

    /// <summary>Whether activations of long windows are computed twice instead of kept.</summary>
    [Description("Train long spans in bounded memory (activation checkpointing): keep the recurrent state at every so many time steps and compute activations again on the way back. Takes about a third more time.")]
    public bool Recompute { get; init; }

    /// <summary>Time steps between kept states; null: the square root of the longest window.</summary>
    [Description("Time steps between the states that recompute keeps. Default: the square root of the longest window, which needs the least memory.")]
    [Range(1, 1 << 24)]
    public int? RecomputeEvery { get; init; }

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (WorkerMemory is not null && WorkerMemoryBytes == 0)
        {
            yield return new ValidationResult($"'cluster.workerMemory' expects more than nothing; found {WorkerMemory}. Leave it out for no limit", [nameof(WorkerMemory)]);
        }

        if (RecomputeEvery is not null && !Recompute)
        {
            yield return new ValidationResult("'cluster.recomputeEvery' says how often 'cluster.recompute: true' keeps a state; recompute is off", [nameof(RecomputeEvery)]);
        }
    }
}

/// <summary>How text is generated, for the sample in the report and as the defaults of <c>clusterrnn generate</c>.</summary>
[Description("How text is generated: the report's sample, and the defaults of 'clusterrnn generate'.")]
public sealed record GenerateConfig
{
    /// <summary>The text to go on from.</summary>
    [Description("Text to go on from.")]
    public string Prompt { get; init; } = "";

    /// <summary>How many tokens are generated.</summary>
    [Description("How many tokens are generated.")]
    [Range(0, 1 << 24)]
    public int Length { get; init; } = 200;

    /// <summary>Divides the logits: below 1 bolder, above 1 more varied; 0 always takes the likeliest.</summary>
    [Description("Divides the logits: below 1 more certain, above 1 more varied; 0 always takes the likeliest.")]
    [Range(0.0, 100.0)]
    public double Temperature { get; init; } = 1;

    /// <summary>Only so many of the likeliest tokens are considered; 0 considers all.</summary>
    [Description("Only so many of the likeliest tokens are considered; 0 considers all.")]
    [Range(0, int.MaxValue)]
    public int TopK { get; init; }

    /// <summary>Only the likeliest tokens that together have this probability are considered.</summary>
    [Description("Only the likeliest tokens that together have this probability are considered.")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    public double TopP { get; init; } = 1;

    /// <summary>Hypotheses that a translation is searched among; 1: greedy.</summary>
    [Description("For translations: how many hypotheses are kept side by side (beam search); 1 takes the likeliest token each time.")]
    [Range(1, 1024)]
    public int Beam { get; init; } = 4;

    /// <summary>alpha of the penalty ((5 + length) / 6)^alpha that a hypothesis's log-probability is divided by.</summary>
    [Description("For translations: alpha of ((5 + length) / 6)^alpha, by which a hypothesis's log-probability is divided; 0 prefers short ones.")]
    [Range(0.0, 10.0)]
    public double LengthPenalty { get; init; } = 0.6;

    /// <summary>The most tokens of a translation.</summary>
    [Description("For translations: the most tokens of one.")]
    [Range(1, 1 << 20)]
    public int MaximumLength { get; init; } = 100;

    /// <summary>The seed of the draw; null: the job's.</summary>
    [Description("Seed of the draw. Default: the job's seed.")]
    public ulong? Seed { get; init; }
}

/// <summary>What a run leaves behind.</summary>
[Description("What a run leaves behind.")]
public sealed record OutputConfig
{
    /// <summary>The folder in which run folders are made.</summary>
    [Description("Folder in which run folders are made.")]
    [MinLength(1)]
    public string Folder { get; init; } = "runs";

    /// <summary>Whether a TensorBoard event file is written.</summary>
    [Description("Write a TensorBoard event file.")]
    public bool TensorBoard { get; init; } = true;

    /// <summary>Whether report.html is written.</summary>
    [Description("Write report.html.")]
    public bool Report { get; init; } = true;
}

/// <summary>A job. The trained model is a pure function of this, without <see cref="Cluster"/> and <see cref="Output"/>, and the data.</summary>
[Description("A ClusterRnn training job.")]
public sealed record JobConfig
{
    /// <summary>What the job is called: the run folder's name. Null: the config file's name.</summary>
    [Description("Name of the job and of its run folder. Default: the config file's name.")]
    [MinLength(1)]
    public string? Name { get; init; }

    /// <summary>The seed of everything random.</summary>
    [Description("Seed of everything random.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>Where the data comes from and how it is cut.</summary>
    [Description("Where the data comes from and how it is cut.")]
    public required DataConfig Data { get; init; }

    /// <summary>The model: layers in order, from the input to the output.</summary>
    [Description("The model: layers in order, from the input to the output.")]
    public required ModelConfig Model { get; init; }

    /// <summary>The run whose model the training starts from (fine-tuning); null: all is drawn.</summary>
    [Description("Fine-tuning: the run whose model the training starts from. Default: all parameters are drawn.")]
    public InitFromConfig? InitFrom { get; init; }

    /// <summary>The global batch.</summary>
    [Description("The global batch: rows, time steps and shards.")]
    public BatchConfig Batch { get; init; } = new();

    /// <summary>The optimizer.</summary>
    [Description("The optimizer and its constants.")]
    public OptimizerConfig Optimizer { get; init; } = new AdamConfig();

    /// <summary>The course of the learning rate.</summary>
    [Description("The course of the learning rate.")]
    public ScheduleConfig Schedule { get; init; } = new ConstantScheduleConfig();

    /// <summary>Limits on the gradient.</summary>
    [Description("Limits on the gradient.")]
    public ClipConfig Clip { get; init; } = new();

    /// <summary>Penalties on the parameters.</summary>
    [Description("Penalties on the parameters.")]
    public RegularizationConfig Regularization { get; init; } = new();

    /// <summary>How many micro-batches make one update of the parameters.</summary>
    [Description("How many batches make one update of the parameters.")]
    [Range(1, 1 << 20)]
    public int Accumulate { get; init; } = 1;

    /// <summary>When the training ends.</summary>
    [Description("When the training ends: at whatever comes first.")]
    public StopConfig Stop { get; init; } = new();

    /// <summary>When the validation data is evaluated.</summary>
    [Description("When the validation data is evaluated.")]
    public EvaluateConfig Evaluate { get; init; } = new();

    /// <summary>When the training is saved.</summary>
    [Description("When the training is saved.")]
    public CheckpointConfig Checkpoint { get; init; } = new();

    /// <summary>What happens to a step whose loss or gradient is not finite.</summary>
    [Description("What happens to a step whose loss or gradient is not finite, computed twice with the same result.")]
    public NonFinitePolicy NonFinite { get; init; }

    /// <summary>Where the job runs.</summary>
    [Description("Where the job runs. Nothing here changes the trained model.")]
    public ClusterConfig Cluster { get; init; } = new();

    /// <summary>How text is generated.</summary>
    [Description("How text is generated.")]
    public GenerateConfig Generate { get; init; } = new();

    /// <summary>What a run leaves behind.</summary>
    [Description("What a run leaves behind.")]
    public OutputConfig Output { get; init; } = new();

    /// <summary>This job with every default spelled out.</summary>
    public JobConfig Resolve() => this with { Batch = Batch.Resolve() };

    /// <summary>Loads a job from <paramref name="path"/>; the file's name becomes its name if it has none.</summary>
    /// <exception cref="ConfigException">The file can't be read or is not valid.</exception>
    public static BoundConfig<JobConfig> Load(string path, IEnumerable<ConfigAssignment>? assignments = null)
    {
        BoundConfig<JobConfig> bound = ConfigLoader.Load<JobConfig>(path, assignments);
        JobConfig job = bound.Value with { Name = bound.Value.Name ?? Path.GetFileNameWithoutExtension(path) };
        if (job.Data.Path is { } data)
        {
            try
            {
                FileSearch.Find(data, Environment.CurrentDirectory);
            }
            catch (Exception error) when (error is DataException or ArgumentException)
            {
                throw bound.Error("data.path", $"'data.path': {error.Message}");
            }
        }

        return bound with { Value = job.Resolve() };
    }
}
