// Carries the connections to one node's address through a faulty network. A caller is known by the opening of its link, which
// says role and number; nobody's connection is closed by a cut.
//
//     read a piece -> when is it due? -> queue -> wait until then, and for the end of a cut -> damage it -> send it
using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>A caller as its link's opening names it.</summary>
/// <param name="Role">What it is.</param>
/// <param name="Number">Its number; -1 when it has none yet.</param>
public readonly record struct ProxyCaller(PeerRole Role, int Number);

/// <summary>Carries connections to one address.</summary>
public sealed class FaultyProxy : IAsyncDisposable
{
    private const int PieceBytes = 64 << 10;
    private const int QueuedPieces = 256;

    // An opening without TLS: magic 4, version 2, kind 1, spare 1, length 4; protocol version 4, purpose 1, role 1, number 4.
    private const int RoleAt = 17, NumberAt = 18, OpeningBytes = 22;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly FaultyNetwork _network;
    private readonly IPEndPoint _to;
    private readonly NodeName _owner;
    private readonly Func<ProxyCaller, NodeName?> _who;
    private readonly Func<IPAddress, NodeName?>? _whoIsAt;
    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _ending = new();
    private readonly List<Task> _connections = []; // under its own lock
    private readonly Task _accepting;
    private long _heldBytes;

    /// <summary>Listens.</summary>
    /// <param name="network">What holds between whom.</param>
    /// <param name="listen">Where; port 0 takes a free one.</param>
    /// <param name="to">Where the bytes go.</param>
    /// <param name="owner">Who listens there.</param>
    /// <param name="who">Names a caller by the opening of its link, as soon as it is known; asked again as long as it is not.</param>
    /// <param name="whoIsAt">Names a caller by its address instead, where links are encrypted.</param>
    /// <exception cref="SocketException">The address can't be listened on.</exception>
    public FaultyProxy(FaultyNetwork network, IPEndPoint listen, IPEndPoint to, NodeName owner, Func<ProxyCaller, NodeName?> who, Func<IPAddress, NodeName?>? whoIsAt = null)
    {
        _network = network;
        _to = to;
        _owner = owner;
        _who = who;
        _whoIsAt = whoIsAt;
        _listener = new TcpListener(listen);
        _listener.Start();
        Address = _listener.LocalEndpoint.ToString()!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public string Address { get; }

    /// <summary>Bytes that a cut has held back or swallowed.</summary>
    public long HeldBytes => Interlocked.Read(ref _heldBytes);

    /// <summary>Closes every connection. Conditions that hold bytes back must have ended.</summary>
    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        _listener.Stop();
        await _accepting.WaitAsync(s_patience).ConfigureAwait(false);
        Task[] connections;
        lock (_connections)
        {
            connections = [.. _connections];
        }

        await Task.WhenAll(connections).WaitAsync(s_patience).ConfigureAwait(false);
        _ending.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket from = await _listener.AcceptSocketAsync(_ending.Token).ConfigureAwait(false);
                lock (_connections)
                {
                    _connections.RemoveAll(connection => connection.IsCompleted);
                    _connections.Add(CarryAsync(from));
                }
            }
        }
        catch (Exception error) when (IsTheEnd(error))
        {
            // Nobody is let in any more.
        }
    }

    private async Task CarryAsync(Socket from)
    {
        using Socket near = from;
        using var far = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        using var closing = CancellationTokenSource.CreateLinkedTokenSource(_ending.Token);
        try
        {
            byte[] opening = new byte[PieceBytes];
            int read = await near.ReceiveAsync(opening, closing.Token).ConfigureAwait(false);
            ProxyCaller? caller = read >= OpeningBytes
                ? new ProxyCaller((PeerRole)opening[RoleAt], BinaryPrimitives.ReadInt32LittleEndian(opening.AsSpan(NumberAt))) : null;
            NodeName? known = _whoIsAt?.Invoke(((IPEndPoint)near.RemoteEndPoint!).Address);
            await far.ConnectAsync(_to, closing.Token).ConfigureAwait(false);
            Task there = PumpAsync(near, far, opening.AsMemory(0, read), () => (Who(), _owner), closing.Token);
            Task back = PumpAsync(far, near, default, () => (_owner, Who()), closing.Token);
            await Task.WhenAny(there, back).ConfigureAwait(false);
            await closing.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(there, back).ConfigureAwait(false);

            NodeName? Who() => known ??= caller is { } named ? _who(named) : null;
        }
        catch (Exception error) when (IsTheEnd(error))
        {
            // Either end is gone.
        }
    }

    private async Task PumpAsync(Socket from, Socket to, Memory<byte> first, Func<(NodeName? From, NodeName? To)> way, CancellationToken closing)
    {
        var queue = Channel.CreateBounded<(Memory<byte> Piece, long Due)>(QueuedPieces);
        Task writing = WriteAsync(to, queue.Reader, way, closing);
        try
        {
            long lineFree = 0; // when the line has sent what went before
            for (Memory<byte> piece = first; ; piece = default)
            {
                if (piece.IsEmpty)
                {
                    byte[] room = new byte[PieceBytes];
                    int read = await from.ReceiveAsync(room, closing).ConfigureAwait(false);
                    if (read == 0)
                    {
                        break;
                    }

                    piece = room.AsMemory(0, read);
                }

                (NodeName? sender, NodeName? receiver) = way();
                (TimeSpan late, TimeSpan sending) = _network.DelaysOf(sender, receiver, piece.Length);
                lineFree = Math.Max(lineFree, Stopwatch.GetTimestamp()) + (long)(sending.TotalSeconds * Stopwatch.Frequency);
                await queue.Writer.WriteAsync((piece, lineFree + (long)(late.TotalSeconds * Stopwatch.Frequency)), closing).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (IsTheEnd(error))
        {
            // Either end is gone.
        }

        queue.Writer.TryComplete();
        await writing.ConfigureAwait(false);
    }

    private async Task WriteAsync(Socket to, ChannelReader<(Memory<byte> Piece, long Due)> queue, Func<(NodeName? From, NodeName? To)> way, CancellationToken closing)
    {
        try
        {
            await foreach ((Memory<byte> piece, long due) in queue.ReadAllAsync(closing).ConfigureAwait(false))
            {
                if (Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due) is var left && left > TimeSpan.FromMilliseconds(1))
                {
                    await Task.Delay(left, closing).ConfigureAwait(false);
                }

                if (await HeldAsync(piece.Length).ConfigureAwait(false))
                {
                    continue; // swallowed
                }

                (NodeName? sender, NodeName? receiver) = way();
                _network.DamageIfDue(sender, receiver, piece.Span);
                for (int sent = 0; sent < piece.Length;)
                {
                    sent += await to.SendAsync(piece[sent..], closing).ConfigureAwait(false);
                }
            }

            await HeldAsync(0).ConfigureAwait(false); // nor does the other side hear of an end behind a cut
        }
        catch (Exception error) when (IsTheEnd(error))
        {
            // Either end is gone.
        }

        async Task<bool> HeldAsync(int bytes)
        {
            while (true)
            {
                (NodeName? sender, NodeName? receiver) = way();
                if (_network.CutOn(sender, receiver) is not { } cut)
                {
                    return false;
                }

                Interlocked.Add(ref _heldBytes, bytes);
                if (cut.Swallows && bytes > 0)
                {
                    return true;
                }

                await cut.Over.Task.WaitAsync(_ending.Token).ConfigureAwait(false);
            }
        }
    }

    private static bool IsTheEnd(Exception error) => error is OperationCanceledException or SocketException or ObjectDisposedException or ChannelClosedException;
}
