// Plays a schedule of faults: begins each when its step is committed or its time has come, and ends it.
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Faults;

/// <summary>Plays the faults of a plan.</summary>
/// <param name="simulation">The run.</param>
internal sealed class FaultInjector(Simulation simulation)
{
    private readonly List<FaultEvent> _waiting = [.. simulation.Plan.Faults]; // for their step
    private readonly List<FaultEvent> _active = [];
    private readonly List<(FaultEvent Fault, int Left)> _spoiling = [];
    private readonly HashSet<(long Version, int Shard)> _spoiled = [];

    /// <summary>Faults that have begun and are not over.</summary>
    public IReadOnlyList<FaultEvent> Active => _active;

    /// <summary>Faults that wait for their step.</summary>
    public IReadOnlyList<FaultEvent> Waiting => _waiting;

    /// <summary>When the last fault was over, in ticks; while one is under way, now.</summary>
    public long LastEnd => _active.Count > 0 || _pending > 0 ? simulation.Events.Now : _lastEnd;

    private long _lastEnd;
    private int _pending; // that have their moment

    /// <summary>The run begins.</summary>
    public void Begin() => Schedule(fault => fault.AtStep < 0);

    /// <summary>A version is reached.</summary>
    public void Committed(long version) => Schedule(fault => fault.AtStep >= 0 && fault.AtStep <= version);

    /// <summary>How much faster than the truth the clock at a place runs.</summary>
    public double SkewOf(NodeName place) => Joined(FaultKind.ClockSkew, place, 0, (sum, amount) => sum + amount);

    /// <summary>How many times slower a place computes: of several faults the worst one counts.</summary>
    public double SlownessOf(NodeName place) => Joined(FaultKind.SlowCpu, place, 1, Math.Max);

    /// <summary>What becomes of an answer that a worker is about to compute.</summary>
    public Spoiled SpoilAnswer(WorkerHost worker, ComputeShards compute, ShardAnswer[] answers)
    {
        for (int i = 0; i < _spoiling.Count; i++)
        {
            (FaultEvent fault, int left) = _spoiling[i];
            if (fault.Target != worker.Place)
            {
                continue;
            }

            // Never twice the same: two workers that agree on a wrong answer could not be told from two that are right.
            ShardAnswer? victim = Array.Find(answers, answer => answer.Report.Counts[0] > 0 && !_spoiled.Contains((compute.Version, answer.Report.Shard)));
            if (victim is null)
            {
                continue;
            }

            if (left <= 1)
            {
                _spoiling.RemoveAt(i);
            }
            else
            {
                _spoiling[i] = (fault, left - 1);
            }

            _spoiled.Add((compute.Version, victim.Report.Shard));
            bool isWrong = fault.Kind == FaultKind.WrongBits;
            simulation.Count(isWrong ? "wrong answers" : "answers that are not finite");
            return new Spoiled(victim.Report.Shard, true, isWrong, isWrong ? (long)fault.Amount : 0);
        }

        return default;
    }

    private double Joined(FaultKind kind, NodeName place, double start, Func<double, double, double> join)
    {
        foreach (FaultEvent fault in _active)
        {
            if (fault.Kind == kind && fault.Target == place)
            {
                start = join(start, fault.Amount);
            }
        }

        return start;
    }

    private void Schedule(Predicate<FaultEvent> isDue)
    {
        for (int i = 0; i < _waiting.Count; i++)
        {
            if (isDue(_waiting[i]))
            {
                FaultEvent fault = _waiting[i];
                _waiting.RemoveAt(i--);
                _pending++;
                simulation.Events.After(fault.AfterTicks, () =>
                {
                    _pending--;
                    if (!simulation.IsOver)
                    {
                        Play(fault);
                    }
                });
            }
        }
    }

    private void Play(FaultEvent fault)
    {
        simulation.Trace.Add(simulation.Events.Now, FaultEvent.NameOf(fault.Target), "!!", "", fault);
        simulation.Count("fault " + fault.Kind);
        _active.Add(fault);
        string? note = Begin(fault);
        simulation.Log?.FaultBegan(fault, note);
        simulation.Events.After(fault.ForTicks, () =>
        {
            _active.RemoveAt(_active.FindIndex(active => ReferenceEquals(active, fault)));
            _lastEnd = simulation.Events.Now;
            if (!simulation.IsOver)
            {
                End(fault);
                simulation.Log?.FaultEnded(fault);
            }
        });
    }

