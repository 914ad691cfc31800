namespace ClusterRnn.Kernels.Memory;

/// <summary>A fixed array outside the garbage-collected heap, zero-filled and aligned to 64 bytes.</summary>
/// <typeparam name="T">The element.</typeparam>
public sealed unsafe class NativeBuffer<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Reserves <paramref name="length"/> zeros.</summary>
    public NativeBuffer(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Length = length;
        Pointer = (T*)NativeBlock.Allocate(checked(length * sizeof(T)));
    }

    /// <summary>The first element, or null after disposal.</summary>
    public T* Pointer { get; private set; }

    /// <summary>How many elements there are.</summary>
    public long Length { get; }

    /// <summary>The element at <paramref name="index"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index lies outside the buffer.</exception>
    public ref T this[long index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)index, (ulong)Length, nameof(index));
            return ref Pointer[index];
        }
    }

    /// <summary>The buffer as a span; it must be shorter than 2^31 elements.</summary>
    public Span<T> AsSpan() => new(Pointer, checked((int)Length));

    /// <summary>A part of the buffer as a span.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part lies outside the buffer.</exception>
    public Span<T> AsSpan(long start, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start + count, Length);
        return new Span<T>(Pointer + start, count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Pointer is not null)
        {
            NativeBlock.Free(Pointer);
            Pointer = null;
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Frees a buffer that was not disposed.</summary>
    ~NativeBuffer() => Dispose();
}
