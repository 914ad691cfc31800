// The part of a report that looks into the model: gradients by lag, attention.
using System.Text;
using ClusterRnn.Models;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Cli.Report;

/// <summary>Writes what is seen of a model.</summary>
internal static class InsightSection
{
    /// <summary>What a chart of gradients by lag says of itself.</summary>
    public const string HowToRead =
        "How strongly the loss at a row's last target depends on each layer's state so many time steps before it, |dL/dh|. A line that falls steeply: the gradient vanishes, and what lies further back teaches the model nothing. A line that rises: it explodes.";

    private const string HowToReadPairs =
        "An encoder's layers have time steps of their own: there the lag is counted from the source's end, and the loss is that of the whole target.";

    /// <summary>Writes the sections there is something for.</summary>
    public static void Write(StringBuilder html, ModelInsight insight)
    {
        bool isPair = insight.Gradients.Any(line => line.Side == SequenceSide.Target);
        if (insight.Gradients.Count > 0)
        {
            html.Append("<section><h2>Gradient by time lag</h2>\n<p>").Append(HowToRead);
            html.Append(isPair ? $" {HowToReadPairs}" : "").Append("</p>\n");
            Chart(html, insight, isPair ? SequenceSide.Target : SequenceSide.Source, isPair ? "|dL/dh| of the decoder by lag" : "|dL/dh| by lag", "time steps back");
            if (isPair && insight.Gradients.Any(line => line.Side == SequenceSide.Source))
            {
                Chart(html, insight, SequenceSide.Source, "|dL/dh| of the encoder", "time steps before the source's end");
            }

            html.Append("</section>\n");
        }

        if (insight.Attention.Count > 0)
        {
            html.Append("<section><h2>Attention</h2>\n<p>A sample from the data. ").Append(HeatMap.HowToRead(insight.Attention)).Append("</p>\n");
            HeatMap.Write(html, insight.Sample, insight.Written, insight.Attention);
            html.Append("</section>\n");
        }
    }

    private static void Chart(StringBuilder html, ModelInsight insight, SequenceSide side, string title, string axis) =>
        LineChart.Write(html, title, axis, "|dL/dh|", [.. insight.Gradients.Where(line => line.Side == side).Select((line, i) => LineOf(line, line.Name, i))], mayBeLogarithmic: true);

    /// <summary>A line of a chart with a logarithmic axis: what is 0 leaves a gap.</summary>
    public static ChartSeries LineOf(LagLine line, string name, int number) =>
        new(name, [.. line.Norms.Select((norm, lag) => ((double)lag, norm > 0 ? norm : double.NaN))], (number % 6) + 1, HasDots: line.Norms.Length <= 40);
}
