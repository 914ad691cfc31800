// report.html of an experiment: what was done, what became of it, and why it can be believed, for somebody who has seen no log
// and does not know the program. One file that opens offline, in light and dark, and prints.
using System.Globalization;
using System.Text;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Report;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Experiments;

/// <summary>Writes an experiment's report.</summary>
internal static class ExperimentReport
{
    private const int Buckets = 60; // of the goodput's curve

    /// <summary>The report as HTML.</summary>
    public static string Render(ExperimentFindings findings)
    {
        Scenario scenario = findings.Result.Scenario;
        var html = new StringBuilder(1 << 16);
        html.Append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
        html.Append(Html.Text(scenario.Name ?? "experiment")).Append(" – ClusterRnn experiment</title>\n<style>\n").Append(HtmlReport.Resource("report.css")).Append(HtmlReport.Resource("experiment.css")).Append("</style>\n</head>\n<body>\n<main>\n");
        Head(html, findings);
        Verdict(html, findings);
        Cards(html, findings);
        foreach (RunFinding run in findings.Runs)
        {
            WriteRun(html, run, findings);
        }

        Goodput(html, findings);
        Losses(html, findings);
        Samples(html, findings);
        Answers(html, findings);
        Again(html, findings);
        html.Append("</main>\n<script>\n").Append(HtmlReport.Resource("report.js")).Append("</script>\n</body>\n</html>\n");
        return html.ToString().ReplaceLineEndings("\n");
    }

