// What a config says about the course of a training: when it ends, when it is evaluated and saved, what happens to a
// step that is not finite. TrainingSettings gathers it, with optimizer and schedule, for TrainingPolicy and ParameterRange.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Training.Policy;

/// <summary>When the training ends: at whatever comes first.</summary>
public sealed record StopConfig
{
    /// <summary>After so many steps (with accumulation a step is a micro-batch), or null.</summary>
    [Description("Stop after so many steps")]
    [Range(0L, long.MaxValue)]
    public long? Steps { get; init; }

    /// <summary>After so many passes over the training data, or null.</summary>
    [Description("Stop after so many epochs")]
    [Range(0L, long.MaxValue)]
    public long? Epochs { get; init; }

    /// <summary>When the loss watched is at most this, or null.</summary>
    [Description("Stop when the validation loss (without validation: an epoch's mean training loss) is at most this")]
    public double? Loss { get; init; }

    /// <summary>After so many evaluations without improvement, or null.</summary>
    [Description("Stop after so many evaluations without improvement")]
    [Range(1, int.MaxValue)]
    public int? Patience { get; init; }

    /// <summary>By how much the loss must fall to count as an improvement.</summary>
    [Description("Fall of the loss that counts as an improvement")]
    [Range(0.0, double.MaxValue)]
    public double MinimumDelta { get; init; }
}

/// <summary>When the validation data is evaluated.</summary>
public sealed record EvaluateConfig
{
    /// <summary>Every so many steps; 0 means at the end of each pass. The end of the training is always evaluated.</summary>
    [Description("Evaluate every so many steps; 0 means at the end of each epoch")]
    [Range(0L, long.MaxValue)]
    public long Every { get; init; }

    /// <summary>Whether the test data is evaluated as well, to be looked at: it decides nothing.</summary>
    [Description("Whether the test data is evaluated along with the validation data; it is shown and decides nothing")]
    public bool Test { get; init; }
}

/// <summary>When the training is saved.</summary>
public sealed record CheckpointConfig
{
    /// <summary>Every so many steps; 0 means at the end of each pass. The end of the training is always saved.</summary>
    [Description("Save every so many steps; 0 means at the end of each epoch")]
    [Range(0L, long.MaxValue)]
    public long Every { get; init; }

    /// <summary>How many of the newest are kept, beside the best.</summary>
    [Description("How many of the newest checkpoints are kept")]
    [Range(1, int.MaxValue)]
    public int Keep { get; init; } = 3;

    /// <summary>Whether the one with the best validation loss is kept as well.</summary>
    [Description("Whether the best checkpoint is kept beside the newest")]
    public bool KeepBest { get; init; } = true;
}

/// <summary>What happens to a step whose gradient or loss is not finite, computed twice with the same result.</summary>
public enum NonFinitePolicy
{
    /// <summary>The step is skipped: version, cursor and streams advance, parameters and optimizer stay.</summary>
    Skip,

    /// <summary>The training stops; the step is not committed.</summary>
    Stop,

    /// <summary>The training goes back to the last checkpoint that the schedule asked for (before the first: to its start) and continues with half the learning rate.</summary>
    Rollback,
}

/// <summary>All that decides the course of a training, beside the data and the model.</summary>
public sealed record TrainingSettings
{
    /// <summary>The optimizer.</summary>
    public OptimizerConfig Optimizer { get; init; } = new AdamConfig();

    /// <summary>The course of the learning rate.</summary>
    public ScheduleConfig Schedule { get; init; } = new ConstantScheduleConfig();

    /// <summary>Limits on the gradient.</summary>
    public ClipConfig Clip { get; init; } = new();

    /// <summary>Penalties on the parameters.</summary>
    public RegularizationConfig Regularization { get; init; } = new();

    /// <summary>How many micro-batches make one update.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>When the training ends.</summary>
    public StopConfig Stop { get; init; } = new();

    /// <summary>When the validation data is evaluated.</summary>
    public EvaluateConfig Evaluate { get; init; } = new();

    /// <summary>When the training is saved.</summary>
    public CheckpointConfig Checkpoint { get; init; } = new();

    /// <summary>What happens to a step that is not finite.</summary>
    public NonFinitePolicy NonFinite { get; init; }

    /// <summary>Rows of the global batch.</summary>
    public required int BatchRows { get; init; }

    /// <summary>Steps of a pass over the training data.</summary>
    public required long StepsPerPass { get; init; }

    /// <summary>Whether there is validation data.</summary>
    public bool HasValidation { get; init; }

    /// <summary>Updates of the parameters in a pass: an incomplete group of micro-batches at its end makes one too.</summary>
    public long UpdatesPerPass => (StepsPerPass + Accumulate - 1) / Accumulate;

    /// <summary>How many steps the training has at the most, or <see cref="long.MaxValue"/> when only a loss or patience ends it.</summary>
    public long MaximumSteps
    {
        get
        {
            long steps = Stop.Steps ?? long.MaxValue;
            return Stop.Epochs is { } epochs && epochs < long.MaxValue / Math.Max(1, StepsPerPass)
                ? Math.Min(steps, epochs * StepsPerPass)
                : steps;
        }
    }

    /// <summary>How many updates the training has at the most, or <see cref="long.MaxValue"/>.</summary>
    public long MaximumUpdates
    {
        get
        {
            long steps = MaximumSteps;
            return steps == long.MaxValue
                ? steps
                : steps / StepsPerPass * UpdatesPerPass + (steps % StepsPerPass + Accumulate - 1) / Accumulate;
        }
    }

    /// <summary>How many passes the training begins at the most, or <see cref="long.MaxValue"/>.</summary>
    public long MaximumPasses =>
        MaximumSteps == long.MaxValue ? long.MaxValue : (MaximumSteps + StepsPerPass - 1) / StepsPerPass;
}
