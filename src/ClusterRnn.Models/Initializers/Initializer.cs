// The first values of a tensor. Each tensor is drawn whole, once, from counter-based randomness keyed by (seed, tensor,
// row, column); whoever holds a part of it later cuts it from the whole. Arithmetic is ours or exact, in double, rounded
// to float at the end, so every machine starts from the same bits.
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;
using MathNet.Numerics;
using MathNet.Numerics.LinearAlgebra.Double;
using MathNet.Numerics.LinearAlgebra.Factorization;

namespace ClusterRnn.Models;

/// <summary>
/// Gates that open so seldom that each unit keeps its state for about u time steps, u uniform in [1, longest lag - 1]: the bias of
/// the gate that keeps is ln u, that of the gate that writes -ln u (Tallec and Ollivier, Can recurrent neural networks warp time?, 2018).
/// </summary>
/// <param name="LongestLag">In time steps; 0: these gates' biases are 0, as the other bias has them.</param>
/// <param name="KeepGate">The gate that keeps the state.</param>
/// <param name="WriteGate">The gate that writes, -1 where it is the same one.</param>
internal readonly record struct GateMemory(int LongestLag, int KeepGate, int WriteGate);

/// <summary>How one tensor is drawn.</summary>
/// <param name="Kind">The rule.</param>
/// <param name="FanIn">Inputs of one output, for PyTorch's, Glorot's and He's rules (H for PyTorch's recurrent one).</param>
/// <param name="FanOut">Outputs of one input, for Glorot's rule.</param>
/// <param name="Gates">Equal groups of rows that are made orthogonal one by one.</param>
/// <param name="StandardNormal">Whether PyTorch's default for this tensor is the standard normal (embeddings).</param>
internal readonly record struct Initializer(InitializerKind Kind, long FanIn, long FanOut, int Gates = 1, bool StandardNormal = false)
{
    /// <summary>For an LSTM's bias: what its second quarter, the forget gate's, holds instead.</summary>
    public double? ForgetBias { get; init; }

    /// <summary>For the biases of a layer that must remember for long: which gates hold what instead.</summary>
    public GateMemory? Memory { get; init; }

    /// <summary>What every element holds instead, whatever the rule (gains of a normalisation).</summary>
    public double? Constant { get; init; }

    /// <summary>A tensor whose elements are all <paramref name="value"/> at first.</summary>
    public static Initializer Of(double value) => new(InitializerKind.Zeros, 1, 1) { Constant = value };

    /// <summary>Fills a tensor [rows, columns].</summary>
    public void Fill(RandomKey key, int rows, int columns, Span<float> into)
    {
        if (Constant is double constant)
        {
            into.Fill((float)constant);
            return;
        }

        Draw(key, rows, columns, into);
        if (ForgetBias is double bias)
        {
            into.Slice(into.Length / 4, into.Length / 4).Fill((float)bias);
        }

        if (Memory is { } memory)
        {
            int units = into.Length / Gates;
            for (int unit = 0; unit < units; unit++)
            {
                double kept = memory.LongestLag == 0 ? 0.0 : ScalarMath.Log(1.0 + (key.UniformDouble(unit, 1, 0) * Math.Max(0, memory.LongestLag - 2)));
                into[(memory.KeepGate * units) + unit] = (float)kept;
                if (memory.WriteGate >= 0)
                {
                    into[(memory.WriteGate * units) + unit] = (float)-kept;
                }
            }
        }
    }

    private void Draw(RandomKey key, int rows, int columns, Span<float> into)
    {
        switch (Kind)
        {
            case InitializerKind.PyTorch when StandardNormal:
                Normal(key, columns, 1.0, into);
                break;
            case InitializerKind.PyTorch:
                Uniform(key, columns, 1.0 / Math.Sqrt(FanIn), into);
                break;
            case InitializerKind.GlorotUniform:
                Uniform(key, columns, Math.Sqrt(6.0 / (FanIn + FanOut)), into);
                break;
            case InitializerKind.GlorotNormal:
                Normal(key, columns, Math.Sqrt(2.0 / (FanIn + FanOut)), into);
                break;
            case InitializerKind.HeUniform:
                Uniform(key, columns, Math.Sqrt(6.0 / FanIn), into);
                break;
            case InitializerKind.HeNormal:
                Normal(key, columns, Math.Sqrt(2.0 / FanIn), into);
                break;
            case InitializerKind.Normal:
                Normal(key, columns, 0.05, into);
                break;
            case InitializerKind.Uniform:
                Uniform(key, columns, 0.05, into);
                break;
            case InitializerKind.Orthogonal:
                int rowsOfGate = rows / Gates;
                for (int gate = 0; gate < Gates; gate++)
                {
                    Orthogonal(key, gate * rowsOfGate, rowsOfGate, columns, into.Slice(gate * rowsOfGate * columns, rowsOfGate * columns));
                }

                break;
            case InitializerKind.Zeros:
                into.Clear();
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(into), Kind, "no such initializer");
        }
    }

    private static void Uniform(RandomKey key, int columns, double bound, Span<float> into)
    {
        for (int i = 0; i < into.Length; i++)
        {
            into[i] = (float)((2.0 * key.UniformDouble(i / columns, 0, i % columns) - 1.0) * bound);
        }
    }

    private static void Normal(RandomKey key, int columns, double deviation, Span<float> into)
    {
        for (int i = 0; i < into.Length; i++)
        {
            into[i] = (float)(deviation * key.NormalDeviateDouble(i / columns, 0, i % columns));
        }
    }

    /// <summary>Q of a normal matrix's QR, its signs set by R's diagonal, so that it is uniform over the orthogonal matrices.</summary>
    private static void Orthogonal(RandomKey key, int firstRow, int rows, int columns, Span<float> into)
    {
        // The managed provider on one thread runs the same scalar operations everywhere.
        Control.UseManaged();
        Control.UseSingleThread();
        bool wide = columns > rows;
        int height = wide ? columns : rows, width = wide ? rows : columns;
        var normal = new DenseMatrix(height, width);
        for (int i = 0; i < height; i++)
        {
            for (int j = 0; j < width; j++)
            {
                normal[i, j] = key.NormalDeviateDouble(firstRow + (wide ? j : i), 0, wide ? i : j);
            }
        }

        QR<double> factors = normal.QR(QRMethod.Thin);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                int i = wide ? c : r, j = wide ? r : c;
                into[r * columns + c] = (float)(factors.R[j, j] < 0.0 ? -factors.Q[i, j] : factors.Q[i, j]);
            }
        }
    }
}
