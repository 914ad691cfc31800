// What a config says about the learning rate's course: `schedule: { name: cosine, length: 2000, warmup: { steps: 100 } }`.
//
// One rule for all of them: a schedule counts from the start of training, and the warm-up multiplies it.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace ClusterRnn.Training.Schedules;

/// <summary>What a schedule counts.</summary>
public enum ScheduleUnit
{
    /// <summary>Whole passes over the data, as PyTorch's schedulers are used as a rule.</summary>
    Epochs,

    /// <summary>Updates of the parameters.</summary>
    Steps,
}

/// <summary>How the learning rate grows with the batch.</summary>
public enum BatchScaling
{
    /// <summary>It does not.</summary>
    None,

    /// <summary>With batch / baseBatch (Goyal et al., 2017).</summary>
    Linear,

    /// <summary>With the square root of batch / baseBatch (LEGW; You et al., 2019).</summary>
    SquareRoot,
}

/// <summary>The course of the learning rate.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "name")]
[JsonDerivedType(typeof(ConstantScheduleConfig), "constant")]
[JsonDerivedType(typeof(StepScheduleConfig), "step")]
[JsonDerivedType(typeof(ExponentialScheduleConfig), "exponential")]
[JsonDerivedType(typeof(CosineScheduleConfig), "cosine")]
[JsonDerivedType(typeof(PlateauScheduleConfig), "plateau")]
public abstract record ScheduleConfig
{
    /// <summary>The linear rise at the start, or null for none.</summary>
    [Description("Linear rise of the learning rate at the start")]
    public WarmupConfig? Warmup { get; init; }

    /// <summary>How the learning rate grows with the batch.</summary>
    [Description("How the learning rate grows with batch / baseBatch: none, linear or square-root")]
    public BatchScaling Scaling { get; init; }

    /// <summary>The batch (rows) for which the learning rate and the warm-up were chosen; null means the batch itself.</summary>
    [Description("Batch for which the learning rate and the warm-up were chosen")]
    [Range(1, int.MaxValue)]
    public int? BaseBatch { get; init; }
}

/// <summary>A linear rise from 0: update number u (from 0) of a warm-up of n updates has (u + 1) / n of the learning rate.</summary>
public sealed record WarmupConfig
{
    /// <summary>Its length in updates.</summary>
    [Description("Length in steps")]
    [Range(0L, long.MaxValue)]
    public long Steps { get; init; }

    /// <summary>Its length in passes, added to <see cref="Steps"/>.</summary>
    [Description("Length in epochs, may be a fraction")]
    [Range(0.0, 1e9)]
    public double Epochs { get; init; }

    /// <summary>Whether the length in epochs grows with batch / baseBatch (linear-epoch gradual warm-up, LEGW).</summary>
    [Description("Lengthen the epochs of warm-up by batch / baseBatch (LEGW)")]
    public bool ScaleWithBatch { get; init; }
}

/// <summary>The learning rate stays as it is.</summary>
public sealed record ConstantScheduleConfig : ScheduleConfig;

/// <summary>The learning rate is multiplied by a factor at regular intervals (torch StepLR).</summary>
public sealed record StepScheduleConfig : ScheduleConfig
{
    /// <summary>The interval.</summary>
    [Description("Interval in units")]
    [Range(1L, long.MaxValue)]
    public long Every { get; init; } = 10;

    /// <summary>What <see cref="Every"/> counts.</summary>
    [Description("What is counted: epochs or steps")]
    public ScheduleUnit Unit { get; init; }

    /// <summary>The factor.</summary>
    [Description("Factor at each interval")]
    [Range(0.0, 1.0)]
    public double Factor { get; init; } = 0.1;
}

/// <summary>The learning rate is multiplied by a factor at each unit (torch ExponentialLR).</summary>
public sealed record ExponentialScheduleConfig : ScheduleConfig
{
    /// <summary>The factor.</summary>
    [Description("Factor at each unit")]
    [Range(0.0, 1.0)]
    public double Factor { get; init; } = 0.95;

    /// <summary>What is counted.</summary>
    [Description("What is counted: epochs or steps")]
    public ScheduleUnit Unit { get; init; }
}

/// <summary>The learning rate falls along half a cosine to a minimum and stays there (torch CosineAnnealingLR without its rise).</summary>
public sealed record CosineScheduleConfig : ScheduleConfig
{
    /// <summary>How long it falls; null takes the length of the training.</summary>
    [Description("Length of the fall in units; by default the length of the training")]
    [Range(1L, long.MaxValue)]
    public long? Length { get; init; }

    /// <summary>What <see cref="Length"/> counts.</summary>
    [Description("What is counted: epochs or steps")]
    public ScheduleUnit Unit { get; init; } = ScheduleUnit.Steps;

    /// <summary>The learning rate at the end.</summary>
    [Description("Learning rate at the end")]
    [Range(0.0, 1e6)]
    public double Minimum { get; init; }
}

/// <summary>The learning rate is multiplied by a factor when the loss has stopped falling (torch ReduceLROnPlateau, relative threshold).</summary>
public sealed record PlateauScheduleConfig : ScheduleConfig
{
    /// <summary>The factor.</summary>
    [Description("Factor at each reduction")]
    [Range(0.0, 1.0)]
    public double Factor { get; init; } = 0.1;

    /// <summary>How many evaluations without improvement are tolerated.</summary>
    [Description("Evaluations without improvement before a reduction")]
    [Range(0, int.MaxValue)]
    public int Patience { get; init; } = 10;

    /// <summary>By which fraction the loss must fall to count as an improvement.</summary>
    [Description("Relative fall of the loss that counts as an improvement")]
    [Range(0.0, 1.0)]
    public double Threshold { get; init; } = 1e-4;

    /// <summary>How many evaluations after a reduction are not counted.</summary>
    [Description("Evaluations after a reduction that are not counted")]
    [Range(0, int.MaxValue)]
    public int Cooldown { get; init; }

    /// <summary>The least learning rate.</summary>
    [Description("Least learning rate")]
    [Range(0.0, 1e6)]
    public double Minimum { get; init; }
}
