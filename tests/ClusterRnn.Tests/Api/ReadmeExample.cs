using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Node.Api;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Api;

/// <summary>The README's C# example, between the marks, exactly as it stands there; a test runs it.</summary>
public static class ReadmeExample
{
    public static async Task<(string ModelSha256, int Losses, float[,] Forecast)> RunAsync(int epochs, IProgress<StepReport> progress)
    {
        // <example>
        using var model = new Sequential(
            new LstmConfig { Units = 50 },
            new LstmConfig { Units = 50 },
            new LstmConfig { Units = 50, ReturnSequences = false },
            new DenseConfig { Units = 1 })
        { Loss = LossKind.MeanSquaredError, Workers = 2 };
        var data = new SeasonalData { Rows = 1000, Window = 24, Validation = 0.1, Test = 0.2, Season = 12 };
        History history = await model.FitAsync(data, epochs, batchSize: 32, progress: progress);
        Console.WriteLine($"{history.ModelSha256}: {string.Join(", ", history.ValidationLosses)}");
        float[,] next = model.Predict(new float[1, 24, 1]);
        Console.WriteLine(model.Predict(steps: 1).Tables[0].Rows[0][1]);
        // </example>
        return (history.ModelSha256, history.TrainLosses.Count, next);
    }
}
