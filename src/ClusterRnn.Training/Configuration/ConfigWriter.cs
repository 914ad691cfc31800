using System.Text.Json;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace ClusterRnn.Training.Configuration;

/// <summary>Writes a configuration as YAML: block style, short lists on one line, quotes only where they are needed.</summary>
internal static class ConfigWriter
{
    public static string Write(JsonObject config)
    {
        var writer = new StringWriter { NewLine = "\n" };
        new YamlStream(new YamlDocument(Convert(config))).Save(writer, assignAnchors: false);
        // YamlDotNet closes a document with "...", which says nothing here.
        string text = writer.ToString().ReplaceLineEndings("\n");
        return text.EndsWith("...\n", StringComparison.Ordinal) ? text[..^4] : text;
    }

    private static YamlNode Convert(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject mapping:
                var keys = new YamlMappingNode { Style = mapping.Count == 0 ? MappingStyle.Flow : MappingStyle.Block };
                foreach ((string key, JsonNode? value) in mapping)
                {
                    keys.Add(new YamlScalarNode(key), Convert(value));
                }

                return keys;
            case JsonArray list:
                var items = new YamlSequenceNode { Style = list.All(i => i is JsonValue) ? SequenceStyle.Flow : SequenceStyle.Block };
                foreach (JsonNode? item in list)
                {
                    items.Add(Convert(item));
                }

                return items;
            case null:
                return new YamlScalarNode("null");
            default:
                bool isText = node.GetValueKind() == JsonValueKind.String;
                string text = isText ? node.GetValue<string>() : node.ToJsonString();
                return new YamlScalarNode(text) { Style = isText && NeedsQuotes(text) ? ScalarStyle.DoubleQuoted : ScalarStyle.Any };
        }
    }

    // Text that would be read back as a number, a truth value or nothing.
    private static bool NeedsQuotes(string text) =>
        text.Length == 0
        || text.ToLowerInvariant() is "null" or "~" or "true" or "false" or "yes" or "no" or "on" or "off"
        || char.IsAsciiDigit(text[0])
        || text[0] is '-' or '+' or '.'
        || text.Any(char.IsControl)
        || text != text.Trim();
}
