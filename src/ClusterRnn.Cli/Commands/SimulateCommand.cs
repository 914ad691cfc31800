using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Simulator;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn simulate</c>: thousands of clusters in virtual time, each a function of its seed.</summary>
internal static class SimulateCommand
{
    private static readonly TimeSpan s_progress = TimeSpan.FromSeconds(2);

    public static Command Make(Terminal terminal)
    {
        Option<long?> seed = NumberOption.Of<long>("--seed", "Run one seed, and say what happened.", 0);
        var seeds = new Option<string?>("--seeds") { Description = "Run these seeds: A..B, both included. Default: 0..999.", HelpName = "A..B" };
        var only = new Option<string?>("--only") { Description = "Of the seed's faults play only these: their numbers, or none.", HelpName = "N,N" };
        var scenario = new Option<string?>("--scenario") { Description = "Run an experiment's scenario here, on its own job: undisturbed, then with its faults.", HelpName = "FILE" };
        var calm = new Option<bool>("--calm") { Description = "The network loses, copies and delays nothing by itself." };
        var trace = new Option<string?>("--trace") { Description = "Write everything that happens in the seed's run to this file.", HelpName = "FILE" };
        Option<int?> threads = NumberOption.Of("--threads", "On how many threads seeds are run. Default: one for each core.", 1);
        var command = new GroupedCommand("simulate", "Run clusters in virtual time that fail by a seed, and check them.", CommandGroup.Experiment)
        {
            seed, seeds, only, calm, trace, threads, scenario,
        };
        command.Examples.Add(("simulate --seeds 0..9999", "Ten thousand runs. Exit code 1 if one breaks a rule; it says which, and how to replay it."));
        command.Examples.Add(("simulate --seed 17 --trace trace.txt", "One run, written down event by event. The same seed gives the same trace, byte for byte."));
        command.Examples.Add(("simulate --scenario configs/experiments/kill-worker.yaml", "A scenario on its own job; `experiment --on simulator` writes a report of it as well."));
        command.SetAction((parsed, cancellation) => Task.Run(
            () => parsed.GetValue(scenario) is { } file
                ? RunScenario(terminal, file, cancellation)
                : parsed.GetValue(seed) is { } one
                ? RunOne(terminal, one, CutOf(parsed.GetValue(only), parsed.GetValue(calm)), parsed.GetValue(trace))
                : RunMany(terminal, parsed.GetValue(seeds) ?? "0..999", parsed.GetValue(threads) ?? Environment.ProcessorCount, cancellation),
            CancellationToken.None));
        return command;
    }

    private static int RunScenario(Terminal terminal, string file, CancellationToken cancellation)
    {
        BoundConfig<Scenario> bound = Scenario.Load(file);
        ResolvedJob job = ExperimentCommand.Open(bound, file);
        var host = new SimulatorHost();
        RunRecord control = Run("undisturbed", []), disturbed = Run("disturbed", FaultSchedule.Resolve(bound.Value, 0));
        terminal.Say($"undisturbed {control.ModelSha256}");
        terminal.Say($"disturbed   {disturbed.ModelSha256}");
        string? wrong = control.Failure ?? disturbed.Failure ?? disturbed.Ledger?.FirstOffence ?? (control.ModelSha256 == disturbed.ModelSha256 ? null : "the two models differ");
        if (wrong is not null)
        {
            terminal.Fail(wrong);
            return ExitCode.Failed;
        }

        terminal.Say($"{disturbed.Faults.Count} faults, {Figures.Count(disturbed.Steps)} steps, the same model bit for bit");
        return ExitCode.Success;

        RunRecord Run(string name, IReadOnlyList<FaultAction> actions) => host.RunAsync(
            new ExperimentRun(name, bound.Value, job, actions, ""), text => terminal.Say($"{name,-12} {text}"), cancellation).GetAwaiter().GetResult();
    }

    private static int RunOne(Terminal terminal, long seed, SeedCut? cut, string? trace)
    {
        SeedVerdict verdict;
        using (StreamWriter? into = trace is null ? null : new StreamWriter(trace))
        {
            verdict = SeedRuns.Run(seed, cut, into);
        }

        terminal.Say(verdict.Setting);
        for (int i = 0; i < verdict.Faults.Count; i++)
        {
            terminal.Say($"  {(cut?.Only is { } only ? only[i] : i)}: {verdict.Faults[i]}");
        }

        if (!verdict.Passed)
        {
            foreach (string line in verdict.LastLines)
            {
                terminal.Say(line);
            }

            return Fail(terminal, verdict, cut);
        }

        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"seed {seed} holds: {(verdict.IsInconclusive ? "cut short, since a lone wrong answer can't be told from a right one" : verdict.Reason)}; "
            + $"{verdict.Events} events, {verdict.Ticks / 1e6:0.000} s of virtual time, trace {verdict.TraceHash:x16}"));
        return ExitCode.Success;
    }

    private static int RunMany(Terminal terminal, string range, int threads, CancellationToken cancellation)
    {
        (long first, long last) = Parse(range);
        var shown = Stopwatch.StartNew();
        var started = Stopwatch.StartNew();
        var gate = new Lock();
        SeedReport report = SeedRuns.RunMany(
            first,
            last + 1,
            threads,
            (done, failed) =>
            {
                lock (gate)
                {
                    if (shown.Elapsed > s_progress)
                    {
                        shown.Restart();
                        terminal.Say(string.Create(
                            CultureInfo.InvariantCulture, $"{done} of {last + 1 - first} seeds, {failed} failed, {done / started.Elapsed.TotalMinutes:0} a minute"));
                    }
                }
            },
            cancellation);
        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Passed} seeds hold, {report.Failures.Count} fail; {report.Inconclusive} were cut short by a lone wrong answer; "
            + $"{report.Elapsed.TotalSeconds:0.0} s, {(report.Passed + report.Failures.Count) / report.Elapsed.TotalMinutes:0} seeds a minute; commit {SeedRuns.Commit}"));
        if (terminal.Verbosity == Verbosity.Verbose)
        {
            Tables.Write(terminal, [], [.. report.Seen.Select(pair => (string[])[pair.Key, Figures.Count(pair.Value)])]);
        }

        if (report.Failures.Count == 0)
        {
            return cancellation.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Success;
        }

        terminal.Say($"seeds that fail: {string.Join(' ', report.Failures.Select(failure => failure.Seed))}");
        return Fail(terminal, report.Failures[0], null);
    }

    private static int Fail(Terminal terminal, SeedVerdict verdict, SeedCut? cut)
    {
        terminal.Fail(SeedRuns.Describe(cut is null ? SeedRuns.Shrink(verdict) : verdict));
        return ExitCode.Failed;
    }

    private static SeedCut? CutOf(string? only, bool calm)
    {
        if (only is null && !calm)
        {
            return null;
        }

        int[]? numbers = only switch
        {
            null => null,
            "none" => [],
            _ => [.. only.Split(',').Select(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                ? number
                : throw new UsageException($"--only: expected numbers of faults such as 0,3, or none; found '{text}'"))],
        };
        return new SeedCut { Only = numbers, IsCalm = calm };
    }

    private static (long First, long Last) Parse(string range)
    {
        string[] ends = range.Split("..");
        return ends.Length == 2 && long.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out long first)
            && long.TryParse(ends[1], NumberStyles.None, CultureInfo.InvariantCulture, out long last) && last >= first && last < long.MaxValue
            ? (first, last)
            : throw new UsageException($"--seeds: expected two whole numbers as in 0..999, found '{range}'");
    }
}
