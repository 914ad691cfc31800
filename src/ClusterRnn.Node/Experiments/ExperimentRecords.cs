// What a host tells of a run, real or simulated, and what an experiment came to. Times are seconds after the first committed
// step of the run: wall time where there are processes, virtual time in the simulator; what came before is negative.
using System.Text.Json.Serialization;
using ClusterRnn.Training;

namespace ClusterRnn.Node.Experiments;

/// <summary>What happened to a node, as the cluster or whoever runs it saw it.</summary>
public enum ClusterEventKind
{
    /// <summary>It joined.</summary>
    Joined,

    /// <summary>It left as asked, or at the end of the job.</summary>
    Left,

    /// <summary>It was late, and somebody else began its work as well.</summary>
    Suspected,

    /// <summary>The coordinator gave it up.</summary>
    Lost,

    /// <summary>A node noticed that the coordinator is gone.</summary>
    CoordinatorMissed,

    /// <summary>A new coordinator took over (an epoch was claimed).</summary>
    EpochClaimed,

    /// <summary>It took over a range from a lost server.</summary>
    Promoted,

    /// <summary>It holds a replica of a range again.</summary>
    Refilled,

    /// <summary>The job went back to a checkpoint.</summary>
    RolledBack,

    /// <summary>It answered something wrong, or damaged data was noticed.</summary>
    Faulty,

    /// <summary>It is not used any more.</summary>
    Quarantined,

    /// <summary>Something else that a person should know, such as a checkpoint that could not be written.</summary>
    Warning,

    /// <summary>No step has been committed for a while; the coordinator says what it waits for.</summary>
    Waiting,

    /// <summary>Its process was started.</summary>
    Started,

    /// <summary>Its process ended.</summary>
    Ended,
}

/// <summary>An event of a run.</summary>
/// <param name="Seconds">When.</param>
/// <param name="Kind">What.</param>
/// <param name="Node">To whom; null where it concerns the whole cluster.</param>
/// <param name="Text">The same in words.</param>
public sealed record ClusterEvent(double Seconds, ClusterEventKind Kind, NodeName? Node, string Text);

/// <summary>A committed step.</summary>
/// <param name="Seconds">When.</param>
/// <param name="Steps">How many steps were committed then; less than before after a rollback.</param>
public readonly record struct CommitPoint(double Seconds, long Steps);

/// <summary>The loss of a step.</summary>
/// <param name="Step">Steps committed with it.</param>
/// <param name="Loss">The mean training loss of its batch.</param>
public readonly record struct LossPoint(long Step, double Loss);

/// <summary>A fault that was played.</summary>
/// <param name="Action">The plan.</param>
/// <param name="Seconds">When it began.</param>
/// <param name="HealedSeconds">When it was over: the network healed, the process started again. Null when it has no end, or the run ended before.</param>
/// <param name="Steps">Steps committed when it began.</param>
/// <param name="Note">What was out of the ordinary, such as that its target was gone already; null for nothing.</param>
public sealed record PlayedFault(FaultAction Action, double Seconds, double? HealedSeconds, long Steps, string? Note = null);

/// <summary>Which samples a run counted, held against its data.</summary>
/// <param name="Steps">Steps committed.</param>
/// <param name="Samples">Samples they read.</param>
/// <param name="LostSamples">Samples that should have been read and were not.</param>
/// <param name="RepeatedSamples">Samples that counted more than once.</param>
/// <param name="DifferingShards">Shards that read other rows than they should.</param>
/// <param name="FirstOffence">What is wrong first, in words; null when nothing is.</param>
public sealed record LedgerFigures(long Steps, long Samples, long LostSamples, long RepeatedSamples, long DifferingShards, string? FirstOffence);

/// <summary>A run of an experiment.</summary>
public sealed record RunRecord
{
    /// <summary>"control", "run 1", ...</summary>
    public required string Name { get; init; }

    /// <summary>Why it did not end as it should; null when it did.</summary>
    public string? Failure { get; init; }

    /// <summary>The hash of the parameters; empty when there are none.</summary>
    public string ModelSha256 { get; init; } = "";

    /// <summary>The hash of all that moves with a step; empty when there is none.</summary>
    public string StateSha256 { get; init; } = "";

    /// <summary>Steps committed at the end.</summary>
    public long Steps { get; init; }

    /// <summary>From the first committed step to the last, in seconds.</summary>
    public double Seconds { get; init; }

    /// <summary>When steps were committed.</summary>
    public IReadOnlyList<CommitPoint> Commits { get; init; } = [];

    /// <summary>The training loss step by step.</summary>
    public IReadOnlyList<LossPoint> Losses { get; init; } = [];

    /// <summary>What happened, by time.</summary>
    public IReadOnlyList<ClusterEvent> Events { get; init; } = [];

    /// <summary>What was done to it, in the order in which it was done.</summary>
    public IReadOnlyList<PlayedFault> Faults { get; init; } = [];

    /// <summary>What was planned and never came: its step or time lay after the end.</summary>
    public IReadOnlyList<FaultAction> NotPlayed { get; init; } = [];

    /// <summary>The run's counters by the names of summary.json, over all coordinators that it had.</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } = new Dictionary<string, long>();

    /// <summary>The ledger; null when the run kept none.</summary>
    public LedgerFigures? Ledger { get; init; }

    /// <summary>The run's folder, or null when it left none.</summary>
    public string? Folder { get; init; }
}

/// <summary>A run that a host is asked for.</summary>
/// <param name="Name">"control", "run 1", ...</param>
/// <param name="Scenario">The scenario.</param>
/// <param name="Job">The job, with the scenario's settings.</param>
/// <param name="Actions">What is done to it; none in the control run.</param>
/// <param name="Folder">Where the run may write: a path at which there is nothing yet.</param>
public sealed record ExperimentRun(string Name, Scenario Scenario, ResolvedJob Job, IReadOnlyList<FaultAction> Actions, string Folder);

/// <summary>Where experiments are run: on real processes, or simulated.</summary>
public interface IExperimentHost
{
    /// <summary>Its name on the command line.</summary>
    string Name { get; }

    /// <summary>Why a fault can't be done here, and what to do instead; null when it can.</summary>
    string? WhyNot(FaultConfig fault);

    /// <summary>What running here needs and this machine lacks; null when nothing is missing.</summary>
    string? WhatIsMissing() => null;

    /// <summary>Runs a job under faults. A run that fails is a record that says so, not an exception.</summary>
    /// <param name="run">The run.</param>
    /// <param name="said">Is told what happens, in short lines.</param>
    /// <param name="cancellation">Ends it.</param>
    Task<RunRecord> RunAsync(ExperimentRun run, Action<string> said, CancellationToken cancellation);
}

/// <summary>An experiment that was carried out.</summary>
public sealed record ExperimentResult
{
    /// <summary>The scenario.</summary>
    public required Scenario Scenario { get; init; }

    /// <summary>The host's name.</summary>
    public required string Host { get; init; }

    /// <summary>The command that runs it again.</summary>
    public required string Command { get; init; }

    /// <summary>The program's version.</summary>
    public required string Version { get; init; }

    /// <summary>When it was begun.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The run without faults.</summary>
    public required RunRecord Control { get; init; }

    /// <summary>The runs with faults.</summary>
    public required IReadOnlyList<RunRecord> Runs { get; init; }

    /// <summary>Whether the times are virtual.</summary>
    [JsonIgnore]
    public bool IsSimulated => Host == "simulator";
}
