namespace ClusterRnn.Protocol;

/// <summary>
/// What a coordinator needs to know to give ranges to servers that come and go. Without one the map is fixed and its servers
/// bring their content with them, as in one process.
/// </summary>
/// <param name="Servers">How many servers it waits for before it starts, at least 1. More may come, and are spares.</param>
/// <param name="Replicas">How many copies of a range there are when enough servers are there: 1 or 2.</param>
/// <param name="Version">The version of the content that the coordinator's host can send (see <see cref="SendRangeCopy"/>) and that the policy is at: 0 or that of a checkpoint.</param>
/// <param name="Journal">What the journals of earlier epochs say; null for a job that starts.</param>
/// <param name="Predecessor">The epoch whose journal is continued, -1 when there is none.</param>
/// <param name="AdoptedBytes">How many bytes of that journal count.</param>
public sealed record ServerPlan(
    int Servers, int Replicas, long Version, JournalState? Journal = null, long Predecessor = -1, long AdoptedBytes = 0);
