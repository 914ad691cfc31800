using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ClusterRnn.Data;

/// <summary>
/// What is computed from the data once, by whoever opens it first, and is the same for every worker, on resuming and
/// when predicting: the vocabulary of a text, those of pairs of texts, or the scaler of a series.
/// </summary>
/// <param name="Vocabulary">The vocabulary, for text.</param>
/// <param name="Scaler">The scaler, for series.</param>
public sealed record DataArtefact(Vocabulary? Vocabulary, SeriesScaler? Scaler)
{
    /// <summary>The vocabulary of the targets, for pairs of texts; <see cref="Vocabulary"/> is that of the sources then.</summary>
    public Vocabulary? TargetVocabulary { get; init; }

    /// <summary>The SHA-256 of <see cref="ToJson"/> as UTF-8, lower-case hexadecimal.</summary>
    public string Sha256 => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(ToJson())));

    /// <summary>The artefact as text, the same every time.</summary>
    public string ToJson() =>
        $"{{\"vocabulary\":{Vocabulary?.ToJson() ?? "null"},\"scaler\":{Scaler?.ToJson() ?? "null"}{(TargetVocabulary is null ? "" : $",\"targetVocabulary\":{TargetVocabulary.ToJson()}")}}}";

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
            };
        }
        catch (Exception fault) when (fault is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DataException(
                "data artefact", "a vocabulary and a scaler as JSON", fault.Message.TrimEnd('.'), "Take the artefact the training wrote", inner: fault);
        }
    }
}
