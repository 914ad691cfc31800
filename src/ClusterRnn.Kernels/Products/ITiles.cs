namespace ClusterRnn.Kernels.Products;

// What an instruction set brings to the product: its register-blocked inner loops and its way to rearrange rows of A.
internal unsafe interface ITiles
{
    // The most rows of a tile.
    static abstract int Rows { get; }

    // Columns of a panel: two vectors.
    static abstract int PanelWidth { get; }

    // How many columns a tile works on that is asked for this many, at most a panel's.
    static abstract int Covered(int columns);

    // The loop over k for a tile of this many rows and columns of a panel: (k, a, b, s, lds, c, ldc).
    static abstract delegate*<nint, float*, float*, float*, nint, float*, nint, void> Tile(int rows, int columns);

    // target[i * stride + r] = source[r * lds + i] for r < rows <= 16, i < k. May write up to 16 floats past what it
    // means to, and may read up to the next multiple of 16 in k when padded.
    static abstract void Transpose(float* source, nint lds, int rows, int k, bool padded, float* target, nint stride);

    // Asks for the lines of a tile of this many rows and a whole panel.
    static abstract void Prefetch(float* tile, nint stride, int rows);
}
