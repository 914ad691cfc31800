// Experiments in virtual time: the same scenario files as on real processes, the user's own job and data, the real model. What
// takes time takes it on a model of the cluster; what is computed is computed for real, so the answer is the same, bit for bit.
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Engines.Simulator.Network;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Engines.Simulator;

/// <summary>Runs experiments in the simulator.</summary>
public sealed class SimulatorHost : IExperimentHost
{
    private const long RestartTicks = 300_000; // a process needs so long to be there again
    private const double FlopsPerTick = 5_000; // five billion a second: what a step costs, roughly
    private const long LeastTicksPerShard = 200;

    private static readonly NetworkProfile s_network = new()
    {
        LeastDelay = 50,
        MostDelay = 300,
        BytesPerSecond = 1_000_000_000,
        IsReliable = true,
    };

    private readonly Lock _gate = new();
    private (TrainingJob Job, int Servers, SimulatedJob Simulated)? _last; // control run and repetitions compute the same

    /// <inheritdoc/>
    public string Name => "simulator";

    /// <inheritdoc/>
    public string? WhyNot(FaultConfig fault) => null;

    /// <inheritdoc/>
    public Task<RunRecord> RunAsync(ExperimentRun run, Action<string> said, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(said);
        return Task.Run(() => Run(run, said, cancellation), CancellationToken.None);
    }

    private RunRecord Run(ExperimentRun run, Action<string> said, CancellationToken cancellation)
    {
        SimulatedJob job = JobOf(run);
        var faults = new List<FaultEvent>();
        var log = new ExperimentLog(said);
        long longest = (long)(run.Scenario.Deadline * Instant.TicksPerSecond);
        foreach (FaultAction action in run.Actions)
        {
            foreach (FaultEvent fault in EventsOf(action, longest))
            {
                faults.Add(fault);
                log.Add(fault, action);
            }
        }

        using var simulation = new Simulation(
            new SimulationPlan
            {
                Seed = (long)run.Scenario.Seed,
                Job = job,
                Workers = run.Scenario.Workers,
                Replicas = run.Scenario.Replicas,
                SendsEarly = true,
                Network = s_network,
                Times = new ProtocolTimes(),
                TicksPerShard = TicksPerShard(job),
                Faults = faults,
                LongestTicks = longest,
                IsChecked = false,
            },
            log: log);
        log.Simulation = simulation;
        Outcome outcome = simulation.Run(cancellation);
        return log.Record(run, outcome, LedgerOf(simulation, job, outcome));
    }

    private static LedgerFigures? LedgerOf(Simulation simulation, SimulatedJob job, Outcome outcome)
    {
        try
        {
            LedgerReport report = Ledger.Verify(JournalChain.ReadRecords(new SimulatedJournal(simulation.Disk)), job.Job, 0, outcome.Final?.Version);
            return new LedgerFigures(report.Steps, report.Samples, report.LostSamples, report.RepeatedSamples, report.DifferingShards, report.FirstOffence);
        }
        catch (TrainingException)
        {
            return null; // it failed before there was one
        }
    }

    private static IEnumerable<FaultEvent> EventsOf(FaultAction action, long forGood)
    {
        FaultConfig fault = action.Fault;
        long atStep = action.Step ?? 1; // times count from the first committed step
        long after = action.Step is null ? Ticks(action.Seconds ?? 0) : 0;
        if (atStep == 0)
        {
            atStep = -1;
        }

        long lasts = fault.Lasts is { } seconds ? Ticks(seconds) : 1;
        var network = fault as NetworkFault;
        IReadOnlyList<NodeName>? peers = action.Peers() is { Count: > 0 } named ? named : null;
        FaultEvent Of(FaultKind kind, double amount = 0, long? ticks = null)
            => new(kind, action.Target, atStep, after, ticks ?? lasts, amount, network?.Direction ?? FaultDirection.Both, peers);
        switch (fault)
        {
            case KillFault kill:
                yield return Of(FaultKind.Kill, 1, kill.Restart ? Ticks(kill.Duration) + RestartTicks : forGood);
                break;
            case PauseFault:
                yield return Of(FaultKind.Pause);
                break;
            case PartitionFault:
                yield return Of(FaultKind.Cut);
                break;
            case LatencyFault latency:
                yield return Of(FaultKind.Latency, (latency.Milliseconds - latency.Jitter) * Instant.TicksPerMillisecond);
                if (latency.Jitter > 0)
                {
                    yield return Of(FaultKind.Reorder, 2 * latency.Jitter * Instant.TicksPerMillisecond);
                }

                break;
            case LossFault loss:
                yield return Of(FaultKind.Loss, Math.Min(0.99, loss.Percent / 100));
                break;
            case BandwidthFault bandwidth:
                yield return Of(FaultKind.Bandwidth, bandwidth.KilobytesPerSecond * 1000);
                break;
            case SlowFault slow:
                yield return Of(FaultKind.SlowCpu, slow.Factor);
                break;
            case CorruptFault corrupt:
                yield return Of(FaultKind.Damage, corrupt.Count);
                break;
            case DiskFullFault:
                yield return Of(FaultKind.DiskFull, FaultEvent.OnlyCheckpoints);
                break;
            case NanFault nan:
                yield return Of(FaultKind.NotFinite, nan.Count);
                break;
            case WrongBitsFault wrong:
                for (int i = 0; i < wrong.Count; i++)
                {
                    yield return Of(FaultKind.WrongBits);
                }

                break;
        }
    }

    private static long Ticks(double seconds) => (long)(seconds * Instant.TicksPerSecond);

    /// <summary>What a shard of a step takes: forward and backward are six operations for each parameter and time step of a row.</summary>
    private static long TicksPerShard(SimulatedJob job)
    {
        double rows = (double)job.Job.Train.BatchRows / job.Job.Shards;
        return Math.Max(LeastTicksPerShard, (long)(6.0 * job.Job.Layout.ParameterCount * rows * job.Job.Train.MaximumTime / FlopsPerTick));
    }

    private SimulatedJob JobOf(ExperimentRun run)
    {
        lock (_gate)
        {
            if (_last is not { } last || last.Job != run.Job.Job || last.Servers != run.Scenario.Servers)
            {
                var simulated = new SimulatedJob(run.Job.Config.Name ?? "job", run.Job.Job, run.Scenario.Servers, leastSegmentBlocks: Node.ProtocolJob.WorthwhileSegmentBlocks);
                _last = last = (run.Job.Job, run.Scenario.Servers, simulated);
            }

            return last.Simulated;
        }
    }
}
