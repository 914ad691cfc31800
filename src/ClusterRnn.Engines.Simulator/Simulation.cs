// One run: a cluster of simulated processes under virtual time, with what goes wrong in it, and with checkers that look on.
//
//     using var run = new Simulation(plan);
//     Outcome outcome = run.Run();     // the same plan gives the same outcome and the same trace
//
// Who is started when, and again, is decided here, as a supervisor of processes would; what they do is in Hosts, what goes
// wrong in Faults, what must hold in Checkers.
using ClusterRnn.Engines.Simulator.Checkers;
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Events;
using ClusterRnn.Engines.Simulator.Faults;
using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Engines.Simulator.Network;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;

namespace ClusterRnn.Engines.Simulator;

/// <summary>A rule was broken, or the run could not go on.</summary>
/// <param name="checker">The checker that noticed it.</param>
/// <param name="message">What happened.</param>
internal sealed class SimulationFailure(string checker, string message) : Exception(message)
{
    /// <summary>The checker.</summary>
    public string Checker => checker;
}

/// <summary>How a run ended.</summary>
internal sealed record Outcome
{
    /// <summary>The checker that fired, or null when all held.</summary>
    public string? Checker { get; init; }

    /// <summary>What it says.</summary>
    public string Text { get; init; } = "";

    /// <summary>The hash of the trace.</summary>
    public required ulong TraceHash { get; init; }

    /// <summary>Events of the run.</summary>
    public required long Events { get; init; }

    /// <summary>Virtual time at the end, in ticks.</summary>
    public required long Ticks { get; init; }

    /// <summary>Whether it ended because a lone wrong answer was committed, which nobody can tell from a right one.</summary>
    public bool IsInconclusive { get; init; }

    /// <summary>How the job ended; null when it did not.</summary>
    public EndJob? End { get; init; }

    /// <summary>The state the job ended with; null when it failed.</summary>
    public SavedState? Final { get; init; }

    /// <summary>What was seen, by name: notices, counters of all coordinators, faults that were played.</summary>
    public required IReadOnlyDictionary<string, long> Seen { get; init; }

    /// <summary>The last lines of the trace, when a checker fired.</summary>
    public IReadOnlyList<string> LastLines { get; init; } = [];

    /// <summary>Whether the run is as it should be.</summary>
    public bool Passed => Checker is null;
}

/// <summary>A run.</summary>
internal sealed class Simulation : IDisposable
{
    private readonly SortedList<int, SimulatedNode> _nodes = []; // that live, by process
    private readonly Dictionary<ActorId, SimulatedNode> _byActor = [];
    private readonly Dictionary<ActorRole, int> _places = []; // that there ever were
    private readonly SortedDictionary<string, long> _seen = new(StringComparer.Ordinal);
    private readonly Dice _supervisorDice;
    private int _processes;
    private int _workers;
    private int _servers;
    private int _coordinatorsDue; // that will be started
    private Outcome? _outcome;
    private (long Epoch, int Process) _highestClaim;
    private EndJob? _end;
    private SavedState? _final;
    private bool _isInconclusive;

    /// <summary>Sets a run up; nothing has happened yet.</summary>
    /// <param name="plan">The run.</param>
    /// <param name="trace">Is given the trace line by line, or null.</param>
    /// <param name="log">Is told what a report shows, or null.</param>
    public Simulation(SimulationPlan plan, TextWriter? trace = null, RunLog? log = null)
    {
        Plan = plan;
        Trace = new Trace(trace);
        Log = log;
        ClockDice = Dice.For(plan.Seed, 1);
        WorkDice = Dice.For(plan.Seed, 2);
        DiskDice = Dice.For(plan.Seed, 3);
        _supervisorDice = Dice.For(plan.Seed, 4);
        Network = new SimulatedNetwork(this, plan.Network, Dice.For(plan.Seed, 5));
        Injector = new FaultInjector(this);
        Checkers = new CheckerSet(this, plan.IsChecked ? CheckerSet.All(this) : []);
    }

