using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ClusterRnn.Data;

/// <summary>
/// What is computed from the data once, by whoever opens it first, and is the same for every worker, on resuming and
/// when predicting: the vocabulary of a text, those of pairs of texts, the scaler of a series, the names of classes.
/// </summary>
/// <param name="Vocabulary">The vocabulary, for text.</param>
/// <param name="Scaler">The scaler, for series.</param>
public sealed record DataArtefact(Vocabulary? Vocabulary, SeriesScaler? Scaler)
{
    /// <summary>The vocabulary of the targets, for pairs of texts; <see cref="Vocabulary"/> is that of the sources then.</summary>
    public Vocabulary? TargetVocabulary { get; init; }

    /// <summary>What the classes are called, for data with labels.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>Pixels of a picture's row, for pictures; 0: there are none.</summary>
    public int PictureWidth { get; init; }

    /// <summary>Rows of a picture, for pictures.</summary>
    public int PictureHeight { get; init; }

    /// <summary>The SHA-256 of <see cref="ToJson"/> as UTF-8, lower-case hexadecimal.</summary>
    public string Sha256 => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(ToJson())));

    /// <summary>The artefact as text, the same every time.</summary>
    public string ToJson() =>
        $"{{\"vocabulary\":{Vocabulary?.ToJson() ?? "null"},\"scaler\":{Scaler?.ToJson() ?? "null"}{(TargetVocabulary is null ? "" : $",\"targetVocabulary\":{TargetVocabulary.ToJson()}")}{(Labels is null ? "" : $",\"labels\":{JsonSerializer.Serialize(Labels)}")}{(PictureWidth == 0 ? "" : $",\"picture\":[{PictureWidth},{PictureHeight}]")}}}";

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="DataException">It is no artefact.</exception>
    public static DataArtefact FromJson(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            JsonElement vocabulary = document.RootElement.GetProperty("vocabulary");
            JsonElement scaler = document.RootElement.GetProperty("scaler");
            return new DataArtefact(
                vocabulary.ValueKind == JsonValueKind.Null ? null : Data.Vocabulary.FromJson(vocabulary.GetRawText()),
                scaler.ValueKind == JsonValueKind.Null ? null : SeriesScaler.FromJson(scaler.GetRawText()))
            {
                TargetVocabulary = document.RootElement.TryGetProperty("targetVocabulary", out JsonElement target) ? Data.Vocabulary.FromJson(target.GetRawText()) : null,
                Labels = document.RootElement.TryGetProperty("labels", out JsonElement labels) ? [.. labels.EnumerateArray().Select(label => label.GetString()!)] : null,
                PictureWidth = document.RootElement.TryGetProperty("picture", out JsonElement picture) ? picture[0].GetInt32() : 0,
                PictureHeight = picture.ValueKind == JsonValueKind.Array ? picture[1].GetInt32() : 0,
            };
        }
        catch (Exception fault) when (fault is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DataException(
                "data artefact", "a vocabulary and a scaler as JSON", fault.Message.TrimEnd('.'), "Take the artefact the training wrote", inner: fault);
        }
    }
}