    /// <summary>Writes the report whole or not at all.</summary>
    public static void Write(string path, ExperimentFindings findings)
    {
        File.WriteAllText(path + ".new", Render(findings), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        File.Move(path + ".new", path, overwrite: true);
    }

    private static void Head(StringBuilder html, ExperimentFindings findings)
    {
        ExperimentResult result = findings.Result;
        html.Append("<header><h1>").Append(Html.Text(result.Scenario.Name ?? "experiment")).Append("</h1>\n");
        if (result.Scenario.Shows is { } shows)
        {
            html.Append("<p>").Append(Html.Text(shows)).Append("</p>\n");
        }

        string where = result.IsSimulated ? "simulated: the real coordinator, workers and servers under virtual time" : result.Host == "containers" ? "real containers on one machine" : "real processes on one machine";
        html.Append(CultureInfo.InvariantCulture, $"<p>{Html.Text(ExperimentConsole.Cluster(result.Scenario))} · {where} · {result.Started:yyyy-MM-dd HH:mm} UTC · ClusterRnn {Html.Text(result.Version)}</p></header>\n");
    }

    private static void Verdict(StringBuilder html, ExperimentFindings findings)
    {
        html.Append(CultureInfo.InvariantCulture, $"<section class=\"verdict {(findings.IsGood ? "good" : "bad")}\"><h2>{(findings.IsGood ? "✓" : "✗")} {Html.Text(ExperimentWords.Headline(findings))}</h2>\n<p>");
        html.Append(string.Join(' ', ExperimentWords.Sentences(findings).Select(Html.Text)));
        html.Append("</p></section>\n");
    }

    private static void Cards(StringBuilder html, ExperimentFindings findings)
    {
        html.Append("<section class=\"cards\">\n");
        Card("Same model as undisturbed", $"{findings.SameAnswers} of {findings.Runs.Count}", findings.Runs.Count == 1 ? "run with faults" : "runs with faults");
        Card("Samples lost / repeated", findings.Runs.Any(run => run.Run.Ledger is not null) ? $"{Figures.Count(findings.LostSamples)} / {Figures.Count(findings.RepeatedSamples)}" : "not counted", "held against the data, row by row");
        if (findings.Slowest is { } slowest)
        {
            Card("Training stood still for at most", ExperimentWords.Time(slowest.Fault.LongestPause), $"fault {slowest.Fault.Fault.Action.Number} of {slowest.Run.Run.Name}");
        }

        if (findings.Runs.Count > 0)
        {
            double? share = findings.Runs.Min(run => run.Goodput);
            Card("Speed of training", ExperimentWords.Share(share), share > 1.05 ? "of the undisturbed run’s, by chance: the machine was busier then" : "of the undisturbed run’s, pauses included");
        }

        html.Append("</section>\n");

        void Card(string label, string value, string note)
            => html.Append(CultureInfo.InvariantCulture, $"<div><span>{Html.Text(label)}</span><strong>{Html.Text(value)}</strong><small>{Html.Text(note)}</small></div>\n");
    }

    private static void WriteRun(StringBuilder html, RunFinding run, ExperimentFindings findings)
    {
        string name = findings.Runs.Count == 1 ? "What happened" : $"What happened in {run.Run.Name}";
        html.Append("<section><h2>").Append(Html.Text(name)).Append("</h2>\n");
        if (run.Run.Failure is { } failure)
        {
            html.Append("<p class=\"failure\">It did not end: ").Append(Html.Text(failure)).Append("</p>\n");
        }

        string copies = findings.Result.Scenario.Replicas > 1 ? ", two copies of each part," : "";
        html.Append(CultureInfo.InvariantCulture, $"<p>A coordinator cuts each training step’s batch into shards and gives them to workers, which compute; servers hold the model{copies} and change it once all shards of the step have been added up. Whoever is silent for too long is given up, and may join again.</p>\n");
        Timeline.Write(html, run, findings.Result.Scenario);
        if (run.Faults.Count > 0)
        {
            html.Append("<div class=\"wide\"><table class=\"faults\">\n<tr><th>fault</th><th>what was done</th><th>at</th><th>noticed after</th><th>training again after</th><th>longest pause</th><th>back in the cluster after</th></tr>\n");
            foreach (FaultFinding f in run.Faults)
            {
                string what = Html.Text(f.Fault.Action.What) + (f.Fault.Note is { } note ? $"<br><small>{Html.Text(note)}</small>" : "") + (f.NoticedBy is { } by ? $"<br><small>{Html.Text(Shorten(by))}</small>" : "");
                html.Append(CultureInfo.InvariantCulture, $"<tr><td><b class=\"hit\">{f.Fault.Action.Number}</b></td><td>{what}</td><td>{f.Fault.Seconds:0.0} s<br><small>step {Figures.Count(f.Fault.Steps)}</small></td><td>{ExperimentWords.Noticed(f)}</td><td>{ExperimentWords.Training(f)}</td><td>{ExperimentWords.Time(f.LongestPause)}</td><td>{(f.WholeAfter is { } whole ? ExperimentWords.Time(whole) : "–")}</td></tr>\n");
            }

            html.Append("</table></div>\n<p class=\"note\">Not noticed: nobody had to, because no work was late for long enough and no connection broke. Training again: the first step committed after the fault was noticed; "
                + "“did not stop” means that steps were committed as before.</p>\n");
        }

        if (run.Run.NotPlayed.Count > 0)
        {
            html.Append("<p class=\"note\">Not played, because the training was over: ").Append(Html.Text(string.Join("; ", run.Run.NotPlayed.Select(a => $"{a.What} {a.When}")))).Append(".</p>\n");
        }

        Recomputed(html, run);
        html.Append("<details><summary>Everything that was noticed, in order</summary><div class=\"wide\"><table class=\"events\">\n");
        foreach (ClusterEvent happened in run.Run.Events.Where(e => e.Kind != ClusterEventKind.Left || e.Seconds < run.Run.Seconds))
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{happened.Seconds:0.000} s</td><td>{Html.Text(happened.Node?.ToString() ?? "")}</td><td>{Html.Text(happened.Text)}</td></tr>\n");
        }

        html.Append("</table></div></details></section>\n");
    }

