using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Journal;

/// <summary>Another coordinator has taken over: this one ends, and the job goes on. So nobody is told that the job has ended.</summary>
/// <param name="message">How that is known.</param>
/// <param name="cause">What failed because of it; null when nothing did.</param>
public sealed class OvertakenException(string message, Exception? cause = null) : TrainingException(message, cause);
