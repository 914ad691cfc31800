// A node's control link to the coordinator: opened at the start, opened again whenever it is lost.
using System.Diagnostics;
using System.Text;
using ClusterRnn.Engines.Tcp.Hosting;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>Keeps a node connected.</summary>
internal sealed class CoordinatorConnection : NodeControl, IControlHandler, IDisposable
{
    private static readonly TimeSpan s_shortestPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromMilliseconds(250);

    private readonly HostPort _address;
    private readonly PeerRole _role;
    private readonly NodeSecurity _security;
    private readonly TransportOptions _options;
    private readonly Action<string> _log;
    private readonly CancellationTokenSource _ending = new();
    private ControlLink? _link;
    private string _advertisedBulk = "";

    /// <summary>Makes a connection that is not open yet.</summary>
    public CoordinatorConnection(HostPort address, PeerRole role, NodeSecurity security, TransportOptions options, string? aliveFile, Action<string> log)
        : base((ActorRole)role, aliveFile)
    {
        _address = address;
        _role = role;
        _security = security;
        _options = options;
        _log = log;
    }

    /// <summary>Opens the link, again and again until the deadline.</summary>
    /// <param name="advertisedBulk">HOST:PORT of the node's own bulk port, or empty.</param>
    /// <param name="timeout">How long the coordinator is waited for.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="TransportException">It could not be opened in time, or was refused.</exception>
    public async Task OpenAsync(string advertisedBulk, TimeSpan timeout, CancellationToken cancellation)
    {
        _advertisedBulk = advertisedBulk;
        long started = Stopwatch.GetTimestamp();
        TimeSpan pause = s_shortestPause;
        bool said = false;
        while (true)
        {
            try
            {
                await DialAsync(cancellation).ConfigureAwait(false);
                return;
            }
            catch (TransportException error)
            {
                if (error.IsRefusal)
                {
                    throw; // it said why, and would say it again
                }

                if (Stopwatch.GetElapsedTime(started) > timeout)
                {
                    throw new TransportException($"no coordinator at {_address} within {timeout.TotalSeconds:0} s: {error.Message}", error);
                }

                if (!said && Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(2))
                {
                    said = true;
                    _log($"waiting for a coordinator at {_address}, at most {timeout.TotalSeconds:0} s ({error.Message})");
                }
            }

            await Task.Delay(pause, cancellation).ConfigureAwait(false);
            pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
        }
    }

    /// <inheritdoc/>
    public override IActorShell Host(IActor actor, IActorHost host) => new ActorShell(actor, host);

    /// <inheritdoc/>
    public void Opened(ControlLink link) => Volatile.Write(ref _link, link);

    /// <inheritdoc/>
    public void Received(ControlLink link, in Envelope envelope) => Take(envelope);

    /// <inheritdoc/>
    public void Closed(ControlLink link, string reason)
    {
        if (Interlocked.CompareExchange(ref _link, null, link) != link || _ending.IsCancellationRequested)
        {
            return;
        }

        _log($"the link to the coordinator is lost: {reason}");
        Lose(reason);
        _ = Task.Run(ReopenAsync);
    }

    /// <summary>Closes the link for good, after what is queued on it.</summary>
    public void Dispose()
    {
        _ending.Cancel();
        Volatile.Read(ref _link)?.Close("the node ends");
    }

    /// <inheritdoc/>
    protected override void Transmit(ActorId from, ActorId to, Message message) => Volatile.Read(ref _link)?.TrySend(from, to, message);

    private async Task ReopenAsync()
    {
        TimeSpan pause = s_shortestPause;
        string? said = null;
        while (!_ending.IsCancellationRequested)
        {
            try
            {
                await DialAsync(_ending.Token).ConfigureAwait(false);
                return;
            }
            catch (TransportException error)
            {
                // The actor has the deadline: it ends when nobody claims it in time.
                if (error.IsRefusal && error.Message != said)
                {
                    said = error.Message;
                    _log(error.Message);
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }

            try
            {
                await Task.Delay(pause, _ending.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
        }
    }

    private async Task DialAsync(CancellationToken cancellation)
    {
        var identity = new NodeIdentity(_role, Number, _advertisedBulk, Encoding.UTF8.GetBytes(JobId));
        ControlLink link = await ControlLink.ConnectAsync(_address, identity, _security, this, _options, cancellation).ConfigureAwait(false);
        JobOffer offer = JobOffer.FromBytes(link.Answer.Span);
        if (Number >= 0 && link.Number != Number)
        {
            link.Close("another number");
            throw new TransportException($"the coordinator gave number {link.Number}, this node is {Actor}");
        }

        LetIn(link.Number, offer);
    }
}
