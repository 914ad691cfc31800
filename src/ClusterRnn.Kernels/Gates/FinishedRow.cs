namespace ClusterRnn.Kernels.Gates;

// What a row whose length is reached does at a further time step: nothing.
internal static unsafe class FinishedRow
{
    // The state stays as it was; the gates are +0, so that they add nothing wherever they are summed.
    public static void KeepState(GateArguments* a, int row, int gates, bool hasCell)
    {
        ClearGates(a, row, gates);
        nint at = ((nint)row * a->Stride) + a->FirstUnit;
        int units = a->EndUnit - a->FirstUnit;
        new ReadOnlySpan<float>(a->HiddenBefore + at, units).CopyTo(new Span<float>(a->Hidden + at, units));
        if (hasCell)
        {
            new ReadOnlySpan<float>(a->CellBefore + at, units).CopyTo(new Span<float>(a->Cell + at, units));
        }
    }

    // The state's gradient goes on to the step before.
    public static void PassGradient(GateArguments* a, int row, int gates)
    {
        ClearGates(a, row, gates);
        if (a->GradientAbove is not null)
        {
            nint at = (nint)row * a->Stride;
            for (nint unit = a->FirstUnit; unit < a->EndUnit; unit++)
            {
                a->HiddenGradient[at + unit] += a->GradientAbove[at + unit];
            }
        }
    }

    private static void ClearGates(GateArguments* a, int row, int gates)
    {
        for (int gate = 0; gate < gates; gate++)
        {
            float* first = a->Gates + ((nint)row * a->GateStride) + ((nint)gate * a->Stride) + a->FirstUnit;
            new Span<float>(first, a->EndUnit - a->FirstUnit).Clear();
        }
    }
}
