// Which messages travel, and how each is written.
//
// One entry a message: its tag, its fields in order, and the same fields read back. Tags are the format: a tag that was
// used is never given to another message, a changed entry needs a new Limits.WireVersion. Numbers that name memory of a
// host (Payload) don't travel; the receiver's host puts its own in. tests/ClusterRnn.Tests/Protocol/Wire holds the bytes
// of one sample of each, and refuses a message that is neither here nor listed as host-local.
using System.Buffers;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol.Wire;

/// <summary>Messages as bytes. Little-endian, fixed tags, no type names.</summary>
public static class MessageCodec
{
    private static readonly Entry[] Entries =
    [
        Of<WorkerHello>(1, (w, m) => w.Int32(m.ProtocolVersion).Name(m.JobId).Name(m.DataSha256), (ref r) => new WorkerHello(r.Int32(), r.Text(), r.Text())),
        Of<ServerHello>(2, (w, m) => w.Int32(m.ProtocolVersion).Name(m.JobId), (ref r) => new ServerHello(r.Int32(), r.Text())),
        Of<Welcome>(3, (w, m) => w.Int64(m.Epoch).Map(m.Map), (ref r) => new Welcome(r.Int64(), r.Map())),
        Of<Refused>(4, (w, m) => w.Reason(m.Reason), (ref r) => new Refused(r.Text())),
        Of<Rejoin>(5, (w, m) => w.Int64(m.Epoch), (ref r) => new Rejoin(r.Int64())),
        Of<Heartbeat>(6, (w, m) => w.Int64(m.Epoch).Int64(m.Running).Int64(m.Refused), (ref r) => new Heartbeat(r.Int64(), r.Int64(), r.Int64())),
        Of<Leave>(7, (_, _) => { }, (ref _) => new Leave()),
        Of<Released>(8, (w, m) => w.Int64(m.Epoch), (ref r) => new Released(r.Int64())),
        Of<ClaimEpoch>(9, (w, m) => w.Int64(m.Epoch).Map(m.Map), (ref r) => new ClaimEpoch(r.Int64(), r.Map())),
        Of<EpochAccepted>(
            10,
            (w, m) => w.Int64(m.Epoch).Int64(m.Revision).Held(m.Held).OptionalVerdict(m.Last),
            (ref r) => new EpochAccepted(r.Int64(), r.Int64(), r.Held(), r.OptionalVerdict())),
        Of<EpochRefused>(11, (w, m) => w.Int64(m.Epoch), (ref r) => new EpochRefused(r.Int64())),
        Of<Shutdown>(12, (w, m) => w.Int64(m.Epoch).Bool(m.Failed).Reason(m.Reason), (ref r) => new Shutdown(r.Int64(), r.Bool(), r.Text())),
        Of<Alive>(13, (w, m) => w.Int64(m.Epoch), (ref r) => new Alive(r.Int64())),
        Of<Assign>(
            20,
            (w, m) => w.Int64(m.Epoch).Int64(m.Version).Byte((byte)m.Kind).Int64(m.Assignment).Range(m.Range).Bool(m.IgnoreCachedState).Int64(m.Revision),
            (ref r) => new Assign(r.Int64(), r.Int64(), r.Work(), r.Int64(), r.Range(), r.Bool(), r.Int64())),
        Of<ShardsReported>(
            21,
            (w, m) => w.Int64(m.Epoch).Int64(m.Version).Byte((byte)m.Kind).Int64(m.Assignment).Reports(m.Shards).Reports(m.Subtrees).Int64(m.ComputeTicks),
            (ref r) => new ShardsReported(r.Int64(), r.Int64(), r.Work(), r.Int64(), r.ShardReports(), r.SubtreeReports(), r.Int64())),
        Of<AssignmentAbandoned>(22, (w, m) => w.Int64(m.Epoch).Int64(m.Assignment), (ref r) => new AssignmentAbandoned(r.Int64(), r.Int64())),
        Of<Piece>(23, (w, m) => w.Key(m.Key), (ref r) => new Piece(r.Key(), 0)),
        Of<StatePiece>(
            24,
            (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int64(m.Fence).Int32(m.Shard).Int64(m.Assignment),
            (ref r) => new StatePiece(r.Int64(), r.Int64(), r.Int64(), r.Shard(), r.Int64(), 0)),
        Of<Prepared>(
            25,
            (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int32(m.Attempt).Int32(m.Range).Squares(m.Squares).Bool(m.Finite).UInt64(m.Digest).Assignments(m.Assignments)
                .Int64(m.Fence).OptionalActor(m.Replica),
            (ref r) => new Prepared(r.Int64(), r.Int64(), r.Int32(), r.RangeNumber(), r.Squares(), r.Bool(), r.UInt64(), r.Assignments(), r.Int64(), r.OptionalActor())),
        Of<DiscardPieces>(26, (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int32(m.Attempt).Assignments(m.Assignments), (ref r) => new DiscardPieces(r.Int64(), r.Int64(), r.Int32(), r.Assignments())),
        Of<CoverageRequest>(27, (w, m) => w.Int64(m.Epoch).Int64(m.Step), (ref r) => new CoverageRequest(r.Int64(), r.Int64())),
        Of<Coverage>(
            28,
            (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int32(m.Attempt).Int32(m.Range).Ranges(m.Missing),
            (ref r) => new Coverage(r.Int64(), r.Int64(), r.Int32(), r.RangeNumber(), r.Ranges())),
        Of<Verdict>(29, (w, m) => w.Verdict(m), (ref r) => r.Verdict()),
        Of<Applied>(30, (w, m) => w.Int64(m.Epoch).Int64(m.Version).Int32(m.Range).Int64(m.Fence), (ref r) => new Applied(r.Int64(), r.Int64(), r.RangeNumber(), r.Int64())),
        Of<ReducedCopy>(
            31,
            (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int32(m.Attempt).Int32(m.Range).Int64(m.Fence).UInt64(m.Digest),
            (ref r) => new ReducedCopy(r.Int64(), r.Int64(), r.Int32(), r.RangeNumber(), r.Int64(), r.UInt64(), 0)),
        Of<ReplicaHolds>(
            32,
            (w, m) => w.Int64(m.Epoch).Int64(m.Step).Int32(m.Attempt).Int32(m.Range),
            (ref r) => new ReplicaHolds(r.Int64(), r.Int64(), r.Int32(), r.RangeNumber())),
        Of<ReadParameters>(40, (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Fence).Int64(m.Version), (ref r) => new ReadParameters(r.Int64(), r.RangeNumber(), r.Int64(), r.Int64())),
        Of<ParametersArrived>(41, (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Version), (ref r) => new ParametersArrived(r.Int64(), r.RangeNumber(), r.Int64())),
        Of<ReadState>(
            42,
            (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Fence).Int64(m.Version).Shards(m.Shards),
            (ref r) => new ReadState(r.Int64(), r.RangeNumber(), r.Int64(), r.Int64(), r.Shards())),
        Of<StateArrived>(43, (w, m) => w.Int64(m.Epoch).Int64(m.Version).Shards(m.Shards), (ref r) => new StateArrived(r.Int64(), r.Int64(), r.Shards(), 0)),
        Of<ReadRefused>(44, (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Version), (ref r) => new ReadRefused(r.Int64(), r.RangeNumber(), r.Int64())),
        Of<TakeSnapshot>(45, (w, m) => w.Int64(m.Epoch).Int64(m.Version), (ref r) => new TakeSnapshot(r.Int64(), r.Int64())),
        Of<SnapshotTaken>(46, (w, m) => w.Int64(m.Epoch).Int64(m.Version).Int32(m.Range), (ref r) => new SnapshotTaken(r.Int64(), r.Int64(), r.RangeNumber())),
        Of<RangeCopy>(
            50,
            (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Fence).Int64(m.Version),
            (ref r) => new RangeCopy(r.Int64(), r.RangeNumber(), r.Int64(), r.Int64(), 0)),
        Of<RangeFilled>(
            51,
            (w, m) => w.Int64(m.Epoch).Int32(m.Range).Int64(m.Fence).Int64(m.Version),
            (ref r) => new RangeFilled(r.Int64(), r.RangeNumber(), r.Int64(), r.Int64())),
        Of<StatusRequest>(60, (_, _) => { }, (ref _) => new StatusRequest()),
        Of<StatusReply>(
            61,
            (w, m) => w.Int64(m.Epoch).Int64(m.Version).Reason(m.Activity).Int64(m.StepTicks).Bool(m.Ended).Nodes(m.Nodes).Counters(m.Counters),
            (ref r) => new StatusReply(r.Int64(), r.Int64(), r.Text(), r.Int64(), r.Bool(), r.Nodes(), r.Counters())),
        Of<AddressBook>(70, (w, m) => w.Addresses(m.Peers), (ref r) => new AddressBook(r.Addresses())),
        Of<RangePushed>(71, (w, m) => w.Int64(m.Epoch).Int64(m.Version).Int32(m.Range), (ref r) => new RangePushed(r.Int64(), r.Int64(), r.RangeNumber(), 0)),
        Of<ReadRows>(
            72,
            (w, m) => w.Int32(m.Part).Int64(m.Version).Int32(m.FirstRow).Int32(m.Rows),
            (ref r) => new ReadRows(r.Below(3, "part of the data"), r.Int64(), r.Below(int.MaxValue, "row"), r.Below(int.MaxValue, "number of rows"))),
        Of<RowsArrived>(
            73,
            (w, m) => w.Int32(m.Part).Int64(m.Version).Int32(m.FirstRow).Int32(m.Rows).Int64(m.Pass).Int64(m.StepInPass)
                .Int32(m.Time).Int32(m.TargetTime).Int64(m.StartTime).Int32(m.CaptureTime).Bool(m.ResetState),
            (ref r) => new RowsArrived(
                r.Below(3, "part of the data"), r.Int64(), r.Below(int.MaxValue, "row"), r.Below(int.MaxValue, "number of rows"), r.Int64(), r.Int64(),
                r.Below(int.MaxValue, "number of time steps"), r.Below(int.MaxValue, "number of time steps"), r.Int64(), r.Int32(), r.Bool(), 0)),
        Of<RowsRefused>(74, (w, m) => w.Int32(m.Part).Int64(m.Version).Reason(m.Reason), (ref r) => new RowsRefused(r.Below(3, "part of the data"), r.Int64(), r.Text())),
    ];

    private static readonly Entry?[] ByTag = IndexByTag();
    private static readonly Dictionary<Type, Entry> ByType = IndexByType();

    private delegate T Decode<out T>(ref WireReader reader);

    /// <summary>The messages that travel, by tag.</summary>
    public static IReadOnlyList<Type> Travelling { get; } = [.. Entries.Select(e => e.Type)];

    /// <summary>The messages that a host tells its own actor; writing one is an error of the program.</summary>
    public static IReadOnlyList<Type> HostLocal { get; } =
    [
        typeof(Drain), typeof(ActorDown), typeof(StopRequested), typeof(SegmentComputed), typeof(Computed), typeof(SegmentReduced),
        typeof(StatesStored), typeof(VerdictApplied), typeof(RangeSnapshotted), typeof(CheckpointSaved), typeof(CheckpointFailed),
        typeof(RangeLoaded), typeof(CheckpointRestored), typeof(RestoreFailed),
    ];

    /// <summary>Whether a message travels.</summary>
    public static bool Travels(Message message) => ByType.ContainsKey(message.GetType());

    /// <summary>Appends an envelope.</summary>
    /// <exception cref="ArgumentException">The message does not travel, or a list in it is longer than <see cref="Limits"/> allows.</exception>
    public static void Write(ActorId from, ActorId to, Message message, IBufferWriter<byte> into)
    {
        if (!ByType.TryGetValue(message.GetType(), out Entry? entry))
        {
            throw new ArgumentException($"{message.GetType().Name} does not travel between actors.", nameof(message));
        }

        WireWriter writer = new WireWriter(into).UInt16(entry.Tag).Actor(from).Actor(to);
        entry.Write(writer, message);
    }

    /// <summary>Reads the envelope that <see cref="Write"/> appended; <paramref name="frame"/> holds nothing else.</summary>
    /// <exception cref="WireException">The bytes are no envelope.</exception>
    public static Envelope Read(ReadOnlySpan<byte> frame)
    {
        var reader = new WireReader(frame);
        ushort tag = reader.UInt16();
        if (tag >= ByTag.Length || ByTag[tag] is not { } entry)
        {
            throw new WireException($"no message has the tag {tag}");
        }

        ActorId from = reader.Actor(), to = reader.Actor();
        Message message = entry.Read(ref reader);
        reader.End();
        return new Envelope(from, to, message);
    }

    private static Entry Of<T>(ushort tag, Action<WireWriter, T> write, Decode<T> read)
        where T : Message
        => new(tag, typeof(T), (writer, message) => write(writer, (T)message), (ref reader) => read(ref reader));

    private static Entry?[] IndexByTag()
    {
        var index = new Entry?[Entries.Max(e => e.Tag) + 1];
        foreach (Entry entry in Entries)
        {
            index[entry.Tag] = index[entry.Tag] is null ? entry : throw new InvalidOperationException($"The tag {entry.Tag} is given twice.");
        }

        return index;
    }

    private static Dictionary<Type, Entry> IndexByType()
    {
        var index = new Dictionary<Type, Entry>();
        foreach (Entry entry in Entries)
        {
            index.Add(entry.Type, entry);
        }

        return index;
    }

    private sealed record Entry(ushort Tag, Type Type, Action<WireWriter, Message> Write, Decode<Message> Read);
}
