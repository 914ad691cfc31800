// How a copy of a range gets its content. There is one way: whoever has it sends it, over the bulk path.
namespace ClusterRnn.Protocol.Messages;

/// <summary>
/// To a server that waits for the content of a range, over the bulk path: parameters, optimizer moments, accumulated
/// gradients and the committed states of the range's shards. The coordinator sends it to an owner (at the start, after a
/// rollback), an owner to its replica.
/// </summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">Its fence.</param>
/// <param name="Version">The version the content is at.</param>
/// <param name="Payload">Where the host keeps it.</param>
public sealed record RangeCopy(long Epoch, int Range, long Fence, long Version, long Payload) : Message;

/// <summary>Replica to owner: I have the content of this version. From here on reduced gradients keep me up. Or: I have none any more.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Range">The range.</param>
/// <param name="Fence">Its fence.</param>
/// <param name="Version">The version; -1 without content.</param>
public sealed record RangeFilled(long Epoch, int Range, long Fence, long Version) : Message;
