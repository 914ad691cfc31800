// One run of an experiment on processes or containers.
//
//     the loop, every few milliseconds   what does the journal say? -> which faults are due? -> which are over? -> who has ended?
//     beside it                          the coordinator's counters, a few times a second, because they die with it
//     at the end                         summary, metrics, events and ledger from the run's folder
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using ClusterRnn.Engines.Tcp.Journal;
using ClusterRnn.Engines.Tcp.Nodes;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>The nodes of a run and what is done to them.</summary>
internal sealed class ClusterRun : IAsyncDisposable
{
    private const int MostStartsUnasked = 5; // of a process that ends by itself with an error
    private const int DiskMegabytes = 64;
    private const string JobFile = "job.yaml";

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan s_sample = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan s_longPause = TimeSpan.FromMilliseconds(400); // after which it is worth asking what is waited for
    private static readonly TimeSpan s_say = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(15);

    // What a coordinator's counters are called in summary.json, where it differs.
    private static readonly Dictionary<string, string> s_summaryNames = new()
    {
        ["lateJoins"] = "workersJoined",
        ["leaves"] = "workersLeft",
        ["lostWorkers"] = "workersLost",
        ["lostServers"] = "serversLost",
        ["quarantined"] = "workersQuarantined",
    };

    private readonly ExperimentRun _run;
    private readonly Scenario _scenario;
    private readonly Action<string> _said;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly DateTimeOffset _begun = TimeProvider.System.GetUtcNow();
    private readonly SortedDictionary<NodeName, ExperimentNode> _nodes = [];
    private readonly ConcurrentDictionary<ActorId, NodeName> _names = new(); // under which numbers the coordinator knows the nodes
    private readonly ConcurrentDictionary<NodeName, bool> _hasJoined = new();
    private readonly ConcurrentQueue<ClusterEvent> _events = new(); // times since the beginning
    private readonly List<CommitPoint> _commits = [];
    private readonly List<PlayedFault> _played = [];
    private readonly List<(TimeSpan At, Action Do)> _later = [];
    private readonly List<(Task Done, Action? Then)> _doing = []; // what takes a moment
    private readonly List<(int Fault, Task Done)> _damages = []; // that not all messages have had yet
    private readonly ExperimentSite _site;
    private readonly CancellationTokenSource _ending = new();
    private readonly List<Task> _beside = [];
    private readonly List<IReadOnlyDictionary<string, long>> _earlierCounters = []; // of coordinators that were killed
    private readonly JournalTail _journal;
    private readonly bool _fillsDisk;
    private NamedCount[] _counters = [];
    private TimeSpan? _firstStep;
    private long _steps;
    private long _lastCommitTicks;
    private bool _isMounted;

    /// <summary>A run that has not begun.</summary>
    /// <param name="run">The run.</param>
    /// <param name="siteOf">Makes the site, given the file with the job's config and the names by which the coordinator knows the nodes.</param>
    /// <param name="said">Is told what happens.</param>
    public ClusterRun(ExperimentRun run, Func<string, Func<ActorId, NodeName?>, ExperimentSite> siteOf, Action<string> said)
    {
        _run = run;
        _scenario = run.Scenario;
        _said = said;
        Directory.CreateDirectory(LogFolder);
        _journal = new JournalTail(JournalFiles.FolderOf(run.Folder));
        _fillsDisk = _scenario.Faults.Any(fault => fault is DiskFullFault);
        _site = siteOf(Path.Combine(run.Folder, JobFile), actor => _names.TryGetValue(actor, out NodeName name) ? name : null);
    }

    private string LogFolder => Path.Combine(_run.Folder, "logs");

    private string CheckpointFolder => new RunFolder(_run.Folder).CheckpointsPath;

    private TimeSpan Now => _clock.Elapsed;

    /// <summary>Seconds after the first committed step; negative before, and while there is none.</summary>
    private double Seconds(TimeSpan time) => (time - (_firstStep ?? time)).TotalSeconds;

