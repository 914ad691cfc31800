// Virtual time. Nothing waits: the clock jumps to whatever happens next. Two events of the same instant happen in the order
// in which they were put in, so that a run is a function of its seed.
namespace ClusterRnn.Engines.Simulator.Events;

/// <summary>What is going to happen, and what time it is.</summary>
internal sealed class EventQueue
{
    private readonly PriorityQueue<Action, (long At, long Order)> _events = new();
    private long _order;

    /// <summary>Microseconds since the run began.</summary>
    public long Now { get; private set; }

    /// <summary>How many events have happened.</summary>
    public long Happened { get; private set; }

    /// <summary>Whether anything is going to happen.</summary>
    public bool IsEmpty => _events.Count == 0;

    /// <summary>Has something happen at an instant, or now if that is over.</summary>
    public void At(long ticks, Action what) => _events.Enqueue(what, (Math.Max(ticks, Now), _order++));

    /// <summary>Has something happen after a while.</summary>
    public void After(long ticks, Action what) => At(Now + ticks, what);

    /// <summary>Moves the clock on to the next event, and has it happen.</summary>
    public void Step()
    {
        _events.TryDequeue(out Action? what, out (long At, long Order) priority);
        Now = priority.At;
        Happened++;
        what!();
    }
}
