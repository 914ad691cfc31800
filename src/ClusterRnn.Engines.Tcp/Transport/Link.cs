// What control and bulk links have in common: who is at the other end, the watch over silence and stalled frames, and an
// end that comes once, with a reason.
//
// A link is two loops, one reads and one writes. Whichever sees the end first states the reason and cuts the connection,
// which ends the other; when both are done the handler is told.
using System.Net;
using System.Net.Sockets;
using System.Text;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>An open connection to a peer.</summary>
public abstract class Link : IAsyncDisposable
{
    private const int WatchMilliseconds = 250;

    private readonly Action _cut;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string? _reason;
    private long _lastHeard, _lastWritten, _lastWatched;
    private long _readDeadline, _writeDeadline, _closeDeadline; // 0: none
    private volatile bool _isHandling;

    private protected Link(Stream stream, Action cut, LinkPeer peer, TransportOptions options)
    {
        Stream = stream;
        _cut = cut;
        Options = options;
        PeerRole = peer.Role;
        PeerNumber = peer.Number;
        Number = peer.OwnNumber;
        Remote = peer.Remote;
        AdvertisedBulk = peer.AdvertisedBulk;
        Answer = peer.Answer;
        Frames = new FrameBuffer(stream, Hear);
        _lastHeard = _lastWritten = _lastWatched = Environment.TickCount64;
    }

    /// <summary>What the peer is.</summary>
    public PeerRole PeerRole { get; }

    /// <summary>Its number.</summary>
    public int PeerNumber { get; }

    /// <summary>The peer as an actor; meaningless for a client.</summary>
    public ActorId Peer => new((ActorRole)PeerRole, PeerNumber);

    /// <summary>At the dialing end the number it was given, else the number of the actor that was called.</summary>
    public int Number { get; }

    /// <summary>Where the peer is.</summary>
    public IPEndPoint Remote { get; }

    /// <summary>At the accepting end HOST:PORT of the peer's bulk port, or empty.</summary>
    public string AdvertisedBulk { get; }

    /// <summary>At the dialing end what the acceptor's engine answered.</summary>
    public ReadOnlyMemory<byte> Answer { get; }

    /// <summary>Ends when the link is closed and its handler was told.</summary>
    public Task Completion => _closed.Task;

    /// <summary>Whether the link has closed or is about to.</summary>
    public bool IsClosing => Volatile.Read(ref _reason) is not null || Volatile.Read(ref _closeDeadline) != 0;

    /// <summary>The peer and where it is, for messages.</summary>
    public string PeerName => PeerRole == PeerRole.Client ? $"client at {Remote}" : $"{Peer} at {Remote}";

    /// <summary>Whether the link ended because of what the peer sent.</summary>
    public bool IsGarbled { get; private set; }

    /// <summary>Bytes that have come in, heads included.</summary>
    public long BytesReceived { get; private protected set; }

    /// <summary>Bytes that have gone out, heads included.</summary>
    public long BytesSent { get; private protected set; }

    private protected bool HasEnded => Volatile.Read(ref _reason) is not null;

    private protected Stream Stream { get; }

    private protected TransportOptions Options { get; }

    private protected FrameBuffer Frames { get; }

    private protected string ClosingReason { get; private set; } = "";

    /// <summary>Closes the link: what a control link holds is still sent, within <see cref="TransportOptions.CloseTimeout"/>; the peer is told why.</summary>
    public void Close(string reason)
    {
        if (IsClosing)
        {
            return;
        }

        ClosingReason = reason;
        Volatile.Write(ref _closeDeadline, Environment.TickCount64 + (long)Options.CloseTimeout.TotalMilliseconds);
        StopWriting();
    }

    /// <summary>Cuts the connection at once.</summary>
    public void Abort(string reason) => End(reason);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Close("the link was closed");
        await Completion.ConfigureAwait(false);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends when the handler was told that the link is open.</summary>
    internal Task Opening => _opened.Task;

    /// <summary>Runs the link until it is closed. Never throws.</summary>
    internal async Task RunAsync()
    {
        Task writing = Task.CompletedTask;
        var watch = new Timer(static link => ((Link)link!).Watch(), this, WatchMilliseconds, WatchMilliseconds);
        await using (watch.ConfigureAwait(false))
        {
            bool isOpen = Call(static link => link.TellOpened());
            _opened.SetResult();
            if (isOpen)
            {
                writing = StartWriting();
                await GuardAsync(static link => link.ReadLoopAsync()).ConfigureAwait(false);
                if (!HasEnded && IsClosing)
                {
                    await GuardAsync(static link => link.ReadAwayAsync()).ConfigureAwait(false);
                }
            }

            End("the connection ended");
            StopWriting();
            await writing.ConfigureAwait(false);
        }

        await Stream.DisposeAsync().ConfigureAwait(false);
        Call(static link => link.TellClosed(link._reason!));
        _closed.TrySetResult();
    }

    private protected abstract void TellOpened();

    private protected abstract void TellClosed(string reason);

    private protected abstract Task ReadLoopAsync();

    private protected abstract Task WriteLoopAsync();

    private protected abstract void StopWriting();

    private protected abstract Task StartWriting();

    private protected abstract void Ping();

