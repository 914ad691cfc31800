using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Engines.Simulator.Network;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator;

/// <summary>Everything that a run is a function of.</summary>
internal sealed record SimulationPlan
{
    /// <summary>The times of simulated clusters: short ones, so that leases run out and retries happen within a few steps.</summary>
    public static readonly ProtocolTimes ShortTimes = new()
    {
        HeartbeatTicks = 20_000,
        LeaseTicks = 400_000,
        SpeculationFloorTicks = 10_000,
        RetryFloorTicks = 30_000,
        RetryCeilingTicks = 300_000,
        FailureFloorTicks = 60_000_000,
        NoWorkersTicks = 60_000_000,
        NoServersTicks = 60_000_000,
        NoCoordinatorTicks = 60_000_000,
    };

    /// <summary>The seed of the network's, the disk's and the processors' chance.</summary>
    public required long Seed { get; init; }

    /// <summary>What is trained.</summary>
    public required SimulatedJob Job { get; init; }

    /// <summary>Workers at the start.</summary>
    public required int Workers { get; init; }

    /// <summary>Servers beyond those the job begins with.</summary>
    public int Spares { get; init; }

    /// <summary>Copies of a range.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Whether parts of gradients travel before all is computed.</summary>
    public bool SendsEarly { get; init; }

    /// <summary>The network when nothing is wrong with it in particular.</summary>
    public required NetworkProfile Network { get; init; }

    /// <summary>The cluster's times.</summary>
    public ProtocolTimes Times { get; init; } = ShortTimes;

    /// <summary>What a shard takes at the least, in ticks; half as much again at the most.</summary>
    public long TicksPerShard { get; init; } = 800;

    /// <summary>What goes wrong, and when.</summary>
    public IReadOnlyList<FaultEvent> Faults { get; init; } = [];

    /// <summary>A piece of a state machine or host that is missing, in tests.</summary>
    public PlantedFault Planted { get; init; }

    /// <summary>After how much virtual time a run that has not ended counts as one that never does.</summary>
    public long LongestTicks { get; init; } = 900L * Instant.TicksPerSecond;

    /// <summary>Whether the run is held against the reference and the rules; a scenario's host compares runs itself.</summary>
    public bool IsChecked { get; init; } = true;

    /// <inheritdoc/>
    public override string ToString()
        => $"job {Job.Name}, {Workers} worker(s), {Job.Servers} server(s) and {Spares} spare(s), {Replicas} cop{(Replicas == 1 ? "y" : "ies")}"
            + $"{(SendsEarly ? ", parts of gradients sent early" : "")}; {Network}";
}
