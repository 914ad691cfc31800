// What the cluster looks like from the coordinator, for `clusterrnn status`.
namespace ClusterRnn.Protocol.Messages;

/// <summary>Anyone to coordinator: how does the job stand? Changes nothing.</summary>
public sealed record StatusRequest : Message;

/// <summary>The answer, to the sender of the request.</summary>
/// <param name="Epoch">The coordinator's epoch.</param>
/// <param name="Version">How many steps are committed.</param>
/// <param name="Activity">What it is doing, in a few words, with what it waits for.</param>
/// <param name="StepTicks">The smoothed time from one commit to the next in microseconds, 0 before the second.</param>
/// <param name="Ended">Whether the job has ended.</param>
/// <param name="Nodes">Everyone who is known, in the order of their addresses.</param>
/// <param name="Counters">The coordinator's counters by name, ascending.</param>
public sealed record StatusReply(
    long Epoch, long Version, string Activity, long StepTicks, bool Ended, NodeStatus[] Nodes, NamedCount[] Counters) : Message;

/// <summary>How an actor stands.</summary>
public enum NodeCondition : byte
{
    /// <summary>It is used.</summary>
    Active,

    /// <summary>It is there and has nothing to do: a spare, or a worker without shards in this step.</summary>
    Idle,

    /// <summary>It is silent for longer than usual.</summary>
    Suspect,

    /// <summary>It is late against the others of this step.</summary>
    Late,

    /// <summary>It gets the content of a range.</summary>
    Filling,

    /// <summary>It is about to leave.</summary>
    Draining,

    /// <summary>It is no longer used because of its answers.</summary>
    Quarantined,
}

/// <summary>What the coordinator knows of an actor.</summary>
/// <param name="Actor">Who.</param>
/// <param name="Condition">How it stands.</param>
/// <param name="Work">What it has: "shards [0, 4)", "owns 0, 2; replica of 1"; empty for nothing.</param>
/// <param name="Version">The version a server is at, the step a worker has work of; -1 when unknown.</param>
/// <param name="SilenceTicks">Microseconds since something was heard from it.</param>
/// <param name="ComputeTicks">For a worker: what it last computed took, in microseconds.</param>
/// <param name="WaitTicks">For a worker: how much longer than that its answer took (reading, sending, queueing).</param>
/// <param name="TicksPerShard">For a worker: the smoothed time of a shard in microseconds, 0 when not measured.</param>
/// <param name="Why">Why it is late or suspect, else empty.</param>
public readonly record struct NodeStatus(
    ActorId Actor,
    NodeCondition Condition,
    string Work,
    long Version,
    long SilenceTicks,
    long ComputeTicks,
    long WaitTicks,
    long TicksPerShard,
    string Why);

/// <summary>A counter.</summary>
/// <param name="Name">Its name as in a run's summary.</param>
/// <param name="Count">Its value.</param>
public readonly record struct NamedCount(string Name, long Count);
