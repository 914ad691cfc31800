namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>A link, a listener or its security can't be used. The message says what was expected, what was found and what to do.</summary>
public sealed class TransportException : IOException
{
    /// <summary>Whether one end refused the other, because of its certificate or its token, say: asking again changes nothing.</summary>
    public bool IsRefusal { get; init; }

    /// <summary>With a message for the user.</summary>
    public TransportException(string message)
        : base(message)
    {
    }

    /// <summary>With a message for the user and what caused it.</summary>
    public TransportException(string message, Exception cause)
        : base(message, cause)
    {
    }
}
