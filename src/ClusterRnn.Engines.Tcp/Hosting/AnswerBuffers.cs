// What a worker computed, for as long as it may be asked for: gradients of the range's subtrees and the states after its
// shards. An answer is used again when the actor has released it and nothing of it is being sent any more.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Node;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>The buffers of one answer.</summary>
internal sealed class AnswerBuffers(TrainingJob job) : AnswerMemory(job)
{
    private int _users;

    /// <summary>The assignment it answers.</summary>
    public long Assignment { get; private set; } = -1;

    /// <summary>Whether nobody needs it.</summary>
    public bool IsFree => Volatile.Read(ref _users) == 0;

    /// <summary>Takes it for an assignment, with one user: the actor.</summary>
    public void Take(long assignment, ShardRange[] subtrees)
    {
        Assignment = assignment;
        Prepare(subtrees);
        Volatile.Write(ref _users, 1);
    }

    /// <summary>One user more: a block on its way.</summary>
    public void Use() => Interlocked.Increment(ref _users);

    /// <summary>One user less.</summary>
    public void Done() => Interlocked.Decrement(ref _users);
}

/// <summary>The answers of a worker. Used on its actor's thread, but for <see cref="AnswerBuffers.Done"/>.</summary>
internal sealed class AnswerPool(TrainingJob job) : IDisposable
{
    private readonly List<AnswerBuffers> _answers = [];

    /// <summary>Buffers for an answer.</summary>
    public AnswerBuffers Rent(long assignment, ShardRange[] subtrees)
    {
        AnswerBuffers? free = null;
        foreach (AnswerBuffers answer in _answers)
        {
            free = answer.IsFree ? answer : free;
        }

        if (free is null)
        {
            free = new AnswerBuffers(job);
            _answers.Add(free);
        }

        free.Take(assignment, subtrees);
        return free;
    }

    /// <summary>The answer to an assignment, or null if it was released.</summary>
    public AnswerBuffers? Find(long assignment)
    {
        foreach (AnswerBuffers answer in _answers)
        {
            if (answer.Assignment == assignment && !answer.IsFree)
            {
                return answer;
            }
        }

        return null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (AnswerBuffers answer in _answers)
        {
            answer.Dispose();
        }
    }
}
