using System.Buffers;
using System.Globalization;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Protocol.Wire;

public class CodecTests
{
    [Fact]
    public void Every_message_travels_or_is_listed_as_a_hosts_own()
    {
        Assert.Empty(MessageCodec.Travelling.Intersect(MessageCodec.HostLocal));
        Assert.Equal(WireSamples.Messages, MessageCodec.Travelling.Concat(MessageCodec.HostLocal).OrderBy(t => t.Name, StringComparer.Ordinal));
        Assert.All(MessageCodec.HostLocal, type =>
        {
            Message message = WireSamples.Plain().Message(type);
            Assert.False(MessageCodec.Travels(message));
            Assert.Throws<ArgumentException>(() => WireSamples.Encode(ActorId.Coordinator, ActorId.Coordinator, message));
        });
    }

    [Fact]
    public void Every_message_comes_back_as_it_was()
        => Prop.ForAll(ArbMap.Default.ArbFor<int>(), seed =>
        {
            var samples = WireSamples.Of(new Random(seed));
            foreach (Type type in MessageCodec.Travelling)
            {
                Message message = samples.Message(type);
                ActorId from = samples.Actor(), to = samples.Actor();
                byte[] bytes = WireSamples.Encode(from, to, message);
                Envelope back = MessageCodec.Read(bytes);
                Assert.Equal((from, to), (back.From, back.To));
                Assert.True(WireSamples.Same(message, back.Message), $"{message} came back as {back.Message}");
                Assert.Equal(bytes, WireSamples.Encode(back.From, back.To, back.Message));
            }
        }).QuickCheckThrowOnFailure();

    // The format is a promise to other builds of the same wire version: a message that is new gets a line, one that has
    // changed needs a new Limits.WireVersion as well.
    // A rollback that the policy did not ask for is written as it was before there were others.
    [Fact]
    public void A_rollback_without_a_course_is_read_and_written_as_ever()
    {
        byte[] bytes = Convert.FromHexString("2100000094da7f1d05040000000000000080000000000000000c000000c3a9e28692e697a56162637a");
        ReadOnlySpan<byte> rest = bytes;
        Assert.True(JournalCodec.TryRead(ref rest, out JournalRecord? record));
        Assert.True(record is RollbackRecord { Epoch: 4, Version: 128, PolicyState.IsEmpty: true });
        Assert.Equal(bytes, WireSamples.Encode(record!));
    }

    [Fact]
    public void The_bytes_are_those_of_the_golden_file()
    {
        string file = Path.Combine(Repository.Root, "tests", "ClusterRnn.Tests", "Protocol", "Wire", $"wire-version-{Limits.WireVersion}.txt");
        string[] lines =
        [
            .. MessageCodec.Travelling.OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => Line(t, WireSamples.Encode(ActorId.Worker(7), ActorId.Server(2), WireSamples.Plain().Message(t)))),
            .. WireSamples.Records.Select(t => Line(t, WireSamples.Encode(WireSamples.Plain().Record(t)))),
        ];
        string[] golden = File.ReadAllLines(file);
        Assert.True(golden.SequenceEqual(lines), $"{file}: expected without\n{string.Join('\n', golden.Except(lines))}\nand with, in the order of names, messages before records\n{string.Join('\n', lines.Except(golden))}");

