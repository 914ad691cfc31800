// Akka's remoting over this project's own links: certificates at both ends, checked against the job's authority, and proof of
// the job's token, before the first byte of a stranger reaches Akka. Akka 1.5's own TLS asks the calling end for nothing.
using System.Collections.Concurrent;
using System.Net;
using Akka.Actor;
using Akka.Configuration;
using Akka.Remote.Transport;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using Google.Protobuf;

namespace ClusterRnn.Engines.Akka.Cluster;

/// <summary>What a node's actor system is given beside its settings.</summary>
/// <param name="options">The node's options.</param>
/// <param name="note">Is told what a person should know.</param>
internal sealed class NodeSetup(AkkaEngineOptions options, Action<string> note) : global::Akka.Actor.Setup.Setup
{
    /// <summary>The node's options.</summary>
    public AkkaEngineOptions Options => options;

    /// <summary>Tells a person.</summary>
    public Action<string> Note => note;

    /// <summary>The role that the node's certificate is for.</summary>
    public PeerRole Identity => AkkaBuild.IdentityOf(options.Roles);
}

/// <summary>The transport that Akka is told to use.</summary>
public sealed class LinkTransport : Transport
{
    private readonly string _host;
    private readonly NodeSetup _setup;
    private readonly TaskCompletionSource<IAssociationEventListener> _listener = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConcurrentDictionary<LinkHandle, bool> _open = [];
    private readonly CancellationTokenSource _ending = new();
    private KestrelListener<IBytesHandler>? _accepting;

    /// <summary>Akka makes it.</summary>
    public LinkTransport(ActorSystem system, Config config)
    {
        ArgumentNullException.ThrowIfNull(system);
        ArgumentNullException.ThrowIfNull(config);
        System = system;
        Config = config;
        SchemeIdentifier = HoconText.Scheme;
        MaximumPayloadBytes = config.GetLong("maximum-frame-size");
        _host = config.GetString("hostname");
        _setup = system.Settings.Setup.Get<NodeSetup>().Value;
    }

    /// <inheritdoc/>
    public override async Task<(Address, TaskCompletionSource<IAssociationEventListener>)> Listen()
    {
        AkkaEngineOptions options = _setup.Options;
        _accepting = await KestrelListener<IBytesHandler>.StartAsync(
            options.Listen,
            new Accepting<IBytesHandler>(
                LinkPurpose.Bytes,
                _setup.Identity,
                options.Security,
                options.Transport,
                offer => Self is null ? LinkAdmission<IBytesHandler>.Refuse("this node is about to start")
                    : LinkAdmission<IBytesHandler>.Accept(offer.Role == PeerRole.Client ? new StatusDesk(System, _setup.Note) : new Inbound(this), 0),
                _setup.Note),
            options.Security.UsesTls,
            options.Transport,
            (stream, cut, peer, handler) => new ByteLink(stream, cut, peer, handler, options.Transport),
            CancellationToken.None).ConfigureAwait(false);
        Self = new Address(HoconText.Scheme, System.Name, _host, _accepting.LocalEndPoint.Port);
        return (Self, _listener);
    }

    /// <inheritdoc/>
    public override bool IsResponsibleFor(Address remote) => true;

    /// <inheritdoc/>
    public override async Task<AssociationHandle> Associate(Address remoteAddress)
    {
        ArgumentNullException.ThrowIfNull(remoteAddress);
        var handle = new LinkHandle(this, Self!, remoteAddress);
        var identity = new NodeIdentity(_setup.Identity, -1);
        try
        {
            await ByteLink.ConnectAsync(
                new HostPort(remoteAddress.Host, remoteAddress.Port!.Value), identity, _setup.Options.Security, handle, _setup.Options.Transport, _ending.Token).ConfigureAwait(false);
        }
        catch (TransportException error)
        {
            throw new InvalidAssociationException(error.Message, error);
        }

        return handle;
    }

    /// <inheritdoc/>
    public override async Task<bool> Shutdown()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        foreach (LinkHandle handle in _open.Keys)
        {
            handle.Close("the node ends");
        }

        if (_accepting is { } accepting)
        {
            await accepting.DisposeAsync().ConfigureAwait(false);
        }

        return true;
    }

    private Address? Self { get; set; }

    // What has called this node. The address it is known by comes with Akka's own handshake; until then it is where it calls from.
    private sealed class Inbound(LinkTransport transport) : IBytesHandler
    {
        private LinkHandle? _handle;

        public void Opened(ByteLink link)
        {
            IPEndPoint remote = link.Remote;
            _handle = new LinkHandle(transport, transport.Self!, new Address(HoconText.Scheme, transport.System.Name, remote.Address.ToString(), remote.Port));
            _handle.Opened(link);
            transport._listener.Task.ContinueWith(
                static (listener, handle) => listener.Result.Notify(new InboundAssociation((LinkHandle)handle!)),
                _handle,
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion,
                TaskScheduler.Default);
        }

        public void Received(ByteLink link, ReadOnlySpan<byte> message) => _handle!.Received(link, message);

        public void Closed(ByteLink link, string reason) => _handle!.Closed(link, reason);
    }

    /// <summary>An association over a link.</summary>
    private sealed class LinkHandle : AssociationHandle, IBytesHandler
    {
        private readonly LinkTransport _transport;
        private readonly Lock _gate = new();
        private List<IHandleEvent>? _early = []; // what came before Akka listened
        private IHandleEventListener? _reader; // guarded by _gate
        private ByteLink? _link;

        public LinkHandle(LinkTransport transport, Address local, Address remote)
            : base(local, remote)
        {
            _transport = transport;
            ReadHandlerSource.Task.ContinueWith(
                static (reader, handle) => ((LinkHandle)handle!).Begin(reader.Result), this, CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        }

        /// <inheritdoc/>
        public override bool Write(ByteString payload) => _link is { } link && link.TrySend(payload.Span);

        /// <inheritdoc/>
        [Obsolete("As in the class it is of.")]
        public override void Disassociate() => Close("the association ended");

        public void Close(string reason) => _link?.Close(reason);

        public void Opened(ByteLink link)
        {
            _link = link;
            _transport._open[this] = true;
        }

        public void Received(ByteLink link, ReadOnlySpan<byte> message) => Tell(new InboundPayload(ByteString.CopyFrom(message)));

        public void Closed(ByteLink link, string reason)
        {
            _transport._open.TryRemove(this, out _);
            if (link.IsGarbled)
            {
                _transport._setup.Note($"a link was cut because of what came over it: {reason}");
            }

            Tell(new Disassociated(DisassociateInfo.Unknown));
        }

        // Under the lock, so that nothing overtakes what came early.
        private void Tell(IHandleEvent happened)
        {
            lock (_gate)
            {
                if (_reader is null)
                {
                    _early!.Add(happened);
                    return;
                }

                _reader.Notify(happened);
            }
        }

        private void Begin(IHandleEventListener reader)
        {
            lock (_gate)
            {
                foreach (IHandleEvent happened in _early!)
                {
                    reader.Notify(happened);
                }

                _early = null;
                _reader = reader;
            }
        }
    }
}
