// Handlers that remember what came, listeners on ports of their own, peers that misbehave, and a proxy between two ends.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Tests.EnginesTcp;

internal static class Soon
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(15);

    public static Task<T> Within<T>(this Task<T> task) => task.WaitAsync(Limit);

    public static Task Within(this Task task) => task.WaitAsync(Limit);

    /// <summary>Waits for something that has no event of its own.</summary>
    public static async Task UntilAsync(Func<bool> holds, string what)
    {
        for (long end = Environment.TickCount64 + (long)Limit.TotalMilliseconds; !holds();)
        {
            Assert.True(Environment.TickCount64 < end, what + " did not happen");
            await Task.Delay(5);
        }
    }
}

internal sealed class ControlRecorder : IControlHandler
{
    private readonly TaskCompletionSource<ControlLink> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<Envelope> _received = Channel.CreateUnbounded<Envelope>();

    public Action<Envelope>? OnReceived { get; init; }

    public Task<ControlLink> Open => _opened.Task.Within();

    public bool IsOpen => _opened.Task.IsCompleted;

    public Task<string> End => _closed.Task.Within();

    public int TimesClosed { get; private set; }

    public Task<Envelope> NextAsync() => _received.Reader.ReadAsync().AsTask().Within();

    public void Opened(ControlLink link) => _opened.SetResult(link);

    public void Received(ControlLink link, in Envelope envelope)
    {
        OnReceived?.Invoke(envelope);
        _received.Writer.TryWrite(envelope);
    }

    public void Closed(ControlLink link, string reason)
    {
        TimesClosed++;
        _closed.TrySetResult(reason);
        _received.Writer.TryComplete();
    }
}

internal sealed unsafe class BulkRecorder : IBulkHandler, IDisposable
{
    private readonly TaskCompletionSource<BulkLink> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<(Envelope Envelope, float[] Values)> _arrived = Channel.CreateUnbounded<(Envelope, float[])>();
    private readonly Channel<(Envelope Envelope, bool IsDamaged)> _dropped = Channel.CreateUnbounded<(Envelope, bool)>();
    private readonly NativeBlockPool _pool = new();

    public bool RefusesMemory { get; set; }

    public long LastEpoch { get; private set; }

    public long LastStep { get; private set; }

    public Task<BulkLink> Open => _opened.Task.Within();

    public bool IsOpen => _opened.Task.IsCompleted;

    public Task<string> End => _closed.Task.Within();

    public Task<(Envelope Envelope, float[] Values)> NextAsync() => _arrived.Reader.ReadAsync().AsTask().Within();

    public Task<(Envelope Envelope, bool IsDamaged)> NextDroppedAsync() => _dropped.Reader.ReadAsync().AsTask().Within();

    public void Opened(BulkLink link) => _opened.SetResult(link);

    public float* Reserve(BulkLink link, in Envelope envelope, long epoch, long step, long floats)
    {
        (LastEpoch, LastStep) = (epoch, step);
        return RefusesMemory ? null : _pool.Rent(floats);
    }

    public void Arrived(BulkLink link, in Envelope envelope, float* payload, long floats)
    {
        _arrived.Writer.TryWrite((envelope, new ReadOnlySpan<float>(payload, (int)floats).ToArray()));
        if (payload is not null)
        {
            _pool.Return(payload, floats);
        }
    }

    public void Dropped(BulkLink link, in Envelope envelope, float* payload, long floats, bool damaged)
    {
        _pool.Return(payload, floats);
        _dropped.Writer.TryWrite((envelope, damaged));
    }

    public void Closed(BulkLink link, string reason)
    {
        _closed.SetResult(reason);
        _arrived.Writer.TryComplete();
    }

    public void Dispose() => _pool.Dispose();
}

/// <summary>A coordinator's two ports, its log and whoever came in.</summary>
internal sealed class Ports : IAsyncDisposable
{
    private readonly Channel<ControlRecorder> _controls = Channel.CreateUnbounded<ControlRecorder>();
    private readonly Channel<BulkRecorder> _bulks = Channel.CreateUnbounded<BulkRecorder>();

    private Ports()
    {
    }

    public static HostPort AnyPort => new("127.0.0.1", 0);

    public ConcurrentQueue<string> Log { get; } = new();

    public ConcurrentQueue<LinkOffer> Offers { get; } = new();

    public ControlListener Control { get; private set; } = null!;

    public BulkListener Bulk { get; private set; } = null!;

    public HostPort ControlAddress => new("127.0.0.1", Control.LocalEndPoint.Port);

    public HostPort BulkAddress => new("127.0.0.1", Bulk.LocalEndPoint.Port);

