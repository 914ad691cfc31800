// From a scenario to the list of what is done: random targets and moments are drawn here, from the seed, so that both hosts
// do the same and a plan can be printed before anything runs.
using ClusterRnn.Kernels.Random;
using ClusterRnn.Protocol;

namespace ClusterRnn.Node.Experiments;

/// <summary>A fault with everything that the scenario left open decided.</summary>
/// <param name="Number">Its number in the report, from 1.</param>
/// <param name="Fault">What is done.</param>
/// <param name="Target">To whom.</param>
/// <param name="Step">Once so many steps are committed; null where <paramref name="Seconds"/> says when.</param>
/// <param name="Seconds">So many seconds after the first step was committed; null where <paramref name="Step"/> says when.</param>
public sealed record FaultAction(int Number, FaultConfig Fault, NodeName Target, long? Step, double? Seconds)
{
    /// <summary>When in words: "at step 40", "after 6 s".</summary>
    public string When => Step is { } step ? FormattableString.Invariant($"at step {step}") : FormattableString.Invariant($"after {Seconds:0.##} s");

    /// <summary>Whom and what in words: "worker-1 killed and started again".</summary>
    public string What => $"{Target} {(Fault is PauseFault or KillFault or PartitionFault or SlowFault ? "" : "– ")}{Fault.Words}";

    /// <summary>Between the target and whom a network fault works; empty for every other node.</summary>
    public IReadOnlyList<NodeName> Peers()
        => [.. ((Fault as NetworkFault)?.Peers ?? (Fault as CorruptFault)?.Peers ?? []).Select(name => NodeName.TryParse(name)!.Value)];
}

/// <summary>Decides what a scenario leaves open.</summary>
public static class FaultSchedule
{
    /// <summary>What is done in a repetition: those at a step by step, then those at a time by time; equal ones in the order of the file.</summary>
    /// <param name="scenario">The scenario, checked.</param>
    /// <param name="repetition">Which run, from 0: each draws targets and moments of its own.</param>
    public static IReadOnlyList<FaultAction> Resolve(Scenario scenario, int repetition)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        var actions = new List<FaultAction>();
        for (int i = 0; i < scenario.Faults.Count; i++)
        {
            FaultConfig fault = scenario.Faults[i];
            NodeName[] candidates = [.. Candidates(scenario, fault)];
            int draw = 0;
            double[] moments = fault.PerMinute is { } rate ? Moments(rate, fault.Until!.Value) : [fault.At ?? double.NaN];
            foreach (double moment in moments)
            {
                NodeName target = candidates[(int)Math.Min(candidates.Length - 1, Draw() * candidates.Length)];
                actions.Add(new FaultAction(0, fault, target, fault.Step, fault.Step is null ? moment : null));
            }

            // Given how many there are, the moments of a Poisson process lie anywhere with equal chances.
            double[] Moments(double perMinute, double until)
            {
                double[] drawn = [.. Enumerable.Range(0, Math.Max(1, (int)Math.Round(perMinute * until / 60))).Select(_ => Math.Round(Draw() * until, 3))];
                Array.Sort(drawn);
                return drawn;
            }

            double Draw()
            {
                (uint low, uint high, _, _) = Philox.Block(scenario.Seed, ((ulong)(uint)repetition << 32) | (uint)i, (ulong)draw++);
                return ((((ulong)high << 32) | low) >> 11) * (1.0 / (1L << 53));
            }
        }

        return [.. actions.OrderBy(a => a.Step is null).ThenBy(a => a.Step ?? 0).ThenBy(a => a.Seconds ?? 0).Select((action, i) => action with { Number = i + 1 })];
    }

    /// <summary>The nodes that a fault may hit, as its target says.</summary>
    public static IEnumerable<NodeName> Candidates(Scenario scenario, FaultConfig fault)
    {
        ArgumentNullException.ThrowIfNull(scenario);
        ArgumentNullException.ThrowIfNull(fault);
        return scenario.AllNodes().Where(node => CanHit(fault, node.Role) && fault.Target switch
        {
            "random" => true,
            "random-worker" => node.Role == ActorRole.Worker,
            "random-server" => node.Role == ActorRole.Server,
            _ => node.ToString() == fault.Target,
        });
    }

    /// <summary>Whom a fault can hit, in words.</summary>
    public static string WhomItHits(FaultConfig fault) => fault switch
    {
        DiskFullFault => "coordinator, which writes the checkpoints",
        NanFault or WrongBitsFault => "a worker, or random-worker",
        KillFault { Restart: false } => "a worker or a server: a job whose coordinator is not started again never ends",
        _ => "any node",
    };

    private static bool CanHit(FaultConfig fault, ActorRole role) => fault switch
    {
        DiskFullFault => role == ActorRole.Coordinator,
        NanFault or WrongBitsFault => role == ActorRole.Worker,
        KillFault { Restart: false } => role != ActorRole.Coordinator,
        _ => true,
    };
}
