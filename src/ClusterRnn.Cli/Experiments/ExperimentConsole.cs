using System.Globalization;
using ClusterRnn.Cli.Output;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training;

namespace ClusterRnn.Cli.Experiments;

/// <summary>An experiment on the console: its plan, and what it came to.</summary>
internal static class ExperimentConsole
{
    /// <summary>The cluster in words.</summary>
    public static string Cluster(Scenario scenario)
        => $"{ExperimentWords.Many(scenario.Workers, "worker")}, {ExperimentWords.Many(scenario.Servers, "server")}{(scenario.Replicas > 1 ? " with replicas" : "")}; "
            + $"{ExperimentWords.Many(scenario.Faults.Count, "fault")}, {ExperimentWords.Many(scenario.Repetitions, "run")} after the control run";

    /// <summary>Prints what would be done.</summary>
    public static void ShowPlan(Terminal terminal, Scenario scenario, ResolvedJob job, string host)
    {
        terminal.WriteLine($"{scenario.Name} on {host}: {Cluster(scenario)}");
        if (scenario.Shows is { } shows)
        {
            terminal.WriteLine(shows);
        }

        string steps = job.Job.Settings.MaximumSteps is var most && most < long.MaxValue ? ExperimentWords.Many(most, "step") : "until its loss or patience ends it";
        terminal.WriteLine($"{scenario.Config}: {steps} of {ExperimentWords.Many(job.Job.Shards, "shard")}, {Figures.Count(job.Job.Layout.ParameterCount)} parameters");
        for (int i = 0; i < scenario.Repetitions; i++)
        {
            terminal.WriteLine("");
            terminal.WriteLine(string.Create(CultureInfo.InvariantCulture, $"run {i + 1}"));
            Tables.Write(terminal, [], [.. FaultSchedule.Resolve(scenario, i).Select(action => new[] { $"{action.Number}", action.When, action.What })]);
        }
    }

    /// <summary>Prints what it came to.</summary>
    public static void ShowFindings(Terminal terminal, ExperimentFindings findings, string report)
    {
        terminal.WriteLine(ExperimentWords.Headline(findings));
        foreach (string sentence in ExperimentWords.Sentences(findings))
        {
            terminal.WriteLine(sentence);
        }

        terminal.WriteLine("");
        Tables.Write(
            terminal,
            ["run", "answer", "steps", "seconds", "of the control", "lost", "repeated", "shards again: lost", "late", "rollback", "disputed"],
            [.. findings.Runs.Prepend(findings.Control).Select(run => new[]
            {
                run.Run.Name,
                run.Run.Failure is not null ? "failed" : run == findings.Control ? run.Run.ModelSha256[..Math.Min(12, run.Run.ModelSha256.Length)] : run.HasControlsAnswer ? "the same" : "another",
                Figures.Count(run.Run.Steps),
                run.Run.Seconds.ToString("0.0", CultureInfo.InvariantCulture),
                ExperimentWords.Share(run.Goodput),
                run.Run.Ledger is { } ledger ? Figures.Count(ledger.LostSamples) : "–",
                run.Run.Ledger is { } again ? Figures.Count(again.RepeatedSamples) : "–",
                Figures.Count(run.LostShards),
                Figures.Count(run.SpeculativeShards),
                Figures.Count(run.RollbackShards),
                Figures.Count(run.DisputedShards),
            })]);
        foreach (RunFinding run in findings.Runs.Where(r => r.Faults.Count > 0))
        {
            terminal.WriteLine(run.Run.Name);
            Tables.Write(
                terminal,
                ["fault", "at", "noticed after", "training again after", "longest pause"],
                [.. run.Faults.Select(f => new[]
                {
                    $"{f.Fault.Action.Number} {f.Fault.Action.What}{(f.Fault.Note is { } note ? $" ({note})" : "")}",
                    string.Create(CultureInfo.InvariantCulture, $"{f.Fault.Seconds:0.0} s"),
                    ExperimentWords.Noticed(f),
                    ExperimentWords.Training(f),
                    ExperimentWords.Time(f.LongestPause),
                })]);
        }

        terminal.WriteLine($"report  {report}");
    }
}
