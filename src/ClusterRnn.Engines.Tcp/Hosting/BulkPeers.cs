// The bulk links of a node: those that others opened and those it opens itself when it has something to send. What can't be
// sent is dropped: the protocol asks again.
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Who this node exchanges blocks with.</summary>
/// <param name="identity">What this node says of itself.</param>
/// <param name="security">Its certificate and token.</param>
/// <param name="options">The links' bounds.</param>
/// <param name="intake">Takes what arrives.</param>
/// <param name="log">Is told what went wrong with a link.</param>
internal sealed class BulkPeers(
    Func<NodeIdentity> identity, NodeSecurity security, TransportOptions options, IBulkHandler intake, Action<string> log) : IDisposable
{
    private const int MostWaiting = 4096;

    private readonly Lock _gate = new();
    private readonly Dictionary<ActorId, Peer> _peers = [];
    private readonly CancellationTokenSource _ending = new();
    private readonly Dictionary<ActorId, string> _addresses = [];

    /// <summary>Learns where the others take blocks.</summary>
    public void Learn(AddressBook book)
    {
        lock (_gate)
        {
            foreach (ActorId gone in _addresses.Keys.Where(actor => actor.Role == ActorRole.Server && !book.Peers.Any(peer => peer.Actor == actor)).ToArray())
            {
                _addresses.Remove(gone);
            }

            foreach (PeerAddress peer in book.Peers)
            {
                _addresses[peer.Actor] = peer.Address;
            }
        }
    }

    /// <summary>Learns where one of the others takes blocks; a link to where it did before is of no use any more.</summary>
    public void Learn(ActorId actor, string address)
    {
        BulkLink? old = null;
        lock (_gate)
        {
            if (_addresses.TryGetValue(actor, out string? before) && before != address && _peers.TryGetValue(actor, out Peer? peer))
            {
                (old, peer.Link) = (peer.Link, null);
            }

            _addresses[actor] = address;
        }

        old?.Abort($"{actor} takes blocks elsewhere");
    }

    /// <summary>A link opened.</summary>
    public void Opened(ActorId peer, BulkLink link)
    {
        List<Waiting> waiting;
        lock (_gate)
        {
            Peer entry = Of(peer);
            entry.Link = link;
            waiting = entry.Waiting;
            entry.Waiting = [];
        }

        foreach (Waiting send in waiting)
        {
            Send(link, send);
        }
    }

    /// <summary>A link closed.</summary>
    public void Closed(ActorId peer, BulkLink link)
    {
        lock (_gate)
        {
            if (_peers.TryGetValue(peer, out Peer? entry) && entry.Link == link)
            {
                entry.Link = null;
            }
        }
    }

    /// <summary>Sends a message.</summary>
    public unsafe void Send(ActorId from, ActorId to, Message message, long epoch, long step) => Send(from, to, message, epoch, step, null, 0, null);

    /// <summary>Sends a message with or without a block.</summary>
    /// <param name="from">The sending actor.</param>
    /// <param name="to">The receiving actor.</param>
    /// <param name="message">The message.</param>
    /// <param name="epoch">The epoch it belongs to.</param>
    /// <param name="step">The step it belongs to.</param>
    /// <param name="payload">The block, or null; it must stay as it is until <paramref name="done"/> is called.</param>
    /// <param name="floats">Floats of the block.</param>
    /// <param name="done">Is called once when the block is not needed any more, sent or not.</param>
    public unsafe void Send(ActorId from, ActorId to, Message message, long epoch, long step, float* payload, long floats, Action? done)
    {
        var send = new Waiting(from, to, message, epoch, step, (nint)payload, floats, done);
        BulkLink? link;
        lock (_gate)
        {
            Peer entry = Of(to);
            link = entry.Link;
            if (link is null)
            {
                if (_ending.IsCancellationRequested || entry.Waiting.Count >= MostWaiting || (!entry.IsDialing && !_addresses.ContainsKey(to)))
                {
                    done?.Invoke();
                    return;
                }

                entry.Waiting.Add(send);
                if (!entry.IsDialing)
                {
                    entry.IsDialing = true;
                    string address = _addresses[to];
                    _ = Task.Run(() => DialAsync(to, address));
                }

                return;
            }
        }

        Send(link, send);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ending.Cancel();
        List<BulkLink> links = [];
        lock (_gate)
        {
            foreach (Peer peer in _peers.Values)
            {
                if (peer.Link is { } link)
                {
                    links.Add(link);
                }
            }
        }

        foreach (BulkLink link in links)
        {
            link.Close("the node ends");
        }
    }

    private static unsafe void Send(BulkLink link, in Waiting send)
    {
        Action<object?, bool>? completed = send.Done is null ? null : static (state, _) => ((Action)state!)();
        if (!link.TrySend(send.From, send.To, send.Message, send.Epoch, send.Step, (float*)send.Payload, send.Floats, completed, send.Done))
        {
            send.Done?.Invoke();
        }
    }

    private async Task DialAsync(ActorId to, string address)
    {
        try
        {
            await BulkLink.ConnectAsync(AddressRules.Parse(address), to, identity(), security, intake, options, _ending.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            if (!_ending.IsCancellationRequested)
            {
                log($"{to} at {address} can't be reached for blocks: {error.Message}");
            }
        }

        List<Waiting> dropped = [];
        lock (_gate)
        {
            Peer entry = Of(to);
            entry.IsDialing = false;
            if (entry.Link is null)
            {
                dropped = entry.Waiting;
                entry.Waiting = [];
            }
        }

        foreach (Waiting send in dropped)
        {
            send.Done?.Invoke();
        }
    }

    private Peer Of(ActorId actor)
    {
        if (!_peers.TryGetValue(actor, out Peer? peer))
        {
            _peers.Add(actor, peer = new Peer());
        }

        return peer;
    }

    private readonly record struct Waiting(ActorId From, ActorId To, Message Message, long Epoch, long Step, nint Payload, long Floats, Action? Done);

    private sealed class Peer
    {
        public BulkLink? Link;
        public List<Waiting> Waiting = [];
        public bool IsDialing;
    }
}
