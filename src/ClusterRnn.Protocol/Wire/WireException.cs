namespace ClusterRnn.Protocol.Wire;

/// <summary>Bytes that are no message of this protocol. The message says what was expected and what was found.</summary>
public sealed class WireException(string message) : Exception(message);
