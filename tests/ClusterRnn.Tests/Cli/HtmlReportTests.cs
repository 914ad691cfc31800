// CLUSTERRNN_REPORT_SAMPLE=FILE keeps the sample report, to look at it in a browser.
using ClusterRnn.Cli.Report;
using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Tests.Cli;

public class HtmlReportTests
{
    private static ReportData Sample(int steps)
    {
        // A made-up course: falling, noisy, with a non-finite step and a resumed clock.
        var history = new RunHistory(
            [.. Enumerable.Range(1, steps).Select(i => new StepReport(i, i / 200.0, i == 50 ? double.NaN : 1.1 + (2.4 / (1 + (i / 60.0))) + (0.15 * (((i * 7919) % 101 / 100.0) - 0.5)), 0.004 * (steps - i) / steps, 1, 2048, TimeSpan.FromSeconds((i < steps / 2 ? i : i - (steps / 2)) * 0.05)))],
            [.. Enumerable.Range(1, steps / 100).Select(i => new EvaluationReport(i * 100, 1.15 + (2.3 / (1 + (i * 100 / 60.0))), new Dictionary<string, double>(), true, TimeSpan.FromSeconds(i)))]);
        var summary = new RunSummary
        {
            Name = "quickstart",
            Ended = "epochs",
            ModelSha256 = new string('a', 64),
            StateSha256 = new string('b', 64),
            DataSha256 = new string('c', 64),
            Steps = steps,
            Epochs = steps / 200.0,
            FinalTrainLoss = 1.2031,
            FinalValidationLoss = 1.2212,
            BestValidationLoss = 1.2198,
            BestStep = 1900,
            TokensPerSecond = 41234.5,
            WallSeconds = 96.4,
            Engine = "in-process",
            Workers = 2,
            Servers = 1,
            Shards = 8,
            Parameters = 88123,
            Seed = 1,
            RecomputedShards = 3,
            ResumedFromStep = 1000,
            Counters = new Dictionary<string, long> { ["workersLost"] = 1 },
        };
        var outcome = new TaskOutcome(
            [
                new Figure("loss", "Validation loss", 1.22, "1.2212 nats = 1.7618 bits per character"),
                new Figure("unigramEntropy", "Unigram entropy of the text", 2.8, "2.8011 nats = 4.0412 bits per character", "what knowing only how often each character occurs gives"),
                new Figure("trueEntropy", "True entropy of the grammar", 1.1, "1.1311 nats = 1.6318 bits per character", "no model can do better"),
                new Figure("sumsRight", "Generated sums that are right", 0.9, "91.2 % (312 of 342)"),
            ],
            [new FigureTable("Forecast beside baselines", ["模型 model", "MSE", "MAE"], [["LSTM(50) 長短期記憶", "0.0123", "0.0871"], ["persistence <b>", "0.0432", "0.1611"], ["AR(12) 自己回帰", "0.0141", "0.0912"]])],
            [new Chart("Forecast on the test part", "row", "value", [new ChartLine("observed", [.. Enumerable.Range(0, 120).Select(i => Math.Sin(i / 8.0))], 700), new ChartLine("forecast", [.. Enumerable.Range(0, 120).Select(i => i < 3 ? double.NaN : 0.95 * Math.Sin((i - 0.5) / 8.0))], 700)])],
            "seven plus twelve equals nineteen.\nthe third of march nineteen ninety-two is 1992-03-03.\n七加十二等于十九。三月三日は祝日です。 <script>alert(1)</script>\u0001\n");
        return new ReportData(summary, history, outcome, "name: quickstart\nseed: 1\ndata:\n  source: sums-and-dates # <&>\n", new DateTimeOffset(2026, 11, 21, 8, 0, 0, TimeSpan.Zero), "0.1.0");
    }

    [Fact]
    public void Needs_nothing_from_elsewhere_and_lets_nothing_through()
    {
        string html = HtmlReport.Render(Sample(2000));
        if (Environment.GetEnvironmentVariable("CLUSTERRNN_REPORT_SAMPLE") is { Length: > 0 } path)
        {
            File.WriteAllText(path, html);
        }

        Assert.DoesNotContain("http", html, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("src=", html, StringComparison.Ordinal);
        Assert.DoesNotContain("@import", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script>alert", html, StringComparison.Ordinal);
        Assert.DoesNotContain("persistence <b>", html, StringComparison.Ordinal);
        Assert.DoesNotContain('\u0001', html);
        Assert.DoesNotContain("NaN", html, StringComparison.Ordinal);
        Assert.Contains("七加十二等于十九。", html, StringComparison.Ordinal);
        Assert.Contains(new string('a', 64), html, StringComparison.Ordinal);
        Assert.Equal(Count(html, "<section"), Count(html, "</section>"));
        Assert.Equal(Count(html, "<figure"), Count(html, "</figure>"));
        Assert.True(html.Length < 400_000, $"the report has {html.Length} characters");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(30)]
    public void Short_runs_have_a_report_too(int steps) => Assert.Contains("</html>", HtmlReport.Render(Sample(steps)), StringComparison.Ordinal);

    [Fact]
    public void A_diverged_run_has_a_report_too()
    {
        ReportData sample = Sample(60);
        var history = new RunHistory([.. sample.History.Steps.Select(s => s with { Loss = double.PositiveInfinity })], []);
        string html = HtmlReport.Render(sample with { History = history });
        Assert.DoesNotContain("NaN", html, StringComparison.Ordinal);
        Assert.Contains("Nothing to draw.", html, StringComparison.Ordinal);
    }

    // Steps between labels that small would lead nowhere: the axis would never end.
    [Fact]
    public void Values_that_rounding_alone_tells_apart_have_an_axis()
    {
        ReportData sample = Sample(30);
        var chart = new Chart("nearly level", "step", "value", [new ChartLine("value", [0.9, Math.BitIncrement(0.9), 0.9])]);
        string html = HtmlReport.Render(sample with { Outcome = sample.Outcome with { Charts = [chart] } });
        Assert.Contains("nearly level", html, StringComparison.Ordinal);
        Assert.True(html.Length < 400_000, $"the report has {html.Length} characters");
    }

    /// <summary>Steps and rows are whole: nothing between them is a label; values of other axes may be.</summary>
    [Theory]
    [InlineData(1, 2, 8, "1 2")]
    [InlineData(0, 20, 8, "0 5 10 15 20")]
    [InlineData(0, 60, 4, "0 20 40 60")]
    [InlineData(0, 100, 40, "0 5")]
    public void Whole_numbers_are_labelled_by_whole_numbers(double first, double last, int ticks, string labels)
    {
        Assert.StartsWith(labels, string.Join(' ', new Axis(first, last, ticks, isTight: true, countsWhole: true).Ticks.Select(tick => tick.Label)), StringComparison.Ordinal);
        Assert.Equal(first == 0 && last == 60, new Axis(first, last, ticks, isTight: true).Ticks.All(tick => double.IsInteger(tick.Value)));
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;
}