    /// <summary>What the run is a function of.</summary>
    public SimulationPlan Plan { get; }

    /// <summary>The time, and what comes next.</summary>
    public EventQueue Events { get; } = new();

    /// <summary>What happened.</summary>
    public Trace Trace { get; }

    /// <summary>What a report shows, or null.</summary>
    public RunLog? Log { get; }

    /// <summary>The network.</summary>
    public SimulatedNetwork Network { get; }

    /// <summary>The coordinators' disk.</summary>
    public SimulatedDisk Disk { get; } = new();

    /// <summary>What goes wrong.</summary>
    public FaultInjector Injector { get; }

    /// <summary>What must hold.</summary>
    public CheckerSet Checkers { get; }

    /// <summary>Where clocks begin.</summary>
    public Dice ClockDice { get; }

    /// <summary>How long work takes.</summary>
    public Dice WorkDice { get; }

    /// <summary>What becomes of unflushed bytes.</summary>
    public Dice DiskDice { get; }

    /// <summary>Whether the disk has changed what was written to a journal: what it said there is lost.</summary>
    public bool IsJournalDamaged { get; set; }

    /// <summary>Whether the job has ended.</summary>
    public bool IsOver => _end is not null || _isInconclusive;

    /// <summary>The processes that live, in the order in which they were started.</summary>
    public IList<SimulatedNode> Nodes => _nodes.Values;

    /// <summary>The coordinator that others reach: of those that live the one that claimed the highest epoch.</summary>
    public CoordinatorHost? Coordinator { get; private set; }

    /// <summary>The highest version that was committed.</summary>
    public long HighestVersion { get; private set; }

    /// <summary>Runs to the end.</summary>
    /// <param name="cancellation">Ends it between two events.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public Outcome Run(CancellationToken cancellation = default)
    {
        if (_outcome is not null)
        {
            return _outcome;
        }

        string? checker = null, text = null;
        try
        {
            Begin();
            while (!IsOver)
            {
                if (Events.IsEmpty)
                {
                    throw Fail("liveness", "nothing is on its way and nobody waits for anything");
                }

                cancellation.ThrowIfCancellationRequested();
                Events.Step();
                Checkers.TimePassed();
                if (Events.Now > Plan.LongestTicks)
                {
                    throw Fail("liveness", $"the run has not ended after {Plan.LongestTicks / Instant.TicksPerSecond} s of virtual time");
                }
            }

            CountAll();
            if (!_isInconclusive)
            {
                Checkers.Finished(_end!, _final);
            }
        }
        catch (SimulationFailure failure)
        {
            (checker, text) = (failure.Checker, failure.Message);
        }
        catch (Exception failure) when (failure is ArgumentException or InvalidOperationException or TrainingException or NullReferenceException or IndexOutOfRangeException or KeyNotFoundException)
        {
            (checker, text) = ("exceptions", failure.ToString());
        }

        return _outcome = new Outcome
        {
            Checker = checker,
            Text = text is null ? "" : $"{text}\n{Coordinator?.Coordinator.Describe()}",
            TraceHash = Trace.Hash,
            Events = Events.Happened,
            Ticks = Events.Now,
            IsInconclusive = _isInconclusive,
            End = _end,
            Final = _final,
            Seen = _seen,
            LastLines = checker is null ? [] : [.. Trace.Last()],
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SimulatedNode node in _nodes.Values)
        {
            node.Stop();
        }

        _nodes.Clear();
    }

    /// <summary>A rule was broken.</summary>
    public SimulationFailure Fail(string checker, string what)
        => new(checker, $"at {new Instant(Events.Now)}, step {HighestVersion}: {what}");

    /// <summary>A coordinator has claimed an epoch.</summary>
    public void NoteClaim(long epoch, CoordinatorHost coordinator) => _highestClaim = (epoch, coordinator.Process);

