namespace ClusterRnn.Kernels.Products;

/// <summary>
/// Where columns lie in the rows of a matrix: <see cref="Count"/> groups (the gates) of <see cref="Width"/> columns each, group g
/// from column <see cref="Offset"/>(g). A product sees the groups as one dense range of Count x Width columns.
/// </summary>
/// <param name="Count">Groups, 1 to 4.</param>
/// <param name="Width">Columns of a group.</param>
/// <param name="IsPadded">Whether each group has room up to the next multiple of 16, which may be read and overwritten with finite values.</param>
/// <param name="Offset0">First column of group 0.</param>
/// <param name="Offset1">First column of group 1.</param>
/// <param name="Offset2">First column of group 2.</param>
/// <param name="Offset3">First column of group 3.</param>
public readonly record struct ColumnGroups(int Count, int Width, bool IsPadded, int Offset0 = 0, int Offset1 = 0, int Offset2 = 0, int Offset3 = 0)
{
    /// <summary>All columns: Count x Width.</summary>
    public int Total => Count * Width;

    /// <summary>The columns that a product writes in a group: Width, rounded up to 8 when padded (half a vector costs half where it is widest).</summary>
    public int Reach => IsPadded ? (Width + 7) & ~7 : Width;

    /// <summary>The columns that may be read in a group: Width, rounded up to 16 when padded.</summary>
    public int Room => IsPadded ? Pad(Width) : Width;

    /// <summary><paramref name="width"/> rounded up to a multiple of 16.</summary>
    public static int Pad(int width) => (width + 15) & ~15;

    /// <summary>A dense matrix of <paramref name="width"/> columns whose rows end there.</summary>
    public static ColumnGroups Dense(int width) => new(1, width, false);

    /// <summary>One feature-padded group of <paramref name="width"/> columns.</summary>
    public static ColumnGroups Padded(int width) => new(1, width, true);

    /// <summary><paramref name="count"/> feature-padded gates of <paramref name="width"/> units one after the other: gate g from column g x Pad(width).</summary>
    public static ColumnGroups Gates(int count, int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 4);
        int padded = Pad(width);
        return new ColumnGroups(count, width, true, 0, padded, 2 * padded, 3 * padded);
    }

    /// <summary>The first column of group <paramref name="group"/>.</summary>
    public int Offset(int group) => group switch { 0 => Offset0, 1 => Offset1, 2 => Offset2, _ => Offset3 };
}
