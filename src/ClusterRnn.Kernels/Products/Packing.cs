namespace ClusterRnn.Kernels.Products;

// Copies matrices into the order in which the micro kernels read them.
internal static unsafe class Packing
{
    public static void Transposed(PackedMatrix packed, float* w, nint ldw)
    {
        int width = packed.Columns.Width, panelWidth = packed.PanelWidth, k = packed.K;
        for (int group = 0; group < packed.Columns.Count; group++)
        {
            for (int column = 0; column < width; column++)
            {
                float* source = w + (((nint)group * width) + column) * ldw;
                float* target = packed.Panel(group, column / panelWidth) + (column % panelWidth);
                for (int i = 0; i < k; i++)
                {
                    target[(nint)i * panelWidth] = source[i];
                }
            }
        }
    }

    public static void AsIs(PackedMatrix packed, float* b, nint ldb)
    {
        int width = packed.Columns.Width, panelWidth = packed.PanelWidth, k = packed.K;
        for (int group = 0; group < packed.Columns.Count; group++)
        {
            for (int panel = 0; panel < packed.PanelsPerGroup; panel++)
            {
                int first = panel * panelWidth, count = Math.Min(panelWidth, width - first);
                float* source = b + ((nint)group * width) + first;
                float* target = packed.Panel(group, panel);
                for (int i = 0; i < k; i++, source += ldb, target += panelWidth)
                {
                    new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(target, count));
                }
            }
        }
    }
}
