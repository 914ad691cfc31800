using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Kernels.Products;

/// <summary>Scratch memory of one computing thread for products and weight gradients. Nothing in it outlives a call.</summary>
public sealed unsafe class Workspace
{
    /// <summary>Floats for rows of A, rearranged.</summary>
    internal const long LeftFloats = 1 << 18;

    /// <summary>Floats for rows of B, rearranged.</summary>
    internal const long RightFloats = 1 << 20;

    /// <summary>Floats for tiles of C.</summary>
    internal const long TileFloats = 1 << 19;

    /// <summary>Takes the room from <paramref name="arena"/>.</summary>
    public Workspace(Arena arena)
    {
        ArgumentNullException.ThrowIfNull(arena);
        Left = arena.Floats(LeftFloats);
        Right = arena.Floats(RightFloats);
        Tile = arena.Floats(TileFloats);
        Zeros = arena.Floats(64);
    }

    internal float* Left { get; }

    internal float* Right { get; }

    internal float* Tile { get; }

    // Never written.
    internal float* Zeros { get; }
}
