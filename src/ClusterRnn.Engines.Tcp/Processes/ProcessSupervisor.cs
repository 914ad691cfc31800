// Starts the nodes of a local cluster, starts those again that die, and ends them all. A node also ends by itself when its
// standard input closes, as it does when this process is killed.
using System.Diagnostics;
using ClusterRnn.Engines.Tcp.Transport;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Processes;

/// <summary>Keeps worker and server processes running.</summary>
public sealed class ProcessSupervisor : IDisposable
{
    /// <summary>Tells a node that whoever started it ends it by closing its standard input.</summary>
    public const string ChildOption = "--until-input-ends";

    private const int MostEarlyEnds = 5;
    private const int KeptLines = 8;
    private static readonly TimeSpan s_early = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private readonly LocalNodes _nodes;
    private readonly HostPort _coordinator;
    private readonly Action<string> _note;
    private readonly Action<Exception> _failed;
    private readonly Lock _gate = new();
    private readonly List<Child> _children = [];
    private bool _ending;

    /// <summary>Starts the nodes.</summary>
    /// <param name="nodes">How.</param>
    /// <param name="coordinator">What they join.</param>
    /// <param name="workers">How many workers.</param>
    /// <param name="servers">How many servers.</param>
    /// <param name="note">Is told who died and was started again.</param>
    /// <param name="failed">Is told when a node dies again and again.</param>
    public ProcessSupervisor(LocalNodes nodes, HostPort coordinator, int workers, int servers, Action<string> note, Action<Exception> failed)
    {
        _nodes = nodes;
        _coordinator = coordinator;
        _note = note;
        _failed = failed;
        for (int i = 0; i < servers; i++)
        {
            Start(new Child("server", i, nodes.ServerArguments(i)));
        }

        for (int i = 0; i < workers; i++)
        {
            Start(new Child("worker", i, nodes.WorkerArguments(i)));
        }
    }

    /// <summary>The process ids of those that run, for experiments that kill them.</summary>
    public IReadOnlyList<(string Role, int Place, int ProcessId)> Running
    {
        get
        {
            lock (_gate)
            {
                return [.. _children.Where(child => child.Process is { HasExited: false }).Select(child => (child.Role, child.Place, child.Process!.Id))];
            }
        }
    }

    /// <summary>Ends all: they were told to by the coordinator; those that don't are told by their input, then killed.</summary>
    public void Dispose()
    {
        Process[] processes;
        lock (_gate)
        {
            _ending = true;
            processes = [.. _children.Select(child => child.Process).OfType<Process>()];
        }

        long started = Stopwatch.GetTimestamp();
        foreach (Process process in processes)
        {
            process.StandardInput.Close();
        }

        foreach (Process process in processes)
        {
            TimeSpan left = s_patience - Stopwatch.GetElapsedTime(started);
            if (!process.WaitForExit(left > TimeSpan.Zero ? left : TimeSpan.Zero))
            {
                process.Kill(entireProcessTree: true);
                process.WaitForExit(s_patience);
            }

            process.Dispose();
        }
    }

    private void Start(Child child)
    {
        var start = new ProcessStartInfo(_nodes.Program[0])
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        foreach (string argument in _nodes.Program.Skip(1).Concat([child.Role, "--join", _coordinator.ToString(), ChildOption]).Concat(child.Arguments))
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment[LocalNodes.TokenVariable] = _nodes.Token;
        var process = new Process { StartInfo = start, EnableRaisingEvents = true };
        lock (_gate)
        {
            if (_ending)
            {
                process.Dispose();
                return;
            }

            child.StartedAt = Stopwatch.GetTimestamp();
            child.Lines.Clear();
            process.OutputDataReceived += (_, line) => child.Keep(line.Data, KeptLines);
            process.ErrorDataReceived += (_, line) => child.Keep(line.Data, KeptLines);
            process.Exited += (_, _) => Ended(child, process);
            process.Start();
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            child.Process = process;
            _nodes.Started?.Invoke(process.Id);
            if (!_children.Contains(child))
            {
                _children.Add(child);
            }
        }
    }

    private void Ended(Child child, Process process)
    {
        lock (_gate)
        {
            if (_ending || child.Process != process)
            {
                return;
            }
        }

        int code = process.ExitCode;
        string said = child.Said();
        if (code == 0)
        {
            return; // it was told to
        }

        child.EarlyEnds = Stopwatch.GetElapsedTime(child.StartedAt) < s_early ? child.EarlyEnds + 1 : 0;
        string how = code > 128 ? $"was killed by signal {code - 128}" : $"ended with exit code {code}";
        if (child.EarlyEnds >= MostEarlyEnds)
        {
            _failed(new TrainingException($"The process of {child.Role} {child.Place} {how}, for the {MostEarlyEnds}th time right after its start.{said}"));
            return;
        }

        _note($"the process of {child.Role} {child.Place} {how} and is started again{said}");
        Start(child);
    }

    private sealed class Child(string role, int place, IReadOnlyList<string> arguments)
    {
        public readonly string Role = role;
        public readonly int Place = place;
        public readonly IReadOnlyList<string> Arguments = arguments;
        public readonly Queue<string> Lines = [];
        public Process? Process;
        public long StartedAt;
        public int EarlyEnds;

        public void Keep(string? line, int most)
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                return;
            }

            lock (Lines)
            {
                Lines.Enqueue(line);
                while (Lines.Count > most)
                {
                    Lines.Dequeue();
                }
            }
        }

        public string Said()
        {
            lock (Lines)
            {
                return Lines.Count == 0 ? "" : " It said: " + string.Join(" / ", Lines);
            }
        }
    }
}
