using System.Globalization;
using System.Runtime.InteropServices;
using ClusterRnn.Engines.Tcp.Processes;

namespace ClusterRnn.Conformance.Processes;

/// <summary>Posix signals, sent to a process by its id.</summary>
internal static class Signals
{
    public const int Interrupt = 2;
    public const int Killed = 9;
    public const int Terminate = 15;
    public const int Stop = PosixSignals.Stop;
    public const int Continue = PosixSignals.Continue;

    public static void Send(int process, int signal)
    {
        Assert.True(PosixSignals.TrySend(process, signal), $"there is no process {process} to send signal {signal} to");
    }

    public static void SkipWithoutThem() => Assert.SkipWhen(OperatingSystem.IsWindows(), "needs Posix signals");

    /// <summary>
    /// A shell starts what it puts in the background with SIGINT ignored, and the children of that inherit it. The program
    /// rightly respects it; the tests of Ctrl-C need it as a terminal would start it.
    /// </summary>
    public static void StopIgnoringInterrupts()
    {
        const string Status = "/proc/self/status";
        if (!File.Exists(Status))
        {
            return;
        }

        string? mask = File.ReadLines(Status).FirstOrDefault(l => l.StartsWith("SigIgn:", StringComparison.Ordinal))?["SigIgn:".Length..].Trim();
        if (ulong.TryParse(mask, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong ignored) && (ignored & (1UL << (Interrupt - 1))) != 0)
        {
            _ = Handle(Interrupt, 0);
        }
    }

    [DllImport("libc", EntryPoint = "signal", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Handle(int signal, nint handler);
}
