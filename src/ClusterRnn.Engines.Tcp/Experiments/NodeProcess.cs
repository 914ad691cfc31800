using System.Diagnostics;
using ClusterRnn.Engines.Tcp.Processes;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>A node that is a process of this machine.</summary>
/// <param name="name">The node.</param>
/// <param name="program">The program and its first arguments.</param>
/// <param name="arguments">The rest of them.</param>
/// <param name="token">The job's token.</param>
/// <param name="log">The file that keeps what it says.</param>
/// <param name="said">Is told each line.</param>
internal sealed class NodeProcess(
    NodeName name, IReadOnlyList<string> program, IReadOnlyList<string> arguments, string token, string log, Action<NodeName, string> said)
    : ExperimentNode(name, log, said)
{
    private static readonly TimeSpan s_turn = TimeSpan.FromMilliseconds(100);

    private CancellationTokenSource? _slow;
    private Task _turns = Task.CompletedTask;

    /// <inheritdoc/>
    public override Task PauseAsync() => SignalAsync(PosixSignals.Stop);

    /// <inheritdoc/>
    public override Task ContinueAsync() => SignalAsync(PosixSignals.Continue);

    /// <inheritdoc/>
    public override Task SlowAsync(double factor)
    {
        _slow?.Cancel();
        _slow = new CancellationTokenSource();
        _turns = TakeTurnsAsync(factor, _slow.Token);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task EndSlowAsync()
    {
        _slow?.Cancel();
        return _turns;
    }

    /// <inheritdoc/>
    protected override ProcessStartInfo StartInfo()
    {
        var start = new ProcessStartInfo(program[0]);
        foreach (string argument in program.Skip(1).Concat(arguments))
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment[LocalNodes.TokenVariable] = token;
        start.Environment["DOTNET_EnableDiagnostics"] = "0"; // a killed runtime would leave its diagnostic sockets in the temporary folder
        return start;
    }

    /// <inheritdoc/>
    protected override Task EndAsync()
    {
        Process!.Kill();
        Process.WaitForExit(Patience);
        return Task.CompletedTask;
    }

    private Task SignalAsync(int signal)
    {
        if (OperatingSystem.IsLinux() && Process is { HasExited: false } process)
        {
            PosixSignals.TrySend(process.Id, signal);
        }

        return Task.CompletedTask;
    }

    private async Task TakeTurnsAsync(double factor, CancellationToken over)
    {
        try
        {
            while (true)
            {
                await ContinueAsync().ConfigureAwait(false);
                await Task.Delay(s_turn / factor, over).ConfigureAwait(false);
                await PauseAsync().ConfigureAwait(false);
                await Task.Delay(s_turn - (s_turn / factor), over).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            await ContinueAsync().ConfigureAwait(false);
        }
    }
}
