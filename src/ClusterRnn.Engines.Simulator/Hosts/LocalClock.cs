using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Hosts;

/// <summary>A process's own clock: it began at a moment of its own, and may run fast or slow. It never goes back.</summary>
/// <param name="simulation">Whose virtual time is the truth.</param>
/// <param name="offset">What it says at the beginning.</param>
internal sealed class LocalClock(Simulation simulation, long offset)
{
    private const long Million = 1_000_000;

    private long _sinceTrue = simulation.Events.Now;
    private long _sinceLocal = offset;
    private long _millionths; // it runs faster by so many parts of a million

    /// <summary>What it says.</summary>
    public Instant Now => new(_sinceLocal + Passed(simulation.Events.Now - _sinceTrue));

    /// <summary>From now on it runs faster, or slower, by a part.</summary>
    public void RunFaster(double part)
    {
        _sinceLocal = Now.Ticks;
        _sinceTrue = simulation.Events.Now;
        _millionths = (long)(part * Million);
    }

    /// <summary>The first moment of virtual time at which it says at least that.</summary>
    public long WhenItSays(Instant local)
    {
        if (local == Instant.Never)
        {
            return long.MaxValue;
        }

        long ahead = local.Ticks - _sinceLocal;
        if (ahead <= 0)
        {
            return _sinceTrue;
        }

        long at = _sinceTrue + (long)((Int128)ahead * Million / (Million + _millionths));
        while (_sinceLocal + Passed(at - _sinceTrue) < local.Ticks)
        {
            at++;
        }

        return at;
    }

    private long Passed(long ticks) => ticks + (long)((Int128)ticks * _millionths / Million);
}
