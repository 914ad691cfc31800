using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesTcp;

public class BulkLinkTests
{
    private static readonly TransportOptions Options = new();

    [Fact]
    public async Task Blocks_of_any_size_go_both_ways_at_once()
    {
        await using Ports ports = await Ports.OpenAsync();
        using var near = new BulkRecorder();
        await using BulkLink link = await ConnectAsync(ports.BulkAddress, near);
        using BulkRecorder far = await ports.NextBulkAsync();
        BulkLink there = await far.Open;
        long[] sizes = [1, 2, 1000, 2047, 2048, 2049, 65_536, 65_537, 3_000_001, 0, 5];
        using var block = new Block(4_000_000);
        int completed = 0;
        for (int i = 0; i < sizes.Length; i++)
        {
            Assert.True(block.Send(link, i, sizes[i], isSent => Interlocked.Add(ref completed, isSent ? 1 : 1000)));
            Assert.True(block.Send(there, 100 + i, sizes[^(i + 1)], isSent => Interlocked.Add(ref completed, isSent ? 1 : 1000)));
        }

        for (int i = 0; i < sizes.Length; i++)
        {
            (Envelope envelope, float[] values) = await far.NextAsync();
            Assert.Equal((i, ActorId.Worker(3)), (((StatePiece)envelope.Message).Step, envelope.From));
            Assert.True(block.Holds(values, sizes[i]), $"block {i}");
            (envelope, values) = await near.NextAsync();
            Assert.Equal(100 + i, ((StatePiece)envelope.Message).Step);
            Assert.True(block.Holds(values, sizes[^(i + 1)]), $"block {i} back");
        }

        Assert.Equal((9, 10), (far.LastEpoch, far.LastStep));
        await Soon.UntilAsync(() => Volatile.Read(ref completed) == 2 * sizes.Length, "every completion");
        Assert.True(link.BytesSent > 4 * sizes.Sum());
        Assert.Empty(ports.Log);
    }

    [Fact]
    public async Task A_flipped_bit_costs_the_block_and_the_link_and_a_new_one_works()
    {
        await using Ports ports = await Ports.OpenAsync();
        await using var proxy = new Proxy(ports.BulkAddress) { FlipAt = 300_000 };
        using var near = new BulkRecorder();
        BulkLink link = await ConnectAsync(proxy.Address, near);
        using BulkRecorder far = await ports.NextBulkAsync();
        BulkLink there = await far.Open;
        using var block = new Block(200_000);
        block.Send(link, 1, 200_000, null);
        block.Send(link, 2, 200_000, null);
        (Envelope envelope, bool isDamaged) = await far.NextDroppedAsync();
        Assert.Equal((1, true), (((StatePiece)envelope.Message).Step, isDamaged));
        Assert.Contains("800000 bytes from worker 3 at 127.0.0.1", await far.End, StringComparison.Ordinal);
        Assert.Contains("does not match its checksum", await near.End, StringComparison.Ordinal);
        Assert.Equal(1, there.DamagedBlocks);

        using var again = new BulkRecorder();
        await using BulkLink second = await ConnectAsync(proxy.Address, again);
        using BulkRecorder farAgain = await ports.NextBulkAsync();
        block.Send(second, 1, 200_000, null);
        Assert.True(block.Holds((await farAgain.NextAsync()).Values, 200_000));
    }

    // A head or a message that is damaged is not acted on either.
    [Theory]
    [InlineData(10)]
    [InlineData(30)]
    [InlineData(50)]
    public async Task A_flipped_bit_in_head_or_message_ends_the_link(int place)
    {
        await using Ports ports = await Ports.OpenAsync();
        await using var proxy = new Proxy(ports.BulkAddress);
        using var near = new BulkRecorder();
        BulkLink link = await ConnectAsync(proxy.Address, near);
        using BulkRecorder far = await ports.NextBulkAsync();
        await far.Open;
        proxy.FlipAt = proxy.FromCaller + place;
        using var block = new Block(1000);
        block.Send(link, 1, 1000, null);
        Assert.Contains("checksum", await far.End, StringComparison.Ordinal);
        await near.End;
    }

