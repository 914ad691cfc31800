namespace ClusterRnn.Node.InProcess;

/// <summary>Something that goes wrong, or changes, on purpose at a step.</summary>
/// <param name="Step">The step: the version from which it is computed.</param>
public abstract record Fault(long Step);

/// <summary>A worker fails in the middle of computing a step; what it computes is lost.</summary>
/// <param name="Worker">The worker's number.</param>
/// <param name="Step">The step, or the first after it in which the worker has something to do; a negative one fails before it can join.</param>
/// <param name="Replace">Whether another worker joins in its place.</param>
public sealed record FailWorker(int Worker, long Step, bool Replace = false) : Fault(Step);

/// <summary>A worker takes longer for some steps: it waits between reading the parameters and computing.</summary>
/// <param name="Worker">The worker's number.</param>
/// <param name="Step">The first slow step.</param>
/// <param name="Steps">How many steps are slow.</param>
/// <param name="Delay">By how much each takes longer.</param>
public sealed record SlowWorker(int Worker, long Step, long Steps, TimeSpan Delay) : Fault(Step);

/// <summary>A worker joins.</summary>
/// <param name="Step">The step from which on it is used.</param>
public sealed record JoinWorker(long Step) : Fault(Step);

/// <summary>A worker leaves as planned.</summary>
/// <param name="Worker">The worker's number.</param>
/// <param name="Step">The step from which on it is not used.</param>
public sealed record LeaveWorker(int Worker, long Step) : Fault(Step);

/// <summary>A worker's answer to a step is not finite, as if its arithmetic had failed once.</summary>
/// <param name="Worker">The worker's number.</param>
/// <param name="Step">The step.</param>
public sealed record PoisonWorker(int Worker, long Step) : Fault(Step);

/// <summary>The faults of a run. Workers are numbered from 0; those that join later go on counting.</summary>
/// <param name="Faults">The faults.</param>
public sealed record FaultPlan(params IReadOnlyList<Fault> Faults)
{
    /// <summary>Nothing goes wrong on purpose.</summary>
    public static readonly FaultPlan None = new();
}
