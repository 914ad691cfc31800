// Checks a tree against the shape of a record and makes the record. Every problem is collected with its place, so that
// a file with three mistakes is mended in one go; the record itself is made by System.Text.Json from the checked tree,
// the same way as it is read back from a checkpoint.
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Configuration;

/// <summary>A record made from a configuration, with the places of its keys.</summary>
/// <typeparam name="T">The record.</typeparam>
/// <param name="Value">The record.</param>
/// <param name="Marks">The place of each key that was given, by key path (<c>model.layers[1].units</c>).</param>
public sealed record BoundConfig<T>(T Value, IReadOnlyDictionary<string, ConfigMark> Marks)
{
    /// <summary>The place of <paramref name="path"/>, or of the nearest key around it that was given.</summary>
    public ConfigMark MarkOf(string path)
    {
        while (true)
        {
            if (Marks.TryGetValue(path, out ConfigMark? mark))
            {
                return mark;
            }

            int cut = Math.Max(path.LastIndexOf('.'), path.LastIndexOf('['));
            path = cut < 0 ? "" : path[..cut];
        }
    }

    /// <summary>A complaint about the key at <paramref name="path"/>, found after the record was made.</summary>
    public ConfigException Error(string path, string message, string? hint = null) => new([new ConfigProblem(MarkOf(path), path, message, hint)]);
}

/// <summary>Makes records from trees.</summary>
public static class ConfigBinder
{
    private const int MaximumProblems = 20;

    /// <summary>Makes a <typeparamref name="T"/> from <paramref name="root"/>.</summary>
    /// <exception cref="ConfigException">Unknown keys, wrong types, values out of range, missing keys, or what the records' own checks (<see cref="IValidatableObject"/>) complain about.</exception>
    public static BoundConfig<T> Bind<T>(ConfigNode root)
        where T : class
    {
        var pass = new Pass();
        JsonNode? json = pass.Check(root, ConfigShape.Of(typeof(T)), null, "", nullable: false);
        pass.ThrowIfAny();
        T value = json.Deserialize<T>(ConfigJson.Options)!;
        var bound = new BoundConfig<T>(value, pass.Marks);
        var problems = new List<ConfigProblem>();
        Validate(value, ConfigShape.Of(typeof(T)), "", bound, problems);
        return problems.Count == 0 ? bound : throw new ConfigException(problems);
    }

    // Asks every record on the way down for its own complaints. Member names are C# names or key paths below the record.
    private static void Validate<T>(object? value, ConfigShape shape, string path, BoundConfig<T> bound, List<ConfigProblem> problems)
    {
        if (value is null)
        {
            return;
        }

        switch (shape.Kind)
        {
            case ConfigKind.List when shape.Element!.Kind >= ConfigKind.List:
                int i = 0;
                foreach (object? item in (System.Collections.IEnumerable)value)
                {
                    Validate(item, shape.Element, $"{path}[{i++}]", bound, problems);
                }

                break;
            case ConfigKind.Map when shape.Element!.Kind >= ConfigKind.List:
                var map = (System.Collections.IDictionary)value;
                foreach (string name in map.Keys.Cast<string>().Order(StringComparer.Ordinal))
                {
                    Validate(map[name], shape.Element, Join(path, name), bound, problems);
                }

                break;
            case ConfigKind.Variant:
                ConfigShape? variant = shape.Variants.Values.FirstOrDefault(v => v.Type == value.GetType());
                ValidateRecord(value, variant ?? ConfigShape.Of(value.GetType()), path, bound, problems);
                break;
            case ConfigKind.Record:
                ValidateRecord(value, shape, path, bound, problems);
                break;
        }
    }

    private static void ValidateRecord<T>(object value, ConfigShape shape, string path, BoundConfig<T> bound, List<ConfigProblem> problems)
    {
        foreach (ConfigKey key in shape.Keys)
        {
            Validate(value.GetType().GetProperty(key.MemberName)?.GetValue(value), key.Shape, Join(path, key.Name), bound, problems);
        }

        if (value is IValidatableObject validatable)
        {
            foreach (ValidationResult result in validatable.Validate(new ValidationContext(value)))
            {
                string member = result.MemberNames.FirstOrDefault() ?? "";
                string name = shape.Keys.FirstOrDefault(k => k.MemberName == member)?.Name ?? member;
                string full = name.Length == 0 ? path : Join(path, name);
                problems.Add(new ConfigProblem(bound.MarkOf(full), full, result.ErrorMessage ?? "not valid"));
            }
        }
    }

