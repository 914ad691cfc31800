using System.ComponentModel;
using System.Runtime.InteropServices;

namespace ClusterRnn.Engines.Tcp.Processes;

/// <summary>Posix signals, sent to a process by its id. Linux's numbers.</summary>
public static class PosixSignals
{
    /// <summary>It stops where it is (SIGSTOP).</summary>
    public const int Stop = 19;

    /// <summary>It goes on (SIGCONT).</summary>
    public const int Continue = 18;

    private const int NoSuchProcess = 3; // ESRCH

    /// <summary>Sends a signal.</summary>
    /// <returns>False when there is no such process.</returns>
    /// <exception cref="Win32Exception">It may not be sent.</exception>
    public static bool TrySend(int process, int signal)
    {
        if (Kill(process, signal) == 0)
        {
            return true;
        }

        int error = Marshal.GetLastPInvokeError();
        return error == NoSuchProcess ? false : throw new Win32Exception(error, $"signal {signal} to process {process}");
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);
}
