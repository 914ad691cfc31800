using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>What happened so far, counted by the coordinator.</summary>
public sealed class Counters
{
    /// <summary>Steps committed, skipped ones included.</summary>
    public long Steps { get; internal set; }

    /// <summary>Steps whose gradient was not applied because it was not finite.</summary>
    public long SkippedSteps { get; internal set; }

    /// <summary>Shards given to workers for training, repetitions included.</summary>
    public long AssignedShards { get; internal set; }

    /// <summary>Shards given out again because their worker or its pieces were lost.</summary>
    public long LostShards { get; internal set; }

    /// <summary>Shards given to a second worker because the first was late.</summary>
    public long SpeculativeShards { get; internal set; }

    /// <summary>Shards given out again because answers differed or were not finite.</summary>
    public long DisputedShards { get; internal set; }

    /// <summary>Shards of steps that were executed again after a rollback.</summary>
    public long RollbackShards { get; internal set; }

    /// <summary>Times the job went back to a checkpoint.</summary>
    public long Rollbacks { get; private set; }

    /// <summary>Servers that were lost.</summary>
    public long LostServers { get; internal set; }

    /// <summary>Replicas that became owners because theirs was lost, or left.</summary>
    public long Promotions { get; internal set; }

    /// <summary>New replicas that were filled from a live copy.</summary>
    public long Refills { get; internal set; }

    /// <summary>Ranges that got their content from the coordinator: at the start and after a rollback.</summary>
    public long FilledRanges { get; internal set; }

    /// <summary>Steps that were executed again after a rollback and came to what was recorded.</summary>
    public long ReproducedSteps { get; internal set; }

    /// <summary>Answers to steps that are over by more than one, or to another epoch.</summary>
    public long RefusedAnswers { get; internal set; }

    /// <summary>Messages of another epoch, step or fence that servers refused, as far as their heartbeats told.</summary>
    public long RefusedMessages { get; internal set; }

    /// <summary>Actors that were silent for longer than their lease.</summary>
    public long Evictions { get; internal set; }

    /// <summary>Everything that was given out more than once.</summary>
    public long RecomputedShards => LostShards + SpeculativeShards + DisputedShards + RollbackShards;

    /// <summary>Steps in which a late worker's shards were also computed by another.</summary>
    public long Speculations { get; internal set; }

    /// <summary>Workers that were lost.</summary>
    public long LostWorkers { get; internal set; }

    /// <summary>Workers that joined after the first step was opened.</summary>
    public long LateJoins { get; internal set; }

    /// <summary>Workers that left as planned.</summary>
    public long Leaves { get; internal set; }

    /// <summary>Answers that differed from others of the same shard, or were not finite where others were.</summary>
    public long FaultyAnswers { get; internal set; }

    /// <summary>Workers that are no longer used because of their answers.</summary>
    public long Quarantined { get; internal set; }

    /// <summary>Late answers to a committed step that were compared with the committed one.</summary>
    public long ComparedLateAnswers { get; internal set; }

    /// <summary>Evaluations that were completed.</summary>
    public long Evaluations { get; internal set; }

    /// <summary>Checkpoints that were saved.</summary>
    public long Checkpoints { get; internal set; }

    /// <summary>Checkpoints that could not be saved.</summary>
    public long FailedCheckpoints { get; internal set; }

    /// <summary>Answers that were given back: they could not be computed, or from parameters that changed meanwhile.</summary>
    public long AbandonedAnswers { get; internal set; }

    /// <summary>A worker failed before it could join: only its host knows.</summary>
    public void NoteLostBeforeJoining() => LostWorkers++;

    /// <summary>All of them by name, ascending.</summary>
    public NamedCount[] ToNamed() =>
    [
        new("abandonedAnswers", AbandonedAnswers),
        new("assignedShards", AssignedShards),
        new("checkpoints", Checkpoints),
        new("comparedLateAnswers", ComparedLateAnswers),
        new("disputedShards", DisputedShards),
        new("evaluations", Evaluations),
        new("evictions", Evictions),
        new("failedCheckpoints", FailedCheckpoints),
        new("faultyAnswers", FaultyAnswers),
        new("filledRanges", FilledRanges),
        new("lateJoins", LateJoins),
        new("leaves", Leaves),
        new("lostServers", LostServers),
        new("lostShards", LostShards),
        new("lostWorkers", LostWorkers),
        new("promotions", Promotions),
        new("quarantined", Quarantined),
        new("recomputedShards", RecomputedShards),
        new("refills", Refills),
        new("refusedAnswers", RefusedAnswers),
        new("refusedMessages", RefusedMessages),
        new("reproducedSteps", ReproducedSteps),
        new("rollbackShards", RollbackShards),
        new("rollbacks", Rollbacks),
        new("skippedSteps", SkippedSteps),
        new("speculations", Speculations),
        new("speculativeShards", SpeculativeShards),
        new("steps", Steps),
    ];

    /// <summary>The job goes back: these steps, and what was begun of the one that was open, are executed again.</summary>
    internal void NoteRollbackTo(long steps, long openShards, int shards)
    {
        Rollbacks++;
        RollbackShards += (steps * shards) + openShards;
        Steps -= Math.Min(Steps, steps);
    }

    /// <summary>The job goes back: these steps, and the one that failed, will be executed again.</summary>
    /// <param name="steps">From the checkpoint's step to the one that was reached.</param>
    /// <param name="shards">S.</param>
    public void NoteRollback(long steps, int shards)
    {
        Rollbacks++;
        RollbackShards += (steps + 1) * shards;
        Steps -= steps;
    }
}
