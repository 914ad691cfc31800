// The buffers of what a worker computed for one assignment. When they may be used again is an engine's own matter.
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Training;

namespace ClusterRnn.Node;

/// <summary>The gradients of an assignment's subtrees and the states after its shards.</summary>
/// <param name="job">The job.</param>
public unsafe class AnswerMemory(TrainingJob job) : IDisposable
{
    private readonly List<NativeBuffer<float>> _gradients = [];
    private readonly NativeBuffer<float> _states = new(job.CarriesState ? (long)job.Train.BatchRows * job.Model.StateWidth : 0);

    /// <summary>The subtrees whose gradients it holds, ascending.</summary>
    public ShardRange[] Subtrees { get; private set; } = [];

    /// <summary>The states after the shards of the assignment, at their shards' places: [BatchRows, StateWidth].</summary>
    public float* States => _states.Pointer;

    /// <summary>The bytes of the buffers.</summary>
    public long MemoryBytes => (_states.Length + (_gradients.Count * job.Layout.Length)) * sizeof(float);

    /// <summary>The flat gradient of the subtree at this place.</summary>
    public float* Gradient(int index) => _gradients[index].Pointer;

    /// <summary>The flat gradient of a subtree, or null if the answer has none of it.</summary>
    public float* GradientOf(ShardRange subtree)
    {
        int index = Array.IndexOf(Subtrees, subtree);
        return index < 0 ? null : _gradients[index].Pointer;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Makes room for the gradients of these subtrees.</summary>
    protected void Prepare(ShardRange[] subtrees)
    {
        Subtrees = subtrees;
        while (_gradients.Count < subtrees.Length)
        {
            _gradients.Add(new NativeBuffer<float>(job.Layout.Length));
        }
    }

    /// <summary>Gives the buffers back.</summary>
    /// <param name="disposing">Whether <see cref="Dispose()"/> was called.</param>
    protected virtual void Dispose(bool disposing)
    {
        _states.Dispose();
        foreach (NativeBuffer<float> gradient in _gradients)
        {
            gradient.Dispose();
        }
    }
}
