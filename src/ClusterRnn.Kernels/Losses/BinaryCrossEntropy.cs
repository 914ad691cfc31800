// Cross-entropy of independent yes-no outputs, from their logits.
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Losses;

/// <summary>The operands of the losses between real values.</summary>
public unsafe struct RegressionArguments
{
    /// <summary>Rows.</summary>
    public long Rows;

    /// <summary>Values of a row.</summary>
    public int Width;

    /// <summary>Floats from one row of outputs to the next.</summary>
    public nint Stride;

    /// <summary>In the outputs, out the gradient of the loss by them.</summary>
    public float* Outputs; // [rows, width]

    /// <summary>The targets, without gaps.</summary>
    public float* Targets; // [rows, width]

    /// <summary>[rows], out: the sum over the row's values.</summary>
    public double* Losses;
}

/// <summary>Binary cross-entropy.</summary>
public static unsafe class BinaryCrossEntropy
{
    /// <summary>The kernel: it works in double, one value at a time, on every machine.</summary>
    public static readonly Kernel<RegressionArguments> Kernel = new("loss.binary-cross-entropy", &Reference, null, null, null);

    /// <summary>logits -> sigmoid(logit) - target (unscaled, tiny values as +0), and each row's loss in nats, summed over its values.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values of a row.</param>
    /// <param name="logits">[rows, width], overwritten.</param>
    /// <param name="stride">Floats from one row of logits to the next.</param>
    /// <param name="targets">[rows, width] without gaps, in [0, 1].</param>
    /// <param name="losses">[rows], out.</param>
    public static void Evaluate(long rows, int width, float* logits, nint stride, float* targets, double* losses) =>
        Kernel.Run(new RegressionArguments { Rows = rows, Width = width, Stride = stride, Outputs = logits, Targets = targets, Losses = losses });

    private static void Reference(RegressionArguments* a)
    {
        for (long row = 0; row < a->Rows; row++)
        {
            float* outputs = a->Outputs + ((nint)row * a->Stride), targets = a->Targets + ((nint)row * a->Width);
            double loss = 0;
            for (int i = 0; i < a->Width; i++)
            {
                // -y log(s) - (1 - y) log(1 - s) = max(x, 0) - x y + log(1 + exp(-|x|))
                double x = outputs[i], y = targets[i];
                loss += (x < 0 ? 0 : x) - (x * y) + ScalarMath.Log(1 + ScalarMath.Exp(-Math.Abs(x)));
                outputs[i] = ScalarMath.Flush((float)(ScalarMath.Sigmoid(x) - y));
            }

            a->Losses[row] = loss;
        }
    }
}
