// The types that Hyperion writes as numbers, and the only ones it may read. They are positional: the same list in the same
// order on every node, so it is a part of the wire's version.
using System.Collections.Frozen;
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Akka.Messages;

/// <summary>What may travel between nodes of an Akka cluster.</summary>
internal static class KnownTypes
{
    /// <summary>The messages, then what they consist of. Append; never reorder.</summary>
    public static IReadOnlyList<Type> All { get; } =
    [
        typeof(JoinJob), typeof(JobOfferPart), typeof(JoinRefused), typeof(Carried), typeof(CoordinatorLeaves), typeof(JobEnded), typeof(JobEndHeard),

        typeof(WorkerHello), typeof(ServerHello), typeof(WelcomeParts), typeof(Refused), typeof(Rejoin), typeof(Heartbeat), typeof(Leave), typeof(Released),
        typeof(ClaimEpochParts), typeof(EpochAcceptedParts), typeof(EpochRefused), typeof(Shutdown), typeof(Alive), typeof(Assign), typeof(ShardsReported),
        typeof(AssignmentAbandoned), typeof(Prepared), typeof(DiscardPieces), typeof(CoverageRequest), typeof(Coverage), typeof(VerdictParts), typeof(Applied),
        typeof(ReplicaHolds), typeof(TakeSnapshot), typeof(SnapshotTaken), typeof(RangeFilled), typeof(StatusRequest), typeof(StatusReply), typeof(AddressBook),

        typeof(ActorId), typeof(ActorRole), typeof(PeerAddress), typeof(RangeMapParts), typeof(RangeOwner), typeof(Segment), typeof(HeldRange), typeof(Decision),
        typeof(VerdictKind), typeof(WorkKind), typeof(ShardRange), typeof(ShardReport), typeof(SubtreeReport), typeof(BlockSum), typeof(NodeStatus),
        typeof(NodeCondition), typeof(NamedCount),

        typeof(PeerAddress[]), typeof(RangeOwner[]), typeof(Segment[]), typeof(HeldRange[]), typeof(ShardRange[]), typeof(ShardReport[]), typeof(SubtreeReport[]),
        typeof(BlockSum[]), typeof(NodeStatus[]), typeof(NamedCount[]),

        typeof(RollCall), typeof(Present), typeof(ActorId[]),
    ];

    private static readonly FrozenSet<string> s_names = All.Select(type => Normalized(type.AssemblyQualifiedName!)).ToFrozenSet();

    /// <summary>Messages that travel on the links for blocks alone.</summary>
    public static IReadOnlyList<Type> OnBulkLinks { get; } =
    [
        typeof(Piece), typeof(StatePiece), typeof(ReducedCopy), typeof(ReadParameters), typeof(ParametersArrived), typeof(ReadState), typeof(StateArrived),
        typeof(ReadRefused), typeof(RangeCopy), typeof(RangePushed), typeof(ReadRows), typeof(RowsArrived), typeof(RowsRefused),
    ];

    /// <summary>A type's name without version, culture and key, as it is compared.</summary>
    public static string Normalized(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string[] parts = [.. name.Split(',', StringSplitOptions.TrimEntries)
            .Where(part => !part.StartsWith("Version=", StringComparison.OrdinalIgnoreCase)
                && !part.StartsWith("Culture=", StringComparison.OrdinalIgnoreCase)
                && !part.StartsWith("PublicKeyToken=", StringComparison.OrdinalIgnoreCase))];
        return string.Join(", ", parts);
    }

    /// <summary>Whether a type of this name may be read.</summary>
    public static bool IsAllowed(string name) => s_names.Contains(Normalized(name));
}
