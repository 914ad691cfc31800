using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Training;

public sealed class TrainingHistoryTests
{
    [Fact]
    public void TheLossOfAnEpochIsAMeanOverItsTargets()
    {
        var history = new TrainingHistory();
        IRunObserver observer = history;
        Assert.Empty(history.EpochLosses(3));
        (double Loss, long Tokens)[] steps = [(1, 10), (2, 30), (double.NaN, 0), (4, 5), (6, 15)];
        for (int i = 0; i < steps.Length; i++)
        {
            observer.OnStep(new StepReport(i + 1, (i + 1) / 3.0, steps[i].Loss, 0.1, null, steps[i].Tokens, TimeSpan.FromSeconds(i)));
        }

        observer.OnEvaluation(new EvaluationReport(3, 0.5, new Dictionary<string, double>(), true, TimeSpan.Zero));
        Assert.Equal([70.0 / 40, 110.0 / 20], history.EpochLosses(3));
        Assert.Equal(5, history.Steps.Count);
        Assert.Equal(0.5, Assert.Single(history.Evaluations).Loss);
    }
}
