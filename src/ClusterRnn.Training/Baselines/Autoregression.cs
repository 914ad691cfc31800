using ClusterRnn.Data;
using MathNet.Numerics.LinearAlgebra;
using MathNet.Numerics.LinearAlgebra.Factorization;

namespace ClusterRnn.Training.Baselines;

/// <summary>
/// AR(p): each value a constant and a linear combination of the p values before it, by ordinary least squares over the
/// training part (Box and Jenkins, Time series analysis); further ahead by feeding forecasts back.
/// </summary>
public sealed class Autoregression : Baseline
{
    private readonly int _order;
    private readonly Dictionary<int, double[]> _coefficients; // column -> [constant, lag 1, ..., lag p]

    private Autoregression(int order, Dictionary<int, double[]> coefficients)
    {
        _order = order;
        _coefficients = coefficients;
    }

    /// <inheritdoc/>
    public override string Name => $"AR({_order})";

    /// <inheritdoc/>
    public override int Reach => _order;

    /// <summary>The largest order the training part can be fitted with: at least as many equations as unknowns.</summary>
    public static int LargestOrder(SeriesSplit split)
    {
        ArgumentNullException.ThrowIfNull(split);
        return (split.Training.Rows - 1) / 2;
    }

    /// <summary>Fits every target column.</summary>
    /// <param name="split">The series.</param>
    /// <param name="order">p.</param>
    /// <exception cref="ArgumentOutOfRangeException">The order is not positive, or too large for the training part.</exception>
    public static Autoregression Fit(SeriesSplit split, int order)
    {
        ArgumentNullException.ThrowIfNull(split);
        ArgumentOutOfRangeException.ThrowIfLessThan(order, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, LargestOrder(split));
        var coefficients = new Dictionary<int, double[]>();
        foreach (int column in split.Targets)
        {
            coefficients.Add(column, Fit(split.Table.Values[column].AsSpan(0, split.Training.Rows), order));
        }

        return new Autoregression(order, coefficients);
    }

    /// <summary>A column's constant and its coefficients from lag 1 to lag p.</summary>
    /// <exception cref="KeyNotFoundException">The column was no target.</exception>
    public IReadOnlyList<double> CoefficientsOf(int column) => _coefficients[column];

    /// <inheritdoc/>
    public override double Forecast(int column, ReadOnlySpan<double> values, int last, int ahead)
    {
        double[] coefficients = _coefficients[column];
        double[] known = values.Slice(last - _order + 1, _order).ToArray();
        double next = 0;
        for (int step = 0; step < ahead; step++)
        {
            next = coefficients[0];
            for (int lag = 1; lag <= _order; lag++)
            {
                next += coefficients[lag] * known[(step - lag + _order) % _order];
            }

            known[step % _order] = next;
        }

        return next;
    }

    // Centred and brought to one scale first, so that a series far from zero loses no digits. A noiseless series makes
    // the lags linearly dependent; the pseudo-inverse of R then gives the smallest coefficients that fit.
    private static double[] Fit(ReadOnlySpan<double> values, int order)
    {
        double mean = 0, square = 0;
        foreach (double value in values)
        {
            mean += value / values.Length;
        }

        foreach (double value in values)
        {
            square += (value - mean) * (value - mean) / values.Length;
        }

        double scale = square > 0 ? Math.Sqrt(square) : 1;
        int equations = values.Length - order;
        Matrix<double> lags = Matrix<double>.Build.Dense(equations, order + 1);
        Vector<double> next = Vector<double>.Build.Dense(equations);
        for (int equation = 0; equation < equations; equation++)
        {
            lags[equation, 0] = 1;
            for (int lag = 1; lag <= order; lag++)
            {
                lags[equation, lag] = (values[equation + order - lag] - mean) / scale;
            }

            next[equation] = (values[equation + order] - mean) / scale;
        }

        QR<double> factors = lags.QR(QRMethod.Thin);
        double[] solution = (factors.R.PseudoInverse() * factors.Q.TransposeThisAndMultiply(next)).ToArray();
        double constant = mean + solution[0] * scale;
        for (int lag = 1; lag <= order; lag++)
        {
            constant -= solution[lag] * mean;
        }

        solution[0] = constant;
        return solution;
    }
}
