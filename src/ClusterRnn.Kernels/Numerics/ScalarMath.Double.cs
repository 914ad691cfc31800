// The elementary functions in double: ScalarMath.cs tells the rules, this file is their second width.
using System.Runtime.CompilerServices;

namespace ClusterRnn.Kernels.Numerics;

public static partial class ScalarMath
{
    /// <summary>The circle's circumference over its diameter.</summary>
    public const double Pi = 3.14159265358979323846;

    private const double Magic = 6755399441055744.0; // 1.5 * 2^52
    private const double Ln2HighDouble = 6.93147180369123816490e-01; // 32 bits (fdlibm)
    private const double Ln2LowDouble = 1.90821492927058770002e-10;
    private const double InverseLn2 = 1.44269504088896338700;

    // pi/2 in three parts of 33 bits each and a tail (fdlibm): n times a part is exact for |n| < 2^20.
    private const double HalfPi1 = 1.57079632673412561417e+00;
    private const double HalfPi2 = 6.07710050630396597660e-11;
    private const double HalfPi3 = 2.02226624871116645580e-21;
    private const double HalfPi3Tail = 8.47842766036889956997e-32;
    private const double TwoOverPi = 6.36619772367581382433e-01;

    /// <summary>The largest |x| for which <see cref="Cos(double)"/> and <see cref="Sin(double)"/> are defined.</summary>
    public const double LargestAngle = 1 << 20;

    /// <summary>e to the power <paramref name="x"/>; at most 1 ulp off.</summary>
    public static double Exp(double x) => ExpWithTail(x, 0);

    /// <summary>exp(x) - 1 without cancellation near 0; at most 2 ulp off.</summary>
    public static double ExpMinusOne(double x)
    {
        if (!(x > -40))
        {
            return double.IsNaN(x) ? x : -1;
        }

        if (x > 60)
        {
            return Exp(x);
        }

        double n = Fma(x, InverseLn2, Magic) - Magic;
        double scale = PowerOfTwo((long)n);
        double q = ReducedExpMinusOne(x, 0, n);
        return n == 0 ? q : Fma(scale, q, scale - 1);
    }

    /// <summary>The natural logarithm; less than 1 ulp off. -inf at 0, NaN below.</summary>
    public static double Log(double x)
    {
        if (!(x > 0) || x == double.PositiveInfinity)
        {
            return x == 0 ? double.NegativeInfinity : x > 0 ? x : double.NaN;
        }

        (double high, double low) = LogTwoPart(x);
        return high + low;
    }

    /// <summary>The logarithm to base 2 of <paramref name="x"/>, by <see cref="Log(double)"/>.</summary>
    public static double Log2(double x) => Log(x) * InverseLn2;

    /// <summary><paramref name="x"/> to the power <paramref name="y"/>; at most 2 ulp off. Special cases as in C99.</summary>
    public static double Pow(double x, double y)
    {
        if (y == 0 || x == 1)
        {
            return 1;
        }

        if (double.IsNaN(x) || double.IsNaN(y))
        {
            return double.NaN;
        }

        bool integer = IsInteger(y);
        bool negative = double.IsNegative(x) && integer && IsOdd(y);
        double magnitude = Math.Abs(x);
        if (double.IsInfinity(y))
        {
            return magnitude == 1 ? 1 : (magnitude > 1) == (y > 0) ? double.PositiveInfinity : 0;
        }

        if (magnitude == 0 || double.IsInfinity(magnitude))
        {
            double edge = (magnitude == 0) == (y > 0) ? 0 : double.PositiveInfinity;
            return negative ? -edge : edge;
        }

        if (x < 0 && !integer)
        {
            return double.NaN;
        }

        (double high, double low) = LogTwoPart(magnitude);
        double sum = high + low;
        low = high - sum + low;
        double product = y * sum;
        double tail = Fma(y, sum, -product) + (y * low);
        double result = product > 800 ? double.PositiveInfinity : product < -800 ? 0 : ExpWithTail(product, tail);
        return negative ? -result : result;
    }

    /// <summary>The hyperbolic tangent; at most 2 ulp off.</summary>
    public static double Tanh(double x)
    {
        double magnitude = Math.Abs(x);
        if (double.IsNaN(x))
        {
            return x;
        }

        double e = ExpMinusOne(2 * (magnitude > 25 ? 25 : magnitude));
        double result = e / (e + 2);
        return double.IsNegative(x) ? -result : result;
    }