    /// <summary>Whether another coordinator has claimed a later epoch.</summary>
    public bool IsOvertaken(CoordinatorHost coordinator) => _highestClaim.Process != coordinator.Process;

    /// <summary>A number no process had.</summary>
    public int NextProcess() => _processes++;

    /// <summary>Counts something for the outcome.</summary>
    public void Count(string what, long times = 1) => _seen[what] = _seen.GetValueOrDefault(what) + times;

    /// <summary>How fast the clock at a place runs.</summary>
    public double SkewOf(NodeName place) => Injector.SkewOf(place);

    /// <summary>How long work takes at a place that may be slow.</summary>
    public long Slowed(NodeName place, long ticks) => (long)(ticks * Injector.SlownessOf(place));

    /// <summary>Sends a message. What answers a coordinator's message goes to the process that sent it.</summary>
    public void Send(SimulatedNode from, SimulatedNode? cause, ActorId to, Message message, Block[]? blocks)
    {
        Trace.Add(Events.Now, from.Name, "->", to.ToString(), message);
        Checkers.Sent(from, to, message);
        SimulatedNode? target = to.Role != ActorRole.Coordinator ? _byActor.GetValueOrDefault(to) : cause as CoordinatorHost ?? Coordinator;
        if (target is not null)
        {
            Network.Send(from, target, message, blocks);
        }
    }

    /// <summary>Somebody says something worth a line in a log.</summary>
    public void Noticed(SimulatedNode node, Notice notice)
    {
        Count(notice.Kind.ToString());
        Log?.Noticed(node, notice);
    }

    /// <summary>A coordinator says that a version is reached.</summary>
    public void Committed(CoordinatorHost coordinator, long version)
    {
        HighestVersion = Math.Max(HighestVersion, version);
        Log?.Committed(coordinator, version);
        Checkers.Committed(coordinator, version);
        Injector.Committed(version);
    }

    /// <summary>A coordinator says that the job has ended.</summary>
    public void JobEnded(CoordinatorHost coordinator, EndJob end)
    {
        // Another one may have taken over, as the journal says: then it is only this process that ends, and tells nobody.
        if (IsOvertaken(coordinator))
        {
            ProcessEnded(coordinator, end.Reason, failed: true);
            return;
        }

        _end = end;
        _final = end.Failed ? null : coordinator.Final(end.Version);
        Coordinator = coordinator;
    }

    /// <summary>The job's course can't be told from another one any more: a lone wrong answer is committed.</summary>
    public void EndInconclusive() => _isInconclusive = true;

    /// <summary>Whether it is such a course: rules that hold it against another one are void.</summary>
    public bool IsInconclusive => _isInconclusive;

    /// <summary>A process ends by itself. It is started again, as a supervisor would.</summary>
    public void ProcessEnded(SimulatedNode node, string reason, bool failed)
    {
        Count(failed ? $"{node.Place.Role} gave up" : $"{node.Place.Role} left");
        Trace.Add(Events.Now, node.Name, "xx", "", reason);
        Log?.Ended(node, reason);
        Remove(node);
        if (node is CoordinatorHost)
        {
            if (Coordinator is null && _coordinatorsDue == 0)
            {
                StartLater(node.Place, _supervisorDice.Between(50_000, 300_000));
            }
        }
        else if (failed || node is WorkerHost)
        {
            StartLater(node.Place, _supervisorDice.Between(50_000, 300_000));
        }
    }

    /// <summary>A process is ended from outside, without a word.</summary>
    /// <param name="place">Where.</param>
    /// <param name="isNoticed">Whether the others see its connections close.</param>
    /// <returns>The process, or null when there was none.</returns>
    public SimulatedNode? Kill(NodeName place, bool isNoticed)
    {
        if (NodeAt(place) is not { } node)
        {
            return null;
        }

        Log?.Ended(node, "killed");
        Remove(node);
        if (isNoticed && node is CoordinatorHost)
        {
            foreach (SimulatedNode other in _nodes.Values.ToArray())
            {
                if (other is not CoordinatorHost && !Network.IsCut(node.Place, other.Place))
                {
                    SeeClosed(other, ActorId.Coordinator);
                }
            }
        }
        else if (isNoticed && Coordinator is { } coordinator && !Network.IsCut(node.Place, coordinator.Place))
        {
            SeeClosed(coordinator, node.Actor.Id);
        }

        return node;
    }

