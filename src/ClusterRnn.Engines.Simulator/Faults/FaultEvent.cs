using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Faults;

/// <summary>What can go wrong.</summary>
internal enum FaultKind : byte
{
    /// <summary>A process ends without a word, and is started again at the end of the fault.</summary>
    Kill,

    /// <summary>A process ends with its machine: what its disk had not flushed is gone.</summary>
    PowerLoss,

    /// <summary>A process stands still and goes on afterwards as if nothing had happened.</summary>
    Pause,

    /// <summary>Nothing goes to or from a node.</summary>
    Cut,

    /// <summary>Everything to and from a node takes longer; the amount is in ticks.</summary>
    Latency,

    /// <summary>Messages to and from a node are lost; the amount is a probability.</summary>
    Loss,

    /// <summary>Messages arrive twice; the amount is a probability.</summary>
    Duplicate,

    /// <summary>Messages overtake each other by up to the amount, in ticks.</summary>
    Reorder,

    /// <summary>A node sends no more than the amount, in bytes a second.</summary>
    Bandwidth,

    /// <summary>A node's clock runs faster or slower by the amount, in parts.</summary>
    ClockSkew,

    /// <summary>A node computes the amount times slower.</summary>
    SlowCpu,

    /// <summary>The coordinator's disk is full; with the amount <see cref="FaultEvent.OnlyCheckpoints"/> it is another one that the journal lies on.</summary>
    DiskFull,

    /// <summary>A bit of one of the coordinator's checkpoints or journals flips.</summary>
    DiskCorrupt,

    /// <summary>A worker's next gradient is not finite.</summary>
    NotFinite,

    /// <summary>A worker computes wrong bits, and takes its time.</summary>
    WrongBits,

    /// <summary>A node is asked to leave.</summary>
    Drain,

    /// <summary>Another worker or server joins.</summary>
    Join,

    /// <summary>A second coordinator is started although the first one lives.</summary>
    Usurp,

    /// <summary>The next messages to and from a node are damaged on their way; the amount is how many. What is damaged is noticed and does not count.</summary>
    Damage,
}

/// <summary>One fault of a schedule.</summary>
/// <param name="Kind">What.</param>
/// <param name="Target">Whom it hits.</param>
/// <param name="AtStep">When this step is committed for the first time; -1 counts from the start of the run.</param>
/// <param name="AfterTicks">So long after that.</param>
/// <param name="ForTicks">How long it lasts, or until what ended is started again.</param>
/// <param name="Amount">How much of it; see <see cref="FaultKind"/>.</param>
/// <param name="Direction">Which way a fault of the network works.</param>
/// <param name="Peers">Between the target and whom a fault of the network works; null for everyone.</param>
internal sealed record FaultEvent(
    FaultKind Kind, NodeName Target, long AtStep, long AfterTicks, long ForTicks, double Amount = 0, FaultDirection Direction = FaultDirection.Both, IReadOnlyList<NodeName>? Peers = null)
{
    /// <summary>The amount of a <see cref="FaultKind.DiskFull"/> that spares the journal.</summary>
    public const double OnlyCheckpoints = 1;

    /// <summary>Where a second coordinator is started.</summary>
    public static readonly NodeName Standby = new(ActorRole.Coordinator, 1);

    /// <inheritdoc/>
    public override string ToString()
    {
        string amount = Kind switch
        {
            FaultKind.Latency or FaultKind.Reorder => $" by {Amount / 1000:0.#} ms",
            FaultKind.Loss or FaultKind.Duplicate => $" of {Amount:0.##}",
            FaultKind.Bandwidth => $" of {Amount:0} B/s",
            FaultKind.ClockSkew => $" by {Amount:0.##}",
            FaultKind.Damage => $" of {Amount:0} messages",
            FaultKind.SlowCpu => $" {Amount:0.#} times",
            _ => "",
        };
        string way = Direction switch { FaultDirection.In => " (in)", FaultDirection.Out => " (out)", _ => "" };
        string when = AtStep < 0 ? $"at {AfterTicks / 1000.0:0.###} ms" : $"{AfterTicks / 1000.0:0.###} ms after step {AtStep}";
        return $"{Kind}{amount} {NameOf(Target)}{way} {when} for {ForTicks / 1000.0:0.###} ms";
    }

    /// <summary>What a place is called; the second coordinator's is not one of an experiment.</summary>
    public static string NameOf(NodeName place) => place == Standby ? "standby" : place.ToString();
}