    /// <summary>The logistic function 1 / (1 + exp(-x)); at most 2 ulp off.</summary>
    public static double Sigmoid(double x)
    {
        double e = Exp(-Math.Abs(x));
        return (x < 0 ? e : 1) / (1 + e);
    }

    /// <summary>The cosine of <paramref name="x"/> radians; at most 1 ulp off. NaN when |x| exceeds <see cref="LargestAngle"/>: reduce by turns instead (<see cref="CosTurns"/>).</summary>
    public static double Cos(double x)
    {
        if (!(Math.Abs(x) <= LargestAngle))
        {
            return double.NaN;
        }

        (double n, double high, double low) = ReduceAngle(x);
        return Quadrant((long)n + 1, high, low);
    }

    /// <summary>The sine of <paramref name="x"/> radians; at most 1 ulp off. NaN when |x| exceeds <see cref="LargestAngle"/>.</summary>
    public static double Sin(double x)
    {
        if (!(Math.Abs(x) <= LargestAngle))
        {
            return double.NaN;
        }

        (double n, double high, double low) = ReduceAngle(x);
        return n == 0 && low == 0 && Math.Abs(x) < 1e-160 ? x : Quadrant((long)n, high, low);
    }

    /// <summary>The cosine of <paramref name="turns"/> full turns (cos 2 pi t), exact at quarters, for every finite argument; at most 2 ulp off.</summary>
    public static double CosTurns(double turns) => Turns(turns, 1);

    /// <summary>The sine of <paramref name="turns"/> full turns (sin 2 pi t), exact at quarters, for every finite argument; at most 2 ulp off.</summary>
    public static double SinTurns(double turns) => Turns(turns, 0);

