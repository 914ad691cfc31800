// The part of a report that looks into the model: gradients by lag, attention.
using System.Text;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Cli.Report;

/// <summary>Writes what is seen of a model.</summary>
internal static class InsightSection
{
    /// <summary>What a chart of gradients by lag says of itself.</summary>
    public const string HowToRead =
        "How strongly the loss at a row's last target depends on each layer's state so many time steps before it, |dL/dh|. A line that falls steeply: the gradient vanishes, and what lies further back teaches the model nothing. A line that rises: it explodes.";

    /// <summary>Writes the sections there is something for.</summary>
    public static void Write(StringBuilder html, ModelInsight insight)
    {
        if (insight.Gradients.Count > 0)
        {
            html.Append("<section><h2>Gradient by time lag</h2>\n<p>").Append(HowToRead).Append("</p>\n");
            LineChart.Write(html, "|dL/dh| by lag", "time steps back", "|dL/dh|", [.. insight.Gradients.Select((line, i) => LineOf(line, line.Name, i))], mayBeLogarithmic: true);
            html.Append("</section>\n");
        }

        if (insight.Attention.Count > 0)
        {
            html.Append("<section><h2>Attention</h2>\n<p>A sample from the data: each row is a time step, and the darker a cell, the more it attends to the time step of that column. Each row is scaled to its largest weight.</p>\n");
            HeatMap.Write(html, insight.Sample, insight.Attention);
            html.Append("</section>\n");
        }
    }

    /// <summary>A line of a chart with a logarithmic axis: what is 0 leaves a gap.</summary>
    public static ChartSeries LineOf(LagLine line, string name, int number) =>
        new(name, [.. line.Norms.Select((norm, lag) => ((double)lag, norm > 0 ? norm : double.NaN))], (number % 6) + 1, HasDots: line.Norms.Length <= 40);
}