    public static async Task<Ports> OpenAsync(NodeSecurity? security = null, TransportOptions? options = null, string? refusal = null, Action<Envelope>? onReceived = null)
    {
        var ports = new Ports();
        options ??= new TransportOptions();
        ports.Control = await ControlListener.StartAsync(
            AnyPort,
            security,
            options,
            offer =>
            {
                ports.Offers.Enqueue(offer);
                if (refusal is not null)
                {
                    return LinkAdmission<IControlHandler>.Refuse(refusal);
                }

                var recorder = new ControlRecorder { OnReceived = onReceived };
                ports._controls.Writer.TryWrite(recorder);
                return LinkAdmission<IControlHandler>.Accept(recorder, offer.Number < 0 ? 17 : offer.Number, new byte[] { 4, 5 });
            },
            ports.Log.Enqueue,
            default);
        ports.Bulk = await BulkListener.StartAsync(
            AnyPort,
            PeerRole.Coordinator,
            security,
            options,
            offer =>
            {
                ports.Offers.Enqueue(offer);
                var recorder = new BulkRecorder();
                ports._bulks.Writer.TryWrite(recorder);
                return LinkAdmission<IBulkHandler>.Accept(recorder, offer.Number);
            },
            ports.Log.Enqueue,
            default);
        return ports;
    }

    public Task<ControlRecorder> NextControlAsync() => _controls.Reader.ReadAsync().AsTask().Within();

    public Task<BulkRecorder> NextBulkAsync() => _bulks.Reader.ReadAsync().AsTask().Within();

    public async ValueTask DisposeAsync()
    {
        await Control.DisposeAsync();
        await Bulk.DisposeAsync();
    }
}

/// <summary>A peer without a link: a bare connection.</summary>
internal static class Stranger
{
    public static NodeIdentity Worker { get; } = new(PeerRole.Worker, 3, "127.0.0.1:9");

    public static async Task<NetworkStream> CallAsync(HostPort address)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, address.Port).Within();
        return new NetworkStream(socket, ownsSocket: true);
    }

    /// <summary>A connection that has shaken hands and then does what the test wants.</summary>
    public static async Task<NetworkStream> EnterAsync(HostPort address, LinkPurpose purpose)
    {
        NetworkStream stream = await CallAsync(address);
        await new Handshake(stream, []).DialAsync(purpose, Worker, ActorId.Coordinator, default).Within();
        return stream;
    }

    /// <summary>Reads until the other end closes.</summary>
    public static async Task<byte[]> HearAsync(NetworkStream stream)
    {
        var heard = new MemoryStream();
        try
        {
            await stream.CopyToAsync(heard).Within();
        }
        catch (IOException)
        {
            // Cut rather than closed: as good an end.
        }

        return heard.ToArray();
    }
}

/// <summary>Passes bytes on between callers and one address, and may change them on the way.</summary>
internal sealed class Proxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentBag<Socket> _sockets = [];
    private readonly HostPort _target;
    private readonly Task _loop;

    public Proxy(HostPort target)
    {
        _target = target;
        _listener.Start();
        _loop = RunAsync();
    }

    /// <summary>Which byte from the caller has a bit flipped, counted over each connection; -1 for none.</summary>
    public long FlipAt { get; set; } = -1;

    /// <summary>Bytes that came from callers.</summary>
    public long FromCaller { get; private set; }

    public ConcurrentQueue<byte[]> Seen { get; } = new();

    public HostPort Address => new("127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port);

    public void Cut()
    {
        foreach (Socket socket in _sockets)
        {
            socket.Close(0);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        Cut();
        await _loop;
        _listener.Dispose();
    }

    private async Task RunAsync()
    {
        var passing = new List<Task>();
        try
        {
            while (true)
            {
                Socket caller = await _listener.AcceptSocketAsync();
                var callee = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await callee.ConnectAsync(IPAddress.Loopback, _target.Port);
                _sockets.Add(caller);
                _sockets.Add(callee);
                passing.Add(PassAsync(caller, callee, mayFlip: true));
                passing.Add(PassAsync(callee, caller, mayFlip: false));
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(passing);
        }
    }

    private async Task PassAsync(Socket from, Socket to, bool mayFlip)
    {
        byte[] buffer = new byte[64 << 10];
        long passed = 0;
        try
        {
            while (await from.ReceiveAsync(buffer) is var count && count > 0)
            {
                if (mayFlip && FlipAt >= passed && FlipAt < passed + count)
                {
                    buffer[FlipAt - passed] ^= 4;
                    FlipAt = -1;
                }

                passed += count;
                FromCaller += mayFlip ? count : 0;
                if (passed < 1 << 20)
                {
                    Seen.Enqueue(buffer[..count]);
                }

                for (int sent = 0; sent < count;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, count - sent));
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            from.Dispose();
            to.Dispose();
        }
    }
}
