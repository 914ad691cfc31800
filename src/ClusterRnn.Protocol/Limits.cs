namespace ClusterRnn.Protocol;

/// <summary>
/// Every bound of the protocol in one place; a test checks them against each other. Times are in ticks (microseconds).
/// </summary>
public static class Limits
{
    /// <summary>The protocol's version; peers of another one are refused.</summary>
    public const int ProtocolVersion = 1;

    /// <summary>The most shards a global batch is cut into.</summary>
    public const int MaximumShards = 4096;

    /// <summary>The most workers a job uses.</summary>
    public const int MaximumWorkers = 1024;

    /// <summary>The most ranges the parameters are spread over.</summary>
    public const int MaximumRanges = 256;

    /// <summary>How many answers to one shard are compared before the job stops with the evidence.</summary>
    public const int MaximumAnswersPerShard = 6;

    /// <summary>After how many answers that turned out not to be finite a worker is no longer used.</summary>
    public const int MaximumFaultsPerWorker = 3;

    /// <summary>How often something must have been observed before it says what is unusual.</summary>
    public const int LeastObservations = 3;

    /// <summary>An assignment is late when it has taken this many times what was expected.</summary>
    public const int LateFactor = 2;

    /// <summary>A wait is repeated when it has taken this many times what was observed.</summary>
    public const int RetryFactor = 4;

    /// <summary>A wait has failed when it has taken this many times what was observed.</summary>
    public const int FailureFactor = 200;

    /// <summary>A cut is changed when the predicted step gets shorter by one part in this many.</summary>
    public const int RecutGain = 8;

    /// <summary>Every how many steps the cut is looked at again.</summary>
    public const int RecutInterval = 16;

    /// <summary>Of how many steps it is remembered what they came to, to be compared when they are executed again.</summary>
    public const int RememberedDigests = 65_536;

    /// <summary>How much longer than the shortest step a cut may be if it needs fewer subtrees: one part in this many.</summary>
    public const int CutSlack = 16;

    /// <summary>The version of frames and handshakes; peers of another one are refused.</summary>
    public const int WireVersion = 2;

    /// <summary>The most segments the ranges are cut into.</summary>
    public const int MaximumSegments = 65_536;

    /// <summary>The most layers a gradient's digests are given for.</summary>
    public const int MaximumLayers = 4096;

    /// <summary>The most sums, and the most counts, a shard reports.</summary>
    public const int MaximumSumsPerShard = 65_536;

    /// <summary>The most maximal subtrees a range of blocks is cut into.</summary>
    public const int MaximumSubtreesPerRange = 64;

    /// <summary>The most assignments one message about a step names.</summary>
    public const int MaximumAssignmentsPerStep = MaximumShards * MaximumAnswersPerShard;

    /// <summary>The most actors a status names.</summary>
    public const int MaximumNodes = 4 * (MaximumWorkers + MaximumRanges);

    /// <summary>The most counters a status names.</summary>
    public const int MaximumCounters = 1024;

    /// <summary>The longest text in a message, in bytes of UTF-8.</summary>
    public const int MaximumTextBytes = 16_384;

    /// <summary>The largest state of a policy, which travels in every verdict.</summary>
    public const int MaximumPolicyStateBytes = 8 << 20;

    /// <summary>The largest control message.</summary>
    public const int MaximumControlBytes = 16 << 20;

    /// <summary>The largest message that goes before a block.</summary>
    public const int MaximumMetaBytes = 1 << 20;

    /// <summary>The largest block of a frame.</summary>
    public const long MaximumPayloadBytes = 1L << 30;

    /// <summary>The largest opening of a peer that has proved nothing yet.</summary>
    public const int MaximumHelloBytes = 65_536;
}

/// <summary>The times a host chooses for its network: in one process they are short, between machines longer.</summary>
public sealed record ProtocolTimes
{
    /// <summary>How often a worker or server says that it is there; 0 where the host itself sees who is lost.</summary>
    public long HeartbeatTicks { get; init; } = 250 * Instant.TicksPerMillisecond;

    /// <summary>After how much silence an actor counts as lost.</summary>
    public long LeaseTicks { get; init; } = 5 * Instant.TicksPerSecond;

    /// <summary>The least lateness that starts a speculative computation.</summary>
    public long SpeculationFloorTicks { get; init; } = 50 * Instant.TicksPerMillisecond;

    /// <summary>The least time after which something unanswered is asked again.</summary>
    public long RetryFloorTicks { get; init; } = 200 * Instant.TicksPerMillisecond;

    /// <summary>The most time between two repetitions.</summary>
    public long RetryCeilingTicks { get; init; } = 5 * Instant.TicksPerSecond;

    /// <summary>After how long a wait of which none has ended yet (the first step, the first evaluation, …) has failed.</summary>
    public long FirstFailureTicks { get; init; } = 1800 * Instant.TicksPerSecond;

    /// <summary>The least time after which a wait without any answer has failed, where it is known how long it takes.</summary>
    public long FailureFloorTicks { get; init; } = 120 * Instant.TicksPerSecond;

    /// <summary>How long the coordinator waits for the servers it needs: at the start, and when a range is left without one.</summary>
    public long NoServersTicks { get; init; } = 120 * Instant.TicksPerSecond;

    /// <summary>How long a worker or server waits for a coordinator before it ends.</summary>
    public long NoCoordinatorTicks { get; init; } = 120 * Instant.TicksPerSecond;

    /// <summary>How long the job goes on without a single worker.</summary>
    public long NoWorkersTicks { get; init; } = 60 * Instant.TicksPerSecond;
}
