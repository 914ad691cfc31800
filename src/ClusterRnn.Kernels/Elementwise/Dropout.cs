// Dropout (Srivastava et al., 2014), inverted: what is kept is scaled by 1 / (1 - p). The mask is a function of (key, row
// slot, absolute time, element), so it is not stored: the backward pass forms it again.
using System.Runtime.CompilerServices;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Numerics;
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Kernels.Elementwise;

/// <summary>The operands of <see cref="Dropout"/>: the rows of one time step.</summary>
public unsafe struct DropoutArguments
{
    /// <summary>Rows.</summary>
    public int Rows;

    /// <summary>Elements of a row.</summary>
    public int Width;

    /// <summary>Floats from one row to the next.</summary>
    public nint Stride;

    /// <summary>[rows, width].</summary>
    public float* Source;

    /// <summary>[rows, width]; may be <see cref="Source"/>.</summary>
    public float* Target;

    /// <summary>The family's Philox key.</summary>
    public ulong Key;

    /// <summary>The global row slot of row 0.</summary>
    public long FirstSlot;

    /// <summary>The absolute time, or 0 for a mask that is the same at all times.</summary>
    public long Time;

    /// <summary>The number of a row's first element among the random numbers; a multiple of 16.</summary>
    public int FirstElement;

    /// <summary>An element is dropped when its 24 random bits are below this.</summary>
    public uint Threshold;

    /// <summary>1 / (1 - p).</summary>
    public float Scale;
}

/// <summary>Drops elements at random, the same ones wherever it is computed.</summary>
public static unsafe class Dropout
{
    /// <summary>The kernel.</summary>
    public static readonly Kernel<DropoutArguments> Kernel = new("elementwise.dropout", &Reference, &Blocks<Lanes4, OneBlock>, &Blocks<Lanes8, FourBlocks>, &Blocks<Lanes16, FourBlocks>);

    /// <summary>target = source x mask, for the rows of one time step. Applied to a gradient it is the backward pass (tiny values as +0).</summary>
    /// <param name="key">The family: purpose <see cref="RandomPurpose.Dropout"/>, the layer, the version.</param>
    /// <param name="probability">p: the share that is dropped, in [0, 1).</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Elements of a row.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="firstSlot">The global row slot of row 0.</param>
    /// <param name="time">The absolute time; 0 for variational dropout, whose mask is the same at all times.</param>
    /// <param name="source">[rows, width].</param>
    /// <param name="target">[rows, width]; may be <paramref name="source"/>.</param>
    public static void Apply(RandomKey key, float probability, int rows, int width, nint stride, long firstSlot, long time, float* source, float* target)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(probability);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(probability, 1f);
        Kernel.Run(new DropoutArguments
        {
            Rows = rows,
            Width = width,
            Stride = stride,
            Source = source,
            Target = target,
            Key = key.Key,
            FirstSlot = firstSlot,
            Time = time,
            Threshold = ThresholdOf(probability),
            Scale = ScaleOf(probability),
        });
    }

    /// <summary>The bound below which 24 random bits drop an element with <paramref name="probability"/>.</summary>
    public static uint ThresholdOf(float probability) => (uint)(probability * (1 << 24));

    /// <summary>What kept elements are scaled by: 1 / (1 - p).</summary>
    public static float ScaleOf(float probability) => 1f / (1f - probability);

    private static void Reference(DropoutArguments* a)
    {
        for (int row = 0; row < a->Rows; row++)
        {
            for (int element = 0; element < a->Width; element++)
            {
                var block = Philox.Block(a->Key, ((ulong)(a->FirstSlot + row) << 32) | (uint)((a->FirstElement + element) >> 2), (ulong)a->Time);
                uint bits = (element & 3) switch { 0 => block.Word0, 1 => block.Word1, 2 => block.Word2, _ => block.Word3 };
                nint at = (row * a->Stride) + element;
                a->Target[at] = bits >> 8 < a->Threshold ? 0f : ScalarMath.Flush(a->Source[at] * a->Scale);
            }
        }
    }

    // The random words of 16 elements are formed, then applied.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Blocks<V, W>(DropoutArguments* a)
        where V : struct, ILanes<V>
        where W : struct, IRandomWords
    {
        uint* words = stackalloc uint[16];
        float* rest = stackalloc float[16];
        V scale = V.Broadcast(a->Scale), zero = V.Broadcast(0f), threshold = V.Broadcast(a->Threshold);
        for (int row = 0; row < a->Rows; row++)
        {
            ulong slot = ((ulong)(a->FirstSlot + row) << 32) | (uint)(a->FirstElement >> 2);
            float* source = a->Source + (row * a->Stride), target = a->Target + (row * a->Stride);
            for (int first = 0; first < a->Width; first += 16)
            {
                int count = Math.Min(16, a->Width - first);
                W.Sixteen(a->Key, slot + (uint)(first >> 2), (ulong)a->Time, words);
                bool whole = count == 16;
                float* from = whole ? source + first : rest, to = whole ? target + first : rest;
                if (!whole)
                {
                    new ReadOnlySpan<float>(source + first, count).CopyTo(new Span<float>(rest, count));
                }

                for (int i = 0; i < 16; i += V.Width)
                {
                    // 24 bits and the threshold are exact as floats.
                    V bits = V.IntegersToFloats(V.Load((float*)words + i));
                    V.SelectLess(bits, threshold, zero, VectorMath<V>.Flush(V.Load(from + i) * scale)).Store(to + i);
                }

                if (!whole)
                {
                    new ReadOnlySpan<float>(rest, count).CopyTo(new Span<float>(target + first, count));
                }
            }
        }
    }

    // The high 24 bits of the words of four consecutive Philox blocks.
    private interface IRandomWords
    {
        static abstract void Sixteen(ulong key, ulong counterHigh, ulong counterLow, uint* words);
    }

    private readonly struct OneBlock : IRandomWords
    {
        public static void Sixteen(ulong key, ulong counterHigh, ulong counterLow, uint* words)
        {
            for (uint i = 0; i < 4; i++, words += 4)
            {
                var block = Philox.Block(key, counterHigh + i, counterLow);
                words[0] = block.Word0 >> 8;
                words[1] = block.Word1 >> 8;
                words[2] = block.Word2 >> 8;
                words[3] = block.Word3 >> 8;
            }
        }
    }

    private readonly struct FourBlocks : IRandomWords
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Sixteen(ulong key, ulong counterHigh, ulong counterLow, uint* words) => Philox.FourBlocks(key, counterHigh, counterLow, words);
    }
}
