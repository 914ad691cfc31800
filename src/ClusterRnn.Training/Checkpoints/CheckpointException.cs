namespace ClusterRnn.Training.Checkpoints;

/// <summary>Why a checkpoint can't be used.</summary>
public enum CheckpointFault
{
    /// <summary>A file is missing or can't be read.</summary>
    Unreadable,

    /// <summary>A file ends too early.</summary>
    Truncated,

    /// <summary>A file's content is not what was written.</summary>
    Corrupted,

    /// <summary>It is not a checkpoint, or one of another program or version.</summary>
    Foreign,

    /// <summary>It was made with another number of shards, which would lead to other bits.</summary>
    OtherShards,

    /// <summary>It was made with other data.</summary>
    OtherData,

    /// <summary>It was made with another model, optimizer or seed.</summary>
    OtherJob,
}

/// <summary>A checkpoint, or a file of one, that can't be used, with what was expected, what was found and where.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Reports a fault.</summary>
    public CheckpointException(CheckpointFault fault, string message)
        : base(message) => Fault = fault;

    /// <summary>Reports a fault with what caused it.</summary>
    public CheckpointException(CheckpointFault fault, string message, Exception cause)
        : base(message, cause) => Fault = fault;

    /// <summary>What is wrong.</summary>
    public CheckpointFault Fault { get; }
}
