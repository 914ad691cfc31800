namespace ClusterRnn.Conformance.Processes;

/// <summary>Finds the repository around the tests.</summary>
internal static class Repository
{
    /// <summary>The folder that holds ClusterRnn.sln.</summary>
    public static string Root { get; } = Find();

    /// <summary>The folder of the configs.</summary>
    public static string Configs => Path.Combine(Root, "configs");

    /// <summary>The path of a config.</summary>
    public static string Config(string name) => Path.Combine(Configs, name);

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "ClusterRnn.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No ClusterRnn.sln above {AppContext.BaseDirectory}: the tests need the repository around them.");
    }
}
