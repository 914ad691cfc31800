using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>What a step came to, before it is decided.</summary>
/// <param name="Version">The step.</param>
/// <param name="Shards">One report for each shard, in shard order.</param>
/// <param name="SumOfSquares">The sum of squares of the gradient's sum, joined along the canonical tree over blocks.</param>
/// <param name="Finite">Whether the gradient and every shard's sums are finite.</param>
public readonly record struct StepOutcome(long Version, ShardReport[] Shards, double SumOfSquares, bool Finite);

/// <summary>What comes next at a version.</summary>
public enum NextAction : byte
{
    /// <summary>The step that leads to the next version.</summary>
    Train,

    /// <summary>Evaluate this version first.</summary>
    Evaluate,

    /// <summary>Save this version first.</summary>
    Save,

    /// <summary>The job is done.</summary>
    End,
}

/// <summary>
/// Decides each step's numbers and what happens at each version. Called by the coordinator only, a pure function of what
/// it is told; its state moves with the step.
/// </summary>
public interface IVerdictPolicy
{
    /// <summary>Decides a step. Its own state becomes the one after the step.</summary>
    Decision Decide(in StepOutcome outcome);

    /// <summary>
    /// What to do at this version. Asked again after each action: after <see cref="Evaluated"/> or <see cref="Saved"/>
    /// it must not ask for the same again.
    /// </summary>
    NextAction Next(long version);

    /// <summary>Takes in the evaluation of this version, one report for each evaluation shard in order.</summary>
    void Evaluated(long version, ShardReport[] shards);

    /// <summary>This version's parameters and states are kept and will be written.</summary>
    void Saved(long version);

    /// <summary>Why the job is done, after <see cref="Next"/> said so.</summary>
    string EndReason { get; }

    /// <summary>The state as bytes, for journals and checkpoints; may be empty where nobody resumes from it.</summary>
    ReadOnlyMemory<byte> Capture();

    /// <summary>After a <see cref="VerdictKind.Stop"/>: the version whose checkpoint the job goes back to instead of ending, 0 for its start; -1 when it ends.</summary>
    long GoesBackTo => -1;

    /// <summary>Takes up the state of the checkpoint that the job has gone back to because of <see cref="GoesBackTo"/>; from there it goes on otherwise than the first time.</summary>
    void GoBack(ReadOnlyMemory<byte> checkpoint) => Restore(checkpoint);

    /// <summary>Takes up a state that <see cref="Capture"/> gave.</summary>
    void Restore(ReadOnlyMemory<byte> state);
}
