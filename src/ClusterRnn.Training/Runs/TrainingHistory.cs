namespace ClusterRnn.Training.Runs;

/// <summary>Keeps what a run reported, for programs that want it as numbers.</summary>
public sealed class TrainingHistory : IRunObserver
{
    private readonly List<StepReport> steps = [];
    private readonly List<EvaluationReport> evaluations = [];

    /// <summary>The committed steps.</summary>
    public IReadOnlyList<StepReport> Steps => steps;

    /// <summary>The evaluations on the validation data.</summary>
    public IReadOnlyList<EvaluationReport> Evaluations => evaluations;

    /// <summary>The mean training loss of each pass that was begun, over its targets.</summary>
    public IReadOnlyList<double> EpochLosses(long stepsPerEpoch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(stepsPerEpoch, 1);
        var losses = new List<double>();
        double sum = 0;
        long tokens = 0;
        foreach (StepReport step in steps)
        {
            sum += step.Tokens > 0 ? step.Loss * step.Tokens : 0;
            tokens += step.Tokens;
            if (step.Step % stepsPerEpoch == 0 || step == steps[^1])
            {
                losses.Add(sum / tokens);
                sum = 0;
                tokens = 0;
            }
        }

        return losses;
    }

    /// <inheritdoc/>
    public void OnStep(StepReport step) => steps.Add(step);

    /// <inheritdoc/>
    public void OnEvaluation(EvaluationReport evaluation) => evaluations.Add(evaluation);
}
