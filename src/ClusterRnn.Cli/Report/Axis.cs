using System.Globalization;

namespace ClusterRnn.Cli.Report;

/// <summary>An axis: where a value lies, and the round values that carry a label.</summary>
internal sealed class Axis
{
    private const double LeastRatioOfLogarithms = 30;

    // Far above what rounding leaves between equal values: steps of a double that small would lead nowhere.
    private const double LeastShareOfSize = 1e-9;

    private readonly bool _isLogarithmic;
    private readonly double _first;
    private readonly double _last;

    /// <summary>An axis over these values, widened to round ones.</summary>
    /// <param name="minimum">The least value.</param>
    /// <param name="maximum">The greatest value.</param>
    /// <param name="ticks">About how many labels.</param>
    /// <param name="mayBeLogarithmic">Whether positive values of which the greatest is 30 times the least get a logarithmic axis.</param>
    /// <param name="isTight">Whether the axis ends at the values themselves.</param>
    /// <param name="countsWhole">Whether nothing lies between whole numbers: none of them is a label.</param>
    public Axis(double minimum, double maximum, int ticks, bool mayBeLogarithmic = false, bool isTight = false, bool countsWhole = false)
    {
        if (!double.IsFinite(minimum) || !double.IsFinite(maximum))
        {
            (minimum, maximum) = (0, 1);
        }

        if (maximum - minimum <= LeastShareOfSize * Math.Max(Math.Abs(minimum), Math.Abs(maximum)))
        {
            // One value alone, or several that no label could tell apart, are shown against zero.
            double margin = minimum == 0 ? 1 : Math.Abs(minimum) * 0.25;
            (minimum, maximum) = isTight ? (minimum, minimum + margin)
                : minimum < 0 ? (minimum - margin, 0)
                : (0, maximum + margin);
        }

        _isLogarithmic = mayBeLogarithmic && minimum > 0 && maximum / minimum > LeastRatioOfLogarithms;
        if (_isLogarithmic)
        {
            int low = (int)Math.Floor(Math.Log10(minimum)), high = (int)Math.Ceiling(Math.Log10(maximum));
            (_first, _last) = (low, high);
            int stride = Math.Max(1, (high - low + ticks - 1) / ticks);
            for (int power = low; power <= high; power += stride)
            {
                Ticks.Add((Math.Pow(10, power), Label(Math.Pow(10, power), Math.Pow(10, power))));
            }

            return;
        }

        double step = RoundStep((maximum - minimum) / ticks);
        step = !countsWhole || double.IsInteger(step) ? step : step < 1 ? 1 : 2 * step; // 2.5
        (_first, _last) = isTight ? (minimum, maximum) : (Math.Floor(minimum / step) * step, Math.Ceiling(maximum / step) * step);
        for (double k = Math.Ceiling((_first / step) - 1e-9); k * step <= _last + (step * 1e-9); k++)
        {
            Ticks.Add((k * step, Label(k * step, step)));
        }
    }

    /// <summary>The values that carry a label.</summary>
    public List<(double Value, string Label)> Ticks { get; } = [];

    /// <summary>Where <paramref name="value"/> lies, from 0 to 1.</summary>
    public double Place(double value)
    {
        double at = _isLogarithmic ? Math.Log10(Math.Max(value, double.Epsilon)) : value;
        return (at - _first) / (_last - _first);
    }

    private static double RoundStep(double rough)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double digits = rough / power;
        return power * (digits <= 1 ? 1 : digits <= 2 ? 2 : digits <= 2.5 ? 2.5 : digits <= 5 ? 5 : 10);
    }

    private static string Label(double value, double step)
    {
        if (Math.Abs(value) < step * 1e-6)
        {
            return "0";
        }

        double size = Math.Abs(value);
        if (size < 1e-4)
        {
            return value.ToString("0.##e-0", CultureInfo.InvariantCulture);
        }

        if (size >= 1e6)
        {
            return (value / 1e6).ToString("0.##", CultureInfo.InvariantCulture) + "M";
        }

        if (size >= 1e4)
        {
            return (value / 1e3).ToString("0.##", CultureInfo.InvariantCulture) + "k";
        }

        return value.ToString("0.######", CultureInfo.InvariantCulture);
    }
}
