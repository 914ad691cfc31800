// Addresses as people write them, and what is wrong with some of them.
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>A host and a port.</summary>
/// <param name="Host">A name or an address, IPv6 without brackets.</param>
/// <param name="Port">The port; 0 asks the system for a free one.</param>
public readonly record struct HostPort(string Host, int Port)
{
    /// <summary>The same host, another port.</summary>
    public HostPort WithPort(int port) => this with { Port = port };

    /// <inheritdoc/>
    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}

/// <summary>What addresses may be used for what.</summary>
public static class AddressRules
{
    /// <summary>Reads HOST:PORT: an IPv4 address, an IPv6 address in brackets, or a name. <c>*</c> is every address.</summary>
    /// <exception cref="TransportException">The text is none.</exception>
    public static HostPort Parse(string text)
    {
        int colon = text.LastIndexOf(':');
        string host = colon < 0 ? "" : text[..colon];
        if (colon < 0
            || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port > IPEndPoint.MaxPort)
        {
            throw Bad(text);
        }

        if (host.StartsWith('[') && host.EndsWith(']'))
        {
            host = host[1..^1];
            return IPAddress.TryParse(host, out IPAddress? six) && six.AddressFamily == AddressFamily.InterNetworkV6 ? new HostPort(host, port) : throw Bad(text);
        }

        if (host == "*")
        {
            return new HostPort(IPAddress.Any.ToString(), port);
        }

        // "::1:80" could be cut in several ways, so IPv6 needs its brackets.
        return host.Length is > 0 and <= 253 && Uri.CheckHostName(host) is UriHostNameType.Dns or UriHostNameType.IPv4 ? new HostPort(host, port) : throw Bad(text);
    }

    /// <summary>Reads a host alone: an IPv4 address, an IPv6 address with or without brackets, or a name.</summary>
    /// <exception cref="TransportException">The text is none.</exception>
    public static string ParseHost(string text)
    {
        string host = text.StartsWith('[') && text.EndsWith(']') ? text[1..^1] : text;
        return host.Length is > 0 and <= 253 && Uri.CheckHostName(host) is UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6
            ? host
            : throw new TransportException($"'{text}' is no host: expected an address or a name without a port, such as 10.0.0.5, ::1 or coordinator");
    }

