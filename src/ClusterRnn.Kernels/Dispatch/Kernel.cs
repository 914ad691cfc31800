namespace ClusterRnn.Kernels.Dispatch;

/// <summary>A kernel: one computation with a variant for each instruction set, all giving the same bits.</summary>
public abstract class Kernel
{
    private protected Kernel(string name) => Name = name;

    /// <summary>What it computes, as <c>room.kernel</c>.</summary>
    public string Name { get; }

    /// <summary>Whether there is a variant of its own for <paramref name="set"/>.</summary>
    public abstract bool Has(InstructionSet set);

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>A kernel whose operands are <typeparamref name="TArguments"/>.</summary>
/// <typeparam name="TArguments">Pointers and sizes.</typeparam>
public sealed unsafe class Kernel<TArguments> : Kernel
    where TArguments : unmanaged
{
    private readonly delegate*<TArguments*, void>[] variants;
    private readonly delegate*<TArguments*, void> current;
    private readonly bool[] own = new bool[InstructionSets.Count];

    /// <summary>A kernel with these variants; a missing one (null) is served by the next slower.</summary>
    public Kernel(string name, delegate*<TArguments*, void> scalar, delegate*<TArguments*, void> vector128, delegate*<TArguments*, void> avx2, delegate*<TArguments*, void> avx512)
        : base(name)
    {
        variants = [scalar, vector128, avx2, avx512];
        for (int i = 0; i < variants.Length; i++)
        {
            own[i] = variants[i] != null;
            variants[i] = own[i] ? variants[i] : variants[i - 1];
        }

        current = variants[(int)InstructionSets.Current];
    }

    /// <inheritdoc/>
    public override bool Has(InstructionSet set) => own[(int)set];

    internal delegate*<TArguments*, void> Variant(InstructionSet set) => variants[(int)set];

    /// <summary>Runs the variant this process uses.</summary>
    public void Run(TArguments arguments) => current(&arguments);

    /// <summary>Runs the variant for <paramref name="set"/>, which the machine must support.</summary>
    public void Run(InstructionSet set, TArguments arguments) => variants[(int)set](&arguments);
}
