// What a user writes to search for settings: a job, the keys that vary, how they are tried. `clusterrnn sweep FILE` reads it
// with the same strictness as a job's config.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Sweeps;

/// <summary>A search for settings. Its winner is a pure function of this, the job's config and the data.</summary>
[Description("A ClusterRnn search for settings.")]
public sealed record SweepConfig
{
    /// <summary>What the sweep is called: its folder's name. Null: the file's name.</summary>
    [Description("Name of the sweep and of its folder. Default: the file's name.")]
    [MinLength(1)]
    public string? Name { get; init; }

    /// <summary>The job's config file, seen from the sweep's folder.</summary>
    [Description("The job's config file, seen from the sweep's folder.")]
    [MinLength(1)]
    public required string Config { get; init; }

    /// <summary>Keys of the config that are set alike for all trials.</summary>
    [Description("Keys of the config that are set to something else for all trials, such as stop.epochs: 4.")]
    public IReadOnlyDictionary<string, string> Set { get; init; } = new Dictionary<string, string>();

    /// <summary>The keys that vary, and over what.</summary>
    [Description("The config keys that vary, such as optimizer.learningRate or model.layers.1.units, each with its values or its bounds.")]
    [MinLength(1)]
    public required IReadOnlyDictionary<string, SweptKey> Keys { get; init; }

    /// <summary>How trials are chosen and how long they train.</summary>
    [Description("How trials are chosen: grid, random or halving.")]
    public required SearchConfig Search { get; init; }

    /// <summary>What is compared; null: the loss.</summary>
    [Description("The validation metric that is compared, such as loss or accuracy. Default: loss.")]
    public string Metric { get; init; } = "loss";

    /// <summary>Whether a low or a high value wins.</summary>
    [Description("Whether the lowest or the highest value wins: minimum or maximum. Default: maximum for accuracy, else minimum.")]
    public SweepGoal? Goal { get; init; }

    /// <summary>Folds of a cross-validation; 1: none, the config's validation part decides.</summary>
    [Description("Folds of a cross-validation (series: in time order); each trial is trained once a fold and judged by the mean. Default: 1, the config's own validation part.")]
    [Range(1, 1000)]
    public int Folds { get; init; } = 1;

    /// <summary>The seed of random draws. The job has its own.</summary>
    [Description("Seed of the draws; the job's seed is the config's.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How many runs train at once; null: as many as there are cores for their workers.</summary>
    [Description("Runs that train at once. Default: the cores divided by cluster.workers. It doesn't change the winner.")]
    [Range(1, 1024)]
    public int? Parallel { get; init; }

    /// <summary>Loads a sweep; the file's name becomes its name if it has none.</summary>
    /// <param name="path">The sweep's file.</param>
    /// <param name="assignments">What the command line sets beside it.</param>
    /// <exception cref="ConfigException">The file can't be read or is not valid; the message is for the user.</exception>
    public static BoundConfig<SweepConfig> Load(string path, IEnumerable<ConfigAssignment>? assignments = null)
    {
        BoundConfig<SweepConfig> bound = ConfigLoader.Load<SweepConfig>(path, assignments);
        SweepConfig sweep = bound.Value;
        foreach ((string key, SweptKey swept) in sweep.Keys)
        {
            if (sweep.Search is GridSearch && swept.Values is null)
            {
                throw bound.Error($"keys.{key}", "a grid needs the values of each key; bounds are for random and halving");
            }

            if (sweep.Set.ContainsKey(key))
            {
                throw bound.Error($"keys.{key}", $"'{key}' is both set for all trials and varied");
            }
        }

        return bound with { Value = sweep with { Name = sweep.Name ?? Path.GetFileNameWithoutExtension(path) } };
    }
}

/// <summary>Which value wins.</summary>
public enum SweepGoal
{
    /// <summary>The lowest.</summary>
    Minimum,

    /// <summary>The highest.</summary>
    Maximum,
}

/// <summary>How a key's range is divided.</summary>
public enum SweptScale
{
    /// <summary>Evenly.</summary>
    Linear,

    /// <summary>Evenly in the logarithm, as learning rates want.</summary>
    Logarithmic,
}

/// <summary>What a key varies over: a list of values, or bounds.</summary>
[Description("What a key varies over: a list of values, or bounds.")]
public sealed record SweptKey : IValidatableObject
{
    /// <summary>The values; null: bounds.</summary>
    [Description("The values to try.")]
    [MinLength(1)]
    public IReadOnlyList<string>? Values { get; init; }

    /// <summary>The lower bound.</summary>
    [Description("The lower bound.")]
    public double? Minimum { get; init; }

    /// <summary>The upper bound.</summary>
    [Description("The upper bound.")]
    public double? Maximum { get; init; }

    /// <summary>How draws lie between the bounds.</summary>
    [Description("How draws lie between the bounds: linear or logarithmic.")]
    public SweptScale Scale { get; init; }

    /// <summary>Whether draws are whole numbers.</summary>
    [Description("Whether draws are whole numbers.")]
    public bool Whole { get; init; }

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Values is null == (Minimum is null && Maximum is null))
        {
            yield return new ValidationResult("a key varies over 'values', or from 'minimum' to 'maximum': expected one of the two", [nameof(Values)]);
        }
        else if (Values is null && !(Minimum < Maximum))
        {
            yield return new ValidationResult($"expected a 'minimum' below the 'maximum'; found {Minimum?.ToString() ?? "none"} and {Maximum?.ToString() ?? "none"}", [nameof(Minimum)]);
        }
        else if (Scale == SweptScale.Logarithmic && !(Minimum > 0))
        {
            yield return new ValidationResult($"a logarithmic scale needs bounds above 0; found {Minimum}", [nameof(Scale)]);
        }
    }
}

/// <summary>How trials are chosen.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "method")]
[JsonDerivedType(typeof(GridSearch), "grid")]
[JsonDerivedType(typeof(RandomSearch), "random")]
[JsonDerivedType(typeof(HalvingSearch), "halving")]
public abstract record SearchConfig;

/// <summary>Every combination of the keys' values.</summary>
[Description("Every combination of the keys' values.")]
public sealed record GridSearch : SearchConfig;

/// <summary>Draws (Bergstra and Bengio, Random search for hyper-parameter optimization, 2012).</summary>
[Description("Random draws.")]
public sealed record RandomSearch : SearchConfig
{
    /// <summary>How many.</summary>
    [Description("How many combinations are drawn.")]
    [Range(1, 100_000)]
    public int Trials { get; init; } = 10;
}

/// <summary>
/// Random draws that train a little; the best go on for longer, rung by rung (successive halving: Jamieson and Talwalkar,
/// Non-stochastic best arm identification and hyperparameter optimization, 2016).
/// </summary>
[Description("Random draws that train for a few steps; the best go on for more, rung by rung (successive halving).")]
public sealed record HalvingSearch : SearchConfig
{
    /// <summary>How many begin.</summary>
    [Description("How many combinations are drawn.")]
    [Range(2, 100_000)]
    public int Trials { get; init; } = 9;

    /// <summary>Of each so many one goes on, for so many times as many steps.</summary>
    [Description("One of so many goes on, for so many times as many steps.")]
    [Range(2, 100)]
    public int Factor { get; init; } = 3;

    /// <summary>The steps of the last rung; null: the job's own end.</summary>
    [Description("Steps of the last rung. Default: the end of the job.")]
    [Range(1, int.MaxValue)]
    public int? Steps { get; init; }
}
