// The faults of a scenario, in the words of toxiproxy and Chaos Mesh. Each names its kind, whom it hits and when:
//
//     - { kind: kill, target: worker-1, step: 40 }                                   at a step
//     - { kind: partition, target: worker-0, direction: in, at: 6, duration: 4 }     at a time, seconds after the first step
//     - { kind: pause, target: random-worker, perMinute: 10, until: 30, duration: 1 }    at a rate, at random moments
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace ClusterRnn.Node.Experiments;

/// <summary>Which way a network fault works.</summary>
public enum FaultDirection
{
    /// <summary>What the target sends and what it should get.</summary>
    Both,

    /// <summary>Only what the target should get.</summary>
    In,

    /// <summary>Only what the target sends.</summary>
    Out,
}

/// <summary>A fault of a scenario.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(KillFault), "kill")]
[JsonDerivedType(typeof(PauseFault), "pause")]
[JsonDerivedType(typeof(PartitionFault), "partition")]
[JsonDerivedType(typeof(LatencyFault), "latency")]
[JsonDerivedType(typeof(LossFault), "loss")]
[JsonDerivedType(typeof(BandwidthFault), "bandwidth")]
[JsonDerivedType(typeof(SlowFault), "slow")]
[JsonDerivedType(typeof(CorruptFault), "corrupt")]
[JsonDerivedType(typeof(DiskFullFault), "disk-full")]
[JsonDerivedType(typeof(NanFault), "nan")]
[JsonDerivedType(typeof(WrongBitsFault), "wrong-bits")]
public abstract record FaultConfig
{
    /// <summary>Whom it hits: a node's name, or one chosen by the scenario's seed.</summary>
    [Description("Whom it hits: coordinator, worker-N, server-N, or random, random-worker, random-server, which the seed chooses.")]
    [RegularExpression(
        "coordinator|worker-[0-9]{1,4}|server-[0-9]{1,4}|random(-worker|-server)?",
        ErrorMessage = "coordinator, worker-N, server-N (N from 0), random, random-worker or random-server")]
    public required string Target { get; init; }

    /// <summary>Once so many steps are committed; null when it comes at a time or a rate.</summary>
    [Description("Once so many steps are committed.")]
    [Range(0, long.MaxValue)]
    public long? Step { get; init; }

    /// <summary>So many seconds after the first step was committed.</summary>
    [Description("So many seconds after the first step was committed.")]
    [Range(0.0, 86400.0)]
    public double? At { get; init; }

    /// <summary>So many times a minute, at moments that the seed chooses, from the first step to <see cref="Until"/>.</summary>
    [Description("So many times a minute on average, at moments that the seed chooses, until 'until'.")]
    [Range(0.0, 6000.0, MinimumIsExclusive = true)]
    public double? PerMinute { get; init; }

    /// <summary>Where the moments of <see cref="PerMinute"/> end, in seconds after the first step.</summary>
    [Description("Where 'perMinute' ends, in seconds after the first step.")]
    [Range(0.0, 86400.0, MinimumIsExclusive = true)]
    public double? Until { get; init; }

    /// <summary>How it is called in a scenario.</summary>
    [JsonIgnore]
    public abstract string Kind { get; }

    /// <summary>How long it lasts in seconds; null for what happens at one moment or lasts for good.</summary>
    [JsonIgnore]
    public abstract double? Lasts { get; }

    /// <summary>What it does, in a few words without the target: "SIGKILL, started again".</summary>
    [JsonIgnore]
    public abstract string Words { get; }
}

/// <summary>A fault that lasts for a while.</summary>
public abstract record LastingFault : FaultConfig
{
    /// <summary>How long it lasts, in seconds.</summary>
    [Description("How long it lasts, in seconds.")]
    [Range(0.0, 86400.0, MinimumIsExclusive = true)]
    public required double Duration { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Lasts => Duration;
}

/// <summary>A fault of the network between a node and others, which lasts for a while.</summary>
public abstract record NetworkFault : LastingFault
{
    /// <summary>Between the target and whom; empty means everyone.</summary>
    [Description("Between the target and whom: [coordinator, server-0]. Default: everyone.")]
    public IReadOnlyList<string> Peers { get; init; } = [];

    /// <summary>Which way.</summary>
    [Description("both; in: only what the target should get; out: only what it sends.")]
    public FaultDirection Direction { get; init; }

    /// <summary>The direction and the peers in words: ", what it sends to server-0".</summary>
    private protected string Where => (Direction, Peers.Count) switch
    {
        (FaultDirection.Both, 0) => "",
        (FaultDirection.Both, _) => ", to and from " + string.Join(", ", Peers),
        (FaultDirection.In, 0) => ", only what it should get",
        (FaultDirection.In, _) => ", only what it should get from " + string.Join(", ", Peers),
        (_, 0) => ", only what it sends",
        _ => ", only what it sends to " + string.Join(", ", Peers),
    };
}

/// <summary>The node's process ends at once (SIGKILL).</summary>
[Description("The node ends at once, as by SIGKILL.")]
public sealed record KillFault : FaultConfig
{
    /// <summary>Whether it is started again.</summary>
    [Description("Whether it is started again.")]
    public bool Restart { get; init; } = true;

