// A network that an experiment can cut, slow down and damage: what holds between which nodes. The proxies carry the bytes and
// ask here about each piece of them.
//
//     var network = new FaultyNetwork(seed: 1);
//     await using var proxy = new FaultyProxy(network, listen, to, NodeName.Server(0), caller => ...);
//     NetworkCondition cut = network.Begin(new NetworkCondition(worker, peers: [], FaultDirection.In) { IsCut = true }); ...; network.End(cut);
using ClusterRnn.Kernels.Random;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol.Wire;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>What holds for the bytes between a node and others while a fault lasts.</summary>
/// <param name="Node">The node.</param>
/// <param name="Peers">The others; empty means everyone.</param>
/// <param name="Direction">Which way, seen from the node.</param>
public sealed record NetworkCondition(NodeName Node, IReadOnlyList<NodeName> Peers, FaultDirection Direction = FaultDirection.Both)
{
    /// <summary>Nothing comes through; what was sent meanwhile arrives when it is over, as after TCP's own repetitions.</summary>
    public bool IsCut { get; init; }

    /// <summary>With <see cref="IsCut"/>: what was sent meanwhile never arrives, and connections that carried some are of no use any more.</summary>
    public bool Swallows { get; init; }

    /// <summary>How much later everything arrives.</summary>
    public TimeSpan Latency { get; init; }

    /// <summary>How much more or less than that at most.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>The share of packets that are lost, 0 to 1; TCP sends them again after its timeout.</summary>
    public double Loss { get; init; }

    /// <summary>How many bytes come through in a second, each way of each connection; 0 for any number.</summary>
    public double BytesPerSecond { get; init; }

    /// <summary>Ends with the condition.</summary>
    internal TaskCompletionSource Over { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whether it holds for bytes on this way. A caller that is not known yet is nobody's target.</summary>
    internal bool HoldsFor(NodeName? from, NodeName? to)
        => (Direction != FaultDirection.In && from == Node && IsPeer(to)) || (Direction != FaultDirection.Out && to == Node && IsPeer(from));

    private bool IsPeer(NodeName? other) => Peers.Count == 0 || (other is { } node && Peers.Contains(node));
}

/// <summary>The conditions between the nodes of a cluster.</summary>
/// <param name="seed">The seed of what is lost and how much jitter there is.</param>
public sealed class FaultyNetwork(ulong seed)
{
    private static readonly TimeSpan s_retransmission = TimeSpan.FromMilliseconds(200); // Linux's least retransmission timeout
    private const int MostRetransmissions = 6;

    private readonly Lock _gate = new();
    private readonly List<Damage> _damages = [];
    private NetworkCondition[] _conditions = []; // replaced as a whole
    private long _draws;

    /// <summary>Begins a condition.</summary>
    public NetworkCondition Begin(NetworkCondition condition)
    {
        lock (_gate)
        {
            _conditions = [.. _conditions, condition];
        }

        return condition;
    }

    /// <summary>Ends a condition: what it held back is let go.</summary>
    public void End(NetworkCondition condition)
    {
        ArgumentNullException.ThrowIfNull(condition);
        lock (_gate)
        {
            _conditions = [.. _conditions.Where(c => !ReferenceEquals(c, condition))];
        }

        condition.Over.TrySetResult();
    }

    /// <summary>Ends every condition.</summary>
    public void EndAll()
    {
        foreach (NetworkCondition condition in Volatile.Read(ref _conditions))
        {
            End(condition);
        }
    }

    /// <summary>Flips one bit each of the next messages between a node and others.</summary>
    /// <param name="node">The node.</param>
    /// <param name="peers">The others; empty means everyone.</param>
    /// <param name="count">How many messages.</param>
    /// <param name="kind">Only in such frames: in a bulk frame's block, in a control frame's message; null is either.</param>
    /// <returns>Ends when all are damaged.</returns>
    public Task FlipBits(NodeName node, IReadOnlyList<NodeName> peers, int count, FrameKind? kind = null)
    {
        var damage = new Damage(new NetworkCondition(node, peers), kind) { Left = count };
        lock (_gate)
        {
            _damages.Add(damage);
        }

        return damage.Done.Task;
    }

    /// <summary>The cut that holds on this way, or null.</summary>
    internal NetworkCondition? CutOn(NodeName? from, NodeName? to)
    {
        foreach (NetworkCondition condition in Volatile.Read(ref _conditions))
        {
            if (condition.IsCut && condition.HoldsFor(from, to))
            {
                return condition;
            }
        }

        return null;
    }

    /// <summary>How much later a piece arrives, and how long it takes the line.</summary>
    internal (TimeSpan Late, TimeSpan Sending) DelaysOf(NodeName? from, NodeName? to, int bytes)
    {
        TimeSpan late = TimeSpan.Zero, sending = TimeSpan.Zero;
        foreach (NetworkCondition condition in Volatile.Read(ref _conditions))
        {
            if (condition.IsCut || !condition.HoldsFor(from, to))
            {
                continue;
            }

            late += condition.Latency + (condition.Jitter * ((2 * Draw()) - 1));
            for (int again = 0; condition.Loss > 0 && again < MostRetransmissions && Draw() < condition.Loss; again++)
            {
                late += s_retransmission * (1 << again);
            }

            if (condition.BytesPerSecond > 0)
            {
                sending += TimeSpan.FromSeconds(bytes / condition.BytesPerSecond);
            }
        }

        return (late < TimeSpan.Zero ? TimeSpan.Zero : late, sending);
    }

    /// <summary>Flips a bit of a piece if one is due on this way and a message begins with the piece.</summary>
    internal void DamageIfDue(NodeName? from, NodeName? to, Span<byte> piece)
    {
        lock (_gate)
        {
            foreach (Damage damage in _damages)
            {
                if (damage.Where.HoldsFor(from, to) && PlaceIn(piece, damage.Kind) is { } place)
                {
                    piece[place] ^= 0x10;
                    if (--damage.Left == 0)
                    {
                        _damages.Remove(damage);
                        damage.Done.TrySetResult();
                    }

                    return;
                }
            }
        }
    }

    // A byte in the middle of the frame that begins where the piece does: of the block if it has one, else of the message.
    private static int? PlaceIn(ReadOnlySpan<byte> piece, FrameKind? kind)
    {
        try
        {
            FrameHeader header = FrameHeader.Read(piece);
            bool isBlock = header.Kind == FrameKind.Bulk && header.PayloadBytes > 0;
            long place = isBlock ? FrameHeader.Size + header.MetaBytes + (header.PayloadBytes / 2) : FrameHeader.Size + (header.MetaBytes / 2);
            bool isMeant = kind is null || kind == header.Kind;
            return isMeant && place < piece.Length && (isBlock || (header.Kind == FrameKind.Control && header.MetaBytes > 0)) ? (int)place : null;
        }
        catch (WireException)
        {
            return null; // a handshake, or the middle of a frame
        }
    }

    private double Draw()
    {
        (uint low, uint high, _, _) = Philox.Block(seed, 0, (ulong)Interlocked.Increment(ref _draws));
        return ((((ulong)high << 32) | low) >> 11) * (1.0 / (1L << 53));
    }

    private sealed class Damage(NetworkCondition where, FrameKind? kind)
    {
        public readonly NetworkCondition Where = where;
        public readonly FrameKind? Kind = kind;
        public readonly TaskCompletionSource Done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public int Left;
    }
}
