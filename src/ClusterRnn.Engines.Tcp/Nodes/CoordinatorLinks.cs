// Who is connected to the coordinator, under which number, and where servers take blocks.
using System.Text;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>The control links of a coordinator.</summary>
internal sealed class CoordinatorLinks : IControlHandler
{
    private static readonly TimeSpan s_grace = TimeSpan.FromMilliseconds(700); // for a server whose connection broke and that lives

    private static readonly TimeSpan s_lookup = TimeSpan.FromSeconds(5);

    private readonly string _jobId;
    private readonly Action<string> _note;
    private readonly Action<ActorId, Message> _received;
    private readonly Lock _gate = new();
    private readonly SortedList<ActorId, ControlLink> _links = [];
    private readonly List<ControlLink> _clients = [];
    private readonly int[] _next; // by role
    private bool _ending;

    /// <summary>Nobody is connected yet.</summary>
    /// <param name="jobId">The job; nodes of another one are sent away.</param>
    /// <param name="firstNumber">The numbers given here begin with it.</param>
    /// <param name="received">Is told what arrives, and who is gone.</param>
    /// <param name="note">Is told what a person should know.</param>
    public CoordinatorLinks(string jobId, int firstNumber, Action<ActorId, Message> received, Action<string> note)
    {
        _note = note;
        _jobId = jobId;
        _received = received;
        _next = [firstNumber, firstNumber, firstNumber, firstNumber];
    }

    /// <summary>What a node is answered; set before anyone is let in.</summary>
    public byte[] Offer { get; set; } = [];

    /// <summary>How many nodes of a role are connected.</summary>
    public int Count(ActorRole role)
    {
        lock (_gate)
        {
            return _links.Keys.Count(actor => actor.Role == role);
        }
    }

    /// <summary>Whether a node is connected.</summary>
    public bool IsConnected(ActorId actor)
    {
        lock (_gate)
        {
            return _links.ContainsKey(actor);
        }
    }

    /// <summary>Where a server takes blocks, or null when it is not connected.</summary>
    public string? BulkAddressOf(ActorId server)
    {
        lock (_gate)
        {
            return _links.TryGetValue(server, out ControlLink? link) ? link.AdvertisedBulk : null;
        }
    }

    /// <summary>Decides about a node that knows the job's token.</summary>
    public LinkAdmission<IControlHandler> Admit(LinkOffer offer)
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
        return LinkAdmission<IControlHandler>.Accept(this, number, offer.Role == PeerRole.Client ? default : Offer);
    }

    /// <summary>Sends a message, or drops it when its receiver is not connected.</summary>
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

    /// <summary>Lets nobody in any more and closes what is open, after what is queued.</summary>
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
