// Who is connected to the coordinator, under which number, and where servers take blocks.
using System.Text;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>Mailboxes with a thread each, control links over tcp.</summary>
/// <param name="options">Where the coordinator listens, and on what terms.</param>
internal sealed class TcpControlPlane(TcpEngineOptions options) : IControlPlane
{
    /// <inheritdoc/>
    public string EngineName => TcpEngine.EngineName;

    /// <inheritdoc/>
    public IActorShell Host(IActor actor, IActorHost host) => new ActorShell(actor, host);

    /// <inheritdoc/>
    public ICoordinatorControl Coordinate(ControlTerms terms) => new CoordinatorLinks(options, terms);
}

/// <summary>The control links of a coordinator.</summary>
internal sealed class CoordinatorLinks : IControlHandler, ICoordinatorControl
{
    private static readonly TimeSpan s_grace = TimeSpan.FromMilliseconds(700); // for a server whose connection broke and that lives

    private static readonly TimeSpan s_lookup = TimeSpan.FromSeconds(5);

    private readonly TcpEngineOptions _options;
    private readonly string _jobId;
    private readonly Action<string> _note;
    private readonly Action<ActorId, Message> _received;
    private readonly Lock _gate = new();
    private readonly SortedList<ActorId, ControlLink> _links = [];
    private readonly List<ControlLink> _clients = [];
    private readonly int[] _next; // by role
    private byte[] _offer = [];
    private ControlListener? _listener;
    private bool _ending;

    /// <summary>Nobody is connected yet.</summary>
    public CoordinatorLinks(TcpEngineOptions options, ControlTerms terms)
    {
        _options = options;
        _note = terms.Note;
        _jobId = terms.JobId;
        _received = terms.Received;
        _next = [terms.FirstNumber, terms.FirstNumber, terms.FirstNumber, terms.FirstNumber];
    }

