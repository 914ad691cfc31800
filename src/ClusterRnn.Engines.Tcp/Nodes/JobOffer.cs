// What the coordinator's host answers whoever joins, once, at the control link's handshake.
using System.Text.Json;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Sharing;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>The job and the terms on which it is run.</summary>
/// <param name="Job">The job, as <see cref="JobDescription.ToBytes"/> wrote it.</param>
/// <param name="Bulk">HOST:PORT of the coordinator's bulk port.</param>
/// <param name="Servers">Ranges the parameters are cut into.</param>
/// <param name="LeastSegmentBlocks">The least blocks of a segment, see <see cref="Node.ProtocolJob.MapOf"/>: everyone has to cut alike.</param>
/// <param name="Times">The protocol's times.</param>
internal sealed record JobOffer(byte[] Job, string Bulk, int Servers, int LeastSegmentBlocks, ProtocolTimes Times)
{
    /// <summary>The offer as bytes.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this);

    /// <summary>Reads what <see cref="ToBytes"/> wrote.</summary>
    /// <exception cref="TrainingException">It is not an offer.</exception>
    public static JobOffer FromBytes(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return JsonSerializer.Deserialize<JobOffer>(bytes) ?? throw new TrainingException("The coordinator offered no job.");
        }
        catch (JsonException error)
        {
            throw new TrainingException($"The coordinator's offer is not one that this version understands: {error.Message}", error);
        }
    }
}
