// From an address to an open connection: resolve, connect, encrypt, shake hands; all within one deadline.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>Opens connections to listeners.</summary>
internal static class Dialing
{
    public static async Task<(Stream Stream, Action Cut, LinkPeer Peer)> OpenAsync(
        HostPort address, LinkPurpose purpose, ActorId target, NodeIdentity self, NodeSecurity? security, TransportOptions options, CancellationToken cancellation)
    {
        IPAddress[] addresses = await AddressRules.ResolveAsync(address, options.HandshakeTimeout, cancellation).ConfigureAwait(false);
        if (purpose != LinkPurpose.Bulk)
        {
            return await OpenAsync(addresses, address, purpose, target, self, security, options, cancellation).ConfigureAwait(false);
        }

        // A socket that was used asynchronously once never blocks in the system again, so this begins on a thread as well.
        (Stream, Action, LinkPeer) opened = default;
        await BlockingStream.OnThread(async () => opened = await OpenAsync(addresses, address, purpose, target, self, security, options, cancellation).ConfigureAwait(false)).ConfigureAwait(false);
        return opened;
    }

    private static async Task<(Stream Stream, Action Cut, LinkPeer Peer)> OpenAsync(
        IPAddress[] addresses, HostPort address, LinkPurpose purpose, ActorId target, NodeIdentity self, NodeSecurity? security, TransportOptions options, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(options.HandshakeTimeout);
        var seen = new PeerCertificate();
        Socket? socket = null;
        try
        {
            bool blocks = purpose == LinkPurpose.Bulk;
            socket = await ConnectAsync(addresses, address.Port, blocks, deadline.Token).ConfigureAwait(false);
            Socket connected = socket;
            using CancellationTokenRegistration cutting = deadline.Token.Register(() => Cut(connected));
            var remote = (IPEndPoint)socket.RemoteEndPoint!;
            if (security is not { UsesTls: true } && !AddressRules.IsLoopback(remote.Address))
            {
                throw new TransportException($"{remote.Address} is another machine, and without certificates anyone could answer there: give this node `--certs FOLDER` (`clusterrnn certs` makes one)") { IsRefusal = true };
            }

            Stream stream = blocks ? new BlockingStream(socket) : new NetworkStream(socket, ownsSocket: true);
            if (security is { UsesTls: true })
            {
                var encrypted = new SslStream(stream, leaveInnerStreamOpen: false);
                stream = encrypted;
                await encrypted.AuthenticateAsClientAsync(security.ForDialing(purpose == LinkPurpose.Bytes ? null : (PeerRole)target.Role, seen), deadline.Token).ConfigureAwait(false);
            }

            (int number, ReadOnlyMemory<byte> answer) = await new Handshake(stream, security?.Token ?? []).DialAsync(purpose, self, target, deadline.Token).ConfigureAwait(false);
            deadline.Token.ThrowIfCancellationRequested();
            socket = null;
            return (stream, () => Cut(connected), new LinkPeer((PeerRole)target.Role, target.Number, number, remote, "", answer));
        }
        catch (Exception error) when (deadline.IsCancellationRequested
            && error is OperationCanceledException or IOException or SocketException or ObjectDisposedException or AuthenticationException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw Failed(address, target, $"no answer within {options.HandshakeTimeout.TotalSeconds:0.#} s", error);
        }
        catch (SocketException error)
        {
            throw Failed(address, target, $"can't connect ({error.SocketErrorCode})", error);
        }
        catch (Exception error) when (error is AuthenticationException or TransportException or WireException)
        {
            throw Failed(address, target, seen.Problem ?? error.Message, error, isRefusal: seen.Problem is not null);
        }
        catch (EndOfStreamException error)
        {
            throw Failed(address, target, ClosedEarly(security), error);
        }
        catch (IOException error)
        {
            throw Failed(address, target, error.InnerException is SocketException ? ClosedEarly(security) : $"{ClosedEarly(security)} ({error.Message})", error);
        }
        finally
        {
            socket?.Dispose();
        }
    }

    /// <summary>Cuts a connection so that both ends notice at once, whatever is under way on it.</summary>
    public static void Cut(Socket socket)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // It is cut already.
        }

        socket.Dispose();
    }

    /// <summary>Sets what every socket of ours has.</summary>
    public static void Prepare(Socket socket)
    {
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 2);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
    }

    private static async Task<Socket> ConnectAsync(IPAddress[] addresses, int port, bool blocks, CancellationToken cancellation)
    {
        for (int i = 0; ; i++)
        {
            var socket = new Socket(addresses[i].AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                Prepare(socket);
                if (blocks)
                {
                    using CancellationTokenRegistration cutting = cancellation.Register(socket.Dispose);
                    socket.Connect(addresses[i], port);
                }
                else
                {
                    await socket.ConnectAsync(addresses[i], port, cancellation).ConfigureAwait(false);
                }

                return socket;
            }
            catch (SocketException) when (i < addresses.Length - 1)
            {
                // A name may have an address nobody listens on.
                socket.Dispose();
            }
            catch (Exception)
            {
                socket.Dispose();
                throw;
            }
        }
    }

    private static string ClosedEarly(NodeSecurity? security)
        => security is { UsesTls: true }
            ? "it closed the connection during the handshake: it may want no TLS, or not accept this node's certificate (its log says why)"
            : "it closed the connection during the handshake: it may want TLS (`--certs FOLDER`), or be something else";

    // Another authority's certificate is a refusal too, ours: it will be the same one the next time.
    private static TransportException Failed(HostPort address, ActorId target, string why, Exception cause, bool isRefusal = false)
        => new($"{target} at {address}: {why}", cause) { IsRefusal = isRefusal || cause is TransportException { IsRefusal: true } };
}
