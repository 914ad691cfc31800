using ClusterRnn.Training.Insight;
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
/// <param name="Insight">What is seen of the model's inside, or null.</param>
public sealed record ReportData(
    RunSummary Summary,
    RunHistory History,
    TaskOutcome Outcome,
    string ConfigYaml,
    DateTimeOffset Finished,
    string Version,
    ModelInsight? Insight = null);
