namespace ClusterRnn.Tests;

/// <summary>Finds the repository that the tests run in.</summary>
internal static class Repository
{
    /// <summary>The folder that holds ClusterRnn.sln.</summary>
    public static string Root { get; } = Find();

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
