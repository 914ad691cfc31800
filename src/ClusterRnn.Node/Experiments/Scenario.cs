// A scenario: a job, a cluster, and what is done to it. Read and checked like every config: unknown keys, wrong types and
// contradictions are complaints with file, line and column, and nothing has run before all of it has passed.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using ClusterRnn.Protocol;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Node.Experiments;

/// <summary>A fault-tolerance experiment.</summary>
[Description("A ClusterRnn fault-tolerance experiment.")]
public sealed record Scenario : IValidatableObject
{
    /// <summary>What the experiment is called. Null: the file's name.</summary>
    [Description("Name of the experiment. Default: the file's name.")]
    [MinLength(1)]
    public string? Name { get; init; }

    /// <summary>What it shows, for its report.</summary>
    [Description("What it shows, in a sentence, for the report.")]
    public string? Shows { get; init; }

    /// <summary>The job's config file, seen from the scenario's folder.</summary>
    [Description("The job's config file, seen from the scenario's folder.")]
    [MinLength(1)]
    public required string Config { get; init; }

    /// <summary>Keys of the config that are set to something else: <c>stop.epochs: 60</c>.</summary>
    [Description("Keys of the config that are set to something else, such as stop.epochs: 60.")]
    public IReadOnlyDictionary<string, string> Set { get; init; } = new Dictionary<string, string>();

    /// <summary>How many workers.</summary>
    [Description("Workers.")]
    [Range(1, 64)]
    public int Workers { get; init; } = 2;

    /// <summary>How many parameter servers.</summary>
    [Description("Parameter servers.")]
    [Range(1, 64)]
    public int Servers { get; init; } = 1;

    /// <summary>Copies of each server's range.</summary>
    [Description("Copies of each range of parameters: with 2, a lost server costs nothing.")]
    [Range(1, 2)]
    public int Replicas { get; init; } = 1;

    /// <summary>The seed of whatever the scenario leaves open: random targets and moments. The job has its own.</summary>
    [Description("Seed of random targets and moments. Each repetition draws its own; the job's seed is the config's.")]
    public ulong Seed { get; init; } = 1;

    /// <summary>How often the faults are played, after the undisturbed control run.</summary>
    [Description("How often it is run with the faults, after one run without.")]
    [Range(1, 1000)]
    public int Repetitions { get; init; } = 1;

    /// <summary>After how many seconds a run counts as failed.</summary>
    [Description("After how many seconds a run that has not ended counts as failed.")]
    [Range(1.0, 86400.0)]
    public double Deadline { get; init; } = 300;

    /// <summary>What is done to the cluster.</summary>
    [Description("What is done to the cluster.")]
    [MinLength(1)]
    public required IReadOnlyList<FaultConfig> Faults { get; init; }

    /// <summary>Everyone in the cluster: the coordinator, the workers, the servers.</summary>
    public IReadOnlyList<NodeName> AllNodes()
        => [NodeName.Coordinator, .. Enumerable.Range(0, Workers).Select(NodeName.Worker), .. Enumerable.Range(0, Servers).Select(NodeName.Server)];

    /// <summary>Loads a scenario; the file's name becomes its name if it has none.</summary>
    /// <param name="path">The scenario's file.</param>
    /// <param name="assignments">What the command line sets beside it.</param>
    /// <exception cref="ConfigException">The file can't be read or is not valid; the message is for the user.</exception>
    public static BoundConfig<Scenario> Load(string path, IEnumerable<ConfigAssignment>? assignments = null)
    {
        BoundConfig<Scenario> bound = ConfigLoader.Load<Scenario>(path, assignments);
        return bound with { Value = bound.Value with { Name = bound.Value.Name ?? Path.GetFileNameWithoutExtension(path) } };
    }

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Replicas > Servers)
        {
            yield return new ValidationResult($"'replicas' is {Replicas}, but there is {Servers} server to hold them; expected at least as many servers", [nameof(Replicas)]);
        }

        for (int i = 0; i < Faults.Count; i++)
        {
            foreach ((string key, string problem) in ProblemsOf(Faults[i], $"faults[{i}]"))
            {
                yield return new ValidationResult(problem, [key]);
            }
        }
    }

    private IEnumerable<(string Key, string Problem)> ProblemsOf(FaultConfig fault, string path)
    {
        int ways = (fault.Step is null ? 0 : 1) + (fault.At is null ? 0 : 1) + (fault.PerMinute is null ? 0 : 1);
        if (ways != 1)
        {
            yield return (path, $"'{path}' needs one of 'step' (after so many steps), 'at' (seconds after the first step) and 'perMinute' (at random moments); found {(ways == 0 ? "none" : "more than one")}");
        }
        else if (fault.PerMinute is not null && fault.Until is null)
        {
            yield return (path, $"'{path}' has 'perMinute' and needs 'until': the seconds after the first step at which it stops");
        }
        else if (fault.PerMinute is null && fault.Until is not null)
        {
            yield return (path + ".until", $"'{path}.until' says where 'perMinute' ends; there is no 'perMinute' here{(fault is LastingFault or KillFault ? ". How long the fault lasts is 'duration'" : "")}");
        }

        if (NodeName.TryParse(fault.Target) is { } node && WhyNot(node, path + ".target") is { } missing)
        {
            yield return (path + ".target", missing);
        }
        else if (!FaultSchedule.Candidates(this, fault).Any())
        {
            yield return (path + ".target", $"'{path}.target' is {fault.Target}, which this '{fault.Kind}' can't hit; expected {FaultSchedule.WhomItHits(fault)}");
        }

        IReadOnlyList<string> peers = (fault as NetworkFault)?.Peers ?? (fault as CorruptFault)?.Peers ?? [];
        for (int i = 0; i < peers.Count; i++)
        {
            string key = $"{path}.peers[{i}]";
            if (NodeName.TryParse(peers[i]) is not { } peer)
            {
                yield return (key, $"'{key}' expects coordinator, worker-N or server-N; found '{peers[i]}'");
            }
            else if (WhyNot(peer, key) is { } absent)
            {
                yield return (key, absent);
            }
            else if (peers[i] == fault.Target)
            {
                yield return (key, $"'{key}' is the target itself; expected another node");
            }
        }

        if (fault is LatencyFault { Jitter: var jitter, Milliseconds: var latency } && jitter > latency)
        {
            yield return (path + ".jitter", $"'{path}.jitter' is {jitter} ms, more than the latency of {latency} ms: nothing arrives before it is sent");
        }

        if (fault is KillFault { Restart: false, Duration: > 0 })
        {
            yield return (path + ".duration", $"'{path}.duration' says when the node is started again, and 'restart: false' that it is not; leave one of them out");
        }
    }

    private string? WhyNot(NodeName node, string path)
    {
        int count = node.Role switch { ActorRole.Worker => Workers, ActorRole.Server => Servers, _ => 1 };
        string role = node.Role == ActorRole.Worker ? "worker" : "server";
        return node.Place < count ? null
            : $"'{path}' is {node}, and there {(count == 1 ? $"is one {role}, {role}-0" : $"are {count} {role}s, {role}-0 to {role}-{count - 1}")}";
    }
}
