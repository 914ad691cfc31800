// Series made from a seed: row i is a function of (seed, row) and the rows before it, in double precision with our own
// sine and normal deviates, so that every machine makes the same bytes.
using System.Globalization;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated series.</summary>
public static class SeriesGenerators
{
    /// <summary>The table a config describes.</summary>
    /// <exception cref="ArgumentException">The config is no generator's.</exception>
    public static SeriesTable Generate(GeneratedSeriesData config) => config switch
    {
        NoisySineData sine => NoisySine(sine.Seed, sine.Rows, sine.Step, sine.Noise),
        MackeyGlassData glass => MackeyGlass(glass.Seed, glass.Rows, glass.Delay),
        SeasonalData seasonal => Seasonal(seasonal.Seed, seasonal.Rows, seasonal.Period, seasonal.Trend, seasonal.Amplitude, seasonal.Noise),
        AirData air => Air(air.Seed, air.Rows),
        SensorData sensor => Sensor(sensor.Seed, sensor.Rows, sensor.Period, sensor.Noise, sensor.AnomalyRate, (int)(sensor.Rows * sensor.Clean)),
        RandomWalkData walk => RandomWalk(walk.Seed, walk.Rows, walk.Price, walk.Volatility),
        _ => throw new ArgumentException($"No generator for {config?.GetType().Name}.", nameof(config)),
    };

