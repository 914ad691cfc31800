// The page of `predict --explain`: what was read, coloured by how much it speaks for or against the prediction.
using System.Globalization;
using System.Text;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Cli.Report;

/// <summary>Writes an explanation.</summary>
internal static class ExplanationPage
{
    private const int LongestWord = 12;

    /// <summary>Writes the page.</summary>
    public static void Write(string path, string run, Explanation explanation) => HtmlPage.Write(path, "Explanation – ClusterRnn", html =>
    {
        html.Append("<header><h1>Predicted: ").Append(Html.Text(explanation.Predicted)).Append("</h1>\n<p>").Append(Html.Text(run)).Append("</p></header>\n");
        html.Append(CultureInfo.InvariantCulture, $"<section><h2>What it rests on</h2>\n<p>Gradient × input of {Html.Text(explanation.Quantity)}: blue speaks for the prediction, red against it, the stronger the colour the more.</p>\n");
        if (explanation.Labels.All(label => label.Length <= LongestWord))
        {
            Words(html, explanation);
        }

        ChartSeries line = new("gradient × input", [.. explanation.Parts.Select((part, time) => (time + 1.0, part))], 1, HasDots: explanation.Parts.Count <= 80);
        LineChart.Write(html, "By time step", "time step", "gradient × input", [line]);
        html.Append("</section>\n");
        if (explanation.Attention.Count > 0)
        {
            html.Append("<section><h2>Attention</h2>\n<p>").Append(HeatMap.HowToRead(explanation.Attention)).Append("</p>\n");
            HeatMap.Write(html, explanation.Labels, explanation.Written, explanation.Attention);
            html.Append("</section>\n");
        }

        html.Append("<section><h2>All time steps</h2>\n");
        HtmlPage.Table(html, ["read", "time step", "gradient × input"], explanation.Labels.Select((label, time) => (IReadOnlyList<string>)[label, $"{time + 1}", explanation.Parts[time].ToString("F5", CultureInfo.InvariantCulture)]));
        html.Append("</section>\n");
    });

    private static void Words(StringBuilder html, Explanation explanation)
    {
        double largest = explanation.Parts.Max(Math.Abs);
        html.Append("<p class=\"spoken\">");
        for (int time = 0; time < explanation.Labels.Count; time++)
        {
            double share = largest > 0 ? explanation.Parts[time] / largest : 0;
            string color = share < 0 ? "220 60 40" : "60 120 240";
            html.Append(CultureInfo.InvariantCulture, $"<span style=\"background:rgb({color} / {Math.Abs(share) * 0.75:F3})\" title=\"{explanation.Parts[time]:F5}\">{Html.Text(explanation.Labels[time])}</span>");
            html.Append(explanation.Labels.Any(label => label.Length > 2) ? " " : "");
        }

        html.Append("</p>\n");
    }
}
