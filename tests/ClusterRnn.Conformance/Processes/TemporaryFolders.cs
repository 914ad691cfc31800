namespace ClusterRnn.Conformance.Processes;

/// <summary>The folder that everything here is written in; gone when the suite ends.</summary>
public sealed class TemporaryFolders : IDisposable
{
    private static readonly string s_root = Path.Combine(Path.GetTempPath(), $"clusterrnn-conformance-{Environment.ProcessId}");
    private static int s_count;

    /// <summary>A new empty folder.</summary>
    public static string New(string name)
    {
        string path = Path.Combine(s_root, $"{Interlocked.Increment(ref s_count):D3}-{name}");
        Directory.CreateDirectory(path);
        return path;
    }

    /// <summary>A path at which there is nothing yet, in a folder of its own.</summary>
    public static string NewRun(string name) => Path.Combine(New(name), "run");

    /// <summary>Copies a folder with all that is in it.</summary>
    public static string Copy(string from, string name)
    {
        string to = NewRun(name);
        Directory.CreateDirectory(to);
        foreach (string folder in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories))
        {
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, folder)));
        }

        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
        }

        return to;
    }

    public void Dispose()
    {
        if (Directory.Exists(s_root))
        {
            Directory.Delete(s_root, recursive: true);
        }
    }
}
