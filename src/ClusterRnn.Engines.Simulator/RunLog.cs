using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator;

/// <summary>Is told what a report of a run shows. Times are those of <see cref="Simulation.Events"/>.</summary>
internal abstract class RunLog
{
    /// <summary>Somebody says something.</summary>
    public abstract void Noticed(SimulatedNode node, Notice notice);

    /// <summary>A version is reached.</summary>
    public abstract void Committed(CoordinatorHost coordinator, long version);

    /// <summary>A process has started.</summary>
    public abstract void Started(SimulatedNode node);

    /// <summary>A process has ended.</summary>
    public abstract void Ended(SimulatedNode node, string reason);

    /// <summary>A fault has begun.</summary>
    public abstract void FaultBegan(FaultEvent fault, string? note);

    /// <summary>A fault is over.</summary>
    public abstract void FaultEnded(FaultEvent fault);
}
