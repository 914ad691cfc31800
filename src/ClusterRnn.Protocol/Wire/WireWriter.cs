// How values become bytes: little-endian, fixed widths, a count before every list, UTF-8 texts. No type names.
using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol.Wire;

/// <summary>Appends values to a buffer. Every call returns the writer, so that a message reads as a chain of its fields.</summary>
/// <param name="into">Where the bytes go.</param>
public readonly struct WireWriter(IBufferWriter<byte> into)
{
    /// <summary>One byte.</summary>
    public WireWriter Byte(byte value)
    {
        into.GetSpan(1)[0] = value;
        into.Advance(1);
        return this;
    }

    /// <summary>A truth value: 0 or 1.</summary>
    public WireWriter Bool(bool value) => Byte(value ? (byte)1 : (byte)0);

    /// <summary>Two bytes.</summary>
    public WireWriter UInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(into.GetSpan(sizeof(ushort)), value);
        into.Advance(sizeof(ushort));
        return this;
    }

    /// <summary>Four bytes.</summary>
    public WireWriter Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(into.GetSpan(sizeof(int)), value);
        into.Advance(sizeof(int));
        return this;
    }

    /// <summary>Eight bytes.</summary>
    public WireWriter Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(into.GetSpan(sizeof(long)), value);
        into.Advance(sizeof(long));
        return this;
    }

    /// <summary>Eight bytes.</summary>
    public WireWriter UInt64(ulong value) => Int64((long)value);

    /// <summary>A double by its bits, so that a NaN keeps its payload.</summary>
    public WireWriter Double(double value) => Int64(BitConverter.DoubleToInt64Bits(value));

    /// <summary>A text others compare, such as a job's name.</summary>
    /// <exception cref="ArgumentException">It is longer than <see cref="Limits.MaximumTextBytes"/>.</exception>
    public WireWriter Name(string value)
    {
        int bytes = Encoding.UTF8.GetByteCount(value);
        if (bytes > Limits.MaximumTextBytes)
        {
            throw new ArgumentException($"A name of {bytes} bytes is longer than the {Limits.MaximumTextBytes} that may travel.", nameof(value));
        }

        Int32(bytes);
        into.Advance(Encoding.UTF8.GetBytes(value, into.GetSpan(bytes)));
        return this;
    }

    /// <summary>A text for people; one that is too long loses its end.</summary>
    public WireWriter Reason(string value)
    {
        // Three bytes a UTF-16 unit is the most UTF-8 needs.
        int most = Limits.MaximumTextBytes / 3;
        return Name(value.Length <= most ? value : value[..(char.IsHighSurrogate(value[most - 2]) ? most - 2 : most - 1)] + "…");
    }

    /// <summary>A text that may be missing.</summary>
    public WireWriter OptionalReason(string? value) => value is null ? Bool(false) : Bool(true).Reason(value);

    /// <summary>Bytes behind their count.</summary>
    /// <exception cref="ArgumentException">There are more than <paramref name="most"/>.</exception>
    public WireWriter Bytes(ReadOnlySpan<byte> value, int most)
    {
        Count(value.Length, most);
        value.CopyTo(into.GetSpan(value.Length));
        into.Advance(value.Length);
        return this;
    }

    /// <summary>The length of a list.</summary>
    /// <exception cref="ArgumentException">It is more than <paramref name="most"/>.</exception>
    public WireWriter Count(int count, int most)
        => count <= most ? Int32(count) : throw new ArgumentException($"A list of {count} is longer than the {most} that may travel.", nameof(count));

    /// <summary>An actor's address.</summary>
    public WireWriter Actor(ActorId value) => Byte((byte)value.Role).Int32(value.Number);

    /// <summary>An actor's address that may be missing.</summary>
    public WireWriter OptionalActor(ActorId? value) => value is { } actor ? Bool(true).Actor(actor) : Bool(false);

    /// <summary>A range of shards or blocks.</summary>
    public WireWriter Range(ShardRange value) => Int32(value.Start).Int32(value.End);

    /// <summary>Ranges of shards.</summary>
    public WireWriter Ranges(ShardRange[] values)
    {
        Count(values.Length, Limits.MaximumShards);
        foreach (ShardRange value in values)
        {
            Range(value);
        }

        return this;
    }

    /// <summary>Numbers of shards.</summary>
    public WireWriter Shards(int[] values)
    {
        Count(values.Length, Limits.MaximumShards);
        foreach (int value in values)
        {
            Int32(value);
        }

        return this;
    }

    /// <summary>Numbers of assignments.</summary>
    public WireWriter Assignments(long[] values)
    {
        Count(values.Length, Limits.MaximumAssignmentsPerStep);
        foreach (long value in values)
        {
            Int64(value);
        }

        return this;
    }

    /// <summary>Who owns what.</summary>
    public WireWriter Map(RangeMap map)
    {
        Int64(map.Revision).Int64(map.Origin).Count(map.Ranges.Length, Limits.MaximumRanges);
        foreach (RangeOwner range in map.Ranges)
        {
            Int32(range.BlockCount).Actor(range.Owner).Int64(range.Fence).OptionalActor(range.Replica).Int64(range.Since).Int64(range.ReplicaSince);
        }

        Count(map.Segments.Length, Limits.MaximumSegments);
        foreach (Segment segment in map.Segments)
        {
            Int32(segment.Range).Int32(segment.BlockCount);
        }

        return this;
    }

    /// <summary>Reports of shards.</summary>
    public WireWriter Reports(ShardReport[] reports)
    {
        Count(reports.Length, Limits.MaximumShards);
        foreach (ShardReport report in reports)
        {
            Int32(report.Shard).Count(report.Sums.Length, Limits.MaximumSumsPerShard);
            foreach (double sum in report.Sums)
            {
                Double(sum);
            }

            Count(report.Counts.Length, Limits.MaximumSumsPerShard);
            foreach (long count in report.Counts)
            {
                Int64(count);
            }

            UInt64(report.RowsDigest).UInt64(report.StateDigest).Bool(report.Finite);
        }

        return this;
    }

    /// <summary>Reports of subtrees.</summary>
    public WireWriter Reports(SubtreeReport[] reports)
    {
        Count(reports.Length, Limits.MaximumShards);
        foreach (SubtreeReport report in reports)
        {
            Range(report.Subtree).Count(report.Digests.Length, Limits.MaximumLayers);
            foreach (ulong digest in report.Digests)
            {
                UInt64(digest);
            }

            Bool(report.Finite);
        }

        return this;
    }

    /// <summary>Sums over blocks.</summary>
    public WireWriter Squares(BlockSum[] sums)
    {
        Count(sums.Length, Limits.MaximumSubtreesPerRange);
        foreach (BlockSum sum in sums)
        {
            Range(sum.Blocks).Double(sum.Sum);
        }

        return this;
    }

    /// <summary>Which piece of a gradient.</summary>
    public WireWriter Key(PieceKey key)
        => Int64(key.Epoch).Int64(key.Step).Int64(key.Fence).Int32(key.Segment).Range(key.Subtree).Int64(key.Assignment);

    /// <summary>A verdict.</summary>
    public WireWriter Verdict(Verdict verdict)
    {
        Decision decision = verdict.Decision;
        return Int64(verdict.Epoch).Int64(verdict.Step)
            .Byte((byte)decision.Kind).Int64(decision.Count).Double(decision.ClipScale).Double(decision.LearningRate).Int64(decision.Update).OptionalReason(decision.Reason)
            .Bytes(verdict.PolicyState.Span, Limits.MaximumPolicyStateBytes);
    }

    /// <summary>Copies of ranges.</summary>
    public WireWriter Held(HeldRange[] values)
    {
        Count(values.Length, Limits.MaximumRanges);
        foreach (HeldRange value in values)
        {
            Int32(value.Range).Int64(value.Version);
        }

        return this;
    }

    /// <summary>Digests of rows, one for each shard.</summary>
    public WireWriter RowDigests(ulong[] values)
    {
        Count(values.Length, Limits.MaximumShards);
        foreach (ulong value in values)
        {
            UInt64(value);
        }

        return this;
    }

    /// <summary>How actors stand.</summary>
    public WireWriter Nodes(NodeStatus[] nodes)
    {
        Count(nodes.Length, Limits.MaximumNodes);
        foreach (NodeStatus node in nodes)
        {
            Actor(node.Actor).Byte((byte)node.Condition).Reason(node.Work).Int64(node.Version).Int64(node.SilenceTicks)
                .Int64(node.ComputeTicks).Int64(node.WaitTicks).Int64(node.TicksPerShard).Reason(node.Why);
        }

        return this;
    }

    /// <summary>Where servers take blocks.</summary>
    public WireWriter Addresses(PeerAddress[] peers)
    {
        Count(peers.Length, Limits.MaximumNodes);
        foreach (PeerAddress peer in peers)
        {
            Actor(peer.Actor).Name(peer.Address);
        }

        return this;
    }

    /// <summary>Counters by name.</summary>
    public WireWriter Counters(NamedCount[] counters)
    {
        Count(counters.Length, Limits.MaximumCounters);
        foreach (NamedCount counter in counters)
        {
            Name(counter.Name).Int64(counter.Count);
        }

        return this;
    }

    /// <summary>A verdict that may be missing.</summary>
    public WireWriter OptionalVerdict(Verdict? verdict) => verdict is null ? Bool(false) : Bool(true).Verdict(verdict);
}
