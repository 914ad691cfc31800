// A link for blocks. Either end sends; a block goes from the sender's memory to the socket and from the socket to the
// receiver's memory with nothing in between, and each chunk of it is summed while it is in cache. Each direction has a
// thread of its own, which blocks in the system (see BlockingStream): the tasks here never wait.
using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open bulk connection; both ends use the same class.</summary>
public sealed class BulkLink : Link
{
    // A payload up to this size is copied behind its head: one write instead of three.
    private const int SmallBytes = 8 << 10;

    private readonly IBulkHandler _handler;
    private readonly object _gate = new();
    private readonly Queue<Outgoing> _queue = new(); // under the gate, as the next
    private bool _accepts = true;
    private readonly ArrayBufferWriter<byte> _head = new(1024);
    private readonly NativeWindow _sending = new(), _receiving = new();
    private Envelope _arrived; // the reading loop's own, as the next four
    private FrameHeader _header;
    private nint _destination;
    private bool _isDamaged;
    private long _damaged;

    internal BulkLink(Stream stream, Action cut, LinkPeer peer, IBulkHandler handler, TransportOptions options)
        : base(stream, cut, peer, options)
        => _handler = handler;

    /// <summary>Blocks that arrived with a wrong checksum: at most one, since it closes the link.</summary>
    public long DamagedBlocks => Volatile.Read(ref _damaged);

    /// <summary>Calls a node's bulk port.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="target">The actor that is meant.</param>
    /// <param name="self">Who calls.</param>
    /// <param name="security">The caller's certificate and token, or null on one machine without a token.</param>
    /// <param name="handler">Takes what comes.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The open link, after <see cref="IBulkHandler.Opened"/> was called.</returns>
    /// <exception cref="TransportException">The link could not be opened; the message names the address and why.</exception>
    public static async Task<BulkLink> ConnectAsync(
        HostPort address, ActorId target, NodeIdentity self, NodeSecurity? security, IBulkHandler handler, TransportOptions options, CancellationToken cancellation)
    {
        (Stream stream, Action cut, LinkPeer peer) = await Dialing.OpenAsync(address, LinkPurpose.Bulk, target, self, security, options, cancellation).ConfigureAwait(false);
        var link = new BulkLink(stream, cut, peer, handler, options);
        _ = BlockingStream.OnThread(link.RunAsync);
        await link.Opening.ConfigureAwait(false);
        return link;
    }

    /// <summary>Queues a message and its block. They arrive in the order in which they were queued.</summary>
    /// <param name="from">Who sends it.</param>
    /// <param name="to">Who gets it.</param>
    /// <param name="message">The message.</param>
    /// <param name="epoch">The epoch, for the frame's head.</param>
    /// <param name="step">The step, for the frame's head.</param>
    /// <param name="payload">The block; it must stay as it is until <paramref name="completed"/> is called. Null when there is none.</param>
    /// <param name="floats">How many floats it has, at most <see cref="Limits.MaximumPayloadBytes"/> / 4.</param>
    /// <param name="completed">Called once with <paramref name="state"/> and whether all of it was handed to the system; not when false is returned.</param>
    /// <param name="state">Passed on.</param>
    /// <returns>False when the link is closing or its queue is full.</returns>
    /// <exception cref="ArgumentException">The message does not travel, or the block is too large.</exception>
    public unsafe bool TrySend(ActorId from, ActorId to, Message message, long epoch, long step, float* payload, long floats, Action<object?, bool>? completed, object? state)
    {
        if (floats < 0 || floats > Limits.MaximumPayloadBytes / sizeof(float) || (floats > 0 && payload is null))
        {
            throw new ArgumentOutOfRangeException(nameof(floats), floats, $"A block has at most {Limits.MaximumPayloadBytes / sizeof(float)} floats.");
        }

        if (!MessageCodec.Travels(message))
        {
            throw new ArgumentException($"{message.GetType().Name} does not travel between actors.", nameof(message));
        }

        return !IsClosing && Enqueue(new Outgoing(FrameKind.Bulk, new Envelope(from, to, message), epoch, step, (nint)payload, floats * sizeof(float), completed, state));
    }

    /// <summary>Queues a message without a block.</summary>
    /// <inheritdoc cref="TrySend(ActorId, ActorId, Message, long, long, float*, long, Action{object?, bool}?, object?)"/>
    public unsafe bool TrySend(ActorId from, ActorId to, Message message, long epoch, long step) => TrySend(from, to, message, epoch, step, null, 0, null, null);

    private protected override void TellOpened() => _handler.Opened(this);

    private protected override void TellClosed(string reason) => _handler.Closed(this, reason);

    private protected override void Ping()
    {
        if (!IsClosing)
        {
            Enqueue(new Outgoing(FrameKind.Ping, default, 0, 0, 0, 0, null, null));
        }
    }

