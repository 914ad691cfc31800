// Ports for links that are not bulk, on Kestrel's connections.
using System.Net;
using System.Net.Sockets;
using ClusterRnn.Engines.Tcp.Security;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>Accepts control links.</summary>
public sealed class ControlListener : IAsyncDisposable
{
    private readonly KestrelListener<IControlHandler> _listener;

    private ControlListener(KestrelListener<IControlHandler> listener) => _listener = listener;

    /// <summary>Where it listens, the port known.</summary>
    public IPEndPoint LocalEndPoint => _listener.LocalEndPoint;

    /// <summary>Connections that are there, those that have not proved anything included.</summary>
    public int Connections => _listener.Accepting.Open;

    /// <summary>Connections that were refused so far.</summary>
    public long Refused => _listener.Accepting.Refused;

    /// <summary>Begins to listen.</summary>
    /// <param name="address">Where; port 0 takes a free one.</param>
    /// <param name="security">This node's certificate and token, or null.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="admit">Decides who comes in, after a peer has proved that it belongs to the job; from several threads at once.</param>
    /// <param name="log">Gets one line for every peer that is refused.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="TransportException">The address can't be listened on.</exception>
    public static async Task<ControlListener> StartAsync(
        HostPort address, NodeSecurity? security, TransportOptions options, Func<LinkOffer, LinkAdmission<IControlHandler>> admit, Action<string> log, CancellationToken cancellation)
        => new(await KestrelListener<IControlHandler>.StartAsync(
            address,
            new Accepting<IControlHandler>(LinkPurpose.Control, PeerRole.Coordinator, security, options, admit, log),
            security is { UsesTls: true },
            options,
            (stream, cut, peer, handler) => new ControlLink(stream, cut, peer, handler, options),
            cancellation).ConfigureAwait(false));

    /// <summary>Ends the listener and cuts its links.</summary>
    public ValueTask DisposeAsync() => _listener.DisposeAsync();
}

/// <summary>A port whose connections Kestrel accepts.</summary>
/// <typeparam name="THandler">What takes a link's messages.</typeparam>
internal sealed class KestrelListener<THandler> : IAsyncDisposable
    where THandler : class
{
    private readonly WebApplication _host;
    private readonly CancellationTokenSource _stopping;

    private KestrelListener(WebApplication host, Accepting<THandler> accepting, CancellationTokenSource stopping, IPEndPoint local)
    {
        _host = host;
        Accepting = accepting;
        _stopping = stopping;
        LocalEndPoint = local;
    }

    /// <summary>Where it listens, the port known.</summary>
    public IPEndPoint LocalEndPoint { get; }

    /// <summary>Who came, and who was let in.</summary>
    public Accepting<THandler> Accepting { get; }

    /// <summary>Begins to listen.</summary>
    /// <exception cref="TransportException">The address can't be listened on.</exception>
    public static async Task<KestrelListener<THandler>> StartAsync(
        HostPort address,
        Accepting<THandler> accepting,
        bool isSecure,
        TransportOptions options,
        Func<Stream, Action, LinkPeer, THandler, Link> makeLink,
        CancellationToken cancellation)
    {
        IPEndPoint local = await AddressRules.ListeningEndPointAsync(address, isSecure, options.HandshakeTimeout, cancellation).ConfigureAwait(false);
        var stopping = new CancellationTokenSource();
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(local, endPoint => endPoint.Run(connection => ServeAsync(connection, accepting, makeLink, stopping.Token))));
        WebApplication host = builder.Build();
        try
        {
            await host.StartAsync(cancellation).ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            await host.DisposeAsync().ConfigureAwait(false);
            stopping.Dispose();
            throw AddressRules.CantListen(local, error);
        }

        var bound = new Uri(host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        return new KestrelListener<THandler>(host, accepting, stopping, new IPEndPoint(local.Address, bound.Port));
    }

    /// <summary>Ends the listener and cuts its links.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        using var now = new CancellationTokenSource();
        await now.CancelAsync().ConfigureAwait(false);
        // A stop that is cancelled from the start aborts what is open instead of waiting for it.
        await _host.StopAsync(now.Token).ConfigureAwait(false);
        await _host.DisposeAsync().ConfigureAwait(false);
        _stopping.Dispose();
    }

    private static Task ServeAsync(
        ConnectionContext connection, Accepting<THandler> accepting, Func<Stream, Action, LinkPeer, THandler, Link> makeLink, CancellationToken stopping)
    {
        void Cut() => connection.Abort();
        return accepting.ServeAsync(
            new PipeStream(connection.Transport),
            (IPEndPoint)connection.RemoteEndPoint!,
            Cut,
            (stream, peer, handler) => makeLink(stream, Cut, peer, handler),
            stopping);
    }
}
