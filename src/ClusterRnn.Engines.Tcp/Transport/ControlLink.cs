// A link for small messages. Sending encodes into a buffer and never waits; one loop writes whatever has gathered.
using System.Buffers;
using System.Text;
using System.Threading.Channels;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open control connection; both ends use the same class.</summary>
public sealed class ControlLink : Link
{
    private readonly IControlHandler _handler;
    private readonly Lock _gate = new();
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private ArrayBufferWriter<byte> _pending = new(4096), _writing = new(4096); // under the gate; the writing loop's own
    private readonly ArrayBufferWriter<byte> _meta = new(1024);
    private bool _accepts = true;
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
    {
        lock (_gate)
        {
            if (!_accepts || _pending.WrittenCount > Options.ControlQueueBytes)
            {
                return false;
            }

            _meta.ResetWrittenCount();
            MessageCodec.Write(from, to, message, _meta);
            if (_meta.WrittenCount > Limits.MaximumControlBytes)
            {
                throw new ArgumentException($"{message.GetType().Name} takes {_meta.WrittenCount} bytes, at most {Limits.MaximumControlBytes} may travel.", nameof(message));
            }

            Append(FrameKind.Control, _meta.WrittenSpan);
        }

        _wake.Writer.TryWrite(true);
        return true;
    }

    private void TellReceived() => _handler.Received(this, _arrived);

    private protected override void TellOpened() => _handler.Opened(this);

    private protected override void TellClosed(string reason) => _handler.Closed(this, reason);

    private protected override void Ping()
    {
        lock (_gate)
        {
            if (!_accepts || _pending.WrittenCount > 0)
            {
                return;
            }

            Append(FrameKind.Ping, []);
        }

        _wake.Writer.TryWrite(true);
    }

    private protected override void StopWriting()
    {
        lock (_gate)
        {
            if (_accepts)
            {
                _accepts = false;
                Append(FrameKind.Goodbye, Encoding.UTF8.GetBytes(ClosingReason.Length > 4096 ? ClosingReason[..4096] : ClosingReason));
            }
        }

        _wake.Writer.TryComplete();
    }

    private protected override Task StartWriting() => WriteAsync();

    private protected override async Task ReadLoopAsync()
    {
        while (await ReadHeaderAsync().ConfigureAwait(false) is { } header)
        {
            switch (header.Kind)
            {
                case FrameKind.Ping:
                    break;
                case FrameKind.Control:
                    _arrived = MessageCodec.Read(Frames.Bytes[..header.MetaBytes]);
                    ExpectFrame(0);
                    if (!Call(static link => ((ControlLink)link).TellReceived()))
                    {
                        return;
                    }

                    break;
                case FrameKind.Goodbye:
                    TakeGoodbye(header.MetaBytes);
                    return;
                default:
                    throw new WireException($"a {header.Kind} frame on a control link");
            }

            Frames.Consume(header.MetaBytes);
            ExpectFrame(0);
        }

        End("the peer closed the connection");
    }

    private protected override async Task WriteLoopAsync()
    {
        bool goesOn = true;
        while (goesOn)
        {
            goesOn = await _wake.Reader.WaitToReadAsync().ConfigureAwait(false);
            _wake.Reader.TryRead(out _);
            lock (_gate)
            {
                (_pending, _writing) = (_writing, _pending);
            }

            if (_writing.WrittenCount > 0 && !HasEnded)
            {
                BeginWrite(_writing.WrittenCount);
                await Stream.WriteAsync(_writing.WrittenMemory).ConfigureAwait(false);
                await Stream.FlushAsync().ConfigureAwait(false);
                BytesSent += _writing.WrittenCount;
                BeginWrite(0);
                if (_writing.Capacity > 1 << 20)
                {
                    _writing = new ArrayBufferWriter<byte>(4096);
                }

                _writing.ResetWrittenCount();
            }
        }
    }

    private void Append(FrameKind kind, ReadOnlySpan<byte> meta)
    {
        FrameHeader.Of(kind, 0, 0, meta, 0).Write(_pending.GetSpan(FrameHeader.Size));
        _pending.Advance(FrameHeader.Size);
        _pending.Write(meta);
    }
}
