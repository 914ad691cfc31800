// The softmax and its cross-entropy with a class id.
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Reduction;

namespace ClusterRnn.Kernels.Losses;

/// <summary>The operands of <see cref="SoftmaxCrossEntropy"/>.</summary>
public unsafe struct SoftmaxArguments
{
    /// <summary>Rows.</summary>
    public long Rows;

    /// <summary>Classes.</summary>
    public int Classes;

    /// <summary>Floats from one row to the next.</summary>
    public nint Stride;

    /// <summary>In the logits, out the probabilities, or the gradient of the loss by the logits where <see cref="Targets"/> are given.</summary>
    public float* Logits; // [rows, classes]

    /// <summary>[rows]: class ids, negative where there is no target; null for the softmax alone.</summary>
    public int* Targets;

    /// <summary>[rows]: the loss in nats, 0 where there is no target.</summary>
    public double* Losses;
}

/// <summary>Softmax and softmax cross-entropy, row by row.</summary>
public static unsafe class SoftmaxCrossEntropy
{
    /// <summary>The kernel.</summary>
    public static readonly Kernel<SoftmaxArguments> Kernel = new("loss.softmax", &Reference, &Vectors<Lanes4>, &Vectors<Lanes8>, &Vectors<Lanes16>);

    /// <summary>logits -> d loss / d logits (softmax minus one-hot, unscaled, tiny values as +0), and each row's loss. Rows without target: +0 and 0.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="classes">Classes.</param>
    /// <param name="logits">[rows, classes], overwritten.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="targets">[rows]: class ids, negative where there is no target.</param>
    /// <param name="losses">[rows], out: nats.</param>
    public static void Evaluate(long rows, int classes, float* logits, nint stride, int* targets, double* losses) =>
        Kernel.Run(new SoftmaxArguments { Rows = rows, Classes = classes, Stride = stride, Logits = logits, Targets = targets, Losses = losses });

    /// <summary>logits -> probabilities.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="classes">Classes.</param>
    /// <param name="logits">[rows, classes], overwritten.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    public static void Softmax(long rows, int classes, float* logits, nint stride) =>
        Kernel.Run(new SoftmaxArguments { Rows = rows, Classes = classes, Stride = stride, Logits = logits });

    /// <summary>The class with the greatest logit in each row; a tie goes to the lower id, NaN loses to everything.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="classes">Classes.</param>
    /// <param name="logits">[rows, classes].</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="predictions">[rows], out.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Predict(long rows, int classes, float* logits, nint stride, int* predictions)
    {
        int whole = classes & -8;
        for (long row = 0; row < rows; row++, logits += stride)
        {
            // The greatest is the same in whatever order one looks; the first that equals it is the answer.
            Vector256<float> lanes = Vector256.Create(float.NegativeInfinity);
            for (int i = 0; i < whole; i += 8)
            {
                Vector256<float> x = Vector256.Load(logits + i);
                lanes = Vector256.ConditionalSelect(Vector256.LessThan(lanes, x), x, lanes);
            }

            float greatest = float.NegativeInfinity;
            for (int i = 0; i < 8; i++)
            {
                greatest = greatest < lanes[i] ? lanes[i] : greatest;
            }

            for (int i = whole; i < classes; i++)
            {
                greatest = greatest < logits[i] ? logits[i] : greatest;
            }

            predictions[row] = greatest > float.NegativeInfinity ? FirstOf(logits, classes, greatest) : FirstNumber(logits, classes);
        }
    }

    private static int FirstOf(float* logits, int classes, float value)
    {
        Vector256<float> sought = Vector256.Create(value);
        int at = 0;
        for (; at <= classes - 8; at += 8)
        {
            uint equal = Vector256.Equals(Vector256.Load(logits + at), sought).ExtractMostSignificantBits();
            if (equal != 0)
            {
                return at + BitOperations.TrailingZeroCount(equal);
            }
        }

        while (logits[at] != value)
        {
            at++;
        }

        return at;
    }

