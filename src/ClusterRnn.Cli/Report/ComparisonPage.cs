// Several runs side by side: losses over each other, how long each took, and how far back each learns from.
using System.Globalization;
using System.Text;
using ClusterRnn.Cli.Output;
using ClusterRnn.Models;
using ClusterRnn.Training.Insight;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Report;

/// <summary>A run among others.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Summary">Its end.</param>
/// <param name="History">Its course.</param>
/// <param name="Before">Gradients by lag before the first step.</param>
/// <param name="After">The same of the trained model.</param>
internal sealed record ComparedRun(string Name, RunSummary Summary, RunHistory History, IReadOnlyList<LagLine> Before, IReadOnlyList<LagLine> After);

/// <summary>Writes a comparison.</summary>
internal static class ComparisonPage
{
    /// <summary>Writes the page.</summary>
    public static void Write(string path, IReadOnlyList<ComparedRun> runs) => HtmlPage.Write(path, "Runs side by side – ClusterRnn", html =>
    {
        html.Append("<header><h1>Runs side by side</h1>\n<p>").Append(Html.Text(string.Join(", ", runs.Select(run => run.Name)))).Append("</p></header>\n<section><h2>Results</h2>\n");
        HtmlPage.Table(html, Heads, runs.Select(RowOf));
        html.Append("</section>\n<section><h2>Course</h2>\n");
        LineChart.Write(html, "Validation loss", "step", "loss", [.. runs.Select((run, i) => Line(run.Name, run.History.Evaluations.Select(e => ((double)e.Step, e.Loss)), i))], mayBeLogarithmic: true);
        LineChart.Write(html, "Training loss", "step", "loss", [.. runs.Select((run, i) => Line(run.Name, Means(run.History.Steps), i))], mayBeLogarithmic: true);
        html.Append("</section>\n<section><h2>Gradient by time lag</h2>\n<p>").Append(InsightSection.HowToRead).Append("</p>\n");
        Lags(html, "|dL/dh| by lag, before the first step", runs.Select(run => (run.Name, run.Before)));
        Lags(html, "|dL/dh| by lag, trained", runs.Select(run => (run.Name, run.After)));
        html.Append("</section>\n");
    });

    /// <summary>What <see cref="RowOf"/> gives.</summary>
    public static IReadOnlyList<string> Heads { get; } = ["run", "parameters", "steps", "validation loss", "time", "|dL/dh| at lag 0", "at the longest"];

    /// <summary>A run in a line.</summary>
    public static IReadOnlyList<string> RowOf(ComparedRun run)
    {
        RunSummary summary = run.Summary;
        double[] top = run.After.Count > 0 ? run.After[^1].Norms : [];
        return
        [
            run.Name, Figures.Count(summary.Parameters), Figures.Count(summary.Steps),
            summary.FinalValidationLoss is { } loss ? Figures.Loss(loss) : "-", Figures.Time(TimeSpan.FromSeconds(summary.WallSeconds)),
            top.Length > 0 ? top[0].ToString("G3", CultureInfo.InvariantCulture) : "-", top.Length > 0 ? $"{top[^1].ToString("G3", CultureInfo.InvariantCulture)} ({top.Length - 1})" : "-",
        ];
    }

    private static void Lags(StringBuilder html, string title, IEnumerable<(string Name, IReadOnlyList<LagLine> Lines)> runs)
    {
        var series = new List<ChartSeries>();
        foreach ((string name, IReadOnlyList<LagLine> lines) in runs)
        {
            // An encoder's lags are counted from another end; its lines are in the run's own report.
            LagLine[] shown = [.. lines.Any(line => line.Side == SequenceSide.Target) ? lines.Where(line => line.Side == SequenceSide.Target) : lines];
            foreach (LagLine line in shown)
            {
                series.Add(InsightSection.LineOf(line, shown.Length == 1 ? name : $"{name}, {line.Name} ({line.Layer})", series.Count));
            }
        }

        LineChart.Write(html, title, "time steps back", "|dL/dh|", series, mayBeLogarithmic: true);
    }

    private static ChartSeries Line(string name, IEnumerable<(double X, double Y)> points, int number) => new(name, [.. points], (number % 6) + 1);

    // A hundred means: steps by themselves are too noisy to be told apart.
    private static IEnumerable<(double X, double Y)> Means(IReadOnlyList<StepReport> steps)
    {
        int stride = Math.Max(1, steps.Count / 100);
        for (int first = 0; first < steps.Count; first += stride)
        {
            int end = Math.Min(steps.Count, first + stride);
            double sum = 0;
            for (int i = first; i < end; i++)
            {
                sum += steps[i].Loss;
            }

            yield return (steps[end - 1].Step, sum / (end - first));
        }
    }
}
