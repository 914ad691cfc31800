// Anomalies of a live series: each row is forecast from the window before it, and how far off it is, in robust standard deviations of the
// forecasts' errors on the validation part, is its score. What is far off is an alert, and what was expected takes its place in the window:
// one wrong value doesn't spoil the forecasts after it. After as many alerts on end as the window is long, the series has changed for
// good, and its values count as they are. The window is all that is kept.
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Models;

namespace ClusterRnn.Training.Tasks;

/// <summary>What a watch says of a row.</summary>
/// <param name="Expected">What was forecast, in the series' units, or null while the window fills.</param>
/// <param name="Score">The largest error of a target, by its spread; NaN where nothing was forecast or known.</param>
/// <param name="IsAlert">Whether it is above the threshold.</param>
public readonly record struct WatchedRow(double[]? Expected, double Score, bool IsAlert);

/// <summary>Watches a series row by row.</summary>
public sealed unsafe class SeriesWatch : IDisposable
{
    /// <summary>The share of the validation part's rows that the default threshold lets pass.</summary>
    public const double Quantile = 0.999;

    // A normal deviate's standard deviation by its median absolute value.
    private const double NormalByMedian = 1.4826;

    // Of a series that is forecast without any error.
    private const double LeastSpread = 1e-9;

    private readonly SeriesSplit split;
    private readonly ModelExecutor executor;
    private readonly SpanBatch batch;
    private readonly NativeBuffer<float> outputs;
    private readonly GaussianMixture? mixture;
    private readonly int[] columns; // the table's, ascending
    private readonly double[] spreads; // [targets]
    private readonly double[] last; // [columns]: the last known value of each
    private readonly double[] expected; // [targets]
    private readonly float[] scaled; // [horizon x targets]
    private int rows;
    private int alertsOnEnd;

