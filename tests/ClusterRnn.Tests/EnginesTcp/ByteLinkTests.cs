// The port of an engine's library: nodes call it for bytes, a client for the status, nobody else for anything else.
using System.Buffers;
using System.Collections.Concurrent;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed class ByteLinkTests
{
    private static readonly NodeSecurity s_security = NodeSecurity.OfToken("a-token-for-this-test");
    private readonly ConcurrentQueue<string> _log = [];

    [Fact]
    public async Task A_client_asks_for_the_status_as_it_asks_a_coordinator()
    {
        await using KestrelListener<IBytesHandler> port = await OpenAsync();
        StatusReply reply = await StatusClient.AskAsync(AddressOf(port), s_security, TestContext.Current.CancellationToken);
        Assert.Equal("at work", reply.Activity);
        Assert.Empty(_log);
    }

    [Fact]
    public async Task Others_are_told_what_the_port_is_for()
    {
        await using KestrelListener<IBytesHandler> port = await OpenAsync();
        var worker = new NodeIdentity(PeerRole.Worker, -1);
        TransportException refused = await Assert.ThrowsAsync<TransportException>(() => ControlLink.ConnectAsync(
            AddressOf(port), worker, s_security, new ControlRecorder(), new TransportOptions(), TestContext.Current.CancellationToken));
        Assert.Contains("this is a bytes port, found a call for control", refused.Message, StringComparison.Ordinal);
        await Soon.UntilAsync(() => _log.Any(line => line.Contains("at the bytes port: this is a bytes port", StringComparison.Ordinal)), "a line in the log");
    }

    [Fact]
    public async Task A_link_that_ends_because_of_what_came_over_it_says_so()
    {
        var desk = new Desk();
        await using KestrelListener<IBytesHandler> port = await OpenAsync(desk);
        foreach (int bytes in new[] { 1, Limits.MaximumControlBytes + 1 })
        {
            desk.Ended = new TaskCompletionSource<(bool IsGarbled, string Reason)>(TaskCreationOptions.RunContinuationsAsynchronously);
            ByteLink link = await ByteLink.ConnectAsync(
                AddressOf(port), new NodeIdentity(PeerRole.Worker, 3), s_security, new Desk(), new TransportOptions(), TestContext.Current.CancellationToken);
            Assert.True(link.TrySend(new byte[bytes]));
            link.Close("that was all");
            (bool isGarbled, string reason) = await desk.Ended.Task.Within();
            Assert.Equal(bytes > 1, isGarbled);
            Assert.StartsWith("worker 3 at 127.0.0.1:", reason, StringComparison.Ordinal);
            Assert.Contains(bytes > 1 ? "a Control frame has at most" : "that was all", reason, StringComparison.Ordinal);
        }
    }

    private static HostPort AddressOf(KestrelListener<IBytesHandler> port) => new("127.0.0.1", port.LocalEndPoint.Port);

    private Task<KestrelListener<IBytesHandler>> OpenAsync(Desk? desk = null) => KestrelListener<IBytesHandler>.StartAsync(
        Ports.AnyPort,
        new Accepting<IBytesHandler>(
            LinkPurpose.Bytes,
            PeerRole.Coordinator,
            s_security,
            new TransportOptions(),
            offer => LinkAdmission<IBytesHandler>.Accept(desk ?? new Desk(), Math.Max(0, offer.Number)),
            _log.Enqueue),
        isSecure: false,
        new TransportOptions(),
        (stream, cut, peer, handler) => new ByteLink(stream, cut, peer, handler, new TransportOptions()),
        TestContext.Current.CancellationToken);

    /// <summary>Answers every question for the status.</summary>
    private sealed class Desk : IBytesHandler
    {
        public TaskCompletionSource<(bool IsGarbled, string Reason)> Ended { get; set; } = new();

        public void Opened(ByteLink link)
        {
        }

        public void Received(ByteLink link, ReadOnlySpan<byte> message)
        {
            if (message.Length > 1 && MessageCodec.Read(message).Message is StatusRequest)
            {
                var answer = new ArrayBufferWriter<byte>();
                MessageCodec.Write(ActorId.Coordinator, ActorId.Coordinator, new StatusReply(1, 2, "at work", 3, false, [], []), answer);
                link.TrySend(answer.WrittenSpan);
            }
        }

        public void Closed(ByteLink link, string reason) => Ended.TrySetResult((link.IsGarbled, reason));
    }
}
