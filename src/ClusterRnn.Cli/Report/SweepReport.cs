// report.html of a sweep: the winner, all trials in a table, each key against the score, and how the scores fell from rung to
// rung.
using System.Globalization;
using System.Text;
using ClusterRnn.Cli.Output;
using ClusterRnn.Cli.Sweeps;
using ClusterRnn.Training.Sweeps;

namespace ClusterRnn.Cli.Report;

/// <summary>Writes a sweep's report.</summary>
internal static class SweepReport
{
    private const int LinesWithNames = 6;

    /// <summary>Writes the report.</summary>
    /// <param name="path">The file.</param>
    /// <param name="sweep">What was searched.</param>
    /// <param name="plan">Its trials and rungs.</param>
    /// <param name="goal">Which score wins.</param>
    /// <param name="standings">The trials, the winner first.</param>
    /// <param name="results">All results.</param>
    /// <param name="train">The command that trains the winner by itself.</param>
    /// <param name="again">The command that made this.</param>
    public static void Write(
        string path, SweepConfig sweep, SweepPlan plan, SweepGoal goal, IReadOnlyList<TrialStanding> standings, IReadOnlyList<TrialResult> results, string train, string again)
        => HtmlPage.Write(path, $"{sweep.Name} – ClusterRnn sweep", html =>
        {
            TrialStanding best = standings[0];
            html.Append(CultureInfo.InvariantCulture, $"<header><h1>{Html.Text(sweep.Name!)}</h1>\n<p>{plan.Trials.Count} trials{(sweep.Folds > 1 ? $", each on {sweep.Folds} folds" : "")}, compared by the {(goal == SweepGoal.Minimum ? "lowest" : "highest")} validation {Html.Text(sweep.Metric)}</p></header>\n<section class=\"cards\">\n");
            Card(html, "Best " + sweep.Metric, Figures.Loss(best.Score), best.Deviation is { } deviation ? $"± {Figures.Loss(deviation)} over the folds" : null);
            Card(html, "Trial", best.Trial.Number.ToString(CultureInfo.InvariantCulture), $"of {plan.Trials.Count}");
            foreach ((string key, string value) in best.Trial.Values)
            {
                Card(html, key, value, null);
            }

            html.Append("</section>\n<section><h2>Train the winner by itself</h2>\n<pre>").Append(Html.Text(train)).Append("</pre></section>\n<section><h2>What each key does</h2>\n");
            if (LinesOf(sweep, standings) is var (along, apart))
            {
                Lines(html, $"{sweep.Metric} by {along}, for each {apart}", along, apart, sweep.Metric, standings, s => s.Score);
                Lines(html, $"seconds by {along}, for each {apart}", along, apart, "seconds", standings, s => s.Seconds);
            }
            else
            {
                foreach (string key in best.Trial.Values.Select(v => v.Key))
                {
                    Scatter(html, key, sweep.Metric, standings);
                }
            }

            html.Append("</section>\n");
            if (plan.Rungs.Count > 1)
            {
                html.Append("<section><h2>From rung to rung</h2>\n");
                Rungs(html, sweep.Metric, standings, results);
                html.Append("</section>\n");
            }

            html.Append("<section><h2>All trials</h2>\n<p>The best first; with several rungs, those that went furthest first.</p>\n");
            HtmlPage.Table(
                html,
                ["trial", .. best.Trial.Values.Select(v => v.Key), "rung", "steps", "time", sweep.Metric, .. sweep.Folds > 1 ? ["deviation"] : Array.Empty<string>(), "remark"],
                standings.Select(s => (IReadOnlyList<string>)
                [
                    s.Trial.Number.ToString(CultureInfo.InvariantCulture), .. s.Trial.Values.Select(v => v.Value), $"{s.Rung} of {plan.Rungs.Count}", Figures.Count(s.Steps), Figures.Time(TimeSpan.FromSeconds(s.Seconds)),
                    double.IsFinite(s.Score) ? Figures.Loss(s.Score) : "failed", .. s.Deviation is { } d ? [double.IsFinite(d) ? Figures.Loss(d) : "-"] : Array.Empty<string>(), s.Failure ?? "",
                ]));
            html.Append("</section>\n<section><h2>Go on, or look again</h2>\n<pre>").Append(Html.Text(again)).Append("</pre></section>\n");
        });