    private protected override void StopWriting()
    {
        lock (_gate)
        {
            _accepts = false;
            Monitor.PulseAll(_gate);
        }
    }

    private protected override Task StartWriting() => BlockingStream.OnThread(WriteAsync);

    private protected override async Task ReadLoopAsync()
    {
        while (await ReadHeaderAsync().ConfigureAwait(false) is { } header)
        {
            _header = header;
            switch (header.Kind)
            {
                case FrameKind.Ping:
                    break;
                case FrameKind.Bulk:
                    _arrived = MessageCodec.Read(Frames.Bytes[..header.MetaBytes]);
                    break;
                case FrameKind.Goodbye:
                    TakeGoodbye(header.MetaBytes);
                    return;
                default:
                    throw new WireException($"a {header.Kind} frame on a bulk link");
            }

            Frames.Consume(header.MetaBytes);
            if (header.PayloadBytes > 0 && !await ReadPayloadAsync(header.PayloadBytes).ConfigureAwait(false))
            {
                return;
            }

            ExpectFrame(0);
            // A block that the handler did not want has been read away.
            if (header.Kind == FrameKind.Bulk && (header.PayloadBytes == 0 || _destination != 0) && !Call(static link => ((BulkLink)link).TellArrived()))
            {
                return;
            }

            _destination = 0;
        }

        End("the peer closed the connection");
    }