    private static string Join(string path, string key) => path.Length == 0 ? key : path + "." + key;

    private sealed class Pass
    {
        private readonly List<ConfigProblem> _problems = [];

        public Dictionary<string, ConfigMark> Marks { get; } = new(StringComparer.Ordinal);

        public void ThrowIfAny()
        {
            if (_problems.Count > 0)
            {
                throw new ConfigException([.. _problems.Take(MaximumProblems)]);
            }
        }

        public JsonNode? Check(ConfigNode node, ConfigShape shape, ConfigKey? key, string path, bool nullable)
        {
            Marks.TryAdd(path, node.Mark);
            if (node is ConfigScalar { IsNull: true } && shape.Kind != ConfigKind.Text)
            {
                if (!nullable)
                {
                    Expected(node, shape, key, path);
                }

                return null;
            }

            return shape.Kind switch
            {
                ConfigKind.Record => CheckRecord(node, shape, key, path, null),
                ConfigKind.Variant => CheckVariant(node, shape, key, path),
                ConfigKind.List => CheckList(node, shape, key, path),
                ConfigKind.Map => CheckMap(node, shape, key, path),
                _ => CheckScalar(node, shape, key, path, nullable),
            };
        }

        private JsonValue? CheckScalar(ConfigNode node, ConfigShape shape, ConfigKey? key, string path, bool nullable)
        {
            if (node is not ConfigScalar scalar)
            {
                Expected(node, shape, key, path);
                return null;
            }

            string text = scalar.Text;
            switch (shape.Kind)
            {
                case ConfigKind.Text:
                    if (scalar.IsNull)
                    {
                        if (!nullable)
                        {
                            Expected(node, shape, key, path, "Quote it if it is meant as text.");
                        }

                        return null;
                    }

                    if (key is not null && text.Length < key.MinimumLength)
                    {
                        Add(node.Mark, path, $"'{path}' must not be empty");
                    }

                    if (key?.Pattern is { } pattern && !pattern.IsValid(text))
                    {
                        Add(node.Mark, path, $"'{path}' expects {pattern.ErrorMessage}; found '{text}'");
                    }

                    return JsonValue.Create(text);
                case ConfigKind.Choice:
                    if (shape.Choices.Contains(text))
                    {
                        return JsonValue.Create(text);
                    }

                    Expected(node, shape, key, path, NearestName.Of(text, shape.Choices) is { } near ? $"Did you mean '{near}'?" : null);
                    return null;
                case ConfigKind.Boolean when !scalar.Quoted && text is "true" or "false":
                    return JsonValue.Create(text == "true");
                case ConfigKind.Integer when !scalar.Quoted && Integer(text, shape.Type) is { } integer:
                    CheckRange(node, shape, key, path, double.Parse(text, CultureInfo.InvariantCulture));
                    return integer;
                case ConfigKind.Number when !scalar.Quoted && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) && text[^1] != ' ':
                    CheckRange(node, shape, key, path, number);
                    return JsonNode.Parse(JsonNumber(number))!.AsValue();
            }

            string? hint = shape.Kind switch
            {
                ConfigKind.Boolean when text.ToLowerInvariant() is "yes" or "on" or "1" => "Write true.",
                ConfigKind.Boolean when text.ToLowerInvariant() is "no" or "off" or "0" => "Write false.",
                ConfigKind.Integer or ConfigKind.Number when scalar.Quoted => "Write it without quotes.",
                _ => null,
            };
            Expected(node, shape, key, path, hint);
            return null;
        }

        private static JsonValue? Integer(string text, Type type)
        {
            if (!decimal.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out decimal value))
            {
                return null;
            }

