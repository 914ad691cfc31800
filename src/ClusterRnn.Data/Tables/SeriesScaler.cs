using System.Text.Json;
using System.Text.Json.Serialization;

namespace ClusterRnn.Data;

/// <summary>
/// Scales columns to what a network likes: <c>(value - offset) / scale</c>. Made from the training part's rows alone,
/// summed in row order, and stored with the model.
/// </summary>
public sealed class SeriesScaler
{
    private static readonly JsonSerializerOptions JsonForm = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    private readonly Artefact _artefact;

    private SeriesScaler(Artefact artefact) => _artefact = artefact;

    /// <summary>The columns' names.</summary>
    public IReadOnlyList<string> Columns => _artefact.Columns;

    /// <summary>What is taken from each column.</summary>
    public IReadOnlyList<double> Offsets => _artefact.Offsets;

    /// <summary>What each column is divided by.</summary>
    public IReadOnlyList<double> Scales => _artefact.Scales;

    /// <summary>A scaler of known numbers.</summary>
    /// <param name="columns">The columns' names.</param>
    /// <param name="offsets">What is taken from each.</param>
    /// <param name="scales">What each is divided by.</param>
    public static SeriesScaler Of(IReadOnlyList<string> columns, IReadOnlyList<double> offsets, IReadOnlyList<double> scales)
    {
        ArgumentNullException.ThrowIfNull(columns);
        ArgumentNullException.ThrowIfNull(offsets);
        ArgumentNullException.ThrowIfNull(scales);
        ArgumentOutOfRangeException.ThrowIfNotEqual(offsets.Count, columns.Count);
        ArgumentOutOfRangeException.ThrowIfNotEqual(scales.Count, columns.Count);
        return new SeriesScaler(new Artefact(columns, offsets, scales));
    }

    /// <summary>Measures the first <paramref name="trainRows"/> rows of a table.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are not that many rows, or none.</exception>
    public static SeriesScaler Measure(SeriesTable table, int trainRows, Scaling scaling)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentOutOfRangeException.ThrowIfLessThan(trainRows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(trainRows, table.Rows);
        double[] offsets = new double[table.Columns.Count];
        double[] scales = new double[table.Columns.Count];
        for (int column = 0; column < offsets.Length; column++)
        {
            (offsets[column], scales[column]) = Measure(table.Values[column].AsSpan(0, trainRows), scaling);
        }

        return new SeriesScaler(new Artefact(table.Columns, offsets, scales));
    }

    /// <summary>Scales a value of a column.</summary>
    public double Scale(int column, double value) => (value - Offsets[column]) / Scales[column];

    /// <summary>Undoes <see cref="Scale"/>.</summary>
    public double Unscale(int column, double value) => value * Scales[column] + Offsets[column];

    /// <summary>The scaler as an artefact, the same text every time.</summary>
    public string ToJson() => JsonSerializer.Serialize(_artefact, JsonForm);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="DataException">It is no scaler.</exception>
    public static SeriesScaler FromJson(string json)
    {
        Artefact? artefact;
        try
        {
            artefact = JsonSerializer.Deserialize<Artefact>(json, JsonForm);
        }
        catch (JsonException fault)
        {
            throw new DataException("scaler", "a scaler as JSON", fault.Message.TrimEnd('.'), "Take the artefact the training wrote", inner: fault);
        }

        return artefact is not null && artefact.Offsets.Count == artefact.Columns.Count && artefact.Scales.Count == artefact.Columns.Count
            ? new SeriesScaler(artefact)
            : throw new DataException("scaler", "an offset and a scale for each column", "another number of them", "Take the artefact the training wrote");
    }

    // A constant column would be divided by zero; it is only shifted.
    private static (double Offset, double Scale) Measure(ReadOnlySpan<double> values, Scaling scaling)
    {
        switch (scaling)
        {
            case Scaling.Standard:
                double sum = 0, squares = 0;
                foreach (double value in values)
                {
                    sum += value;
                }

                double mean = sum / values.Length;
                foreach (double value in values)
                {
                    squares += (value - mean) * (value - mean);
                }

                double deviation = Math.Sqrt(squares / values.Length);
                return (mean, deviation > 0 ? deviation : 1);
            case Scaling.MinMax:
                double least = values[0], most = values[0];
                foreach (double value in values)
                {
                    least = Math.Min(least, value);
                    most = Math.Max(most, value);
                }

                return (least, most > least ? most - least : 1);
            default:
                return (0, 1);
        }
    }

    private sealed record Artefact(
        [property: JsonPropertyName("columns")] IReadOnlyList<string> Columns,
        [property: JsonPropertyName("offsets")] IReadOnlyList<double> Offsets,
        [property: JsonPropertyName("scales")] IReadOnlyList<double> Scales);
}
