// Blocks that arrive, named by numbers as messages name payloads. What a peer can make a node reserve is bounded by the
// limit given; the memory itself is the transport's pool.
using ClusterRnn.Engines.Tcp.Transport;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Blocks by number.</summary>
/// <param name="maximumBytes">The most memory that is reserved.</param>
internal sealed unsafe class BlockPool(long maximumBytes) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, (nint Block, long Floats)> _held = [];
    private readonly NativeBlockPool _memory = new();
    private long _next = 1;

    /// <summary>Rents a block.</summary>
    /// <param name="floats">How many floats it must hold.</param>
    /// <param name="number">Its number.</param>
    /// <returns>Null when the limit is reached, or the node ends.</returns>
    public float* Rent(long floats, out long number)
    {
        lock (_gate)
        {
            number = 0;
            if (_memory.Bytes + (floats * sizeof(float)) > maximumBytes || _memory.IsDisposed)
            {
                return null;
            }

            float* block = _memory.Rent(floats);
            number = _next++;
            _held.Add(number, ((nint)block, floats));
            return block;
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
                return _held.TryGetValue(number, out (nint Block, long Floats) held)
                    ? (float*)held.Block
                    : throw new InvalidOperationException($"Block {number} is not held.");
            }
        }
    }

    /// <summary>Gives a block back; 0 and numbers that were given back already are ignored.</summary>
    public void Return(long number)
    {
        lock (_gate)
        {
            if (_held.Remove(number, out (nint Block, long Floats) held))
            {
                _memory.Return((float*)held.Block, held.Floats);
            }
        }
    }

    /// <summary>Frees what is free; rented blocks are freed when they come back.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _memory.Dispose();
        }
    }
}
