namespace ClusterRnn.Engines.Simulator.Network;

/// <summary>What a network does when nothing is wrong with it in particular. Times are in ticks.</summary>
internal sealed record NetworkProfile
{
    /// <summary>A network without losses, in which messages arrive within two milliseconds.</summary>
    public static readonly NetworkProfile Calm = new();

    /// <summary>The least delay.</summary>
    public long LeastDelay { get; init; } = 1;

    /// <summary>The most delay of most messages.</summary>
    public long MostDelay { get; init; } = 2_000;

    /// <summary>How many take longer.</summary>
    public double TailChance { get; init; }

    /// <summary>The most delay of those.</summary>
    public long TailDelay { get; init; } = 40_000;

    /// <summary>How many messages are lost.</summary>
    public double Loss { get; init; }

    /// <summary>How many messages arrive twice.</summary>
    public double Duplicate { get; init; }

    /// <summary>Bytes a second from one node to another; 0 means as many as come.</summary>
    public long BytesPerSecond { get; init; }

    /// <summary>Whether messages from one node to another arrive in their order and losses only delay, as over TCP.</summary>
    public bool IsReliable { get; init; }

    /// <inheritdoc/>
    public override string ToString()
        => $"delays up to {MostDelay / 1000.0:0.#} ms, {TailChance:P0} up to {TailDelay / 1000.0:0.#} ms, {Loss:P1} lost, {Duplicate:P1} twice{(IsReliable ? ", in order" : "")}";
}