    /// <summary>The standard normal deviate of Box and Muller: sqrt(-2 ln u) cos(2 pi v).</summary>
    /// <param name="u">In (0, 1).</param>
    /// <param name="v">In [0, 1).</param>
    public static double NormalDeviate(double u, double v) => Math.Sqrt(-2 * Log(u)) * CosTurns(v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Fma(double a, double b, double c) => Math.FusedMultiplyAdd(a, b, c);

    private static double PowerOfTwo(long n) => BitConverter.Int64BitsToDouble((n + 1023) << 52);

    // Beyond 2^53 every double is an even integer.
    private static bool IsInteger(double y) => Math.Abs(y) >= 9007199254740992.0 || (double)(long)y == y;

    private static bool IsOdd(double y) => Math.Abs(y) < 9007199254740992.0 && ((long)y & 1) != 0;

    // exp(x + tail) for |tail| far below 1.
    private static double ExpWithTail(double x, double tail)
    {
        if (!(x <= 709.8))
        {
            return double.IsNaN(x) ? x : double.PositiveInfinity;
        }

        if (x < -745.2)
        {
            return 0;
        }

        double n = Fma(x, InverseLn2, Magic) - Magic;
        double y = 1 + ReducedExpMinusOne(x, tail, n);
        long power = (long)n, half = power >> 1;
        return y * PowerOfTwo(half) * PowerOfTwo(power - half);
    }

    // exp(r) - 1 with r = x + tail - n ln(2), |r| <= ln(2)/2: Taylor's series, whose rest is below 2^-57.
    private static double ReducedExpMinusOne(double x, double tail, double n)
    {
        double r = Fma(n, -Ln2HighDouble, x);
        double low = Fma(n, -Ln2LowDouble, tail);
        double sum = r + low;
        low = r - sum + low;
        r = sum;
        double p = Fma(1.0 / 6227020800, r, 1.0 / 479001600);
        p = Fma(p, r, 1.0 / 39916800);
        p = Fma(p, r, 1.0 / 3628800);
        p = Fma(p, r, 1.0 / 362880);
        p = Fma(p, r, 1.0 / 40320);
        p = Fma(p, r, 1.0 / 5040);
        p = Fma(p, r, 1.0 / 720);
        p = Fma(p, r, 1.0 / 120);
        p = Fma(p, r, 1.0 / 24);
        p = Fma(p, r, 1.0 / 6);
        p = Fma(p, r, 0.5);
        return r + Fma(r * r, p, Fma(r, low, low));
    }

    // log(x) of a positive finite x as an unevaluated sum, to about 2^-60: log(m) = 2 s + s^3 (...), s = (m - 1)/(m + 1)
    // (fdlibm's series), with s carried in two parts.
    private static (double High, double Low) LogTwoPart(double x)
    {
        double n = 0;
        if (x < 2.2250738585072014e-308)
        {
            x *= 4503599627370496.0;
            n = -52;
        }

        const long offset = 0x3FE6A09E667F3BCD; // sqrt(1/2)
        long bits = BitConverter.DoubleToInt64Bits(x) - offset;
        n += bits >> 52;
        double m = BitConverter.Int64BitsToDouble((bits & 0x000FFFFFFFFFFFFF) + offset);
        double numerator = m - 1; // exact
        double denominator = m + 1;
        double denominatorLow = m - (denominator - 1);
        double s = numerator / denominator;
        double sLow = Fma(-s, denominatorLow, Fma(-s, denominator, numerator)) / denominator;
        double z = s * s;
        double p = Fma(1.479819860511658591e-01, z, 1.531383769920937332e-01);
        p = Fma(p, z, 1.818357216161805012e-01);
        p = Fma(p, z, 2.222219843214978396e-01);
        p = Fma(p, z, 2.857142874366239149e-01);
        p = Fma(p, z, 3.999999999940941908e-01);
        p = Fma(p, z, 6.666666666666735130e-01);
        double rest = Fma(s * z, p, 2 * sLow);
        double first = n * Ln2HighDouble; // exact
        double second = 2 * s;
        double sum = first + second;
        double error = n == 0 ? 0 : first - sum + second; // |first| > |second| unless n is 0
        double low = error + Fma(n, Ln2LowDouble, rest);
        double high = sum + low;
        return (high, sum - high + low);
    }

    private static (double Quarters, double High, double Low) ReduceAngle(double x)
    {
        double n = Fma(x, TwoOverPi, Magic) - Magic;
        double r = Fma(n, -HalfPi1, x);
        double w = n * HalfPi2;
        double t = r - w;
        double low = r - t - w;
        double v = n * HalfPi3;
        double u = t - v;
        low += t - u - v;
        low -= n * HalfPi3Tail;
        double high = u + low;
        return (n, high, u - high + low);
    }

    // sin(quarters * pi/2 + high + low).
    private static double Quadrant(long quarters, double high, double low)
    {
        double z = high * high, result;
        if ((quarters & 1) == 0)
        {
            double p = Fma(1.58969099521155010221e-10, z, -2.50507602534068634195e-08);
            p = Fma(p, z, 2.75573137070700676789e-06);
            p = Fma(p, z, -1.98412698298579493134e-04);
            p = Fma(p, z, 8.33333333332248946124e-03);
            p = Fma(p, z, -1.66666666666666324348e-01);
            result = high + Fma(high * z, p, Fma(-0.5 * z, low, low));
        }
        else
        {
            double p = Fma(-1.13596475577881948265e-11, z, 2.08757232129817482790e-09);
            p = Fma(p, z, -2.75573143513906633035e-07);
            p = Fma(p, z, 2.48015872894767294178e-05);
            p = Fma(p, z, -1.38888888888741095749e-03);
            p = Fma(p, z, 4.16666666666666019037e-02);
            double half = 0.5 * z;
            double w = 1 - half;
            result = w + (1 - w - half + Fma(z * z, p, -(high * low)));
        }

        return (quarters & 2) == 0 ? result : -result;
    }

    private static double Turns(double turns, long quarter)
    {
        if (!double.IsFinite(turns))
        {
            return double.NaN;
        }

        if (Math.Abs(turns) >= 4503599627370496.0)
        {
            return quarter; // a whole number of turns
        }

        double part = turns - (Fma(turns, 1, Magic) - Magic); // exact, in [-1/2, 1/2]
        double n = (4 * part) + Magic - Magic;
        double rest = Fma(n, -0.25, part); // exact, in [-1/8, 1/8]
        const double twoPi = 6.28318530717958623200, twoPiLow = 2.44929359829470635445e-16;
        double high = rest * twoPi;
        double low = Fma(rest, twoPi, -high) + (rest * twoPiLow);
        return Quadrant((long)n + quarter, high, low);
    }
}
