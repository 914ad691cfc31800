using System.Runtime.CompilerServices;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Node.Api;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Tests.Api;

public class SequentialTests
{
    private static string Root([CallerFilePath] string here = "")
    {
        // The compiler maps source paths to /_/, so the repository is found from the test's own folder.
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "ClusterRnn.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException($"No ClusterRnn.sln above {AppContext.BaseDirectory} ({here}).");
    }

    [Fact]
    public async Task TheReadmesExampleGivesTheHashOfTheYamlJob()
    {
        var told = new Counter();
        (string hash, int losses, float[,] forecast) = await ReadmeExample.RunAsync(2, told);
        JobConfig config = JobConfig.Load(Path.Combine(Root(), "configs", "seeds", "three-lstm.yaml"), [ConfigAssignment.Parse("stop.epochs=2")]).Value;
        var job = ResolvedJob.Open(config, Root());
        EngineResult yaml = await new InProcessEngine().RunAsync(new EngineRequest { Job = job, Workers = 3, Servers = 2 }, TestContext.Current.CancellationToken);
        Assert.Equal(yaml.ModelSha256, hash);
        Assert.Equal(2, losses);
        Assert.Equal(yaml.Steps, told.Count);
        Assert.True(float.IsFinite(forecast[0, 0]));
    }

    [Fact]
    public void TheReadmeShowsTheExampleThatIsRun()
    {
        string source = File.ReadAllText(Path.Combine(Root(), "tests", "ClusterRnn.Tests", "Api", "ReadmeExample.cs"));
        int start = source.IndexOf("// <example>\n", StringComparison.Ordinal) + "// <example>\n".Length;
        int end = source.LastIndexOf("        // </example>", StringComparison.Ordinal);
        string[] lines = [.. source[start..end].TrimEnd().Split('\n').Select(line => line[Math.Min(8, line.Length)..])];
        Assert.InRange(lines.Length, 5, 12);
        Assert.Contains(string.Join("\n", lines), File.ReadAllText(Path.Combine(Root(), "README.md")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ArraysTrainToTheSameBitsForAnyWorkers()
    {
        (float[,,] inputs, float[,] targets) = Sums(40, 5);
        string? first = null;
        foreach (int workers in new[] { 1, 3 })
        {
            using var model = new Sequential(new GruConfig { Units = 6, ReturnSequences = false }, new DenseConfig { Units = 1 }) { Workers = workers };
            History history = await model.FitAsync(inputs, targets, epochs: 30, batchSize: 8, cancellation: TestContext.Current.CancellationToken);
            first ??= history.ModelSha256;
            Assert.Equal(first, history.ModelSha256);
            Assert.True(history.TrainLosses[^1] < 0.5 * history.TrainLosses[0], $"{history.TrainLosses[0]} -> {history.TrainLosses[^1]}");
            float[,] predicted = model.Predict(inputs);
            Assert.Equal(40, predicted.GetLength(0));
            Assert.Throws<ArgumentException>(() => model.Predict(new float[1, 5, 2]));
        }

        using var other = new Sequential(new GruConfig { Units = 6, ReturnSequences = false }, new DenseConfig { Units = 1 }) { Seed = 2 };
        Assert.NotEqual(first, (await other.FitAsync(inputs, targets, epochs: 30, batchSize: 8, cancellation: TestContext.Current.CancellationToken)).ModelSha256);
    }

    [Fact]
    public async Task MistakesAreToldBeforeAnythingRuns()
    {
        using var model = new Sequential(new LstmConfig { Units = 4, ReturnSequences = false }, new DenseConfig { Units = 1 });
        Assert.Throws<InvalidOperationException>(() => model.Predict(new float[1, 1, 1]));
        await Assert.ThrowsAsync<ArgumentException>(() => model.FitAsync(new float[3, 4, 1], new float[2, 1]));
        await Assert.ThrowsAsync<ModelException>(() => model.FitAsync(new float[3, 4, 1], new float[3, 2]));
    }

    private static (float[,,] Inputs, float[,] Targets) Sums(int count, int time)
    {
        float[,,] inputs = new float[count, time, 1];
        float[,] targets = new float[count, 1];
        for (int i = 0; i < count; i++)
        {
            for (int t = 0; t < time; t++)
            {
                inputs[i, t, 0] = (((i * 7) + (t * 3)) % 11 / 11f) - 0.5f;
                targets[i, 0] += inputs[i, t, 0] / time;
            }
        }

        return (inputs, targets);
    }

    private sealed class Counter : IProgress<StepReport>
    {
        public long Count { get; private set; }

        public void Report(StepReport value) => Count++;
    }
}
