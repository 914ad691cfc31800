// The command with a host that only remembers what it was asked for, and the gallery.
using ClusterRnn.Cli;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp.Experiments;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Tests.Tidy;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Experiments;

public sealed class ExperimentCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("clusterrnn-experiment-").FullName;
    private readonly List<ExperimentRun> _asked = [];
    private readonly StringWriter _output = new();
    private readonly StringWriter _error = new();

    public static TheoryData<string> Gallery { get; } = [.. SourceText.Files.Where(f => f.StartsWith("configs/experiments/", StringComparison.Ordinal) && f.EndsWith(".yaml", StringComparison.Ordinal))];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Gallery))]
    public async Task Every_scenario_passes_a_dry_run_and_says_what_it_shows(string file)
    {
        string path = Path.Combine(Repository.Root, file);
        Assert.Equal(ExitCode.Success, await RunAsync(new Remembering(this), path, "--dry-run"));
        Scenario scenario = Scenario.Load(path).Value;
        Assert.NotNull(scenario.Shows);
        Assert.Contains(scenario.Shows, _output.ToString(), StringComparison.Ordinal);
        Assert.Equal(scenario.Repetitions, _output.ToString().Split('\n').Count(line => line.StartsWith("run ", StringComparison.Ordinal)));
        Assert.StartsWith("# ", (await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken))[1], StringComparison.Ordinal);
        Assert.Empty(_asked);
    }

    [Fact]
    public void The_gallery_has_every_fault_and_one_with_ten()
    {
        Scenario[] scenarios = [.. Gallery.Select(row => Scenario.Load(Path.Combine(Repository.Root, row.Data)).Value)];
        string[] kinds = [.. ConfigShape.Of(typeof(FaultConfig)).Variants.Keys];
        Assert.Equal(11, kinds.Length);
        Assert.Equal(kinds.Order(StringComparer.Ordinal), scenarios.SelectMany(s => s.Faults).Select(f => f.Kind).Distinct().Order(StringComparer.Ordinal));
        Assert.Equal(10, scenarios.Single(s => s.Name == "ten-faults").Faults.Count);
        Assert.Contains(scenarios, s => s.Faults.Any(f => f.PerMinute is not null));
    }

    [Fact]
    public async Task Runs_the_control_first_and_then_the_repetitions()
    {
        string report = Path.Combine(_folder, "out");
        Assert.Equal(ExitCode.Success, await RunAsync(new Remembering(this), Tiny("kill-worker"), "--repetitions", "2", "--out", report));
        Assert.Equal(["control", "run 1", "run 2"], _asked.Select(run => run.Name));
        Assert.Empty(_asked[0].Actions);
        Assert.Equal(NodeName.Worker(1), Assert.Single(_asked[1].Actions).Target);
        Assert.Equal((3, 1), (_asked[1].Job.Config.Cluster.Workers, _asked[1].Job.Config.Cluster.Servers));
        Assert.Equal(250, _asked[1].Job.Config.Stop.Epochs);
        Assert.Contains("came to the same model as undisturbed every time", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("ten-of-it", _error.ToString(), StringComparison.Ordinal);
        Assert.Contains("--repetitions 2", await File.ReadAllTextAsync(Path.Combine(report, "report.html"), TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(report, "report.json")));
    }

    [Fact]
    public async Task Another_answer_is_an_error()
        => Assert.Equal(ExitCode.Failed, await RunAsync(new Remembering(this) { Answer = "other" }, Tiny("kill-worker"), "--out", Path.Combine(_folder, "out")));

    [Fact]
    public async Task What_a_host_cannot_do_is_said_before_anything_starts()
    {
        Assert.Equal(ExitCode.Usage, await RunAsync(new Remembering(this) { Refusal = "not here" }, Tiny("kill-worker"), "--out", Path.Combine(_folder, "out")));
        Assert.Contains("can't be run on remembering:\n  faults[0], kill: not here", _error.ToString(), StringComparison.Ordinal);
        Assert.Equal(ExitCode.Usage, await RunAsync(new Remembering(this) { Missing = "no engine" }, Tiny("kill-worker"), "--out", Path.Combine(_folder, "out")));
        Assert.Contains("can't be run on remembering:\n  no engine", _error.ToString(), StringComparison.Ordinal);
        Assert.Empty(_asked);
        Assert.False(Directory.Exists(Path.Combine(_folder, "out")));
        Scenario nan = Scenario.Load(Tiny("nan")).Value;
        Assert.Contains("--on simulator", new ProcessHost(["clusterrnn"]).WhyNot(Assert.Single(nan.Faults)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("config: nowhere.yaml", "'config' is nowhere.yaml, and there is no")]
    [InlineData("config: tiny.yaml\nset: { cluster.workers: 4 }", "'cluster.workers' is the scenario's own: write 'workers' beside 'config'")]
    [InlineData("config: tiny.yaml\nset: { cluster.engine: tcp }", "Where it runs is --on.")]
    [InlineData("config: tiny.yaml\nset: { stop.epohcs: 4 }", "unknown key 'epohcs' in 'stop'")]
    [InlineData("config: tiny.yaml\nset: { stop.epochs: none }", "'stop.epochs' expects")]
    public async Task Complains_about_the_job(string head, string message)
    {
        File.Copy(Path.Combine(Repository.Root, "configs", "tiny.yaml"), Path.Combine(_folder, "tiny.yaml"));
        string path = Path.Combine(_folder, "scenario.yaml");
        await File.WriteAllTextAsync(path, head + "\nfaults: [{ kind: kill, target: worker-0, step: 1 }]\n", TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Usage, await RunAsync(new Remembering(this), path, "--dry-run"));
        Assert.Contains(message, _error.ToString(), StringComparison.Ordinal);
        Assert.Contains("scenario.yaml", _error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Leaves_a_folder_alone_that_holds_something()
    {
        await File.WriteAllTextAsync(Path.Combine(_folder, "mine"), "", TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Usage, await RunAsync(new Remembering(this), Tiny("kill-worker"), "--out", _folder));
        Assert.Contains("expected a new or empty folder", _error.ToString(), StringComparison.Ordinal);
        Assert.Equal(ExitCode.Usage, await RunAsync(new Remembering(this), Tiny("kill-worker"), "--on", "moon"));
        Assert.Contains("--on moon: expected remembering", _error.ToString(), StringComparison.Ordinal);
    }

    private static string Tiny(string name) => Path.Combine(Repository.Root, "configs", "experiments", name + ".yaml");

    private Task<int> RunAsync(IExperimentHost host, params string[] arguments)
        => new CommandLine(Terminal.To(_output, _error), [], [host]).RunAsync(["experiment", .. arguments]);

    private sealed class Remembering(ExperimentCommandTests test) : IExperimentHost
    {
        public string? Answer { get; init; }

        public string? Refusal { get; init; }

        public string? Missing { get; init; }

        public string Name => "remembering";

        public string? WhyNot(FaultConfig fault) => Refusal;

        public string? WhatIsMissing() => Missing;

        public Task<RunRecord> RunAsync(ExperimentRun run, Action<string> said, CancellationToken cancellation)
        {
            test._asked.Add(run);
            said("ten-of-it");
            RunRecord record = run.Name == "control" ? FixedExperiment.Control
                : FixedExperiment.Control with { Name = run.Name, ModelSha256 = Answer ?? FixedExperiment.Model, Faults = [.. run.Actions.Select(a => new PlayedFault(a, 2, 3, 20))] };
            return Task.FromResult(record);
        }
    }
}
