// Anomalies of a live series: each row is forecast from the window before it, and how far off it is, beside how far off the model's
// forecasts usually are (SeriesCalibration), is its score. What is far off is an alert, and what was expected takes its place in the
// window: one wrong value doesn't spoil the forecasts after it. After as many alerts on end as the window is long, the series has changed
// for good, and its values count as they are. The window is all that is kept.
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
    private readonly SeriesCalibration calibration;
    private readonly SeriesScaler scaler;
    private readonly int window;
    private readonly ModelExecutor executor;
    private readonly SpanBatch batch;
    private readonly NativeBuffer<float> outputs;
    private readonly GaussianMixture? mixture;
    private readonly int[] columns; // the scaler's, ascending
    private readonly double[] last; // [columns]: the last known value of each
    private readonly double[] expected; // [targets]
    private readonly float[] scaled; // [horizon x targets]
    private int rows;
    private int alertsOnEnd;

    /// <summary>Watches with a trained model.</summary>
    /// <param name="model">The model; it must outlive the watch.</param>
    /// <param name="config">How its data was cut into windows.</param>
    /// <param name="scaler">How it was scaled.</param>
    /// <param name="calibration">How far off its forecasts are.</param>
    /// <param name="threshold">Scores above it are alerts; null: the calibration's.</param>
    public SeriesWatch(TrainedModel model, SeriesData config, SeriesScaler scaler, SeriesCalibration calibration, double? threshold)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(scaler);
        ArgumentNullException.ThrowIfNull(calibration);
        (this.calibration, this.scaler, window) = (calibration, scaler, config.Window);
        Threshold = threshold ?? calibration.Threshold;
        columns = [.. calibration.Features.Concat(calibration.Targets).Distinct().Order()];
        int targets = calibration.Targets.Count, targetTime = config.EveryStep ? window : 1;
        (last, expected, scaled) = (new double[columns.Length], new double[targets], new float[config.Horizon * targets]);
        Array.Fill(last, double.NaN);
        mixture = GaussianMixture.Of(model.Model);
        batch = new SpanBatch(window, 1, calibration.Features.Count, scaled.Length) { Time = window, TargetTime = targetTime, Rows = 1 };
        batch.Lengths[0] = window;
        outputs = new NativeBuffer<float>((long)targetTime * model.Model.OutputWidth);
        executor = model.CreateExecutor(window, targetTime, 1);
    }

    /// <summary>How far off its forecasts are where it was not trained.</summary>
    public SeriesCalibration Calibration => calibration;

    /// <summary>The columns of which each row has a value, as places in the scaler's, ascending.</summary>
    public IReadOnlyList<int> Columns => columns;

    /// <summary>What the targets are called.</summary>
    public IEnumerable<string> TargetNames => calibration.Targets.Select(column => scaler.Columns[column]);

    /// <summary>Where each target is among <see cref="Columns"/>.</summary>
    public IEnumerable<int> TargetPlaces => calibration.Targets.Select(PlaceOf);

    /// <summary>Scores above it are alerts.</summary>
    public double Threshold { get; }

    /// <summary>Takes the next row.</summary>
    /// <param name="values">A value for each of <see cref="Columns"/>; NaN for one that is missing, for which what was expected stands in.</param>
    public WatchedRow Observe(ReadOnlySpan<double> values)
    {
        bool isForecast = rows >= window, isAlert = false;
        double score = double.NaN;
        if (isForecast)
        {
            Forecast();
            double[] error = [.. expected];
            for (int target = 0; target < error.Length; target++)
            {
                double value = values[PlaceOf(calibration.Targets[target])];
                error[target] = double.IsNaN(value) ? 0 : Math.Abs(value - expected[target]);
                score = double.IsNaN(value) ? score : 0;
            }

            score = double.IsNaN(score) ? score : calibration.ScoreOf(error);
            isAlert = score > Threshold;
        }

        alertsOnEnd = isAlert ? alertsOnEnd + 1 : 0;
        for (int i = 0; i < columns.Length; i++)
        {
            int target = Find(calibration.Targets, columns[i]);
            bool standsIn = isForecast && target >= 0 && (double.IsNaN(values[i]) || (isAlert && alertsOnEnd <= window));
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

    private void Forecast()
    {
        executor.Predict(batch, null, null, outputs.Pointer);
        int width = (int)(outputs.Length / batch.TargetTime);
        SeriesTask.Read(new ReadOnlySpan<float>(outputs.Pointer + ((long)(batch.TargetTime - 1) * width), width), mixture, scaled);
        for (int target = 0; target < expected.Length; target++)
        {
            expected[target] = scaler.Unscale(calibration.Targets[target], scaled[target]);
        }
    }

    private void Append()
    {
        int features = calibration.Features.Count;
        var inputs = new Span<float>(batch.Features, window * features);
        if (rows == window)
        {
            inputs[features..].CopyTo(inputs);
        }

        rows = Math.Min(rows + 1, window);
        for (int i = 0; i < features; i++)
        {
            inputs[((rows - 1) * features) + i] = (float)scaler.Scale(calibration.Features[i], last[PlaceOf(calibration.Features[i])]);
        }
    }
}
