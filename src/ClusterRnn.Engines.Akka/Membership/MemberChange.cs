// What a change of Akka's membership means here. Akka names nodes by address; an actor here has a number, and a process may
// host several: the coordinator's end knows who said where he is.
namespace ClusterRnn.Engines.Akka.Membership;

/// <summary>What happened to a node of the cluster.</summary>
internal enum MemberChange
{
    /// <summary>It is not heard of; it may come back.</summary>
    Unreachable,

    /// <summary>It is heard of again.</summary>
    Reachable,

    /// <summary>The split-brain resolver took it out: it is dead, or on the smaller side of a split.</summary>
    Downed,

    /// <summary>It is gone after it was downed.</summary>
    RemovedAfterCrash,

    /// <summary>It is gone after it said goodbye.</summary>
    RemovedAfterLeaving,
}

/// <summary>What the coordinator's end does about it.</summary>
/// <param name="Ends">Whether the node's actors are gone for good: the protocol is told that they are down.</param>
/// <param name="Reason">Why they are, in words.</param>
/// <param name="Warns">Whether a person should be told at once.</param>
internal readonly record struct MemberConsequence(bool Ends, string Reason, bool Warns);

/// <summary>Decides what follows.</summary>
internal static class MemberChanges
{
    /// <summary>What follows from a change.</summary>
    /// <param name="change">What happened.</param>
    /// <param name="node">The node's address, for people.</param>
    /// <param name="isLeaving">Whether this node is leaving itself: it then sees everybody removed, which says nothing about them.</param>
    public static MemberConsequence Of(MemberChange change, string node, bool isLeaving) => change switch
    {
        _ when isLeaving => default,
        // The protocol's own heartbeats and speculation bridge a short silence; only the resolver's word is final.
        MemberChange.Unreachable => new(false, $"{node} is not heard of", true),
        MemberChange.Reachable => new(false, $"{node} is heard of again", true),
        MemberChange.Downed => new(true, $"{node} was taken out of the cluster", true),
        MemberChange.RemovedAfterCrash => new(true, $"{node} was taken out of the cluster", false),
        _ => new(true, $"{node} has left the cluster", false),
    };
}
