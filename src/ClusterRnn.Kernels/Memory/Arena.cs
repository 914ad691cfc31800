namespace ClusterRnn.Kernels.Memory;

/// <summary>
/// One block of native memory from which a plan takes its buffers: zero-filled, each buffer aligned to 64 bytes, all freed
/// together. A plan runs twice, first measuring, then for real, so that nothing is guessed:
/// <code>var arena = Arena.Create(a => { gates = a.Floats(n); states = a.Floats(m); });</code>
/// </summary>
public sealed unsafe class Arena : IDisposable
{
    private readonly List<nint> guarded = []; // where each buffer ends at a guard page, a block for each
    private byte* memory;

    /// <summary>Reserves <paramref name="bytes"/> of zeros.</summary>
    public Arena(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        CapacityBytes = RoundUp(bytes) + 64;
        memory = (byte*)NativeBlock.Allocate(NativeBlock.IsGuarded ? 0 : CapacityBytes);
    }

    private Arena()
    {
        IsMeasuring = true;
        CapacityBytes = long.MaxValue;
    }

    /// <summary>The bytes there is room for.</summary>
    public long CapacityBytes { get; }

    /// <summary>The bytes taken so far.</summary>
    public long UsedBytes { get; private set; }

    /// <summary>Whether this arena only counts: every buffer it returns is null and must not be touched.</summary>
    public bool IsMeasuring { get; }

    /// <summary>The bytes that <paramref name="plan"/> takes.</summary>
    public static long Measure(Action<Arena> plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        using var arena = new Arena();
        plan(arena);
        return arena.UsedBytes;
    }

    /// <summary>Measures <paramref name="plan"/>, reserves what it needs and runs it.</summary>
    public static Arena Create(Action<Arena> plan)
    {
        var arena = new Arena(Measure(plan));
        plan(arena);
        return arena;
    }

    /// <summary>Takes <paramref name="count"/> floats (+0).</summary>
    public float* Floats(long count) => (float*)Take(count, sizeof(float));

    /// <summary>Takes <paramref name="count"/> doubles (+0).</summary>
    public double* Doubles(long count) => (double*)Take(count, sizeof(double));

    /// <summary>Takes <paramref name="count"/> 32-bit integers (0).</summary>
    public int* Ints(long count) => (int*)Take(count, sizeof(int));

    /// <summary>Takes <paramref name="count"/> 64-bit integers (0).</summary>
    public long* Longs(long count) => (long*)Take(count, sizeof(long));

    /// <summary>Takes <paramref name="count"/> bytes (0).</summary>
    public byte* Bytes(long count) => Take(count, 1);

    /// <summary>Takes <paramref name="count"/> pointers (null).</summary>
    public float** Pointers(long count) => (float**)Take(count, sizeof(float*));

    /// <inheritdoc/>
    public void Dispose()
    {
        if (memory is not null)
        {
            NativeBlock.Free(memory);
            guarded.ForEach(static block => NativeBlock.Free((void*)block));
            memory = null;
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Frees an arena that was not disposed.</summary>
    ~Arena() => Dispose();

    private static long RoundUp(long bytes) => checked(bytes + 63) & ~63L;

    private byte* Take(long count, int size)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        long bytes = RoundUp(checked(count * size));
        long start = UsedBytes;
        if (bytes > CapacityBytes - start)
        {
            throw new InvalidOperationException($"The arena holds {CapacityBytes} bytes; {start} are taken and {bytes} more were asked for. A plan must ask for the same when it measures and when it runs.");
        }

        UsedBytes = start + bytes;
        if (IsMeasuring)
        {
            return null;
        }

        ObjectDisposedException.ThrowIf(memory is null, this);
        if (NativeBlock.IsGuarded)
        {
            guarded.Add((nint)NativeBlock.Allocate(bytes));
            return (byte*)guarded[^1];
        }

        return memory + start;
    }
}
