// `clusterrnn experiment` on real processes: the faults happen, are noticed and counted, and the report says so.
using System.Text.Json.Nodes;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class ExperimentTests(ITestOutputHelper output)
{
    [Fact]
    public async Task AWorkerAndTheCoordinatorAreKilled()
    {
        Signals.SkipWithoutThem();
        const string Scenario = """
            set: { stop.epochs: 24, schedule.patience: 1000, evaluate.every: 200, checkpoint.every: 200 }
            faults:
              - { kind: kill, target: worker-1, step: 100 }
              - { kind: kill, target: coordinator, step: 300 }
            """;
        (Outcome outcome, JsonNode report, string html) = await RunAsync(Scenario);
        outcome.Expect(0);
        JsonNode run = report["runs"]![1]!;
        Assert.True((bool)report["good"]!);
        Assert.True((bool)run["sameAnswer"]!);
        Assert.Equal(["kill", "kill"], run["faults"]!.AsArray().Select(f => (string)f!["kind"]!));
        Assert.All(run["faults"]!.AsArray(), f => Assert.True((double)f!["noticedAfter"]! is > 0 and < 5, $"{f}"));
        Assert.All(run["faults"]!.AsArray(), f => Assert.True((double)f!["wholeAfter"]! > 0, $"{f}"));
        JsonNode record = report["records"]!["runs"]![0]!;
        Assert.True((long)record["counters"]!["workersLost"]! > 0, "the killed worker was not counted, or the count died with the coordinator");
        Assert.Equal((long)record["steps"]!, (long)record["ledger"]!["steps"]!);
        Assert.Equal(0, (long)record["ledger"]!["lostSamples"]! + (long)record["ledger"]!["repeatedSamples"]!);
        Assert.Contains("came to the same model as undisturbed, bit for bit", html, StringComparison.Ordinal);
        Assert.Contains("came to the same model as undisturbed, bit for bit", outcome.Output, StringComparison.Ordinal);

        // The same file in virtual time: the same faults, the same answer.
        (Outcome simulated, JsonNode virtually, _) = await RunAsync(Scenario, "--on", "simulator");
        simulated.Expect(0);
        JsonNode virtualRecord = virtually["records"]!["runs"]![0]!;
        Assert.Equal((string?)record["modelSha256"], (string?)virtualRecord["modelSha256"]);
        Assert.Equal((string?)record["stateSha256"], (string?)virtualRecord["stateSha256"]);
        Assert.Equal(2, virtualRecord["faults"]!.AsArray().Count);
    }

    [Fact]
    public async Task WhatProcessesCannotDoIsSaidBeforeAnythingStarts()
    {
        string folder = TemporaryFolders.NewRun("experiment");
        Outcome outcome = await ProgramUnderTest.RunAsync(["experiment", Repository.Config("experiments/wrong-bits.yaml"), "--out", folder]);
        outcome.Expect(2).ExpectError("wrong-bits: the program has no switch that makes a worker compute nonsense");
        Assert.False(Directory.Exists(folder));
    }

    /// <summary>Scenarios of the gallery that take a minute or more each.</summary>
    [Theory]
    [InlineData("ten-faults")]
    [InlineData("rolling-restart")]
    [InlineData("random-kills")]
    [InlineData("kill-server-without-replica")]
    [InlineData("partition-one-way")]
    public async Task TheGalleryOnProcesses(string name)
    {
        LongTests.SkipUnlessOn();
        Outcome outcome = await ProgramUnderTest.RunAsync(["experiment", Repository.Config($"experiments/{name}.yaml"), "--out", TemporaryFolders.NewRun(name)]);
        output.WriteLine(outcome.ToString());
        outcome.Expect(0);
    }

    private async Task<(Outcome Outcome, JsonNode Report, string Html)> RunAsync(string faults, params string[] more)
    {
        string folder = TemporaryFolders.New("experiment"), scenario = Path.Combine(folder, "scenario.yaml"), report = Path.Combine(folder, "report");
        await File.WriteAllTextAsync(scenario, $"config: {Repository.Config("tiny.yaml")}\n{faults}\n", TestContext.Current.CancellationToken);
        Outcome outcome = await ProgramUnderTest.RunAsync(["experiment", scenario, "--out", report, .. more]);
        output.WriteLine(outcome.ToString());
        string json = Path.Combine(report, "report.json");
        Assert.True(File.Exists(json), outcome.ToString());
        return (
            outcome,
            JsonNode.Parse(await File.ReadAllTextAsync(json, TestContext.Current.CancellationToken))!,
            await File.ReadAllTextAsync(Path.Combine(report, "report.html"), TestContext.Current.CancellationToken));
    }
}
