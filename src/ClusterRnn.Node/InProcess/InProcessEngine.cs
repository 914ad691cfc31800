// One process, no sockets: the actors of a cluster on threads, blocks passed by reference.
//
//     using RunResult result = await InProcessEngine.RunAsync(job, new EngineOptions { Workers = 2 }, observer, cancellation);
//
// Each worker has a compute thread. There is no thread for the actors: whoever has finished something takes the actors'
// role (one thread at a time), delivers what has arrived and performs what they decide; servers' work (reduce, apply) is
// likewise taken by whichever thread is free. So on two cores two workers and a server need two threads that never wait
// for a third to be woken, and a step of a small model costs microseconds beside its arithmetic. A service thread that
// sleeps steps in when everyone is computing, and looks at the deadlines.
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Computing;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node.InProcess;

/// <summary>Runs jobs in this process.</summary>
public sealed class InProcessEngine : IEngine
{
    /// <inheritdoc/>
    public string Name => "in-process";

    /// <inheritdoc/>
    public string Description => "one machine: actors on threads of this process, blocks passed by reference";

    /// <inheritdoc/>
    public async Task<EngineResult> RunAsync(EngineRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        TrainingJob job = request.Job.Job;
        using TrainingState? from = request.ResumeFrom is null ? null : job.CreateState();
        if (from is not null)
        {
            CheckpointStore.Read(request.ResumeFrom!, from);
        }

        var options = new EngineOptions
        {
            Workers = request.Workers,
            Servers = request.Servers,
            WorkerThreads = request.Job.Config.Cluster.Threads,
            Name = request.Job.Config.Name ?? "job",
            Folder = request.Checkpoints is { } store ? Path.GetDirectoryName(store.Folder) : null,
            Checkpoints = request.Checkpoints,
            Artefacts = request.Job.Artefacts,
            ResumeFrom = from,
            StopAfterStep = request.StopAfterStep,
            WorkerMemoryBytes = request.Job.Config.Cluster.WorkerMemoryBytes,
        };
        using RunResult result = await RunAsync(job, options, request.Observer, cancellation).ConfigureAwait(false);
        return result.Reports.Result(result.State, result.Version, result.Reason, result.Checkpoint, result.CheckpointStep, request.ResumeFrom);
    }

    /// <summary>
    /// Runs a job to its end. When <paramref name="cancellation"/> is cancelled it stops at the next version, saves a
    /// checkpoint (if <see cref="EngineOptions.Checkpoints"/> is set) and returns.
    /// </summary>
    /// <param name="job">The job.</param>
    /// <param name="options">How it is run.</param>
    /// <param name="observer">Is told about steps, evaluations and checkpoints from one thread, in order.</param>
    /// <param name="cancellation">Asks for a clean stop.</param>
    /// <returns>What it came to; the caller disposes of it.</returns>
    /// <exception cref="TrainingException">The job could not go on; names the culprit.</exception>
    public static async Task<RunResult> RunAsync(
        TrainingJob job, EngineOptions options, IRunObserver? observer = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Workers, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Workers, Limits.MaximumWorkers);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Servers, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Servers, Limits.MaximumRanges);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.WorkerThreads, 1);
        WorkerMemory.Of(job, options.Workers, options.Servers, options.WorkerMemoryBytes, options.WorkerThreads).ThrowIfTooSmall();
        observer ??= new NobodyLooks();
        Counters counters = new();
        TrainingState? rolledBack = null;
        try
        {
            for (long epoch = 1; ; epoch++)
            {
                using var run = new InProcessRun(job, options, observer, counters, epoch);
                if (await run.RunAsync(cancellation).ConfigureAwait(false) is { } result)
                {
                    return result;
                }

                // A step was not finite and the policy goes back to the last scheduled checkpoint, in a higher epoch.
                TrainingState state = StateBefore(job, options, run.Policy);
                rolledBack?.Dispose();
                rolledBack = state;
                long steps = run.Version - run.Policy.Version;
                counters.NoteRollback(steps, job.Shards);
                long failed = run.Version;
                observer.OnNotice($"Step {failed} is not finite: the training goes back by {steps} steps to step {run.Policy.Version}.");
                observer.OnRollback(run.Policy.Version);
                options = options with
                {
                    ResumeFrom = state,
                    Faults = new FaultPlan([.. options.Faults.Faults.Where(fault => fault.Step > failed)]),
                };
            }
        }
        finally
        {
            rolledBack?.Dispose();
        }
    }

    /// <summary>
    /// The last scheduled checkpoint before the step that failed, or the start; the policy goes back with it. Exactly that
    /// version, whatever else was saved: an interrupted run must go back as far as an unbroken one.
    /// </summary>
    /// <exception cref="TrainingException">The checkpoint is missing or damaged.</exception>
    private static TrainingState StateBefore(TrainingJob job, EngineOptions options, TrainingPolicy policy)
    {
        long failed = policy.Version, version = policy.RollbackVersion;
        TrainingState state = job.CreateState();
        try
        {
            if (version == 0)
            {
                CopyTo(job.InitialParameters(), state);
                policy.RollBackTo(job.CreatePolicy().Save());
            }
            else
            {
                CheckpointStore store = options.Checkpoints
                    ?? throw new TrainingException($"Step {failed} is not finite and the training would go back to step {version}, but it saves no checkpoints. Give it a folder for them, or set nonFinite to skip or stop.");
                Checkpoint target = store.OpenVersion(version, job.Expectation);
                CheckpointStore.Read(target, state);
                policy.RollBackTo(target.Policy);
            }

            options.Checkpoints?.RemoveAfter(version); // they are of the course that is given up

            state.Policy = policy.Save();
            return state;
        }
        catch (CheckpointException e)
        {
            state.Dispose();
            throw new TrainingException($"Step {failed} is not finite and the training would go back to the checkpoint of step {version}, which can't be used: {e.Message}", e);
        }
        catch
        {
            state.Dispose();
            throw;
        }
    }

    private static unsafe void CopyTo(float[] parameters, TrainingState state)
        => parameters.CopyTo(new Span<float>(state.Parameters, parameters.Length));

    private sealed class NobodyLooks : IRunObserver;
}
