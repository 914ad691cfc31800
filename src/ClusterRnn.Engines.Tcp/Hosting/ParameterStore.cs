// The parameters a worker has read: one flat vector a version, filled range by range. A vector stays as it is while a
// computation reads it.
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>Parameters by version.</summary>
/// <param name="floats">Floats of the flat vector.</param>
internal sealed unsafe class ParameterStore(long floats) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<Vector> _vectors = [];

    /// <summary>Takes in a range of a version, unless it is there already.</summary>
    /// <param name="version">The version.</param>
    /// <param name="range">The range's number.</param>
    /// <param name="firstFloat">Where it begins in the flat vector.</param>
    /// <param name="values">Its parameters.</param>
    /// <param name="count">How many there are.</param>
    public void Add(long version, int range, long firstFloat, float* values, long count)
    {
        lock (_gate)
        {
            Vector vector = Of(version);
            if (vector.Ranges.Add(range))
            {
                Buffer.MemoryCopy(values, vector.Values.Pointer + firstFloat, (floats - firstFloat) * sizeof(float), count * sizeof(float));
            }
        }
    }

    /// <summary>The parameters of a version, to be kept until <see cref="Release"/>.</summary>
    /// <returns>Null when nothing of that version was read.</returns>
    public float* Hold(long version)
    {
        lock (_gate)
        {
            foreach (Vector vector in _vectors)
            {
                if (vector.Version == version && !vector.IsForgotten)
                {
                    vector.IsHeld = true;
                    return vector.Values.Pointer;
                }
            }

            return null;
        }
    }

    /// <summary>The version is not read any more.</summary>
    public void Release(long version)
    {
        lock (_gate)
        {
            foreach (Vector vector in _vectors)
            {
                // Computations follow one another: at most one of them is held.
                if (vector.Version == version && vector.IsHeld)
                {
                    vector.IsHeld = false;
                    vector.Version = vector.IsForgotten ? -1 : version;
                    vector.IsForgotten = false;
                }
            }
        }
    }

    /// <summary>Forgets all: a new epoch may have other parameters under the same numbers.</summary>
    public void Forget()
    {
        lock (_gate)
        {
            foreach (Vector vector in _vectors)
            {
                vector.IsForgotten = vector.IsHeld; // its computation ends as it began; nobody else begins with it
                vector.Version = vector.IsHeld ? vector.Version : -1;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Vector vector in _vectors)
        {
            vector.Values.Dispose();
        }
    }

    private Vector Of(long version)
    {
        Vector? oldest = null;
        foreach (Vector vector in _vectors)
        {
            if (vector.Version == version && !vector.IsForgotten)
            {
                return vector;
            }

            oldest = !vector.IsHeld && (oldest is null || vector.Version < oldest.Version) ? vector : oldest;
        }

        if (oldest is null || _vectors.Count < 2)
        {
            oldest = new Vector(new NativeBuffer<float>(floats));
            _vectors.Add(oldest);
        }

        oldest.Version = version;
        oldest.Ranges.Clear();
        return oldest;
    }

    private sealed class Vector(NativeBuffer<float> values)
    {
        public readonly NativeBuffer<float> Values = values;
        public readonly HashSet<int> Ranges = [];
        public long Version = -1;
        public bool IsHeld;
        public bool IsForgotten; // of an older epoch, and still read
    }
}
