using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Tests.Experiments;

/// <summary>An experiment that never ran: what became of it is known, because it was written down by hand.</summary>
internal static class FixedExperiment
{
    public const string Model = "11112222333344445555666677778888999900001111222233334444555566667777"; // any text will do

    /// <summary>Ten steps a second for ten seconds.</summary>
    public static RunRecord Control { get; } = new()
    {
        Name = "control",
        ModelSha256 = Model,
        StateSha256 = "state",
        Steps = 101,
        Seconds = 10,
        Commits = [.. Enumerable.Range(0, 101).Select(i => new CommitPoint(i / 10.0, i + 1))],
        Losses = [.. Enumerable.Range(0, 101).Select(i => new LossPoint(i + 1, 3 - (i * 0.01)))],
        Events = [Event(-1, ClusterEventKind.Started, "worker-0"), Event(-0.5, ClusterEventKind.Joined, "worker-0"), Event(-0.5, ClusterEventKind.Joined, "worker-1")],
        Ledger = new LedgerFigures(101, 606, 0, 0, 0, null),
        Counters = new Dictionary<string, long> { ["lostShards"] = 0 },
    };

    public static Scenario Scenario { get; } = new()
    {
        Name = "by-hand",
        Shows = "What a report <says>.",
        Config = "tiny.yaml",
        Workers = 2,
        Servers = 1,
        Faults =
        [
            new KillFault { Target = "worker-1", At = 2, Duration = 1 },
            new PauseFault { Target = "server-0", At = 6, Duration = 1.5 },
            new LatencyFault { Target = "worker-0", At = 9, Duration = 0.5, Milliseconds = 5 },
        ],
    };

    /// <summary>A worker killed at 2 s, noticed after 0.05 s, training again after 0.7 s; a server stopped from 6 to 7.5 s, unnoticed; a little latency that nobody felt.</summary>
    public static RunRecord Disturbed { get; } = Control with
    {
        Name = "run 1",
        Seconds = 12.1,
        Commits = [.. Enumerable.Range(0, 101).Select(i => new CommitPoint((i / 10.0) + (i > 20 ? 0.6 : 0) + (i > 54 ? 1.5 : 0), i + 1))],
        Events =
        [
            .. Control.Events,
            Event(1, ClusterEventKind.Suspected, "worker-1", "worker-1 is late, before anything was done"),
            Event(2, ClusterEventKind.Ended, "worker-1"),
            Event(2.02, ClusterEventKind.Suspected, "worker-0", "another one is late"),
            Event(2.05, ClusterEventKind.Lost, "worker-1", "worker-1 is lost: its connection ended"),
            Event(3, ClusterEventKind.Started, "worker-1"),
            Event(3.6, ClusterEventKind.Joined, "worker-1"),
        ],
        Faults = [.. FaultSchedule.Resolve(Scenario, 0).Select(a => new PlayedFault(a, a.Seconds!.Value, a.Seconds + a.Fault.Lasts, 20))],
        Counters = new Dictionary<string, long> { ["lostShards"] = 2, ["speculativeShards"] = 5, ["rollbackShards"] = 0, ["disputedShards"] = 1 },
    };

    public static ExperimentFindings Findings(params RunRecord[] runs) => ExperimentFindings.Of(new ExperimentResult
    {
        Scenario = Scenario,
        Host = "processes",
        Command = "clusterrnn experiment by-hand.yaml",
        Version = "1.2.3",
        Started = new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero),
        Control = Control,
        Runs = runs,
    });

    public static ClusterEvent Event(double seconds, ClusterEventKind kind, string node, string? text = null) => new(seconds, kind, NodeName.TryParse(node), text ?? $"{node} {kind}");
}
