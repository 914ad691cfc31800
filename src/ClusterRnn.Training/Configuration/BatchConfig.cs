using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace ClusterRnn.Training.Configuration;

/// <summary>The global batch: its rows, how far a step reaches in time, and how it is cut into shards.</summary>
[Description("The global batch: rows, time steps and shards.")]
public sealed record BatchConfig : IValidatableObject
{
    /// <summary>Rows of the global batch, however many workers share them.</summary>
    [Description("Rows of the global batch, however many workers share them.")]
    [Range(1, 1 << 24)]
    public int Size { get; init; } = 32;

    /// <summary>k1: time steps between updates when long sequences are trained in spans.</summary>
    [Description("Time steps between updates (k1 of truncated backpropagation). For sequences without windows.")]
    [Range(1, 1 << 24)]
    public int Span { get; init; } = 64;

    /// <summary>k2: how many time steps gradients go back; null: as many as <see cref="Span"/>.</summary>
    [Description("Time steps that gradients go back (k2); at least span. Default: span.")]
    [Range(1, 1 << 24)]
    public int? LookBack { get; init; }

    /// <summary>S: into how many shards the rows are dealt; null: <see cref="DefaultShards"/>.</summary>
    [Description("Into how many shards the rows are dealt: the most workers that can help. Part of the result, so the same on every machine. Default: the largest power of two up to 8 that divides size.")]
    [Range(1, 1 << 16)]
    public int? Shards { get; init; }

    /// <summary>Whether a row's recurrent state goes on from span to span.</summary>
    [Description("Carry each row's recurrent state from span to span.")]
    public bool CarryState { get; init; } = true;

    /// <summary>Whether examples of about the same length share a batch.</summary>
    [Description("Put examples of about the same length into a batch, where they differ in length, so that little is padded.")]
    public bool Buckets { get; init; } = true;

    /// <summary>The shards used when the config names none: the largest power of two up to 8 that divides <paramref name="size"/>.</summary>
    public static int DefaultShards(int size) => Math.Min(8, size & -size);

    /// <summary>This batch with every default spelled out.</summary>
    public BatchConfig Resolve() => this with { LookBack = LookBack ?? Span, Shards = Shards ?? DefaultShards(Size) };

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (LookBack < Span)
        {
            yield return new ValidationResult(
                $"'batch.lookBack' (k2) expects at least 'batch.span' (k1), which is {Span}; found {LookBack}: an update every {Span} time steps needs gradients over all of them",
                [nameof(LookBack)]);
        }
    }
}
