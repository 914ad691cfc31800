using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClusterRnn.Protocol;

namespace ClusterRnn.Node.Experiments;

/// <summary>A node as a scenario calls it: <c>coordinator</c>, <c>worker-1</c>, <c>server-0</c>. It keeps its name when it is started again.</summary>
/// <param name="Role">What it does.</param>
/// <param name="Place">Which of its kind, from 0.</param>
[JsonConverter(typeof(NodeNameConverter))]
public readonly record struct NodeName(ActorRole Role, int Place) : IComparable<NodeName>
{
    /// <summary>The coordinator.</summary>
    public static readonly NodeName Coordinator = new(ActorRole.Coordinator, 0);

    /// <summary>The worker at a place.</summary>
    public static NodeName Worker(int place) => new(ActorRole.Worker, place);

    /// <summary>The server at a place.</summary>
    public static NodeName Server(int place) => new(ActorRole.Server, place);

    /// <summary>Reads a name, or gives null when <paramref name="text"/> is none.</summary>
    public static NodeName? TryParse(string? text)
    {
        if (text == "coordinator")
        {
            return Coordinator;
        }

        int dash = text?.IndexOf('-', StringComparison.Ordinal) ?? -1;
        if (dash < 0 || !int.TryParse(text.AsSpan(dash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int place))
        {
            return null;
        }

        return text![..dash] switch
        {
            "worker" => Worker(place),
            "server" => Server(place),
            _ => null,
        };
    }

    /// <inheritdoc/>
    public int CompareTo(NodeName other) => Role != other.Role ? ((byte)Role).CompareTo((byte)other.Role) : Place.CompareTo(other.Place);

    /// <inheritdoc/>
    public override string ToString() => Role switch
    {
        ActorRole.Coordinator => "coordinator",
        ActorRole.Worker => string.Create(CultureInfo.InvariantCulture, $"worker-{Place}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"server-{Place}"),
    };
}

/// <summary>Writes a node's name as a text.</summary>
internal sealed class NodeNameConverter : JsonConverter<NodeName>
{
    public override NodeName Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        => NodeName.TryParse(reader.GetString()) ?? throw new JsonException("expected coordinator, worker-N or server-N");

    public override void Write(Utf8JsonWriter writer, NodeName value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
}
