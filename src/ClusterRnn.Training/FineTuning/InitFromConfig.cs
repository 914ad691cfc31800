using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace ClusterRnn.Training.FineTuning;

/// <summary>The run whose model a training starts from.</summary>
[Description("Fine-tuning: the run whose model the training starts from. Tensors are taken by name and shape; the others are drawn, and a table says which and why. model.freeze keeps some as they are.")]
public sealed record InitFromConfig
{
    /// <summary>A run's folder (its newest checkpoint), or a checkpoint's.</summary>
    [Description("A run's folder (its newest checkpoint is taken), or a checkpoint's folder.")]
    [MinLength(1)]
    public required string Run { get; init; }

    /// <summary>What is drawn anew though it would fit: layers or tensors, with * and ?.</summary>
    [Description("Layers or tensors that are drawn anew though they would fit, such as a head for other classes: names as inspect shows them, or their first parts, with * and ?.")]
    public IReadOnlyList<string> Fresh { get; init; } = [];

    /// <summary>The hash of the model that is taken; null until it was looked at.</summary>
    [Description("modelSha256 of the model that is taken. A run's folder keeps it, so that nothing else is taken on going on.")]
    public string? ModelSha256 { get; init; }
}
