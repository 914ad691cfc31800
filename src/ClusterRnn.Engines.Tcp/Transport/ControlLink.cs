// A link for the protocol's own messages.
using System.Buffers;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open control connection; both ends use the same class.</summary>
public sealed class ControlLink : MessageLink
{
    private readonly IControlHandler _handler;
    private readonly ArrayBufferWriter<byte> _meta = new(1024);
    private Envelope _arrived; // the reading loop's own

    internal ControlLink(Stream stream, Action cut, LinkPeer peer, IControlHandler handler, TransportOptions options)
        : base(stream, cut, peer, options)
        => _handler = handler;

    /// <summary>Calls a coordinator's control port.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="self">Who calls.</param>
    /// <param name="security">The caller's certificate and token, or null on one machine without a token.</param>
    /// <param name="handler">Takes what comes.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The open link, after <see cref="IControlHandler.Opened"/> was called; <see cref="Link.Number"/> and <see cref="Link.Answer"/> are what the coordinator gave.</returns>
    /// <exception cref="TransportException">The link could not be opened; the message names the address and why.</exception>
    public static async Task<ControlLink> ConnectAsync(
        HostPort address, NodeIdentity self, NodeSecurity? security, IControlHandler handler, TransportOptions options, CancellationToken cancellation)
    {
        (Stream stream, Action cut, LinkPeer peer) = await Dialing.OpenAsync(address, LinkPurpose.Control, ActorId.Coordinator, self, security, options, cancellation).ConfigureAwait(false);
        var link = new ControlLink(stream, cut, peer, handler, options);
        _ = link.RunAsync();
        await link.Opening.ConfigureAwait(false);
        return link;
    }

    /// <summary>Queues a message. Messages arrive in the order in which they were queued.</summary>
    /// <returns>False when the link is closing, or the peer has left <see cref="TransportOptions.ControlQueueBytes"/> unread.</returns>
    /// <exception cref="ArgumentException">The message does not travel.</exception>
    public bool TrySend(ActorId from, ActorId to, Message message)
        => TryQueue((Link: this, From: from, To: to, Message: message), static send => send.Link.Encode(send.From, send.To, send.Message));

    private protected override void Read(ReadOnlySpan<byte> message) => _arrived = MessageCodec.Read(message);

    private protected override void TellReceived() => _handler.Received(this, _arrived);

    private protected override void TellOpened() => _handler.Opened(this);

    private protected override void TellClosed(string reason) => _handler.Closed(this, reason);

    private ReadOnlySpan<byte> Encode(ActorId from, ActorId to, Message message)
    {
        _meta.ResetWrittenCount();
        MessageCodec.Write(from, to, message, _meta);
        return _meta.WrittenCount <= Limits.MaximumControlBytes
            ? _meta.WrittenSpan
            : throw new ArgumentException($"{message.GetType().Name} takes {_meta.WrittenCount} bytes, at most {Limits.MaximumControlBytes} may travel.", nameof(message));
    }
}
