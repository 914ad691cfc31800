namespace ClusterRnn.Kernels.Dispatch;

/// <summary>The size of one run of a kernel: what the three numbers mean is up to the kernel; elementwise ones use Columns alone.</summary>
/// <param name="Rows">M, the batch rows.</param>
/// <param name="Columns">N, the units or the elements.</param>
/// <param name="Depth">K.</param>
public readonly record struct KernelShape(int Rows, int Columns, int Depth);

/// <summary>What an operand's elements are, and which values make sense in it.</summary>
public enum OperandKind
{
    /// <summary>Floats of any kind, NaN and infinities included.</summary>
    Floats,

    /// <summary>Floats that are not negative (second moments).</summary>
    Magnitudes,

    /// <summary>Floats in [0, 1] (gates, targets of yes-no outputs).</summary>
    Shares,

    /// <summary>Doubles.</summary>
    Doubles,

    /// <summary>Integers in [-1, Columns): class ids, -1 for none.</summary>
    Classes,
}

/// <summary>An operand of a kernel's run.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Kind">What its elements are.</param>
/// <param name="Count">How many elements a shape needs.</param>
public sealed record KernelOperand(string Name, OperandKind Kind, Func<KernelShape, long> Count);

/// <summary>A kernel with a way to run it alone: tests compare its variants, benchmarks time them.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Operands">Its operands.</param>
/// <param name="Operations">Arithmetic operations of a run, for a rate.</param>
/// <param name="Run">Runs the variant on operands at these addresses.</param>
public sealed record KernelEntry(Kernel Kernel, IReadOnlyList<KernelOperand> Operands, Func<KernelShape, double> Operations, Action<InstructionSet, KernelShape, nint[]> Run)
{
    /// <inheritdoc/>
    public override string ToString() => Kernel.Name;
}
