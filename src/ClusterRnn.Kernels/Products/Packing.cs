// Copies matrices into the order in which the tiles read them.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClusterRnn.Kernels.Dispatch;

namespace ClusterRnn.Kernels.Products;

/// <summary>The operands of packing: B[k, n] of one column group into its panels.</summary>
internal unsafe struct PackingArguments
{
    public float* Source; // transposed: [Columns, K]; else [K, Columns]
    public nint SourceStride;
    public int K;
    public int Columns;
    public float* Panels; // [panels, PanelStride]: panel p holds [K, panel width]
    public long PanelStride;
}

internal static unsafe class Packing
{
    /// <summary>B = source transposed.</summary>
    public static readonly Kernel<PackingArguments> TransposedKernel = new("product.pack-transposed", &TransposedReference, &Transposed<Vector128Tiles>, &Transposed<Avx2Tiles>, &Transposed<Avx512Tiles>);

    /// <summary>B = source.</summary>
    public static readonly Kernel<PackingArguments> PlainKernel = new("product.pack", &PlainReference, &Plain<Vector128Tiles>, &Plain<Avx2Tiles>, &Plain<Avx512Tiles>);

    private static void TransposedReference(PackingArguments* a)
    {
        int panelWidth = PackedMatrix.PanelWidthOf(InstructionSet.Scalar);
        for (int column = 0; column < a->Columns; column++)
        {
            float* source = a->Source + (column * a->SourceStride), target = a->Panels + (column / panelWidth * a->PanelStride) + (column % panelWidth);
            for (nint i = 0; i < a->K; i++)
            {
                target[i * panelWidth] = source[i];
            }
        }
    }

    public static void Transposed<T>(PackingArguments* a)
        where T : struct, ITiles
    {
        int step = Math.Min(16, T.PanelWidth);
        for (int column = 0; column < a->Columns; column += step)
        {
            int rows = Math.Min(step, a->Columns - column);
            float* target = a->Panels + (column / T.PanelWidth * a->PanelStride) + (column % T.PanelWidth);
            T.Transpose(a->Source + (column * a->SourceStride), a->SourceStride, rows, a->K, false, target, T.PanelWidth);
            if (rows < step)
            {
                // The transposition repeats the last row in the lanes that have none.
                for (nint i = 0; i < a->K; i++)
                {
                    new Span<float>(target + (i * T.PanelWidth) + rows, step - rows).Clear();
                }
            }
        }
    }

    private static void PlainReference(PackingArguments* a) => PlainPanels(a, PackedMatrix.PanelWidthOf(InstructionSet.Scalar));

    private static void PlainPanels(PackingArguments* a, int panelWidth)
    {
        for (int column = 0; column < a->Columns; column += panelWidth)
        {
            int count = Math.Min(panelWidth, a->Columns - column);
            float* source = a->Source + column, target = a->Panels + (column / panelWidth * a->PanelStride);
            for (int i = 0; i < a->K; i++, source += a->SourceStride, target += panelWidth)
            {
                CopyRow(source, target, count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Plain<T>(PackingArguments* a)
        where T : struct, ITiles => PlainPanels(a, T.PanelWidth);

    /// <summary>target[0..count) = source, in lines of 16 where they fit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CopyRow(float* source, float* target, int count)
    {
        int i = 0;
        for (; i <= count - 16; i += 16)
        {
            *(Line*)(target + i) = *(Line*)(source + i);
        }

        for (; i < count; i++)
        {
            target[i] = source[i];
        }
    }

    // Assigned as a whole it is moved by the widest registers there are.
    [StructLayout(LayoutKind.Sequential, Size = 64)]
    private struct Line
    {
        private fixed float values[16];
    }
}
