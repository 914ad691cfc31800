using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Kernels.Products;

/// <summary>Scratch memory of one computing thread for products and weight gradients. Nothing in it outlives a call.</summary>
public sealed unsafe class Workspace
{
    /// <summary>Floats for rows of A, rearranged.</summary>
    internal const long LeftFloats = 1 << 18;

    /// <summary>Floats for tiles of C.</summary>
    internal const long TileFloats = 1 << 19;

    /// <summary>Takes the room from <paramref name="arena"/>.</summary>
    /// <param name="arena">Where the scratch lives.</param>
    /// <param name="cells">The most rows (time x batch rows) over which a weight gradient sums.</param>
    /// <param name="width">The widest right operand of a weight gradient. With room for all cells it is rearranged once; without, it still works, slower.</param>
    public Workspace(Arena arena, long cells = 0, int width = 0)
    {
        ArgumentNullException.ThrowIfNull(arena);
        RightFloats = Math.Clamp(cells * ((width + 31) & ~31), 1 << 20, 1 << 25);
        Left = arena.Floats(LeftFloats);
        Right = arena.Floats(RightFloats);
        Tile = arena.Floats(TileFloats);
        Sum = arena.Floats(512);
        Zeros = arena.Floats(64);
    }

    internal float* Left { get; }

    internal float* Right { get; }

    // Floats for rows of B, rearranged.
    internal long RightFloats { get; }

    internal float* Tile { get; }

    // One tile that is added elsewhere.
    internal float* Sum { get; }

    // Never written.
    internal float* Zeros { get; }
}
