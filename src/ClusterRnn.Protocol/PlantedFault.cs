// Pieces of the state machines and hosts that tests take away, to see that the simulator's checkers miss them.
//
// Nothing outside the tests can set one: there is no public way, no config key and no command.
namespace ClusterRnn.Protocol;

/// <summary>A piece that is missing.</summary>
internal enum PlantedFault : byte
{
    /// <summary>All is there.</summary>
    None,

    /// <summary>A server takes pieces, reads and verdicts of epochs before the one it accepted.</summary>
    NoEpochFence,

    /// <summary>A server accepts a claim of an epoch before the one it accepted.</summary>
    TwoCoordinatorsAccepted,

    /// <summary>A piece inside a held one is held as well.</summary>
    ContainedSubtreeSummed,

    /// <summary>A server that has heard from the coordinator within a lease takes its own word for owning a range, whatever the fence says.</summary>
    LeaseTrusted,

    /// <summary>The journal that claims an epoch is not flushed.</summary>
    JournalNotFlushedAtClaim,

    /// <summary>What a journal continues is not flushed before it is adopted.</summary>
    PredecessorNotFlushed,

    /// <summary>The pending states stay pending when a step is applied.</summary>
    StateNotCommitted,

    /// <summary>A verdict is sent, then written to the journal.</summary>
    VerdictSentBeforeWritten,

    /// <summary>An owner is prepared without its replica's word.</summary>
    ReplicaNotWaitedFor,

    /// <summary>A piece of another step is taken for one of the step that is open.</summary>
    LateGradientAccepted,

    /// <summary>A verdict on a step that was applied is applied again.</summary>
    VerdictAppliedTwice,

    /// <summary>A replica is promoted under the fence of the owner it replaces.</summary>
    PromotionKeepsFence,

    /// <summary>After a rollback the job goes on in the epoch it was in.</summary>
    RollbackKeepsEpoch,

    /// <summary>A checkpoint is said to be saved when its writing begins.</summary>
    CheckpointAcknowledgedBeforeWritten,

    /// <summary>Of two answers that differ the first one counts.</summary>
    FirstAnswerWins,

    /// <summary>An answer that is not finite counts as one that is.</summary>
    PoisonCountedAsFinite,

    /// <summary>A piece counts although nobody reported on it.</summary>
    UnvouchedPieceCounted,

    /// <summary>A coordinator goes on, and writes its journal, although another one has claimed the next epoch.</summary>
    OvertakenGoesOn,

    /// <summary>A coordinator tells everybody that the job has ended before its host has looked whether another one has taken over.</summary>
    OvertakenEndsTheJob,
}
