// An actor's mailbox and thread: receive, Handle, perform. Everything the actor decides is performed on its thread, in
// order; whatever takes long is handed to other threads, whose results come back as envelopes.
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Hosts one actor.</summary>
internal sealed class ActorShell : IActorShell
{
    private const int LongestWaitMs = 1000;

    private readonly HostedActor _actor;
    private readonly object _gate = new();
    private readonly Thread _thread;
    private Queue<(ActorId From, Message Message)> _arrivals = new(); // guarded by _gate
    private Queue<(ActorId From, Message Message)> _delivering = new();
    private bool _ending; // guarded by _gate

    /// <summary>Makes the shell; nothing happens before <see cref="Start"/>.</summary>
    public ActorShell(IActor actor, IActorHost host)
    {
        _actor = new HostedActor(actor, host);
        _thread = new Thread(Run) { IsBackground = true, Name = actor.Id.ToString() };
    }

    /// <inheritdoc/>
    public void Start() => _thread.Start();

    /// <inheritdoc/>
    public void Post(ActorId from, Message message)
    {
        lock (_gate)
        {
            _arrivals.Enqueue((from, message));
            Monitor.Pulse(_gate);
        }
    }

    /// <inheritdoc/>
    public void Post(Message message) => Post(_actor.Id, message);

    /// <summary>Ends the thread after what it is doing.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _ending = true;
            Monitor.Pulse(_gate);
        }

        if (_thread.IsAlive && Thread.CurrentThread != _thread)
        {
            _thread.Join(TimeSpan.FromSeconds(10));
        }
    }

    private void Run()
    {
        try
        {
            _actor.Start();
            while (Wait())
            {
                while (_delivering.TryDequeue(out (ActorId From, Message Message) arrival))
                {
                    _actor.Handle(arrival.From, arrival.Message);
                }

                _actor.Tick();
            }
        }
        catch (Exception error)
        {
            _actor.Failed(error);
        }
    }

    /// <summary>Waits for an envelope or the next tick.</summary>
    /// <returns>False when the shell ends.</returns>
    private bool Wait()
    {
        lock (_gate)
        {
            if (_arrivals.Count == 0 && !_ending)
            {
                long wait = _actor.UntilTick is { } until ? Math.Min((until + 999) / 1000, LongestWaitMs) : LongestWaitMs;
                if (wait > 0)
                {
                    Monitor.Wait(_gate, (int)wait);
                }
            }

            (_arrivals, _delivering) = (_delivering, _arrivals);
            return !_ending;
        }
    }
}