    [Fact]
    public async Task A_block_that_is_not_wanted_is_read_away()
    {
        await using Ports ports = await Ports.OpenAsync();
        using var near = new BulkRecorder();
        await using BulkLink link = await ConnectAsync(ports.BulkAddress, near);
        using BulkRecorder far = await ports.NextBulkAsync();
        far.RefusesMemory = true;
        using var block = new Block(500_000);
        block.Send(link, 1, 500_000, null);
        block.Send(link, 2, 10, null);
        link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Leave(), 0, 0);
        (Envelope envelope, float[] values) = await far.NextAsync();
        Assert.IsType<Leave>(envelope.Message);
        Assert.Empty(values);
    }

    [Fact]
    public async Task A_connection_that_breaks_within_a_block_gives_its_memory_back_and_completes_every_send()
    {
        await using Ports ports = await Ports.OpenAsync();
        await using NetworkPeer peer = new(await Stranger.EnterAsync(ports.BulkAddress, LinkPurpose.Bulk));
        using BulkRecorder far = await ports.NextBulkAsync();
        BulkLink there = await far.Open;
        byte[] meta = ClusterRnn.Tests.Protocol.Wire.WireSamples.Encode(ActorId.Worker(3), ActorId.Coordinator, Block.Message(5));
        byte[] head = new byte[FrameHeader.Size];
        FrameHeader.Of(FrameKind.Bulk, 0, 5, meta, 4_000_000).Write(head);
        await peer.Stream.WriteAsync((byte[])[.. head, .. meta, .. new byte[5000]]);
        using var block = new Block(8_000_000);
        int refused = 0, sent = 0;
        for (int i = 0; i < 5; i++)
        {
            Assert.True(block.Send(there, i, 8_000_000, isSent => Interlocked.Increment(ref isSent ? ref sent : ref refused)));
        }

        await peer.DisposeAsync();
        (Envelope envelope, bool isDamaged) = await far.NextDroppedAsync();
        Assert.Equal((5, false), (((StatePiece)envelope.Message).Step, isDamaged));
        Assert.Contains("worker 3 at 127.0.0.1", await far.End, StringComparison.Ordinal);
        Assert.Equal((5, 0), (refused, sent));
        Assert.False(block.Send(there, 9, 10, null));
    }

    [Fact]
    public async Task A_block_that_drips_is_given_up()
    {
        var options = new TransportOptions { FrameTimeout = TimeSpan.FromMilliseconds(300), SlowestBytesPerSecond = 1 << 30 };
        await using Ports ports = await Ports.OpenAsync(options: options);
        await using NetworkPeer peer = new(await Stranger.EnterAsync(ports.BulkAddress, LinkPurpose.Bulk));
        using BulkRecorder far = await ports.NextBulkAsync();
        byte[] meta = ClusterRnn.Tests.Protocol.Wire.WireSamples.Encode(ActorId.Worker(3), ActorId.Coordinator, Block.Message(5));
        byte[] head = new byte[FrameHeader.Size];
        FrameHeader.Of(FrameKind.Bulk, 0, 5, meta, 4_000_000).Write(head);
        await peer.Stream.WriteAsync((byte[])[.. head, .. meta]);
        using var stop = new CancellationTokenSource();
        Task drip = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    await peer.Stream.WriteAsync(new byte[1], stop.Token);
                    await Task.Delay(50, stop.Token);
                }
            }
            catch (Exception error) when (error is IOException or OperationCanceledException)
            {
                return;
            }
        });
        Assert.Contains("does not arrive", await far.End, StringComparison.Ordinal);
        await stop.CancelAsync();
        await drip.Within();
    }

    [Fact]
    public async Task A_frame_larger_than_any_or_of_part_of_a_float_is_refused_before_memory_is_reserved()
    {
        await using Ports ports = await Ports.OpenAsync();
        foreach ((long bytes, string expected) in new[] { (Limits.MaximumPayloadBytes + 4, "at most"), (6L, "no whole number of floats") })
        {
            await using NetworkPeer peer = new(await Stranger.EnterAsync(ports.BulkAddress, LinkPurpose.Bulk));
            using BulkRecorder far = await ports.NextBulkAsync();
            byte[] meta = ClusterRnn.Tests.Protocol.Wire.WireSamples.Encode(ActorId.Worker(3), ActorId.Coordinator, Block.Message(5));
            byte[] head = new byte[FrameHeader.Size];
            FrameHeader.Of(FrameKind.Bulk, 0, 5, meta, bytes).Write(head);
            await peer.Stream.WriteAsync((byte[])[.. head, .. meta]);
            Assert.Contains(expected, await far.End, StringComparison.Ordinal);
            Assert.Equal(0, far.LastStep);
        }
    }

    [Fact]
    public async Task Too_large_a_block_or_a_hosts_own_message_is_an_error_of_the_caller()
    {
        await using Ports ports = await Ports.OpenAsync();
        using var near = new BulkRecorder();
        await using BulkLink link = await ConnectAsync(ports.BulkAddress, near);
        using var block = new Block(16);
        Assert.Throws<ArgumentOutOfRangeException>(() => block.Send(link, 1, (Limits.MaximumPayloadBytes / 4) + 1, null));
        Assert.Throws<ArgumentException>(() => link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Drain(), 0, 0));
    }

    private static async Task<BulkLink> ConnectAsync(HostPort address, BulkRecorder recorder)
    {
        BulkLink link = await BulkLink.ConnectAsync(address, ActorId.Coordinator, Stranger.Worker, null, recorder, Options, default);
        Assert.True(recorder.IsOpen, "the handler knows the link before its caller does");
        return link;
    }

    /// <summary>Native memory that stays as it is while it is sent.</summary>
    internal sealed unsafe class Block : IDisposable
    {
        private readonly NativeBuffer<float> _values;

        public Block(int floats)
        {
            _values = new NativeBuffer<float>(floats);
            for (int i = 0; i < floats; i++)
            {
                _values.Pointer[i] = i * 0.5f;
            }
        }

        public static StatePiece Message(long step) => new(9, step, 1, 2, 3, 0);

        public bool Send(BulkLink link, long step, long floats, Action<bool>? completed)
            => link.TrySend(ActorId.Worker(3), ActorId.Coordinator, Message(step), 9, 10, _values.Pointer, floats, completed is null ? null : (_, isSent) => completed(isSent), null);

        public bool Send(BulkLink link, Message message, long floats, Action<object?, bool> completed)
            => link.TrySend(ActorId.Worker(3), ActorId.Coordinator, message, 9, 10, _values.Pointer, floats, completed, null);

        public bool Holds(float[] found, long floats) => found.AsSpan().SequenceEqual(_values.AsSpan(0, (int)floats));

        public void Dispose() => _values.Dispose();
    }
}

