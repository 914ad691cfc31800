// From a YAML file and command-line assignments to a checked record:
//     read (ConfigTree) -> merge assignments -> check against the records (ConfigBinder) -> the records' own checks.
// Nothing is written and nothing runs before all of it has passed.
using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Data;

namespace ClusterRnn.Training.Configuration;

/// <summary>Loads configurations.</summary>
public static class ConfigLoader
{
    /// <summary>Loads <paramref name="path"/> and merges <paramref name="assignments"/>.</summary>
    /// <exception cref="ConfigException">The file can't be read or is not valid; the message is for the user.</exception>
    public static BoundConfig<T> Load<T>(string path, IEnumerable<ConfigAssignment>? assignments = null)
        where T : class
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ConfigException($"{path}: no such file" + NearestFile(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigException(Directory.Exists(path)
                ? $"{path}: expected a configuration file, found a folder"
                : $"{path}: can't be read: {error.Message}");
        }

        return Parse<T>(text, path, assignments);
    }

    /// <summary>Reads <paramref name="text"/> (YAML; JSON is a part of it), named <paramref name="name"/> in messages.</summary>
    /// <exception cref="ConfigException">It is not valid; the message is for the user.</exception>
    public static BoundConfig<T> Parse<T>(string text, string name, IEnumerable<ConfigAssignment>? assignments = null)
        where T : class
    {
        var source = new ConfigSource(name, text.ReplaceLineEndings("\n").Split('\n'));
        ConfigNode root = ConfigTree.Parse(text, source);
        foreach (ConfigAssignment assignment in assignments ?? [])
        {
            root = ConfigTree.Assign(root, assignment);
        }

        return ConfigBinder.Bind<T>(root);
    }

    /// <summary>The record as JSON, as checkpoints keep it.</summary>
    public static string ToJson<T>(T config)
        where T : class => JsonSerializer.Serialize(config, ConfigJson.Options);

    /// <summary>Reads back what <see cref="ToJson"/> wrote.</summary>
    /// <param name="json">The JSON.</param>
    /// <param name="name">The file's name, for messages.</param>
    /// <exception cref="ConfigException">It is not such a record.</exception>
    public static T FromJson<T>(string json, string name)
        where T : class => Parse<T>(json, name).Value;

    /// <summary>The record as YAML, every value spelled out.</summary>
    public static string ToYaml<T>(T config)
        where T : class => ConfigWriter.Write(JsonSerializer.SerializeToNode(config, ConfigJson.Options) as JsonObject ?? []);

    private static string NearestFile(string path)
    {
        string folder = Path.GetDirectoryName(path) is { Length: > 0 } name ? name : ".";
        if (!Directory.Exists(folder))
        {
            return $"; there is no folder {folder} either, seen from {Environment.CurrentDirectory}";
        }

        string[] files = [.. Directory.EnumerateFiles(folder, "*.yaml").Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        return NearestName.Of(Path.GetFileName(path), files) is { } near ? $"; did you mean {Path.Combine(Path.GetDirectoryName(path) ?? "", near)}?" : $", seen from {Environment.CurrentDirectory}";
    }
}
