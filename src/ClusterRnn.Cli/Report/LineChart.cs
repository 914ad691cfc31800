// A chart of lines as inline SVG. Colours and text sizes come from the page's style sheet, so that light, dark and print
// need no second drawing; the points that a pointer asks for ride along as JSON for the page's few lines of script.
using System.Globalization;
using System.Text;
using System.Text.Json;
using ClusterRnn.Cli.Output;

namespace ClusterRnn.Cli.Report;

/// <summary>A line of a chart.</summary>
/// <param name="Name">Its name in the legend.</param>
/// <param name="Points">Its points by ascending x; a y that is not finite leaves a gap.</param>
/// <param name="Color">Which of the page's line colours, from 1.</param>
/// <param name="IsFaint">Drawn thin and pale, behind the others, and left out of legend and pointer.</param>
/// <param name="HasDots">Whether each point gets a dot.</param>
/// <param name="HasLine">Whether a line joins the points.</param>
internal sealed record ChartSeries(string Name, IReadOnlyList<(double X, double Y)> Points, int Color, bool IsFaint = false, bool HasDots = false, bool HasLine = true);

/// <summary>Draws charts.</summary>
internal static class LineChart
{
    private const double WholeWidth = 720, HalfWidth = 350, Height = 260, HalfHeight = 200, Right = 14, Top = 12, Bottom = 40;
    private const int MaximumPoints = 600;

    /// <summary>Writes a figure with caption, legend and drawing; one of half width is named by its caption alone.</summary>
    public static void Write(StringBuilder html, string title, string xLabel, string yLabel, IReadOnlyList<ChartSeries> series, bool mayBeLogarithmic = false, bool isHalf = false, bool mayHaveLogarithmicX = false, bool endsAtPoints = true)
    {
        var frame = isHalf ? new Frame(HalfWidth, HalfHeight, 56) : new Frame(WholeWidth, Height, 64);
        ChartSeries[] lines = [.. series.Select(s => s with { Points = Thin(s.Points) })];
        (double X, double Y)[] finite = [.. lines.SelectMany(l => l.Points).Where(p => double.IsFinite(p.Y) && double.IsFinite(p.X))];
        html.Append("<figure><figcaption>").Append(Html.Text(title)).Append("</figcaption>\n");
        if (finite.Length == 0)
        {
            html.Append("<p class=\"none\">Nothing to draw.</p></figure>\n");
            return;
        }

        ChartSeries[] named = [.. lines.Where(l => !l.IsFaint)];
        if (named.Length > 1)
        {
            html.Append("<ul class=\"legend\">");
            foreach (ChartSeries line in named)
            {
                html.Append(CultureInfo.InvariantCulture, $"<li><i class=\"c{line.Color}\"></i>{Html.Text(line.Name)}</li>");
            }

            html.Append("</ul>\n");
        }

        // The pale line of single steps may spike; the scale follows the lines that are read.
        (double X, double Y)[] scaled = [.. named.SelectMany(l => l.Points).Where(p => double.IsFinite(p.Y))];
        scaled = scaled.Length == 0 ? finite : scaled;
        var x = new Axis(finite.Min(p => p.X), finite.Max(p => p.X), isHalf ? 4 : 8, mayBeLogarithmic: mayHaveLogarithmicX, isTight: endsAtPoints, countsWhole: finite.All(p => double.IsInteger(p.X)));
        var y = new Axis(scaled.Min(p => p.Y), scaled.Max(p => p.Y), 5, mayBeLogarithmic);
        html.Append(CultureInfo.InvariantCulture, $"<div class=\"chart\"><svg viewBox=\"0 0 {frame.Width} {frame.Height}\" role=\"img\" aria-label=\"{Html.Attribute(title)}\">\n");
        html.Append(CultureInfo.InvariantCulture, $"<clipPath id=\"clip-{Id(title)}\"><rect x=\"{frame.Left}\" y=\"{Top}\" width=\"{frame.Width - frame.Left - Right}\" height=\"{frame.Height - Top - Bottom}\"/></clipPath>\n");
        foreach ((double value, string label) in y.Ticks)
        {
            string at = Number(frame.Y(y, value));
            html.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{frame.Left}\" x2=\"{frame.Width - Right}\" y1=\"{at}\" y2=\"{at}\"/><text class=\"y\" x=\"{frame.Left - 8}\" y=\"{at}\">{label}</text>\n");
        }

