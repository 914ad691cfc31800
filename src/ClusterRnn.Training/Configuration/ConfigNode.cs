// The untyped tree of a configuration: what YAML said, with the place of every key and value. Command-line
// assignments are merged here, before anything is validated, so that the rules see one document and every complaint
// still names the file's line or the option it is about.
using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace ClusterRnn.Training.Configuration;

/// <summary>A value of the tree.</summary>
/// <param name="Mark">Where it stands.</param>
public abstract record ConfigNode(ConfigMark Mark);

/// <summary>A single value.</summary>
/// <param name="Mark">Where it stands.</param>
/// <param name="Text">The text, without quotes.</param>
/// <param name="Quoted">Whether it was quoted, and so is text whatever it looks like.</param>
public sealed record ConfigScalar(ConfigMark Mark, string Text, bool Quoted) : ConfigNode(Mark)
{
    /// <summary>Whether the value is YAML's null.</summary>
    public bool IsNull => !Quoted && Text is "" or "~" or "null" or "Null" or "NULL";
}

/// <summary>A list.</summary>
/// <param name="Mark">Where it stands.</param>
/// <param name="Items">The items.</param>
public sealed record ConfigSequence(ConfigMark Mark, List<ConfigNode> Items) : ConfigNode(Mark);

/// <summary>One key of a mapping with its value.</summary>
/// <param name="Key">The key.</param>
/// <param name="Mark">Where the key stands.</param>
/// <param name="Value">The value.</param>
public sealed record ConfigEntry(string Key, ConfigMark Mark, ConfigNode Value);

/// <summary>Keys with values, in the order of the file.</summary>
/// <param name="Mark">Where it stands.</param>
/// <param name="Entries">The entries.</param>
public sealed record ConfigMapping(ConfigMark Mark, List<ConfigEntry> Entries) : ConfigNode(Mark)
{
    /// <summary>The bare name this mapping was written as before an assignment went into it (<c>optimizer: adam</c>), or null.</summary>
    public ConfigScalar? Shorthand { get; init; }
}

/// <summary>One assignment from the command line.</summary>
/// <param name="Option">The option as typed, for messages: <c>--set batch.size=32</c> or <c>--workers 3</c>.</param>
/// <param name="Path">The key path, with dots; list items by number (<c>model.layers.0.units</c>).</param>
/// <param name="Value">The value, in YAML.</param>
public sealed record ConfigAssignment(string Option, string Path, string Value)
{
    /// <summary>Reads <c>key.path=value</c> as given to <c>--set</c>.</summary>
    /// <exception cref="ConfigException">There is no '=' or no key.</exception>
    public static ConfigAssignment Parse(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0)
        {
            throw new ConfigException($"--set {text}: expected key.path=value, for example --set batch.size=32");
        }

        return new ConfigAssignment($"--set {text}", text[..equals].Trim(), text[(equals + 1)..].Trim());
    }
}

/// <summary>Reads YAML into the tree and merges assignments.</summary>
public static class ConfigTree
{
    private const int MaximumDepth = 32;
    private const int MaximumNodes = 100_000;

    /// <summary>Reads <paramref name="yaml"/>.</summary>
    /// <exception cref="ConfigException">It is not YAML, is empty, or nests too deeply.</exception>
    public static ConfigNode Parse(string yaml, ConfigSource source)
    {
        CheckDepth(yaml, source);
        var stream = new YamlStream();
        var parser = new Parser(new StringReader(yaml));
        try
        {
            stream.Load(parser);
        }
        catch (YamlException error)
        {
            throw NotYaml(error, source);
        }
        catch (Exception error) when (error is ArgumentException or InvalidOperationException)
        {
            throw Broken(parser, source);
        }

        if (stream.Documents.Count == 0)
        {
            throw new ConfigException([new ConfigProblem(new ConfigMark(source, 1, 1, 1), "", "the configuration is empty", "Expected keys such as data and model; see configs/quickstart.yaml.")]);
        }

        if (stream.Documents.Count > 1)
        {
            YamlNode second = stream.Documents[1].RootNode;
            throw new ConfigException([new ConfigProblem(MarkOf(second, source), "", "a second YAML document begins here; expected one")]);
        }

        int nodes = 0;
        return Convert(stream.Documents[0].RootNode, source, 0, ref nodes);
    }

