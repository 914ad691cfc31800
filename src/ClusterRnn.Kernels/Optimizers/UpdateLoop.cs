using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Optimizers;

// What an optimizer does to one element (or vector of elements), as a type, so that the loop is compiled for it.
internal unsafe interface IUpdateRule
{
    static abstract bool UsesFirst { get; }

    static abstract bool UsesSecond { get; }

    static abstract void Apply(UpdateArguments* a, ref float parameter, ref float gradient, ref float first, ref float second);

    static abstract void Apply<V>(UpdateArguments* a, ref V parameter, ref V gradient, ref V first, ref V second)
        where V : struct, ILanes<V>;
}

internal static unsafe class UpdateLoop
{
    public static Kernel<UpdateArguments> Of<R>(string name)
        where R : struct, IUpdateRule => new(name, &Reference<R>, &Vectors<Lanes4, R>, &Vectors<Lanes8, R>, &Vectors<Lanes16, R>);

    private static void Reference<R>(UpdateArguments* a)
        where R : struct, IUpdateRule
    {
        for (long i = 0; i < a->Count; i++)
        {
            float first = R.UsesFirst ? a->First[i] : 0f, second = R.UsesSecond ? a->Second[i] : 0f;
            R.Apply(a, ref a->Parameters[i], ref a->Gradients[i], ref first, ref second);
            if (R.UsesFirst)
            {
                a->First[i] = first;
            }

            if (R.UsesSecond)
            {
                a->Second[i] = second;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Vectors<V, R>(UpdateArguments* a)
        where V : struct, ILanes<V>
        where R : struct, IUpdateRule
    {
        long whole = a->Count / V.Width * V.Width;
        Run<V, R>(a, whole, a->Parameters, a->Gradients, a->First, a->Second);
        int rest = (int)(a->Count - whole);
        if (rest == 0)
        {
            return;
        }

        // What does not fill a vector goes through one on the stack.
        float* parameters = stackalloc float[16], gradients = stackalloc float[16], first = stackalloc float[16], second = stackalloc float[16];
        Copy(a->Parameters + whole, parameters, rest);
        Copy(a->Gradients + whole, gradients, rest);
        if (R.UsesFirst)
        {
            Copy(a->First + whole, first, rest);
        }

        if (R.UsesSecond)
        {
            Copy(a->Second + whole, second, rest);
        }

        Run<V, R>(a, V.Width, parameters, gradients, first, second);
        Copy(parameters, a->Parameters + whole, rest);
        Copy(gradients, a->Gradients + whole, rest);
        if (R.UsesFirst)
        {
            Copy(first, a->First + whole, rest);
        }

        if (R.UsesSecond)
        {
            Copy(second, a->Second + whole, rest);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run<V, R>(UpdateArguments* a, long count, float* parameters, float* gradients, float* firsts, float* seconds)
        where V : struct, ILanes<V>
        where R : struct, IUpdateRule
    {
        for (long i = 0; i < count; i += V.Width)
        {
            V parameter = V.Load(parameters + i), gradient = V.Load(gradients + i);
            V first = R.UsesFirst ? V.Load(firsts + i) : default, second = R.UsesSecond ? V.Load(seconds + i) : default;
            R.Apply(a, ref parameter, ref gradient, ref first, ref second);
            parameter.Store(parameters + i);
            gradient.Store(gradients + i);
            if (R.UsesFirst)
            {
                first.Store(firsts + i);
            }

            if (R.UsesSecond)
            {
                second.Store(seconds + i);
            }
        }
    }

    private static void Copy(float* from, float* to, int count) => new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));
}