    /// <summary>Hands something to the handler; if that fails the link ends, so that its owner learns of it.</summary>
    private protected bool Call(Action<Link> handler)
    {
        _isHandling = true;
        try
        {
            handler(this);
            return true;
        }
        catch (Exception error)
        {
            // A fault of this program, which must not pass for silence: everything here runs unobserved.
            End($"internal error while handling {PeerName}: {error}");
            return false;
        }
        finally
        {
            Hear();
            _isHandling = false;
        }
    }

    /// <summary>Notes why the link ends, the first time, and cuts the connection.</summary>
    private protected void End(string reason)
    {
        string whole = $"{PeerName}: {(Volatile.Read(ref _closeDeadline) != 0 ? "closed here: " + ClosingReason : reason)}";
        if (Interlocked.CompareExchange(ref _reason, whole, null) is null)
        {
            _cut();
        }
    }

    /// <summary>Something has come from the peer.</summary>
    private protected void Hear() => Volatile.Write(ref _lastHeard, Environment.TickCount64);

    /// <summary>A frame of this size begins to come in; 0 ends it.</summary>
    private protected void ExpectFrame(long bytes) => Volatile.Write(ref _readDeadline, bytes == 0 ? 0 : DeadlineFor(bytes));

    /// <summary>A frame of this size begins to go out; 0 ends it.</summary>
    private protected void BeginWrite(long bytes)
    {
        Volatile.Write(ref _writeDeadline, bytes == 0 ? 0 : DeadlineFor(bytes));
        Volatile.Write(ref _lastWritten, Environment.TickCount64);
    }

    /// <summary>Reads the next head and meta into <see cref="Frames"/>.</summary>
    /// <returns>The head, or null at the end of the stream; the meta is what <see cref="FrameBuffer.Bytes"/> begins with.</returns>
    private protected async ValueTask<FrameHeader?> ReadHeaderAsync()
    {
        if (Frames.Available == 0 && !await Frames.FillAsync(1).ConfigureAwait(false))
        {
            return null;
        }

        ExpectFrame(FrameHeader.Size);
        if (!await Frames.FillAsync(FrameHeader.Size).ConfigureAwait(false))
        {
            throw new WireException("the connection ended within a frame");
        }

        FrameHeader header = FrameHeader.Read(Frames.Bytes);
        Frames.Consume(FrameHeader.Size);
        ExpectFrame(header.MetaBytes + header.PayloadBytes + FrameHeader.Size);
        if (!await Frames.FillAsync(header.MetaBytes).ConfigureAwait(false))
        {
            throw new WireException("the connection ended within a frame");
        }

        header.CheckMeta(Frames.Bytes[..header.MetaBytes]);
        BytesReceived += FrameHeader.Size + header.MetaBytes;
        return header;
    }

    /// <summary>Ends the link as the peer asked.</summary>
    private protected void TakeGoodbye(int metaBytes) => End("it closed the link: " + Encoding.UTF8.GetString(Frames.Bytes[..metaBytes]));

    // The peer cuts the connection when it has read our goodbye. Cutting it first, with bytes of its own unread here, could
    // take the goodbye from it.
    private async Task ReadAwayAsync()
    {
        byte[] scratch = new byte[16 << 10];
        while (await Stream.ReadAsync(scratch).ConfigureAwait(false) > 0)
        {
        }
    }

    private long DeadlineFor(long bytes)
        => Environment.TickCount64 + (long)Options.FrameTimeout.TotalMilliseconds + (bytes * 1000 / Options.SlowestBytesPerSecond);

    /// <summary>The writing loop; a failure ends the link.</summary>
    private protected Task WriteAsync() => GuardAsync(static link => link.WriteLoopAsync());

    private async Task GuardAsync(Func<Link, Task> loop)
    {
        try
        {
            await loop(this).ConfigureAwait(false);
        }
        catch (WireException error)
        {
            IsGarbled = true;
            End(error.Message);
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException or OperationCanceledException or InvalidOperationException)
        {
            End($"the connection broke ({(error.InnerException as SocketException)?.SocketErrorCode.ToString() ?? error.Message})");
        }
    }

    private void Watch()
    {
        long now = Environment.TickCount64;
        if (now - Interlocked.Exchange(ref _lastWatched, now) > 4 * WatchMilliseconds)
        {
            // This process itself stood still: what the peer sent meanwhile has not been looked at yet.
            Hear();
            return;
        }

        long closeBy = Volatile.Read(ref _closeDeadline), readBy = Volatile.Read(ref _readDeadline), writeBy = Volatile.Read(ref _writeDeadline);
        long silence = now - Volatile.Read(ref _lastHeard);
        if (closeBy != 0 && now > closeBy)
        {
            End("closed here");
        }
        else if (_isHandling)
        {
            // Its own handler keeps the link from reading.
        }
        else if (readBy != 0 && now > readBy)
        {
            End("a frame that was begun does not arrive");
        }
        else if (silence > Options.SilenceTimeout.TotalMilliseconds)
        {
            End($"silent for {silence / 1000.0:0.0} s");
        }

        if (writeBy != 0 && now > writeBy)
        {
            End("it does not take what is sent to it");
        }
        else if (writeBy == 0 && now - Volatile.Read(ref _lastWritten) >= Options.PingInterval.TotalMilliseconds)
        {
            Ping();
        }
    }
}

/// <summary>What a handshake found out.</summary>
internal sealed record LinkPeer(PeerRole Role, int Number, int OwnNumber, IPEndPoint Remote, string AdvertisedBulk, ReadOnlyMemory<byte> Answer);