    /// <summary>The process at a place, or null.</summary>
    public SimulatedNode? NodeAt(NodeName place)
    {
        foreach (SimulatedNode node in _nodes.Values)
        {
            if (node.Place == place)
            {
                return node;
            }
        }

        return null;
    }

    /// <summary>Starts a process at a place after a while, if nothing runs there then.</summary>
    public void StartLater(NodeName place, long ticks)
    {
        _coordinatorsDue += place.Role == ActorRole.Coordinator ? 1 : 0;
        _places[place.Role] = Math.Max(PlacesOf(place.Role), place.Place + 1);
        Events.After(ticks, () =>
        {
            _coordinatorsDue -= place.Role == ActorRole.Coordinator ? 1 : 0;
            if (!IsOver && NodeAt(place) is null)
            {
                Start(place);
            }
        });
    }

    /// <summary>The places of one role that there are, or were.</summary>
    public int PlacesOf(ActorRole role) => _places.GetValueOrDefault(role);

    private void Begin()
    {
        for (int i = 0; i < Plan.Job.Servers + Plan.Spares; i++)
        {
            Start(NodeName.Server(i));
        }

        Start(NodeName.Coordinator);
        for (int i = 0; i < Plan.Workers; i++)
        {
            Start(NodeName.Worker(i));
        }

        Injector.Begin();
    }

    private void Start(NodeName place)
    {
        _places[place.Role] = Math.Max(PlacesOf(place.Role), place.Place + 1);
        SimulatedNode node;
        if (place.Role == ActorRole.Coordinator)
        {
            try
            {
                node = CoordinatorHost.Create(this, place);
            }
            catch (IOException)
            {
                StartLater(place, _supervisorDice.Between(50_000, 200_000)); // another one was faster; it is tried again
                return;
            }

            Coordinator = (CoordinatorHost)node;
        }
        else
        {
            var id = new ActorId(place.Role, place.Role == ActorRole.Worker ? _workers++ : _servers++);
            node = place.Role == ActorRole.Worker ? new WorkerHost(this, place, id) : new ServerHost(this, place, id);
            _byActor.Add(id, node);
        }

        _nodes.Add(node.Process, node);
        Trace.Add(Events.Now, node.Name, "**", "", $"starts at {FaultEvent.NameOf(place)}");
        Log?.Started(node);
        Checkers.Started(node);
        node.Start();
    }

    private void Remove(SimulatedNode node)
    {
        node.Stop();
        _nodes.Remove(node.Process);
        if (node is CoordinatorHost ended)
        {
            CountCounters(ended);
            if (Coordinator == ended)
            {
                Coordinator = _nodes.Values.OfType<CoordinatorHost>().MaxBy(other => other.Coordinator.Epoch);
            }
        }
        else
        {
            _byActor.Remove(node.Actor.Id);
        }
    }

    private void SeeClosed(SimulatedNode node, ActorId gone)
        => Events.After(_supervisorDice.Between(1, 2_000), () => node.Receive(gone, null, new ActorDown(gone, "connection closed"), null));

    private void CountAll()
    {
        foreach (SimulatedNode node in _nodes.Values)
        {
            if (node is CoordinatorHost coordinator)
            {
                CountCounters(coordinator);
            }
        }
    }

    private void CountCounters(CoordinatorHost coordinator)
    {
        foreach (NamedCount counter in coordinator.Coordinator.Counters.ToNamed())
        {
            Count(counter.Name, counter.Count);
        }
    }
}
