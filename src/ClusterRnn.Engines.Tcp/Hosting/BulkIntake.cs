// Takes blocks in: memory from the pool, then the message with its payload's number to whoever waits for it.
using System.Collections.Concurrent;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>What a node does with what comes over its bulk links.</summary>
internal interface IBulkNode
{
    /// <summary>How many floats a message's block must have; -1 when the node takes no such block (now).</summary>
    long ExpectedFloats(Message message);

    /// <summary>A message has arrived, its payload rented from the pool. Called on a link's thread; must not wait.</summary>
    void Arrived(BulkLink link, ActorId from, ActorId to, Message message);

    /// <summary>A link opened or closed.</summary>
    void Changed(BulkLink link, string? closedBecause);
}

/// <summary>The bulk links' handler of a node.</summary>
internal sealed unsafe class BulkIntake(IBulkNode node, BlockPool pool, Action damaged) : IBulkHandler
{
    private readonly ConcurrentDictionary<nint, long> _numbers = [];

    /// <inheritdoc/>
    public void Opened(BulkLink link) => node.Changed(link, null);

    /// <inheritdoc/>
    public float* Reserve(BulkLink link, in Envelope envelope, long epoch, long step, long floats)
    {
        if (node.ExpectedFloats(envelope.Message) != floats)
        {
            return null;
        }

        float* block = pool.Rent(floats, out long number);
        if (block is not null)
        {
            _numbers[(nint)block] = number;
        }

        return block;
    }

    /// <inheritdoc/>
    public void Arrived(BulkLink link, in Envelope envelope, float* payload, long floats)
    {
        long number = 0;
        if (payload is not null)
        {
            _numbers.TryRemove((nint)payload, out number);
        }

        Message message = envelope.Message switch
        {
            Piece piece => piece with { Payload = number },
            StatePiece state => state with { Payload = number },
            StateArrived state => state with { Payload = number },
            ReducedCopy copy => copy with { Payload = number },
            RangeCopy copy => copy with { Payload = number },
            RangePushed pushed => pushed with { Payload = number },
            RowsArrived rows => rows with { Payload = number },
            _ => envelope.Message,
        };
        if (message is ParametersArrived && payload is not null)
        {
            node.Arrived(link, envelope.From, envelope.To, new ParametersBlock((ParametersArrived)message, number));
            return;
        }

        node.Arrived(link, envelope.From, envelope.To, message);
    }

    /// <inheritdoc/>
    public void Dropped(BulkLink link, in Envelope envelope, float* payload, long floats, bool isDamaged)
    {
        if (_numbers.TryRemove((nint)payload, out long number))
        {
            pool.Return(number);
        }

        if (isDamaged)
        {
            damaged();
        }
    }

    /// <inheritdoc/>
    public void Closed(BulkLink link, string reason) => node.Changed(link, reason);
}

/// <summary>Parameters with the block that holds them; the actor is told without.</summary>
internal sealed record ParametersBlock(ParametersArrived Arrived, long Payload) : Message;