    /// <summary>Does it.</summary>
    /// <returns>What is out of the ordinary, or null.</returns>
    private string? Begin(FaultEvent fault)
    {
        switch (fault.Kind)
        {
            case FaultKind.Kill:
                return simulation.Kill(fault.Target, isNoticed: fault.Amount > 0) is null ? "it was not there" : null;
            case FaultKind.PowerLoss:
                if (simulation.Kill(fault.Target, isNoticed: false) is CoordinatorHost)
                {
                    simulation.Kill(FaultEvent.Standby, isNoticed: false); // the same disk, the same machine
                    simulation.Disk.LosePower(simulation.DiskDice);
                    simulation.Checkers.PowerLost();
                }

                return null;
            case FaultKind.Pause:
                if (simulation.NodeAt(fault.Target) is { } node)
                {
                    node.FrozenUntil = Math.Max(node.FrozenUntil, simulation.Events.Now + fault.ForTicks);
                    return null;
                }

                return "it was not there";
            case FaultKind.Cut or FaultKind.Latency or FaultKind.Loss or FaultKind.Duplicate or FaultKind.Reorder or FaultKind.Bandwidth or FaultKind.Damage:
                simulation.Network.Begin(fault);
                return null;
            case FaultKind.ClockSkew:
                simulation.NodeAt(fault.Target)?.Clock.RunFaster(SkewOf(fault.Target));
                return null;
            case FaultKind.DiskFull:
                simulation.Disk.IsFull = true;
                simulation.Disk.Spares = fault.Amount == FaultEvent.OnlyCheckpoints ? SimulatedJournal.Prefix : null;
                return null;
            case FaultKind.DiskCorrupt:
                bool isJournal = simulation.DiskDice.Chance(0.3);
                string? name = isJournal
                    ? simulation.Disk.Corrupt(simulation.DiskDice, SimulatedJournal.Prefix, SimulatedJournal.FirstRecordBytes)
                    : simulation.Disk.Corrupt(simulation.DiskDice, SimulatedCheckpoints.Prefix);
                simulation.IsJournalDamaged |= isJournal && name is not null;
                return name ?? (isJournal ? "there was no journal" : "there was no checkpoint");
            case FaultKind.NotFinite or FaultKind.WrongBits:
                _spoiling.Add((fault, fault.Kind == FaultKind.NotFinite ? Math.Max(1, (int)fault.Amount) : 1));
                return null;
            case FaultKind.Drain:
                if (simulation.NodeAt(fault.Target) is { } leaving and not CoordinatorHost)
                {
                    if (leaving is ServerHost)
                    {
                        simulation.StartLater(NodeName.Server(simulation.PlacesOf(ActorRole.Server)), 0); // somebody has to take its ranges
                    }

                    leaving.Tell(new Drain());
                    return null;
                }

                return "it was not there";
            case FaultKind.Join:
                simulation.StartLater(new NodeName(fault.Target.Role, simulation.PlacesOf(fault.Target.Role)), 0);
                return null;
            case FaultKind.Usurp:
                simulation.StartLater(FaultEvent.Standby, 0);
                return null;
            default:
                return null;
        }
    }

    private void End(FaultEvent fault)
    {
        switch (fault.Kind)
        {
            case FaultKind.Kill or FaultKind.PowerLoss:
                simulation.StartLater(fault.Target, 0);
                break;
            case FaultKind.Cut or FaultKind.Latency or FaultKind.Loss or FaultKind.Duplicate or FaultKind.Reorder or FaultKind.Bandwidth or FaultKind.Damage:
                simulation.Network.End(fault);
                break;
            case FaultKind.ClockSkew:
                simulation.NodeAt(fault.Target)?.Clock.RunFaster(SkewOf(fault.Target));
                break;
            case FaultKind.DiskFull:
                simulation.Disk.IsFull = _active.Exists(active => active.Kind == FaultKind.DiskFull);
                break;
        }
    }
}