    /// <summary>Puts <paramref name="assignment"/> into the tree; mappings on the way are made where there are none.</summary>
    /// <exception cref="ConfigException">The path or the value can't be read.</exception>
    public static ConfigNode Assign(ConfigNode root, ConfigAssignment assignment)
    {
        var source = new ConfigSource(assignment.Option, []);
        var mark = new ConfigMark(source, 1, 1, 1);
        string[] segments = assignment.Path.Replace("[", ".", StringComparison.Ordinal).Replace("]", "", StringComparison.Ordinal).Split('.');
        if (segments.Any(string.IsNullOrWhiteSpace))
        {
            throw new ConfigException([new ConfigProblem(mark, assignment.Path, $"'{assignment.Path}' is not a key path", "Expected names joined by dots, for example batch.size.")]);
        }

        ConfigNode value = assignment.Value.Length == 0 ? new ConfigScalar(mark, "", true) : Parse(assignment.Value, source);
        return Place(root, 0);

        ConfigNode Place(ConfigNode? node, int depth)
        {
            if (depth == segments.Length)
            {
                return value;
            }

            string segment = segments[depth];
            if (node is ConfigSequence sequence)
            {
                if (!int.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture, out int index) || index > sequence.Items.Count)
                {
                    throw new ConfigException([new ConfigProblem(mark, assignment.Path, $"'{segment}' is not a place in the list '{string.Join('.', segments[..depth])}', which has {sequence.Items.Count} items", "Expected a number from 0.")]);
                }

                ConfigNode placed = Place(index < sequence.Items.Count ? sequence.Items[index] : null, depth + 1);
                List<ConfigNode> items = [.. sequence.Items];
                if (index < items.Count)
                {
                    items[index] = placed;
                }
                else
                {
                    items.Add(placed);
                }

                return sequence with { Items = items };
            }

            ConfigMapping mapping = node switch
            {
                ConfigMapping existing => existing,
                ConfigScalar { IsNull: false } name => new ConfigMapping(name.Mark, []) { Shorthand = name },
                _ => new ConfigMapping(mark, []),
            };
            List<ConfigEntry> entries = [.. mapping.Entries];
            int found = entries.FindIndex(e => e.Key == segment);
            var entry = new ConfigEntry(segment, mark, Place(found < 0 ? null : entries[found].Value, depth + 1));
            if (found >= 0)
            {
                // A key that only leads to the assigned one keeps its own place.
                entries[found] = depth + 1 == segments.Length ? entry : entry with { Mark = entries[found].Mark };
            }
            else
            {
                entries.Add(entry);
            }

            return mapping with { Entries = entries };
        }
    }

    // The loader of the representation model recurses, so depth is limited on the flat events first.
    private static void CheckDepth(string yaml, ConfigSource source)
    {
        var parser = new Parser(new StringReader(yaml));
        int depth = 0;
        try
        {
            while (parser.MoveNext())
            {
                if (parser.Current is YamlDotNet.Core.Events.AnchorAlias alias)
                {
                    throw new ConfigException([new ConfigProblem(new ConfigMark(source, (int)alias.Start.Line, (int)alias.Start.Column, 1), "", $"'*{alias.Value}' refers to another place, which configs don't do", "Write the value out; text that begins with * needs quotes.")]);
                }

                depth += parser.Current!.NestingIncrease;
                if (depth > MaximumDepth)
                {
                    Mark start = parser.Current.Start;
                    throw new ConfigException([new ConfigProblem(new ConfigMark(source, (int)start.Line, (int)start.Column, 1), "", "the configuration nests too deeply")]);
                }
            }
        }
        catch (YamlException error)
        {
            throw NotYaml(error, source);
        }
        catch (Exception error) when (error is ArgumentException or InvalidOperationException)
        {
            throw Broken(parser, source);
        }
    }

    // YamlDotNet loses its footing on some broken texts and says no more than that; the parser still knows where it was.
    private static ConfigException Broken(Parser parser, ConfigSource source)
    {
        Mark end = parser.Current?.End ?? Mark.Empty;
        var mark = new ConfigMark(source, (int)Math.Max(1, end.Line), (int)Math.Max(1, end.Column), 1);
        return new ConfigException([new ConfigProblem(mark, "", "not valid YAML near here: a bracket, comma, colon or quote is missing or too many")]);
    }

    private static ConfigException NotYaml(YamlException error, ConfigSource source)
    {
        var mark = new ConfigMark(source, (int)Math.Max(1, error.Start.Line), (int)Math.Max(1, error.Start.Column), 1);
        return new ConfigException([new ConfigProblem(mark, "", "not valid YAML: " + Reason(error))]);
    }

    private static ConfigNode Convert(YamlNode node, ConfigSource source, int depth, ref int nodes)
    {
        ConfigMark mark = MarkOf(node, source);
        if (depth > MaximumDepth || ++nodes > MaximumNodes)
        {
            throw new ConfigException([new ConfigProblem(mark, "", "the configuration nests too deeply or is too large")]);
        }

        switch (node)
        {
            case YamlScalarNode scalar:
                bool quoted = scalar.Style is not (ScalarStyle.Plain or ScalarStyle.Any);
                return new ConfigScalar(mark, scalar.Value ?? "", quoted);
            case YamlSequenceNode sequence:
                var items = new List<ConfigNode>(sequence.Children.Count);
                foreach (YamlNode child in sequence.Children)
                {
                    items.Add(Convert(child, source, depth + 1, ref nodes));
                }

                return new ConfigSequence(mark, items);
            case YamlMappingNode mapping:
                var entries = new List<ConfigEntry>(mapping.Children.Count);
                foreach ((YamlNode key, YamlNode child) in mapping.Children)
                {
                    ConfigMark keyMark = MarkOf(key, source);
                    if (key is not YamlScalarNode { Value: { } name })
                    {
                        throw new ConfigException([new ConfigProblem(keyMark, "", "expected a name as key, found a list or mapping")]);
                    }

                    entries.Add(new ConfigEntry(name, keyMark, Convert(child, source, depth + 1, ref nodes)));
                }

                return new ConfigMapping(mark, entries);
            default:
                throw new ConfigException([new ConfigProblem(mark, "", "this YAML construct is not understood here")]);
        }
    }

    private static ConfigMark MarkOf(YamlNode node, ConfigSource source)
    {
        int line = (int)Math.Max(1, node.Start.Line), column = (int)Math.Max(1, node.Start.Column);
        int length = node is YamlScalarNode && node.End.Line == node.Start.Line ? (int)Math.Max(1, node.End.Column - node.Start.Column) : 1;
        return new ConfigMark(source, line, column, length);
    }

    private static string Reason(YamlException error)
    {
        string reason = (error.InnerException ?? error).Message;
        int cut = reason.LastIndexOf("): ", StringComparison.Ordinal);
        return cut > 0 && reason.StartsWith('(') ? reason[(cut + 3)..] : reason;
    }
}
