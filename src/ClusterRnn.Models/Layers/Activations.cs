// Functions of a layer's output, forward and backward, over rows that are feature-padded.
using ClusterRnn.Kernels.Elementwise;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Models;

/// <summary>From a configuration's words to kernels.</summary>
internal static unsafe class Activations
{
    /// <summary>The kernel's name for a recurrent function.</summary>
    public static Activation Of(RecurrentActivation activation) => activation switch
    {
        RecurrentActivation.Tanh => Activation.Tanh,
        RecurrentActivation.Relu => Activation.Relu,
        RecurrentActivation.Sigmoid => Activation.Sigmoid,
        RecurrentActivation.Identity => Activation.Identity,
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "no such function"),
    };

    /// <summary>y = f(x), in place.</summary>
    /// <param name="activation">f.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values of a row; softmax runs over them.</param>
    /// <param name="values">[rows, stride].</param>
    /// <param name="stride">Floats from one row to the next.</param>
    public static void Forward(ActivationKind activation, int rows, int width, float* values, int stride)
    {
        switch (activation)
        {
            case ActivationKind.Linear:
                break;
            case ActivationKind.Softmax:
                for (int row = 0; row < rows; row++)
                {
                    Softmax(width, values + (long)row * stride);
                }

                break;
            default:
                ElementwiseFunctions.Forward(Elementwise(activation), (long)rows * stride, values, values);
                break;
        }
    }

    /// <summary>gradient = dL/dx from dL/dy, in place.</summary>
    /// <param name="activation">f.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values of a row.</param>
    /// <param name="values">[rows, stride]: y.</param>
    /// <param name="gradient">[rows, stride].</param>
    /// <param name="stride">Floats from one row to the next.</param>
    public static void Backward(ActivationKind activation, int rows, int width, float* values, float* gradient, int stride)
    {
        switch (activation)
        {
            case ActivationKind.Linear:
                break;
            case ActivationKind.Softmax:
                for (int row = 0; row < rows; row++)
                {
                    SoftmaxBackward(width, values + (long)row * stride, gradient + (long)row * stride);
                }

                break;
            default:
                ElementwiseFunctions.Backward(Elementwise(activation), (long)rows * stride, values, gradient, gradient);
                break;
        }
    }

    private static Activation Elementwise(ActivationKind activation) => activation switch
    {
        ActivationKind.Tanh => Activation.Tanh,
        ActivationKind.Relu => Activation.Relu,
        ActivationKind.Sigmoid => Activation.Sigmoid,
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "not an elementwise function"),
    };

    private static void Softmax(int width, float* row)
    {
        float largest = row[0], sum = 0f;
        for (int i = 1; i < width; i++)
        {
            largest = row[i] > largest ? row[i] : largest;
        }

        for (int i = 0; i < width; i++)
        {
            row[i] = ScalarMath.Exp(row[i] - largest);
            sum += row[i];
        }

        for (int i = 0; i < width; i++)
        {
            row[i] = ScalarMath.Flush(row[i] / sum);
        }
    }

    private static void SoftmaxBackward(int width, float* values, float* gradient)
    {
        float dot = 0f;
        for (int i = 0; i < width; i++)
        {
            dot = MathF.FusedMultiplyAdd(values[i], gradient[i], dot);
        }

        for (int i = 0; i < width; i++)
        {
            gradient[i] = ScalarMath.Flush(values[i] * (gradient[i] - dot));
        }
    }
}
