// Forecasting: predict the next rows of a series from a window of the past. What the model is worth is shown beside
// forecasts that need no training, on the same rows and in the series' own units.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Random;
using ClusterRnn.Models;
using ClusterRnn.Training.Baselines;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Insight;

namespace ClusterRnn.Training.Tasks;

/// <summary>A forecast of a series.</summary>
public sealed unsafe class SeriesTask : SequenceTask
{
    // More would be a black band in a chart.
    private const int ChartRows = 300;
    private const int BatchRows = 64;

    // Of a model that gives distributions: enough that 10 % and 90 % stand still.
    private const int DrawnPaths = 200;

    /// <inheritdoc/>
    public override TaskOutcome Conclude(TaskModel trained, Dataset data, double? trainLoss, double? validationLoss)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(data);
        SeriesSplit split = SplitOf(data);
        var figures = new List<Figure>();
        (SeriesPart part, string name) = split.Test.Rows > 0 ? (split.Test, "test")
            : split.Validation.Rows > 0 ? (split.Validation, "validation") : (split.Training, "training");
        SeriesWindows windows = split.Windows(part);
        double[][] predicted = PredictWindows(trained.Model, split, windows); // [windows][horizon x targets], own units
        BaselineError own = ErrorOf(split, windows, predicted);
        figures.Add(new Figure($"{name}MeanSquaredError", $"Mean squared error, {name} part", own.ScaledMeanSquaredError, Show(own.ScaledMeanSquaredError), "scaled"));
        figures.Add(new Figure($"{name}RootMeanSquaredError", $"Root mean squared error, {name} part", own.RootMeanSquaredError, Show(own.RootMeanSquaredError), "in the series' units"));
        List<BaselineError> all = [own, .. Baseline.Compare(split, part, ((SeriesData)data.Config).Season)];
        var table = new FigureTable(
            string.Create(CultureInfo.InvariantCulture, $"Forecasts of the {name} part, {split.Horizon} row{(split.Horizon == 1 ? "" : "s")} ahead, in the series' units"),
            ["forecast", "MAE", "RMSE", "model's RMSE / this"],
            all.ConvertAll(error => (IReadOnlyList<string>)RowOf(error, own)));
        var tables = new List<FigureTable> { table };
        SeriesCalibration? calibration = split.Validation.Rows > 0 ? SeriesCalibration.Of(trained.Model, split) : null;
        if (split.Anomalies is { } marks && calibration is not null)
        {
            using var watch = new SeriesWatch(trained.Model, (SeriesData)data.Config, split.Scaler, calibration, threshold: null);
            tables.Add(AlertsOf(watch, split, part, name, marks, figures));
        }

        Chart course = ChartOf(split, windows, predicted, name);
        if (split.Horizon == 1)
        {
            return new TaskOutcome(figures, tables, [course], null) { Calibration = calibration };
        }