    /// <inheritdoc/>
    public async Task<HostPort> OpenAsync(byte[] offer)
    {
        _offer = offer;
        _listener = await ControlListener.StartAsync(_options.Listen, _options.Security, _options.Transport, Admit, _note, CancellationToken.None).ConfigureAwait(false);
        return AddressRules.Advertise(_options.Advertise?.WithPort(0), _listener.LocalEndPoint);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _listener?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <inheritdoc/>
    public int Count(ActorRole role)
    {
        lock (_gate)
        {
            return _links.Keys.Count(actor => actor.Role == role);
        }
    }

    private bool IsConnected(ActorId actor)
    {
        lock (_gate)
        {
            return _links.ContainsKey(actor);
        }
    }

    /// <inheritdoc/>
    public string? BulkAddressOf(ActorId server)
    {
        lock (_gate)
        {
            return _links.TryGetValue(server, out ControlLink? link) ? link.AdvertisedBulk : null;
        }
    }

    /// <summary>Decides about a node that knows the job's token.</summary>
    private LinkAdmission<IControlHandler> Admit(LinkOffer offer)
    {
        if (offer.Role == PeerRole.Coordinator)
        {
            return LinkAdmission<IControlHandler>.Refuse("a coordinator does not join another one");
        }

        string job = Encoding.UTF8.GetString(offer.Offer.Span);
        if (job.Length > 0 && job != _jobId)
        {
            return LinkAdmission<IControlHandler>.Refuse($"this coordinator runs job {_jobId}, the node belongs to job {job}");
        }

        if (offer.Role == PeerRole.Server && offer.AdvertisedBulk.Length == 0)
        {
            return LinkAdmission<IControlHandler>.Refuse("a server must say where it takes blocks");
        }

        ControlLink? replaced = null;
        int number = offer.Number;
        lock (_gate)
        {
            if (_ending)
            {
                return LinkAdmission<IControlHandler>.Refuse("the job has ended");
            }

            if (number < 0)
            {
                number = _next[(int)offer.Role]++;
            }
            else if (offer.Role != PeerRole.Client)
            {
                _links.TryGetValue(new ActorId((ActorRole)offer.Role, number), out replaced);
                _next[(int)offer.Role] = Math.Max(_next[(int)offer.Role], number + 1);
            }
        }

        replaced?.Abort("the node connected again");
        return LinkAdmission<IControlHandler>.Accept(this, number, offer.Role == PeerRole.Client ? default : _offer);
    }

    /// <inheritdoc/>
    public void Send(ActorId from, ActorId to, Message message)
    {
        if (message is StatusReply)
        {
            ControlLink[] clients;
            lock (_gate)
            {
                clients = [.. _clients];
            }

            foreach (ControlLink client in clients)
            {
                client.TrySend(from, ActorId.Coordinator, message);
            }

            return;
        }

        ControlLink? link;
        lock (_gate)
        {
            _links.TryGetValue(to, out link);
        }

        link?.TrySend(from, to, message);
    }

    /// <inheritdoc/>
    public void Close(string reason)
    {
        ControlLink[] links;
        lock (_gate)
        {
            _ending = true;
            links = [.. _links.Values, .. _clients];
        }

        foreach (ControlLink link in links)
        {
            link.Close(reason);
        }
    }

    /// <inheritdoc/>
    public void Opened(ControlLink link)
    {
        if (link.PeerRole == PeerRole.Server)
        {
            _ = Task.Run(() => CheckAddressAsync(link));
        }

        lock (_gate)
        {
            if (link.PeerRole == PeerRole.Client)
            {
                _clients.Add(link);
                return;
            }

            _links[link.Peer] = link;

            // Within the lock, so that nobody is told of an older state after a newer one.
            AddressBook book = Book();
            foreach ((ActorId actor, ControlLink other) in _links)
            {
                if (other == link || link.PeerRole == PeerRole.Server)
                {
                    other.TrySend(ActorId.Coordinator, actor, book);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Received(ControlLink link, in Envelope envelope)
    {
        if (link.PeerRole == PeerRole.Client)
        {
            if (envelope.Message is StatusRequest)
            {
                _received(ActorId.Coordinator, envelope.Message); // the reply comes back to this host
            }

            return;
        }

        if (envelope.From == link.Peer)
        {
            _received(link.Peer, envelope.Message);
        }
    }

    /// <inheritdoc/>
    public void Closed(ControlLink link, string reason)
    {
        lock (_gate)
        {
            if (_clients.Remove(link) || !_links.TryGetValue(link.Peer, out ControlLink? current) || current != link)
            {
                return; // it connected again before this end was seen
            }

            _links.Remove(link.Peer);
        }

        if (link.PeerRole == PeerRole.Worker)
        {
            _received(ActorId.Coordinator, new ActorDown(link.Peer, reason));
            return;
        }

        // A server's loss costs a promotion or a rollback, so one whose connection alone broke may come back.
        _ = Task.Run(async () =>
        {
            await Task.Delay(s_grace).ConfigureAwait(false);
            if (!IsConnected(link.Peer))
            {
                _received(ActorId.Coordinator, new ActorDown(link.Peer, reason));
            }
        });
    }

    /// <summary>Says so when the others won't reach a server under the address it gave: the common mistake in containers.</summary>
    private async Task CheckAddressAsync(ControlLink link)
    {
        string? why = await AddressRules.WhyUnreachableAsync(
            link.Peer.ToString(), link.AdvertisedBulk, link.Remote.Address, s_lookup, CancellationToken.None).ConfigureAwait(false);
        if (why is not null)
        {
            _note(why);
        }
    }

    private AddressBook Book()
    {
        var peers = new List<PeerAddress>();
        foreach ((ActorId actor, ControlLink link) in _links)
        {
            if (actor.Role == ActorRole.Server)
            {
                peers.Add(new PeerAddress(actor, link.AdvertisedBulk));
            }
        }

        return new AddressBook([.. peers]);
    }
}