        static string Line(Type type, byte[] bytes) => $"{type.Name} {Convert.ToHexStringLower(bytes)}";
    }

    [Fact]
    public void A_list_is_held_against_its_limit_and_the_bytes_left_before_it_is_made()
    {
        byte[] bytes = WireSamples.Encode(ActorId.Worker(1), ActorId.Coordinator, new DiscardPieces(1, 2, 3, [4]));
        int count = bytes.Length - 12;
        foreach (int claimed in new[] { -1, int.MaxValue, Limits.MaximumAssignmentsPerStep + 1, Limits.MaximumAssignmentsPerStep, 2 })
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(count), claimed);
            long before = GC.GetAllocatedBytesForCurrentThread();
            WireException error = Assert.Throws<WireException>(() => MessageCodec.Read(bytes));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16_384);
            Assert.Contains(claimed.ToString(CultureInfo.InvariantCulture), error.Message, StringComparison.Ordinal);
        }

        Assert.Throws<WireException>(() => MessageCodec.Read([.. WireSamples.Encode(ActorId.Worker(1), ActorId.Coordinator, new Leave()), 0]));
        Assert.Throws<WireException>(() => MessageCodec.Read([]));
        Assert.Contains("999", Assert.Throws<WireException>(() => MessageCodec.Read([0xE7, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_reason_that_is_too_long_loses_its_end_and_a_name_is_not_sent()
    {
        string text = string.Concat(Enumerable.Repeat("日本語😀", 40_000));
        var refused = (Refused)MessageCodec.Read(WireSamples.Encode(ActorId.Coordinator, ActorId.Worker(1), new Refused(text))).Message;
        Assert.StartsWith(refused.Reason[..^1], text, StringComparison.Ordinal);
        Assert.InRange(refused.Reason.Length, 5000, Limits.MaximumTextBytes / 3);
        Assert.Throws<ArgumentException>(() => WireSamples.Encode(ActorId.Worker(1), ActorId.Coordinator, new WorkerHello(1, text, "")));
    }

    [Fact]
    public void A_journal_comes_back_and_stops_before_a_torn_tail()
    {
        JournalRecord[] records = [.. WireSamples.Records.Select((t, i) => WireSamples.Of(new Random(i)).Record(t))];
        byte[] whole = [.. records.SelectMany(WireSamples.Encode)];
        int last = WireSamples.Encode(records[^1]).Length;
        Assert.Equal((records.Length, 0), ReadAll(whole, records));
        for (int cut = 1; cut < last; cut++)
        {
            Assert.Equal((records.Length - 1, last - cut), ReadAll(whole[..^cut], records));
            byte[] zeroed = [.. whole];
            zeroed.AsSpan(whole.Length - cut).Clear();
            if (!zeroed.AsSpan().SequenceEqual(whole))
            {
                Assert.Equal((records.Length - 1, last), ReadAll(zeroed, records));
            }

            byte[] flipped = [.. whole];
            flipped[^cut] ^= 0x10;
            Assert.Equal((records.Length - 1, last), ReadAll(flipped, records));
        }

        // Zeros behind the last record are a tail the file system left.
        Assert.Equal((records.Length, 100), ReadAll([.. whole, .. new byte[100]], records));

        static (int Read, int Left) ReadAll(byte[] bytes, JournalRecord[] expected)
        {
            ReadOnlySpan<byte> rest = bytes;
            int count = 0;
            while (JournalCodec.TryRead(ref rest, out JournalRecord? record))
            {
                Assert.True(WireSamples.Same(expected[count++], record));
            }

            return (count, rest.Length);
        }
    }

    [Fact]
    public void A_head_comes_back_and_one_flipped_bit_shows()
    {
        byte[] meta = [1, 2, 3];
        FrameHeader header = FrameHeader.Of(FrameKind.Bulk, 5, 77, meta, 4096);
        byte[] bytes = new byte[FrameHeader.Size];
        header.Write(bytes);
        Assert.Equal(header, FrameHeader.Read(bytes));
        header.CheckMeta(meta);
        Assert.Throws<WireException>(() => header.CheckMeta([1, 2, 4]));
        for (int bit = 0; bit < 8 * bytes.Length; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Throws<WireException>(() => FrameHeader.Read(bytes));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Theory]
    [InlineData(FrameKind.Ping, 1, 0)]
    [InlineData(FrameKind.Control, Limits.MaximumControlBytes + 1, 0)]
    [InlineData(FrameKind.Control, 10, 4)]
    [InlineData(FrameKind.Bulk, Limits.MaximumMetaBytes + 1, 4)]
    [InlineData(FrameKind.Bulk, 10, Limits.MaximumPayloadBytes + 4)]
    [InlineData(FrameKind.Bulk, 10, -4)]
    [InlineData(FrameKind.Bulk, -1, 4)]
    [InlineData((FrameKind)9, 0, 0)]
    public void A_head_with_a_right_checksum_and_wrong_lengths_is_refused(FrameKind kind, int metaBytes, long payloadBytes)
    {
        byte[] bytes = new byte[FrameHeader.Size];
        new FrameHeader(kind, 0, 0, 0, payloadBytes, metaBytes, 0).Write(bytes);
        Assert.Throws<WireException>(() => FrameHeader.Read(bytes));
    }
}
