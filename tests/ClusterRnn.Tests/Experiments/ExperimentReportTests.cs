// The report says what became of an experiment, and needs nothing but itself.
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ClusterRnn.Cli.Experiments;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Tests.Experiments;

public sealed partial class ExperimentReportTests
{
    private static readonly string s_good = ExperimentReport.Render(FixedExperiment.Findings(FixedExperiment.Disturbed));

    [Theory]
    [InlineData("<h2>✓ The cluster was hit and came to the same model as undisturbed, bit for bit.</h2>")]
    [InlineData("3 faults were played; the cluster noticed 1, and bore the rest without having to.")]
    [InlineData("Training stood still for 1.60 s at most: server-0 stopped for 1.5 s.")]
    [InlineData("Of 606 samples none was lost and none counted twice.")]
    [InlineData("<strong>1 of 1</strong>")]
    [InlineData("<strong>0 / 0</strong>")]
    [InlineData("<strong>83 %</strong>")]
    [InlineData("worker-1 killed and started again after 1 s")]
    [InlineData("<td>50 ms</td><td>0.70 s</td>")]
    [InlineData("<td>did not stop</td>")]
    [InlineData("<title>no step was committed for 1.60 s</title>")]
    [InlineData("<title>worker-1 takes part from 3.60 s to 12.10 s</title>")]
    [InlineData("8 shards were computed again, by cause:")]
    [InlineData("101 steps were held against the control’s: the losses are equal in every digit")]
    [InlineData("What a report &lt;says&gt;.")]
    [InlineData("<pre>clusterrnn experiment by-hand.yaml</pre>")]
    [InlineData("kind: latency")]
    [InlineData(FixedExperiment.Model)]
    public void Says(string text) => Assert.Contains(text, s_good, StringComparison.Ordinal);

    [Fact]
    public void Needs_nothing_but_itself()
    {
        Assert.DoesNotMatch(Outside(), s_good);
        Assert.StartsWith("<!doctype html>", s_good, StringComparison.Ordinal);
        Assert.Contains("prefers-color-scheme: dark", s_good, StringComparison.Ordinal);
        foreach (string tag in new[] { "section", "table", "tr", "td", "details", "div", "svg", "p", "ul" })
        {
            Assert.Equal(Regex.Count(s_good, $"<{tag}[ >]"), Regex.Count(s_good, $"</{tag}>"));
        }
    }

    [Fact]
    public void A_lost_sample_another_answer_and_a_failure_are_said_first()
    {
        RunRecord other = FixedExperiment.Disturbed with { ModelSha256 = "other", Losses = [new LossPoint(3, 9)] };
        string html = ExperimentReport.Render(FixedExperiment.Findings(other));
        Assert.Contains("✗ The run with faults came to another model than the undisturbed one.", html, StringComparison.Ordinal);
        Assert.Contains("✗ another", html, StringComparison.Ordinal);
        Assert.Contains("The losses differ", html, StringComparison.Ordinal);
        RunRecord lost = FixedExperiment.Disturbed with { Name = "run 2", Ledger = new LedgerFigures(100, 600, 6, 0, 0, "step 4 is lost") };
        html = ExperimentReport.Render(FixedExperiment.Findings(FixedExperiment.Disturbed, lost));
        Assert.Contains("not every sample counted exactly once", html, StringComparison.Ordinal);
        Assert.Contains("Run 2: step 4 is lost.", html, StringComparison.Ordinal);
        RunRecord failed = new() { Name = "run 1", Failure = "worker-0 ended by itself" };
        html = ExperimentReport.Render(FixedExperiment.Findings(failed));
        Assert.Contains("✗ The run with faults did not end.", html, StringComparison.Ordinal);
        Assert.Contains("Run 1 failed: worker-0 ended by itself.", html, StringComparison.Ordinal);
    }

    [Fact]
    public void The_json_says_the_same()
    {
        JsonNode json = JsonNode.Parse(ExperimentJson.Of(FixedExperiment.Findings(FixedExperiment.Disturbed)))!;
        Assert.True((bool)json["good"]!);
        JsonNode run = json["runs"]![1]!;
        Assert.Equal("run 1", (string?)run["name"]);
        Assert.True((bool)run["sameAnswer"]!);
        Assert.Equal(5, (long)run["recomputedShards"]!["speculative"]!);
        Assert.Equal(0.05, (double)run["faults"]![0]!["noticedAfter"]!, 6);
        Assert.Null(run["faults"]![1]!["noticedAfter"]);
        Assert.Equal("worker-1", (string?)json["records"]!["runs"]![0]!["faults"]![0]!["action"]!["target"]);
        Assert.Equal("kill", (string?)json["records"]!["scenario"]!["faults"]![0]!["kind"]);
    }

    [Fact]
    public void A_loss_that_is_none_is_no_obstacle()
    {
        RunRecord run = FixedExperiment.Disturbed with { Losses = [new LossPoint(1, double.NaN), new LossPoint(2, 2)] };
        Assert.NotNull(JsonNode.Parse(ExperimentJson.Of(FixedExperiment.Findings(run))));
        Assert.Contains("<h2>Loss</h2>", ExperimentReport.Render(FixedExperiment.Findings(run)), StringComparison.Ordinal);
    }

    [GeneratedRegex("""(src|href)\s*=|url\((?!#)|https?://|@import""")]
    private static partial Regex Outside();
}
