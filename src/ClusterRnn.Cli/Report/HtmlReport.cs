// report.html: one file that opens offline, in light and dark, and prints. No library, no font, no request: style and
// script lie beside this file as resources and are written into the page.
using System.Globalization;
using System.Text;
using ClusterRnn.Cli.Output;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Report;

/// <summary>Writes a run's report.</summary>
public static class HtmlReport
{
    /// <summary>The report as HTML.</summary>
    public static string Render(ReportData data)
    {
        ArgumentNullException.ThrowIfNull(data);
        RunSummary summary = data.Summary;
        var html = new StringBuilder(1 << 16);
        html.Append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
        html.Append(Html.Text(summary.Name)).Append(" – ClusterRnn</title>\n<style>\n").Append(Resource("report.css")).Append("</style>\n</head>\n<body>\n<main>\n");
        Head(html, data);
        Cards(html, data);
        Curves(html, data.History);
        Outcome(html, data.Outcome);
        InsightSection.Write(html, data.Insight ?? ModelInsight.Nothing);
        Hashes(html, summary);
        Details(html, summary);
        html.Append("<section><h2>Config</h2>\n<p>Every value spelled out, as it was used.</p>\n<pre>").Append(Html.Text(data.ConfigYaml.TrimEnd())).Append("</pre></section>\n");
        html.Append("</main>\n<script>\n").Append(Resource("report.js")).Append("</script>\n</body>\n</html>\n");
        return html.ToString().ReplaceLineEndings("\n");
    }

    /// <summary>Writes the report whole or not at all.</summary>
    public static void Write(string path, ReportData data)
    {
        File.WriteAllText(path + ".new", Render(data), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        File.Move(path + ".new", path, overwrite: true);
    }

    private static void Head(StringBuilder html, ReportData data)
    {
        RunSummary summary = data.Summary;
        html.Append("<header><h1>").Append(Html.Text(summary.Name)).Append("</h1>\n<p>");
        string ended = summary.Ended switch
        {
            "steps" => "all steps done",
            "epochs" => "all epochs done",
            "loss" => "the loss that was asked for reached",
            "patience" => "no more improvement",
            "interrupted" => "interrupted, can be resumed",
            _ => summary.Ended,
        };
        html.Append(CultureInfo.InvariantCulture, $"{Html.Text(ended)} after {Figures.Count(summary.Steps)} steps ({summary.Epochs:0.##} epochs) in {Figures.Time(TimeSpan.FromSeconds(summary.WallSeconds))}");
        if (summary.ResumedFromStep > 0)
        {
            html.Append(CultureInfo.InvariantCulture, $", resumed from step {Figures.Count(summary.ResumedFromStep)}");
        }

        html.Append(CultureInfo.InvariantCulture, $" · {data.Finished:yyyy-MM-dd HH:mm} UTC · ClusterRnn {Html.Text(data.Version)}</p></header>\n");
    }

    private static void Cards(StringBuilder html, ReportData data)
    {
        RunSummary summary = data.Summary;
        html.Append("<section class=\"cards\">\n");
        Card("Validation loss", summary.FinalValidationLoss is { } validation ? Figures.Loss(validation) : null, summary.BestValidationLoss is { } best ? $"best {Figures.Loss(best)} at step {Figures.Count(summary.BestStep ?? 0)}" : null);
        Card("Training loss", summary.FinalTrainLoss is { } train ? Figures.Loss(train) : null, "of the last step");
        Card("Speed", Figures.Short(summary.TokensPerSecond), "targets a second");
        Card("Parameters", Figures.Count(summary.Parameters), null);
        html.Append("</section>\n");
        if (data.Outcome.Figures.Count > 0)
        {
            html.Append("<section><h2>Result</h2>\n<table class=\"figures\">\n");
            foreach (Figure figure in data.Outcome.Figures)
            {
                html.Append(CultureInfo.InvariantCulture, $"<tr><th>{Html.Text(figure.Label)}</th><td>{Html.Text(figure.Text)}</td><td class=\"note\">{Html.Text(figure.Note ?? "")}</td></tr>\n");
            }

            html.Append("</table></section>\n");
        }

        void Card(string label, string? value, string? note)
        {
            if (value is not null)
            {
                html.Append(CultureInfo.InvariantCulture, $"<div><span>{Html.Text(label)}</span><strong>{Html.Text(value)}</strong><small>{Html.Text(note ?? "")}</small></div>\n");
            }
        }
    }

    private static void Curves(StringBuilder html, RunHistory history)
    {
        if (history.Steps.Count == 0)
        {
            return;
        }

        html.Append("<section><h2>Course</h2>\n");
        (double X, double Y)[] raw = [.. history.Steps.Select(s => ((double)s.Step, s.Loss))];
        var series = new List<ChartSeries>();
        if (raw.Length > 40)
        {
            series.Add(new ChartSeries("each step", raw, 1, IsFaint: true));
            series.Add(new ChartSeries("training (smoothed)", Smooth(raw), 1));
        }
        else
        {
            series.Add(new ChartSeries("training", raw, 1));
        }

        if (history.Evaluations.Count > 0)
        {
            series.Add(new ChartSeries("validation", [.. history.Evaluations.Select(e => ((double)e.Step, e.Loss))], 2, HasDots: history.Evaluations.Count <= 60));
        }

        (double X, double Y)[] test = [.. history.Evaluations.Where(e => e.Metrics.ContainsKey("testLoss")).Select(e => ((double)e.Step, e.Metrics["testLoss"]))];
        if (test.Length > 0)
        {
            series.Add(new ChartSeries("test (decides nothing)", test, 3, HasDots: test.Length <= 60));
        }

        LineChart.Write(html, "Loss", "step", "loss", series, mayBeLogarithmic: true);
        html.Append("<div class=\"pair\">\n");
        LineChart.Write(html, "Learning rate", "step", "learning rate", [new ChartSeries("learning rate", [.. history.Steps.Select(s => ((double)s.Step, s.LearningRate))], 3)], isHalf: true);
        LineChart.Write(html, "Speed, targets a second", "step", "targets a second", [new ChartSeries("targets a second", Speed(history.Steps), 4)], isHalf: true);
        html.Append("</div></section>\n");
    }

    private static void Outcome(StringBuilder html, TaskOutcome outcome)
    {
        foreach (Chart chart in outcome.Charts)
        {
            html.Append("<section>");
            ChartSeries[] lines = [.. chart.Lines.Select((l, i) => new ChartSeries(l.Name, [.. l.Values.Select((v, j) => (l.FirstX + j, v))], (i % 6) + 1))];
            LineChart.Write(html, chart.Title, chart.XLabel, chart.YLabel, lines);
            html.Append("</section>\n");
        }

        foreach (FigureTable table in outcome.Tables)
        {
            html.Append("<section><h2>").Append(Html.Text(table.Title)).Append("</h2>\n");
            HtmlPage.Table(html, table.Columns, table.Rows, table.IsText);
            html.Append("</section>\n");
        }

        if (!string.IsNullOrWhiteSpace(outcome.Sample))
        {
            html.Append("<section><h2>Sample</h2>\n<p>Written by the model.</p>\n<pre class=\"sample\" lang=\"und\">").Append(Html.Text(outcome.Sample.Trim('\n'))).Append("</pre></section>\n");
        }
    }

    private static void Hashes(StringBuilder html, RunSummary summary)
    {
        html.Append("<section><h2>Hashes</h2>\n<p>The same config, data and seed give the same model on every machine, with any number of workers and servers.</p>\n<table class=\"figures hashes\">\n");
        foreach ((string name, string hash) in new[] { ("modelSha256", summary.ModelSha256), ("stateSha256", summary.StateSha256), ("dataSha256", summary.DataSha256) })
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><th>{name}</th><td><code>{Html.Text(hash)}</code></td></tr>\n");
        }

        html.Append("</table></section>\n");
    }

