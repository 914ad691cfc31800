// What a forecast has to beat: the last value, the value a season ago, and a linear autoregression. They see the rows
// the model sees (all rows up to a window's last), are fitted on the training part only, and are measured on the same
// targets, in the series' own units.
using ClusterRnn.Data;

namespace ClusterRnn.Training.Baselines;

/// <summary>How far a baseline's forecasts are off on one part of a series.</summary>
/// <param name="Name">The baseline's name, with its period or order.</param>
/// <param name="MeanSquaredError">In the squared units of the targets.</param>
/// <param name="MeanAbsoluteError">In the units of the targets.</param>
/// <param name="ScaledMeanSquaredError">The mean squared error of the scaled targets: what to hold beside the model's loss.</param>
public sealed record BaselineError(string Name, double MeanSquaredError, double MeanAbsoluteError, double ScaledMeanSquaredError)
{
    /// <summary>The root of <see cref="MeanSquaredError"/>, in the units of the targets.</summary>
    public double RootMeanSquaredError => Math.Sqrt(MeanSquaredError);

    /// <summary>The root mean squared error of each row ahead, the first of them the next row.</summary>
    public IReadOnlyList<double> RootMeanSquaredErrorsAhead { get; init; } = [];
}

/// <summary>Adds up how far forecasts are off.</summary>
/// <param name="horizon">How many rows ahead are forecast.</param>
internal sealed class ForecastErrors(int horizon)
{
    private readonly double[] _ahead = new double[horizon];
    private double _squares, _absolutes, _scaledSquares;
    private long _count;

    /// <summary>Adds one forecast.</summary>
    /// <param name="ahead">How many rows ahead it is, from 1.</param>
    /// <param name="error">Forecast minus value.</param>
    /// <param name="scale">What the column's values are divided by when they are scaled.</param>
    public void Add(int ahead, double error, double scale)
    {
        double scaled = error / scale;
        _squares += error * error;
        _absolutes += Math.Abs(error);
        _scaledSquares += scaled * scaled;
        _ahead[ahead - 1] += error * error;
        _count++;
    }

    /// <summary>The errors of what was added; as many of each row ahead.</summary>
    public BaselineError Of(string name) => new(name, _squares / _count, _absolutes / _count, _scaledSquares / _count)
    {
        RootMeanSquaredErrorsAhead = Array.ConvertAll(_ahead, sum => Math.Sqrt(sum * horizon / _count)),
    };
}

/// <summary>A simple forecast of one column from its own past.</summary>
public abstract class Baseline
{
    /// <summary>What the baseline is called, with its period or order.</summary>
    public abstract string Name { get; }

    /// <summary>The forecast of row <paramref name="last"/> + <paramref name="ahead"/> from rows up to <paramref name="last"/>.</summary>
    /// <param name="column">The table's column.</param>
    /// <param name="values">The column's values; those after <paramref name="last"/> are not read.</param>
    /// <param name="last">The last known row.</param>
    /// <param name="ahead">How many rows ahead, from 1.</param>
    public abstract double Forecast(int column, ReadOnlySpan<double> values, int last, int ahead);

    /// <summary>Rows of the past a forecast needs.</summary>
    public abstract int Reach { get; }

    /// <summary>
    /// The errors of persistence, of the seasonal-naive forecast where a season is given, and of an autoregression of
    /// the window's order, on the windows of <paramref name="part"/>.
    /// </summary>
    /// <param name="split">The series.</param>
    /// <param name="part">The part whose targets are forecast.</param>
    /// <param name="season">Rows of a season, or null.</param>
    public static IReadOnlyList<BaselineError> Compare(SeriesSplit split, SeriesPart part, int? season)
    {
        ArgumentNullException.ThrowIfNull(split);
        var baselines = new List<Baseline> { new Persistence() };
        if (season is int period && period <= split.Training.Rows)
        {
            baselines.Add(new SeasonalNaive(period));
        }

        if (Autoregression.LargestOrder(split) is int order and > 0)
        {
            baselines.Add(Autoregression.Fit(split, Math.Min(order, split.Window)));
        }

        return [.. baselines.Select(baseline => baseline.Measure(split, part))];
    }

    /// <summary>The errors over every window, horizon and target of <paramref name="part"/>; windows that lack the past a forecast needs are left out.</summary>
    public BaselineError Measure(SeriesSplit split, SeriesPart part)
    {
        ArgumentNullException.ThrowIfNull(split);
        SeriesWindows windows = split.Windows(part);
        var errors = new ForecastErrors(split.Horizon);
        for (long example = 0; example < windows.Count; example++)
        {
            int last = windows.LastInputRow(example);
            if (last + 1 < Reach)
            {
                continue;
            }

            foreach (int column in split.Targets)
            {
                double[] values = split.Table.Values[column];
                for (int ahead = 1; ahead <= split.Horizon; ahead++)
                {
                    errors.Add(ahead, Forecast(column, values, last, ahead) - values[last + ahead], split.Scaler.Scales[column]);
                }
            }
        }

        return errors.Of(Name);
    }
}

/// <summary>Tomorrow is as today.</summary>
public sealed class Persistence : Baseline
{
    /// <inheritdoc/>
    public override string Name => "persistence";

    /// <inheritdoc/>
    public override int Reach => 1;

    /// <inheritdoc/>
    public override double Forecast(int column, ReadOnlySpan<double> values, int last, int ahead) => values[last];
}

/// <summary>The value at the same place of the last known season.</summary>
public sealed class SeasonalNaive : Baseline
{
    private readonly int _period;

    /// <summary>A forecast that repeats the last <paramref name="period"/> rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The period is not positive.</exception>
    public SeasonalNaive(int period)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(period, 1);
        _period = period;
    }

    /// <inheritdoc/>
    public override string Name => $"seasonal naive ({_period})";

    /// <inheritdoc/>
    public override int Reach => _period;

    /// <inheritdoc/>
    public override double Forecast(int column, ReadOnlySpan<double> values, int last, int ahead) =>
        values[last - _period + 1 + (ahead - 1) % _period];
}
