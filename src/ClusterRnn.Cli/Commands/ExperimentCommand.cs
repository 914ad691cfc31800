// `clusterrnn experiment FILE`: one run without faults, then as many with them as the scenario says; a verdict on the console, a
// report for people and one for programs. What a host can't do is said before anything starts.
using System.CommandLine;
using System.Globalization;
using ClusterRnn.Cli.Experiments;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Simulator;
using ClusterRnn.Engines.Tcp.Experiments;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn experiment</c>.</summary>
internal static class ExperimentCommand
{
    private const string ReportFile = "report.html";
    private const string JsonFile = "report.json";

    /// <summary>Where this build can run experiments.</summary>
    public static IReadOnlyList<IExperimentHost> Hosts() => [new ProcessHost(LocalCluster.ThisProgram()), new SimulatorHost(), new ContainerHost()];

    /// <summary>The command with these hosts, the first by default.</summary>
    public static Command Make(Terminal terminal, IReadOnlyList<IExperimentHost> hosts)
    {
        string names = hosts.Count < 2 ? hosts[0].Name : $"{string.Join(", ", hosts.SkipLast(1).Select(host => host.Name))} or {hosts[^1].Name}";
        var file = new Argument<string>("FILE") { Description = "The scenario (YAML): a config, a cluster, and what is done to it; see configs/experiments." };
        var on = new Option<string>("--on") { Description = $"Where it runs: {names}. Default: {hosts[0].Name}.", HelpName = "HOST", DefaultValueFactory = _ => hosts[0].Name };
        on.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string>() is var name && hosts.All(host => host.Name != name))
            {
                result.AddError($"--on {name}: expected {names}");
            }
        });
        var dryRun = new Option<bool>("--dry-run") { Description = "Check everything; print what would be done to whom and when; run nothing." };
        var image = new Option<string?>("--image") { Description = $"With --on {ContainerHost.HostName}: the image of the nodes. Default: {ContainerHost.DefaultImage}, which docker compose build makes.", HelpName = "NAME" };
        var repetitions = new Option<string?>("--repetitions") { Description = "Runs with faults (repetitions).", HelpName = "N" };
        var seed = new Option<string?>("--seed") { Description = "The seed of random targets and moments (seed).", HelpName = "N" };
        var set = new Option<string[]>("--set") { Description = "Set a key of the scenario, as often as needed: --set workers=4, --set faults.0.step=100.", HelpName = "KEY=VALUE", AllowMultipleArgumentsPerToken = false };
        var output = new Option<string?>("--out", "-o") { Description = "Where runs and reports go. Default: a new folder runs/experiments/NAME-N.", HelpName = "FOLDER" };
        var command = new GroupedCommand("experiment", "Do to a cluster what a scenario says, and report what became of it.", CommandGroup.Experiment) { file, on, image, dryRun, repetitions, seed, set, output };
        command.Examples.Add(("experiment configs/experiments/kill-worker.yaml", "Kill a worker's process in mid-run; half a minute."));
        command.Examples.Add(("experiment configs/experiments/ten-faults.yaml --repetitions 3", "Ten faults in one run, three times; the report is a page that opens offline."));
        command.Examples.Add(("experiment configs/experiments/ten-faults.yaml --dry-run", "What would be done, to whom and when."));
        command.SetAction((parsed, cancellation) =>
        {
            var assignments = new List<ConfigAssignment>();
            Assign("--repetitions", "repetitions", parsed.GetValue(repetitions));
            Assign("--seed", "seed", parsed.GetValue(seed));
            assignments.AddRange((parsed.GetValue(set) ?? []).Select(ConfigAssignment.Parse));
            IExperimentHost host = hosts.First(h => h.Name == parsed.GetValue(on));
            if (parsed.GetValue(image) is { } named)
            {
                host = host is ContainerHost ? new ContainerHost(named) : throw new UsageException($"--image {named}: only --on {ContainerHost.HostName} needs one");
            }

            string line = "clusterrnn " + string.Join(' ', parsed.Tokens.Select(t => t.Value.Contains(' ', StringComparison.Ordinal) ? $"'{t.Value}'" : t.Value));
            return Task.Run(() => RunAsync(terminal, host, new Request(parsed.GetValue(file)!, assignments, parsed.GetValue(output), line), parsed.GetValue(dryRun), cancellation), CancellationToken.None);

            void Assign(string option, string key, string? value)
            {
                if (value is not null)
                {
                    assignments.Add(new ConfigAssignment($"{option} {value}", key, value));
                }
            }
        });
        return command;
    }

    private static void RefuseWhatCannotBeDone(IExperimentHost host, Scenario scenario, string file)
    {
        var reasons = scenario.Faults.Select((fault, index) => (fault, index, why: host.WhyNot(fault)))
            .Where(refused => refused.why is not null)
            .Select(refused => $"faults[{refused.index}], {refused.fault.Kind}: {refused.why}")
            .ToList();
        if (reasons.Count == 0 && host.WhatIsMissing() is { } missing)
        {
            reasons.Add(missing);
        }

        if (reasons.Count > 0)
        {
            throw new UsageException($"{file} can't be run on {host.Name}:\n  " + string.Join("\n  ", reasons));
        }
    }

    private static async Task<int> RunAsync(Terminal terminal, IExperimentHost host, Request request, bool isDryRun, CancellationToken cancellation)
    {
        BoundConfig<Scenario> bound = Scenario.Load(request.File, request.Assignments);
        Scenario scenario = bound.Value;
        ResolvedJob job = Open(bound, request.File);
        RefuseWhatCannotBeDone(host, scenario, request.File);

        if (isDryRun)
        {
            ExperimentConsole.ShowPlan(terminal, scenario, job, host.Name);
            return ExitCode.Success;
        }

        string folder = request.Out ?? NextFolder(scenario.Name!);
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
        {
            throw new UsageException($"--out {folder}: expected a new or empty folder, found one that holds something");
        }

        Directory.CreateDirectory(folder);
        DateTimeOffset started = TimeProvider.System.GetUtcNow();
        terminal.Say($"{scenario.Name} on {host.Name}: {ExperimentConsole.Cluster(scenario)}");
        RunRecord control = await host.RunAsync(
            new ExperimentRun("control", scenario, job, [], Path.Combine(folder, "control")), Saying("control"), cancellation).ConfigureAwait(false);
        var runs = new List<RunRecord>();
        for (int i = 0; i < scenario.Repetitions && control.Failure is null; i++)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"run {i + 1}");
            runs.Add(await host.RunAsync(
                new ExperimentRun(name, scenario, job, FaultSchedule.Resolve(scenario, i), Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"run-{i + 1}"))),
                Saying(name),
                cancellation).ConfigureAwait(false));
        }

        var findings = ExperimentFindings.Of(new ExperimentResult
        {
            Scenario = scenario,
            Host = host.Name,
            Command = request.Line,
            Version = CommandLine.Version,
            Started = started,
            Control = control,
            Runs = runs,
        });
        string html = Path.Combine(folder, ReportFile);
        ExperimentReport.Write(html, findings);
        await File.WriteAllTextAsync(Path.Combine(folder, JsonFile), ExperimentJson.Of(findings), CancellationToken.None).ConfigureAwait(false);
        ExperimentConsole.ShowFindings(terminal, findings, html);
        return findings.IsGood ? ExitCode.Success : ExitCode.Failed;

        Action<string> Saying(string run) => text => terminal.Say($"{run,-8} {text}");
    }

    // The job with what the scenario sets. A complaint about a key that the scenario sets names the scenario.
    internal static ResolvedJob Open(BoundConfig<Scenario> bound, string file)
    {
        Scenario scenario = bound.Value;
        string config = Path.Combine(Path.GetDirectoryName(file) ?? "", scenario.Config);
        if (!File.Exists(config))
        {
            throw bound.Error("config", $"'config' is {scenario.Config}, and there is no {config}", "The path is seen from the scenario's folder.");
        }

        string[] reserved = ["cluster.workers", "cluster.servers", "cluster.replicas", "cluster.engine"];
        foreach (string key in scenario.Set.Keys.Where(reserved.Contains))
        {
            throw bound.Error($"set.{key}", $"'{key}' is the scenario's own: write '{key["cluster.".Length..]}' beside 'config'", key.EndsWith("engine", StringComparison.Ordinal) ? "Where it runs is --on." : null);
        }

        List<ConfigAssignment> assignments = [.. scenario.Set.Select(pair => new ConfigAssignment($"{file}: set {pair.Key}", pair.Key, pair.Value))];
        assignments.Add(new ConfigAssignment($"{file}: workers", "cluster.workers", scenario.Workers.ToString(CultureInfo.InvariantCulture)));
        assignments.Add(new ConfigAssignment($"{file}: servers", "cluster.servers", scenario.Servers.ToString(CultureInfo.InvariantCulture)));
        assignments.Add(new ConfigAssignment($"{file}: replicas", "cluster.replicas", scenario.Replicas.ToString(CultureInfo.InvariantCulture)));
        ResolvedJob job = TrainCommand.Open(JobConfig.Load(config, assignments));
        job.Job.CreatePolicy(); // contradictions between the settings show here
        return job;
    }

    private static string NextFolder(string name)
    {
        string parent = Path.Combine(new OutputConfig().Folder, "experiments");
        int number = 1;
        while (Directory.Exists(Path.Combine(parent, string.Create(CultureInfo.InvariantCulture, $"{name}-{number}"))))
        {
            number++;
        }

        return Path.Combine(parent, string.Create(CultureInfo.InvariantCulture, $"{name}-{number}"));
    }

    private sealed record Request(string File, IReadOnlyList<ConfigAssignment> Assignments, string? Out, string Line);
}
