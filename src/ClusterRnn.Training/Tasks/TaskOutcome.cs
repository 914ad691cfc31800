// What an application shows of a trained model: figures, tables, charts and a sample, as plain values. The terminal, the
// report and summary.json each render them in their own way.
namespace ClusterRnn.Training.Tasks;

/// <summary>One number for people.</summary>
/// <param name="Key">Its key in <c>summary.json</c>, camelCase.</param>
/// <param name="Label">What it is, in words.</param>
/// <param name="Value">The number.</param>
/// <param name="Text">The number as it is shown, with its unit.</param>
/// <param name="Note">What to compare it with, or null.</param>
public sealed record Figure(string Key, string Label, double Value, string Text, string? Note = null);

/// <summary>A table of texts.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Columns">The column heads; the first column is words, the others are numbers unless <see cref="IsText"/>.</param>
/// <param name="Rows">The cells of each row, as many as there are columns.</param>
public sealed record FigureTable(string Title, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows)
{
    /// <summary>Whether all columns are words.</summary>
    public bool IsText { get; init; }
}

/// <summary>A line of a chart.</summary>
/// <param name="Name">Its name in the legend.</param>
/// <param name="Values">Its values; NaN leaves a gap.</param>
/// <param name="FirstX">The x of its first value; the others follow by 1.</param>
public sealed record ChartLine(string Name, IReadOnlyList<double> Values, double FirstX = 0);

/// <summary>A chart of lines over one axis.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="XLabel">The name of the x axis.</param>
/// <param name="YLabel">The name of the y axis.</param>
/// <param name="Lines">Its lines.</param>
public sealed record Chart(string Title, string XLabel, string YLabel, IReadOnlyList<ChartLine> Lines);

/// <summary>What an application shows of a model.</summary>
/// <param name="Figures">Numbers.</param>
/// <param name="Tables">Tables.</param>
/// <param name="Charts">Charts.</param>
/// <param name="Sample">A text the model wrote, or null.</param>
public sealed record TaskOutcome(
    IReadOnlyList<Figure> Figures,
    IReadOnlyList<FigureTable> Tables,
    IReadOnlyList<Chart> Charts,
    string? Sample)
{
    /// <summary>Figures for <c>summary.json</c> alone: tables and charts show them.</summary>
    public IReadOnlyList<Figure> Details { get; init; } = [];

    /// <summary>How far off forecasts of a series are, to be kept with the model; null where that was not measured.</summary>
    public SeriesCalibration? Calibration { get; init; }

    /// <summary>Nothing to show.</summary>
    public static TaskOutcome Empty { get; } = new([], [], [], null);
}