    /// <summary>Runs it.</summary>
    public async Task<RunRecord> RunAsync(CancellationToken cancellation)
    {
        await File.WriteAllTextAsync(Path.Combine(_run.Folder, JobFile), ConfigLoader.ToYaml(_run.Job.Config), CancellationToken.None).ConfigureAwait(false);
        if (_fillsDisk)
        {
            Directory.CreateDirectory(CheckpointFolder);
            _isMounted = ProcessHost.Mount(CheckpointFolder, DiskMegabytes);
        }

        string? failure = _fillsDisk && !_isMounted ? $"a file system of {DiskMegabytes} MB could not be mounted at {CheckpointFolder}" : null;
        try
        {
            await _site.PrepareAsync().ConfigureAwait(false);
            foreach (NodeName name in _scenario.AllNodes())
            {
                _nodes[name] = _site.NodeOf(name, Path.Combine(LogFolder, name + ".log"), Heard);
            }

            failure ??= await StartAllAsync(cancellation).ConfigureAwait(false) ?? await PlayAsync(cancellation).ConfigureAwait(false);
        }
        catch (TrainingException error)
        {
            failure = error.Message;
        }

        try
        {
            await HealAllAsync().ConfigureAwait(false);
            await EndAllAsync(failure is null).ConfigureAwait(false);
        }
        catch (TrainingException error)
        {
            failure ??= error.Message;
        }

        cancellation.ThrowIfCancellationRequested();
        return Record(failure);
    }

