// How bytes become values again. Nothing here trusts them: a count is held against its limit and against the bytes that
// are left before anything is allocated, so a frame can't make the reader allocate more than a small multiple of itself.
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol.Wire;

/// <summary>Takes values from the front of a run of bytes. Every member throws <see cref="WireException"/> on what can't be.</summary>
/// <param name="bytes">The bytes.</param>
public ref struct WireReader(ReadOnlySpan<byte> bytes)
{
    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _next;

    /// <summary>How many bytes are left.</summary>
    public readonly int Left => _bytes.Length - _next;

    /// <summary>One byte.</summary>
    public byte Byte() => Take(1)[0];

    /// <summary>A truth value.</summary>
    public bool Bool() => Byte() switch { 0 => false, 1 => true, byte other => throw Bad($"expected 0 or 1 for a truth value, found {other}") };

    /// <summary>Two bytes.</summary>
    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(sizeof(ushort)));

    /// <summary>Four bytes.</summary>
    public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(sizeof(int)));

    /// <summary>Eight bytes.</summary>
    public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(sizeof(long)));

    /// <summary>Eight bytes.</summary>
    public ulong UInt64() => (ulong)Int64();

    /// <summary>A double by its bits.</summary>
    public double Double() => BitConverter.Int64BitsToDouble(Int64());

    /// <summary>A number from 0 to below <paramref name="end"/>.</summary>
    public int Below(int end, string what)
    {
        int value = Int32();
        return (uint)value < (uint)end ? value : throw Bad($"expected a {what} below {end}, found {value}");
    }

    /// <summary>The number of a shard.</summary>
    public int Shard() => Below(Limits.MaximumShards, "shard");

    /// <summary>The number of a range.</summary>
    public int RangeNumber() => Below(Limits.MaximumRanges, "range");

    /// <summary>The length of a list whose elements take at least <paramref name="elementBytes"/> each.</summary>
    public int Count(int most, int elementBytes, string what)
    {
        int count = Int32();
        if ((uint)count > (uint)most)
        {
            throw Bad($"expected at most {most} {what}, found {count}");
        }

        return (long)count * elementBytes <= Left ? count : throw Bad($"{count} {what} don't fit into the {Left} bytes that are left");
    }

    /// <summary>A text.</summary>
    public string Text()
    {
        ReadOnlySpan<byte> text = Take(Count(Limits.MaximumTextBytes, 1, "bytes of text"));
        try
        {
            return Utf8.GetString(text);
        }
        catch (DecoderFallbackException)
        {
            throw Bad("a text is no UTF-8");
        }
    }

    /// <summary>A text that may be missing.</summary>
    public string? OptionalText() => Bool() ? Text() : null;

    /// <summary>Bytes behind their count, copied.</summary>
    public byte[] Bytes(int most) => Take(Count(most, 1, "bytes")).ToArray();

    /// <summary>What work is for.</summary>
    public WorkKind Work() => (WorkKind)Choice((byte)WorkKind.Train, "kind of work");

    /// <summary>An actor's address.</summary>
    public ActorId Actor()
    {
        byte role = Choice((byte)ActorRole.Server, "role");
        return new ActorId((ActorRole)role, Below(int.MaxValue, "number of an actor"));
    }

    /// <summary>An actor's address that may be missing.</summary>
    public ActorId? OptionalActor() => Bool() ? Actor() : null;

    /// <summary>A range of shards.</summary>
    public ShardRange Range() => Range(Limits.MaximumShards);

    /// <summary>A range of blocks.</summary>
    public ShardRange Blocks() => Range(int.MaxValue);

    /// <summary>Ranges of shards.</summary>
    public ShardRange[] Ranges()
    {
        var values = new ShardRange[Count(Limits.MaximumShards, 2 * sizeof(int), "ranges of shards")];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Range();
        }

        return values;
    }

    /// <summary>Numbers of shards.</summary>
    public int[] Shards()
    {
        int[] values = new int[Count(Limits.MaximumShards, sizeof(int), "shards")];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Shard();
        }

        return values;
    }

    /// <summary>Numbers of assignments.</summary>
    public long[] Assignments()
    {
        long[] values = new long[Count(Limits.MaximumAssignmentsPerStep, sizeof(long), "assignments")];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Int64();
        }

        return values;
    }

    /// <summary>Who owns what.</summary>
    public RangeMap Map()
    {
        long revision = Int64(), origin = Int64();
        int rangeCount = Count(Limits.MaximumRanges, 34, "ranges");
        if (rangeCount == 0)
        {
            throw Bad("expected at least one range, found none");
        }

        var ranges = ImmutableArray.CreateBuilder<RangeOwner>(rangeCount);
        int next = 0;
        for (int i = 0; i < rangeCount; i++)
        {
            int blocks = Below(int.MaxValue - next, "number of blocks");
            ranges.Add(new RangeOwner(i, next, blocks, Actor(), Int64(), OptionalActor(), Int64(), Int64()));
            next += blocks;
        }

        int segmentCount = Count(Limits.MaximumSegments, 2 * sizeof(int), "segments");
        var segments = ImmutableArray.CreateBuilder<Segment>(segmentCount);
        int covered = 0;
        for (int i = 0; i < segmentCount; i++)
        {
            int range = Below(rangeCount, "range");
            int blocks = Below(next - covered + 1, "number of blocks of a segment");
            segments.Add(new Segment(i, range, covered, blocks));
            covered += blocks;
        }

        try
        {
            return new RangeMap(ranges.MoveToImmutable(), segments.MoveToImmutable(), revision, origin);
        }
        catch (ArgumentException error)
        {
            throw Bad($"the ranges don't fit: {error.Message}");
        }
    }

    /// <summary>Reports of shards.</summary>
    public ShardReport[] ShardReports()
    {
        var reports = new ShardReport[Count(Limits.MaximumShards, 29, "reports of shards")];
        for (int i = 0; i < reports.Length; i++)
        {
            int shard = Shard();
            double[] sums = new double[Count(Limits.MaximumSumsPerShard, sizeof(double), "sums")];
            for (int j = 0; j < sums.Length; j++)
            {
                sums[j] = Double();
            }

            long[] counts = new long[Count(Limits.MaximumSumsPerShard, sizeof(long), "counts")];
            for (int j = 0; j < counts.Length; j++)
            {
                counts[j] = Int64();
            }

            reports[i] = new ShardReport(shard, sums, counts, UInt64(), UInt64(), Bool());
        }

        return reports;
    }

    /// <summary>Reports of subtrees.</summary>
    public SubtreeReport[] SubtreeReports()
    {
        var reports = new SubtreeReport[Count(Limits.MaximumShards, 13, "reports of subtrees")];
        for (int i = 0; i < reports.Length; i++)
        {
            ShardRange subtree = Range();
            ulong[] digests = new ulong[Count(Limits.MaximumLayers, sizeof(ulong), "digests")];
            for (int j = 0; j < digests.Length; j++)
            {
                digests[j] = UInt64();
            }

            reports[i] = new SubtreeReport(subtree, digests, Bool());
        }

        return reports;
    }

    /// <summary>Sums over blocks.</summary>
    public BlockSum[] Squares()
    {
        var sums = new BlockSum[Count(Limits.MaximumSubtreesPerRange, 16, "sums of squares")];
        for (int i = 0; i < sums.Length; i++)
        {
            sums[i] = new BlockSum(Blocks(), Double());
        }

        return sums;
    }

    /// <summary>Which piece of a gradient.</summary>
    public PieceKey Key() => new(Int64(), Int64(), Int64(), Below(Limits.MaximumSegments, "segment"), Range(), Int64());

    /// <summary>A verdict.</summary>
    public Verdict Verdict()
        => new(Int64(), Int64(), new Decision((VerdictKind)Choice((byte)VerdictKind.Stop, "kind of verdict"), Int64(), Double(), Double(), Int64(), OptionalText()), Bytes(Limits.MaximumPolicyStateBytes));

    /// <summary>Copies of ranges.</summary>
    public HeldRange[] Held()
    {
        var values = new HeldRange[Count(Limits.MaximumRanges, 12, "copies of ranges")];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = new HeldRange(RangeNumber(), Int64());
        }

        return values;
    }

    /// <summary>Digests of rows, one for each shard.</summary>
    public ulong[] RowDigests()
    {
        ulong[] values = new ulong[Count(Limits.MaximumShards, sizeof(ulong), "digests of rows")];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = UInt64();
        }

        return values;
    }

    /// <summary>How actors stand.</summary>
    public NodeStatus[] Nodes()
    {
        var nodes = new NodeStatus[Count(Limits.MaximumNodes, 54, "nodes")];
        for (int i = 0; i < nodes.Length; i++)
        {
            nodes[i] = new NodeStatus(
                Actor(), (NodeCondition)Choice((byte)NodeCondition.Quarantined, "condition"), Text(), Int64(), Int64(), Int64(), Int64(), Int64(), Text());
        }

        return nodes;
    }

    /// <summary>Where servers take blocks.</summary>
    public PeerAddress[] Addresses()
    {
        var peers = new PeerAddress[Count(Limits.MaximumNodes, 9, "addresses")];
        for (int i = 0; i < peers.Length; i++)
        {
            peers[i] = new PeerAddress(Actor(), Text());
        }

        return peers;
    }

    /// <summary>Counters by name.</summary>
    public NamedCount[] Counters()
    {
        var counters = new NamedCount[Count(Limits.MaximumCounters, 12, "counters")];
        for (int i = 0; i < counters.Length; i++)
        {
            counters[i] = new NamedCount(Text(), Int64());
        }

        return counters;
    }

    /// <summary>A verdict that may be missing.</summary>
    public Verdict? OptionalVerdict() => Bool() ? Verdict() : null;

    /// <summary>Refuses bytes that belong to nothing.</summary>
    public readonly void End()
    {
        if (Left > 0)
        {
            throw Bad($"{Left} bytes are left over");
        }
    }

    private ShardRange Range(int end)
    {
        int start = Int32(), stop = Int32();
        return start >= 0 && start <= stop && stop <= end ? new ShardRange(start, stop) : throw Bad($"expected a range within [0,{end}), found [{start},{stop})");
    }

    private byte Choice(byte last, string what)
    {
        byte value = Byte();
        return value <= last ? value : throw Bad($"expected a {what} from 0 to {last}, found {value}");
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > Left)
        {
            throw Bad($"expected {count} more bytes, found {Left}");
        }

        ReadOnlySpan<byte> taken = _bytes.Slice(_next, count);
        _next += count;
        return taken;
    }

    private readonly WireException Bad(string what) => new($"at byte {_next} of {_bytes.Length}: {what}");
}
