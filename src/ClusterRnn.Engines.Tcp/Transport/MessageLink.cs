// A link for small messages. Sending encodes into a buffer and never waits; one loop writes whatever has gathered.
using System.Buffers;
using System.Text;
using System.Threading.Channels;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open connection whose frames are messages without blocks, in the order in which they were queued.</summary>
public abstract class MessageLink : Link
{
    private readonly Lock _gate = new();
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private ArrayBufferWriter<byte> _pending = new(4096), _writing = new(4096); // under the gate; the writing loop's own
    private bool _accepts = true;

    private protected MessageLink(Stream stream, Action cut, LinkPeer peer, TransportOptions options)
        : base(stream, cut, peer, options)
    {
    }

    /// <summary>Queues a message.</summary>
    /// <param name="message">The message.</param>
    /// <param name="encode">Gives the message's bytes; called within the queue's lock.</param>
    /// <returns>False when the link is closing, or the peer has left <see cref="TransportOptions.ControlQueueBytes"/> unread.</returns>
    private protected bool TryQueue<TMessage>(TMessage message, Encoder<TMessage> encode)
        where TMessage : allows ref struct
    {
        lock (_gate)
        {
            if (!_accepts || _pending.WrittenCount > Options.ControlQueueBytes)
            {
                return false;
            }

            Append(FrameKind.Control, encode(message));
        }

        _wake.Writer.TryWrite(true);
        return true;
    }

    /// <summary>Looks at a message before it is handed on; what is wrong with it ends the link.</summary>
    /// <exception cref="WireException">It is none.</exception>
    private protected abstract void Read(ReadOnlySpan<byte> message);

    /// <summary>Hands on what <see cref="Read"/> looked at.</summary>
    private protected abstract void TellReceived();

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
                    Read(Frames.Bytes[..header.MetaBytes]);
                    ExpectFrame(0);
                    if (!Call(static link => ((MessageLink)link).TellReceived()))
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

    /// <summary>Gives a message's bytes.</summary>
    private protected delegate ReadOnlySpan<byte> Encoder<in TMessage>(TMessage message)
        where TMessage : allows ref struct;
}
