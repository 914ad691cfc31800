using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace ClusterRnn.Conformance;

/// <summary>What a process of the program came to.</summary>
/// <param name="Code">Its exit code; 128 + the signal's number when one ended it.</param>
/// <param name="Out">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
/// <param name="WasHit">Whether the test's signal was sent.</param>
internal sealed record ProcessOutcome(int Code, string Out, string Error, bool WasHit);

/// <summary>Starts the program as a user would, as a process of its own.</summary>
internal static partial class ProgramProcess
{
    public const int Interrupt = 2, Kill = 9, Terminate = 15;

    // Long enough for a loaded machine; a run that hangs must fail a test, not stop the suite.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(90);

    /// <summary>Runs the program to its end.</summary>
    /// <param name="args">The command line.</param>
    /// <param name="folder">The working folder.</param>
    /// <param name="signal">A signal to send, or 0.</param>
    /// <param name="at">The signal is sent when a line of the standard error begins with this.</param>
    /// <param name="environment">Variables set for it.</param>
    public static async Task<ProcessOutcome> RunAsync(string[] args, string folder, int signal = 0, string? at = null, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "clusterrnn.dll"));
        Array.ForEach(args, start.ArgumentList.Add);
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        bool wasHit = false;
        var error = new StringBuilder();
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            while (await process.StandardError.ReadLineAsync(deadline.Token) is { } line)
            {
                error.AppendLine(line);
                if (signal != 0 && !wasHit && line.StartsWith(at!, StringComparison.Ordinal))
                {
                    wasHit = true;
                    Assert.Equal(0, Send(process.Id, signal));
                }
            }

            string text = await output;
            await process.WaitForExitAsync(deadline.Token);
            return new ProcessOutcome(process.ExitCode, text, error.ToString(), wasHit);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"clusterrnn {string.Join(' ', args)} did not end within {Deadline}. It said:\n{error}");
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Send(int process, int signal);
}
