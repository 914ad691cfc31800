// How the suite shares the machine: at most two tests at once, and no more than two programs (ProgramUnderTest's gate).
//     dotnet test tests/ClusterRnn.Conformance -c Release
//     CLUSTERRNN_LONG_TESTS=1 dotnet test tests/ClusterRnn.Conformance -c Release      many kills, whole matrices
using ClusterRnn.Conformance.Processes;

[assembly: CollectionBehavior(MaxParallelThreads = 2)]
[assembly: AssemblyFixture(typeof(TemporaryFolders))]

namespace ClusterRnn.Conformance.Processes;

/// <summary>The long tier: what takes minutes runs only when asked for.</summary>
internal static class LongTests
{
    public const string Variable = "CLUSTERRNN_LONG_TESTS";

    public static bool AreOn => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } value && value != "0";

    public static void SkipUnlessOn() => Assert.SkipUnless(AreOn, $"takes minutes: set {Variable}=1, or run ./clusterrnn test --long");
}