    // Nothing but negative infinities and NaNs: the first that is a number, or 0.
    private static int FirstNumber(float* logits, int classes)
    {
        for (int i = 0; i < classes; i++)
        {
            if (!float.IsNaN(logits[i]))
            {
                return i;
            }
        }

        return 0;
    }

    private static void Reference(SoftmaxArguments* a)
    {
        for (long row = 0; row < a->Rows; row++)
        {
            float* logits = a->Logits + ((nint)row * a->Stride);
            if (Skip(a, row, logits))
            {
                continue;
            }

            float greatest = float.NegativeInfinity;
            for (int i = 0; i < a->Classes; i++)
            {
                greatest = greatest < logits[i] ? logits[i] : greatest;
            }

            float atTarget = a->Targets is null ? 0f : logits[a->Targets[row]];
            for (int i = 0; i < a->Classes; i++)
            {
                logits[i] = ScalarMath.Exp(logits[i] - greatest);
            }

            float sum = Sums.SumReference(logits, a->Classes), inverse = 1f / sum;
            for (int i = 0; i < a->Classes; i++)
            {
                logits[i] = ScalarMath.Flush(logits[i] * inverse);
            }

            Finish(a, row, logits, sum, greatest, atTarget);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Vectors<V>(SoftmaxArguments* a)
        where V : struct, ILanes<V>
    {
        float* rest = stackalloc float[16];
        for (long row = 0; row < a->Rows; row++)
        {
            float* logits = a->Logits + ((nint)row * a->Stride);
            if (Skip(a, row, logits))
            {
                continue;
            }

            // The greatest is the same in whatever order one looks.
            int whole = a->Classes / V.Width * V.Width;
            V greatestLanes = V.Broadcast(float.NegativeInfinity);
            for (int i = 0; i < whole; i += V.Width)
            {
                V x = V.Load(logits + i);
                greatestLanes = V.SelectLess(greatestLanes, x, x, greatestLanes);
            }

            greatestLanes.Store(rest);
            float greatest = rest[0];
            for (int i = 1; i < V.Width; i++)
            {
                greatest = greatest < rest[i] ? rest[i] : greatest;
            }

            for (int i = whole; i < a->Classes; i++)
            {
                greatest = greatest < logits[i] ? logits[i] : greatest;
            }

            float atTarget = a->Targets is null ? 0f : logits[a->Targets[row]];
            V shift = V.Broadcast(greatest);
            for (int i = 0; i < whole; i += V.Width)
            {
                VectorMath<V>.Exp(V.Load(logits + i) - shift).Store(logits + i);
            }

            for (int i = whole; i < a->Classes; i++)
            {
                logits[i] = ScalarMath.Exp(logits[i] - greatest);
            }

            float sum = Sums.Sum<V>(logits, a->Classes), inverse = 1f / sum;
            V inverseLanes = V.Broadcast(inverse);
            for (int i = 0; i < whole; i += V.Width)
            {
                VectorMath<V>.Flush(V.Load(logits + i) * inverseLanes).Store(logits + i);
            }

            for (int i = whole; i < a->Classes; i++)
            {
                logits[i] = ScalarMath.Flush(logits[i] * inverse);
            }

            Finish(a, row, logits, sum, greatest, atTarget);
        }
    }

    private static bool Skip(SoftmaxArguments* a, long row, float* logits)
    {
        if (a->Targets is null || (uint)a->Targets[row] < (uint)a->Classes)
        {
            return false;
        }

        new Span<float>(logits, a->Classes).Clear();
        a->Losses[row] = 0;
        return true;
    }

    private static void Finish(SoftmaxArguments* a, long row, float* logits, float sum, float greatest, float atTarget)
    {
        if (a->Targets is not null)
        {
            ref float target = ref logits[a->Targets[row]];
            target = ScalarMath.Flush(target - 1f);
            a->Losses[row] = ScalarMath.Log((double)sum) + ((double)greatest - atTarget);
        }
    }
}
