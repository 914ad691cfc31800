// The hand-written half of the tiles: how rows are transposed into the order in which the inner loops read them.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ClusterRnn.Kernels.Products;

internal readonly unsafe partial struct Avx512Tiles : ITiles
{
    public static int Rows => 14;

    public static int PanelWidth => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Covered(int columns) => (columns + 7) & ~7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static delegate*<nint, float*, float*, float*, nint, float*, nint, void> Tile(int rows, int columns) => tiles[(((columns - 1) >> 3) * 15) + rows];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(float* tile, nint stride, int rows)
    {
        for (; rows > 0; rows--, tile += stride)
        {
            Sse.Prefetch0(tile);
            Sse.Prefetch0(tile + 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* source, nint lds, int rows, int k, bool padded, float* target, nint stride)
    {
        int last = rows - 1;
        int whole = padded ? (k + 15) & ~15 : k & ~15;
        float* s0 = source, s1 = source + (lds * Math.Min(1, last)), s2 = source + (lds * Math.Min(2, last)), s3 = source + (lds * Math.Min(3, last));
        float* s4 = source + (lds * Math.Min(4, last)), s5 = source + (lds * Math.Min(5, last)), s6 = source + (lds * Math.Min(6, last)), s7 = source + (lds * Math.Min(7, last));
        float* s8 = source + (lds * Math.Min(8, last)), s9 = source + (lds * Math.Min(9, last)), sa = source + (lds * Math.Min(10, last)), sb = source + (lds * Math.Min(11, last));
        float* sc = source + (lds * Math.Min(12, last)), sd = source + (lds * Math.Min(13, last)), se = source + (lds * Math.Min(14, last)), sf = source + (lds * Math.Min(15, last));
        for (int i = 0; i < whole; i += 16)
        {
            Quarter(Avx512F.LoadVector512(s0 + i), Avx512F.LoadVector512(s1 + i), Avx512F.LoadVector512(s2 + i), Avx512F.LoadVector512(s3 + i), out var a0, out var a1, out var a2, out var a3);
            Quarter(Avx512F.LoadVector512(s4 + i), Avx512F.LoadVector512(s5 + i), Avx512F.LoadVector512(s6 + i), Avx512F.LoadVector512(s7 + i), out var b0, out var b1, out var b2, out var b3);
            Quarter(Avx512F.LoadVector512(s8 + i), Avx512F.LoadVector512(s9 + i), Avx512F.LoadVector512(sa + i), Avx512F.LoadVector512(sb + i), out var c0, out var c1, out var c2, out var c3);
            Quarter(Avx512F.LoadVector512(sc + i), Avx512F.LoadVector512(sd + i), Avx512F.LoadVector512(se + i), Avx512F.LoadVector512(sf + i), out var d0, out var d1, out var d2, out var d3);
            Join(a0, b0, c0, d0, out var t0, out var t4, out var t8, out var tc);
            Join(a1, b1, c1, d1, out var t1, out var t5, out var t9, out var td);
            Join(a2, b2, c2, d2, out var t2, out var t6, out var ta, out var te);
            Join(a3, b3, c3, d3, out var t3, out var t7, out var tb, out var tf);
            float* at = target + (i * stride);
            Avx512F.Store(at, t0);
            Avx512F.Store(at += stride, t1);
            Avx512F.Store(at += stride, t2);
            Avx512F.Store(at += stride, t3);
            Avx512F.Store(at += stride, t4);
            Avx512F.Store(at += stride, t5);
            Avx512F.Store(at += stride, t6);
            Avx512F.Store(at += stride, t7);
            Avx512F.Store(at += stride, t8);
            Avx512F.Store(at += stride, t9);
            Avx512F.Store(at += stride, ta);
            Avx512F.Store(at += stride, tb);
            Avx512F.Store(at += stride, tc);
            Avx512F.Store(at += stride, td);
            Avx512F.Store(at += stride, te);
            Avx512F.Store(at + stride, tf);
        }

        for (int i = whole; i < k; i++)
        {
            for (int row = 0; row < rows; row++)
            {
                target[(i * stride) + row] = source[(row * lds) + i];
            }
        }
    }

    // Transposes 4 x 4 blocks: of rows r0..r3, oj holds in its 128-bit lane l the column 4 l + j.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quarter(Vector512<float> r0, Vector512<float> r1, Vector512<float> r2, Vector512<float> r3, out Vector512<float> o0, out Vector512<float> o1, out Vector512<float> o2, out Vector512<float> o3)
    {
        var low01 = Avx512F.UnpackLow(r0, r1).AsDouble();
        var low23 = Avx512F.UnpackLow(r2, r3).AsDouble();
        var high01 = Avx512F.UnpackHigh(r0, r1).AsDouble();
        var high23 = Avx512F.UnpackHigh(r2, r3).AsDouble();
        o0 = Avx512F.UnpackLow(low01, low23).AsSingle();
        o1 = Avx512F.UnpackHigh(low01, low23).AsSingle();
        o2 = Avx512F.UnpackLow(high01, high23).AsSingle();
        o3 = Avx512F.UnpackHigh(high01, high23).AsSingle();
    }

    // a, b, c, d hold rows 0-3, 4-7, 8-11, 12-15 of columns j, j + 4, j + 8, j + 12 in their lanes; oi holds one column.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Join(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d, out Vector512<float> o0, out Vector512<float> o1, out Vector512<float> o2, out Vector512<float> o3)
    {
        var low01 = Avx512F.Shuffle4x128(a, b, 0x44);
        var high01 = Avx512F.Shuffle4x128(a, b, 0xEE);
        var low23 = Avx512F.Shuffle4x128(c, d, 0x44);
        var high23 = Avx512F.Shuffle4x128(c, d, 0xEE);
        o0 = Avx512F.Shuffle4x128(low01, low23, 0x88);
        o1 = Avx512F.Shuffle4x128(low01, low23, 0xDD);
        o2 = Avx512F.Shuffle4x128(high01, high23, 0x88);
        o3 = Avx512F.Shuffle4x128(high01, high23, 0xDD);
    }
}

internal readonly unsafe partial struct Avx2Tiles : ITiles
{
    public static int Rows => 6;

    public static int PanelWidth => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Covered(int columns) => (columns + 7) & ~7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static delegate*<nint, float*, float*, float*, nint, float*, nint, void> Tile(int rows, int columns) => tiles[(((columns - 1) >> 3) * 7) + rows];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(float* tile, nint stride, int rows)
    {
        for (; rows > 0; rows--, tile += stride)
        {
            Sse.Prefetch0(tile);
            Sse.Prefetch0(tile + 15);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* source, nint lds, int rows, int k, bool padded, float* target, nint stride)
    {
        for (; rows > 0; rows -= 8, source += 8 * lds, target += 8)
        {
            Transpose8(source, lds, Math.Min(rows, 8), k, padded, target, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose8(float* source, nint lds, int rows, int k, bool padded, float* target, nint stride)
    {
        int last = rows - 1;
        int whole = padded ? (k + 7) & ~7 : k & ~7;
        float* s0 = source, s1 = source + (lds * Math.Min(1, last)), s2 = source + (lds * Math.Min(2, last)), s3 = source + (lds * Math.Min(3, last));
        float* s4 = source + (lds * Math.Min(4, last)), s5 = source + (lds * Math.Min(5, last)), s6 = source + (lds * Math.Min(6, last)), s7 = source + (lds * Math.Min(7, last));
        for (int i = 0; i < whole; i += 8)
        {
            Quarter(Avx.LoadVector256(s0 + i), Avx.LoadVector256(s1 + i), Avx.LoadVector256(s2 + i), Avx.LoadVector256(s3 + i), out var a0, out var a1, out var a2, out var a3);
            Quarter(Avx.LoadVector256(s4 + i), Avx.LoadVector256(s5 + i), Avx.LoadVector256(s6 + i), Avx.LoadVector256(s7 + i), out var b0, out var b1, out var b2, out var b3);
            float* at = target + (i * stride);
            Avx.Store(at, Avx.Permute2x128(a0, b0, 0x20));
            Avx.Store(at += stride, Avx.Permute2x128(a1, b1, 0x20));
            Avx.Store(at += stride, Avx.Permute2x128(a2, b2, 0x20));
            Avx.Store(at += stride, Avx.Permute2x128(a3, b3, 0x20));
            Avx.Store(at += stride, Avx.Permute2x128(a0, b0, 0x31));
            Avx.Store(at += stride, Avx.Permute2x128(a1, b1, 0x31));
            Avx.Store(at += stride, Avx.Permute2x128(a2, b2, 0x31));
            Avx.Store(at + stride, Avx.Permute2x128(a3, b3, 0x31));
        }

        for (int i = whole; i < k; i++)
        {
            for (int row = 0; row < rows; row++)
            {
                target[(i * stride) + row] = source[(row * lds) + i];
            }
        }
    }

    // Transposes 4 x 4 blocks: of rows r0..r3, oj holds in its 128-bit lane l the column 4 l + j.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quarter(Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3, out Vector256<float> o0, out Vector256<float> o1, out Vector256<float> o2, out Vector256<float> o3)
    {
        var low01 = Avx.UnpackLow(r0, r1).AsDouble();
        var low23 = Avx.UnpackLow(r2, r3).AsDouble();
        var high01 = Avx.UnpackHigh(r0, r1).AsDouble();
        var high23 = Avx.UnpackHigh(r2, r3).AsDouble();
        o0 = Avx.UnpackLow(low01, low23).AsSingle();
        o1 = Avx.UnpackHigh(low01, low23).AsSingle();
        o2 = Avx.UnpackLow(high01, high23).AsSingle();
        o3 = Avx.UnpackHigh(high01, high23).AsSingle();
    }
}

internal readonly unsafe partial struct Vector128Tiles : ITiles
{
    public static int Rows => 6;

    public static int PanelWidth => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Covered(int columns) => (columns + 3) & ~3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static delegate*<nint, float*, float*, float*, nint, float*, nint, void> Tile(int rows, int columns) => tiles[(((columns - 1) >> 2) * 7) + rows];

    // The portable API has no prefetch.
    public static void Prefetch(float* tile, nint stride, int rows)
    {
    }

    public static void Transpose(float* source, nint lds, int rows, int k, bool padded, float* target, nint stride)
    {
        for (int i = 0; i < k; i++, target += stride, source++)
        {
            for (int row = 0; row < rows; row++)
            {
                target[row] = source[row * lds];
            }
        }
    }
}
