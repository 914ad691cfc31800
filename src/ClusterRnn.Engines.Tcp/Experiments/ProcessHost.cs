// Experiments on real processes of this machine: the tcp engine's coordinator, workers and servers, each in a process of its
// own. Kills and pauses are signals, the network's faults happen in proxies between the nodes, a full disk is a small file
// system that is filled.
using System.Diagnostics;
using System.Globalization;
using ClusterRnn.Node.Experiments;

namespace ClusterRnn.Engines.Tcp.Experiments;

/// <summary>Runs experiments on processes of this machine.</summary>
/// <param name="program">The program and its first arguments, such as <c>dotnet clusterrnn.dll</c>.</param>
public sealed class ProcessHost(IReadOnlyList<string> program) : IExperimentHost
{
    /// <summary>Its name on the command line.</summary>
    public const string HostName = "processes";

    internal const string NoNonsense = "the program has no switch that makes a worker compute nonsense; run it with --on simulator";
    internal const string NoDisk = "filling a disk needs to mount a small file system: Linux, as root. Without that run it with --on simulator";

    private static readonly TimeSpan s_mountTimeout = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public string Name => HostName;

    /// <inheritdoc/>
    public string? WhyNot(FaultConfig fault) => fault switch
    {
        NanFault or WrongBitsFault => NoNonsense,
        DiskFullFault when !CanMount() => NoDisk,
        PauseFault or SlowFault when !OperatingSystem.IsLinux() => "stopping a process needs Linux's signals; run it with --on simulator",
        NetworkFault or CorruptFault when !OperatingSystem.IsLinux() => "a faulty network needs more than one loopback address, as Linux has; run it with --on simulator",
        _ => null,
    };

    /// <inheritdoc/>
    public async Task<RunRecord> RunAsync(ExperimentRun run, Action<string> said, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(said);
        var processes = new ClusterRun(run, (job, nameOf) => new ProcessSite(run, program, job, nameOf), said);
        await using (processes.ConfigureAwait(false))
        {
            return await processes.RunAsync(cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Mounts a file system of its own at a folder.</summary>
    internal static bool Mount(string folder, int megabytes)
        => OperatingSystem.IsLinux() && Runs("mount", "-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={megabytes}m"), "none", folder);

    /// <summary>Takes it away again.</summary>
    internal static bool Unmount(string folder) => Runs("umount", "-l", folder);

    /// <summary>Whether it can be done here.</summary>
    internal static bool CanMount()
    {
        string folder = Directory.CreateTempSubdirectory("clusterrnn-mount-").FullName;
        try
        {
            return Mount(folder, 1) && Unmount(folder);
        }
        finally
        {
            Directory.Delete(folder);
        }
    }

    private static bool Runs(string command, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true, RedirectStandardOutput = true });
            return process is not null && process.WaitForExit(s_mountTimeout) && process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false; // no such program
        }
    }
}
