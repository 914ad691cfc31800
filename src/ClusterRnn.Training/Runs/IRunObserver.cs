// What a running job tells whoever looks on: the terminal, a metrics file, a C# program's history. The engine calls it
// from one thread, in the order of the steps, and doesn't wait for it longer than the call takes.
namespace ClusterRnn.Training.Runs;

/// <summary>A run that begins.</summary>
/// <param name="Name">The job's name.</param>
/// <param name="Folder">The run folder, or null when nothing is written.</param>
/// <param name="FirstStep">The first step that will be computed: 0, or where a resumed run goes on.</param>
/// <param name="TotalSteps">The step at which the run ends at the latest, or null when only a loss or patience ends it.</param>
/// <param name="StepsPerEpoch">Steps of a pass over the training data.</param>
/// <param name="Parameters">How many parameters the model has.</param>
/// <param name="Engine">Which engine runs it.</param>
/// <param name="Workers">Workers at the start.</param>
/// <param name="Servers">Parameter servers.</param>
/// <param name="Shards">Shards of a batch.</param>
public sealed record RunStart(
    string Name,
    string? Folder,
    long FirstStep,
    long? TotalSteps,
    long StepsPerEpoch,
    long Parameters,
    string Engine,
    int Workers,
    int Servers,
    int Shards);

/// <summary>A committed step.</summary>
/// <param name="Step">Steps committed so far, this one included: 1 after the first.</param>
/// <param name="Epoch">Passes over the training data so far, with their fraction.</param>
/// <param name="Loss">The mean training loss of the step's batch.</param>
/// <param name="LearningRate">The learning rate used.</param>
/// <param name="GradientNorm">The global norm before clipping, or null when it was not formed.</param>
/// <param name="Tokens">Targets in the step's batch.</param>
/// <param name="Elapsed">Time since the run began (a resumed run: since it was resumed).</param>
public sealed record StepReport(
    long Step,
    double Epoch,
    double Loss,
    double LearningRate,
    double? GradientNorm,
    long Tokens,
    TimeSpan Elapsed);

/// <summary>An evaluation on the validation data.</summary>
/// <param name="Step">Steps committed before it.</param>
/// <param name="Loss">The mean validation loss.</param>
/// <param name="Metrics">The other metrics by name.</param>
/// <param name="IsBest">Whether the loss is the lowest so far.</param>
/// <param name="Elapsed">Time since the run began.</param>
public sealed record EvaluationReport(
    long Step,
    double Loss,
    IReadOnlyDictionary<string, double> Metrics,
    bool IsBest,
    TimeSpan Elapsed);

/// <summary>Something that happened to a node of a cluster.</summary>
/// <param name="At">When, by the clock of the coordinator's machine.</param>
/// <param name="Kind">What: <c>joined</c>, <c>lost</c>, <c>speculated</c>, <c>promoted</c>, …</param>
/// <param name="Node">To whom: <c>worker 1</c>.</param>
/// <param name="Text">The same in a sentence.</param>
public sealed record NodeEvent(DateTimeOffset At, string Kind, string Node, string Text);

/// <summary>Looks on while a job runs. Every method does nothing by default.</summary>
public interface IRunObserver
{
    /// <summary>The run begins.</summary>
    void OnStart(RunStart start)
    {
    }

    /// <summary>A step was committed.</summary>
    void OnStep(StepReport step)
    {
    }

    /// <summary>The validation data was evaluated.</summary>
    void OnEvaluation(EvaluationReport evaluation)
    {
    }

    /// <summary>
    /// A checkpoint is about to be written. The run goes on from there after a crash, so what was told so far must be safe
    /// when this returns.
    /// </summary>
    /// <param name="step">Steps committed.</param>
    void OnSaving(long step)
    {
    }

    /// <summary>A checkpoint was written and read back.</summary>
    /// <param name="step">Steps committed.</param>
    /// <param name="folder">The checkpoint's folder.</param>
    void OnCheckpoint(long step, string folder)
    {
    }

    /// <summary>The run goes back: what was told of later steps is void, they will be told again.</summary>
    /// <param name="step">The step it goes on from.</param>
    void OnRollback(long step)
    {
    }

    /// <summary>Something the user should know, in one sentence: a worker was lost, more workers than shards, …</summary>
    void OnNotice(string message)
    {
    }

    /// <summary>Something that goes as it should, in one sentence: a worker joined, servers are waited for, …</summary>
    void OnInformation(string message)
    {
    }

    /// <summary>Something happened to a node of the cluster; what a user should know of it comes as a notice as well.</summary>
    void OnNodeEvent(NodeEvent happened)
    {
    }
}

/// <summary>Passes everything on to several observers.</summary>
public sealed class RunObservers(params IReadOnlyList<IRunObserver> observers) : IRunObserver
{
    /// <inheritdoc/>
    public void OnStart(RunStart start)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnStart(start);
        }
    }

    /// <inheritdoc/>
    public void OnStep(StepReport step)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnStep(step);
        }
    }

    /// <inheritdoc/>
    public void OnEvaluation(EvaluationReport evaluation)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnEvaluation(evaluation);
        }
    }

    /// <inheritdoc/>
    public void OnSaving(long step)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnSaving(step);
        }
    }

    /// <inheritdoc/>
    public void OnCheckpoint(long step, string folder)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnCheckpoint(step, folder);
        }
    }

    /// <inheritdoc/>
    public void OnRollback(long step)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnRollback(step);
        }
    }

    /// <inheritdoc/>
    public void OnNotice(string message)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnNotice(message);
        }
    }

    /// <inheritdoc/>
    public void OnInformation(string message)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnInformation(message);
        }
    }

    /// <inheritdoc/>
    public void OnNodeEvent(NodeEvent happened)
    {
        foreach (IRunObserver observer in observers)
        {
            observer.OnNodeEvent(happened);
        }
    }
}
