using ClusterRnn.Training.Runs;
using ClusterRnn.Training.Tasks;

namespace ClusterRnn.Cli.Report;

/// <summary>Everything a report shows.</summary>
/// <param name="Summary">The end of the run.</param>
/// <param name="History">Its course.</param>
/// <param name="Outcome">What the application shows of the model.</param>
/// <param name="ConfigYaml">The resolved config.</param>
/// <param name="Finished">When the run ended.</param>
/// <param name="Version">The program's version.</param>
public sealed record ReportData(
    RunSummary Summary,
    RunHistory History,
    TaskOutcome Outcome,
    string ConfigYaml,
    DateTimeOffset Finished,
    string Version);
