namespace ClusterRnn.Conformance.Processes;

/// <summary>The engine whose clusters the suite starts: tcp, or another one whose own tests include the suite.</summary>
internal static class EngineUnderTest
{
    public const string Tcp = "tcp";

    /// <summary>Its name; set before the first test by a project that includes the suite.</summary>
    public static string Name { get; set; } = Tcp;
}