        foreach ((double value, string label) in x.Ticks)
        {
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"x\" x=\"{Number(frame.X(x, value))}\" y=\"{frame.Height - Bottom + 18}\">{label}</text>\n");
        }

        html.Append(CultureInfo.InvariantCulture, $"<line class=\"axis\" x1=\"{frame.Left}\" x2=\"{frame.Width - Right}\" y1=\"{frame.Height - Bottom}\" y2=\"{frame.Height - Bottom}\"/>\n");
        html.Append(CultureInfo.InvariantCulture, $"<text class=\"x name\" x=\"{Number((frame.Left + frame.Width - Right) / 2)}\" y=\"{frame.Height - 4}\">{Html.Text(xLabel)}</text>\n");
        if (!isHalf)
        {
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"name\" transform=\"translate(12 {Number((Top + frame.Height - Bottom) / 2)}) rotate(-90)\">{Html.Text(yLabel)}</text>\n");
        }

        html.Append(CultureInfo.InvariantCulture, $"<g clip-path=\"url(#clip-{Id(title)})\">\n");
        foreach (ChartSeries line in lines.OrderByDescending(l => l.IsFaint))
        {
            html.Append(CultureInfo.InvariantCulture, $"<path class=\"c{line.Color}{(line.IsFaint ? " faint" : "")}\" d=\"");
            bool isDown = false;
            foreach ((double px, double py) in line.HasLine ? line.Points : [])
            {
                if (!double.IsFinite(py))
                {
                    isDown = false;
                    continue;
                }

                html.Append(isDown ? 'L' : 'M').Append(Number(frame.X(x, px))).Append(' ').Append(Number(frame.Y(y, py)));
                isDown = true;
            }

            html.Append("\"/>\n");
            if (line.HasDots || line.Points.Count(p => double.IsFinite(p.Y)) == 1)
            {
                foreach ((double px, double py) in line.Points.Where(p => double.IsFinite(p.Y)))
                {
                    html.Append(CultureInfo.InvariantCulture, $"<circle class=\"c{line.Color}\" cx=\"{Number(frame.X(x, px))}\" cy=\"{Number(frame.Y(y, py))}\" r=\"2.5\"/>");
                }
            }
        }

        html.Append(CultureInfo.InvariantCulture, $"</g>\n<line class=\"cursor\" y1=\"{Top}\" y2=\"{frame.Height - Bottom}\"/></svg><div class=\"tip\" hidden></div>\n");
        WriteData(html, xLabel, named, frame, x);
        html.Append("</div></figure>\n");
    }

    /// <summary>At most <see cref="MaximumPoints"/> points: each is the mean of a stretch of the line.</summary>
    public static IReadOnlyList<(double X, double Y)> Thin(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count <= MaximumPoints)
        {
            return points;
        }

        var thin = new List<(double, double)>(MaximumPoints);
        for (int i = 0; i < MaximumPoints; i++)
        {
            int from = (int)((long)i * points.Count / MaximumPoints), to = (int)((long)(i + 1) * points.Count / MaximumPoints);
            double sum = 0;
            int count = 0;
            for (int j = from; j < to; j++)
            {
                if (double.IsFinite(points[j].Y))
                {
                    sum += points[j].Y;
                    count++;
                }
            }

            thin.Add((points[i == 0 ? 0 : i == MaximumPoints - 1 ? to - 1 : (from + to - 1) / 2].X, count == 0 ? double.NaN : sum / count));
        }

        return thin;
    }

    private static void WriteData(StringBuilder html, string xLabel, ChartSeries[] lines, Frame frame, Axis x)
    {
        var data = new
        {
            x = xLabel,
            lines = lines.Select(l => new
            {
                name = l.Name,
                color = l.Color,
                at = l.Points.Where(p => double.IsFinite(p.Y)).Select(p => Math.Round(frame.X(x, p.X), 1)),
                label = l.Points.Where(p => double.IsFinite(p.Y)).Select(p => p.X.ToString("0.###", CultureInfo.InvariantCulture)),
                value = l.Points.Where(p => double.IsFinite(p.Y)).Select(p => Figures.Rate(p.Y) is var text && Math.Abs(p.Y) >= 1e4 ? Figures.Short(p.Y) : text.Length > 8 ? Figures.Loss(p.Y) : text),
            }),
        };
        // The default encoder escapes '<', so the JSON can't end the element.
        html.Append("<script type=\"application/json\">").Append(JsonSerializer.Serialize(data)).Append("</script>\n");
    }

    private static string Number(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    private static string Id(string title) => string.Concat(title.Select(c => char.IsAsciiLetterOrDigit(c) ? c.ToString() : ((int)c).ToString("x", CultureInfo.InvariantCulture)));

    private readonly record struct Frame(double Width, double Height, double Left)
    {
        public double X(Axis axis, double value) => Left + (axis.Place(value) * (Width - Left - Right));

        public double Y(Axis axis, double value) => Height - Bottom - (axis.Place(value) * (Height - Top - Bottom));
    }
}
