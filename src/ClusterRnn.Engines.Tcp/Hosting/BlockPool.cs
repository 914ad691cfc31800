// Native memory for blocks that arrive: rented by size class, named by numbers as messages name payloads. What a peer can
// make a node reserve is bounded by the limit given.
using System.Numerics;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Blocks by number.</summary>
internal sealed unsafe class BlockPool(long maximumFloats) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, NativeBuffer<float>> _held = [];
    private readonly Dictionary<int, Stack<NativeBuffer<float>>> _free = []; // by the power of two of their length
    private long _next = 1;
    private long _floats;
    private bool _disposed;

    /// <summary>Floats reserved, free ones included.</summary>
    public long ReservedFloats => Volatile.Read(ref _floats);

    /// <summary>How many blocks are rented.</summary>
    public int Held
    {
        get
        {
            lock (_gate)
            {
                return _held.Count;
            }
        }
    }

    /// <summary>Rents a block.</summary>
    /// <param name="floats">How many floats it must hold.</param>
    /// <param name="number">Its number.</param>
    /// <returns>Null when the limit is reached.</returns>
    public float* Rent(long floats, out long number)
    {
        int power = BitOperations.Log2((ulong)Math.Max(256, floats) * 2 - 1);
        lock (_gate)
        {
            number = 0;
            NativeBuffer<float> block;
            if (_free.TryGetValue(power, out Stack<NativeBuffer<float>>? free) && free.Count > 0)
            {
                block = free.Pop();
            }
            else
            {
                // A size that was never seen gets exactly what it needs, so that large blocks waste nothing.
                long length = power < 20 ? 1L << power : floats;
                if (_disposed || _floats + length > maximumFloats)
                {
                    return null;
                }

                block = new NativeBuffer<float>(length);
                _floats += length;
            }

            if (block.Length < floats)
            {
                _floats += floats - block.Length;
                block.Dispose();
                block = new NativeBuffer<float>(floats);
            }

            number = _next++;
            _held.Add(number, block);
            return block.Pointer;
        }
    }

    /// <summary>The block of this number; null for 0, which stands for a message without a block.</summary>
    /// <exception cref="InvalidOperationException">It is not rented.</exception>
    public float* this[long number]
    {
        get
        {
            if (number == 0)
            {
                return null;
            }

            lock (_gate)
            {
                return _held.TryGetValue(number, out NativeBuffer<float>? block)
                    ? block.Pointer
                    : throw new InvalidOperationException($"Block {number} is not held.");
            }
        }
    }

    /// <summary>Gives a block back; 0 and numbers that were given back already are ignored.</summary>
    public void Return(long number)
    {
        lock (_gate)
        {
            if (!_held.Remove(number, out NativeBuffer<float>? block))
            {
                return;
            }

            if (_disposed)
            {
                block.Dispose();
                return;
            }

            int power = BitOperations.Log2((ulong)Math.Max(256, block.Length) * 2 - 1);
            if (!_free.TryGetValue(power, out Stack<NativeBuffer<float>>? free))
            {
                _free.Add(power, free = new Stack<NativeBuffer<float>>());
            }

            free.Push(block);
        }
    }

    /// <summary>Frees what is free; rented blocks are freed when they come back.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            foreach (Stack<NativeBuffer<float>> free in _free.Values)
            {
                while (free.TryPop(out NativeBuffer<float>? block))
                {
                    block.Dispose();
                }
            }
        }
    }
}
