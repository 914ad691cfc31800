using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>While nothing is wrong, a step is committed within a bound of virtual time, and so the job ends.</summary>
/// <param name="simulation">The run.</param>
internal sealed class LivenessChecker(Simulation simulation) : Checker(simulation, "liveness")
{
    /// <summary>How long a step may take, in ticks, from when the last fault is over: fifty leases.</summary>
    public const long BoundTicks = 20 * Instant.TicksPerSecond;

    private long _progressAt;

    /// <inheritdoc/>
    public override void Committed(CoordinatorHost coordinator, long version) => _progressAt = Simulation.Events.Now;

    /// <inheritdoc/>
    public override void TimePassed()
    {
        long since = Math.Max(_progressAt, Simulation.Injector.LastEnd);
        if (Simulation.Events.Now - since > BoundTicks)
        {
            throw Fail($"nothing is wrong, and no step was committed for {BoundTicks / Instant.TicksPerSecond} s.");
        }
    }
}
