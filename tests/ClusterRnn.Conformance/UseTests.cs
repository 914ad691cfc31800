// What a run is good for once it is there: going on after --steps, evaluate, generate, forecast, inspect, and the files in
// its folder.
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ClusterRnn.Conformance.Jobs;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed partial class UseTests
{
    [Fact]
    public async Task StoppingAfterStepsAndGoingOnGivesTheSameModel()
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        // 13 is in the middle of an accumulated update, of a pass, and between evaluations and checkpoints.
        FinishedRun stopped = await Job.Tiny.TrainAsync("--steps", "13");
        Assert.Equal(13, stopped.Number("steps"));
        Assert.Equal(0, stopped.Number("resumedFromStep"));
        Assert.NotEqual(undisturbed.ModelSha256, stopped.ModelSha256);
        (FinishedRun further, _) = await Job.Tiny.ResumeAsync(stopped.Folder, "--steps", "40", "--workers", "3");
        Assert.Equal(40, further.Number("steps"));
        Assert.Equal(13, further.Number("resumedFromStep"));
        (FinishedRun run, _) = await Job.Tiny.ResumeAsync(stopped.Folder, "--servers", "3");
        Assert.Equal(40, run.Number("resumedFromStep"));
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
    }

    [Fact]
    public async Task ResumingAFinishedRunChangesNothing()
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        string folder = TemporaryFolders.Copy(undisturbed.Folder, "finished");
        (FinishedRun run, _) = await Job.Tiny.ResumeAsync(folder);
        Assert.Equal(undisturbed.Answer, run.Answer);
        Assert.Equal(undisturbed.Metrics(), run.Metrics());
        Assert.Equal(undisturbed.Number("steps"), run.Number("resumedFromStep"));
        Assert.Equal(undisturbed.Summary["finalTrainLoss"]?.ToJsonString(), run.Summary["finalTrainLoss"]?.ToJsonString());
        Assert.Equal(undisturbed.Summary["finalValidationLoss"]?.ToJsonString(), run.Summary["finalValidationLoss"]?.ToJsonString());
    }

    [Fact]
    public async Task ARunCanBeResumedFromItsOwnFolderAlone()
    {
        FinishedRun undisturbed = await Job.Tiny.UndisturbedAsync();
        FinishedRun stopped = await Job.Tiny.TrainAsync("--steps", "20");
        (await ProgramUnderTest.RunAsync(["train", "--resume", stopped.Folder])).Expect(0);
        Assert.Equal(undisturbed.Answer, new FinishedRun(stopped.Folder).Answer);
    }

    [Fact]
    public async Task InspectPrintsTheHashes()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        Outcome outcome = (await ProgramUnderTest.RunAsync(["inspect", run.Folder])).Expect(0);
        Assert.Contains(run.ModelSha256, outcome.Output);
        Assert.Contains(run.StateSha256, outcome.Output);
        Assert.Contains("lstm.weight_ih_l0", outcome.Output);
        Assert.Contains("lstm.weight_hh_l1", outcome.Output);
        Assert.Contains("48 x 8", outcome.Output);
    }

    [Fact]
    public async Task EvaluateFindsTheLossOfTheTraining()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        Outcome outcome = (await ProgramUnderTest.RunAsync(["evaluate", run.Folder])).Expect(0);
        string line = Assert.Single(outcome.Output.Split('\n'), l => l.TrimStart().StartsWith("validation", StringComparison.Ordinal));
        double loss = run.Summary["finalValidationLoss"]!.GetValue<double>();
        Assert.Contains(Numbers().Matches(line), m => Math.Abs(double.Parse(m.Value, System.Globalization.CultureInfo.InvariantCulture) - loss) < 1e-3);
    }

    [Fact]
    public async Task TheSameSeedWritesTheSameText()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        string first = await Generate([]);
        Assert.Equal(first, await Generate(new() { ["CLUSTERRNN_INSTRUCTION_SET"] = "scalar" }));
        Assert.NotEqual(first, await Generate([], seed: 8));
        Assert.Contains("seven plus", first);

        async Task<string> Generate(Dictionary<string, string> environment, int seed = 7) =>
            (await ProgramUnderTest.RunAsync(["generate", run.Folder, "--prompt", "seven plus", "--length", "80", "--seed", $"{seed}", "--temperature", "0.9"], environment)).Expect(0).Output;
    }

    [Fact]
    public async Task ASeriesIsForecast()
    {
        FinishedRun run = await new Job("seasonal", Repository.Config("seeds/seasonal.yaml")).TrainAsync("--steps", "3");
        Outcome outcome = (await ProgramUnderTest.RunAsync(["forecast", run.Folder, "--length", "5", "--json"])).Expect(0);
        JsonArray tables = JsonNode.Parse(outcome.Output)!["tables"]!.AsArray();
        Assert.True(tables.Count > 0 && tables[0]!["rows"]!.AsArray().Count == 5, outcome.ToString());
        (await ProgramUnderTest.RunAsync(["evaluate", run.Folder])).Expect(0);
    }

    [Fact]
    public async Task ARunFolderHoldsEverything()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        string[] fields =
        [
            "modelSha256", "stateSha256", "dataSha256", "steps", "epochs", "finalTrainLoss", "finalValidationLoss", "tokensPerSecond",
            "wallSeconds", "engine", "workers", "servers", "shards", "recomputedShards", "resumedFromStep",
        ];
        Assert.All(fields, field => Assert.True(run.Summary[field] is not null, $"summary.json: no {field}"));
        Assert.All(fields[..3], field => Assert.Matches("^[0-9a-f]{64}$", run.Text(field)));
        Assert.Equal(7, run.Number("shards"));
        Assert.Equal(0, run.Number("recomputedShards")); // one worker: nobody to speculate
        Assert.Equal("in-process", run.Text("engine"));
        Assert.InRange(run.Summary["epochs"]!.GetValue<double>(), 3, 3);
        Assert.InRange(run.Summary["tokensPerSecond"]!.GetValue<double>(), 1, double.MaxValue);

        Assert.EndsWith($"step-{run.Number("steps"):D10}", run.Checkpoints()[^1], StringComparison.Ordinal);
        Assert.True(new FileInfo(Assert.Single(Directory.EnumerateFiles(run.Folder, "events.out.tfevents.*"))).Length > 500);
        Assert.True(File.Exists(Path.Combine(run.Folder, "config.yaml")));

        long[] steps = [.. run.Metrics().Select(l => JsonDocument.Parse(l).RootElement).Where(l => l.TryGetProperty("loss", out _)).Select(l => l.GetProperty("step").GetInt64())];
        Assert.Equal(Enumerable.Range(1, (int)run.Number("steps")).Select(s => (long)s), steps);
        Assert.Contains(run.Metrics(), l => l.Contains("\"validationLoss\":", StringComparison.Ordinal));
    }

    [Fact]
    public async Task TheReportOpensOffline()
    {
        FinishedRun run = await Job.Tiny.UndisturbedAsync();
        string report = File.ReadAllText(Path.Combine(run.Folder, "report.html"));
        Assert.Contains(run.ModelSha256, report);
        Assert.Contains("<svg", report);
        // A namespace's name looks like an address but is never fetched.
        string[] addresses = [.. Addresses().Matches(report).Select(m => m.Value).Where(a => !a.StartsWith("http://www.w3.org/", StringComparison.Ordinal))];
        Assert.Empty(addresses);
        Assert.DoesNotContain("src=\"//", report);
        Assert.DoesNotContain("@import", report);
    }

    [GeneratedRegex(@"https?://[^\s""'<>)]*")]
    private static partial Regex Addresses();

    [GeneratedRegex(@"\d+\.\d+")]
    private static partial Regex Numbers();
}
