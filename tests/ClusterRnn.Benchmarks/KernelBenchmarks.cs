// Every kernel of the registry with every variant this machine can execute:
//     dotnet run -c Release --project tests/ClusterRnn.Benchmarks -- --filter '*KernelBenchmarks*'
// The tests run the same entries against their reference (tests/ClusterRnn.Tests/Kernels/KernelVariantTests.cs).
using BenchmarkDotNet.Attributes;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Benchmarks;

/// <summary>Times the kernels of the registry, one variant at a time.</summary>
[ShortRunJob]
public unsafe class KernelBenchmarks
{
    private readonly List<NativeBuffer<float>> operands = [];
    private nint[] addresses = [];
    private KernelEntry entry = KernelRegistry.All[0];

    /// <summary>The kernel's name.</summary>
    [ParamsSource(nameof(Names))]
    public string Kernel { get; set; } = "";

    /// <summary>The variant.</summary>
    [ParamsSource(nameof(Variants))]
    public InstructionSet Set { get; set; }

    /// <summary>All kernels.</summary>
    public static IEnumerable<string> Names => KernelRegistry.All.Select(e => e.Kernel.Name);

    /// <summary>The variants this machine can execute.</summary>
    public static IEnumerable<InstructionSet> Variants => InstructionSets.Supported;

    /// <summary>Sizes at which operands stay in L2, as in training.</summary>
    public static KernelShape Shape => new(32, 256, 256);

    /// <summary>Fills the operands with numbers of a sensible size; integers are 0.</summary>
    [GlobalSetup]
    public void Fill()
    {
        entry = KernelRegistry.All.Single(e => e.Kernel.Name == Kernel);
        var random = new Random(1);
        foreach (KernelOperand operand in entry.Operands)
        {
            var buffer = new NativeBuffer<float>(Math.Max(1, operand.Count(Shape)) * (operand.Kind == OperandKind.Doubles ? 2 : 1));
            if (operand.Kind is OperandKind.Floats or OperandKind.Magnitudes or OperandKind.Shares)
            {
                for (long i = 0; i < buffer.Length; i++)
                {
                    buffer[i] = random.NextSingle();
                }
            }

            operands.Add(buffer);
        }

        addresses = [.. operands.Select(o => (nint)o.Pointer)];
    }

    /// <summary>Frees the operands.</summary>
    [GlobalCleanup]
    public void Free()
    {
        operands.ForEach(o => o.Dispose());
        operands.Clear();
    }

    /// <summary>One run.</summary>
    [Benchmark]
    public void Run() => entry.Run(Set, Shape, addresses);
}
