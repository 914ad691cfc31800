// Starts the real program: `dotnet clusterrnn.dll`, as built beside this assembly. Every start is bounded in time, its
// output is kept for the message of a test that fails, and whatever is left is killed by its own id.
//
//     Outcome outcome = await ProgramUnderTest.RunAsync(["inspect", run]);
//     await using RunningProgram program = await ProgramUnderTest.StartAsync(["train", config]);
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace ClusterRnn.Conformance.Processes;

/// <summary>How a program ended.</summary>
/// <param name="Command">The command line.</param>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
/// <param name="Elapsed">How long it ran.</param>
internal sealed record Outcome(string Command, int ExitCode, string Output, string Error, TimeSpan Elapsed)
{
    /// <summary>This outcome, if it ended with <paramref name="code"/>; otherwise the test fails and shows everything.</summary>
    public Outcome Expect(int code)
    {
        Assert.True(ExitCode == code, $"expected exit code {code}, found {ExitCode}\n{this}");
        return this;
    }

    /// <summary>Fails the test unless <paramref name="text"/> is on the standard error.</summary>
    public Outcome ExpectError(string text)
    {
        Assert.True(Error.Contains(text, StringComparison.Ordinal), $"expected '{text}' on the standard error\n{this}");
        return this;
    }

    public override string ToString() => $"{Command}\nexit code {ExitCode} after {Elapsed.TotalSeconds:F2} s\n-- output\n{Output}\n-- error\n{Error}";
}

/// <summary>The program.</summary>
internal static class ProgramUnderTest
{
    // Two at once: the machine may have no more cores, and other test projects run beside this one.
    private static readonly SemaphoreSlim s_gate = new(2);
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(LongTests.AreOn ? 600 : 120);
    private static readonly Lazy<string> s_host = new(FindHost);

    /// <summary>Runs the program to its end.</summary>
    public static async Task<Outcome> RunAsync(
        IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? folder = null)
    {
        await using RunningProgram program = await StartAsync(arguments, environment, folder);
        return await program.WaitAsync();
    }

    /// <summary>Starts the program.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="environment">What is set beside the tests' own environment.</param>
    /// <param name="folder">Where it runs; null is a new empty folder.</param>
    /// <param name="belongsToAnother">Whether it is started for a program that waited for its turn, such as a cluster's coordinator.</param>
    public static async Task<RunningProgram> StartAsync(
        IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? folder = null, bool belongsToAnother = false)
    {
        string assembly = Path.Combine(AppContext.BaseDirectory, "clusterrnn.dll");
        Assert.True(File.Exists(assembly), $"{assembly}: expected the program beside its tests; build tests/ClusterRnn.Conformance");
        var start = new ProcessStartInfo(s_host.Value)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            UseShellExecute = false,
            WorkingDirectory = folder ?? TemporaryFolders.New("here"),
        };
        start.ArgumentList.Add(assembly);
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        // What the shell around the tests asks for must not decide what the tests compare.
        foreach (string name in start.Environment.Keys.Where(IsOurs).ToArray())
        {
            start.Environment.Remove(name);
        }

        // A killed runtime would leave its diagnostic sockets in the temporary folder.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        SemaphoreSlim? gate = belongsToAnother ? null : s_gate;
        await (gate?.WaitAsync(TestContext.Current.CancellationToken) ?? Task.CompletedTask);
        try
        {
            string settings = string.Concat((environment ?? new Dictionary<string, string>()).Select(e => $"{e.Key}={e.Value} "));
            return new RunningProgram(start, $"{settings}clusterrnn {string.Join(' ', arguments)}", s_limit, () => gate?.Release());
        }
        catch
        {
            gate?.Release();
            throw;
        }
    }

    private static bool IsOurs(string name) =>
        name.StartsWith("CLUSTERRNN_", StringComparison.Ordinal)
        || name.StartsWith("DOTNET_Enable", StringComparison.Ordinal)
        || name.StartsWith("DOTNET_Tiered", StringComparison.Ordinal);

    // The runtime that the tests run on, wherever it is installed: <root>/shared/Microsoft.NETCore.App/<version>/.
    private static string FindHost()
    {
        string root = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        string host = Path.Combine(root, OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet");
        return File.Exists(host) ? host : "dotnet";
    }
}

