// Accuracy of the elementary functions, in units in the last place of the true value. The functions on floats are measured
// over a stride of all floats; with CLUSTERRNN_LONG_TESTS=1 over every one of them (about four minutes).
using ClusterRnn.Kernels.Numerics;

#pragma warning disable xUnit1025 // 0 and -0 are two cases: the analyzer takes them for one
namespace ClusterRnn.Tests.Kernels;

public class ScalarMathTests
{
    private static readonly bool isLong = Environment.GetEnvironmentVariable("CLUSTERRNN_LONG_TESTS") == "1";

    [Fact]
    public void ExpIsWithinAboutOneUlp() => AssertWithin(1.02, ScalarMath.Exp, Math.Exp);

    [Fact]
    public void LogIsWithinOneUlp() => AssertWithin(0.76, ScalarMath.Log, Math.Log);

    [Fact]
    public void TanhIsWithinTwoUlp() => AssertWithin(1.7, ScalarMath.Tanh, Math.Tanh);

    [Fact]
    public void SigmoidIsWithinTwoUlp() => AssertWithin(1.5, ScalarMath.Sigmoid, x => x < 0 ? Math.Exp(x) / (1 + Math.Exp(x)) : 1 / (1 + Math.Exp(-x)));

    [Fact]
    public void FloatCosIsCorrectlyRoundedNearly() => AssertWithin(0.51, ScalarMath.Cos, Math.Cos, x => Math.Abs(x) <= ScalarMath.LargestAngle);

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity, 0f)]
    [InlineData(0f, 1f)]
    [InlineData(-0f, 1f)]
    [InlineData(float.Epsilon, 1f)]
    [InlineData(89f, float.PositiveInfinity)]
    [InlineData(-150f, 0f)]
    public void ExpAtTheEdges(float x, float expected) => AssertBits(expected, ScalarMath.Exp(x));

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity, float.NaN)]
    [InlineData(0f, float.NegativeInfinity)]
    [InlineData(-0f, float.NegativeInfinity)]
    [InlineData(1f, 0f)]
    [InlineData(-1f, float.NaN)]
    public void LogAtTheEdges(float x, float expected) => AssertBits(expected, ScalarMath.Log(x));

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, 1f)]
    [InlineData(float.NegativeInfinity, -1f)]
    [InlineData(0f, 0f)]
    [InlineData(-0f, -0f)]
    [InlineData(float.Epsilon, float.Epsilon)]
    [InlineData(-float.Epsilon, -float.Epsilon)]
    [InlineData(12f, 1f)]
    public void TanhAtTheEdges(float x, float expected) => AssertBits(expected, ScalarMath.Tanh(x));

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, 1f)]
    [InlineData(float.NegativeInfinity, 0f)]
    [InlineData(0f, 0.5f)]
    [InlineData(-0f, 0.5f)]
    public void SigmoidAtTheEdges(float x, float expected) => AssertBits(expected, ScalarMath.Sigmoid(x));

    [Fact]
    public void DoubleFunctionsAreWithinTheirBounds()
    {
        var random = new Random(11);
        for (int i = 0; i < 200_000; i++)
        {
            double x = ((random.NextDouble() * 2) - 1) * Math.Exp((random.NextDouble() * 14) - 7), positive = Math.Abs(x) + 1e-300;
            AssertUlp(2, Math.Exp(x), ScalarMath.Exp(x), $"exp({x:R})");
            AssertUlp(2, Math.Log(positive), ScalarMath.Log(positive), $"log({positive:R})");
            AssertUlp(4, Math.Tanh(x), ScalarMath.Tanh(x), $"tanh({x:R})");
            AssertUlp(2, Math.Cos(x), ScalarMath.Cos(x), $"cos({x:R})");
            AssertUlp(2, Math.Sin(x), ScalarMath.Sin(x), $"sin({x:R})");
            double y = (random.NextDouble() * 20) - 10;
            AssertUlp(3, Math.Pow(positive, y), ScalarMath.Pow(positive, y), $"pow({positive:R}, {y:R})");
            Assert.Equal(Math.Cos(2 * Math.PI * y), ScalarMath.CosTurns(y), 1e-14);
            Assert.Equal(Math.Sin(2 * Math.PI * y), ScalarMath.SinTurns(y), 1e-14);
        }
    }

    [Fact]
    public void CosAndSinOfWholeQuartersAreExact()
    {
        double[] cosines = [1, 0, -1, 0], sines = [0, 1, 0, -1];
        for (int quarter = -8; quarter <= 8; quarter++)
        {
            Assert.Equal(cosines[((quarter % 4) + 4) % 4], ScalarMath.CosTurns(quarter / 4.0));
            Assert.Equal(sines[((quarter % 4) + 4) % 4], ScalarMath.SinTurns(quarter / 4.0));
        }

        Assert.Equal(1, ScalarMath.CosTurns(1e300));
        Assert.Equal(0, ScalarMath.SinTurns(1e300));
    }

    [Fact]
    public void PowFollowsC99AtTheEdges()
    {
        double[] edges = [double.NaN, double.PositiveInfinity, double.NegativeInfinity, 0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, double.Epsilon, double.MaxValue, 1e17];
        foreach (double x in edges)
        {
            foreach (double y in edges)
            {
                double expected = Math.Pow(x, y), actual = ScalarMath.Pow(x, y);
                Assert.True(expected.Equals(actual) || Math.Abs(expected - actual) <= 4e-16 * Math.Abs(expected), $"pow({x}, {y}): expected {expected}, found {actual}");
                Assert.Equal(double.IsNegative(expected) && !double.IsNaN(expected), double.IsNegative(actual) && !double.IsNaN(actual));
            }
        }
    }

    [Fact]
    public void TinyValuesBecomePositiveZero()
    {
        AssertBits(0f, ScalarMath.Flush(-float.Epsilon));
        AssertBits(0f, ScalarMath.Flush(-0f));
        AssertBits(0f, ScalarMath.Flush(MathF.BitDecrement(ScalarMath.Tiny)));
        AssertBits(ScalarMath.Tiny, ScalarMath.Flush(ScalarMath.Tiny));
        AssertBits(float.NaN, ScalarMath.Flush(float.NaN));
        AssertBits((float)Math.Pow(2, -100), ScalarMath.Tiny);
    }

    private static void AssertWithin(double bound, Func<float, float> function, Func<double, double> truth, Func<float, bool>? domain = null)
    {
        double worst = 0;
        float where = 0;
        uint stride = isLong ? 1u : 8191u;
        for (long bits = 0; bits < 1L << 32; bits += stride)
        {
            float x = BitConverter.UInt32BitsToSingle((uint)bits);
            if (float.IsNaN(x) || (domain is not null && !domain(x)))
            {
                continue;
            }

            double expected = truth(x);
            float found = function(x);
            if (double.IsNaN(expected) || Math.Abs(expected) > float.MaxValue)
            {
                Assert.True(double.IsNaN(expected) ? float.IsNaN(found) : found == (float)expected || Math.Abs(found) == float.MaxValue, $"at {x:R}: expected {expected:R}, found {found:R}");
                continue;
            }

            double error = Math.Abs(found - expected) / Ulp(expected);
            if (!(error <= worst))
            {
                worst = error;
                where = x;
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"greatest error {worst:F3} ulp at {where:R}");
        Assert.True(worst <= bound, $"{worst:F3} ulp at {where:R}");
        Assert.True(worst > 0.3, "no function is this exact: the measurement is wrong");
    }

    // The distance of floats around a value.
    private static double Ulp(double value)
    {
        int exponent = Math.Max(Math.ILogB(value), -126);
        return value == 0 ? float.Epsilon : Math.ScaleB(1, exponent - 23);
    }

    private static void AssertUlp(double bound, double expected, double found, string what)
    {
        double ulp = Math.Abs(Math.BitIncrement(Math.Abs(expected)) - Math.Abs(expected));
        Assert.True(expected.Equals(found) || Math.Abs(found - expected) <= bound * ulp, $"{what}: expected {expected:R}, found {found:R}");
    }

    private static void AssertBits(float expected, float found) => Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(found));
}
