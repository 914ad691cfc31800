using ClusterRnn.Data;
using ClusterRnn.Training.Baselines;

namespace ClusterRnn.Tests.Training;

public sealed class BaselineTests
{
    [Fact]
    public void Persistence_and_the_seasonal_forecast_read_the_row_they_should()
    {
        double[] values = [.. Enumerable.Range(0, 50).Select(row => (double)row)];
        Assert.Equal(20, new Persistence().Forecast(0, values, 20, 3));
        var seasonal = new SeasonalNaive(7);
        Assert.Equal([14, 15, 20, 14, 15], new[] { 1, 2, 7, 8, 9 }.Select(ahead => seasonal.Forecast(0, values, 20, ahead)));
    }

    [Fact]
    public void An_autoregression_finds_the_process_that_made_the_series()
    {
        double[] values = new double[4000];
        double[] noise = SeriesGenerators.NoisySine(1, values.Length, 0, 1).Values[0];
        values[0] = values[1] = 1000;
        for (int row = 2; row < values.Length; row++)
        {
            values[row] = 1000 + 1.2 * (values[row - 1] - 1000) - 0.5 * (values[row - 2] - 1000) + noise[row];
        }

        SeriesSplit split = Split(values, new TableData { Horizon = 2, Window = 2, Validation = 0, Test = 0.25, Scale = Scaling.Standard });
        Autoregression fit = Autoregression.Fit(split, 2);
        Assert.Equal(1.2, fit.CoefficientsOf(0)[1], 0.05);
        Assert.Equal(-0.5, fit.CoefficientsOf(0)[2], 0.05);
        double one = fit.Forecast(0, values, 3500, 1);
        Assert.Equal(fit.CoefficientsOf(0)[0] + fit.CoefficientsOf(0)[1] * one + fit.CoefficientsOf(0)[2] * values[3500], fit.Forecast(0, values, 3500, 2), 1e-9);

        // One step ahead is off by the noise, two steps by the noise and 1.2 times the step before.
        BaselineError error = fit.Measure(split, split.Test);
        Assert.Equal((1 + 1 + 1.44) / 2, error.MeanSquaredError, 0.15);
        Assert.Equal(error.MeanSquaredError / (split.Scaler.Scales[0] * split.Scaler.Scales[0]), error.ScaledMeanSquaredError, 1e-9);
        Assert.Equal(1, error.RootMeanSquaredErrorsAhead[0], 0.1);
        Assert.Equal(Math.Sqrt(1 + 1.44), error.RootMeanSquaredErrorsAhead[1], 0.15);
        Assert.InRange(error.MeanAbsoluteError, 0.7 * error.RootMeanSquaredError, error.RootMeanSquaredError);
    }

    [Fact]
    public void A_noiseless_sine_is_foretold_exactly_though_its_lags_are_dependent()
    {
        double[] values = SeriesGenerators.NoisySine(1, 400, 0.3, 0).Values[0];
        SeriesSplit split = Split(values, new TableData { Window = 10, Horizon = 5 });
        Assert.InRange(Autoregression.Fit(split, 10).Measure(split, split.Test).MeanSquaredError, 0, 1e-10);
        SeriesSplit flat = Split([.. Enumerable.Repeat(3.0, 100)], new TableData());
        Assert.InRange(Autoregression.Fit(flat, 5).Measure(flat, flat.Test).MeanSquaredError, 0, 1e-20);
    }

    [Fact]
    public void Baselines_are_compared_on_the_same_targets()
    {
        double[] values = SeriesGenerators.Seasonal(1, 600, 12, 0, 1, 0.1).Values[0];
        SeriesSplit split = Split(values, new TableData { Window = 24 });
        IReadOnlyList<BaselineError> errors = Baseline.Compare(split, split.Test, 12);
        Assert.Equal(["persistence", "seasonal naive (12)", "AR(24)"], errors.Select(error => error.Name));
        Assert.True(errors[0].MeanSquaredError > errors[1].MeanSquaredError);
        Assert.True(errors[1].MeanSquaredError > errors[2].MeanSquaredError);
        Assert.Equal(0.02, errors[1].MeanSquaredError, 0.006);
        Assert.Equal(2, Baseline.Compare(split, split.Test, null).Count);
    }

    private static SeriesSplit Split(double[] values, SeriesData config) =>
        SeriesSplit.Of(new SeriesTable("t", ["x"], [values], ""), config);
}
