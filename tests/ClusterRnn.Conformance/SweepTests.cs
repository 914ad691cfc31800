// A search for settings: its winner depends on file, data and seed alone, whatever is killed on the way and however many runs
// train at once; and the winner is the model that a training without interruptions gives.
using System.Text.Json.Nodes;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class SweepTests
{
    private const string Sweep = """
        config: JOB
        set: { stop.epochs: 2, cluster.workers: 1, cluster.servers: 1, output.tensorBoard: false }
        keys:
          optimizer.learningRate: { minimum: 0.001, maximum: 0.1, scale: logarithmic }
          model.layers.1.units: { values: [6, 8] }
        search: { method: halving, trials: 4, factor: 2 }
        """;

    [Fact]
    public async Task TheWinnerIsTheSameAfterAKillAndIsTheModelOfAnUnbrokenTraining()
    {
        string file = Write(Sweep);
        JsonNode whole = await SweepAsync(file, "--parallel", "1");
        string folder = TemporaryFolders.NewRun("sweep");
        await using (RunningProgram killed = await ProgramUnderTest.StartAsync(["sweep", file, "--out", folder, "--parallel", "2"]))
        {
            Assert.True(await killed.SaysAsync(line => line.Contains("rung 2/3", StringComparison.Ordinal)), "the sweep ended before it could be killed");
            killed.Kill();
            await killed.WaitAsync();
        }

        Assert.False(File.Exists(Path.Combine(folder, "summary.json")), "the sweep was killed too late");
        Outcome resumed = (await ProgramUnderTest.RunAsync(["sweep", file, "--resume", folder, "--parallel", "2"])).Expect(0);
        Assert.DoesNotContain("rung 1/3", resumed.Error, StringComparison.Ordinal); // done before
        JsonNode after = Summary(folder);
        Assert.Equal(whole["best"]!.ToJsonString(), after["best"]!.ToJsonString());

        string alone = TemporaryFolders.NewRun("winner");
        string[] values = [.. whole["best"]!["values"]!.AsObject().SelectMany(v => new[] { "--set", $"{v.Key}={v.Value}" })];
        (await ProgramUnderTest.RunAsync(["train", Repository.Config("tiny.yaml"), "--set", "stop.epochs=2", .. values, "--out", alone, "--workers", "2"])).Expect(0);
        Assert.Equal((string?)whole["best"]!["modelSha256"]![0], (string?)Summary(alone)["modelSha256"]);

        JsonNode other = await SweepAsync(file, "--set", "seed=2");
        Assert.NotEqual(whole["best"]!.ToJsonString(), other["best"]!.ToJsonString());
    }

    [Fact]
    public async Task FoldsAreJudgedByTheirMean()
    {
        string file = Write("""
            config: JOB
            set: { stop.epochs: 1, evaluate.every: 1000 }
            keys: { optimizer.learningRate: { values: [0.0001, 0.02] } }
            search: { method: grid }
            folds: 3
            """);
        JsonNode summary = await SweepAsync(file);
        Assert.Equal("0.02", (string?)summary["best"]!["values"]!["optimizer.learningRate"]);
        string[] hashes = [.. summary["best"]!["modelSha256"]!.AsArray().Select(h => (string)h!)];
        Assert.Equal(3, hashes.Distinct().Count()); // other data each
    }

    [Theory]
    [InlineData("keys: { optimizer.learningRat: { values: [1] } }\nsearch: { method: grid }", "learningRate")]
    [InlineData("keys: { model.layers.1.units: { values: [0] } }\nsearch: { method: grid }", "units")]
    [InlineData("keys: { optimizer.learningRate: { minimum: 1, maximum: 2 } }\nsearch: { method: grid }", "a grid needs the values")]
    [InlineData("keys: { optimizer.learningRate: { values: [1] } }\nsearch: { method: grid }\nset: { data.validation: 0 }", "compared on validation data")]
    [InlineData("keys: { optimizer.learningRate: { values: [1] } }\nsearch: { method: grid }\nmetric: beauty", "expected one of loss, accuracy")]
    public async Task WhatCanNotBeSearchedIsSaidBeforeAnythingIsTrained(string text, string complaint)
    {
        string folder = TemporaryFolders.NewRun("refused");
        Outcome outcome = (await ProgramUnderTest.RunAsync(["sweep", Write("config: JOB\n" + text), "--out", folder])).Expect(2);
        outcome.ExpectError(complaint);
        Assert.False(Directory.Exists(folder), "a folder was made");
    }

    [Fact]
    public async Task TheSweepsThatComeWithTheProgramFit()
    {
        string[] files = Directory.GetFiles(Path.Combine(Repository.Root, "configs", "sweeps"), "*.yaml");
        Assert.NotEmpty(files);
        foreach (string file in files)
        {
            Outcome outcome = (await ProgramUnderTest.RunAsync(["sweep", file, "--dry-run"])).Expect(0);
            Assert.Contains("rung", outcome.Output, StringComparison.Ordinal);
        }
    }

    private static async Task<JsonNode> SweepAsync(string file, params string[] more)
    {
        string folder = TemporaryFolders.NewRun("sweep");
        (await ProgramUnderTest.RunAsync(["sweep", file, "--out", folder, .. more])).Expect(0);
        Assert.True(File.Exists(Path.Combine(folder, "report.html")), "there is no report");
        return Summary(folder);
    }

    private static JsonNode Summary(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "summary.json")))!;

    private static string Write(string text)
    {
        string file = Path.Combine(Directory.CreateDirectory(TemporaryFolders.NewRun("sweep-file")).FullName, "sweep.yaml");
        File.WriteAllText(file, text.Replace("JOB", Repository.Config("tiny.yaml"), StringComparison.Ordinal));
        return file;
    }
}
