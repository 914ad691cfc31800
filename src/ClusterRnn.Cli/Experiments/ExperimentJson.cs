using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Experiments;

/// <summary>report.json: the verdict, what became of each fault, and the records themselves, for programs.</summary>
internal static class ExperimentJson
{
    // A loss may be none; JSON has no number for it.
    private static readonly JsonSerializerOptions s_options = new(ConfigJson.Options) { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>The report as JSON.</summary>
    public static string Of(ExperimentFindings findings)
    {
        var json = new JsonObject
        {
            ["good"] = findings.IsGood,
            ["verdict"] = ExperimentWords.Headline(findings),
            ["sentences"] = new JsonArray([.. ExperimentWords.Sentences(findings).Select(s => JsonValue.Create(s))]),
            ["runs"] = new JsonArray([.. findings.Runs.Prepend(findings.Control).Select(Finding)]),
            ["records"] = JsonSerializer.SerializeToNode(findings.Result, s_options),
        };
        return json.ToJsonString(s_options) + "\n";
    }

    private static JsonObject Finding(RunFinding run) => new()
    {
        ["name"] = run.Run.Name,
        ["failure"] = run.Run.Failure,
        ["sameAnswer"] = run.HasControlsAnswer,
        ["stepsPerSecond"] = run.StepsPerSecond,
        ["goodput"] = run.Goodput,
        ["recomputedShards"] = new JsonObject
        {
            ["lost"] = run.LostShards,
            ["speculative"] = run.SpeculativeShards,
            ["rollback"] = run.RollbackShards,
            ["disputed"] = run.DisputedShards,
        },
        ["faults"] = new JsonArray([.. run.Faults.Select(f => new JsonObject
        {
            ["number"] = f.Fault.Action.Number,
            ["kind"] = f.Fault.Action.Fault.Kind,
            ["target"] = f.Fault.Action.Target.ToString(),
            ["what"] = f.Fault.Action.What,
            ["at"] = f.Fault.Seconds,
            ["noticedAfter"] = f.NoticedAfter,
            ["noticedBy"] = f.NoticedBy,
            ["trainingAfter"] = f.TrainingAfter,
            ["longestPause"] = f.LongestPause,
            ["wholeAfter"] = f.WholeAfter,
        })]),
    };
}
