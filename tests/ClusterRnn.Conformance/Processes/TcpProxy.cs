// A network that the test can cut and damage: bytes go through it from node to node. Nobody's connection is closed by a cut;
// what is said meanwhile is either gone for good (Swallow) or comes late, all at once (Hold), as after a network's own
// repetitions.
//
//     await using TcpProxy proxy = new(listen: 127.0.0.1:0, to: 127.0.0.1:7070, whose: null);
//     proxy.Cut(Loss.Swallow); ...; proxy.Heal();
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Conformance.Processes;

/// <summary>What a cut does with the bytes.</summary>
public enum Loss
{
    /// <summary>They never arrive.</summary>
    Swallow,

    /// <summary>They arrive when the cut is healed.</summary>
    Hold,
}

/// <summary>Carries connections to one address.</summary>
internal sealed class TcpProxy : IAsyncDisposable
{
    private const int ChunkBytes = 64 << 10;

    // An opening without TLS: magic 4, version 2, kind 1, spare 1, length 4; protocol version 4, purpose 1, role 1, number 4.
    private const int RoleAt = 17, NumberAt = 18, OpeningBytes = 22;

    private readonly TcpListener _listener;
    private readonly IPEndPoint _to;
    private readonly int? _worker;
    private readonly CancellationTokenSource _ending = new();
    private readonly List<Task> _connections = []; // under its own lock
    private readonly Task _accepting;
    private readonly TaskCompletionSource _flipped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _cut; // ends when it is healed
    private Loss _loss;
    private int _flipNext = -1; // a FrameKind
    private long _lost;

    /// <summary>Listens.</summary>
    /// <param name="listen">Where; port 0 takes a free one.</param>
    /// <param name="to">Where the bytes go.</param>
    /// <param name="worker">Only this worker's connections are cut or damaged; null is everyone's.</param>
    public TcpProxy(IPEndPoint listen, IPEndPoint to, int? worker = null)
    {
        _to = to;
        _worker = worker;
        _listener = new TcpListener(listen);
        _listener.Start();
        Address = _listener.LocalEndpoint.ToString()!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public string Address { get; }

    /// <summary>Bytes that a cut has held or swallowed.</summary>
    public long LostBytes => Interlocked.Read(ref _lost);

    /// <summary>Ends when a bit was flipped.</summary>
    public Task Flipped => _flipped.Task;

    /// <summary>Nothing comes through from now on; connections stay open.</summary>
    public void Cut(Loss loss)
    {
        _loss = loss;
        Volatile.Write(ref _cut, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
    }

    /// <summary>Bytes come through again.</summary>
    public void Heal() => Interlocked.Exchange(ref _cut, null)?.TrySetResult();

    /// <summary>Flips one bit of the next frame of this kind: in its block if it is a bulk frame (with one), else in its message.</summary>
    public void FlipABitOfTheNext(FrameKind kind) => Volatile.Write(ref _flipNext, (int)kind);

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        Heal();
        _listener.Stop();
        await _accepting.WaitAsync(TimeSpan.FromSeconds(10));
        Task[] connections;
        lock (_connections)
        {
            connections = [.. _connections];
        }

        await Task.WhenAll(connections).WaitAsync(TimeSpan.FromSeconds(10));
        _ending.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket from = await _listener.AcceptSocketAsync(_ending.Token);
                lock (_connections)
                {
                    _connections.Add(CarryAsync(from));
                }
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private async Task CarryAsync(Socket from)
    {
        using Socket near = from;
        using var far = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        try
        {
            await far.ConnectAsync(_to, _ending.Token);
            byte[] opening = new byte[ChunkBytes];
            int read = await near.ReceiveAsync(opening, _ending.Token);
            bool isMeant = _worker is not { } worker
                || (read >= OpeningBytes && opening[RoleAt] == (byte)PeerRole.Worker && BinaryPrimitives.ReadInt32LittleEndian(opening.AsSpan(NumberAt)) == worker);
            await PassAsync(far, opening.AsMemory(0, read), isMeant);
            await Task.WhenAny(PumpAsync(near, far, isMeant), PumpAsync(far, near, isMeant));
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Either end is gone.
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool isMeant)
    {
        byte[] chunk = new byte[ChunkBytes];
        try
        {
            while (await from.ReceiveAsync(chunk, _ending.Token) is int read and > 0)
            {
                await PassAsync(to, chunk.AsMemory(0, read), isMeant);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Either end is gone.
        }

        if (isMeant && Volatile.Read(ref _cut) is { } cut)
        {
            await cut.Task; // nor does the other side hear of an end
        }
    }

    private async Task PassAsync(Socket to, Memory<byte> chunk, bool isMeant)
    {
        if (isMeant && Volatile.Read(ref _cut) is { } cut)
        {
            Interlocked.Add(ref _lost, chunk.Length);
            if (_loss == Loss.Swallow)
            {
                return;
            }

            await cut.Task;
        }

        if (isMeant && Volatile.Read(ref _flipNext) is int kind and >= 0 && PlaceIn(chunk.Span, (FrameKind)kind) is { } place
            && Interlocked.CompareExchange(ref _flipNext, -1, kind) == kind)
        {
            chunk.Span[place] ^= 0x10;
            _flipped.TrySetResult();
        }

        for (int sent = 0; sent < chunk.Length;)
        {
            sent += await to.SendAsync(chunk[sent..], _ending.Token);
        }
    }

    /// <summary>A byte of a frame of the kind that begins where the chunk does, or null.</summary>
    private static int? PlaceIn(ReadOnlySpan<byte> chunk, FrameKind kind)
    {
        try
        {
            FrameHeader header = FrameHeader.Read(chunk);
            long place = kind == FrameKind.Bulk ? FrameHeader.Size + header.MetaBytes + (header.PayloadBytes / 2) : FrameHeader.Size + (header.MetaBytes / 2);
            return header.Kind == kind && (kind == FrameKind.Control || header.PayloadBytes > 0) && place < chunk.Length ? (int)place : null;
        }
        catch (WireException)
        {
            return null; // a handshake, or the middle of a frame
        }
    }
}
