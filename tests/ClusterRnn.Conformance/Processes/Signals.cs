using System.ComponentModel;
using System.Globalization;
using System.Runtime.InteropServices;

namespace ClusterRnn.Conformance.Processes;

/// <summary>Posix signals, sent to a process by its id.</summary>
internal static class Signals
{
    public const int Interrupt = 2;
    public const int Killed = 9;
    public const int Terminate = 15;
    public const int Stop = 19;
    public const int Continue = 18;

    public static void Send(int process, int signal)
    {
        if (Kill(process, signal) != 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"signal {signal} to process {process}");
        }
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

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);

    [DllImport("libc", EntryPoint = "signal", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Handle(int signal, nint handler);
}
