using System.Text.Json.Nodes;

namespace ClusterRnn.Conformance.Jobs;

/// <summary>What a run left behind in its folder.</summary>
internal sealed class FinishedRun(string folder, TimeSpan elapsed = default)
{
    private readonly JsonObject _summary = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "summary.json")))!.AsObject();

    public string Folder => folder;

    /// <summary>How long the process ran.</summary>
    public TimeSpan Elapsed => elapsed;

    public JsonObject Summary => _summary;

    public string ModelSha256 => Text("modelSha256");

    public string StateSha256 => Text("stateSha256");

    /// <summary>Everything that must be the same in every run of a job, in one line for the message of a test that fails.</summary>
    public string Answer => $"model {ModelSha256}, state {StateSha256}, data {Text("dataSha256")}, steps {Number("steps")}";

    public long Number(string name) => _summary[name]?.GetValue<long>() ?? throw new InvalidOperationException($"{folder}: summary.json has no {name}");

    public string Text(string name) => _summary[name]?.GetValue<string>() ?? throw new InvalidOperationException($"{folder}: summary.json has no {name}");

    /// <summary>One of the run's counters.</summary>
    public long Counter(string name) => _summary["counters"]?[name]?.GetValue<long>() ?? throw new InvalidOperationException($"{folder}: summary.json counts no {name}");

    /// <summary>The checkpoints' folders, oldest first.</summary>
    public string[] Checkpoints() => CheckpointsIn(folder);

    /// <summary>The checkpoints' folders of the run at <paramref name="run"/>, oldest first.</summary>
    public static string[] CheckpointsIn(string run)
    {
        string folder = Path.Combine(run, "checkpoints");
        return Directory.Exists(folder) ? [.. Directory.EnumerateDirectories(folder, "step-*").Order(StringComparer.Ordinal)] : [];
    }

    /// <summary>
    /// The lines of metrics.jsonl without the times, which alone may differ between two runs of a job. Whoever compares
    /// them sees a line that was lost, came twice, moved or says something else.
    /// </summary>
    public string[] Metrics() => [.. File.ReadAllLines(Path.Combine(folder, "metrics.jsonl")).Select(WithoutTimes)];

    private static string WithoutTimes(string line)
    {
        JsonObject json = JsonNode.Parse(line)!.AsObject();
        Assert.True(json.Remove("seconds"), $"a line of metrics.jsonl without its time: {line}");
        return json.ToJsonString();
    }
}
