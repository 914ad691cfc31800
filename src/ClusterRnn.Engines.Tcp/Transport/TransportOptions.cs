using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Tcp.Transport;

/// <summary>The bounds of links and listeners. The defaults suit processes on one machine and machines in one room.</summary>
public sealed record TransportOptions
{
    /// <summary>How long a peer may take from connecting to being accepted, TLS included.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>After how much silence of its own a link says that it is there.</summary>
    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>After how much silence a peer counts as gone: its cable is cut, or its process is stopped.</summary>
    public TimeSpan SilenceTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a frame may take beyond what <see cref="SlowestBytesPerSecond"/> allows it, coming in or going out.</summary>
    public TimeSpan FrameTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The slowest network on which a frame still counts as on its way.</summary>
    public long SlowestBytesPerSecond { get; init; } = 256 << 10;

    /// <summary>How long closing a link waits for what is queued on it.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The most connections of one listener, those that have not proved anything included.</summary>
    public int MaximumConnections { get; init; } = 2 * (Limits.MaximumWorkers + Limits.MaximumRanges);

    /// <summary>The most bytes that wait on a control link.</summary>
    public int ControlQueueBytes { get; init; } = 4 * Limits.MaximumControlBytes;

    /// <summary>The most blocks that wait on a bulk link.</summary>
    public int BulkQueueBlocks { get; init; } = 65_536;

    /// <summary>The bytes of a block that are summed and handed to the socket at a time; they should stay in cache meanwhile.</summary>
    public int BulkChunkBytes { get; init; } = 256 << 10;
}
