// From a seed to a run: which job, how many processes, what network, and a schedule of faults that is drawn before anything
// happens. What is drawn first does not depend on what is drawn later, and a schedule can be cut down without drawing anew.
using ClusterRnn.Engines.Simulator.Events;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Engines.Simulator.Network;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;

namespace ClusterRnn.Engines.Simulator.Faults;

/// <summary>Draws runs.</summary>
internal static class SeededPlans
{
    private const int MostFaults = 9;

    /// <summary>The run of a seed.</summary>
    public static SimulationPlan Of(long seed)
    {
        Dice dice = Dice.For(seed, 100);
        SimulatedJob job = JobOf(dice.Below(100));
        int workers = dice.Below(1, 6), spares = dice.Below(0, 3), replicas = dice.Chance(0.6) ? 2 : 1;
        bool early = dice.Chance(0.3);
        NetworkProfile network = NetworkOf(dice);
        int count = dice.Chance(0.08) ? 0 : dice.Below(1, MostFaults + 1);
        var faults = new List<FaultEvent>();
        for (int i = 0; i < count; i++)
        {
            faults.Add(FaultOf(dice, job, workers, job.Servers + spares));
        }

        return new SimulationPlan
        {
            Seed = seed,
            Job = job,
            Workers = workers,
            Spares = spares,
            Replicas = replicas,
            SendsEarly = early,
            Network = network,
            Faults = faults,
        };
    }

    private static SimulatedJob JobOf(int draw) => draw switch
    {
        < 64 => TinyJobs.Whole,
        < 72 => TinyJobs.Wide,
        < 78 => TinyJobs.WithoutState,
        < 82 => TinyJobs.Narrow,
        < 90 => TinyJobs.Skipping,
        < 97 => TinyJobs.Returning,
        _ => TinyJobs.Stopping,
    };

    private static NetworkProfile NetworkOf(Dice dice)
    {
        bool tail = dice.Chance(0.6), loses = dice.Chance(0.4), copies = dice.Chance(0.4);
        return new NetworkProfile
        {
            MostDelay = dice.Between(200, 3_000),
            TailChance = tail ? dice.Unit() * 0.2 : 0,
            TailDelay = dice.Between(5_000, 50_000),
            Loss = loses ? dice.Unit() * 0.1 : 0,
            Duplicate = copies ? dice.Unit() * 0.2 : 0,
        };
    }

    private static FaultEvent FaultOf(Dice dice, SimulatedJob job, int workers, int servers)
    {
        FaultKind kind = KindOf(dice.Below(100));
        NodeName target = TargetOf(dice, kind, workers, servers);
        long atStep = dice.Chance(0.1) ? -1 : dice.Below(0, (int)job.Reference.Steps);
        atStep = atStep == 0 ? -1 : atStep;
        long after = dice.Between(0, atStep < 0 ? 200_000 : 60_000);
        bool isLong = dice.Chance(0.35); // longer than a lease
        long ticks = isLong ? dice.Between(400_000, 1_600_000) : dice.Between(1_000, 250_000);
        double amount = kind switch
        {
            FaultKind.Kill => dice.Chance(0.5) ? 1 : 0, // whether the others see connections close
            FaultKind.Latency => dice.Between(1_000, 150_000),
            FaultKind.Loss => 0.1 + (dice.Unit() * 0.8),
            FaultKind.Duplicate => 0.1 + (dice.Unit() * 0.8),
            FaultKind.Reorder => dice.Between(5_000, 100_000),
            FaultKind.Bandwidth => dice.Between(200_000, 20_000_000),
            FaultKind.ClockSkew => (dice.Unit() * 0.5) - 0.2,
            FaultKind.SlowCpu => 2 + (dice.Unit() * 60),
            FaultKind.NotFinite => dice.Below(1, 3),
            FaultKind.WrongBits => dice.Between(0, 120_000),
            FaultKind.Damage => dice.Below(1, 8),
            _ => 0,
        };
        FaultDirection direction = kind == FaultKind.Cut ? (FaultDirection)dice.Below(3) : FaultDirection.Both;
        return new FaultEvent(kind, target, atStep, after, ticks, amount, direction);
    }

    private static FaultKind KindOf(int draw) => draw switch
    {
        < 20 => FaultKind.Kill,
        < 25 => FaultKind.PowerLoss,
        < 35 => FaultKind.Pause,
        < 48 => FaultKind.Cut,
        < 52 => FaultKind.Latency,
        < 56 => FaultKind.Loss,
        < 58 => FaultKind.Duplicate,
        < 60 => FaultKind.Reorder,
        < 63 => FaultKind.Bandwidth,
        < 66 => FaultKind.ClockSkew,
        < 71 => FaultKind.SlowCpu,
        < 74 => FaultKind.DiskFull,
        < 76 => FaultKind.DiskCorrupt,
        < 82 => FaultKind.NotFinite,
        < 84 => FaultKind.WrongBits,
        < 90 => FaultKind.Drain,
        < 94 => FaultKind.Join,
        < 96 => FaultKind.Damage,
        _ => FaultKind.Usurp,
    };

    private static NodeName TargetOf(Dice dice, FaultKind kind, int workers, int servers)
    {
        NodeName worker = NodeName.Worker(dice.Below(workers)), server = NodeName.Server(dice.Below(servers));
        int draw = dice.Below(100);
        return kind switch
        {
            FaultKind.PowerLoss or FaultKind.DiskFull or FaultKind.DiskCorrupt => NodeName.Coordinator,
            FaultKind.Usurp => FaultEvent.Standby,
            FaultKind.NotFinite or FaultKind.WrongBits => worker,
            FaultKind.Drain or FaultKind.Join => draw < 50 ? worker : server,
            _ => draw < 20 ? NodeName.Coordinator : draw < 60 ? worker : server,
        };
    }
}
