// The head of every frame of a link, control and bulk alike:
//
//     magic 4 | wire version 2 | kind 1 | flags 1 | epoch 8 | step 8 | payload bytes 8 | meta bytes 4 | CRC of meta 4 | CRC of all before 4
//
// then the meta (an envelope, see MessageCodec), then the payload, then four bytes with the payload's CRC-32C. That one
// comes last so that a sender reads each part of a large block once, while it is in cache for the socket anyway. The
// head has a checksum of its own because its lengths decide what is read next.
using System.Buffers.Binary;

namespace ClusterRnn.Protocol.Wire;

/// <summary>What a frame is.</summary>
public enum FrameKind : byte
{
    /// <summary>The sender is there; no meta, no payload.</summary>
    Ping,

    /// <summary>A control message; no payload.</summary>
    Control,

    /// <summary>A message with or without a block.</summary>
    Bulk,

    /// <summary>The sender closes the link; the meta is a text that says why.</summary>
    Goodbye,
}

/// <summary>The fixed head of a frame.</summary>
/// <param name="Kind">What the frame is.</param>
/// <param name="Flags">Reserved: 0.</param>
/// <param name="Epoch">The epoch the frame belongs to, 0 where that says nothing.</param>
/// <param name="Step">The step the frame belongs to, 0 where that says nothing.</param>
/// <param name="PayloadBytes">How many bytes of payload follow the meta.</param>
/// <param name="MetaBytes">How many bytes of meta follow the head.</param>
/// <param name="MetaCrc">Their CRC-32C.</param>
public readonly record struct FrameHeader(FrameKind Kind, byte Flags, long Epoch, long Step, long PayloadBytes, int MetaBytes, uint MetaCrc)
{
    /// <summary>The bytes of a head.</summary>
    public const int Size = 44;

    /// <summary>The bytes of the checksum behind a payload.</summary>
    public const int TrailerBytes = sizeof(uint);

    private const uint Magic = 0x4E4E5243; // "CRNN"

    /// <summary>A head for this meta.</summary>
    public static FrameHeader Of(FrameKind kind, long epoch, long step, ReadOnlySpan<byte> meta, long payloadBytes)
        => new(kind, 0, epoch, step, payloadBytes, meta.Length, Crc32C.Compute(meta));

    /// <summary>Writes the head.</summary>
    /// <param name="into">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> into)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(into, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(into[4..], Limits.WireVersion);
        into[6] = (byte)Kind;
        into[7] = Flags;
        BinaryPrimitives.WriteInt64LittleEndian(into[8..], Epoch);
        BinaryPrimitives.WriteInt64LittleEndian(into[16..], Step);
        BinaryPrimitives.WriteInt64LittleEndian(into[24..], PayloadBytes);
        BinaryPrimitives.WriteInt32LittleEndian(into[32..], MetaBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(into[36..], MetaCrc);
        BinaryPrimitives.WriteUInt32LittleEndian(into[40..], Crc32C.Compute(into[..40]));
    }

    /// <summary>Reads a head and holds its lengths against what its kind may have.</summary>
    /// <param name="bytes"><see cref="Size"/> bytes.</param>
    /// <exception cref="WireException">The bytes are no head, or a length is over its limit.</exception>
    public static FrameHeader Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Size)
        {
            throw new WireException($"expected a frame's head of {Size} bytes, found {bytes.Length}");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) is var magic && magic != Magic)
        {
            throw new WireException($"expected a frame, found bytes that begin with {magic:x8}");
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]) is var version && version != Limits.WireVersion)
        {
            throw new WireException($"expected wire version {Limits.WireVersion}, found {version}");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[40..]) != Crc32C.Compute(bytes[..40]))
        {
            throw new WireException("a frame's head does not match its checksum");
        }

        var header = new FrameHeader(
            (FrameKind)bytes[6],
            bytes[7],
            BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[32..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[36..]));
        (int mostMeta, long mostPayload) = header.Kind switch
        {
            FrameKind.Ping => (0, 0L),
            FrameKind.Control => (Limits.MaximumControlBytes, 0),
            FrameKind.Bulk => (Limits.MaximumMetaBytes, Limits.MaximumPayloadBytes),
            FrameKind.Goodbye => (Limits.MaximumTextBytes, 0),
            _ => throw new WireException($"no frame has the kind {(byte)header.Kind}"),
        };
        if (header.Flags != 0)
        {
            throw new WireException($"expected no flags, found {header.Flags}");
        }

        if ((uint)header.MetaBytes > (uint)mostMeta || (ulong)header.PayloadBytes > (ulong)mostPayload)
        {
            throw new WireException(
                $"a {header.Kind} frame has at most {mostMeta} bytes of message and {mostPayload} of payload, found {header.MetaBytes} and {header.PayloadBytes}");
        }

        return header;
    }

    /// <summary>Holds a meta against the checksum in the head.</summary>
    /// <exception cref="WireException">They differ.</exception>
    public void CheckMeta(ReadOnlySpan<byte> meta)
    {
        if (Crc32C.Compute(meta) != MetaCrc)
        {
            throw new WireException("a frame's message does not match its checksum");
        }
    }
}