    /// <summary><c>sin(step * i) + noise * N(0, 1)</c>.</summary>
    /// <exception cref="DataException">The sine's last angle is too large to be exact.</exception>
    public static SeriesTable NoisySine(ulong seed, int rows, double step, double noise)
    {
        if (step * rows > ScalarMath.LargestAngle)
        {
            throw new DataException(
                "noisy sine", $"rows times step of at most {ScalarMath.LargestAngle} radians", (step * rows).ToString(CultureInfo.InvariantCulture), "Take fewer data.rows or a smaller data.step");
        }

        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.NoisySine, 0);
        double[] values = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            values[row] = ScalarMath.Sin(step * row) + noise * key.NormalDeviateDouble(0, row, 0);
        }

        return SeriesTable.Generated("noisy sine", ["value"], [values]);
    }

    /// <summary>
    /// <c>dx/dt = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x</c> (Mackey and Glass, Oscillation and chaos in
    /// physiological control systems, Science 1977), by the classical Runge-Kutta method with ten steps a time unit and
    /// the delayed value interpolated between steps. Until t = 0, x is a constant in [0.9, 1.5) that the seed chooses;
    /// the first 500 time units are left out.
    /// </summary>
    public static SeriesTable MackeyGlass(ulong seed, int rows, int delay)
    {
        const int stepsPerUnit = 10, settling = 500;
        const double h = 1.0 / stepsPerUnit;
        int lag = delay * stepsPerUnit, steps = (settling + rows) * stepsPerUnit;
        double[] x = new double[lag + steps + 1];
        Array.Fill(x, 0.9 + 0.6 * new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.MackeyGlass, 0).UniformDouble(0, 0, 0), 0, lag + 1);
        double[] values = new double[rows];
        for (int step = 0; step < steps; step++)
        {
            int now = lag + step;
            if (step % stepsPerUnit == 0 && step / stepsPerUnit >= settling)
            {
                values[step / stepsPerUnit - settling] = x[now];
            }

            double before = x[step], after = x[step + 1], between = (before + after) / 2;
            double k1 = Slope(x[now], before);
            double k2 = Slope(x[now] + h / 2 * k1, between);
            double k3 = Slope(x[now] + h / 2 * k2, between);
            double k4 = Slope(x[now] + h * k3, after);
            x[now + 1] = x[now] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
        }

        return SeriesTable.Generated("Mackey-Glass series", ["value"], [values]);

        static double Slope(double value, double delayed)
        {
            double square = delayed * delayed, fourth = square * square;
            return 0.2 * delayed / (1 + fourth * fourth * square) - 0.1 * value;
        }
    }

    /// <summary><c>trend * i + amplitude * (season(i) / 1.5) + noise * N(0, 1)</c>, the season a sine and half its second harmonic.</summary>
    public static SeriesTable Seasonal(ulong seed, int rows, int period, double trend, double amplitude, double noise)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Seasonal, 0);
        double[] values = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            double turns = row % period / (double)period;
            double season = (ScalarMath.SinTurns(turns) + 0.5 * ScalarMath.CosTurns(2 * turns - (turns < 0.5 ? 0 : 1))) / 1.5;
            values[row] = trend * row + amplitude * season + noise * key.NormalDeviateDouble(0, row, 0);
        }

        return SeriesTable.Generated("seasonal series", ["value"], [values]);
    }

    /// <summary>
    /// Air by the hour. Temperature follows the day and slow noise; wind and rain come and go. What is in the air stays there but for what wind
    /// carries off and rain washes out, and traffic adds to it, most of all at eight and at eighteen o'clock. The target, pollution, is the last
    /// column.
    /// </summary>
    public static SeriesTable Air(ulong seed, int rows)
    {
        const int day = 24;
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Air, 0);
        string[] names = ["hour", "temperature", "wind", "rain", "pollution"];
        double[][] columns = [.. names.Select(_ => new double[rows])];
        double warmth = 0, wind = 3, clouds = 0, pollution = 80;
        for (int row = 0; row < rows; row++)
        {
            double hour = row % day;
            warmth = (0.98 * warmth) + (0.5 * key.NormalDeviateDouble(0, row, 0));
            wind = Math.Max(0.2, (0.9 * wind) + 0.3 + (0.5 * key.NormalDeviateDouble(0, row, 1)));
            clouds = (0.9 * clouds) + (0.4 * key.NormalDeviateDouble(0, row, 2));
            double rain = Math.Max(0, clouds - 1);
            double traffic = 3 + (12 * Math.Max(0, 1 - (Math.Abs(hour - 8) / 4))) + (12 * Math.Max(0, 1 - (Math.Abs(hour - 18) / 4)));
            pollution = (pollution * Math.Max(0.4, 1 - (0.04 * wind) - (0.15 * rain))) + (traffic * Math.Max(0, 1 + (0.2 * key.NormalDeviateDouble(0, row, 3))));
            columns[0][row] = hour;
            columns[1][row] = 10 - (5 * ScalarMath.CosTurns(hour / day)) + warmth;
            columns[2][row] = wind;
            columns[3][row] = rain;
            columns[4][row] = pollution;
        }

        return SeriesTable.Generated("air by the hour", names, columns);
    }

    /// <summary>
    /// A day's rhythm, a drift that forgets slowly, and noise; from row <paramref name="clean"/> on anomalies as well: half of them a single
    /// value, half a spell of 3 to 8 rows, off by 6 to 14 times the noise in either direction. The column <c>anomaly</c> is 1 there.
    /// </summary>
    public static SeriesTable Sensor(ulong seed, int rows, int period, double noise, double rate, int clean)
    {
        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.Sensor, 0);
        double[] values = new double[rows], anomalies = new double[rows];
        double drift = 0, offset = 0;
        int left = 0;
        for (int row = 0; row < rows; row++)
        {
            double turns = row % period / (double)period;
            drift = (0.98 * drift) + (0.3 * noise * key.NormalDeviateDouble(0, row, 0));
            if (left == 0 && row >= clean && key.UniformDouble(0, row, 1) < rate)
            {
                left = key.Below(0, row, 2, 2) == 0 ? 1 : 3 + (int)key.Below(0, row, 3, 6);
                offset = noise * (6 + (8 * key.UniformDouble(0, row, 4))) * (key.Below(0, row, 5, 2) == 0 ? 1 : -1);
            }

            anomalies[row] = left > 0 ? 1 : 0;
            values[row] = ScalarMath.SinTurns(turns) + drift + (noise * key.NormalDeviateDouble(0, row, 6)) + (left > 0 ? offset : 0);
            left = Math.Max(0, left - 1);
        }

        return SeriesTable.Generated("sensor", ["value", "anomaly"], [values, anomalies]);
    }

    /// <summary>
    /// Working days from 2000-01-03: the day opens a little off the last close, its price then walks in four moves to
    /// the close; high and low are the extremes of the walk. Prices have two decimals. The target of price forecasts,
    /// close, is the last column.
    /// </summary>
    /// <exception cref="DataException">There are more rows than working days until the calendar ends.</exception>
    public static SeriesTable RandomWalk(ulong seed, int rows, double price, double volatility)
    {
        int most = (DateOnly.MaxValue.DayNumber - new DateOnly(2000, 1, 3).DayNumber) / 7 * 5;
        if (rows > most)
        {
            throw new DataException(
                "random walk", $"at most {most} rows, the working days until the calendar ends in 9999", rows.ToString(CultureInfo.InvariantCulture), "Take fewer data.rows");
        }

        var key = new RandomKey(seed, RandomPurpose.Generate, GeneratorLayer.RandomWalk, 0);
        string[] dates = new string[rows];
        double[][] columns = [new double[rows], new double[rows], new double[rows], new double[rows], new double[rows]];
        var date = new DateOnly(2000, 1, 3);
        double last = price;
        for (int row = 0; row < rows; row++)
        {
            double open = Cents(last * (1 + 0.3 * volatility * key.NormalDeviateDouble(0, row, 0)));
            double now = open, high = open, low = open;
            for (int move = 1; move <= 4; move++)
            {
                now = Cents(now * (1 + 0.5 * volatility * key.NormalDeviateDouble(0, row, move)));
                high = Math.Max(high, now);
                low = Math.Min(low, now);
            }

            dates[row] = date.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
            columns[0][row] = open;
            columns[1][row] = high;
            columns[2][row] = low;
            columns[3][row] = Math.Floor(1_000_000 * (0.5 + key.UniformDouble(0, row, 5)));
            columns[4][row] = now;
            last = now;
            date = date.AddDays(date.DayOfWeek == DayOfWeek.Friday ? 3 : 1);
        }

        return SeriesTable.Generated("random-walk prices", ["open", "high", "low", "volume", "close"], columns, dates);

        // A price never falls below a cent.
        static double Cents(double value) => Math.Max(1, Math.Floor(value * 100 + 0.5)) / 100;
    }
}
