// From an accepted connection to an open link, or to one line in the log: whatever a stranger sends ends here.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>The accepting side of both listeners: counts connections, shakes hands, asks the engine, says why not.</summary>
/// <typeparam name="THandler">What takes a link's messages.</typeparam>
internal sealed class Accepting<THandler>(
    LinkPurpose purpose, PeerRole self, NodeSecurity? security, TransportOptions options, Func<LinkOffer, LinkAdmission<THandler>> admit, Action<string> log)
    where THandler : class
{
    private int _open;
    private long _refused;

    /// <summary>Connections that are there, those that have not proved anything included.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Connections that were refused so far.</summary>
    public long Refused => Volatile.Read(ref _refused);

    /// <summary>Serves a connection until it is closed. Never throws on what a peer does.</summary>
    /// <param name="plain">The connection.</param>
    /// <param name="remote">Where it comes from.</param>
    /// <param name="cut">Cuts it at once.</param>
    /// <param name="makeLink">Makes the link, once the peer is let in.</param>
    /// <param name="stopping">Ends handshakes that are under way.</param>
    public async Task ServeAsync(Stream plain, IPEndPoint remote, Action cut, Func<Stream, LinkPeer, THandler, Link> makeLink, CancellationToken stopping)
    {
        try
        {
            if (Interlocked.Increment(ref _open) > options.MaximumConnections)
            {
                Refuse(remote, $"{options.MaximumConnections} connections are open, which is the limit");
                return;
            }

            if (await OpenAsync(plain, remote, cut, makeLink, stopping).ConfigureAwait(false) is { } link)
            {
                await link.RunAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            cut();
            Interlocked.Decrement(ref _open);
        }
    }

    private async Task<Link?> OpenAsync(Stream plain, IPEndPoint remote, Action cut, Func<Stream, LinkPeer, THandler, Link> makeLink, CancellationToken stopping)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        deadline.CancelAfter(options.HandshakeTimeout);
        // A read that blocks its thread ends with the connection only.
        using CancellationTokenRegistration cutting = deadline.Token.Register(cut);
        var seen = new PeerCertificate();
        Stream stream = plain;
        Handshake? handshake = null;
        try
        {
            if (security is { UsesTls: true })
            {
                var encrypted = new SslStream(plain, leaveInnerStreamOpen: false);
                stream = encrypted;
                await encrypted.AuthenticateAsServerAsync(security.ForAccepting(seen), deadline.Token).ConfigureAwait(false);
            }

            handshake = new Handshake(stream, security?.Token ?? []);
            LinkOffer offer = await handshake.HearAsync(purpose, self, seen.Role, remote, deadline.Token).ConfigureAwait(false);
            LinkAdmission<THandler> admission = admit(offer);
            if (admission.Handler is not { } handler)
            {
                await handshake.RefuseAsync(admission.Reason, deadline.Token).ConfigureAwait(false);
                Refuse(remote, admission.Reason);
            }
            else
            {
                await handshake.AcceptAsync(admission.Number, admission.Answer, deadline.Token).ConfigureAwait(false);
                return makeLink(stream, new LinkPeer(offer.Role, admission.Number, offer.Target.Number, remote, offer.AdvertisedBulk, default), handler);
            }
        }
        catch (Exception error) when (deadline.IsCancellationRequested
            && error is OperationCanceledException or IOException or SocketException or ObjectDisposedException or InvalidOperationException or AuthenticationException)
        {
            if (!stopping.IsCancellationRequested)
            {
                Refuse(remote, $"the handshake was not complete within {options.HandshakeTimeout.TotalSeconds:0.#} s");
            }
        }
        catch (AuthenticationException error)
        {
            Refuse(remote, seen.Problem ?? $"no TLS as expected ({(error.InnerException ?? error).Message})");
        }
        catch (EndOfStreamException)
        {
            Refuse(remote, "the connection ended within the handshake");
        }
        catch (Exception error) when (error is TransportException or WireException)
        {
            Refuse(remote, error.Message);
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException or InvalidOperationException)
        {
            Refuse(remote, $"the connection broke within the handshake ({error.Message})");
        }

        if (handshake is { HasRefused: true })
        {
            await LingerAsync(stream, deadline.Token).ConfigureAwait(false);
        }

        await stream.DisposeAsync().ConfigureAwait(false);
        return null;
    }

    // Cutting a connection at once can take the refusal from the peer before it is read: it gets the rest of the
    // handshake's time to close it itself.
    private static async Task LingerAsync(Stream stream, CancellationToken deadline)
    {
        byte[] scratch = new byte[1024];
        try
        {
            for (int left = Limits.MaximumHelloBytes; left > 0;)
            {
                int read = await stream.ReadAsync(scratch, deadline).ConfigureAwait(false);
                left -= read == 0 ? left : read;
            }
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException or OperationCanceledException or InvalidOperationException)
        {
            // It is gone, or does not close.
        }
    }

    private void Refuse(IPEndPoint remote, string why)
    {
        Interlocked.Increment(ref _refused);
        log($"refused {remote} at the {purpose.ToString().ToLowerInvariant()} port: {why}");
    }
}
