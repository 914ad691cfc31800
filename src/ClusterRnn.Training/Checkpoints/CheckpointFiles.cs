using System.Runtime.InteropServices;

namespace ClusterRnn.Training.Checkpoints;

/// <summary>The few operations on the file system that decide whether a checkpoint survives; tests replace them by ones that fail.</summary>
public class CheckpointFiles
{
    /// <summary>Opens a new file for writing.</summary>
    public virtual Stream Create(string path) =>
        new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16);

    /// <summary>Flushes a file that <see cref="Create"/> opened to the disk.</summary>
    public virtual void Flush(Stream file)
    {
        if (file is FileStream stream)
        {
            stream.Flush(flushToDisk: true);
        }
    }

    /// <summary>Flushes a folder's entries to the disk, where the system can (Windows does so by itself).</summary>
    /// <exception cref="IOException">The folder can't be opened or flushed.</exception>
    public virtual void FlushFolder(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int descriptor = Posix.Open(path, 0);
        if (descriptor < 0)
        {
            // A folder above ours that may be passed through but not read can't be flushed by us.
            const int PermissionDenied = 13;
            int error = Marshal.GetLastPInvokeError();
            if (error == PermissionDenied)
            {
                return;
            }

            throw new IOException($"{path}: the folder can't be opened to flush it (error {error}).");
        }

        try
        {
            // Some file systems can't flush a folder and say EINVAL; there is nothing more to do then.
            const int Invalid = 22;
            if (Posix.Fsync(descriptor) != 0 && Marshal.GetLastPInvokeError() is int fault && fault != Invalid)
            {
                throw new IOException($"{path}: the folder can't be flushed (error {fault}).");
            }
        }
        finally
        {
            _ = Posix.Close(descriptor);
        }
    }

    /// <summary>Renames a folder.</summary>
    public virtual void Rename(string from, string to) => Directory.Move(from, to);

    private static partial class Posix
    {
        [DllImport("libc", EntryPoint = "open", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

        [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int Fsync(int descriptor);

        [DllImport("libc", EntryPoint = "close", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int Close(int descriptor);
    }
}
