// A link for an engine's own library: whole messages of bytes, in the same frames and under the same watch as control messages.
// Whoever is at the other end has shown a certificate of the job and its token before the first byte of it is read.
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open connection for messages that this project did not write.</summary>
internal sealed class ByteLink : MessageLink
{
    private readonly IBytesHandler _handler;
    private int _arrived; // bytes of the message that is handed on, the reading loop's own

    public ByteLink(Stream stream, Action cut, LinkPeer peer, IBytesHandler handler, TransportOptions options)
        : base(stream, cut, peer, options)
        => _handler = handler;

    /// <summary>Calls a node's port.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="self">Who calls.</param>
    /// <param name="security">The caller's certificate and token.</param>
    /// <param name="handler">Takes what comes.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The open link, after <see cref="IBytesHandler.Opened"/> was called.</returns>
    /// <exception cref="TransportException">The link could not be opened; the message names the address and why.</exception>
    public static async Task<ByteLink> ConnectAsync(
        HostPort address, NodeIdentity self, NodeSecurity security, IBytesHandler handler, TransportOptions options, CancellationToken cancellation)
    {
        (Stream stream, Action cut, LinkPeer peer) = await Dialing.OpenAsync(address, LinkPurpose.Bytes, ActorId.Coordinator, self, security, options, cancellation).ConfigureAwait(false);
        var link = new ByteLink(stream, cut, peer, handler, options);
        _ = link.RunAsync();
        await link.Opening.ConfigureAwait(false);
        return link;
    }

    /// <summary>Queues a message. Messages arrive in the order in which they were queued.</summary>
    /// <returns>False when the link is closing, or the peer has left <see cref="TransportOptions.ControlQueueBytes"/> unread.</returns>
    public bool TrySend(ReadOnlySpan<byte> message)
        => TryQueue(message, static bytes => bytes);

    private protected override void Read(ReadOnlySpan<byte> message) => _arrived = message.Length;

    private protected override void TellReceived() => _handler.Received(this, Frames.Bytes[.._arrived]);

    private protected override void TellOpened() => _handler.Opened(this);

    private protected override void TellClosed(string reason) => _handler.Closed(this, reason);
}
