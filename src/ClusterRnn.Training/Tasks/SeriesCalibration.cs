// How far off a model's forecasts of a series are where it was not trained: what says whether a new value is an anomaly. It is measured
// when a training ends and lies in the run's folder, so that a live series is followed without the data.
using System.Text.Json;
using System.Text.Json.Serialization;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Tasks;

/// <summary>The errors of a model's forecasts one row ahead on the validation part, and which columns it reads and predicts.</summary>
/// <param name="FileColumns">All columns of the data, in order; the model's scaler has those with numbers.</param>
/// <param name="Features">The columns that are read, as places in the scaler's.</param>
/// <param name="Targets">The columns that are predicted, as places in the scaler's.</param>
/// <param name="Spreads">Of each target the robust standard deviation of its errors, in its units, above 0.</param>
/// <param name="Threshold">The score that the share <see cref="Quantile"/> of the rows stays below.</param>
/// <param name="Rows">How many forecasts were measured.</param>
public sealed record SeriesCalibration(
    IReadOnlyList<string> FileColumns, IReadOnlyList<int> Features, IReadOnlyList<int> Targets, IReadOnlyList<double> Spreads, double Threshold, int Rows)
{
    /// <summary>The share of the validation part's rows that <see cref="Threshold"/> lets pass.</summary>
    public const double Quantile = 0.999;

    // A normal deviate's standard deviation by its median absolute value.
    private const double NormalByMedian = 1.4826;

    // Of a series that is forecast without any error.
    private const double LeastSpread = 1e-9;

    // A training that came to NaN has ended all the same.
    private static readonly JsonSerializerOptions s_form = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>Measures a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="split">Its data.</param>
    /// <exception cref="DataException">There is no validation part.</exception>
    public static SeriesCalibration Of(TrainedModel model, SeriesSplit split)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(split);
        if (split.Validation.Rows == 0)
        {
            throw new DataException(split.Table.Name, "a validation part, on which the forecasts' errors are measured", "none", "Train with a data.validation above 0");
        }

        SeriesWindows windows = split.Windows(split.Validation);
        double[][] errors = // [windows][targets]
        [
            .. SeriesTask.PredictWindows(model, split, windows).Select((values, window) => split.Targets
                .Select((column, target) => Math.Abs(values[target] - split.Table.Values[column][windows.LastInputRow(window) + 1])).ToArray()),
        ];
        double[] spreads = [.. split.Targets.Select((_, target) => Math.Max(NormalByMedian * QuantileOf([.. errors.Select(error => error[target])], 0.5), LeastSpread))];
        var calibration = new SeriesCalibration(split.Table.FileColumns, split.Features, split.Targets, spreads, Threshold: 0, errors.Length);
        return calibration with { Threshold = QuantileOf([.. errors.Select(error => calibration.ScoreOf(error))], Quantile) };
    }

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <param name="modelSha256">The model that is asked about.</param>
    /// <returns>Null where there is no file, or one of another model.</returns>
    /// <exception cref="DataException">The file is damaged.</exception>
    public static SeriesCalibration? Read(string path, string modelSha256)
    {
        try
        {
            Saved? saved = File.Exists(path) ? JsonSerializer.Deserialize<Saved>(File.ReadAllBytes(path), s_form) : null;
            return saved?.ModelSha256 == modelSha256 ? saved.Calibration : null;
        }
        catch (JsonException fault)
        {
            throw new DataException(path, "the errors of a model's forecasts, as a training writes them", fault.Message.TrimEnd('.'), "Remove the file, and they are measured on the data again", inner: fault);
        }
    }

    /// <summary>Saves it beside the model that it is of.</summary>
    /// <param name="path">The file.</param>
    /// <param name="modelSha256">The model.</param>
    public void Write(string path, string modelSha256)
    {
        File.WriteAllBytes(path + ".new", JsonSerializer.SerializeToUtf8Bytes(new Saved(modelSha256, this), s_form));
        File.Move(path + ".new", path, overwrite: true);
    }

    /// <summary>How far off a row is: the largest error of a target, by its spread.</summary>
    /// <param name="errors">[targets] Absolute errors, in the series' units.</param>
    public double ScoreOf(ReadOnlySpan<double> errors)
    {
        double score = 0;
        for (int target = 0; target < errors.Length; target++)
        {
            score = Math.Max(score, errors[target] / Spreads[target]);
        }

        return score;
    }

    // Of the sorted values the one at a share of the way, between two of them in proportion.
    private static double QuantileOf(double[] values, double share)
    {
        Array.Sort(values);
        double place = share * (values.Length - 1);
        int below = (int)place;
        return below + 1 < values.Length ? values[below] + ((place - below) * (values[below + 1] - values[below])) : values[below];
    }

    private sealed record Saved(string ModelSha256, SeriesCalibration Calibration);
}
