namespace ClusterRnn.Models;

/// <summary>A model that can't be built from its configuration: says which key, what was expected and what to do.</summary>
/// <param name="path">The key under <c>model</c> that is at fault, such as <c>layers[1].units</c>.</param>
/// <param name="message">What was expected, what was found, what to do.</param>
public sealed class ModelException(string path, string message) : Exception(message)
{
    /// <summary>The key under <c>model</c> that is at fault, such as <c>layers[1].units</c>.</summary>
    public string Path { get; } = path;
}
