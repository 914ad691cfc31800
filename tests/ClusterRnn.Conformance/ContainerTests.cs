// One scenario, three places: the simulator, processes, and containers of this machine's Docker engine. The containers' image is
// the one that deploy/ builds, with the program of these tests in the place of its own.
//
//     deploy/check --stand-in; docker tag clusterrnn-check clusterrnn        where no image can be pulled
//     dotnet test tests/ClusterRnn.Conformance -c Release --filter "FullyQualifiedName~ContainerTests"
using System.Diagnostics;
using System.Text.Json.Nodes;
using ClusterRnn.Conformance.Processes;

namespace ClusterRnn.Conformance;

public sealed class ContainerTests(ITestOutputHelper output)
{
    private const string Base = "clusterrnn";

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task OneScenarioComesToTheSameOnTheSimulatorOnProcessesAndOnContainers()
    {
        SkipWithoutEngine();
        string folder = TemporaryFolders.New("containers"), scenario = Path.Combine(folder, "scenario.yaml"), image = $"clusterrnn-test-{Environment.ProcessId}";
        await File.WriteAllTextAsync(scenario, $$"""
            config: {{Repository.Config("tiny.yaml")}}
            set: { stop.epochs: 16, schedule.patience: 1000, evaluate.every: 200, checkpoint.every: 100 }
            servers: 2
            replicas: 2
            faults:
              - { kind: kill, target: server-0, step: 60 }
              - { kind: partition, target: worker-1, step: 120, duration: 1 }
              - { kind: kill, target: coordinator, step: 200 }
              - { kind: latency, target: worker-0, step: 280, milliseconds: 5, duration: 0.5 }
            """, TestContext.Current.CancellationToken);
        string context = TemporaryFolders.New("image");
        await File.WriteAllTextAsync(Path.Combine(context, "Dockerfile"), $"FROM {Base}\nCOPY bin /app/bin\n", TestContext.Current.CancellationToken);
        Directory.CreateDirectory(Path.Combine(context, "bin"));
        foreach (string file in Directory.EnumerateFiles(AppContext.BaseDirectory))
        {
            File.Copy(file, Path.Combine(context, "bin", Path.GetFileName(file)));
        }

        try
        {
            (bool built, string said) = Docker("build", "--quiet", "--tag", image, context);
            Assert.True(built, said);
            JsonNode simulated = await RunAsync(scenario, folder, "simulator");
            JsonNode processes = await RunAsync(scenario, folder, "processes");
            JsonNode containers = await RunAsync(scenario, folder, "containers", "--image", image);
            foreach (string hash in (string[])["modelSha256", "stateSha256"])
            {
                Assert.Equal((string?)simulated[hash], (string?)containers[hash]);
                Assert.Equal((string?)processes[hash], (string?)containers[hash]);
            }

            Assert.Equal(4, containers["faults"]!.AsArray().Count);
            Assert.Empty(containers["notPlayed"]!.AsArray());
            Assert.True((long)containers["counters"]!["serversLost"]! > 0, "the killed server was not counted");
            Assert.Contains(containers["events"]!.AsArray(), e => (string?)e!["kind"] is "epoch-claimed");
            Assert.Equal("", Docker("ps", "--all", "--quiet", "--filter", $"ancestor={image}").Said.Trim());
        }
        finally
        {
            Docker("rmi", "--force", image);
        }
    }

    [Fact]
    public async Task WhatContainersCannotDoIsSaidBeforeAnythingStarts()
    {
        string folder = TemporaryFolders.NewRun("experiment");
        Outcome outcome = await ProgramUnderTest.RunAsync(["experiment", Repository.Config("experiments/corrupt.yaml"), "--on", "containers", "--out", folder]);
        outcome.Expect(2).ExpectError("links between containers are encrypted");
        outcome = await ProgramUnderTest.RunAsync(
            ["experiment", Repository.Config("experiments/kill-worker.yaml"), "--on", "containers", "--out", folder],
            new Dictionary<string, string> { ["DOCKER_HOST"] = "unix:///nowhere/docker.sock" });
        outcome.Expect(2).ExpectError(OperatingSystem.IsLinux() ? "no Docker engine answers here" : "on Linux only");
        outcome = await ProgramUnderTest.RunAsync(["experiment", Repository.Config("experiments/kill-worker.yaml"), "--image", "other", "--out", folder]);
        outcome.Expect(2).ExpectError("only --on containers needs one");
        Assert.False(Directory.Exists(folder));
    }

    private async Task<JsonNode> RunAsync(string scenario, string folder, string host, params string[] more)
    {
        string report = Path.Combine(folder, host);
        Outcome outcome = await ProgramUnderTest.RunAsync(["experiment", scenario, "--on", host, "--out", report, .. more]);
        output.WriteLine(outcome.ToString());
        outcome.Expect(0);
        return JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(report, "report.json"), TestContext.Current.CancellationToken))!["records"]!["runs"]![0]!;
    }

    private static void SkipWithoutEngine()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs Linux: the containers' addresses are reached from here");
        (bool answers, string said) = Docker("version", "--format", "{{.Server.Version}}");
        Assert.SkipUnless(answers, $"needs a Docker engine: {said}");
        Assert.SkipUnless(Docker("image", "inspect", Base).IsGood, $"needs the image '{Base}': `docker compose build` makes it, or see the head of this file");
    }

    private static (bool IsGood, string Said) Docker(params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("docker", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> said = process.StandardOutput.ReadToEndAsync(), complained = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(s_deadline))
            {
                process.Kill(entireProcessTree: true);
                return (false, $"docker {string.Join(' ', arguments)} took longer than {s_deadline.TotalSeconds:0} s");
            }

            return (process.ExitCode == 0, process.ExitCode == 0 ? said.Result : complained.Result);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (false, "there is no program 'docker'");
        }
    }
}
