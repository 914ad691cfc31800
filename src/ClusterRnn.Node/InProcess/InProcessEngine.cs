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
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node.InProcess;

/// <summary>Runs jobs in this process.</summary>
public static class InProcessEngine
{
    /// <summary>The engine's name, for reports.</summary>
    public const string Name = "in-process";

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
        using var run = new InProcessRun(job, options, observer ?? new NobodyLooks());
        return await run.RunAsync(cancellation).ConfigureAwait(false);
    }

    private sealed class NobodyLooks : IRunObserver;
}
