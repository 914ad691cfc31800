namespace ClusterRnn.Cli;

/// <summary>What the program returns to the shell.</summary>
public static class ExitCode
{
    /// <summary>Everything went well.</summary>
    public const int Success = 0;

    /// <summary>The run failed.</summary>
    public const int Failed = 1;

    /// <summary>The command line, the config or the data can't be used; nothing was written.</summary>
    public const int Usage = 2;

    /// <summary>Interrupted by Ctrl-C or SIGTERM, after a checkpoint was saved.</summary>
    public const int Interrupted = 130;
}

/// <summary>The command can't be carried out as asked; the message is for the user.</summary>
public sealed class UsageException(string message) : Exception(message);