    public async ValueTask DisposeAsync()
    {
        _site.Network?.EndAll();
        await _ending.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_beside).ConfigureAwait(false);
        try
        {
            foreach (ExperimentNode node in _nodes.Values.Reverse())
            {
                await node.EndSlowAsync().ConfigureAwait(false);
                await node.KillAsync().ConfigureAwait(false);
                node.Dispose();
            }
        }
        finally
        {
            await _site.DisposeAsync().ConfigureAwait(false);
            if (_isMounted)
            {
                _isMounted = false;
                ProcessHost.Unmount(CheckpointFolder);
            }

            _ending.Dispose();
        }
    }

    // Workers first, then servers: training begins when the servers are there, and then everyone is.
    private async Task<string?> StartAllAsync(CancellationToken cancellation)
    {
        Start(NodeName.Coordinator);
        foreach (NodeName worker in _nodes.Keys.Where(name => name.Role == ActorRole.Worker))
        {
            Start(worker);
        }

        while (_hasJoined.Count < _scenario.Workers)
        {
            if (WhyItCantGoOn(cancellation) is { } why)
            {
                return why;
            }

            await Task.Delay(s_look, CancellationToken.None).ConfigureAwait(false);
        }

        foreach (NodeName server in _nodes.Keys.Where(name => name.Role == ActorRole.Server))
        {
            Start(server);
        }

        _beside.Add(SampleAsync());
        return null;
    }

    private async Task<string?> PlayAsync(CancellationToken cancellation)
    {
        var waiting = _run.Actions.ToList();
        TimeSpan saidAt = Now;
        while (true)
        {
            Look();
            for (int i = 0; i < waiting.Count;)
            {
                bool isDue = waiting[i].Step is { } step ? _firstStep is not null && _steps >= step : _firstStep is not null && Seconds(Now) >= waiting[i].Seconds;
                if (!isDue)
                {
                    i++;
                    continue;
                }

                FaultAction action = waiting[i];
                waiting.RemoveAt(i);
                Play(action);
            }

            foreach ((TimeSpan At, Action Do) due in _later.Where(l => l.At <= Now).ToArray())
            {
                _later.Remove(due);
                due.Do();
            }

            foreach ((Task Done, Action? Then) done in _doing.Where(d => d.Done.IsCompleted).ToArray())
            {
                _doing.Remove(done);
                await done.Done.ConfigureAwait(false);
                done.Then?.Invoke();
            }

            foreach ((int Fault, Task Done) damaged in _damages.Where(d => d.Done.IsCompleted).ToArray())
            {
                _damages.Remove(damaged);
                Over(damaged.Fault);
            }

            if (Now - saidAt > s_say)
            {
                saidAt = Now;
                Say(string.Create(CultureInfo.InvariantCulture, $"step {_steps}"));
            }

            ExperimentNode coordinator = _nodes[NodeName.Coordinator];
            if (!coordinator.IsAlive && !coordinator.WasKilled && coordinator.ExitCode == 0)
            {
                Look();
                return null;
            }

            if (WhyItCantGoOn(cancellation) is { } why)
            {
                return why;
            }

            await Task.Delay(s_look, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private string? WhyItCantGoOn(CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
        {
            return "it was interrupted";
        }

        if (Now.TotalSeconds > _scenario.Deadline)
        {
            return FormattableString.Invariant($"it had not ended after {_scenario.Deadline:0.#} s (the scenario's deadline), at step {_steps}");
        }

        foreach (ExperimentNode node in _nodes.Values)
        {
            if (node.Starts == 0 || node.IsAlive || node.WasKilled || node.ExitCode == 0)
            {
                continue;
            }

            string how = $"{node.Name} ended by itself with exit code {node.ExitCode}: {string.Join(" / ", node.LastLines)}";
            if (node.Name == NodeName.Coordinator || node.Starts >= MostStartsUnasked)
            {
                return how;
            }

            Tell(ClusterEventKind.Warning, node.Name, how);
            Say(how);
            Start(node.Name);
        }

        return null;
    }

    // What the journal has by now; whoever was killed at a known time has written it before that.
    private void Look(TimeSpan? atLatest = null)
    {
        TimeSpan now = atLatest ?? Now;
        foreach (JournalRecord record in _journal.Poll())
        {
            switch (record)
            {
                case VerdictRecord { Verdict.Decision.Kind: not VerdictKind.Stop } verdict:
                    _firstStep ??= now;
                    _steps = verdict.Verdict.Step + 1;
                    _commits.Add(new CommitPoint(now.TotalSeconds, _steps));
                    Interlocked.Exchange(ref _lastCommitTicks, now.Ticks);
                    break;
                case RollbackRecord rollback:
                    _steps = rollback.Version;
                    _commits.Add(new CommitPoint(now.TotalSeconds, _steps));
                    break;
                case EpochRecord { Predecessor: > 0 } epoch:
                    Tell(ClusterEventKind.EpochClaimed, NodeName.Coordinator, $"the coordinator has claimed epoch {epoch.Epoch}");
                    break;
            }
        }
    }

    private void Play(FaultAction action)
    {
        ExperimentNode node = _nodes[action.Target];
        int at = _played.Count;
        TimeSpan begun = Now;
        _played.Add(new PlayedFault(action, begun.TotalSeconds, null, _steps));
        Say(action.What);
        switch (action.Fault)
        {
            case KillFault kill:
                if (!node.IsAlive || node.WasKilled)
                {
                    _played[at] = _played[at] with { Note = "it was gone already", HealedSeconds = Now.TotalSeconds };
                    return;
                }

                Do(node.KillAsync(), () => Killed(kill, action.Target, at));
                return;
            case PauseFault pause:
                Do(node.PauseAsync());
                After(pause.Duration, () => Do(node.ContinueAsync(), () =>
                {
                    Over(at);
                    Say($"{action.Target} goes on");
                }));
                return;
            case SlowFault slow:
                Do(node.SlowAsync(slow.Factor));
                After(slow.Duration, () => Do(node.EndSlowAsync(), () => Over(at)));
                return;
            case CorruptFault corrupt:
                _damages.Add((at, _site.Network!.FlipBits(action.Target, action.Peers(), corrupt.Count)));
                return;
            case PartitionFault { Direction: FaultDirection.Both, Peers.Count: 0 } partition when _site.CutOff(action.Target) is { } cutOff:
                Do(cutOff());
                After(partition.Duration, () => Do(_site.ReconnectAsync(action.Target), () => Over(at)));
                return;
            case NetworkFault fault:
                NetworkCondition condition = _site.Network!.Begin(ConditionOf(action.Target, action.Peers(), fault));
                After(fault.Duration, () =>
                {
                    _site.Network.End(condition);
                    Over(at);
                });
                return;
            case DiskFullFault full:
                string filler = Path.Combine(CheckpointFolder, "filler");
                Fill(filler);
                After(full.Duration, () =>
                {
                    File.Delete(filler);
                    Over(at);
                });
                return;
        }
    }

    private void Killed(KillFault kill, NodeName target, int fault)
    {
        if (target == NodeName.Coordinator)
        {
            _earlierCounters.Add(Named(_counters));
            _counters = [];
        }

        Look();
        Tell(ClusterEventKind.Ended, target, $"{target} was killed");
        if (kill.Restart)
        {
            After(kill.Duration, () =>
            {
                Start(target);
                Over(fault);
                Say($"{target} is started again");
            });
        }
    }

    // At once where it takes no time, else when the loop finds it done.
    private void Do(Task what, Action? then = null)
    {
        if (what.IsCompletedSuccessfully)
        {
            then?.Invoke();
        }
        else
        {
            _doing.Add((what, then));
        }
    }

    private static NetworkCondition ConditionOf(NodeName node, IReadOnlyList<NodeName> peers, NetworkFault fault)
    {
        var condition = new NetworkCondition(node, peers, fault.Direction);
        return fault switch
        {
            LatencyFault latency => condition with { Latency = TimeSpan.FromMilliseconds(latency.Milliseconds), Jitter = TimeSpan.FromMilliseconds(latency.Jitter) },
            LossFault loss => condition with { Loss = loss.Percent / 100 },
            BandwidthFault bandwidth => condition with { BytesPerSecond = bandwidth.KilobytesPerSecond * 1000 },
            _ => condition with { IsCut = true },
        };
    }

    // Until nothing fits any more.
    private static void Fill(string path)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        byte[] page = new byte[4096];
        try
        {
            while (true)
            {
                file.Write(page);
            }
        }
        catch (IOException)
        {
            // Full.
        }
    }

    // The counters of a coordinator that is killed are gone with it.
    private async Task SampleAsync()
    {
        TimeSpan told = TimeSpan.Zero; // the commit before the pause that was told of last
        using NodeSecurity security = _site.ClientSecurity();
        while (!_ending.IsCancellationRequested)
        {
            try
            {
                StatusReply status = await StatusClient.AskAsync(_site.Coordinator, security, _ending.Token).ConfigureAwait(false);
                Volatile.Write(ref _counters, status.Counters);
                TimeSpan lastCommit = TimeSpan.FromTicks(Interlocked.Read(ref _lastCommitTicks));
                if (lastCommit > TimeSpan.Zero && lastCommit != told && Now - lastCommit > s_longPause && !status.Ended)
                {
                    told = lastCommit;
                    Tell(ClusterEventKind.Waiting, null, string.Create(CultureInfo.InvariantCulture, $"no step for {(Now - lastCommit).TotalSeconds:0.0} s: {ActivityOf(status)}"));
                }

                await Task.Delay(s_sample, _ending.Token).ConfigureAwait(false);
            }
            catch (TransportException)
            {
                await Task.Delay(s_sample, CancellationToken.None).ConfigureAwait(false); // it is gone, stopped or not there yet
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private string ActivityOf(StatusReply status)
    {
        string[] why = [.. status.Nodes.Where(node => node.Why.Length > 0).Select(node => $"{NameOf(node.Actor.ToString())?.ToString() ?? node.Actor.ToString()} {node.Why}")];
        return why.Length == 0 ? status.Activity : $"{status.Activity} ({string.Join("; ", why)})";
    }

    private void Start(NodeName name)
    {
        _nodes[name].Start();
        Tell(ClusterEventKind.Started, name, $"{name} is started");
    }

    private void After(double seconds, Action what) => _later.Add((Now + TimeSpan.FromSeconds(seconds), what));

    private void Over(int fault) => _played[fault] = _played[fault] with { HealedSeconds = Now.TotalSeconds };

    private void Tell(ClusterEventKind kind, NodeName? node, string text) => _events.Enqueue(new ClusterEvent(Now.TotalSeconds, kind, node, text));

    private void Say(string text) => _said(_firstStep is null ? text : string.Create(CultureInfo.InvariantCulture, $"{Seconds(Now),6:0.0} s  {text}"));

    // Called by the threads that read the processes' outputs.
    private void Heard(NodeName name, string line)
    {
        const string As = " as ";
        if (line.StartsWith("joined ", StringComparison.Ordinal) && line.IndexOf(As, StringComparison.Ordinal) is var at and > 0 && ActorOf(line.AsSpan(at + As.Length)) is { } actor)
        {
            _names[actor] = name;
            _hasJoined[name] = true;
        }
        else if (line.Contains("has no coordinator", StringComparison.Ordinal))
        {
            Tell(ClusterEventKind.CoordinatorMissed, name, $"{name} noticed that the coordinator is gone");
        }
        else if (line.Contains("damaged on its way", StringComparison.Ordinal))
        {
            Tell(ClusterEventKind.Faulty, name, $"{name} found a damaged block and asked for it again");
        }
    }

    // "worker 3, ..." or "server 0".
    private static ActorId? ActorOf(ReadOnlySpan<char> text)
    {
        int space = text.IndexOf(' ');
        ReadOnlySpan<char> number = space < 0 ? [] : text[(space + 1)..];
        int end = number.IndexOfAnyExceptInRange('0', '9');
        if (!int.TryParse(end < 0 ? number : number[..end], NumberStyles.None, CultureInfo.InvariantCulture, out int value))
        {
            return null;
        }

        return text[..space] switch { "worker" => ActorId.Worker(value), "server" => ActorId.Server(value), _ => null };
    }

    private NodeName? NameOf(string actor) => actor == "coordinator" ? NodeName.Coordinator : ActorOf(actor) is { } id && _names.TryGetValue(id, out NodeName name) ? name : null;

    private async Task HealAllAsync()
    {
        _later.Clear();
        _doing.Clear();
        _site.Network?.EndAll();
        foreach (ExperimentNode node in _nodes.Values)
        {
            await node.EndSlowAsync().ConfigureAwait(false);
            await node.ContinueAsync().ConfigureAwait(false);
            await _site.ReconnectAsync(node.Name).ConfigureAwait(false);
        }
    }

    private async Task EndAllAsync(bool isDone)
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        long since = Stopwatch.GetTimestamp();
        foreach (ExperimentNode node in _nodes.Values)
        {
            TimeSpan left = isDone ? s_farewell - Stopwatch.GetElapsedTime(since) : TimeSpan.Zero;
            if (!node.WaitForExit(left > TimeSpan.Zero ? left : TimeSpan.Zero))
            {
                await node.KillAsync().ConfigureAwait(false);
            }
        }
    }

    private RunRecord Record(string? failure)
    {
        var folder = new RunFolder(_run.Folder);
        RunSummary? summary = failure is null && File.Exists(folder.SummaryPath) ? RunSummary.Read(folder.SummaryPath) : null;
        failure ??= summary is null ? "it ended without a summary" : null;
        double origin = (_firstStep ?? Now).TotalSeconds;
        IEnumerable<ClusterEvent> told = EventsLog.Read(folder.EventsPath)
            .Select(e => (Event: e, Kind: KindOf(e.Kind)))
            .Where(e => e.Kind is not null)
            .Select(e => new ClusterEvent((e.Event.At - _begun).TotalSeconds, e.Kind!.Value, NameOf(e.Event.Node), Named(e.Event)));
        double end = _commits.Count == 0 ? origin : _commits[^1].Seconds;
        return new RunRecord
        {
            Name = _run.Name,
            Failure = failure,
            ModelSha256 = summary?.ModelSha256 ?? "",
            StateSha256 = summary?.StateSha256 ?? "",
            Steps = summary?.Steps ?? _steps,
            Seconds = Round(end - origin),
            Commits = [.. _commits.Select(c => c with { Seconds = Round(c.Seconds - origin) })],
            Losses = [.. MetricsLog.Read(folder.MetricsPath).Steps.Select(s => new LossPoint(s.Step, s.Loss))],
            Events = [.. _events.Concat(told).OrderBy(e => e.Seconds).Select(e => e with { Seconds = Round(e.Seconds - origin) })],
            Faults = [.. _played.Select((f, i) => f with
            {
                Seconds = Round(f.Seconds - origin),
                HealedSeconds = f.HealedSeconds is { } healed ? Round(healed - origin) : null,
                Note = f.Note ?? (_damages.Any(d => d.Fault == i) ? "fewer messages than that came by" : null),
            })],
            NotPlayed = [.. _run.Actions.Where(a => _played.All(p => p.Action != a))],
            Counters = Sum(summary?.Counters ?? Named(_counters)),
            Ledger = LedgerOf(summary),
            Folder = _run.Folder,
        };

        static double Round(double seconds) => Math.Round(seconds, 4);
    }

    private LedgerFigures? LedgerOf(RunSummary? summary)
    {
        try
        {
            using var files = new JournalFiles(JournalFiles.FolderOf(_run.Folder));
            LedgerReport report = Ledger.Verify(files.ReadRecords(), _run.Job.Job, 0, summary?.Steps);
            return new LedgerFigures(report.Steps, report.Samples, report.LostSamples, report.RepeatedSamples, report.DifferingShards, report.FirstOffence);
        }
        catch (TrainingException)
        {
            return null; // it failed before there was one
        }
    }

    // The events of the log with the nodes' own names instead of the numbers that they joined under.
    private string Named(NodeEvent happened) => NameOf(happened.Node) is { } name ? happened.Text.Replace(happened.Node + " ", name + " ", StringComparison.Ordinal) : happened.Text;

    private static ClusterEventKind? KindOf(string kind) => kind switch
    {
        "joined" => ClusterEventKind.Joined,
        "left" => ClusterEventKind.Left,
        "lost" => ClusterEventKind.Lost,
        "speculated" => ClusterEventKind.Suspected,
        "faulty" => ClusterEventKind.Faulty,
        "quarantined" => ClusterEventKind.Quarantined,
        "warning" => ClusterEventKind.Warning,
        "promoted" => ClusterEventKind.Promoted,
        "refilled" => ClusterEventKind.Refilled,
        "rolledBack" => ClusterEventKind.RolledBack,
        _ => null,
    };

    private static Dictionary<string, long> Named(NamedCount[] counters)
        => counters.ToDictionary(counter => s_summaryNames.GetValueOrDefault(counter.Name, counter.Name), counter => counter.Count);

    private SortedDictionary<string, long> Sum(IReadOnlyDictionary<string, long> last)
    {
        var sum = new SortedDictionary<string, long>(last.ToDictionary(pair => pair.Key, pair => pair.Value), StringComparer.Ordinal);
        foreach (IReadOnlyDictionary<string, long> earlier in _earlierCounters)
        {
            foreach (string name in sum.Keys.ToArray())
            {
                sum[name] += earlier.GetValueOrDefault(name);
            }
        }

        return sum;
    }
}
