// What an engine is asked and what it answers. The command line, the C# API and the conformance tests all run a job
// through this, so that each engine is one implementation away from all of them.
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Training.Runs;

/// <summary>A run to carry out.</summary>
public sealed record EngineRequest
{
    /// <summary>The job.</summary>
    public required ResolvedJob Job { get; init; }

    /// <summary>Where checkpoints go; null keeps none.</summary>
    public CheckpointStore? Checkpoints { get; init; }

    /// <summary>Where to go on from; null starts from the beginning.</summary>
    public Checkpoint? ResumeFrom { get; init; }

    /// <summary>Workers at the start.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Parameter servers.</summary>
    public int Servers { get; init; } = 1;

    /// <summary>Copies of each server's range: 1, or 2 with a replica. Engines whose servers can't be lost ignore it.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Stop once so many steps are committed, with a checkpoint, as if interrupted there; null runs to the job's own end.</summary>
    public long? StopAfterStep { get; init; }

    /// <summary>Who looks on.</summary>
    public IRunObserver? Observer { get; init; }
}

/// <summary>Why a run ended.</summary>
public enum RunEnd
{
    /// <summary>The job's steps are done (<c>stop.steps</c>).</summary>
    Steps,

    /// <summary>The job's passes over the data are done (<c>stop.epochs</c>).</summary>
    Epochs,

    /// <summary>The loss asked for was reached (<c>stop.loss</c>).</summary>
    Loss,

    /// <summary>No improvement for as long as was allowed (<c>stop.patience</c>).</summary>
    Patience,

    /// <summary>Cancelled, or stopped after the step asked for; <see cref="EngineResult.CheckpointStep"/> says what is kept.</summary>
    Interrupted,
}

/// <summary>How a run ended. Nothing in it depends on the engine but times and counters.</summary>
public sealed record EngineResult
{
    /// <summary>Why it ended.</summary>
    public required RunEnd End { get; init; }

    /// <summary>Steps committed, those before a resumption included.</summary>
    public required long Steps { get; init; }

    /// <summary>The hash of the parameters of the last committed version.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>The hash of all that moves with a step.</summary>
    public required string StateSha256 { get; init; }

    /// <summary>The parameters of the last committed version: the flat vector of the model's layout.</summary>
    public required float[] Parameters { get; init; } // [Layout.Length]

    /// <summary>The mean training loss of the last step, or null before the first.</summary>
    public double? TrainLoss { get; init; }

    /// <summary>The last validation loss, or null without validation data.</summary>
    public double? ValidationLoss { get; init; }

    /// <summary>The lowest validation loss, or null.</summary>
    public double? BestValidationLoss { get; init; }

    /// <summary>The step of the lowest validation loss, or null.</summary>
    public long? BestStep { get; init; }

    /// <summary>Shards computed more than once, for whatever reason.</summary>
    public long RecomputedShards { get; init; }

    /// <summary>What else was counted, by name in camelCase: <c>lostShards</c>, <c>speculativeShards</c>, <c>workersLost</c>, …</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } = new Dictionary<string, long>();

    /// <summary>The newest checkpoint's folder (the one gone on from if none was written since), or null.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>The step of that checkpoint, or null. Less than <see cref="Steps"/> where the last state could not be saved.</summary>
    public long? CheckpointStep { get; init; }

    /// <summary>Why it ended, in words; says as well when the last state could not be saved.</summary>
    public string Reason { get; init; } = "";
}

/// <summary>Runs jobs.</summary>
public interface IEngine
{
    /// <summary>Its name on the command line: <c>in-process</c>, …</summary>
    string Name { get; }

    /// <summary>What it is for, in a line.</summary>
    string Description { get; }

    /// <summary>The step a run will go on from: that of its checkpoint, or a later one that the engine has kept elsewhere.</summary>
    long FirstStep(EngineRequest request) => request?.ResumeFrom?.Info.Version ?? 0;

    /// <summary>Whether another process may take a run over while this one still has it: the engine then sees to it that only one goes on.</summary>
    bool MayBeTakenOver => false;

    /// <summary>Waits until this process is the one that runs the job; at once where there is no other. Nothing of the run may be opened before.</summary>
    /// <param name="log">Is told what a person should know while it waits.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Null when it is this process's turn; why the job has ended when another one has run it to its end.</returns>
    Task<string?> WaitForTurnAsync(Action<string> log, CancellationToken cancellation) => Task.FromResult<string?>(null);

    /// <summary>Runs a job to its end.</summary>
    /// <param name="request">The run.</param>
    /// <param name="cancellation">Ends the run after the step that is under way, with a checkpoint; the task then completes with <see cref="RunEnd.Interrupted"/>.</param>
    /// <exception cref="TrainingException">The run failed.</exception>
    Task<EngineResult> RunAsync(EngineRequest request, CancellationToken cancellation = default);
}
