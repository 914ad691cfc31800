using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Engines.Simulator.Model;

/// <summary>Floats that travel, or lie somewhere. Nobody changes them once they are filled, so that they are shared and never copied.</summary>
/// <param name="length">How many floats.</param>
/// <param name="pinned">Whether they must keep their address: those that are cached for long.</param>
internal sealed unsafe class Block(long length, bool pinned = false)
{
    private ulong _digest;
    private bool _isDigested;

    /// <summary>The floats.</summary>
    public float[] Values { get; } = length == 0 ? [] : pinned ? GC.AllocateUninitializedArray<float>((int)length, pinned: true) : GC.AllocateUninitializedArray<float>((int)length);

    /// <summary>What they weigh on the network.</summary>
    public long Bytes => length * sizeof(float);

    /// <summary>Their digest; of floats that are not finite as well.</summary>
    public ulong Digest
    {
        get
        {
            if (!_isDigested && length > 0)
            {
                fixed (float* values = Values)
                {
                    _digest = ContentDigest.IsFinite(values, length) ? ContentDigest.OfFloats(values, length) : ContentDigest.OfNonFinite(values, length);
                }

                _isDigested = true;
            }

            return _digest;
        }
    }

    /// <summary>Where pinned floats lie.</summary>
    public float* Pointer => length == 0 ? null : (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(Values));

    /// <summary>A pinned block with the same floats, to be changed before anyone sees it.</summary>
    public Block Copy()
    {
        var copy = new Block(length, pinned: true);
        Values.CopyTo(copy.Values, 0);
        return copy;
    }
}
