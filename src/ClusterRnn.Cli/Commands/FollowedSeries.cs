// `clusterrnn predict RUN --follow`: what comes in of a live series beside what was expected, and which values are alerts. A table with a
// line for each row as it comes, or JSON; what is wrong with the input goes to the standard error, with its line.
using System.Globalization;
using System.Text.Json;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Tasks;
using Spectre.Console;

namespace ClusterRnn.Cli.Commands;

/// <summary>Follows a live series.</summary>
internal static class FollowedSeries
{
    private static readonly JsonSerializerOptions s_lineForm = new(ConfigJson.Options) { WriteIndented = false };

    // Malformed lines that are named one by one; of more only every hundredth.
    private const int MostNamed = 20;

    /// <summary>Follows a series until its input ends or somebody stops.</summary>
    /// <param name="terminal">Where rows and alerts are written.</param>
    /// <param name="trained">A model of a series.</param>
    /// <param name="calibration">How far off its forecasts are; null: measured on its data.</param>
    /// <param name="input">What is read where no file is named.</param>
    /// <param name="file">A file that grows, or null or "-" for <paramref name="input"/>.</param>
    /// <param name="threshold">Scores above it are alerts, or null for the default.</param>
    /// <param name="asJson">Whether each row is a line of JSON.</param>
    /// <param name="cancellation">Somebody stops.</param>
    /// <exception cref="UsageException">There is no such file.</exception>
    public static async Task FollowAsync(Terminal terminal, TaskModel trained, SeriesCalibration? calibration, TextReader input, string? file, double? threshold, bool asJson, CancellationToken cancellation)
    {
        if (file is not (null or "-") && !File.Exists(file))
        {
            throw new UsageException($"--follow {file}: no such file");
        }

        using SeriesWatch watch = SeriesTask.Watch(trained, calibration, threshold, out LiveRows rows);
        int window = ((SeriesData)trained.Job.Data).Window;
        string[] targets = [.. watch.TargetNames];
        string source = threshold is null
            ? string.Create(CultureInfo.InvariantCulture, $", the {100 * SeriesCalibration.Quantile} % quantile of the validation part's {watch.Calibration.Rows} scores")
            : "";
        string spreads = string.Join(", ", targets.Select((name, i) => $"{Shown(watch.Calibration.Spreads[i])} ({name})"));
        terminal.Say($"alerts are scores above {Shown(watch.Threshold)}{source}");
        terminal.Say($"a score is how far off the value is, by {spreads}; the first {window} rows fill the window");
        if (!asJson)
        {
            terminal.WriteLine($"{"line",8}{string.Concat(targets.Select(name => $"  {name,12}  {"expected",12}"))}  {"score",8}");
        }

        long seen = 0, alerts = 0, malformed = 0, missing = 0;
        double[] values = new double[watch.Columns.Count];
        IAsyncEnumerable<NumberedLine> lines = file is null or "-"
            ? LiveLines.OfAsync(input, cancellation)
            : LiveLines.OfFileAsync(file, () => terminal.Warn($"{file} has become shorter: it is read from its start again"), cancellation);
        try
        {
            await foreach (NumberedLine line in lines.ConfigureAwait(false))
            {
                string fault = $"expected at most {LiveLines.MostCharacters} characters, found more";
                LiveLine kind = line.IsWhole ? rows.Read(line.Text, values, out fault) : LiveLine.Malformed;
                if (kind == LiveLine.Malformed)
                {
                    malformed++;
                    if (malformed <= MostNamed || malformed % 100 == 0)
                    {
                        terminal.Warn(string.Create(CultureInfo.InvariantCulture, $"line {line.Number}: {fault}; left out ({malformed} so far)"));
                    }
                }

                if (kind != LiveLine.Row)
                {
                    continue;
                }

                WatchedRow row = watch.Observe(values);
                seen++;
                alerts += row.IsAlert ? 1 : 0;
                missing += values.Any(double.IsNaN) ? 1 : 0;
                double[] own = [.. watch.TargetPlaces.Select(place => values[place])];
                Write(terminal, line.Number, own, row, asJson);
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Somebody has seen enough; what was seen is said all the same.
        }

        terminal.Say(
            $"{seen} rows, {alerts} {(alerts == 1 ? "alert" : "alerts")}"
            + (missing > 0 ? $", {missing} {(missing == 1 ? "row" : "rows")} with missing values, for which what was expected stood in" : "")
            + (malformed > 0 ? $", {malformed} malformed {(malformed == 1 ? "line" : "lines")} left out" : ""));
    }

    private static void Write(Terminal terminal, long line, double[] values, WatchedRow row, bool asJson)
    {
        if (asJson)
        {
            terminal.WriteLine(JsonSerializer.Serialize(
                new FollowedRow(line, [.. values.Select(Known)], row.Expected, Known(row.Score), row.IsAlert), s_lineForm));
            return;
        }

        IEnumerable<string> cells = values.Select((value, i) => $"  {Shown(value),12}  {(row.Expected is null ? "-" : Shown(row.Expected[i])),12}");
        string text = $"{line,8}{string.Concat(cells)}  {Shown(row.Score),8}";
        if (row.IsAlert && terminal.Out.Profile.Capabilities.Ansi)
        {
            terminal.Out.MarkupLineInterpolated($"[bold red]{text}  ALERT[/]");
        }
        else
        {
            terminal.WriteLine(row.IsAlert ? text + "  ALERT" : text);
        }
    }

    private static double? Known(double value) => double.IsNaN(value) ? null : value;

    private static string Shown(double value) => double.IsNaN(value) ? "-" : value.ToString("G5", CultureInfo.InvariantCulture);

    private sealed record FollowedRow(long Line, IReadOnlyList<double?> Values, IReadOnlyList<double>? Expected, double? Score, bool Alert);
}
