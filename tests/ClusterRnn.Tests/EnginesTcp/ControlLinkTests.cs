using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesTcp;

public class ControlLinkTests
{
    private static readonly TransportOptions Options = new();

    [Fact]
    public async Task A_link_opens_with_numbers_offer_and_answer()
    {
        await using Ports ports = await Ports.OpenAsync();
        var recorder = new ControlRecorder();
        await using ControlLink link = await ControlLink.ConnectAsync(
            ports.ControlAddress, new NodeIdentity(PeerRole.Worker, -1, "worker-3:7071", new byte[] { 1, 2, 3 }), null, recorder, Options, default);
        Assert.Equal((17, PeerRole.Coordinator, ActorId.Coordinator), (link.Number, link.PeerRole, link.Peer));
        Assert.Equal(new byte[] { 4, 5 }, link.Answer.ToArray());
        ControlLink there = await (await ports.NextControlAsync()).Open;
        Assert.Equal((ActorId.Worker(17), "worker-3:7071"), (there.Peer, there.AdvertisedBulk));
        LinkOffer offer = Assert.Single(ports.Offers);
        Assert.Equal(new byte[] { 1, 2, 3 }, offer.Offer.ToArray());
        Assert.Equal((-1, ActorId.Coordinator), (offer.Number, offer.Target));
        Assert.Empty(ports.Log);
    }

