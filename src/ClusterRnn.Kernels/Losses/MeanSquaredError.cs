using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Losses;

/// <summary>Squared error. The mean is taken where all counts are known: divide by rows x width.</summary>
public static unsafe class MeanSquaredError
{
    /// <summary>The kernel: it works in double, one value at a time, on every machine.</summary>
    public static readonly Kernel<RegressionArguments> Kernel = new("loss.mean-squared-error", &Reference, null, null, null);

    /// <summary>outputs -> 2 (output - target) (unscaled, tiny values as +0), and each row's sum of squared differences.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values of a row.</param>
    /// <param name="outputs">[rows, width], overwritten.</param>
    /// <param name="stride">Floats from one row of outputs to the next.</param>
    /// <param name="targets">[rows, width] without gaps.</param>
    /// <param name="losses">[rows], out.</param>
    public static void Evaluate(long rows, int width, float* outputs, nint stride, float* targets, double* losses) =>
        Kernel.Run(new RegressionArguments { Rows = rows, Width = width, Stride = stride, Outputs = outputs, Targets = targets, Losses = losses });

    private static void Reference(RegressionArguments* a)
    {
        for (long row = 0; row < a->Rows; row++)
        {
            float* outputs = a->Outputs + ((nint)row * a->Stride), targets = a->Targets + ((nint)row * a->Width);
            double loss = 0;
            for (int i = 0; i < a->Width; i++)
            {
                double difference = (double)outputs[i] - targets[i];
                loss = Math.FusedMultiplyAdd(difference, difference, loss);
                outputs[i] = ScalarMath.Flush((float)(2 * difference));
            }

            a->Losses[row] = loss;
        }
    }
}
