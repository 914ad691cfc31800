using System.Runtime.CompilerServices;
using ClusterRnn.Conformance.Processes;
using ClusterRnn.Engines.Akka;

namespace ClusterRnn.Akka;

internal static class SuiteSetup
{
    /// <summary>The conformance tests that this project includes start clusters of this engine.</summary>
    [ModuleInitializer]
    internal static void UseAkka() => EngineUnderTest.Name = AkkaBuild.EngineName;
}