    [Fact]
    public async Task Messages_arrive_both_ways_in_the_order_of_each_sender()
    {
        await using Ports ports = await Ports.OpenAsync();
        var recorder = new ControlRecorder();
        await using ControlLink link = await ConnectAsync(ports, recorder);
        ControlRecorder far = await ports.NextControlAsync();
        ControlLink there = await far.Open;
        const int Each = 2000;
        await Task.WhenAll(Enumerable.Range(0, 4).Select(sender => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                Assert.True(link.TrySend(ActorId.Worker(sender), ActorId.Coordinator, new Heartbeat(sender, i, 0)));
            }
        }))).Within();
        long[] next = new long[4];
        for (int i = 0; i < 4 * Each; i++)
        {
            Envelope envelope = await far.NextAsync();
            var heartbeat = (Heartbeat)envelope.Message;
            Assert.Equal(heartbeat.Epoch, envelope.From.Number);
            Assert.Equal(next[heartbeat.Epoch]++, heartbeat.Running);
        }

        var big = new DiscardPieces(1, 2, 3, [.. Enumerable.Range(0, Limits.MaximumAssignmentsPerStep).Select(i => (long)i)]);
        Assert.True(there.TrySend(ActorId.Coordinator, ActorId.Worker(3), big));
        Assert.Equal(big.Assignments, ((DiscardPieces)(await recorder.NextAsync()).Message).Assignments);
        Assert.Throws<ArgumentException>(() => link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Drain()));
    }

    [Fact]
    public async Task Closing_delivers_what_is_queued_and_why()
    {
        await using Ports ports = await Ports.OpenAsync();
        var recorder = new ControlRecorder();
        ControlLink link = await ConnectAsync(ports, recorder);
        ControlRecorder far = await ports.NextControlAsync();
        ControlLink there = await far.Open;
        for (int i = 0; i < 100; i++)
        {
            there.TrySend(ActorId.Coordinator, ActorId.Worker(3), new Shutdown(i, false, "done"));
        }

        there.Close("the job has ended");
        Assert.False(there.TrySend(ActorId.Coordinator, ActorId.Worker(3), new Shutdown(0, false, "late")));
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(i, ((Shutdown)(await recorder.NextAsync()).Message).Epoch);
        }

        Assert.Contains("the job has ended", await recorder.End, StringComparison.Ordinal);
        Assert.Contains("closed here: the job has ended", await far.End, StringComparison.Ordinal);
        await link.DisposeAsync().AsTask().Within();
        Assert.Equal((1, 1), (recorder.TimesClosed, far.TimesClosed));
        Assert.False(link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Leave()));
    }

    [Fact]
    public async Task A_peer_that_dies_is_noticed_at_once_at_both_ends()
    {
        await using Ports ports = await Ports.OpenAsync();
        await using var proxy = new Proxy(ports.ControlAddress);
        var recorder = new ControlRecorder();
        ControlLink link = await ControlLink.ConnectAsync(proxy.Address, Stranger.Worker, null, recorder, Options, default);
        ControlRecorder far = await ports.NextControlAsync();
        await far.Open;
        long began = Environment.TickCount64;
        proxy.Cut();
        Assert.StartsWith("coordinator at 127.0.0.1", await recorder.End, StringComparison.Ordinal);
        Assert.StartsWith("worker 3 at 127.0.0.1", await far.End, StringComparison.Ordinal);
        Assert.InRange(Environment.TickCount64 - began, 0, 1000);
        await link.Completion.Within();
    }

    [Fact]
    public async Task A_silent_peer_is_given_up_and_an_idle_one_is_not()
    {
        var options = new TransportOptions { PingInterval = TimeSpan.FromMilliseconds(200), SilenceTimeout = TimeSpan.FromMilliseconds(900) };
        await using Ports ports = await Ports.OpenAsync(options: options);
        var idle = new ControlRecorder();
        await using ControlLink link = await ControlLink.ConnectAsync(ports.ControlAddress, Stranger.Worker, null, idle, options, default);
        ControlRecorder farIdle = await ports.NextControlAsync();
        await using NetworkPeer silent = new(await Stranger.EnterAsync(ports.ControlAddress, LinkPurpose.Control));
        ControlRecorder farSilent = await ports.NextControlAsync();
        long began = Environment.TickCount64;
        Assert.Contains("silent for", await farSilent.End, StringComparison.Ordinal);
        Assert.InRange(Environment.TickCount64 - began, 600, 5000);
        Assert.True(link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Leave()));
        await farIdle.NextAsync();
        Assert.Equal((0, 0), (idle.TimesClosed, farIdle.TimesClosed));
    }

    [Fact]
    public async Task A_peer_that_does_not_read_does_not_make_the_queue_grow()
    {
        var options = new TransportOptions { ControlQueueBytes = 1 << 20, FrameTimeout = TimeSpan.FromMilliseconds(500), SlowestBytesPerSecond = 1 << 30 };
        await using Ports ports = await Ports.OpenAsync(options: options);
        await using NetworkPeer deaf = new(await Stranger.EnterAsync(ports.ControlAddress, LinkPurpose.Control));
        ControlRecorder far = await ports.NextControlAsync();
        ControlLink there = await far.Open;
        var message = new DiscardPieces(1, 2, 3, new long[Limits.MaximumAssignmentsPerStep]);
        int refused = 0;
        Task<string> end = far.End;
        while (!end.IsCompleted)
        {
            // The system's own buffers take some megabytes first.
            if (!there.TrySend(ActorId.Coordinator, ActorId.Worker(3), message) && !there.IsClosing)
            {
                refused++;
                await Task.Delay(5);
            }
        }

        Assert.True(refused > 0, "the queue took everything");
        Assert.Contains("does not take what is sent", await end, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failing_handler_ends_its_link_and_says_so()
    {
        await using Ports ports = await Ports.OpenAsync(onReceived: _ => throw new InvalidTimeZoneException("planted"));
        var recorder = new ControlRecorder();
        await using ControlLink link = await ConnectAsync(ports, recorder);
        link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Leave());
        Assert.Contains("InvalidTimeZoneException: planted", await (await ports.NextControlAsync()).End, StringComparison.Ordinal);
        await recorder.End;
    }

    [Theory]
    [InlineData("garbage")]
    [InlineData("oversized")]
    [InlineData("drip")]
    [InlineData("truncated")]
    [InlineData("unknown message")]
    [InlineData("block")]
    public async Task Whoever_sends_nonsense_after_the_handshake_loses_its_link_alone(string what)
    {
        var options = new TransportOptions { FrameTimeout = TimeSpan.FromMilliseconds(300) };
        await using Ports ports = await Ports.OpenAsync(options: options);
        var good = new ControlRecorder();
        await using ControlLink link = await ConnectAsync(ports, good);
        ControlRecorder farGood = await ports.NextControlAsync();
        await using NetworkPeer bad = new(await Stranger.EnterAsync(ports.ControlAddress, LinkPurpose.Control));
        ControlRecorder far = await ports.NextControlAsync();
        byte[] head = new byte[FrameHeader.Size];
        (string expected, byte[] bytes) = what switch
        {
            "garbage" => ("expected a frame", [.. Enumerable.Repeat((byte)7, 200)]),
            "oversized" => ("at most", Head(new FrameHeader(FrameKind.Control, 0, 0, 0, 0, Limits.MaximumControlBytes + 1, 0))),
            "drip" => ("does not arrive", Head(new FrameHeader(FrameKind.Control, 0, 0, 0, 0, 100, 0))),
            "truncated" => ("ended within a frame", Head(new FrameHeader(FrameKind.Control, 0, 0, 0, 0, 100, 0))),
            "unknown message" => ("no message has the tag 771", [.. Head(FrameHeader.Of(FrameKind.Control, 0, 0, new byte[] { 3, 3 }, 0)), 3, 3]),
            _ => ("Bulk frame on a control link", Head(FrameHeader.Of(FrameKind.Bulk, 0, 0, [], 0))),
        };
        await bad.Stream.WriteAsync(bytes);
        if (what == "truncated")
        {
            bad.Stream.Socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
        }

        string reason = await far.End;
        Assert.Contains(expected, reason, StringComparison.Ordinal);
        Assert.StartsWith("worker 3 at 127.0.0.1", reason, StringComparison.Ordinal);
        await Stranger.HearAsync(bad.Stream);
        Assert.True(link.TrySend(ActorId.Worker(3), ActorId.Coordinator, new Leave()));
        await farGood.NextAsync();

        byte[] Head(FrameHeader header)
        {
            header.Write(head);
            return head;
        }
    }

    private static async Task<ControlLink> ConnectAsync(Ports ports, ControlRecorder recorder)
    {
        ControlLink link = await ControlLink.ConnectAsync(ports.ControlAddress, Stranger.Worker, null, recorder, Options, default);
        Assert.True(recorder.IsOpen, "the handler knows the link before its caller does");
        return link;
    }
}

/// <summary>A bare connection that is closed at the end of a test.</summary>
internal sealed class NetworkPeer(System.Net.Sockets.NetworkStream stream) : IAsyncDisposable
{
    public System.Net.Sockets.NetworkStream Stream => stream;

    public ValueTask DisposeAsync() => stream.DisposeAsync();
}
