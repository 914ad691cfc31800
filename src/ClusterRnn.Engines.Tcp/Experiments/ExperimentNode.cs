using System.Diagnostics;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>
/// A node of a run, which an experiment starts, stops, kills and starts again. Whether it is a process or a container, there is a
/// process here that lives as long as it does and says what it says; that goes to a log and to whoever listens.
/// </summary>
/// <param name="name">The node.</param>
/// <param name="log">The file that keeps what it says.</param>
/// <param name="said">Is told each line.</param>
internal abstract class ExperimentNode(NodeName name, string log, Action<NodeName, string> said) : IDisposable
{
    /// <summary>How long a process that was killed may take to be gone.</summary>
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();

    /// <summary>The node.</summary>
    public NodeName Name => name;

    /// <summary>Whether it runs, or is stopped.</summary>
    public bool IsAlive => Process is { HasExited: false };

    /// <summary>How often it was started.</summary>
    public int Starts { get; private set; }

    /// <summary>Whether the experiment itself ended it.</summary>
    public bool WasKilled { get; private set; }

    /// <summary>Its exit code; only once it has ended.</summary>
    public int ExitCode => Process!.ExitCode;

    /// <summary>The last lines it said.</summary>
    public Queue<string> LastLines { get; } = [];

    /// <summary>The process here.</summary>
    protected Process? Process { get; private set; }

    /// <summary>Starts it, again if need be; the one before has ended.</summary>
    public void Start()
    {
        Starts++;
        ProcessStartInfo start = StartInfo();
        start.RedirectStandardInput = true;
        start.RedirectStandardError = true;
        start.RedirectStandardOutput = true;
        start.UseShellExecute = false;
        Process? before = Process;
        WasKilled = false;
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Hear(line.Data);
        process.ErrorDataReceived += (_, line) => Hear(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        Process = process;
        before?.Dispose();
    }

    /// <summary>It ends at once. Done when it has.</summary>
    public Task KillAsync()
    {
        WasKilled = true;
        return IsAlive ? EndAsync() : Task.CompletedTask;
    }

    /// <summary>It stops in the middle of what it does; nothing happens when it has ended.</summary>
    public abstract Task PauseAsync();

    /// <summary>It goes on.</summary>
    public abstract Task ContinueAsync();

    /// <summary>It gets a part of its processor time.</summary>
    /// <param name="factor">How many times slower it is.</param>
    public abstract Task SlowAsync(double factor);

    /// <summary>It gets all of its processor time.</summary>
    public abstract Task EndSlowAsync();

    /// <summary>Waits for its end, at most so long.</summary>
    public bool WaitForExit(TimeSpan atMost) => Process is null || Process.WaitForExit(atMost);

    /// <summary>Lets go of the process, which has ended.</summary>
    public void Dispose() => Process?.Dispose();

    /// <summary>What is started.</summary>
    protected abstract ProcessStartInfo StartInfo();

    /// <summary>Ends what is alive.</summary>
    protected abstract Task EndAsync();

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
