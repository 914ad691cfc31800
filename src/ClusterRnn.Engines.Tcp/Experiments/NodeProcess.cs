using System.Diagnostics;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>The process of a node, which an experiment starts, stops, kills and starts again. Its output goes to a log and to whoever listens.</summary>
/// <param name="name">The node.</param>
/// <param name="program">The program and its first arguments.</param>
/// <param name="arguments">The rest of them.</param>
/// <param name="token">The job's token.</param>
/// <param name="log">The file that keeps what it says.</param>
/// <param name="said">Is told each line.</param>
internal sealed class NodeProcess(
    NodeName name, IReadOnlyList<string> program, IReadOnlyList<string> arguments, string token, string log, Action<NodeName, string> said) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private Process? _process;
    private bool _wasKilled;

    /// <summary>The node.</summary>
    public NodeName Name => name;

    /// <summary>Whether it runs, or is stopped.</summary>
    public bool IsAlive => _process is { HasExited: false };

    /// <summary>How often it was started.</summary>
    public int Starts { get; private set; }

    /// <summary>Whether the experiment itself ended it.</summary>
    public bool WasKilled => _wasKilled;

    /// <summary>Its exit code; only once it has ended.</summary>
    public int ExitCode => _process!.ExitCode;

    /// <summary>The last lines it said.</summary>
    public Queue<string> LastLines { get; } = [];

    /// <summary>Starts it, again if need be.</summary>
    public void Start()
    {
        var start = new ProcessStartInfo(program[0])
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        foreach (string argument in program.Skip(1).Concat(arguments))
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment[LocalNodes.TokenVariable] = token;
        start.Environment["DOTNET_EnableDiagnostics"] = "0"; // a killed runtime would leave its diagnostic sockets in the temporary folder
        _process?.Dispose();
        _wasKilled = false;
        Starts++;
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Hear(line.Data);
        process.ErrorDataReceived += (_, line) => Hear(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
    }

    /// <summary>SIGKILL: it ends at once.</summary>
    public void Kill()
    {
        _wasKilled = true;
        _process?.Kill();
        _process?.WaitForExit(s_patience);
    }

    /// <summary>Sends a signal, on Linux; does nothing when it has ended.</summary>
    public void Signal(int signal)
    {
        if (OperatingSystem.IsLinux() && _process is { HasExited: false } process)
        {
            PosixSignals.TrySend(process.Id, signal);
        }
    }

    /// <summary>Waits for its end, at most so long.</summary>
    public bool WaitForExit(TimeSpan atMost) => _process is null || _process.WaitForExit(atMost);

    /// <summary>Ends it.</summary>
    public void Dispose()
    {
        if (IsAlive)
        {
            Kill();
        }

        _process?.Dispose();
    }

    private void Hear(string? line)
    {
        if (string.IsNullOrWhiteSpace(line))
        {
            return;
        }

        lock (_gate)
        {
            File.AppendAllText(log, line + "\n");
            LastLines.Enqueue(line);
            while (LastLines.Count > 4)
            {
                LastLines.Dequeue();
            }
        }

        said(name, line);
    }
}