        int[] shown = RowsAhead(split.Horizon);
        var ahead = new FigureTable(
            $"RMSE by rows ahead, {name} part",
            ["rows ahead", .. all.Select(error => error.Name)],
            [.. shown.Select(rows => (IReadOnlyList<string>)[rows.ToString(CultureInfo.InvariantCulture), .. all.Select(error => Show(error.RootMeanSquaredErrorsAhead[rows - 1]))])]);
        var chart = new Chart($"RMSE by rows ahead, {name} part", "rows ahead", "RMSE", all.ConvertAll(error => new ChartLine(error.Name, error.RootMeanSquaredErrorsAhead, 1)));
        return new TaskOutcome(figures, [.. tables, ahead], [course, chart], null)
        {
            Calibration = calibration,
            Details = [.. shown.Select(rows => new Figure($"{name}RootMeanSquaredErrorAhead{rows}", $"RMSE, {rows} ahead", own.RootMeanSquaredErrorsAhead[rows - 1], Show(own.RootMeanSquaredErrorsAhead[rows - 1])))],
        };
    }

    /// <summary>Opens a watch over a live series like the one the model was trained on.</summary>
    /// <param name="trained">The model; it must outlive the watch.</param>
    /// <param name="calibration">How far off its forecasts are; null: measured on its data.</param>
    /// <param name="threshold">Scores above it are alerts, or null for the default.</param>
    /// <param name="rows">Reads the live series' lines.</param>
    /// <exception cref="DataException">What is to be measured on is not there any more, or has no validation part.</exception>
    public static SeriesWatch Watch(TaskModel trained, SeriesCalibration? calibration, double? threshold, out LiveRows rows)
    {
        ArgumentNullException.ThrowIfNull(trained);
        var config = (SeriesData)trained.Job.Data;
        SeriesScaler scaler = trained.Artefact.Scaler!;
        calibration ??= SeriesCalibration.Of(trained.Model, SplitOf(OpenData(trained, config)));
        var watch = new SeriesWatch(trained.Model, config, scaler, calibration, threshold);
        rows = new LiveRows(calibration.FileColumns, watch.Columns.Select(column => scaler.Columns[column]), config.Separator);
        return watch;
    }

    // Alerts over a part, beside the anomalies that its data marks: those found have an alert on one of their rows at least.
    private static FigureTable AlertsOf(SeriesWatch watch, SeriesSplit split, SeriesPart part, string name, int marks, List<Figure> figures)
    {
        double[] values = new double[watch.Columns.Count];
        int alerts = 0, right = 0, anomalies = 0, found = 0;
        bool isOpen = false, isFound = false;
        for (int row = Math.Max(0, part.Start - split.Window); row < part.End; row++)
        {
            for (int i = 0; i < values.Length; i++)
            {
                int column = watch.Columns[i];
                values[i] = split.Table.Gaps is { } gaps && gaps[column][row] ? double.NaN : split.Table.Values[column][row];
            }

            WatchedRow watched = watch.Observe(values);
            bool isAnomaly = split.Table.Values[marks][row] != 0;
            if (watched.Expected is null)
            {
                continue;
            }

            alerts += watched.IsAlert ? 1 : 0;
            right += watched.IsAlert && isAnomaly ? 1 : 0;
            anomalies += isAnomaly && !isOpen ? 1 : 0;
            isFound &= isAnomaly;
            found += isAnomaly && watched.IsAlert && !isFound ? 1 : 0;
            isFound |= isAnomaly && watched.IsAlert;
            isOpen = isAnomaly;
        }

        string precision = Share(right, alerts), recall = Share(found, anomalies);
        if (alerts > 0)
        {
            figures.Add(new Figure($"{name}AlertPrecision", $"Alerts that are right, {name} part", right / (double)alerts, precision, $"{right} of {alerts}; scores above {Show(watch.Threshold)}"));
        }

        if (anomalies > 0)
        {
            figures.Add(new Figure($"{name}AlertRecall", $"Anomalies found, {name} part", found / (double)anomalies, recall, $"{found} of {anomalies}, an alert on one of its rows at least"));
        }

        return new FigureTable(
            $"Alerts of the {name} part", ["series", "threshold", "alerts", "right", "precision", "anomalies", "found", "recall"],
            [[string.Join(", ", split.Targets.Select(column => split.Table.Columns[column])), Show(watch.Threshold), $"{alerts}", $"{right}", precision, $"{anomalies}", $"{found}", recall]]);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        SeriesSplit split = PastOf(trained, request.Input);
        int steps = request.Steps ?? split.Horizon;
        double[][][] paths = Extend(trained, split, steps, request.Generate, cancellation); // [paths][steps][targets]
        string[] names = [.. split.Targets.Select(column => split.Table.Columns[column])];
        var rows = new List<IReadOnlyList<string>>();
        for (int step = 0; step < steps; step++)
        {
            var cells = new List<string> { (step + 1).ToString(CultureInfo.InvariantCulture) };
            for (int target = 0; target < names.Length; target++)
            {
                cells.Add(Mean(paths, step, target).ToString("R", CultureInfo.InvariantCulture));
                if (paths.Length > 1)
                {
                    cells.AddRange([Show(Quantile(paths, step, target, 0.1)), Show(Quantile(paths, step, target, 0.9))]);
                }
            }

            rows.Add(cells);
        }

        var lines = new List<ChartLine>();
        int shown = Math.Min(split.Table.Rows, Math.Max(4 * steps, 100));
        for (int i = 0; i < names.Length; i++)
        {
            double[] past = split.Table.Values[split.Targets[i]];
            int target = i;
            lines.Add(new ChartLine(names[i], past[^shown..], split.Table.Rows - shown));
            AddLine("forecast", step => Mean(paths, step, target));
            if (paths.Length > 1)
            {
                AddLine("10 %", step => Quantile(paths, step, target, 0.1));
                AddLine("90 %", step => Quantile(paths, step, target, 0.9));
            }

            void AddLine(string what, Func<int, double> value) =>
                lines.Add(new ChartLine($"{names[target]}, {what}", [past[^1], .. Enumerable.Range(0, steps).Select(value)], split.Table.Rows - 1));
        }

        string drawn = paths.Length == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $", {paths.Length} ways drawn");
        return new Prediction(
            null,
            [new FigureTable($"Forecast after row {split.Table.Rows} of {split.Table.Name}{drawn}", ["step", .. names.SelectMany(name => paths.Length == 1 ? [name] : new[] { name, "10 %", "90 %" })], rows)],
            [new Chart("Forecast", "row", string.Join(", ", names), lines)]);
    }

    private static double Mean(double[][][] paths, int step, int target)
    {
        double sum = 0;
        foreach (double[][] path in paths)
        {
            sum += path[step][target];
        }

        return sum / paths.Length;
    }

    private static double Quantile(double[][][] paths, int step, int target, double share)
    {
        double[] values = [.. paths.Select(path => path[step][target]).Order()];
        return values[(int)(share * (values.Length - 1))];
    }

    /// <inheritdoc/>
    public override Explanation Explain(TaskModel trained, string? input)
    {
        ArgumentNullException.ThrowIfNull(trained);
        SeriesSplit split = PastOf(trained, input);
        int features = split.Features.Count, width = split.Horizon * split.Targets.Count, first = split.Table.Rows - split.Window;
        using var row = new SpanBatch(split.Window, 1, features, width) { Time = split.Window, TargetTime = 1, Rows = 1 };
        row.Lengths[0] = split.Window;
        string[] labels = new string[split.Window];
        for (int time = 0; time < split.Window; time++)
        {
            double[] values = [.. split.Features.Select(column => split.Table.Values[column][first + time])];
            labels[time] = $"row {first + time + 1}: {string.Join(' ', values.Take(4).Select(Show))}{(values.Length > 4 ? " …" : "")}";
            for (int i = 0; i < features; i++)
            {
                row.Features[(time * features) + i] = (float)split.Scaler.Scale(split.Features[i], values[i]);
            }
        }

        return Explanation.Of(
            trained.Model, row, labels, outputs => $"{split.Table.Columns[split.Targets[0]]} {Show(split.Scaler.Unscale(split.Targets[0], outputs[0]))} in row {split.Table.Rows + 1}");
    }

    // What a forecast goes on from: the model's data, or all of a file.
    private static SeriesSplit PastOf(TaskModel trained, string? input)
    {
        SeriesSplit split = SplitOf(OpenData(trained, input is null ? trained.Job.Data : trained.Job.Data.AllOf(FileSearch.FullPath(input, Environment.CurrentDirectory))));
        return split.ReadsWhole(split.Table.Rows - 1) ? split : throw new DataException(
            split.Table.Name, $"no missing cell in the last {split.Window} rows, from which the forecast goes on", "at least one", "Fill it in, or train with data.missing: previous");
    }

    private static Dataset OpenData(TaskModel trained, DataConfig config)
    {
        BatchConfig batch = trained.Job.Batch;
        return Dataset.Open(config, new Batching(batch.Size, batch.Span, batch.LookBack ?? batch.Span, batch.CarryState, trained.Job.Seed), trained.BaseFolder, trained.Artefact);
    }

    private static SeriesSplit SplitOf(Dataset data) => data.Series ?? throw new ArgumentException("The data is no series.", nameof(data));

    /// <summary>Predicts each window's targets at its last time step, in the series' units.</summary>
    internal static double[][] PredictWindows(TrainedModel model, SeriesSplit split, SeriesWindows windows)
    {
        int count = checked((int)windows.Count);
        double[][] predicted = new double[count][];
        int rows = Math.Min(BatchRows, Math.Max(1, count));
        using var batch = new SpanBatch(windows.Time, rows, windows.FeatureWidth, windows.TargetWidth);
        using ModelExecutor executor = model.CreateExecutor(windows.Time, windows.TargetTime, rows);
        int width = model.Model.OutputWidth;
        GaussianMixture? mixture = GaussianMixture.Of(model.Model);
        using var outputs = new NativeBuffer<float>((long)windows.TargetTime * rows * width);
        float[] means = new float[windows.TargetWidth];
        for (int first = 0; first < count; first += rows)
        {
            batch.Time = windows.Time;
            batch.TargetTime = windows.TargetTime;
            batch.Rows = Math.Min(rows, count - first);
            for (int row = 0; row < batch.Rows; row++)
            {
                batch.Lengths[row] = windows.Read(first + row, batch, row);
                batch.RowIds[row] = first + row;
            }

            executor.Predict(batch, null, null, outputs.Pointer);
            float* last = outputs.Pointer + ((long)(windows.TargetTime - 1) * batch.Rows * width); // [rows, width]
            for (int row = 0; row < batch.Rows; row++)
            {
                double[] values = new double[windows.TargetWidth];
                Read(new ReadOnlySpan<float>(last + ((long)row * width), width), mixture, means);
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = split.Scaler.Unscale(split.Targets[i % split.Targets.Count], means[i]);
                }

                predicted[first + row] = values;
            }
        }

        return predicted;
    }

    /// <summary>The values of an output, or the expected ones of a distribution.</summary>
    internal static void Read(ReadOnlySpan<float> output, GaussianMixture? mixture, Span<float> values)
    {
        if (mixture is { } distribution)
        {
            distribution.Mean(output, values);
        }
        else
        {
            output.CopyTo(values);
        }
    }

    private static BaselineError ErrorOf(SeriesSplit split, SeriesWindows windows, double[][] predicted)
    {
        var errors = new ForecastErrors(split.Horizon);
        for (int window = 0; window < predicted.Length; window++)
        {
            for (int i = 0; i < predicted[window].Length; i++)
            {
                int column = split.Targets[i % split.Targets.Count], ahead = 1 + (i / split.Targets.Count);
                errors.Add(ahead, predicted[window][i] - split.Table.Values[column][windows.LastInputRow(window) + ahead], split.Scaler.Scales[column]);
            }
        }

        return errors.Of("this model");
    }

    /// <summary>
    /// Forecasts <paramref name="steps"/> rows after the end, feeding forecasts back where the horizon is shorter: one way, or as many
    /// drawn ones as tell how sure the model is where it gives distributions.
    /// </summary>
    private static double[][][] Extend(TaskModel trained, SeriesSplit split, int steps, GenerateConfig generate, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1);
        TrainedModel model = trained.Model;
        int targets = split.Targets.Count, features = split.Features.Count, width = model.Model.OutputWidth;
        if (steps > split.Horizon && !split.Features.All(split.Targets.Contains))
        {
            throw new DataException(
                "forecast",
                $"at most {split.Horizon} steps, the model's horizon",
                steps.ToString(CultureInfo.InvariantCulture),
                "The model reads columns it doesn't predict; train with a longer data.horizon, or predict all the columns it reads");
        }

        GaussianMixture? mixture = GaussianMixture.Of(model.Model);
        int targetTime = split.EveryStep ? split.Window : 1, count = mixture is null ? 1 : DrawnPaths;
        var key = new RandomKey(generate.Seed ?? trained.Job.Seed, RandomPurpose.Sample, 0, 0);
        var histories = new List<double[]>[count]; // of each path one entry a row: the features in the series' units
        for (int path = 0; path < count; path++)
        {
            histories[path] = [];
            for (int row = split.Table.Rows - split.Window; row < split.Table.Rows; row++)
            {
                histories[path].Add([.. split.Features.Select(column => split.Table.Values[column][row])]);
            }
        }

        double[][][] forecast = [.. Enumerable.Range(0, count).Select(_ => new double[steps][])];
        float[] scaled = new float[split.Horizon * targets];
        using var batch = new SpanBatch(split.Window, count, features, scaled.Length) { Time = split.Window, TargetTime = targetTime, Rows = count };
        using ModelExecutor executor = model.CreateExecutor(split.Window, targetTime, count);
        using var outputs = new NativeBuffer<float>((long)targetTime * count * width);
        new Span<int>(batch.Lengths, count).Fill(split.Window);
        for (int first = 0; first < steps; first += split.Horizon)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int cell = 0; cell < split.Window * count; cell++)
            {
                List<double[]> history = histories[cell % count];
                double[] row = history[history.Count - split.Window + (cell / count)];
                for (int i = 0; i < features; i++)
                {
                    batch.Features[((long)cell * features) + i] = (float)split.Scaler.Scale(split.Features[i], row[i]);
                }
            }

            executor.Predict(batch, null, null, outputs.Pointer);
            for (int path = 0; path < count; path++)
            {
                var output = new ReadOnlySpan<float>(outputs.Pointer + ((((long)targetTime - 1) * count) + path) * width, width);
                if (mixture is { } distribution)
                {
                    distribution.Draw(output, key, path, first, generate.Temperature, scaled);
                }
                else
                {
                    output.CopyTo(scaled);
                }

                for (int ahead = 0; ahead < split.Horizon && first + ahead < steps; ahead++)
                {
                    double[] values = new double[targets]; // [horizon, targets]
                    for (int i = 0; i < targets; i++)
                    {
                        values[i] = split.Scaler.Unscale(split.Targets[i], scaled[(ahead * targets) + i]);
                    }

                    forecast[path][first + ahead] = values;
                    if (steps > split.Horizon)
                    {
                        histories[path].Add([.. split.Features.Select(column => values[IndexOf(split.Targets, column)])]);
                    }
                }
            }
        }

        return forecast;
    }

    // 1, 2, 3, then twice as many each time, and the last.
    private static int[] RowsAhead(int horizon)
    {
        var rows = new List<int> { 1, 2 };
        for (int next = 3; next < horizon; next *= 2)
        {
            rows.Add(next);
        }

        return [.. rows.Where(row => row < horizon), horizon];
    }

    private static int IndexOf(IReadOnlyList<int> columns, int column)
    {
        int index = 0;
        while (columns[index] != column)
        {
            index++;
        }

        return index;
    }

    private static string[] RowOf(BaselineError forecast, BaselineError own) =>
    [
        forecast.Name,
        Show(forecast.MeanAbsoluteError),
        Show(forecast.RootMeanSquaredError),
        (own.RootMeanSquaredError / forecast.RootMeanSquaredError).ToString("F3", CultureInfo.InvariantCulture),
    ];

    private static Chart ChartOf(SeriesSplit split, SeriesWindows windows, double[][] predicted, string part)
    {
        int column = split.Targets[0];
        int end = windows.LastInputRow(predicted.Length - 1) + 2, first = Math.Max(windows.LastInputRow(0) + 1, end - ChartRows);
        double[] actual = split.Table.Values[column][first..end], model = new double[actual.Length];
        Array.Fill(model, double.NaN); // where a window was left out
        for (int i = predicted.Length - 1; i >= 0 && windows.LastInputRow(i) + 1 >= first; i--)
        {
            model[windows.LastInputRow(i) + 1 - first] = predicted[i][0];
        }

        return new Chart($"The {part} part, one row ahead", "row", split.Table.Columns[column], [new ChartLine("actual", actual, first), new ChartLine("model", model, first)]);
    }
}
