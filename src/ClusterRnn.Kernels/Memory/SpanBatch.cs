namespace ClusterRnn.Kernels.Memory;

/// <summary>
/// The rows of one span as they travel from the data to the model: time-major, unmanaged, reused from step to step.
/// T is <see cref="Time"/>, B is <see cref="Rows"/>. Targets belong to the last <see cref="TargetTime"/> time steps:
/// target index i stands for time <c>T - TargetTime + i</c>. Targets that have no times (labels, and the target sequences of pairs)
/// begin at index 0 and end before the first -1.
/// </summary>
public sealed unsafe class SpanBatch : IDisposable
{
    /// <summary>Reserves room for <paramref name="maximumTime"/> x <paramref name="maximumRows"/>.</summary>
    /// <param name="maximumTime">The longest span.</param>
    /// <param name="maximumRows">The most rows.</param>
    /// <param name="featureWidth">Values a time step, or 0 when the input is token ids.</param>
    /// <param name="targetWidth">Real-valued targets a time step, or 0 when targets are class ids.</param>
    public SpanBatch(int maximumTime, int maximumRows, int featureWidth, int targetWidth)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumTime, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumRows, 1);
        MaximumTime = maximumTime;
        MaximumRows = maximumRows;
        FeatureWidth = featureWidth;
        TargetWidth = targetWidth;
        long cells = (long)maximumTime * maximumRows;
        Tokens = featureWidth == 0 ? (int*)NativeBlock.Allocate(cells * sizeof(int)) : null;
        Features = featureWidth > 0 ? (float*)NativeBlock.Allocate(cells * featureWidth * sizeof(float)) : null;
        TargetTokens = targetWidth == 0 ? (int*)NativeBlock.Allocate(cells * sizeof(int)) : null;
        TargetValues = targetWidth > 0 ? (float*)NativeBlock.Allocate(cells * targetWidth * sizeof(float)) : null;
        Lengths = (int*)NativeBlock.Allocate(maximumRows * sizeof(int));
        RowIds = (long*)NativeBlock.Allocate(maximumRows * sizeof(long));
    }

    /// <summary>The bytes of all its buffers.</summary>
    public long MemoryBytes => MeasureBytes(MaximumTime, MaximumRows, FeatureWidth, TargetWidth);

    /// <summary>The bytes that a batch of this size reserves.</summary>
    /// <inheritdoc cref="SpanBatch(int, int, int, int)" path="/param"/>
    public static long MeasureBytes(int maximumTime, int maximumRows, int featureWidth, int targetWidth)
    {
        long cells = (long)maximumTime * maximumRows;
        return Rounded(cells * Math.Max(1, featureWidth) * 4) + Rounded(cells * Math.Max(1, targetWidth) * 4) + Rounded(maximumRows * 4L) + Rounded(maximumRows * 8L);

        static long Rounded(long bytes) => (bytes + 63) & ~63L;
    }

    /// <summary>The longest span there is room for.</summary>
    public int MaximumTime { get; }

    /// <summary>The most rows there is room for.</summary>
    public int MaximumRows { get; }

    /// <summary>Values a time step, or 0 when the input is token ids.</summary>
    public int FeatureWidth { get; }

    /// <summary>Real-valued targets a time step, or 0 when targets are class ids.</summary>
    public int TargetWidth { get; }

    /// <summary>T: time steps in this span.</summary>
    public int Time { get; set; }

    /// <summary>B: rows in this batch.</summary>
    public int Rows { get; set; }

    /// <summary>The global row slot of row 0: its place in the global batch.</summary>
    public int FirstRow { get; set; }

    /// <summary>The absolute time of time step 0 within the rows' sequences (keys time-dependent randomness).</summary>
    public long StartTime { get; set; }

    /// <summary>How many of the last time steps have targets (1 for sequence-to-one).</summary>
    public int TargetTime { get; set; }

    /// <summary>Token ids, or null.</summary>
    public int* Tokens { get; private set; } // [T, B]

    /// <summary>Input values, or null.</summary>
    public float* Features { get; private set; } // [T, B, FeatureWidth]

    /// <summary>Class ids, -1 where there is no target, or null.</summary>
    public int* TargetTokens { get; private set; } // [TargetTime, B]

    /// <summary>Real-valued targets, or null.</summary>
    public float* TargetValues { get; private set; } // [TargetTime, B, TargetWidth]

    /// <summary>Valid time steps of each row, 0 for an empty row of a short last batch.</summary>
    public int* Lengths { get; private set; } // [B]

    /// <summary>What the row is in the data (stream or example number), -1 for an empty row: the ledger digests it.</summary>
    public long* RowIds { get; private set; } // [B]

    /// <inheritdoc/>
    public void Dispose()
    {
        Free(Tokens);
        Free(Features);
        Free(TargetTokens);
        Free(TargetValues);
        Free(Lengths);
        Free(RowIds);
        Tokens = null;
        Features = null;
        TargetTokens = null;
        TargetValues = null;
        Lengths = null;
        RowIds = null;
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the buffers of a batch that was not disposed.</summary>
    ~SpanBatch() => Dispose();

    private static void Free(void* memory)
    {
        if (memory is not null)
        {
            NativeBlock.Free(memory);
        }
    }
}
