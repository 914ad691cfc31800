// A node's bulk port: plain sockets, so that blocks go straight between the wire and pooled memory.
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Engines.Tcp.Security;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>Accepts bulk links.</summary>
public sealed class BulkListener : IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly Accepting<IBulkHandler> _accepting;
    private readonly TransportOptions _options;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _gate = new();
    private readonly List<(Socket Socket, Task Serving)> _served = []; // under the gate
    private readonly Task _loop;

    private BulkListener(Socket socket, Accepting<IBulkHandler> accepting, TransportOptions options)
    {
        _socket = socket;
        _accepting = accepting;
        _options = options;
        LocalEndPoint = (IPEndPoint)socket.LocalEndPoint!;
        _loop = AcceptAsync();
    }

    /// <summary>Where it listens, the port known.</summary>
    public IPEndPoint LocalEndPoint { get; }

    /// <summary>Connections that are there, those that have not proved anything included.</summary>
    public int Connections => _accepting.Open;

    /// <summary>Connections that were refused so far.</summary>
    public long Refused => _accepting.Refused;

    /// <summary>Begins to listen.</summary>
    /// <param name="address">Where; port 0 takes a free one.</param>
    /// <param name="role">What the node is that listens.</param>
    /// <param name="security">Its certificate and token, or null.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="admit">Decides who comes in, after a peer has proved that it belongs to the job; from several threads at once.</param>
    /// <param name="log">Gets one line for every peer that is refused.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="TransportException">The address can't be listened on.</exception>
    public static async Task<BulkListener> StartAsync(
        HostPort address, PeerRole role, NodeSecurity? security, TransportOptions options, Func<LinkOffer, LinkAdmission<IBulkHandler>> admit, Action<string> log, CancellationToken cancellation)
    {
        IPEndPoint local = await AddressRules.ListeningEndPointAsync(address, security is { UsesTls: true }, options.HandshakeTimeout, cancellation).ConfigureAwait(false);
        var socket = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(local);
            socket.Listen(512);
        }
        catch (SocketException error)
        {
            socket.Dispose();
            throw AddressRules.CantListen(local, error);
        }

        return new BulkListener(socket, new Accepting<IBulkHandler>(LinkPurpose.Bulk, role, security, options, admit, log), options);
    }

    /// <summary>Ends the listener and cuts its links.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        _socket.Dispose();
        await _loop.ConfigureAwait(false);
        (Socket Socket, Task Serving)[] served;
        lock (_gate)
        {
            served = [.. _served];
        }

        foreach ((Socket socket, Task _) in served)
        {
            Dialing.Cut(socket);
        }

        await Task.WhenAll(served.Select(s => s.Serving)).ConfigureAwait(false);
        _stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                Socket socket = await _socket.AcceptAsync(_stopping.Token).ConfigureAwait(false);
                Task serving = BlockingStream.OnThread(() => ServeAsync(socket));
                lock (_gate)
                {
                    _served.RemoveAll(s => s.Serving.IsCompleted);
                    _served.Add((socket, serving));
                }
            }
            catch (SocketException) when (!_stopping.IsCancellationRequested)
            {
                // The caller was gone before it was accepted, or there is no descriptor left for it: neither may spin.
                await Task.Delay(10).ConfigureAwait(false);
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        IPEndPoint remote;
        try
        {
            Dialing.Prepare(socket);
            remote = (IPEndPoint)socket.RemoteEndPoint!;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return;
        }

        void Cut() => Dialing.Cut(socket);
        await _accepting.ServeAsync(
            new BlockingStream(socket), remote, Cut, (stream, peer, handler) => new BulkLink(stream, Cut, peer, handler, _options), _stopping.Token).ConfigureAwait(false);
    }
}
