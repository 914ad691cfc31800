namespace ClusterRnn.Data.Fetching;

/// <summary>A file can't be had from the network, or is not what was expected. The message says which, what was found and what to do.</summary>
public sealed class FetchException(string message, Exception? inner = null) : IOException(message, inner);
