// Where answers lie: gradients and states that workers write and servers read by reference.
//
// An answer to step v is free again when a computation of a later step begins: that needs version v+1, so every owner has
// summed what it needed of step v. An answer that is still being written by a late worker is never handed out.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Training;

namespace ClusterRnn.Node.InProcess;

/// <summary>The buffers of one answer.</summary>
internal sealed class AnswerBuffers(TrainingJob job, int owner, long number) : AnswerMemory(job)
{
    private int _writing;

    public int Owner => owner;

    /// <summary>Its number, by which messages name it.</summary>
    public long Number => number;

    public long Version { get; private set; } = -1;

    public bool IsWriting
    {
        get => Volatile.Read(ref _writing) != 0;
        set => Volatile.Write(ref _writing, value ? 1 : 0);
    }

    public void Prepare(long version, ShardRange[] subtrees)
    {
        Version = version;
        Prepare(subtrees);
        IsWriting = true;
    }
}

/// <summary>All answers of a run. Handed out by whoever runs the actors; read by servers.</summary>
internal sealed unsafe class AnswerStore : IPayloads, IDisposable
{
    private readonly TrainingJob _job;
    private AnswerBuffers[] _answers = [];

    public AnswerStore(TrainingJob job) => _job = job;

    public AnswerBuffers this[long number] => _answers[number];

    /// <summary>The bytes of a worker's answers.</summary>
    public long MemoryBytesOf(int owner)
    {
        long bytes = 0;
        foreach (AnswerBuffers answer in _answers)
        {
            bytes += answer.Owner == owner ? answer.MemoryBytes : 0;
        }

        return bytes;
    }

    /// <summary>Buffers for an answer to step <paramref name="version"/>, preferably ones the same worker used before.</summary>
    public AnswerBuffers Rent(int owner, long version, ShardRange[] subtrees)
    {
        AnswerBuffers? free = null;
        foreach (AnswerBuffers answer in _answers)
        {
            if (answer.Owner == owner && answer.Version < version && !answer.IsWriting)
            {
                free = answer;
                break;
            }
        }

        if (free is null)
        {
            free = new AnswerBuffers(_job, owner, _answers.Length);
            _answers = [.. _answers, free]; // readers keep the array they have
        }

        free.Prepare(version, subtrees);
        return free;
    }

    public float* Gradient(in HeldPiece piece, long firstFloat)
    {
        float* gradient = _answers[piece.Payload].GradientOf(piece.Subtree);
        return gradient is not null ? gradient + firstFloat : throw new InvalidOperationException($"Answer {piece.Payload} has no gradient of {piece.Subtree}.");
    }

    public float* State(in HeldState state) => _answers[state.Payload].States + _job.StateOffset(state.Shard);

    public void Dispose()
    {
        foreach (AnswerBuffers answer in _answers)
        {
            answer.Dispose();
        }
    }
}
