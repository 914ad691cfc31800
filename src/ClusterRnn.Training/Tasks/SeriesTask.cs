// Forecasting: predict the next rows of a series from a window of the past. What the model is worth is shown beside
// forecasts that need no training, on the same rows and in the series' own units.
using System.Globalization;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;
using ClusterRnn.Training.Baselines;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Tasks;

/// <summary>A forecast of a series.</summary>
public sealed unsafe class SeriesTask : SequenceTask
{
    // More would be a black band in a chart.
    private const int ChartRows = 300;
    private const int BatchRows = 64;

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
        var rows = new List<IReadOnlyList<string>> { RowOf(own, own) };
        foreach (BaselineError baseline in Baseline.Compare(split, part, ((SeriesData)data.Config).Season))
        {
            rows.Add(RowOf(baseline, own));
        }

        var table = new FigureTable(
            string.Create(CultureInfo.InvariantCulture, $"Forecasts of the {name} part, {split.Horizon} row{(split.Horizon == 1 ? "" : "s")} ahead, in the series' units"),
            ["forecast", "MAE", "RMSE", "model's RMSE / this"],
            rows);
        return new TaskOutcome(figures, [table], [ChartOf(split, windows, predicted, name)], null);
    }

    /// <inheritdoc/>
    public override Prediction Predict(TaskModel trained, PredictionRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(request);
        var config = (SeriesData)trained.Job.Data;
        if (request.Input is not null)
        {
            // All of the file is the past: nothing of it is kept for anything else.
            config = config with { Path = Path.GetFullPath(request.Input), Validation = 0, Test = 0, TrainRows = null };
        }

        BatchConfig batch = trained.Job.Batch;
        Dataset data = Dataset.Open(
            config, new Batching(batch.Size, batch.Span, batch.LookBack ?? batch.Span, batch.CarryState, trained.Job.Seed), trained.BaseFolder, trained.Artefact);
        SeriesSplit split = SplitOf(data);
        int steps = request.Steps ?? split.Horizon;
        double[][] forecast = Extend(trained.Model, split, steps, cancellation); // [steps][targets]
        string[] names = [.. split.Targets.Select(column => split.Table.Columns[column])];
        var rows = new List<IReadOnlyList<string>>();
        for (int step = 0; step < steps; step++)
        {
            rows.Add([(step + 1).ToString(CultureInfo.InvariantCulture), .. forecast[step].Select(value => value.ToString("R", CultureInfo.InvariantCulture))]);
        }

        var lines = new List<ChartLine>();
        int shown = Math.Min(split.Table.Rows, Math.Max(4 * steps, 100));
        for (int i = 0; i < names.Length; i++)
        {
            double[] past = split.Table.Values[split.Targets[i]];
            int target = i;
            lines.Add(new ChartLine(names[i], past[^shown..], split.Table.Rows - shown));
            lines.Add(new ChartLine($"{names[i]}, forecast", [past[^1], .. forecast.Select(values => values[target])], split.Table.Rows - 1));
        }

        return new Prediction(
            null,
            [new FigureTable($"Forecast after row {split.Table.Rows} of {split.Table.Name}", ["step", .. names], rows)],
            [new Chart("Forecast", "row", string.Join(", ", names), lines)]);
    }

    private static SeriesSplit SplitOf(Dataset data) => data.Series ?? throw new ArgumentException("The data is no series.", nameof(data));

    /// <summary>Predicts each window's targets at its last time step, in the series' units.</summary>
    private static double[][] PredictWindows(TrainedModel model, SeriesSplit split, SeriesWindows windows)
    {
        int count = checked((int)windows.Count);
        double[][] predicted = new double[count][];
        int rows = Math.Min(BatchRows, Math.Max(1, count));
        using var batch = new SpanBatch(windows.Time, rows, windows.FeatureWidth, windows.TargetWidth);
        using ModelExecutor executor = model.CreateExecutor(windows.Time, windows.TargetTime, rows);
        using var outputs = new NativeBuffer<float>((long)windows.TargetTime * rows * windows.TargetWidth);
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
            float* last = outputs.Pointer + ((long)(windows.TargetTime - 1) * batch.Rows * windows.TargetWidth); // [rows, horizon x targets]
            for (int row = 0; row < batch.Rows; row++)
            {
                double[] values = new double[windows.TargetWidth];
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = split.Scaler.Unscale(split.Targets[i % split.Targets.Count], last[(row * windows.TargetWidth) + i]);
                }

                predicted[first + row] = values;
            }
        }

        return predicted;
    }

    private static BaselineError ErrorOf(SeriesSplit split, SeriesWindows windows, double[][] predicted)
    {
        double squares = 0, absolute = 0, scaledSquares = 0;
        long count = 0;
        for (int window = 0; window < predicted.Length; window++)
        {
            for (int i = 0; i < predicted[window].Length; i++)
            {
                int column = split.Targets[i % split.Targets.Count];
                double error = predicted[window][i] - split.Table.Values[column][windows.LastInputRow(window) + 1 + (i / split.Targets.Count)];
                double scaled = error / split.Scaler.Scales[column];
                squares += error * error;
                absolute += Math.Abs(error);
                scaledSquares += scaled * scaled;
                count++;
            }
        }

        return new BaselineError("this model", squares / count, absolute / count, scaledSquares / count);
    }

    /// <summary>Forecasts <paramref name="steps"/> rows after the end, feeding forecasts back where the horizon is shorter.</summary>
    private static double[][] Extend(TrainedModel model, SeriesSplit split, int steps, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1);
        int targets = split.Targets.Count, features = split.Features.Count, width = split.Horizon * targets;
        if (steps > split.Horizon && !split.Features.All(split.Targets.Contains))
        {
            throw new DataException(
                "forecast",
                $"at most {split.Horizon} steps, the model's horizon",
                steps.ToString(CultureInfo.InvariantCulture),
                "The model reads columns it doesn't predict; train with a longer data.horizon, or predict all the columns it reads");
        }

        int targetTime = split.EveryStep ? split.Window : 1;
        var history = new List<double[]>(); // one entry a row: the features in the series' units
        for (int row = split.Table.Rows - split.Window; row < split.Table.Rows; row++)
        {
            history.Add([.. split.Features.Select(column => split.Table.Values[column][row])]);
        }

        double[][] forecast = new double[steps][];
        using var batch = new SpanBatch(split.Window, 1, features, width);
        using ModelExecutor executor = model.CreateExecutor(split.Window, targetTime, 1);
        using var outputs = new NativeBuffer<float>((long)targetTime * width);
        batch.Time = split.Window;
        batch.TargetTime = targetTime;
        batch.Rows = 1;
        batch.Lengths[0] = split.Window;
        for (int step = 0; step < steps;)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int time = 0; time < split.Window; time++)
            {
                double[] row = history[history.Count - split.Window + time];
                for (int i = 0; i < features; i++)
                {
                    batch.Features[(time * features) + i] = (float)split.Scaler.Scale(split.Features[i], row[i]);
                }
            }

            executor.Predict(batch, null, null, outputs.Pointer);
            float* last = outputs.Pointer + ((long)(targetTime - 1) * width); // [horizon, targets]
            for (int ahead = 0; ahead < split.Horizon && step < steps; ahead++, step++)
            {
                double[] values = new double[targets];
                for (int i = 0; i < targets; i++)
                {
                    values[i] = split.Scaler.Unscale(split.Targets[i], last[(ahead * targets) + i]);
                }

                forecast[step] = values;
                if (steps > split.Horizon)
                {
                    history.Add([.. split.Features.Select(column => values[IndexOf(split.Targets, column)])]);
                }
            }
        }

        return forecast;
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
        int first = Math.Max(0, predicted.Length - ChartRows);
        double[] actual = new double[predicted.Length - first];
        double[] model = new double[actual.Length];
        for (int i = 0; i < actual.Length; i++)
        {
            actual[i] = split.Table.Values[column][windows.LastInputRow(first + i) + 1];
            model[i] = predicted[first + i][0];
        }

        int x = windows.LastInputRow(first) + 1;
        return new Chart($"The {part} part, one row ahead", "row", split.Table.Columns[column], [new ChartLine("actual", actual, x), new ChartLine("model", model, x)]);
    }
}
