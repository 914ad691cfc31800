// Loops that treat each element alike, over arrays without structure.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Gates;
using ClusterRnn.Kernels.Numerics;

namespace ClusterRnn.Kernels.Elementwise;

/// <summary>The operands of an elementwise kernel: arrays of <see cref="Count"/> floats.</summary>
public unsafe struct ElementwiseArguments
{
    /// <summary>Elements.</summary>
    public long Count;

    /// <summary>First operand.</summary>
    public float* First;

    /// <summary>Second operand, where there is one.</summary>
    public float* Second;

    /// <summary>The result; may be an operand.</summary>
    public float* Result;

    /// <summary>A number, where one is needed.</summary>
    public float Number;

    internal readonly ElementwiseArguments From(long start)
    {
        ElementwiseArguments rest = this;
        rest.Count = Count - start;
        rest.First = First + start;
        rest.Second = Second is null ? null : Second + start;
        rest.Result = Result + start;
        return rest;
    }
}

/// <summary>Functions of one or two arrays.</summary>
public static unsafe class ElementwiseFunctions
{
    /// <summary>exp, log, tanh, sigmoid of an array (Result = f(First)).</summary>
    public static readonly Kernel<ElementwiseArguments> ExpKernel = Of<ExpFunction>("elementwise.exp"),
        LogKernel = Of<LogFunction>("elementwise.log"),
        TanhKernel = Of<TanhFunction>("elementwise.tanh"),
        SigmoidKernel = Of<SigmoidFunction>("elementwise.sigmoid");

    /// <summary>Result = First + Second; First Second; First Number; First + Number Second (fused); First with tiny values as +0; First limited to +-Number.</summary>
    public static readonly Kernel<ElementwiseArguments> AddKernel = Of<AddFunction>("elementwise.add"),
        MultiplyKernel = Of<MultiplyFunction>("elementwise.multiply"),
        ScaleKernel = Of<ScaleFunction>("elementwise.scale"),
        AddScaledKernel = Of<AddScaledFunction>("elementwise.add-scaled"),
        FlushKernel = Of<FlushFunction>("elementwise.flush"),
        ClampKernel = Of<ClampFunction>("elementwise.clamp");

    private static readonly Kernel<ElementwiseArguments>[] forward =
    [
        Of<ActivationForward<IdentityActivation>>("activation.forward-identity"), Of<ActivationForward<TanhActivation>>("activation.forward-tanh"),
        Of<ActivationForward<ReluActivation>>("activation.forward-relu"), Of<ActivationForward<SigmoidActivation>>("activation.forward-sigmoid"),
    ];

    private static readonly Kernel<ElementwiseArguments>[] backward =
    [
        Of<ActivationBackward<IdentityActivation>>("activation.backward-identity"), Of<ActivationBackward<TanhActivation>>("activation.backward-tanh"),
        Of<ActivationBackward<ReluActivation>>("activation.backward-relu"), Of<ActivationBackward<SigmoidActivation>>("activation.backward-sigmoid"),
    ];

    /// <summary>All kernels of this file.</summary>
    public static IReadOnlyList<Kernel<ElementwiseArguments>> Kernels { get; } =
        [ExpKernel, LogKernel, TanhKernel, SigmoidKernel, AddKernel, MultiplyKernel, ScaleKernel, AddScaledKernel, FlushKernel, ClampKernel, .. forward, .. backward];

    /// <summary>result = a + b.</summary>
    public static void Add(long count, float* a, float* b, float* result) => AddKernel.Run(new() { Count = count, First = a, Second = b, Result = result });

    /// <summary>result = a b.</summary>
    public static void Multiply(long count, float* a, float* b, float* result) => MultiplyKernel.Run(new() { Count = count, First = a, Second = b, Result = result });

    /// <summary>result = a x <paramref name="number"/>.</summary>
    public static void Scale(long count, float* a, float number, float* result) => ScaleKernel.Run(new() { Count = count, First = a, Number = number, Result = result });

    /// <summary>result = a + <paramref name="number"/> b, rounded once.</summary>
    public static void AddScaled(long count, float* a, float number, float* b, float* result) => AddScaledKernel.Run(new() { Count = count, First = a, Second = b, Number = number, Result = result });

    /// <summary>result = a, with values below 2^-100 in magnitude as +0.</summary>
    public static void Flush(long count, float* a, float* result) => FlushKernel.Run(new() { Count = count, First = a, Result = result });

    /// <summary>result = a limited to [-limit, limit]; NaN stays NaN.</summary>
    public static void Clamp(long count, float* a, float limit, float* result) => ClampKernel.Run(new() { Count = count, First = a, Number = limit, Result = result });

    /// <summary>y = activation(x), tiny values as +0; y may be x.</summary>
    public static void Forward(Activation activation, long count, float* x, float* y) => forward[(int)activation].Run(new() { Count = count, First = x, Result = y });

    /// <summary>dx = dy activation'(x), from the activation's value y, tiny values as +0; dx may be dy.</summary>
    public static void Backward(Activation activation, long count, float* y, float* dy, float* dx) => backward[(int)activation].Run(new() { Count = count, First = y, Second = dy, Result = dx });

    private static Kernel<ElementwiseArguments> Of<F>(string name)
        where F : struct, IElementFunction => new(name, &Reference<F>, &Vectors<Lanes4, F>, &Vectors<Lanes8, F>, &Vectors<Lanes16, F>);

    private static void Reference<F>(ElementwiseArguments* a)
        where F : struct, IElementFunction
    {
        for (long i = 0; i < a->Count; i++)
        {
            a->Result[i] = F.Apply(a->First[i], F.IsBinary ? a->Second[i] : 0f, a->Number);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Vectors<V, F>(ElementwiseArguments* a)
        where V : struct, ILanes<V>
        where F : struct, IElementFunction
    {
        V number = V.Broadcast(a->Number);
        long i = 0;
        for (; i <= a->Count - V.Width; i += V.Width)
        {
            V second = F.IsBinary ? V.Load(a->Second + i) : number;
            F.Apply(V.Load(a->First + i), second, number).Store(a->Result + i);
        }

        if (i < a->Count)
        {
            // What does not fill a vector goes through one on the stack.
            float* first = stackalloc float[16], second = stackalloc float[16];
            for (long rest = i; rest < a->Count; rest++)
            {
                first[rest - i] = a->First[rest];
                second[rest - i] = F.IsBinary ? a->Second[rest] : 0f;
            }

            F.Apply(V.Load(first), F.IsBinary ? V.Load(second) : number, number).Store(first);
            for (long rest = i; rest < a->Count; rest++)
            {
                a->Result[rest] = first[rest - i];
            }
        }
    }
}
