// The coordinator's journal as bytes: length, checksum, record; again and again.
//
// A process can die in the middle of an append, so the last record may be torn: cut short, or overwritten with zeros by
// the file system. Its length or its checksum gives it away, and a reader stops before it. A disk can also give back other bytes
// than it was given, in the middle of what was written: then whole records follow, and a reader goes on there.
using System.Buffers;
using System.Buffers.Binary;

namespace ClusterRnn.Protocol.Wire;

/// <summary>Journal records as bytes.</summary>
public static class JournalCodec
{
    private const int HeadBytes = 2 * sizeof(uint); // [length of the body, CRC-32C of length and body]
    private const byte EpochTag = 1, VerdictTag = 2, CheckpointTag = 3, MapTag = 4, RollbackTag = 5, PolicyRollbackTag = 6;

    /// <summary>Appends a record.</summary>
    /// <exception cref="ArgumentException">The record is of an unknown kind.</exception>
    public static void Write(JournalRecord record, IBufferWriter<byte> into)
    {
        var body = new ArrayBufferWriter<byte>(256);
        var writer = new WireWriter(body);
        _ = record switch
        {
            EpochRecord epoch => writer.Byte(EpochTag).Int64(epoch.Epoch).Int64(epoch.Predecessor).Int64(epoch.AdoptedBytes),
            VerdictRecord verdict => writer.Byte(VerdictTag).Verdict(verdict.Verdict).UInt64(verdict.Digest).RowDigests(verdict.RowDigests),
            CheckpointRecord checkpoint => writer.Byte(CheckpointTag).Int64(checkpoint.Version),
            MapRecord map => writer.Byte(MapTag).Int64(map.Epoch).Map(map.Map),
            RollbackRecord { PolicyState.IsEmpty: false } back => writer.Byte(PolicyRollbackTag).Int64(back.Epoch).Int64(back.Version).Reason(back.Reason)
                .Bytes(back.PolicyState.Span, Limits.MaximumPolicyStateBytes),
            RollbackRecord rollback => writer.Byte(RollbackTag).Int64(rollback.Epoch).Int64(rollback.Version).Reason(rollback.Reason),
            _ => throw new ArgumentException($"{record.GetType().Name} has no place in a journal.", nameof(record)),
        };
        Span<byte> whole = into.GetSpan(HeadBytes + body.WrittenCount);
        BinaryPrimitives.WriteInt32LittleEndian(whole, body.WrittenCount);
        body.WrittenSpan.CopyTo(whole[HeadBytes..]);
        BinaryPrimitives.WriteUInt32LittleEndian(whole[sizeof(uint)..], Checksum(whole[..sizeof(uint)], body.WrittenSpan));
        into.Advance(HeadBytes + body.WrittenCount);
    }

    /// <summary>
    /// Takes the next record from the front of <paramref name="rest"/>. False at the end: with nothing left it is a clean
    /// one, else what is left is a torn tail, which the journal's next writer cuts off.
    /// </summary>
    /// <exception cref="WireException">A whole record says something this version does not know.</exception>
    public static bool TryRead(ref ReadOnlySpan<byte> rest, out JournalRecord? record)
    {
        record = null;
        if (rest.Length < HeadBytes)
        {
            return false;
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(rest);
        if (length > rest.Length - HeadBytes || length == 0)
        {
            return false;
        }

        ReadOnlySpan<byte> body = rest.Slice(HeadBytes, (int)length);
        if (BinaryPrimitives.ReadUInt32LittleEndian(rest[sizeof(uint)..]) != Checksum(rest[..sizeof(uint)], body))
        {
            return false;
        }

        var reader = new WireReader(body);
        byte tag = reader.Byte();
        record = tag switch
        {
            EpochTag => new EpochRecord(reader.Int64(), reader.Int64(), reader.Int64()),
            VerdictTag => new VerdictRecord(reader.Verdict(), reader.UInt64(), reader.RowDigests()),
            CheckpointTag => new CheckpointRecord(reader.Int64()),
            MapTag => new MapRecord(reader.Int64(), reader.Map()),
            RollbackTag => new RollbackRecord(reader.Int64(), reader.Int64(), reader.Text()),
            PolicyRollbackTag => new RollbackRecord(reader.Int64(), reader.Int64(), reader.Text(), reader.Bytes(Limits.MaximumPolicyStateBytes)),
            _ => throw new WireException($"no journal record has the tag {tag}"),
        };
        reader.End();
        rest = rest[(HeadBytes + (int)length)..];
        return true;
    }

    /// <summary>After <see cref="TryRead"/> has come to an end with something left: the next whole record, if one follows what can't be read.</summary>
    /// <param name="rest">Becomes what begins with that record; unchanged when none follows, and what is left is a torn tail.</param>
    /// <returns>How many bytes can't be read; 0 when no whole record follows.</returns>
    public static int SkipDamage(ref ReadOnlySpan<byte> rest)
    {
        for (int skipped = 1; skipped < rest.Length - HeadBytes; skipped++)
        {
            ReadOnlySpan<byte> from = rest[skipped..];
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(from);
            if (length > 0 && length <= from.Length - HeadBytes
                && BinaryPrimitives.ReadUInt32LittleEndian(from[sizeof(uint)..]) == Checksum(from[..sizeof(uint)], from.Slice(HeadBytes, (int)length)))
            {
                rest = from;
                return skipped;
            }
        }

        return 0;
    }

    private static uint Checksum(ReadOnlySpan<byte> length, ReadOnlySpan<byte> body) => Crc32C.Append(Crc32C.Compute(length), body);
}
