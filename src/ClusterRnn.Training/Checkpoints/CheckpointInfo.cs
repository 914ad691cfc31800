// state.json: what a checkpoint says about itself, beside the tensors.
using System.Buffers;
using System.Text.Json;

namespace ClusterRnn.Training.Checkpoints;

/// <summary>What a checkpoint says about itself.</summary>
public sealed record CheckpointInfo
{
    /// <summary>The version of the format.</summary>
    public const int Format = 1;

    /// <summary>How many steps are in it.</summary>
    public required long Version { get; init; }

    /// <summary>The seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>S: shards of the global batch.</summary>
    public required int Shards { get; init; }

    /// <summary>The SHA-256 of the training data.</summary>
    public required string DataSha256 { get; init; }

    /// <summary>The resolved configuration, as JSON.</summary>
    public required string Config { get; init; }

    /// <summary>The version with the best loss so far, -1 when there is none: it is kept beside the newest.</summary>
    public long BestVersion { get; init; } = -1;

    /// <summary>The version a step that is not finite would send the training back to, -1 when there is none: it is kept beside the newest, and not written.</summary>
    public long RollbackVersion { get; init; } = -1;

    /// <summary>The last training loss, for people.</summary>
    public double TrainLoss { get; init; } = double.NaN;

    /// <summary>The last evaluation's loss, for people.</summary>
    public double ValidationLoss { get; init; } = double.NaN;

    /// <summary>What the run has counted so far (steps computed again, rollbacks and the like), by name.</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } = new Dictionary<string, long>();

    /// <summary>The hash of the parameters; set when the checkpoint is written.</summary>
    public string ModelSha256 { get; init; } = "";

    /// <summary>The hash of all that moves with a step; set when the checkpoint is written.</summary>
    public string StateSha256 { get; init; } = "";

    internal byte[] ToJson(byte[] policy)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteNumber("format", Format);
            json.WriteNumber("version", Version);
            json.WriteNumber("seed", Seed);
            json.WriteNumber("shards", Shards);
            json.WriteString("dataSha256", DataSha256);
            json.WriteString("modelSha256", ModelSha256);
            json.WriteString("stateSha256", StateSha256);
            json.WriteNumber("bestVersion", BestVersion);
            WriteFinite(json, "trainLoss", TrainLoss);
            WriteFinite(json, "validationLoss", ValidationLoss);
            json.WriteStartObject("counters");
            foreach ((string name, long count) in Counters.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                json.WriteNumber(name, count);
            }

            json.WriteEndObject();
            json.WriteBase64String("policy", policy);
            json.WritePropertyName("config");
            json.WriteRawValue(Config);
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    internal static (CheckpointInfo Info, byte[] Policy) FromJson(string path, ReadOnlyMemory<byte> bytes)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            JsonElement json = document.RootElement;
            int format = json.GetProperty("format").GetInt32();
            if (format != Format)
            {
                throw new CheckpointException(CheckpointFault.Foreign, $"{path}: expected format {Format}, found {format}: it was written by another version of the program.");
            }

            var info = new CheckpointInfo
            {
                Version = json.GetProperty("version").GetInt64(),
                Seed = json.GetProperty("seed").GetUInt64(),
                Shards = json.GetProperty("shards").GetInt32(),
                DataSha256 = json.GetProperty("dataSha256").GetString() ?? "",
                ModelSha256 = json.GetProperty("modelSha256").GetString() ?? "",
                StateSha256 = json.GetProperty("stateSha256").GetString() ?? "",
                BestVersion = json.GetProperty("bestVersion").GetInt64(),
                TrainLoss = ReadFinite(json, "trainLoss"),
                ValidationLoss = ReadFinite(json, "validationLoss"),
                Counters = json.GetProperty("counters").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetInt64()),
                Config = json.GetProperty("config").GetRawText(),
            };
            return (info, json.GetProperty("policy").GetBytesFromBase64());
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new CheckpointException(CheckpointFault.Corrupted, $"{path}: not the state of a checkpoint: {e.Message}", e);
        }
    }

    private static void WriteFinite(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static double ReadFinite(JsonElement json, string name) =>
        json.GetProperty(name) is { ValueKind: JsonValueKind.Number } number ? number.GetDouble() : double.NaN;
}
