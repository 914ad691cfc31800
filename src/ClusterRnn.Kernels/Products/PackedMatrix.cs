using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Kernels.Products;

/// <summary>
/// The right operand B of a product, rearranged once and used many times: for each column group, panels of
/// <see cref="PanelWidth"/> columns, each K rows deep, so that a micro kernel reads it from front to end. It also knows how K
/// lies in the rows of A (gates with padding between them are skipped) and how N lies in the rows of C, and holds the bias
/// from which the chains may start.
/// </summary>
public sealed unsafe class PackedMatrix
{
    private readonly float* panels; // [groups, panels of a group, K, PanelWidth]
    private readonly float* bias; // [groups, panels of a group x PanelWidth]

    /// <summary>Takes the room from <paramref name="arena"/>.</summary>
    /// <param name="arena">Where the panels live.</param>
    /// <param name="inner">How the K values of one row lie in A.</param>
    /// <param name="columns">How the N values of one row lie in C.</param>
    /// <param name="set">The instruction set; by default the current one.</param>
    public PackedMatrix(Arena arena, ColumnGroups inner, ColumnGroups columns, InstructionSet? set = null)
    {
        ArgumentNullException.ThrowIfNull(arena);
        ArgumentOutOfRangeException.ThrowIfLessThan(inner.Total, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(columns.Total, 1);
        Inner = inner;
        Columns = columns;
        Set = set ?? InstructionSets.Current;
        PanelWidth = PanelWidthOf(Set);
        PanelsPerGroup = (columns.Reach + PanelWidth - 1) / PanelWidth;
        PanelStride = (long)inner.Total * PanelWidth;
        panels = arena.Floats(columns.Count * PanelsPerGroup * PanelStride);
        bias = arena.Floats((long)columns.Count * PanelsPerGroup * PanelWidth);
    }

    /// <summary>How K lies in the rows of A.</summary>
    public ColumnGroups Inner { get; }

    /// <summary>How N lies in the rows of C.</summary>
    public ColumnGroups Columns { get; }

    /// <summary>The instruction set whose micro kernels read the panels.</summary>
    public InstructionSet Set { get; }

    /// <summary>K: rows of B.</summary>
    public int K => Inner.Total;

    /// <summary>Columns of a panel.</summary>
    public int PanelWidth { get; }

    /// <summary>Panels of one column group; the last one is filled up with +0.</summary>
    public int PanelsPerGroup { get; }

    /// <summary>Floats from one panel to the next.</summary>
    public long PanelStride { get; }

    /// <summary>Panel <paramref name="panel"/> of group <paramref name="group"/>: [K, PanelWidth].</summary>
    public float* Panel(int group, int panel) => panels + ((((long)group * PanelsPerGroup) + panel) * PanelStride);

    /// <summary>The bias under panel <paramref name="panel"/> of group <paramref name="group"/>: [PanelWidth].</summary>
    public float* Bias(int group, int panel) => bias + ((((long)group * PanelsPerGroup) + panel) * PanelWidth);

    /// <summary>Packs B = Wᵀ: column n of B is row n of <paramref name="w"/> (PyTorch's weight [out, in]).</summary>
    /// <param name="w">[N, K], rows <paramref name="ldw"/> apart.</param>
    /// <param name="ldw">Floats from one row to the next.</param>
    public void PackTransposed(float* w, nint ldw)
    {
        for (int group = 0; group < Columns.Count; group++)
        {
            Packing.TransposedKernel.Run(Set, Arguments(group, w + (group * Columns.Width * ldw), ldw));
        }
    }

    /// <summary>Packs B as it stands.</summary>
    /// <param name="b">[K, N], rows <paramref name="ldb"/> apart.</param>
    /// <param name="ldb">Floats from one row to the next.</param>
    public void Pack(float* b, nint ldb)
    {
        for (int group = 0; group < Columns.Count; group++)
        {
            Packing.PlainKernel.Run(Set, Arguments(group, b + (group * Columns.Width), ldb));
        }
    }

    /// <summary>Writes B as it was before packing.</summary>
    /// <param name="b">[K, N], rows <paramref name="ldb"/> apart.</param>
    /// <param name="ldb">Floats from one row to the next.</param>
    public void Unpack(float* b, nint ldb)
    {
        for (int column = 0; column < Columns.Total; column++)
        {
            int within = column % Columns.Width;
            float* source = Panel(column / Columns.Width, within / PanelWidth) + (within % PanelWidth);
            for (int k = 0; k < K; k++)
            {
                b[(k * ldb) + column] = source[(nint)k * PanelWidth];
            }
        }
    }

    /// <summary>Sets the bias of one group: <paramref name="first"/>, or <paramref name="first"/> + <paramref name="second"/>, each [Columns.Width].</summary>
    public void SetBias(int group, float* first, float* second = null)
    {
        float* target = Bias(group, 0);
        for (int i = 0; i < Columns.Width; i++)
        {
            target[i] = second is null ? first[i] : first[i] + second[i];
        }
    }

    /// <summary>Sets the bias of all groups from [Count x Width] dense values: <paramref name="first"/>, or <paramref name="first"/> + <paramref name="second"/>.</summary>
    public void SetBias(float* first, float* second = null)
    {
        for (int group = 0; group < Columns.Count; group++)
        {
            SetBias(group, first + ((long)group * Columns.Width), second is null ? null : second + ((long)group * Columns.Width));
        }
    }

    internal static int PanelWidthOf(InstructionSet set) => set switch
    {
        InstructionSet.Avx512 => 32,
        InstructionSet.Avx2 => 16,
        _ => 8,
    };

    private PackingArguments Arguments(int group, float* source, nint stride) => new()
    {
        Source = source,
        SourceStride = stride,
        K = K,
        Columns = Columns.Width,
        Panels = Panel(group, 0),
        PanelStride = PanelStride,
    };
}
