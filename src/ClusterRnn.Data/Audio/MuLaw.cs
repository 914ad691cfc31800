// Sound as 256 classes by the mu-law, as telephones have done it (ITU-T G.711): quiet samples are told apart more finely than
// loud ones. Class 128 is silence.
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Data;

/// <summary>Samples as classes and back.</summary>
public static class MuLaw
{
    /// <summary>How many classes there are.</summary>
    public const int Classes = 256;

    /// <summary>The class of silence.</summary>
    public const int Silence = 128;

    private const double Mu = Classes - 1;
    private static readonly double s_scale = ScalarMath.Log(1.0 + Mu);

    /// <summary>The class of a sample; beyond -1 and 1 the first and the last.</summary>
    public static int Encode(float sample)
    {
        double value = Math.Clamp((double)sample, -1.0, 1.0), compressed = Math.CopySign(ScalarMath.Log(1.0 + (Mu * Math.Abs(value))) / s_scale, value);
        return (int)(((compressed + 1.0) / 2.0 * Mu) + 0.5);
    }

    /// <summary>The sample that a class stands for.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such class.</exception>
    public static float Decode(int token)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)Classes, nameof(token));
        double compressed = (2.0 * token / Mu) - 1.0;
        return (float)Math.CopySign(ScalarMath.ExpMinusOne(Math.Abs(compressed) * s_scale) / Mu, compressed);
    }
}