/// <summary>What counts the whole process's allocations runs while no other test does.</summary>
[CollectionDefinition("Alone", DisableParallelization = true)]
public sealed class Alone;

[Collection("Alone")]
public class BulkAllocationTests
{
    [Fact]
    public async Task Sending_allocates_next_to_nothing()
    {
        await using Ports ports = await Ports.OpenAsync();
        using var near = new BulkRecorder();
        await using BulkLink link = await BulkLink.ConnectAsync(ports.BulkAddress, ActorId.Coordinator, Stranger.Worker, null, near, new TransportOptions(), default);
        using BulkRecorder far = await ports.NextBulkAsync();
        far.RefusesMemory = true;
        using var block = new BulkLinkTests.Block(100_000);
        Message message = BulkLinkTests.Block.Message(1);
        int completed = 0;
        Action<object?, bool> done = (_, _) => Interlocked.Increment(ref completed);
        await SendAsync(50);
        long before = GC.GetTotalAllocatedBytes(true);
        await SendAsync(200);
        // The receiver makes a record of each message and waits for parts of it; the blocks take 400,000 bytes each.
        Assert.InRange(GC.GetTotalAllocatedBytes(true) - before, 0, 200L * 4000);

        async Task SendAsync(int count)
        {
            int target = Volatile.Read(ref completed) + count;
            for (int i = 0; i < count; i++)
            {
                Assert.True(block.Send(link, message, 100_000, done));
            }

            await Soon.UntilAsync(() => Volatile.Read(ref completed) == target, "sending");
        }
    }
}
