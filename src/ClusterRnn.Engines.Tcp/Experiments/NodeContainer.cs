using System.Diagnostics;
using System.Globalization;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>
/// A node that is a container. Each start makes a new one, which the engine takes away when it has ended; the process here is
/// `docker run`, whose input the node watches: it ends when this program does.
/// </summary>
/// <param name="name">The node.</param>
/// <param name="prefix">What the names of the run's containers begin with.</param>
/// <param name="options">What `docker run` is told beside the name.</param>
/// <param name="imageAndArguments">The image and what the program in it is told.</param>
/// <param name="log">The file that keeps what it says.</param>
/// <param name="said">Is told each line.</param>
internal sealed class NodeContainer(
    NodeName name, string prefix, IReadOnlyList<string> options, IReadOnlyList<string> imageAndArguments, string log, Action<NodeName, string> said)
    : ExperimentNode(name, log, said)
{
    private const int PeriodMicroseconds = 100_000;
    private const int LeastQuotaMicroseconds = 1_000; // the kernel's

    private static readonly TimeSpan s_again = TimeSpan.FromMilliseconds(50);

    private readonly Lock _gate = new();
    private Task _calls = Task.CompletedTask; // one after the other
    private int _quotaMicroseconds = -1; // none
    private bool _isPaused;

    /// <summary>The container's name.</summary>
    public string Container => string.Create(CultureInfo.InvariantCulture, $"{prefix}-{Name}-{Starts}");

    /// <inheritdoc/>
    public override Task PauseAsync() => Next(() => _isPaused = Try("pause", Container));

    /// <inheritdoc/>
    public override Task ContinueAsync() => Next(() =>
    {
        if (_isPaused)
        {
            _isPaused = false;
            Try("unpause", Container);
        }
    });

    /// <inheritdoc/>
    public override Task SlowAsync(double factor) => Next(() =>
    {
        _quotaMicroseconds = Math.Max(LeastQuotaMicroseconds, (int)(PeriodMicroseconds / factor));
        Limit();
    });

    /// <inheritdoc/>
    public override Task EndSlowAsync() => Next(() =>
    {
        if (_quotaMicroseconds > 0)
        {
            _quotaMicroseconds = -1;
            Limit();
        }
    });

    /// <summary>Does something with the container after what was begun before; nothing when it has ended.</summary>
    public Task Call(Func<string, string[]> arguments) => Next(() => Try(arguments(Container)));

    /// <inheritdoc/>
    protected override ProcessStartInfo StartInfo()
    {
        var start = new ProcessStartInfo(DockerEngine.Program);
        string[] limit = _quotaMicroseconds < 0 ? [] : ["--cpu-period", Number(PeriodMicroseconds), "--cpu-quota", Number(_quotaMicroseconds)];
        foreach (string argument in (string[])["run", "--rm", "--interactive", "--name", Container, .. limit, .. options, .. imageAndArguments])
        {
            start.ArgumentList.Add(argument);
        }

        _isPaused = false;
        return start;
    }

    /// <inheritdoc/>
    protected override Task EndAsync() => Next(() =>
    {
        Try("kill", Container);
        if (!WaitForExit(Patience))
        {
            throw new TrainingException($"container {Container} was killed and is still there after {Patience.TotalSeconds:0} s");
        }
    });

    private void Limit() => Try("update", "--cpu-period", Number(PeriodMicroseconds), "--cpu-quota", Number(_quotaMicroseconds), Container);

    private Task Next(Action call)
    {
        lock (_gate)
        {
            return _calls = _calls.ContinueWith(_ => call(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }

    // A container may not be there yet, or not any more.
    private bool Try(params string[] arguments)
    {
        long since = Stopwatch.GetTimestamp();
        while (IsAlive)
        {
            DockerAnswer answer = DockerEngine.Ask(DockerEngine.Deadline, arguments);
            if (answer.IsGood)
            {
                return true;
            }

            if (Stopwatch.GetElapsedTime(since) > Patience)
            {
                throw new TrainingException($"docker {string.Join(' ', arguments)}: {answer.LastLine}");
            }

            Process?.WaitForExit(s_again);
        }

        return false;
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