    private static void Details(StringBuilder html, RunSummary summary)
    {
        html.Append("<section><h2>Run</h2>\n<table class=\"figures\">\n");
        Row("engine", summary.Engine);
        Row("workers", Figures.Count(summary.Workers));
        Row("servers", Figures.Count(summary.Servers));
        Row("shards of a batch", Figures.Count(summary.Shards));
        Row("seed", summary.Seed.ToString(CultureInfo.InvariantCulture));
        Row("recomputed shards", Figures.Count(summary.RecomputedShards));
        foreach ((string name, long count) in summary.Counters.Where(c => c.Value != 0).OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            Row(name, Figures.Count(count));
        }

        html.Append("</table></section>\n");

        void Row(string label, string value) => html.Append(CultureInfo.InvariantCulture, $"<tr><th>{Html.Text(label)}</th><td>{Html.Text(value)}</td></tr>\n");
    }

    // A mean over a fiftieth of the run: enough to see through the noise of single steps without hiding the course.
    private static (double X, double Y)[] Smooth((double X, double Y)[] points)
    {
        int half = Math.Max(2, points.Length / 100);
        var smooth = new (double, double)[points.Length];
        double sum = 0;
        int count = 0, from = 0, to = 0;
        for (int i = 0; i < points.Length; i++)
        {
            for (; to < Math.Min(points.Length, i + half + 1); to++)
            {
                if (double.IsFinite(points[to].Y))
                {
                    sum += points[to].Y;
                    count++;
                }
            }

            for (; from < i - half; from++)
            {
                if (double.IsFinite(points[from].Y))
                {
                    sum -= points[from].Y;
                    count--;
                }
            }

            smooth[i] = (points[i].X, count == 0 ? double.NaN : sum / count);
        }

        return smooth;
    }

    // The rate over stretches of the run; time that runs backwards is a resumed run's new clock.
    private static List<(double X, double Y)> Speed(IReadOnlyList<StepReport> steps)
    {
        int stride = Math.Max(1, steps.Count / 60);
        var rate = new List<(double, double)>();
        long tokens = 0;
        int since = 0;
        for (int i = 1; i < steps.Count; i++)
        {
            if (steps[i].Elapsed < steps[i - 1].Elapsed)
            {
                (since, tokens) = (i, 0);
                continue;
            }

            tokens += steps[i].Tokens;
            double seconds = (steps[i].Elapsed - steps[since].Elapsed).TotalSeconds;
            if ((i - since >= stride || i == steps.Count - 1) && seconds > 0)
            {
                rate.Add((steps[i].Step, tokens / seconds));
                (since, tokens) = (i, 0);
            }
        }

        return rate;
    }

    /// <summary>The text of a style sheet or script that is built into the program.</summary>
    internal static string Resource(string name)
    {
        using Stream stream = typeof(HtmlReport).Assembly.GetManifestResourceStream("ClusterRnn.Cli.Report." + name)
            ?? throw new InvalidOperationException($"The program was built without {name}.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
