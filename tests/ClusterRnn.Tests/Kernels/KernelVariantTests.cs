// Every variant of every kernel against its scalar reference, bit for bit: lengths 1 to 256 and odd shapes, with NaN,
// infinities, signed zeros and subnormals, in memory that ends at a page boundary.
using System.Reflection;
using ClusterRnn.Kernels.Dispatch;

namespace ClusterRnn.Tests.Kernels;

public class KernelVariantTests
{
    public static IEnumerable<TheoryDataRow<string, InstructionSet>> Variants =>
        from entry in KernelRegistry.All
        from set in InstructionSets.Supported
        where set != InstructionSet.Scalar && entry.Kernel.Has(set)
        select new TheoryDataRow<string, InstructionSet>(entry.Kernel.Name, set);

    [Theory]
    [MemberData(nameof(Variants))]
    public void EqualsTheReferenceBitForBit(string kernel, InstructionSet set)
    {
        KernelEntry entry = KernelRegistry.All.Single(e => e.Kernel.Name == kernel);
        foreach (KernelShape shape in Shapes(kernel.StartsWith("product.", StringComparison.Ordinal)))
        {
            foreach (bool special in (bool[])[false, true])
            {
                Compare(entry, set, shape, special);
            }
        }
    }

    [Fact]
    public void EveryKernelOfTheAssemblyIsRegistered()
    {
        var registered = KernelRegistry.All.Select(e => e.Kernel).ToHashSet();
        var declared = from type in typeof(Kernel).Assembly.GetTypes()
                       where !type.ContainsGenericParameters
                       from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
                       where typeof(Kernel).IsAssignableFrom(field.FieldType) || typeof(Kernel[]).IsAssignableFrom(field.FieldType)
                       from kernel in field.GetValue(null) is Kernel[] many ? many : [(Kernel)field.GetValue(null)!]
                       select kernel;
        int count = 0;
        foreach (Kernel kernel in declared)
        {
            Assert.True(registered.Contains(kernel), $"{kernel.Name} is not in KernelRegistry.All");
            count++;
        }

        Assert.True(count >= KernelRegistry.All.Count);
        Assert.Equal(KernelRegistry.All.Count, registered.Select(k => k.Name).Distinct().Count());
    }

    [Theory]
    [InlineData("scalar", InstructionSet.Scalar)]
    [InlineData("", null)]
    public void TheEnvironmentForcesASet(string wish, InstructionSet? expected) =>
        Assert.Equal(expected ?? InstructionSets.Supported[^1], InstructionSets.Choose(wish));

    [Fact]
    public void AnUnknownSetIsRefusedWithWhatIsExpected()
    {
        var error = Assert.Throws<InvalidOperationException>(() => InstructionSets.Choose("avx9"));
        Assert.Contains("avx512", error.Message);
        Assert.Contains("avx9", error.Message);
    }

    private static IEnumerable<KernelShape> Shapes(bool product)
    {
        if (product)
        {
            int[] sizes = [1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 17, 29, 31, 32, 33, 48, 50, 63, 65];
            for (int i = 0; i < sizes.Length; i++)
            {
                for (int j = 0; j < sizes.Length; j++)
                {
                    yield return new KernelShape(sizes[i], sizes[j], sizes[(i + (5 * j)) % sizes.Length]);
                }
            }

            yield return new KernelShape(3, 5, 1100); // more than one block of k
            yield return new KernelShape(150, 40, 520); // more than one chunk of rows
            yield break;
        }

        for (int columns = 1; columns <= 256; columns++)
        {
            yield return new KernelShape(1 + (columns % 3), columns, columns);
        }

        yield return new KernelShape(17, 1025, 6);
    }

    private static unsafe void Compare(KernelEntry entry, InstructionSet set, KernelShape shape, bool special)
    {
        GuardedMemory[] expected = Operands(entry, shape, special), actual = Operands(entry, shape, special);
        try
        {
            entry.Run(InstructionSet.Scalar, shape, [.. expected.Select(m => (nint)m.Pointer)]);
            entry.Run(set, shape, [.. actual.Select(m => (nint)m.Pointer)]);
            for (int operand = 0; operand < expected.Length; operand++)
            {
                KernelOperand description = entry.Operands[operand];
                string where = $"{entry.Kernel.Name} {set} {shape} special={special}: {description.Name}";
                if (description.Kind == OperandKind.Doubles)
                {
                    AssertSame(expected[operand].Span<double>(), actual[operand].Span<double>(), where);
                }
                else
                {
                    AssertSame(expected[operand].Span<float>(), actual[operand].Span<float>(), where);
                }
            }
        }
        finally
        {
            foreach (GuardedMemory memory in expected.Concat(actual))
            {
                memory.Dispose();
            }
        }
    }

    private static void AssertSame(Span<float> expected, Span<float> actual, string where)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]) && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
            {
                Assert.Fail($"{where}[{i}]: the reference gives {expected[i]:R}, the variant {actual[i]:R}");
            }
        }
    }

    private static void AssertSame(Span<double> expected, Span<double> actual, string where)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.DoubleToInt64Bits(expected[i]) != BitConverter.DoubleToInt64Bits(actual[i]) && !(double.IsNaN(expected[i]) && double.IsNaN(actual[i])))
            {
                Assert.Fail($"{where}[{i}]: the reference gives {expected[i]:R}, the variant {actual[i]:R}");
            }
        }
    }

    private static GuardedMemory[] Operands(KernelEntry entry, KernelShape shape, bool special)
    {
        var random = new Random(shape.GetHashCode() & 0xFFFF);
        return [.. entry.Operands.Select(operand => Fill(operand, shape, special, random))];
    }

    private static GuardedMemory Fill(KernelOperand operand, KernelShape shape, bool special, Random random)
    {
        long count = operand.Count(shape);
        var memory = new GuardedMemory(count * (operand.Kind == OperandKind.Doubles ? sizeof(double) : sizeof(float)));
        switch (operand.Kind)
        {
            case OperandKind.Classes:
                Set(memory.Span<int>(), () => random.Next(-1, shape.Columns));
                break;
            case OperandKind.Doubles:
                memory.Span<double>().Clear();
                break;
            case OperandKind.Shares:
                Set(memory.Span<float>(), random.NextSingle);
                break;
            case OperandKind.Magnitudes:
                Set(memory.Span<float>(), () => Math.Abs(Number(random, special)));
                break;
            default:
                Set(memory.Span<float>(), () => Number(random, special));
                break;
        }

        return memory;
    }

    private static void Set<T>(Span<T> span, Func<T> next)
    {
        for (int i = 0; i < span.Length; i++)
        {
            span[i] = next();
        }
    }

    private static float Number(Random random, bool special)
    {
        float plain = ((random.NextSingle() * 2) - 1) * (random.Next(4) == 0 ? 20 : 1);
        return !special
            ? plain
            : random.Next(12) switch
            {
                0 => float.NaN,
                1 => float.PositiveInfinity,
                2 => float.NegativeInfinity,
                3 => 0f,
                4 => -0f,
                5 => float.Epsilon * random.Next(1, 1000),
                6 => plain * 1e-38f,
                7 => plain * 1e-31f,
                8 => plain * 1e30f,
                _ => plain,
            };
    }
}
