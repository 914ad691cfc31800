using ClusterRnn.Protocol;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Node.InProcess;

/// <summary>How a job is run in this process. None of it changes a bit of the result.</summary>
public sealed record EngineOptions
{
    /// <summary>Workers.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Threads on which each worker computes.</summary>
    public int WorkerThreads { get; init; } = 1;

    /// <summary>Parameter servers.</summary>
    public int Servers { get; init; } = 1;

    /// <summary>The job's name, for observers.</summary>
    public string Name { get; init; } = "job";

    /// <summary>The run folder, for observers; null when nothing is written.</summary>
    public string? Folder { get; init; }

    /// <summary>Where checkpoints are written; null when none are.</summary>
    public CheckpointStore? Checkpoints { get; init; }

    /// <summary>What is saved beside a checkpoint so that it can be used without the data.</summary>
    public IReadOnlyDictionary<string, byte[]>? Artefacts { get; init; }

    /// <summary>The state to go on from, policy included; null starts from the seed. It is only read.</summary>
    public TrainingState? ResumeFrom { get; init; }

    /// <summary>Stop once so many steps are committed, as if interrupted there; null runs to the job's own end.</summary>
    public long? StopAfterStep { get; init; }

    /// <summary>What goes wrong on purpose.</summary>
    public FaultPlan Faults { get; init; } = FaultPlan.None;

    /// <summary>What a worker's buffers may take in bytes; 0 means no limit. While it computes shards of a worker that was lost or late, one answer comes on top.</summary>
    public long WorkerMemoryBytes { get; init; }

    /// <summary>
    /// 0: gradients are reduced when the backward pass is through. Else layer by layer while it goes on, in segments of at
    /// least so many blocks. Here, where gradients are passed by reference and the servers share the workers' cores, that
    /// doesn't pay (two LSTM layers of 512, two workers on two cores: 1 to 4 % slower); over a network it does.
    /// </summary>
    public int LeastSegmentBlocks { get; init; }

    /// <summary>Whether shards are dealt evenly instead of by measured speed, so that a run is dealt the same each time.</summary>
    public bool DealsEvenly { get; init; }

    /// <summary>How late an answer must be at least before another worker computes the same shards.</summary>
    public TimeSpan SpeculationFloor { get; init; } = TimeSpan.FromMilliseconds(500);
}

/// <summary>How a run ended.</summary>
public enum RunOutcome
{
    /// <summary>The job is done: see <see cref="RunResult.StopReason"/>.</summary>
    Completed,

    /// <summary>It was asked to stop; everything up to <see cref="RunResult.Version"/> is kept.</summary>
    Interrupted,
}

/// <summary>What a run came to.</summary>
public sealed class RunResult : IDisposable
{
    /// <summary>How many steps are committed.</summary>
    public required long Version { get; init; }

    /// <summary>The step the run started at: 0, or that of the checkpoint it was resumed from.</summary>
    public required long FirstStep { get; init; }

    /// <summary>How it ended.</summary>
    public required RunOutcome Outcome { get; init; }

    /// <summary>Why a completed job is done.</summary>
    public required StopReason StopReason { get; init; }

    /// <summary>The same in words.</summary>
    public required string Reason { get; init; }

    /// <summary>Parameters, optimizer, streams and policy at <see cref="Version"/>.</summary>
    public required TrainingState State { get; init; }

    /// <summary>The policy at <see cref="Version"/>: losses, best, last evaluation.</summary>
    public required TrainingPolicy Policy { get; init; }

    /// <summary>Puts it all into the words of summaries.</summary>
    internal RunReports Reports { get; init; } = null!;

    /// <summary>The hash of the parameters of the last committed version.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>The hash of all that moves with a step.</summary>
    public required string StateSha256 { get; init; }

    /// <summary>What happened.</summary>
    public required Counters Counters { get; init; }

    /// <summary>The last decision of this run, or null when it made no step.</summary>
    public required StepDecision? LastStep { get; init; }

    /// <summary>Segments of gradients that went to their server while the rest was still being computed.</summary>
    public required long EarlySegments { get; init; }

    /// <summary>Targets of the steps of this run.</summary>
    public required long Targets { get; init; }

    /// <summary>From the first step to the end, evaluations and checkpoints included.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Targets a second.</summary>
    public double TokensPerSecond => Elapsed > TimeSpan.Zero ? Targets / Elapsed.TotalSeconds : 0;

    /// <summary>The folder of the last checkpoint this run wrote, or null.</summary>
    public required string? Checkpoint { get; init; }

    /// <summary>Its step, or null. Less than <see cref="Version"/> where the last state could not be saved.</summary>
    public required long? CheckpointStep { get; init; }

    /// <summary>Bytes that the compute threads allocated on the managed heap while computing, from the third step on.</summary>
    public required long ComputeAllocatedBytes { get; init; }

    /// <summary>The bytes of the buffers of the worker that had the most, answers included.</summary>
    public required long WorkerMemoryBytes { get; init; }

    /// <summary>Bytes that actors and their messages allocated, from the third step on.</summary>
    public required long ActorAllocatedBytes { get; init; }

    /// <inheritdoc/>
    public void Dispose() => State.Dispose();
}
