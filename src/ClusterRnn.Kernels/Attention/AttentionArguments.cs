using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Attention;

/// <summary>The operands of <see cref="ScaledAttention"/>: one head of one row.</summary>
public unsafe struct AttentionArguments
{
    /// <summary>Queries, at least 1.</summary>
    public int Queries;

    /// <summary>Keys, at least 1: those that are not there (a row's padding) are no keys.</summary>
    public int Keys;

    /// <summary>D: elements of a query, key or value.</summary>
    public int HeadWidth;

    /// <summary>Whether query i sees the keys up to <see cref="FirstQuery"/> + i alone.</summary>
    public bool IsCausal;

    /// <summary>The key that stands at the same time as query 0.</summary>
    public int FirstQuery;

    /// <summary>Backward: overwritten with its gradient.</summary>
    public float* Query; // [queries, D]

    /// <summary>Floats from one query to the next.</summary>
    public nint QueryStride;

    /// <summary>Backward: overwritten with its gradient.</summary>
    public float* Key; // [keys, D]

    /// <summary>Backward: overwritten with its gradient.</summary>
    public float* Value; // [keys, D]

    /// <summary>Floats from one key, and one value, to the next.</summary>
    public nint KeyStride;

    /// <summary>What scores are multiplied by: 1 / sqrt(D).</summary>
    public float Scale;

    /// <summary>The weighted means of the values: written forward, read backward.</summary>
    public float* Result; // [queries, D]

    /// <summary>Backward: dL/dResult.</summary>
    public float* ResultGradient; // [queries, D]

    /// <summary>Floats from one result, and one gradient of it, to the next.</summary>
    public nint ResultStride;

    /// <summary>The greatest scaled score and 1 / the sum of exponentials of each query: written forward, read backward.</summary>
    public float* Statistics; // [queries, 2]

    /// <summary>Floats from one query's statistics to the next.</summary>
    public nint StatisticsStride;

    /// <summary>A weight is dropped when its 24 random bits are below this; 0: none is.</summary>
    public uint DropThreshold;

    /// <summary>What the weights that are kept are scaled by.</summary>
    public float KeptScale;

    /// <summary>The dropout's Philox key.</summary>
    public ulong DropKey;

    /// <summary>The global row slot.</summary>
    public long Slot;

    /// <summary>The absolute time of query 0.</summary>
    public long Time;

    /// <summary>The number of the head's first weight among a query's random numbers; a multiple of 16.</summary>
    public int FirstElement;

    internal AttentionBuffers Buffers;
}

// Where a head is rearranged. P: columns of a panel; rounded up to 16.
internal unsafe struct AttentionBuffers
{
    public float* KeysDown; // [D, keys] in panels: the scores' right operand
    public float* ValuesDown; // [D, keys] in panels: dL/dweights'
    public float* Along; // [keys, D] in panels: forward the values, backward the keys
    public float* Block; // [Block, D] in panels: the queries or gradients of a block
    public float* Scores; // [Block, ScoreStride]
    public float* Weights; // [Block, ScoreStride]
    public float* Dropped; // [Block, ScoreStride]
    public float* KeyGradient; // [keys, Pad(D)]
    public float* ValueGradient; // [keys, Pad(D)]
    public nint ScoreStride;
    public float* Left;
    public float* Tile;
    public float* Zeros;
}

/// <summary>Scratch memory of one computing thread for attention. Nothing in it outlives a call.</summary>
public sealed unsafe class AttentionScratch
{
    // The widest panel there is.
    private const int PanelWidth = 32;

    /// <summary>Takes the room from <paramref name="arena"/>.</summary>
    /// <param name="arena">Where the scratch lives.</param>
    /// <param name="maximumKeys">The most keys of a row.</param>
    /// <param name="headWidth">D.</param>
    /// <param name="isTraining">Whether there is a way back.</param>
    public AttentionScratch(Arena arena, int maximumKeys, int headWidth, bool isTraining)
    {
        ArgumentNullException.ThrowIfNull(arena);
        long keys = Rounded(maximumKeys), width = Rounded(headWidth);
        var buffers = new AttentionBuffers
        {
            KeysDown = arena.Floats(keys * headWidth),
            Along = arena.Floats(width * maximumKeys),
            ScoreStride = (nint)keys + 16,
        };
        buffers.Scores = arena.Floats(ScaledAttention.Block * buffers.ScoreStride);
        buffers.Left = arena.Floats((ScaledAttention.Block * 512L) + (160 * ScaledAttention.Block) + 64);
        buffers.Tile = arena.Floats(16L * PanelWidth);
        buffers.Zeros = arena.Floats(2 * PanelWidth);
        if (isTraining)
        {
            buffers.ValuesDown = arena.Floats(keys * headWidth);
            buffers.Block = arena.Floats(width * ScaledAttention.Block);
            buffers.Weights = arena.Floats(ScaledAttention.Block * buffers.ScoreStride);
            buffers.Dropped = arena.Floats(ScaledAttention.Block * buffers.ScoreStride);
            buffers.KeyGradient = arena.Floats((long)maximumKeys * ColumnGroups.Pad(headWidth));
            buffers.ValueGradient = arena.Floats((long)maximumKeys * ColumnGroups.Pad(headWidth));
        }

        Buffers = buffers;
    }

    internal AttentionBuffers Buffers { get; }

    private static long Rounded(int count) => (count + PanelWidth - 1) / PanelWidth * (long)PanelWidth;
}
