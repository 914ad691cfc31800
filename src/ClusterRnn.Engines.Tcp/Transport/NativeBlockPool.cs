using System.Numerics;
using System.Runtime.InteropServices;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>
/// Lends memory for blocks that arrive: powers of two, aligned to 64 bytes, kept when given back. A job's blocks have few
/// sizes, so after the first steps nothing is allocated any more.
/// </summary>
public sealed unsafe class NativeBlockPool : IDisposable
{
    private const int SmallestLog = 8; // 256 floats

    private readonly Lock _gate = new();
    private readonly Stack<nint>[] _free = [.. Enumerable.Range(0, 32).Select(_ => new Stack<nint>())];
    private long _bytes;
    private bool _isDisposed;

    /// <summary>Whether nothing is lent any more.</summary>
    public bool IsDisposed => Volatile.Read(ref _isDisposed);

    /// <summary>The bytes that are lent or kept.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Lends memory for <paramref name="floats"/>; what is in it is whatever was there.</summary>
    public float* Rent(long floats)
    {
        int size = SizeOf(floats);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_free[size].TryPop(out nint kept))
            {
                return (float*)kept;
            }

            _bytes += (long)sizeof(float) << size;
        }

        return (float*)NativeMemory.AlignedAlloc((nuint)sizeof(float) << size, 64);
    }

    /// <summary>Takes memory back.</summary>
    /// <param name="block">What <see cref="Rent"/> gave.</param>
    /// <param name="floats">What it was asked for.</param>
    public void Return(float* block, long floats)
    {
        int size = SizeOf(floats);
        lock (_gate)
        {
            if (!_isDisposed)
            {
                _free[size].Push((nint)block);
                return;
            }

            _bytes -= (long)sizeof(float) << size;
        }

        NativeMemory.AlignedFree(block);
    }

    /// <summary>Frees what is kept; what is lent is freed when it comes back.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            for (int size = 0; size < _free.Length; size++)
            {
                while (_free[size].TryPop(out nint kept))
                {
                    _bytes -= (long)sizeof(float) << size;
                    NativeMemory.AlignedFree((void*)kept);
                }
            }
        }
    }

    private static int SizeOf(long floats)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(floats);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(floats, 1L << 31);
        return Math.Max(SmallestLog, BitOperations.Log2((ulong)Math.Max(1, floats - 1)) + 1);
    }
}