    private protected override async Task WriteLoopAsync()
    {
        try
        {
            while (WaitForNext(out Outgoing next))
            {
                bool isSent = false;
                try
                {
                    await WriteAsync(next).ConfigureAwait(false);
                    isSent = true;
                }
                finally
                {
                    Complete(next, isSent);
                }
            }

            if (!HasEnded)
            {
                await WriteGoodbyeAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            // Nothing more is queued after this, so every send is completed or refused before the end is told.
            StopWriting();
            RefuseQueued();
        }
    }

    private bool Enqueue(in Outgoing next)
    {
        lock (_gate)
        {
            if (!_accepts || _queue.Count >= Options.BulkQueueBlocks)
            {
                return false;
            }

            _queue.Enqueue(next);
            Monitor.Pulse(_gate);
            return true;
        }
    }

    // False when the link closes: what is still queued then is refused.
    private bool WaitForNext(out Outgoing next)
    {
        lock (_gate)
        {
            while (_accepts && _queue.Count == 0)
            {
                Monitor.Wait(_gate);
            }

            next = default;
            return _accepts && _queue.TryDequeue(out next);
        }
    }

    private void RefuseQueued()
    {
        while (true)
        {
            Outgoing dropped;
            lock (_gate)
            {
                if (!_queue.TryDequeue(out dropped))
                {
                    return;
                }
            }

            Complete(dropped, false);
        }
    }

    private void Complete(in Outgoing sent, bool isSent)
    {
        try
        {
            sent.Completed?.Invoke(sent.State, isSent);
        }
        catch (Exception error)
        {
            // A fault of this program, which must not pass for silence: nobody waits for this loop.
            End($"internal error after sending to {PeerName}: {error}");
        }
    }

    private async Task WriteGoodbyeAsync()
    {
        byte[] reason = Encoding.UTF8.GetBytes(ClosingReason.Length > 4096 ? ClosingReason[..4096] : ClosingReason);
        byte[] frame = new byte[FrameHeader.Size + reason.Length];
        FrameHeader.Of(FrameKind.Goodbye, 0, 0, reason, 0).Write(frame);
        reason.CopyTo(frame.AsSpan(FrameHeader.Size));
        await Stream.WriteAsync(frame).ConfigureAwait(false);
        await Stream.FlushAsync().ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteAsync(Outgoing next)
    {
        bool isSmall = next.PayloadBytes <= SmallBytes;
        Encode(next, isSmall);
        BeginWrite(_head.WrittenCount + next.PayloadBytes);
        await Stream.WriteAsync(_head.WrittenMemory).ConfigureAwait(false);
        if (!isSmall)
        {
            uint crc = 0;
            for (long done = 0; done < next.PayloadBytes;)
            {
                int count = (int)Math.Min(Options.BulkChunkBytes, next.PayloadBytes - done);
                Memory<byte> chunk = _sending.Over(next.Payload + (nint)done, count);
                crc = Crc32C.Append(crc, chunk.Span);
                await Stream.WriteAsync(chunk).ConfigureAwait(false);
                done += count;
            }

            BytesSent += next.PayloadBytes + FrameHeader.TrailerBytes;
            await Stream.WriteAsync(Trailer(crc)).ConfigureAwait(false);
        }

        BeginWrite(0);
    }

    private unsafe void Encode(in Outgoing next, bool withPayload)
    {
        // The head holds the meta's length and checksum, so the meta is written first, behind a gap.
        _head.ResetWrittenCount();
        _head.GetSpan(FrameHeader.Size);
        _head.Advance(FrameHeader.Size);
        if (next.Kind == FrameKind.Bulk)
        {
            try
            {
                MessageCodec.Write(next.Envelope.From, next.Envelope.To, next.Envelope.Message, _head);
            }
            catch (ArgumentException error)
            {
                throw new WireException($"{next.Envelope.Message.GetType().Name} can't be sent: {error.Message}");
            }
        }

        int metaBytes = _head.WrittenCount - FrameHeader.Size;
        if (metaBytes > Limits.MaximumMetaBytes)
        {
            throw new WireException($"{next.Envelope.Message.GetType().Name} takes {metaBytes} bytes, at most {Limits.MaximumMetaBytes} go over a bulk link");
        }

        Span<byte> whole = MemoryMarshal.AsMemory(_head.WrittenMemory).Span;
        FrameHeader.Of(next.Kind, next.Epoch, next.Step, whole[FrameHeader.Size..], next.PayloadBytes).Write(whole);
        if (withPayload && next.PayloadBytes > 0)
        {
            var payload = new ReadOnlySpan<byte>((void*)next.Payload, (int)next.PayloadBytes);
            _head.Write(payload);
            _head.Write(BitConverter.GetBytes(Crc32C.Compute(payload)));
        }

        BytesSent += _head.WrittenCount;
    }

    private ReadOnlyMemory<byte> Trailer(uint crc)
    {
        _head.ResetWrittenCount();
        BinaryPrimitives.WriteUInt32LittleEndian(_head.GetSpan(FrameHeader.TrailerBytes), crc);
        _head.Advance(FrameHeader.TrailerBytes);
        return _head.WrittenMemory;
    }

    private async Task<bool> ReadPayloadAsync(long payloadBytes)
    {
        if (payloadBytes % sizeof(float) != 0)
        {
            throw new WireException($"a block of {payloadBytes} bytes is no whole number of floats");
        }

        _destination = 0;
        if (!Call(static link => ((BulkLink)link).AskForMemory()))
        {
            return false;
        }

        bool isWhole = false;
        byte[]? scratch = _destination == 0 ? ArrayPool<byte>.Shared.Rent(64 << 10) : null;
        try
        {
            isWhole = await ReceiveAsync(payloadBytes, scratch).ConfigureAwait(false);
        }
        finally
        {
            if (scratch is not null)
            {
                ArrayPool<byte>.Shared.Return(scratch);
            }

            if (!isWhole && _destination != 0)
            {
                Call(static link => ((BulkLink)link).TellDropped());
            }
        }

        return isWhole;
    }

    // Fills the destination, or reads the block away through the scratch memory, and checks it.
    private async Task<bool> ReceiveAsync(long payloadBytes, byte[]? scratch)
    {
        uint crc = 0;
        for (long done = 0; done < payloadBytes;)
        {
            int count = (int)Math.Min(scratch?.Length ?? Options.BulkChunkBytes, payloadBytes - done);
            Memory<byte> chunk = scratch is null ? _receiving.Over(_destination + (nint)done, count) : scratch.AsMemory(0, count);
            int read = Frames.CopyTo(chunk.Span);
            if (read == 0)
            {
                read = await Stream.ReadAsync(chunk).ConfigureAwait(false);
                Hear();
            }

            if (read == 0)
            {
                throw new WireException("the connection ended within a block");
            }

            crc = Crc32C.Append(crc, chunk.Span[..read]);
            done += read;
        }

        BytesReceived += payloadBytes + FrameHeader.TrailerBytes;
        if (!await Frames.FillAsync(FrameHeader.TrailerBytes).ConfigureAwait(false))
        {
            throw new WireException("the connection ended within a block");
        }

        bool matches = BinaryPrimitives.ReadUInt32LittleEndian(Frames.Bytes) == crc;
        Frames.Consume(FrameHeader.TrailerBytes);
        if (!matches)
        {
            _isDamaged = true;
            Interlocked.Increment(ref _damaged);
            Close($"a block of {payloadBytes} bytes from {PeerName} does not match its checksum: it was damaged on its way and is dropped");
        }

        return matches;
    }

    private unsafe void AskForMemory() => _destination = (nint)_handler.Reserve(this, _arrived, _header.Epoch, _header.Step, _header.PayloadBytes / sizeof(float));

    private unsafe void TellArrived() => _handler.Arrived(this, _arrived, (float*)_destination, _header.PayloadBytes / sizeof(float));

    private unsafe void TellDropped() => _handler.Dropped(this, _arrived, (float*)_destination, _header.PayloadBytes / sizeof(float), _isDamaged);

    private readonly record struct Outgoing(FrameKind Kind, Envelope Envelope, long Epoch, long Step, nint Payload, long PayloadBytes, Action<object?, bool>? Completed, object? State);
}
