namespace ClusterRnn.Training;

/// <summary>A training that can't be set up, continued or saved, with a message that says what was expected, what was found and what to do.</summary>
public class TrainingException : Exception
{
    /// <summary>Reports an error.</summary>
    public TrainingException(string message)
        : base(message)
    {
    }

    /// <summary>Reports an error with what caused it.</summary>
    public TrainingException(string message, Exception cause)
        : base(message, cause)
    {
    }
}
