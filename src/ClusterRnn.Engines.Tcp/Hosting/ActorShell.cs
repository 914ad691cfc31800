// An actor's mailbox and thread: receive, Handle, perform. Everything the actor decides is performed on its thread, in
// order; whatever takes long is handed to other threads, whose results come back as envelopes.
using System.Diagnostics;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Performs what an actor decided. Called on the actor's thread; must not wait.</summary>
internal interface IActorHost
{
    /// <summary>Sends a message, or drops it if there is no way to its receiver: the protocol asks again.</summary>
    void Send(ActorId from, ActorId to, Message message);

    /// <summary>Does what only the host can do.</summary>
    void Perform(ActorId actor, NodeEffect effect);

    /// <summary>The actor failed: a defect of the program, or of what was sent to it.</summary>
    void Failed(ActorId actor, Exception failure);
}

/// <summary>Hosts one actor.</summary>
internal sealed class ActorShell : IActorShell
{
    private const int LongestWaitMs = 1000;

    private readonly IActor _actor;
    private readonly IActorHost _host;
    private readonly EffectList _effects = new();
    private readonly object _gate = new();
    private readonly Thread _thread;
    private Queue<Envelope> _arrivals = new(); // guarded by _gate
    private Queue<Envelope> _delivering = new();
    private bool _ending; // guarded by _gate

    /// <summary>Makes the shell; nothing happens before <see cref="Start"/>.</summary>
    public ActorShell(IActor actor, IActorHost host)
    {
        _actor = actor;
        _host = host;
        _thread = new Thread(Run) { IsBackground = true, Name = actor.Id.ToString() };
    }

    /// <summary>The time actors are told, in microseconds since an arbitrary moment.</summary>
    public static Instant Now() => new((long)(Stopwatch.GetTimestamp() * ((double)Instant.TicksPerSecond / Stopwatch.Frequency)));

    /// <inheritdoc/>
    public void Start() => _thread.Start();

    /// <inheritdoc/>
    public void Post(ActorId from, Message message)
    {
        lock (_gate)
        {
            _arrivals.Enqueue(new Envelope(from, _actor.Id, message));
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
            _actor.Start(Now(), _effects);
            Perform();
            while (Wait())
            {
                while (_delivering.TryDequeue(out Envelope envelope))
                {
                    try
                    {
                        _actor.Handle(envelope, Now(), _effects);
                    }
                    catch (Exception error) when (error is not TrainingException)
                    {
                        throw new TrainingException($"{_actor.Id} failed at a {envelope.Message.GetType().Name} from {envelope.From}: {error.Message}", error);
                    }

                    Perform();
                }

                Instant now = Now();
                if (_actor.NextTick <= now)
                {
                    _actor.Tick(now, _effects);
                    Perform();
                }
            }
        }
        catch (Exception error)
        {
            _host.Failed(_actor.Id, error);
        }
    }

    private void Perform()
    {
        for (int i = 0; i < _effects.Count; i++)
        {
            Effect effect = _effects[i];
            if (effect.Message is { } message)
            {
                _host.Send(_actor.Id, effect.To, message);
            }
            else
            {
                _host.Perform(_actor.Id, effect.Action!);
            }
        }

        _effects.Clear();
    }

    /// <summary>Waits for an envelope or the next tick.</summary>
    /// <returns>False when the shell ends.</returns>
    private bool Wait()
    {
        lock (_gate)
        {
            if (_arrivals.Count == 0 && !_ending)
            {
                Instant next = _actor.NextTick;
                long wait = next == Instant.Never ? LongestWaitMs : Math.Clamp((next - Now() + 999) / 1000, 0, LongestWaitMs);
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
