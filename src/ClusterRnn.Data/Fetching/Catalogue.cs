// Public data sets by name: where they lie, what their bytes are known to be, and the command that trains on them. The list itself is
// catalogue.json beside this file; another one can be given.
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ClusterRnn.Data.Fetching;

/// <summary>How a fetched file is packed.</summary>
public enum Packing
{
    /// <summary>It is kept as it comes.</summary>
    None,

    /// <summary>One file, packed by gzip.</summary>
    Gzip,

    /// <summary>A zip archive.</summary>
    Zip,

    /// <summary>A tar archive, packed by gzip or not.</summary>
    Tar,
}

/// <summary>A file of a data set.</summary>
public sealed record CatalogueFile
{
    /// <summary>Where it lies.</summary>
    public required Uri Url { get; init; }

    /// <summary>What it is called here; of an archive, the archive.</summary>
    public required string Name { get; init; }

    /// <summary>Its size, or about its size where no hash is pinned.</summary>
    public required long Bytes { get; init; }

    /// <summary>The SHA-256 of what the address gives, lower-case hexadecimal; null: not known when the list was written.</summary>
    public string? Sha256 { get; init; }

    /// <summary>How it is packed.</summary>
    public Packing Packing { get; init; }

    /// <summary>Which of an archive's files are taken: a path with * and ?, part by part. They lose their folders.</summary>
    public string? Pick { get; init; }

    /// <summary>The most bytes that it may have unpacked.</summary>
    public long UnpackedBytes { get; init; } = 1L << 30;

    /// <summary>The SHA-256 of what is unpacked: of one file its own, of several that of all bytes in ordinal order of the names. Null: not known.</summary>
    public string? UnpackedSha256 { get; init; }

    /// <summary>Whether something of it is compared with a hash that the list has.</summary>
    [JsonIgnore]
    public bool IsPinned => Sha256 is not null || UnpackedSha256 is not null;
}

/// <summary>A public data set.</summary>
public sealed record CatalogueEntry
{
    /// <summary>Where its files will lie, in <see cref="Train"/>.</summary>
    public const string FolderMark = "{folder}";

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is, in a few words.</summary>
    public required string What { get; init; }

    /// <summary>Under which terms it may be used, as its source says.</summary>
    public required string Licence { get; init; }

    /// <summary>Its files.</summary>
    public required IReadOnlyList<CatalogueFile> Files { get; init; }

    /// <summary>What follows the program's name to train on it, with <see cref="FolderMark"/> for its folder.</summary>
    public required IReadOnlyList<string> Train { get; init; }
}

/// <summary>Public data sets by name.</summary>
public sealed class Catalogue
{
    private static readonly JsonSerializerOptions s_form = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        ReadCommentHandling = JsonCommentHandling.Skip,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    private Catalogue(IReadOnlyList<CatalogueEntry> entries) => Entries = entries;

    /// <summary>The data sets, in the list's order.</summary>
    public IReadOnlyList<CatalogueEntry> Entries { get; }

    /// <summary>The list that comes with the program.</summary>
    public static Catalogue BuiltIn()
    {
        using Stream list = Assembly.GetExecutingAssembly().GetManifestResourceStream("ClusterRnn.Data.Fetching.catalogue.json")!;
        using var reader = new StreamReader(list);
        return Parse("the program's catalogue", reader.ReadToEnd());
    }

    /// <summary>Reads a list.</summary>
    /// <param name="name">Where it comes from, for messages.</param>
    /// <param name="json">A JSON array of data sets.</param>
    /// <exception cref="DataException">It is none, or an entry can't be meant so.</exception>
    public static Catalogue Parse(string name, string json)
    {
        List<CatalogueEntry>? entries;
        try
        {
            entries = JsonSerializer.Deserialize<List<CatalogueEntry>>(json, s_form);
        }
        catch (JsonException fault)
        {
            throw new DataException(
                name, "a JSON array of data sets, as catalogue.json has", fault.Message.TrimEnd('.'), "Correct it", fault.LineNumber + 1, fault.BytePositionInLine + 1, inner: fault);
        }

        if (entries is not { Count: > 0 } || entries.Contains(null!))
        {
            throw new DataException(name, "at least one data set", "none", "Write one, as catalogue.json has them");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (CatalogueEntry entry in entries)
        {
            Check(names.Add(entry.Name), "data sets of different names", $"'{entry.Name}' twice");
            Check(IsFileName(entry.Name), "a name that can be a folder's", $"'{entry.Name}'");
            Check(entry.Files.Count > 0 && !entry.Files.Contains(null!), $"files of '{entry.Name}'", "none");
            Check(!entry.Train.Contains(null!), $"commands that train on '{entry.Name}'", "null");
            Check(entry.Files.Select(file => file.Name).Distinct(StringComparer.OrdinalIgnoreCase).Count() == entry.Files.Count, $"different names of the files of '{entry.Name}'", "one twice");
            foreach (CatalogueFile file in entry.Files)
            {
                Check(IsFileName(file.Name), $"a file name without folders in '{entry.Name}'", $"'{file.Name}'");
                Check(file.Url.IsAbsoluteUri && file.Url.Scheme is "http" or "https", $"an address that begins with http or https in '{entry.Name}'", $"'{file.Url}'");
                Check(file.Bytes > 0 && file.UnpackedBytes > 0, $"sizes above 0 in '{entry.Name}'", $"{Math.Min(file.Bytes, file.UnpackedBytes)}");
                Check(new[] { file.Sha256, file.UnpackedSha256 }.All(IsHash), $"hashes of 64 lower-case hexadecimal digits in '{entry.Name}'", $"'{file.Sha256 ?? file.UnpackedSha256}'");
            }
        }

        return new Catalogue(entries);

        void Check(bool holds, string expected, string found)
        {
            if (!holds)
            {
                throw new DataException(name, expected, found, "Correct the list");
            }
        }

        static bool IsHash(string? hash) => hash is null || (hash.Length == 64 && hash.All(char.IsAsciiHexDigit) && hash == hash.ToLowerInvariant());
    }

    /// <summary>Whether a name is that of one file in a folder, on every system.</summary>
    internal static bool IsFileName(string name) =>
        name.Length is > 0 and <= 200 && name.Trim('.', ' ').Length > 0 && name.IndexOfAny(['/', '\\', ':', '*', '?', '"', '<', '>', '|']) < 0 && !name.Any(char.IsControl);
}