    /// <summary>The addresses behind a host.</summary>
    /// <exception cref="TransportException">The name is unknown, or nobody said what it means in time.</exception>
    public static async Task<IPAddress[]> ResolveAsync(HostPort address, TimeSpan timeout, CancellationToken cancellation)
    {
        if (IPAddress.TryParse(address.Host, out IPAddress? literal))
        {
            return [literal];
        }

        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(timeout);
        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(address.Host, deadline.Token).ConfigureAwait(false);
            return found.Length > 0 ? found : throw new TransportException($"the host name '{address.Host}' has no address");
        }
        catch (SocketException error)
        {
            throw new TransportException($"the host name '{address.Host}' is not known here ({error.SocketErrorCode}): use an address, or a name that resolves on this machine", error);
        }
        catch (OperationCanceledException error) when (!cancellation.IsCancellationRequested)
        {
            throw new TransportException($"the host name '{address.Host}' was not resolved within {timeout.TotalSeconds:0.#} s", error);
        }
    }

    /// <summary>Where to listen. Without security that may only be loopback.</summary>
    /// <exception cref="TransportException">The address is not this machine's own, or would be open to others.</exception>
    public static async Task<IPEndPoint> ListeningEndPointAsync(HostPort address, bool isSecure, TimeSpan timeout, CancellationToken cancellation)
    {
        IPAddress[] addresses = await ResolveAsync(address, timeout, cancellation).ConfigureAwait(false);
        IPAddress chosen = addresses.FirstOrDefault(a => a.AddressFamily == AddressFamily.InterNetwork) ?? addresses[0];
        if (!isSecure && !IsLoopback(chosen))
        {
            throw new TransportException(
                $"{address.Host} can be reached from other machines, and nothing would keep strangers out: make certificates and a token with "
                + "`clusterrnn certs --out certs`, copy that folder to every node and start each with `--certs certs`; or listen on 127.0.0.1");
        }

        return new IPEndPoint(chosen, address.Port);
    }

    /// <summary>Finds out whether an address can be listened on, for whoever has something to write before it listens.</summary>
    /// <exception cref="TransportException">It can't: it is not this machine's own, is taken, or would be open to others.</exception>
    public static async Task TryListeningAsync(HostPort address, bool isSecure, TimeSpan timeout, CancellationToken cancellation)
    {
        IPEndPoint local = await ListeningEndPointAsync(address, isSecure, timeout, cancellation).ConfigureAwait(false);
        using var socket = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(local);
        }
        catch (SocketException error)
        {
            throw CantListen(local, error);
        }
    }

    /// <summary>Why an address could not be listened on, and what to do.</summary>
    internal static TransportException CantListen(IPEndPoint local, Exception error)
        => new($"can't listen on {local}: {error.Message.TrimEnd('.')}. End the program that listens there (another coordinator?), or choose another address", error);

    /// <summary>
    /// What the others should be told: the explicit address if there is one (its port 0 stands for the one listened on), else
    /// the one listened on.
    /// </summary>
    /// <param name="advertised">What the user asked for, or null.</param>
    /// <param name="listening">The end point that is listened on, its port known.</param>
    /// <exception cref="TransportException">Every address is listened on and none was named.</exception>
    public static HostPort Advertise(HostPort? advertised, IPEndPoint listening)
    {
        if (advertised is { } named)
        {
            if (IPAddress.TryParse(named.Host, out IPAddress? address) && IsAny(address))
            {
                throw new TransportException($"{named} can't be advertised, it is no address others can connect to: {HowToAdvertise}");
            }

            return named.Port == 0 ? named.WithPort(listening.Port) : named;
        }

        return IsAny(listening.Address)
            ? throw new TransportException($"listening on {listening} says nothing about where others reach this node: {HowToAdvertise}")
            : new HostPort(listening.Address.ToString(), listening.Port);
    }

    /// <summary>Why others can't reach what a peer advertises, as far as can be told from here; null when nothing speaks against it.</summary>
    /// <param name="who">The peer, for the message.</param>
    /// <param name="advertised">HOST:PORT as the peer sent it.</param>
    /// <param name="seenFrom">Where the peer calls from.</param>
    /// <param name="timeout">How long the name may take to resolve.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<string?> WhyUnreachableAsync(string who, string advertised, IPAddress seenFrom, TimeSpan timeout, CancellationToken cancellation)
    {
        try
        {
            HostPort address = Parse(advertised);
            IPAddress[] found = await ResolveAsync(address, timeout, cancellation).ConfigureAwait(false);
            if (address.Port == 0 || found.All(IsAny))
            {
                return $"{who} at {seenFrom} advertises {advertised}, which is no address others can connect to: {HowToAdvertise}";
            }

            return !IsLoopback(seenFrom) && found.All(IsLoopback)
                ? $"{who} at {seenFrom} advertises {advertised}, where each machine or container finds itself only: {HowToAdvertise}"
                : null;
        }
        catch (TransportException error)
        {
            return $"{who} at {seenFrom} advertises {advertised}, but {error.Message}: {HowToAdvertise}";
        }
    }

    /// <summary>Whether an address never leaves this machine.</summary>
    public static bool IsLoopback(IPAddress address) => IPAddress.IsLoopback(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);

    private const string HowToAdvertise = "start it with `--advertise HOST`, a name or address the other nodes can reach (in docker compose the service's or container's name)";

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any) || address.Equals(IPAddress.Any.MapToIPv6());

    private static TransportException Bad(string text)
        => new($"'{text}' is no address: expected HOST:PORT, such as 127.0.0.1:7070, [::1]:7070 or coordinator:7070");
}
