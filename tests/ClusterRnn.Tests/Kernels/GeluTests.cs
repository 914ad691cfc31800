// GELU and the normal distribution function under it, against series and continued fractions in double.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Tests.Kernels;

public sealed unsafe class GeluTests
{
    private const double Density = 0.39894228040143267794;

    /// <summary>Also far into the tail, where 1 + erf has no digits left.</summary>
    [Fact]
    public void TheNormalDistributionIsWithinItsBound()
    {
        double worst = 0;
        for (float x = -12f; x <= 12f; x += 1.7e-4f)
        {
            double expected = Distribution(x), ulp = MathF.BitIncrement((float)expected) - (double)(float)expected;
            worst = Math.Max(worst, Math.Abs(expected - ScalarMath.NormalDistribution(x)) / ulp);
        }

        Assert.InRange(worst, 1, 6.5);
        Assert.Equal(0.5f, ScalarMath.NormalDistribution(0f), 1e-7f);
        Assert.True(float.IsNaN(ScalarMath.NormalDistribution(float.NaN)));
    }

    [Theory, InlineData(false), InlineData(true)]
    public void ValuesAndSlopes(bool byTanh)
    {
        const int count = 6001;
        using NativeBuffer<float> slopes = new(count), values = new(count);
        for (int i = 0; i < count; i++)
        {
            slopes[i] = (i - 3000) / 250f;
        }

        Gelu.Forward(count, slopes.Pointer, values.Pointer, byTanh);
        for (int i = 0; i < count; i++)
        {
            double x = (i - 3000) / 250f, root = Math.Sqrt(2 / Math.PI), z = root * (x + 0.044715 * x * x * x), tanh = Math.Tanh(z);
            double value = byTanh ? x / (1 + Math.Exp(-2 * z)) : x * Distribution(x);
            double slope = byTanh ? 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * root * (1 + 3 * 0.044715 * x * x) : Distribution(x) + x * Density * Math.Exp(-x * x / 2);
            Assert.True(Math.Abs(value - values[i]) <= (byTanh ? 1e-5 : 8e-7) * Math.Abs(value) + 1e-30, $"gelu({x}): expected {value}, found {values[i]}");
            Assert.True(Math.Abs(slope - slopes[i]) <= (byTanh ? 1.5e-6 : 5e-7), $"gelu'({x}): expected {slope}, found {slopes[i]}");
        }
    }

    [Theory, InlineData(false), InlineData(true)]
    public void TheEdges(bool byTanh)
    {
        using NativeBuffer<float> slopes = new(5), values = new(5);
        float[] edges = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e30f, -1e30f];
        edges.CopyTo(slopes.AsSpan());
        Gelu.Forward(5, slopes.Pointer, values.Pointer, byTanh);
        Assert.Equal([float.NaN, float.PositiveInfinity, 0f, 1e30f, 0f], values.AsSpan().ToArray());
        Assert.Equal([float.NaN, 1f, 0f, 1f, 0f], slopes.AsSpan().ToArray());
    }

    private static double Distribution(double x) => x < 0 ? Tail(-x) : 1 - Tail(x);

    private static double Tail(double t)
    {
        if (t < 3)
        {
            double term = t, sum = t;
            for (int k = 1; k < 200; k++)
            {
                term *= t * t / (2 * k + 1);
                sum += term;
            }

            return 0.5 - Density * Math.Exp(-t * t / 2) * sum;
        }

        double fraction = t;
        for (int k = 200; k > 0; k--)
        {
            fraction = t + k / fraction;
        }

        return Density * Math.Exp(-t * t / 2) / fraction;
    }
}
