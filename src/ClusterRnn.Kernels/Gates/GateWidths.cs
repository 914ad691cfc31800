namespace ClusterRnn.Kernels.Gates;

// Cuts the units of a tile into what the vectors of a kernel are wide: pairs of vectors first, whose chains fill each
// other's waits, then one vector, then half of one, so that few lanes are computed that nobody reads.
internal static unsafe class GateWidths
{
    public static void Run(GateArguments* a, int width, delegate*<GateArguments*, void> pair, delegate*<GateArguments*, void> whole, delegate*<GateArguments*, void> half)
    {
        int units = a->EndUnit - a->FirstUnit, paired = units / (2 * width) * 2 * width, rest = units - paired;
        if (paired > 0)
        {
            Part(a, a->FirstUnit, a->FirstUnit + paired, pair);
        }

        if (rest >= width)
        {
            Part(a, a->FirstUnit + paired, a->FirstUnit + paired + width, whole);
            paired += width;
            rest -= width;
        }

        if (rest > 0)
        {
            Part(a, a->FirstUnit + paired, a->EndUnit, half);
        }
    }

    private static void Part(GateArguments* a, int first, int end, delegate*<GateArguments*, void> kernel)
    {
        GateArguments part = *a;
        part.FirstUnit = first;
        part.EndUnit = end;
        kernel(&part);
    }
}