    /// <summary>How long it is gone before it is started again, in seconds.</summary>
    [Description("How long it is gone before it is started again, in seconds.")]
    [Range(0.0, 86400.0)]
    public double Duration { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "kill";

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Lasts => Restart ? Duration : null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => !Restart ? "killed for good" : Duration == 0 ? "killed and started again" : FormattableString.Invariant($"killed and started again after {Duration:0.###} s");
}

/// <summary>The node stops in the middle of whatever it does, and goes on (SIGSTOP, SIGCONT).</summary>
[Description("The node stops in the middle of whatever it does, and goes on, as by SIGSTOP and SIGCONT.")]
public sealed record PauseFault : LastingFault
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "pause";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"stopped for {Duration:0.###} s");
}

/// <summary>Nothing comes through; nobody is told.</summary>
[Description("Nothing comes through between the target and its peers, and nobody is told.")]
public sealed record PartitionFault : NetworkFault
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "partition";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"cut off for {Duration:0.###} s{Where}");
}

/// <summary>Everything arrives later.</summary>
[Description("Everything between the target and its peers arrives later.")]
public sealed record LatencyFault : NetworkFault
{
    /// <summary>By how much, in milliseconds.</summary>
    [Description("By how many milliseconds.")]
    [Range(0.0, 600000.0, MinimumIsExclusive = true)]
    public required double Milliseconds { get; init; }

    /// <summary>How much more or less than that at most, in milliseconds.</summary>
    [Description("How many milliseconds more or less than that at most.")]
    [Range(0.0, 600000.0)]
    public double Jitter { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "latency";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words
        => FormattableString.Invariant($"everything {Milliseconds:0.###} ms late{(Jitter > 0 ? FormattableString.Invariant($" (give or take {Jitter:0.###})") : "")} for {Duration:0.###} s{Where}");
}

/// <summary>Messages are lost at random. Over TCP lost packets are sent again and so come late.</summary>
[Description("Messages between the target and its peers are lost at random; what is sent over TCP is sent again by it, and so comes late.")]
public sealed record LossFault : NetworkFault
{
    /// <summary>How many of a hundred.</summary>
    [Description("How many of a hundred.")]
    [Range(0.0, 100.0, MinimumIsExclusive = true)]
    public required double Percent { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "loss";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"{Percent:0.###} % of all packets lost for {Duration:0.###} s{Where}");
}

/// <summary>Only so much comes through in a second.</summary>
[Description("Only so much comes through in a second between the target and its peers.")]
public sealed record BandwidthFault : NetworkFault
{
    /// <summary>How much: kilobytes (1000 bytes) a second, each way of each connection.</summary>
    [Description("How many kilobytes a second, each way of each connection.")]
    [Range(0.0, 1e9, MinimumIsExclusive = true)]
    public required double KilobytesPerSecond { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "bandwidth";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"at most {KilobytesPerSecond:0.###} kB a second for {Duration:0.###} s{Where}");
}

/// <summary>The node gets only a part of its processor time.</summary>
[Description("The node gets only a part of its processor time.")]
public sealed record SlowFault : LastingFault
{
    /// <summary>How many times slower it is.</summary>
    [Description("How many times slower it is.")]
    [Range(1.0, 1000.0, MinimumIsExclusive = true)]
    public double Factor { get; init; } = 10;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "slow";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"{Factor:0.###} times slower for {Duration:0.###} s");
}

/// <summary>Bits of messages are flipped on their way.</summary>
[Description("One bit each of the next messages between the target and its peers is flipped on its way.")]
public sealed record CorruptFault : FaultConfig
{
    /// <summary>How many messages are damaged.</summary>
    [Description("How many messages are damaged.")]
    [Range(1, 1000)]
    public int Count { get; init; } = 1;

    /// <summary>Between the target and whom; empty means everyone.</summary>
    [Description("Between the target and whom: [coordinator, server-0]. Default: everyone.")]
    public IReadOnlyList<string> Peers { get; init; } = [];

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "corrupt";

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Lasts => null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => (Count == 1 ? "a bit of a message is flipped" : FormattableString.Invariant($"a bit each of {Count} messages is flipped"))
        + (Peers.Count == 0 ? "" : ", to or from " + string.Join(", ", Peers));
}

/// <summary>The disk that checkpoints are written to is full.</summary>
[Description("The disk that the coordinator writes checkpoints to is full.")]
public sealed record DiskFullFault : LastingFault
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "disk-full";

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => FormattableString.Invariant($"no room for checkpoints for {Duration:0.###} s");
}

/// <summary>A worker's gradients hold a NaN: a failing processor, not the model's doing.</summary>
[Description("A worker's next answers hold a NaN that nobody else would compute.")]
public sealed record NanFault : FaultConfig
{
    /// <summary>How many answers.</summary>
    [Description("How many answers.")]
    [Range(1, 1000)]
    public int Count { get; init; } = 1;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "nan";

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Lasts => null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => Count == 1 ? "an answer holds a NaN" : FormattableString.Invariant($"{Count} answers hold a NaN");
}

/// <summary>A worker computes something else than the others would.</summary>
[Description("A worker's next answers differ in a bit from what everybody else would compute.")]
public sealed record WrongBitsFault : FaultConfig
{
    /// <summary>How many answers.</summary>
    [Description("How many answers.")]
    [Range(1, 1000)]
    public int Count { get; init; } = 1;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Kind => "wrong-bits";

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Lasts => null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Words => Count == 1 ? "an answer has a wrong bit" : FormattableString.Invariant($"{Count} answers have wrong bits");
}
