namespace ClusterRnn.Engines.Tcp.Hosting;

/// <summary>A file that is touched as long as a node is in touch with the others, for health checks that cost nothing.</summary>
/// <param name="path">The file, or null for none.</param>
internal sealed class AliveFile(string? path)
{
    private const long EveryMs = 1000;

    private long _next;

    /// <summary>The node was in touch.</summary>
    public void Touch()
    {
        long now = Environment.TickCount64, next = Volatile.Read(ref _next);
        if (path is null || now < next || Interlocked.CompareExchange(ref _next, now + EveryMs, next) != next)
        {
            return;
        }

        try
        {
            File.WriteAllText(path, "");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Volatile.Write(ref _next, long.MaxValue); // the check will see that nobody writes it
        }
    }
}