/// <summary>A program that was started.</summary>
internal sealed class RunningProgram : IAsyncDisposable
{
    private readonly Process _process;
    private readonly string _command;
    private readonly TimeSpan _limit;
    private Action? _release; // of its turn; a test that looks at the outcome may want another program
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _error = new();
    private readonly List<(Func<string, bool> Matches, TaskCompletionSource<bool> Found)> _awaited = [];
    private readonly Task _reading;
    private bool _errorEnded;

    public RunningProgram(ProcessStartInfo start, string command, TimeSpan limit, Action release)
    {
        _command = command;
        _limit = limit;
        _release = release;
        _process = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} could not be started");
        _process.StandardInput.Close();
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput, _output, isError: false), ReadAsync(_process.StandardError, _error, isError: true));
    }

    /// <summary>The processes it has started and that live, by their command lines. Linux only.</summary>
    public IReadOnlyList<(int Id, string CommandLine)> Children()
    {
        var children = new List<(int, string)>();
        foreach (string task in Directory.EnumerateDirectories($"/proc/{_process.Id}/task"))
        {
            foreach (string id in File.ReadAllText(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                string arguments = $"/proc/{id}/cmdline";
                children.Add((int.Parse(id, CultureInfo.InvariantCulture), File.Exists(arguments) ? File.ReadAllText(arguments).Replace('\0', ' ') : ""));
            }
        }

        return children;
    }

    /// <summary>Whether the test killed it.</summary>
    public bool WasKilled { get; private set; }

    /// <summary>Whether it has ended.</summary>
    public bool HasEnded => _process.HasExited;

    /// <summary>The time since the start.</summary>
    public TimeSpan Elapsed => _clock.Elapsed;

    /// <summary>Waits for the end.</summary>
    public async Task<Outcome> WaitAsync()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(_limit);
        try
        {
            await _process.WaitForExitAsync(limit.Token);
            await _reading.WaitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            Kill();
            Assert.Fail($"still running after {_limit.TotalSeconds:F0} s; killed\n{Now(-1)}");
        }

        Interlocked.Exchange(ref _release, null)?.Invoke();
        return Now(_process.ExitCode);
    }

    /// <summary>Waits until a line on the standard error matches.</summary>
    /// <returns>False when the program ended without one.</returns>
    public async Task<bool> SaysAsync(Func<string, bool> matches)
    {
        var found = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_error)
        {
            if (_error.ToString().Split('\n').Any(matches))
            {
                return true;
            }

            if (_errorEnded)
            {
                return false;
            }

            _awaited.Add((matches, found));
        }

        return await found.Task.WaitAsync(_limit, TestContext.Current.CancellationToken);
    }

    /// <summary>Waits until a line that is still to come on the standard error matches.</summary>
    /// <returns>False when the program ended without one.</returns>
    public async Task<bool> WillSayAsync(Func<string, bool> matches)
    {
        var found = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_error)
        {
            if (_errorEnded)
            {
                return false;
            }

            _awaited.Add((matches, found));
        }

        return await found.Task.WaitAsync(_limit, TestContext.Current.CancellationToken);
    }

    /// <summary>The processor time it has taken so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Sends a signal.</summary>
    public void Signal(int signal) => Signals.Send(_process.Id, signal);

    /// <summary>SIGKILL: it ends at once, wherever it is. Does nothing when it has ended.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            WasKilled = true;
            _process.Kill();
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            Kill();
            await _process.WaitForExitAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
            await _reading.WaitAsync(TimeSpan.FromSeconds(30));
            _process.Dispose();
        }
        finally
        {
            Interlocked.Exchange(ref _release, null)?.Invoke();
        }
    }

    private async Task ReadAsync(StreamReader reader, StringBuilder into, bool isError)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (into)
            {
                into.Append(line).Append('\n');
                if (isError)
                {
                    foreach ((_, TaskCompletionSource<bool> found) in _awaited.Where(a => a.Matches(line)))
                    {
                        found.TrySetResult(true);
                    }
                }
            }
        }

        if (isError)
        {
            lock (into)
            {
                _errorEnded = true;
                foreach ((_, TaskCompletionSource<bool> found) in _awaited)
                {
                    found.TrySetResult(false);
                }
            }
        }
    }

    private Outcome Now(int code)
    {
        string output, error;
        lock (_output)
        {
            output = _output.ToString();
        }

        lock (_error)
        {
            error = _error.ToString();
        }

        return new Outcome(_command, code, output, error, _clock.Elapsed);
    }
}
