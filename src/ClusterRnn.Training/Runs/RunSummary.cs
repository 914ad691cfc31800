using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Training.Runs;

/// <summary>The end of a run: summary.json.</summary>
public sealed record RunSummary
{
    /// <summary>The job's name.</summary>
    public required string Name { get; init; }

    /// <summary>Why the run ended: "steps", "epochs", "loss", "patience", "interrupted", "stopped".</summary>
    public required string Ended { get; init; }

    /// <summary>The hash of the parameters of the last committed version.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>The hash of all that moves with a step.</summary>
    public required string StateSha256 { get; init; }

    /// <summary>The hash of the data.</summary>
    public required string DataSha256 { get; init; }

    /// <summary>Steps committed.</summary>
    public required long Steps { get; init; }

    /// <summary>Passes over the training data, with their fraction.</summary>
    public required double Epochs { get; init; }

    /// <summary>The mean training loss of the last step, or null before the first.</summary>
    public double? FinalTrainLoss { get; init; }

    /// <summary>The last validation loss, or null without validation data.</summary>
    public double? FinalValidationLoss { get; init; }

    /// <summary>The lowest validation loss, or null.</summary>
    public double? BestValidationLoss { get; init; }

    /// <summary>The step of the lowest validation loss, or null.</summary>
    public long? BestStep { get; init; }

    /// <summary>Targets a second, from the first step to the last, evaluations and checkpoints included.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>How long the run took (a resumed run: since it was resumed).</summary>
    public required double WallSeconds { get; init; }

    /// <summary>Which engine ran it.</summary>
    public required string Engine { get; init; }

    /// <summary>Workers at the start.</summary>
    public required int Workers { get; init; }

    /// <summary>Parameter servers.</summary>
    public required int Servers { get; init; }

    /// <summary>Shards of a batch.</summary>
    public required int Shards { get; init; }

    /// <summary>Parameters of the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>The job's seed.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Shards computed more than once, for whatever reason.</summary>
    public required long RecomputedShards { get; init; }

    /// <summary>From which step the run went on, 0 for a run from the start.</summary>
    public required long ResumedFromStep { get; init; }

    /// <summary>What else was counted, by name: shards recomputed by cause, workers lost, …</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } = new Dictionary<string, long>();

    /// <summary>The application's own figures, by key.</summary>
    public IReadOnlyDictionary<string, double> Figures { get; init; } = new Dictionary<string, double>();

    /// <summary>The summary as JSON; what is not finite is null.</summary>
    public JsonObject ToJson()
    {
        JsonObject json = JsonSerializer.SerializeToNode(
            this with
            {
                FinalTrainLoss = Finite(FinalTrainLoss),
                FinalValidationLoss = Finite(FinalValidationLoss),
                BestValidationLoss = Finite(BestValidationLoss),
                TokensPerSecond = double.IsFinite(TokensPerSecond) ? Math.Round(TokensPerSecond, 1) : 0,
                WallSeconds = Math.Round(WallSeconds, 3),
                Figures = Figures.Where(f => double.IsFinite(f.Value)).ToDictionary(f => f.Key, f => f.Value),
            },
            Options)!.AsObject();
        return json;

        // JSON has no NaN; a loss that is none is left null.
        static double? Finite(double? value) => value is { } v && double.IsFinite(v) ? v : null;
    }

    /// <summary>Writes the summary whole or not at all.</summary>
    public void Write(string path)
    {
        File.WriteAllText(path + ".new", ToJson().ToJsonString(Options) + "\n");
        File.Move(path + ".new", path, overwrite: true);
    }

    /// <summary>Reads a summary.</summary>
    /// <exception cref="TrainingException">The file is none.</exception>
    public static RunSummary Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<RunSummary>(File.ReadAllText(path), Options) ?? throw new JsonException("nothing in it");
        }
        catch (JsonException error)
        {
            throw new TrainingException($"{path}: expected a run's summary: {error.Message}", error);
        }
    }

    private static readonly JsonSerializerOptions Options = new(ConfigJson.Options)
    {
        DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.Never,
        UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Skip,
    };
}