    private static void Card(StringBuilder html, string label, string value, string? note)
        => html.Append(CultureInfo.InvariantCulture, $"<div><span>{Html.Text(label)}</span><strong>{Html.Text(value)}</strong><small>{Html.Text(note ?? "")}</small></div>\n");

    // A grid over two keys is a line for each value of one of them along the numbers of the other; null where it is not that.
    private static (string Along, string Apart)? LinesOf(SweepConfig sweep, IReadOnlyList<TrialStanding> standings)
    {
        string[] keys = [.. standings[0].Trial.Values.Select(v => v.Key)];
        if (sweep.Search is not GridSearch || keys.Length != 2)
        {
            return null;
        }

        foreach ((string along, string apart) in new[] { (keys[0], keys[1]), (keys[1], keys[0]) }.OrderByDescending(pair => Values(pair.Item1).Count()))
        {
            if (Values(along).All(value => double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out _)) && Values(apart).Count() <= LinesWithNames)
            {
                return (along, apart);
            }
        }

        return null;

        IEnumerable<string> Values(string key) => standings.Select(s => ValueOf(s, key)).Distinct();
    }

    private static void Lines(StringBuilder html, string title, string along, string apart, string what, IReadOnlyList<TrialStanding> standings, Func<TrialStanding, double> value)
    {
        ChartSeries[] series =
        [
            .. standings.OrderBy(s => s.Trial.Number).GroupBy(s => ValueOf(s, apart)).Select((group, i) => new ChartSeries(
                $"{apart} {group.Key}",
                [.. group.Select(s => (X: double.Parse(ValueOf(s, along), CultureInfo.InvariantCulture), Y: value(s))).OrderBy(point => point.X)],
                (i % LinesWithNames) + 1,
                HasDots: true)),
        ];
        LineChart.Write(html, title, along, what, series, mayHaveLogarithmicX: true, endsAtPoints: false);
    }

    private static string ValueOf(TrialStanding standing, string key) => standing.Trial.Values.First(v => v.Key == key).Value;

    /// <summary>A dot for each trial that reached the last rung, a pale one for each of the others.</summary>
    private static void Scatter(StringBuilder html, string key, string metric, IReadOnlyList<TrialStanding> standings)
    {
        string[] values = [.. standings.Select(s => s.Trial.Values.First(v => v.Key == key).Value)];
        bool areNumbers = values.All(v => double.TryParse(v, NumberStyles.Float, CultureInfo.InvariantCulture, out _));
        string[] names = [.. values.Distinct().Order(StringComparer.Ordinal)];
        string label = areNumbers ? key : $"{key}: {string.Join(", ", names.Select((name, i) => $"{i + 1} {name}"))}";
        int last = standings[0].Rung;
        var series = new List<ChartSeries>();
        foreach ((string name, bool reached) in new[] { ("trained to the end", true), ("dropped before", false) })
        {
            (double X, double Y)[] points =
            [
                .. standings.Select((s, i) => (Standing: s, X: areNumbers ? double.Parse(values[i], CultureInfo.InvariantCulture) : Array.IndexOf(names, values[i]) + 1))
                    .Where(p => p.Standing.Rung == last == reached && double.IsFinite(p.Standing.Score)).Select(p => (p.X, p.Standing.Score)).OrderBy(p => p.X),
            ];
            if (points.Length > 0)
            {
                series.Add(new ChartSeries(name, points, reached ? 1 : 3, HasDots: true, HasLine: false));
            }
        }

        LineChart.Write(html, $"{metric} by {key}", label, metric, series, mayHaveLogarithmicX: areNumbers, endsAtPoints: false);
    }

    private static void Rungs(StringBuilder html, string metric, IReadOnlyList<TrialStanding> standings, IReadOnlyList<TrialResult> results)
    {
        var series = new List<ChartSeries>();
        foreach ((TrialStanding standing, int place) in standings.Select((s, i) => (s, i)))
        {
            (double X, double Y)[] points =
            [
                .. results.Where(r => r.Trial == standing.Trial.Number).GroupBy(r => r.Rung).OrderBy(g => g.Key)
                    .Select(g => ((double)g.First().Steps, g.Average(r => r.Score ?? double.NaN))),
            ];
            series.Add(new ChartSeries($"trial {standing.Trial.Number}", points, (place % LinesWithNames) + 1, IsFaint: place >= LinesWithNames, HasDots: true));
        }

        series.Reverse(); // the best lie on top
        LineChart.Write(html, $"{metric} at each rung", "step", metric, series, endsAtPoints: false);
    }
}