    /// <summary>Watches with a trained model.</summary>
    /// <param name="model">The model; it must outlive the watch.</param>
    /// <param name="split">Its data: the validation part tells how far off forecasts are.</param>
    /// <param name="threshold">Scores above it are alerts; null: the quantile <see cref="Quantile"/> of the validation part's scores.</param>
    /// <exception cref="DataException">There is no validation part.</exception>
    public SeriesWatch(TrainedModel model, SeriesSplit split, double? threshold)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(split);
        this.split = split;
        columns = [.. split.Features.Concat(split.Targets).Distinct().Order()];
        int targets = split.Targets.Count;
        double[][] errors = ErrorsOf(model, split); // [windows][targets]
        spreads = [.. Enumerable.Range(0, targets).Select(target => Math.Max(NormalByMedian * QuantileOf([.. errors.Select(error => error[target])], 0.5), LeastSpread))];
        ValidationRows = errors.Length;
        Threshold = threshold ?? QuantileOf([.. errors.Select(error => ScoreOf(error))], Quantile);
        (last, expected, scaled) = (new double[columns.Length], new double[targets], new float[split.Horizon * targets]);
        Array.Fill(last, double.NaN);
        int targetTime = split.EveryStep ? split.Window : 1;
        mixture = GaussianMixture.Of(model.Model);
        batch = new SpanBatch(split.Window, 1, split.Features.Count, scaled.Length) { Time = split.Window, TargetTime = targetTime, Rows = 1 };
        batch.Lengths[0] = split.Window;
        outputs = new NativeBuffer<float>((long)targetTime * model.Model.OutputWidth);
        executor = model.CreateExecutor(split.Window, targetTime, 1);
    }

    /// <summary>The table's columns of which each row has a value, ascending.</summary>
    public IReadOnlyList<int> Columns => columns;

    /// <summary>What the targets are called.</summary>
    public IEnumerable<string> TargetNames => split.Targets.Select(column => split.Table.Columns[column]);

    /// <summary>Where each target is among <see cref="Columns"/>.</summary>
    public IEnumerable<int> TargetPlaces => split.Targets.Select(PlaceOf);

    /// <summary>Scores above it are alerts.</summary>
    public double Threshold { get; }

    /// <summary>How many forecasts of the validation part were measured.</summary>
    public int ValidationRows { get; }

    /// <summary>The robust standard deviation of each target's errors, in its units.</summary>
    public IReadOnlyList<double> Spreads => spreads;

    /// <summary>Takes the next row.</summary>
    /// <param name="values">A value for each of <see cref="Columns"/>; NaN for one that is missing, for which what was expected stands in.</param>
    public WatchedRow Observe(ReadOnlySpan<double> values)
    {
        bool isForecast = rows >= split.Window, isAlert = false;
        double score = double.NaN;
        if (isForecast)
        {
            Forecast();
            double[] error = [.. expected];
            for (int target = 0; target < error.Length; target++)
            {
                double value = values[PlaceOf(split.Targets[target])];
                error[target] = double.IsNaN(value) ? 0 : Math.Abs(value - expected[target]);
                score = double.IsNaN(value) ? score : 0;
            }

            score = double.IsNaN(score) ? score : ScoreOf(error);
            isAlert = score > Threshold;
        }

        alertsOnEnd = isAlert ? alertsOnEnd + 1 : 0;
        for (int i = 0; i < columns.Length; i++)
        {
            int target = Find(split.Targets, columns[i]);
            bool standsIn = isForecast && target >= 0 && (double.IsNaN(values[i]) || (isAlert && alertsOnEnd <= split.Window));
            last[i] = standsIn ? expected[target] : double.IsNaN(values[i]) ? last[i] : values[i];
            if (double.IsNaN(last[i]))
            {
                return new WatchedRow(null, double.NaN, false); // nothing has been known of it yet: the series begins later
            }
        }

        Append();
        return new WatchedRow(isForecast ? [.. expected] : null, score, isAlert);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        executor.Dispose();
        outputs.Dispose();
        batch.Dispose();
    }

    private static double[][] ErrorsOf(TrainedModel model, SeriesSplit split)
    {
        if (split.Validation.Rows == 0)
        {
            throw new DataException(split.Table.Name, "a validation part, on which the forecasts' errors are measured", "none", "Train with a data.validation above 0");
        }

        SeriesWindows windows = split.Windows(split.Validation);
        double[][] predicted = SeriesTask.PredictWindows(model, split, windows);
        return
        [
            .. predicted.Select((values, window) => split.Targets
                .Select((column, target) => Math.Abs(values[target] - split.Table.Values[column][windows.LastInputRow(window) + 1])).ToArray()),
        ];
    }

    /// <summary>Of the sorted values the one at a share of the way, between two of them in proportion.</summary>
    private static double QuantileOf(double[] values, double share)
    {
        Array.Sort(values);
        double place = share * (values.Length - 1);
        int below = (int)place;
        return below + 1 < values.Length ? values[below] + ((place - below) * (values[below + 1] - values[below])) : values[below];
    }

    private static int Find(IReadOnlyList<int> among, int column)
    {
        int place = among.Count - 1;
        while (place >= 0 && among[place] != column)
        {
            place--;
        }

        return place;
    }

    private int PlaceOf(int column) => Array.BinarySearch(columns, column);

    private double ScoreOf(double[] errors)
    {
        double score = 0;
        for (int target = 0; target < errors.Length; target++)
        {
            score = Math.Max(score, errors[target] / spreads[target]);
        }

        return score;
    }

    private void Forecast()
    {
        executor.Predict(batch, null, null, outputs.Pointer);
        int width = (int)(outputs.Length / batch.TargetTime);
        SeriesTask.Read(new ReadOnlySpan<float>(outputs.Pointer + ((long)(batch.TargetTime - 1) * width), width), mixture, scaled);
        for (int target = 0; target < expected.Length; target++)
        {
            expected[target] = split.Scaler.Unscale(split.Targets[target], scaled[target]);
        }
    }

    private void Append()
    {
        int features = split.Features.Count;
        var window = new Span<float>(batch.Features, split.Window * features);
        if (rows == split.Window)
        {
            window[features..].CopyTo(window);
        }

        rows = Math.Min(rows + 1, split.Window);
        for (int i = 0; i < features; i++)
        {
            window[((rows - 1) * features) + i] = (float)split.Scaler.Scale(split.Features[i], last[PlaceOf(split.Features[i])]);
        }
    }
}