    private static void Recomputed(StringBuilder html, RunFinding run)
    {
        (string Cause, long Shards, string Why)[] causes =
        [
            ("a node was lost", run.LostShards, "its part of the open step was computed by others"),
            ("a worker was late", run.SpeculativeShards, "another one began the same part, and the first answer counted"),
            ("back to a checkpoint", run.RollbackShards, "steps since then were executed again, to the same bits"),
            ("answers in dispute", run.DisputedShards, "they differed or were not finite, and a third worker decided"),
        ];
        long all = causes.Sum(c => c.Shards), shards = Math.Max(1, causes.Max(c => c.Shards));
        html.Append("<h3>Computed more than once</h3>\n");
        html.Append(CultureInfo.InvariantCulture, $"<p class=\"note\">A step's batch is cut into shards, which workers compute. {(all == 0 ? "No shard was" : $"{ExperimentWords.Many(all, "shard")} {(all == 1 ? "was" : "were")}")} computed again, by cause:</p>\n<table class=\"figures causes\">\n");
        foreach ((string cause, long count, string why) in causes)
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><th>{Html.Text(cause)}</th><td><span class=\"bar\" style=\"width:{(160.0 * count / shards).ToString("0", CultureInfo.InvariantCulture)}px\"></span>{Figures.Count(count)}</td><td class=\"note\">{Html.Text(why)}</td></tr>\n");
        }

        html.Append("</table>\n");
    }

    private static void Goodput(StringBuilder html, ExperimentFindings findings)
    {
        RunFinding[] runs = [.. findings.Runs.Prepend(findings.Control).Where(r => r.Run.Commits.Count > 1)];
        if (runs.Length == 0)
        {
            return;
        }

        html.Append("<section><h2>Speed beside the undisturbed run</h2>\n<p>Steps of the result only: what was computed twice counts once. A flat stretch is time in which training stood still.</p>\n");
        LineChart.Write(
            html, "Steps committed", "seconds after the first step", "steps", [.. runs.Select((run, i) => new ChartSeries(NameOf(run, findings), Highest(run.Run), (i % 6) + 1))]);
        LineChart.Write(
            html, "Goodput, steps a second", "seconds after the first step", "steps a second", [.. runs.Select((run, i) => new ChartSeries(NameOf(run, findings), Rate(run.Run), (i % 6) + 1))]);
        html.Append("</section>\n");
    }

    private static void Losses(StringBuilder html, ExperimentFindings findings)
    {
        RunFinding[] runs = [.. findings.Runs.Prepend(findings.Control).Where(r => r.Run.Losses.Count > 0)];
        if (runs.Length == 0)
        {
            return;
        }

        Dictionary<long, double> control = findings.Control.Run.Losses.ToDictionary(l => l.Step, l => l.Loss);
        double most = 0;
        long compared = 0;
        foreach (LossPoint point in findings.Runs.SelectMany(r => r.Run.Losses))
        {
            if (control.TryGetValue(point.Step, out double expected) && !(double.IsNaN(expected) && double.IsNaN(point.Loss)))
            {
                compared++;
                most = Math.Max(most, Math.Abs(expected - point.Loss));
            }
        }

        html.Append("<section><h2>Loss</h2>\n<p>");
        html.Append(most == 0
            ? $"{Figures.Count(compared)} steps were held against the control’s: the losses are equal in every digit, so the lines lie on top of each other. Over time they differ by as much as training stood still."
            : string.Create(CultureInfo.InvariantCulture, $"The losses differ from the control’s by up to {most:0.###e+0}."));
        html.Append("</p>\n");
        LineChart.Write(html, "Loss by step", "step", "loss", [.. runs.Select((run, i) => new ChartSeries(NameOf(run, findings), [.. run.Run.Losses.Select(l => ((double)l.Step, l.Loss))], (i % 6) + 1))], mayBeLogarithmic: true);
        LineChart.Write(html, "Loss by time", "seconds after the first step", "loss", [.. runs.Select((run, i) => new ChartSeries(NameOf(run, findings), ByTime(run.Run), (i % 6) + 1))], mayBeLogarithmic: true);
        html.Append("</section>\n");
    }

    private static void Samples(StringBuilder html, ExperimentFindings findings)
    {
        html.Append("<section><h2>Samples</h2>\n<p>The coordinator’s journal says which rows each committed step read, as the workers digested them. Here it is held against the data: every row once in a pass.</p>\n<div class=\"wide\"><table>\n");
        html.Append("<tr><th>run</th><th>steps</th><th>samples</th><th>lost</th><th>repeated</th><th>other rows than prescribed</th></tr>\n");
        foreach (RunFinding run in findings.Runs.Prepend(findings.Control))
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Html.Text(NameOf(run, findings))}</td>");
            html.Append(run.Run.Ledger is { } ledger
                ? $"<td>{Figures.Count(ledger.Steps)}</td><td>{Figures.Count(ledger.Samples)}</td><td>{Figures.Count(ledger.LostSamples)}</td><td>{Figures.Count(ledger.RepeatedSamples)}</td><td>{(ledger.DifferingShards == 0 ? "0" : ExperimentWords.Many(ledger.DifferingShards, "shard"))}</td></tr>\n"
                : "<td colspan=\"5\">no ledger was kept</td></tr>\n");
        }

        html.Append("</table></div></section>\n");
    }

    private static void Answers(StringBuilder html, ExperimentFindings findings)
    {
        html.Append("<section><h2>Answers</h2>\n<p>The SHA-256 of all parameters, and of all that training goes on from: optimizer, carried states, place in the data, learning rate.</p>\n<div class=\"wide\"><table class=\"answers\">\n<tr><th>run</th><th>model</th><th>state</th><th></th></tr>\n");
        foreach (RunFinding run in findings.Runs.Prepend(findings.Control))
        {
            string verdict = run.Run.Failure is not null ? "did not end" : run == findings.Control ? "the reference" : run.HasControlsAnswer ? "✓ the same" : "✗ another";
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Html.Text(NameOf(run, findings))}</td><td><code>{Html.Text(run.Run.ModelSha256)}</code></td><td><code>{Html.Text(run.Run.StateSha256)}</code></td><td>{verdict}</td></tr>\n");
        }

        html.Append("</table></div></section>\n");
    }

    private static void Again(StringBuilder html, ExperimentFindings findings)
    {
        html.Append("<section><h2>Run it again</h2>\n<pre>").Append(Html.Text(findings.Result.Command)).Append("</pre>\n");
        html.Append("<p class=\"note\">The hashes are the same on every machine; ").Append(findings.Result.IsSimulated ? "so are the virtual times." : "times and what was computed twice differ from run to run.").Append("</p>\n");
        html.Append("<details><summary>The scenario, every value spelled out</summary><pre>").Append(Html.Text(ConfigLoader.ToYaml(findings.Result.Scenario).TrimEnd())).Append("</pre></details></section>\n");
    }

    private static string NameOf(RunFinding run, ExperimentFindings findings) => run == findings.Control ? "undisturbed" : findings.Runs.Count == 1 ? "with faults" : run.Run.Name;

    private static string Shorten(string text) => text.Length <= 140 ? text : text[..137] + "…";

    // Steps that count: those executed again after a rollback add nothing until they pass the highest before.
    private static List<(double X, double Y)> Highest(RunRecord run)
    {
        var points = new List<(double, double)>(run.Commits.Count);
        long highest = 0;
        double before = 0;
        foreach (CommitPoint commit in run.Commits)
        {
            // A step's height begins when it is committed; without the corner a pause would look like slow progress.
            if (commit.Seconds - before > 0.2)
            {
                points.Add((commit.Seconds, highest));
            }

            before = commit.Seconds;
            highest = Math.Max(highest, commit.Steps);
            points.Add((commit.Seconds, highest));
        }

        return points;
    }

    private static List<(double X, double Y)> Rate(RunRecord run)
    {
        double width = Math.Max(run.Seconds / Buckets, 1e-6);
        double[] steps = new double[Buckets];
        long highest = 0;
        foreach (CommitPoint commit in run.Commits)
        {
            int bucket = Math.Clamp((int)(commit.Seconds / width), 0, Buckets - 1);
            steps[bucket] += Math.Max(0, commit.Steps - highest);
            highest = Math.Max(highest, commit.Steps);
        }

        return [.. steps.Select((count, i) => ((i + 0.5) * width, count / width))];
    }

    private static (double X, double Y)[] ByTime(RunRecord run)
    {
        var losses = new Dictionary<long, double>();
        foreach (LossPoint point in run.Losses)
        {
            losses[point.Step] = point.Loss;
        }

        return [.. run.Commits.Where(c => losses.ContainsKey(c.Steps)).Select(c => (c.Seconds, losses[c.Steps]))];
    }
}
