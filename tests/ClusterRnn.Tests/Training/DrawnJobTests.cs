// Configs by chance (DrawnJob): each is refused in words of the project's own, or trains two steps to the same bits however its
// shards are cut and in how little memory, has a finite loss, and can be shown, used and explained. 300 in the suite, 8,000
// with CLUSTERRNN_LONG_TESTS=1. A failure names its seed and prints its config; CLUSTERRNN_DRAWN_SEEDS=FIRST-LAST draws others.
//
// With CLUSTERRNN_GUARD_PAGES=1 every native buffer ends at a page that must not be touched. Who does ends the process; the last
// line of the file that CLUSTERRNN_DRAWN_LOG names then has the seed. Logs of two instruction sets (CLUSTERRNN_INSTRUCTION_SET)
// must be the same, up to the times of slow ones.
using System.Globalization;
using System.Text;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Training;

public sealed class DrawnJobTests(ITestOutputHelper output)
{
    private const int Steps = 2;
    private const string Trained = "trained";
    private static readonly (int First, int Last) seeds = Seeds();

    [Fact]
    public async Task AnyConfigIsRefusedInWordsOrTrained()
    {
        int trained = 0;
        var failures = new StringBuilder();
        using StreamWriter? log = Environment.GetEnvironmentVariable("CLUSTERRNN_DRAWN_LOG") is { } path ? new StreamWriter(path) { AutoFlush = true } : null;
        for (int seed = seeds.First; seed <= seeds.Last; seed++)
        {
            string yaml = new DrawnJob(seed).Yaml, outcome;
            log?.Write($"{seed}: ");
            try
            {
                outcome = await OutcomeAsync(yaml, seed, TestContext.Current.CancellationToken);
                trained += outcome.StartsWith(Trained, StringComparison.Ordinal) ? 1 : 0;
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                outcome = $"failed: {error}";
                failures.AppendLine(CultureInfo.InvariantCulture, $"Seed {seed}:\n{yaml}\n{error}");
            }

            log?.WriteLine(outcome.ReplaceLineEndings(" "));
        }

        output.WriteLine($"{trained} of {seeds.Last - seeds.First + 1} configs are trained, the others are refused.");
        Assert.True(failures.Length == 0, failures.ToString());
        Assert.True(trained * 5 > seeds.Last - seeds.First, $"only {trained} are trained");
    }

    /// <summary>What was once trained to nothing, or failed only after it was trained.</summary>
    [Theory]
    [InlineData("data: { source: adding, examples: 40, length: 9, minimumLength: 4 }\nmodel: { layers: [{ type: gru, units: 2 }, dense] }", "layers", "differ in length")]
    [InlineData("data: { source: intent, examples: 400 }\nmodel: { layers: [{ type: embedding, units: 2 }, { type: gru, units: 2 }, dense] }", "layers", "differ in length")]
    [InlineData("data: { source: sums, characters: 400 }\nbatch: { size: 4, span: 1, lookBack: 5 }\nmodel: { layers: [one-hot, global-pooling, dense] }", "layers[1]", "written token by token")]
    [InlineData("data: { source: sums, characters: 400 }\nbatch: { size: 4, span: 1, lookBack: 5 }\nmodel: { layers: [one-hot, { type: flatten, steps: 5 }, dense] }", "layers[1]", "written token by token")]
    public void LayersThatDontFitTheTargetsAreRefused(string config, string path, string message)
    {
        var error = Assert.Throws<ModelException>(() => ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(config, "test").Value, Repository.Root));
        Assert.Equal(path, error.Path);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static async Task<string> OutcomeAsync(string yaml, int seed, CancellationToken cancellation)
    {
        ResolvedJob resolved;
        try
        {
            resolved = ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(yaml, "drawn").Value, Repository.Root);
        }
        catch (Exception error) when (error is ConfigException or DataException or ModelException)
        {
            return $"refused: {error.GetType().Name} {error.Message}";
        }

        TrainingJob job = resolved.Job;
        var random = new Random(seed);
        string expected;
        float[] parameters;
        using (var trainer = new SmallTrainer(job))
        {
            trainer.Run(Steps);
            Assert.True(double.IsFinite(trainer.Policy.TrainLoss), $"The loss is {trainer.Policy.TrainLoss}.");
            expected = trainer.StateSha256();
            parameters = Parameters(trainer, job);
        }

        int[] cuts = [random.Next(job.Shards + 1), random.Next(job.Shards + 1)];
        Array.Sort(cuts);
        using (var trainer = new SmallTrainer(job, 1 + random.Next(3), memoryBytes: random.Next(2), cuts))
        {
            trainer.Run(Steps);
            Assert.Equal(expected, trainer.StateSha256());
        }

        using (RunResult result = await InProcessEngine.RunAsync(job, new EngineOptions { Workers = 3, Servers = 2, WorkerThreads = 1 + random.Next(2) }, null, cancellation))
        {
            Assert.Equal(expected, result.StateSha256);
        }

        return $"{Trained} {expected} {Use(resolved, parameters, cancellation)}";
    }

    private static unsafe float[] Parameters(SmallTrainer trainer, TrainingJob job) => new ReadOnlySpan<float>(trainer.Parameters, (int)job.Layout.Length).ToArray();

    // As the command line does with a checkpoint: of the model and what lies beside it alone.
    private static string Use(ResolvedJob resolved, float[] parameters, CancellationToken cancellation)
    {
        ModelWidths widths = ModelWidths.OfModel(resolved.Job.Model);
        var model = Model.Build(resolved.Config.Model, widths.Input, widths.InputWidth, widths.OutputWidth, documentStart: widths.DocumentStart ?? -1);
        using var trained = new TrainedModel(model, parameters);
        var of = new TaskModel(resolved.Config, trained, DataArtefact.FromJson(resolved.Data.Artefact.ToJson()), Repository.Root);
        SequenceTask task = resolved.Task;
        var said = new StringBuilder();
        TaskOutcome outcome = task.Conclude(of, resolved.Data, 1.0, 1.0);
        said.Append(CultureInfo.InvariantCulture, $"{outcome.Figures.Count} figures");
        foreach (string? input in (string?[])[null, "", "0", "two plus three", "garden 17 ?"])
        {
            Try("predict", () => task.Predict(of, new PredictionRequest(input, of.Job.Generate, input is null ? 3 : null) { Candidates = task.RanksCandidates ? ["one", "two"] : null }, cancellation));
        }

        Try("explain", () => task.Explain(of, null));
        Try("explain", () => task.Explain(of, "0"));
        return said.ToString();

        void Try(string what, Action use)
        {
            try
            {
                use();
                said.Append(CultureInfo.InvariantCulture, $", {what}");
            }
            catch (Exception error) when (error is DataException or ModelException)
            {
                said.Append(CultureInfo.InvariantCulture, $", {what} refused: {error.Message}");
            }
        }
    }

    private static (int First, int Last) Seeds()
    {
        if (Environment.GetEnvironmentVariable("CLUSTERRNN_DRAWN_SEEDS")?.Split('-') is { } ends)
        {
            return (int.Parse(ends[0], CultureInfo.InvariantCulture), int.Parse(ends[^1], CultureInfo.InvariantCulture));
        }

        return (1, Environment.GetEnvironmentVariable("CLUSTERRNN_LONG_TESTS") == "1" ? 8_000 : 300);
    }
}
