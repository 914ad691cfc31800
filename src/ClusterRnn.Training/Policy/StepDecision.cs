// The verdict on one step, and what it was reached from. A decision carries everything that advances the policy, so a
// coordinator that finds a decision without the sums behind it (on a server, in a journal) can adopt it.
using System.Text;

namespace ClusterRnn.Training.Policy;

/// <summary>What becomes of a step.</summary>
public enum DecisionKind : byte
{
    /// <summary>It is committed.</summary>
    Commit,

    /// <summary>It is skipped: version, cursor and streams advance, parameters and optimizer stay.</summary>
    Skip,

    /// <summary>It is not committed and the training ends.</summary>
    Stop,

    /// <summary>It is not committed and the training goes back to the last scheduled checkpoint.</summary>
    Rollback,
}

/// <summary>What the owner of a range needs to know to finish a step.</summary>
/// <param name="Apply">Whether the parameters are updated; otherwise the gradient is only accumulated.</param>
/// <param name="Count">By how many targets the (accumulated) gradient is divided.</param>
/// <param name="ClipScale">By what the averaged gradient is multiplied, at most 1.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Number">Which update this is, from 1.</param>
public readonly record struct UpdateNumbers(bool Apply, long Count, float ClipScale, double LearningRate, long Number);

/// <summary>What all shards and ranges said about a step, merged in the canonical order.</summary>
public sealed class StepSums
{
    /// <summary>The sums of all shards' targets, as the model's metric schema orders them: the loss first.</summary>
    public required ReadOnlyMemory<double> Sums { get; init; }

    /// <summary>The counts of all shards' targets, as the model's metric schema orders them: the targets first.</summary>
    public required ReadOnlyMemory<long> Counts { get; init; }

    /// <summary>The sum of squares of the (accumulated, undivided) gradient, joined along the canonical tree over all blocks.</summary>
    public required double SumOfSquares { get; init; }

    /// <summary>Whether every range and every shard was finite.</summary>
    public bool Finite { get; init; } = true;
}

/// <summary>The verdict on a step.</summary>
public sealed record StepDecision
{
    private const byte Format = 1;

    /// <summary>What becomes of the step.</summary>
    public required DecisionKind Kind { get; init; }

    /// <summary>The version that the step started from; a committed or skipped step leads to the next.</summary>
    public required long Version { get; init; }

    /// <summary>What the owners of ranges need to finish the step.</summary>
    public UpdateNumbers Update { get; init; }

    /// <summary>The global norm of the averaged gradient before clipping, 0 when there was no update.</summary>
    public double GradientNorm { get; init; }

    /// <summary>The sums of the step's targets, the loss first; empty when the step was not finite.</summary>
    public IReadOnlyList<double> Sums { get; init; } = [];

    /// <summary>The counts of the step's targets, the targets first; empty when the step was not finite.</summary>
    public IReadOnlyList<long> Counts { get; init; } = [];

    /// <summary>How many targets the step had.</summary>
    public long Count => Counts.Count == 0 ? 0 : Counts[0];

    /// <summary>The mean loss of the step's targets, NaN without targets.</summary>
    public double Loss => Count == 0 ? double.NaN : Sums[0] / Count;

    /// <summary>Whether the version advances.</summary>
    public bool Advances => Kind is DecisionKind.Commit or DecisionKind.Skip;

    /// <summary>The decision as bytes, little-endian.</summary>
    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8))
        {
            writer.Write(Format);
            writer.Write((byte)Kind);
            writer.Write(Version);
            writer.Write(Update.Apply);
            writer.Write(Update.Count);
            writer.Write(Update.ClipScale);
            writer.Write(Update.LearningRate);
            writer.Write(Update.Number);
            writer.Write(GradientNorm);
            writer.WriteArray(Sums);
            writer.WriteArray(Counts);
        }

        return stream.ToArray();
    }

    /// <summary>Reads what <see cref="ToBytes"/> wrote.</summary>
    /// <exception cref="TrainingException">The bytes are not a decision.</exception>
    public static StepDecision FromBytes(ReadOnlySpan<byte> bytes)
    {
        using var reader = new StateReader(bytes, "step decision");
        reader.ExpectFormat(Format);
        byte kind = reader.Byte();
        if (kind > (byte)DecisionKind.Rollback)
        {
            throw new TrainingException($"Step decision: expected a kind of 0 to {(byte)DecisionKind.Rollback}, found {kind}.");
        }

        var decision = new StepDecision
        {
            Kind = (DecisionKind)kind,
            Version = reader.Long(),
            Update = new UpdateNumbers(reader.Bool(), reader.Long(), reader.Float(), reader.Double(), reader.Long()),
            GradientNorm = reader.Double(),
            Sums = reader.Doubles(),
            Counts = reader.Longs(),
        };
        reader.ExpectEnd();
        return decision;
    }
}
