using System.Text.Json;
using System.Text.Json.Nodes;

namespace ClusterRnn.Training.Configuration;

/// <summary>
/// Writes the JSON Schema (draft 2020-12) of a configuration record, for completion and checks in editors:
/// configs/schema.json is this for <see cref="JobConfig"/>, and a test keeps the two equal.
/// </summary>
public static class ConfigSchema
{
    /// <summary>The schema of <typeparamref name="T"/> as indented JSON, ending with a newline.</summary>
    public static string Generate<T>(string title)
    {
        var definitions = new SortedDictionary<string, JsonNode?>(StringComparer.Ordinal);
        var names = new Dictionary<(Type, string), string>();
        JsonObject root = Record(ConfigShape.Of(typeof(T)), null, null);
        var schema = new JsonObject { ["$schema"] = "https://json-schema.org/draft/2020-12/schema", ["title"] = title };
        foreach ((string key, JsonNode? value) in root.ToArray())
        {
            root.Remove(key);
            schema[key] = value;
        }

        schema["$defs"] = new JsonObject(definitions);
        return schema.ToJsonString(ConfigJson.Options) + "\n";

        JsonObject Value(ConfigShape shape, ConfigKey? key, bool nullable)
        {
            JsonObject node = shape.Kind switch
            {
                ConfigKind.Boolean => new JsonObject { ["type"] = "boolean" },
                ConfigKind.Integer => new JsonObject { ["type"] = "integer" },
                ConfigKind.Number => new JsonObject { ["type"] = "number" },
                ConfigKind.Text => new JsonObject { ["type"] = "string" },
                ConfigKind.Choice => new JsonObject { ["enum"] = Names(shape.Choices) },
                ConfigKind.List => new JsonObject { ["type"] = "array", ["items"] = Value(shape.Element!, shape.Element!.Kind < ConfigKind.List ? key : null, false) },
                ConfigKind.Map => new JsonObject { ["type"] = "object", ["additionalProperties"] = shape.Element!.Kind == ConfigKind.Text ? AnyScalar() : Value(shape.Element, null, false) },
                _ => Reference(shape, key?.DefaultVariant),
            };
            if (shape.Kind is ConfigKind.Integer or ConfigKind.Number && key?.Range is { } range)
            {
                (double minimum, double maximum) = ConfigShape.Limits(range);
                Limit(node, shape, range.MinimumIsExclusive ? "exclusiveMinimum" : "minimum", minimum);
                Limit(node, shape, range.MaximumIsExclusive ? "exclusiveMaximum" : "maximum", maximum);
            }
            else if (shape.Kind == ConfigKind.Integer && shape.Type == typeof(ulong))
            {
                node["minimum"] = 0;
            }

            if (key is { MinimumLength: > 0 } && shape.Kind is ConfigKind.List or ConfigKind.Text)
            {
                node[shape.Kind == ConfigKind.List ? "minItems" : "minLength"] = key!.MinimumLength;
            }

            if (key?.Pattern is { } pattern && shape.Kind == ConfigKind.Text)
            {
                node["pattern"] = pattern.Pattern;
            }

            return nullable ? new JsonObject { ["anyOf"] = new JsonArray(node, new JsonObject { ["type"] = "null" }) } : node;
        }

        JsonObject Reference(ConfigShape shape, string? standard)
        {
            string name = Define(shape, shape.Kind == ConfigKind.Variant ? "*" : "", () => shape.Kind == ConfigKind.Variant ? Variant(shape, standard) : Record(shape, null, null));
            return new JsonObject { ["$ref"] = "#/$defs/" + name };
        }

        string Define(ConfigShape shape, string variant, Func<JsonObject> make)
        {
            if (!names.TryGetValue((shape.Type, variant), out string? name))
            {
                name = shape.Type.Name;
                name = name.EndsWith("Config", StringComparison.Ordinal) ? name[..^6] : name;
                name = JsonNamingPolicy.CamelCase.ConvertName(name);
                while (names.ContainsValue(name))
                {
                    name += variant is "" or "*" ? "_" : "-" + variant;
                }

                names[(shape.Type, variant)] = name;
                definitions[name] = make();
            }

            return name;
        }

        JsonObject Variant(ConfigShape shape, string? standard)
        {
            var options = new JsonArray();
            var bare = new List<string>();
            foreach ((string name, ConfigShape variant) in shape.Variants)
            {
                string definition = Define(variant, name, () => Record(variant, shape.Discriminator, name, name == standard));
                options.Add(new JsonObject { ["$ref"] = "#/$defs/" + definition });
                if (!variant.Keys.Any(k => k.Required))
                {
                    bare.Add(name);
                }
            }

            if (bare.Count > 0)
            {
                options.Add(new JsonObject { ["enum"] = Names(bare), ["description"] = $"Only its {shape.Discriminator}: everything else by default." });
            }

            var node = new JsonObject();
            if (shape.Description is { } description)
            {
                node["description"] = description;
            }

            node["anyOf"] = options;
            return node;
        }

        JsonObject Record(ConfigShape shape, string? discriminator, string? value, bool isStandard = false)
        {
            var node = new JsonObject();
            if (shape.Description is { } description)
            {
                node["description"] = description;
            }

            node["type"] = "object";
            var properties = new JsonObject();
            var required = new List<string>();
            if (discriminator is not null)
            {
                properties[discriminator] = new JsonObject { ["const"] = value };
                if (!isStandard)
                {
                    required.Add(discriminator);
                }
            }

            foreach (ConfigKey key in shape.Keys)
            {
                JsonObject property = Value(key.Shape, key, key.Nullable);
                if (key.Description is not null)
                {
                    property["description"] = key.Description;
                }

                if (key.Default is JsonValue or JsonArray { Count: 0 })
                {
                    property["default"] = key.Default.DeepClone();
                }

                properties[key.Name] = property;
                if (key.Required)
                {
                    required.Add(key.Name);
                }
            }

            node["properties"] = properties;
            if (required.Count > 0)
            {
                node["required"] = Names(required);
            }

            node["additionalProperties"] = false;
            return node;
        }

        // A plain number is text as well to a map of texts.
        static JsonObject AnyScalar() => new() { ["type"] = Names(["string", "number", "boolean"]) };

        static JsonArray Names(IEnumerable<string> values) => new([.. values.Select(v => JsonValue.Create(v))]);

        static void Limit(JsonObject node, ConfigShape shape, string keyword, double limit)
        {
            // Limits that only name the type's own range say nothing.
            if (double.IsInfinity(limit) || Math.Abs(limit) >= int.MaxValue)
            {
                return;
            }

            node[keyword] = shape.Kind == ConfigKind.Integer ? (long)limit : limit;
        }
    }
}