            (decimal minimum, decimal maximum) = Type.GetTypeCode(type) switch
            {
                TypeCode.Byte => (byte.MinValue, byte.MaxValue),
                TypeCode.SByte => (sbyte.MinValue, sbyte.MaxValue),
                TypeCode.Int16 => (short.MinValue, short.MaxValue),
                TypeCode.UInt16 => (ushort.MinValue, ushort.MaxValue),
                TypeCode.Int32 => (int.MinValue, int.MaxValue),
                TypeCode.UInt32 => (uint.MinValue, uint.MaxValue),
                TypeCode.UInt64 => (ulong.MinValue, ulong.MaxValue),
                _ => ((decimal)long.MinValue, (decimal)long.MaxValue),
            };
            return value >= minimum && value <= maximum ? JsonNode.Parse(value.ToString(CultureInfo.InvariantCulture))!.AsValue() : null;
        }

        private static string JsonNumber(double value) => value.ToString("R", CultureInfo.InvariantCulture);

        private void CheckRange(ConfigNode node, ConfigShape shape, ConfigKey? key, string path, double value)
        {
            if (key?.Range is not { } range)
            {
                return;
            }

            (double minimum, double maximum) = ConfigShape.Limits(range);
            bool below = range.MinimumIsExclusive ? value <= minimum : value < minimum;
            bool above = range.MaximumIsExclusive ? value >= maximum : value > maximum;
            if (below || above)
            {
                Expected(node, shape, key, path);
            }
        }

        private JsonArray? CheckList(ConfigNode node, ConfigShape shape, ConfigKey? key, string path)
        {
            if (node is not ConfigSequence sequence)
            {
                string? hint = node is ConfigScalar scalar && shape.Element!.Kind < ConfigKind.List ? $"Write [{scalar.Text}]." : null;
                Expected(node, shape, key, path, hint);
                return null;
            }

            if (key is not null && sequence.Items.Count < key.MinimumLength)
            {
                Add(node.Mark, path, $"'{path}' has {sequence.Items.Count} items; expected at least {key.MinimumLength}");
            }

            var array = new JsonArray();
            for (int i = 0; i < sequence.Items.Count; i++)
            {
                array.Add(Check(sequence.Items[i], shape.Element!, shape.Element!.Kind < ConfigKind.List ? key : null, $"{path}[{i}]", nullable: false));
            }

            return array;
        }

        private JsonObject? CheckMap(ConfigNode node, ConfigShape shape, ConfigKey? key, string path)
        {
            if (node is not ConfigMapping { Shorthand: null } mapping)
            {
                Expected(node, shape, key, path);
                return null;
            }

            var json = new JsonObject();
            foreach (ConfigEntry entry in mapping.Entries)
            {
                string child = Join(path, entry.Key);
                Marks[child] = entry.Mark;
                json[entry.Key] = Check(entry.Value, shape.Element!, null, child, nullable: false);
            }

            return json;
        }

        private JsonObject? CheckVariant(ConfigNode node, ConfigShape shape, ConfigKey? key, string path)
        {
            string discriminator = shape.Discriminator!;
            ConfigNode? chosen = node switch
            {
                ConfigScalar scalar => scalar,
                ConfigMapping mapping => mapping.Entries.FirstOrDefault(e => e.Key == discriminator)?.Value ?? mapping.Shorthand,
                _ => null,
            };
            if (node is ConfigSequence)
            {
                Expected(node, shape, key, path);
                return null;
            }

            // Keys without a name belong to the variant that is the default: `optimizer: { learningRate: 0.01 }`.
            if (chosen is null && key?.DefaultVariant is { } standard)
            {
                chosen = new ConfigScalar(node.Mark, standard, false);
            }

            if (chosen is null && !shape.Type.IsAbstract)
            {
                return CheckRecord(node, new ConfigRecordView(shape).Shape, key, path, null);
            }

            if (chosen is null)
            {
                // A misspelled discriminator is the likely cause: say so instead of only that it is missing.
                var keys = (ConfigMapping)node;
                string? near = keys.Entries.Select(e => e.Key).FirstOrDefault(k => NearestName.Distance(k, discriminator) <= 2);
                Add(
                    keys.Entries.FirstOrDefault(e => e.Key == near)?.Mark ?? node.Mark,
                    path,
                    $"{Name(path)} needs the key '{discriminator}'" + (near is null ? "" : $", found '{near}'"),
                    $"Expected '{discriminator}' to be one of {string.Join(", ", shape.Variants.Keys)}.");
                return null;
            }

            string nameOfKey = Join(path, discriminator);
            if (chosen is not ConfigScalar { Text: var name } || !shape.Variants.TryGetValue(name, out ConfigShape? variant))
            {
                string found = chosen is ConfigScalar s ? $"'{s.Text}'" : "something else";
                string? near = chosen is ConfigScalar t ? NearestName.Of(t.Text, shape.Variants.Keys) : null;
                Add(chosen.Mark, nameOfKey, $"'{nameOfKey}' expects one of {string.Join(", ", shape.Variants.Keys)}; found {found}", near is null ? null : $"Did you mean '{near}'?");
                return null;
            }

            JsonObject? json = CheckRecord(node, variant, key, path, discriminator);
            json?.Insert(0, discriminator, JsonValue.Create(name));
            return json;
        }

        private JsonObject? CheckRecord(ConfigNode node, ConfigShape shape, ConfigKey? key, string path, string? discriminator)
        {
            ConfigMapping? mapping = node switch
            {
                ConfigMapping { Shorthand: null } m => m,
                ConfigMapping m when discriminator is not null => m,
                ConfigScalar when discriminator is not null => new ConfigMapping(node.Mark, []),
                _ => null,
            };
            if (mapping is null)
            {
                Expected(node, shape, key, path);
                return null;
            }

            var json = new JsonObject();
            foreach (ConfigEntry entry in mapping.Entries)
            {
                string child = Join(path, entry.Key);
                Marks[child] = entry.Mark;
                if (entry.Key == discriminator)
                {
                    continue;
                }

                if (shape.Keys.FirstOrDefault(k => k.Name == entry.Key) is not { } declared)
                {
                    string[] names = [.. shape.Keys.Select(k => k.Name), .. discriminator is null ? Array.Empty<string>() : [discriminator]];
                    string? near = NearestName.Of(entry.Key, names);
                    Add(
                        entry.Mark,
                        child,
                        path.Length == 0 ? $"unknown key '{entry.Key}'" : $"unknown key '{entry.Key}' in '{path}'",
                        (near is null ? "" : $"Did you mean '{near}'? ") + (names.Length == 0 ? "It takes no keys." : $"Expected one of: {string.Join(", ", names)}."));
                    continue;
                }

                json[entry.Key] = Check(entry.Value, declared.Shape, declared, child, declared.Nullable);
            }

            foreach (ConfigKey declared in shape.Keys)
            {
                if (declared.Required && mapping.Entries.All(e => e.Key != declared.Name))
                {
                    Add(node.Mark, path, $"{Name(path)} lacks the key '{declared.Name}'", $"Expected {declared.Shape.Words(declared.Range)}." + (declared.Description is null ? "" : " " + declared.Description));
                }
            }

            return json;
        }

        private void Expected(ConfigNode node, ConfigShape shape, ConfigKey? key, string path, string? hint = null)
        {
            string found = node switch
            {
                ConfigScalar { IsNull: true } => "nothing",
                ConfigScalar { Quoted: true } scalar => $"the text \"{scalar.Text}\"",
                ConfigScalar scalar => $"'{scalar.Text}'",
                ConfigSequence => "a list",
                _ => "keys",
            };
            Add(node.Mark, path, $"{Name(path)} expects {shape.Words(key?.Range)}; found {found}", hint);
        }

        private void Add(ConfigMark mark, string path, string message, string? hint = null) => _problems.Add(new ConfigProblem(mark, path, message, hint));

        private static string Name(string path) => path.Length == 0 ? "the configuration" : $"'{path}'";
    }

    /// <summary>A concrete base record seen as a record of its own: what is meant when no discriminator is given.</summary>
    private readonly struct ConfigRecordView(ConfigShape variant)
    {
        public ConfigShape Shape { get; } = variant.Variants.Values.FirstOrDefault(v => v.Type == variant.Type)
            ?? throw new NotSupportedException($"{variant.Type} is a variant and concrete, so it must list itself with [JsonDerivedType].");
    }
}
