// A data set from the list to a folder. What is there already with the right bytes stays; everything else is fetched, compared with its
// hash, unpacked beside the folder's files and put in place whole. fetched.json says what came from where.
using System.Security.Cryptography;
using System.Text.Json;

namespace ClusterRnn.Data.Fetching;

/// <summary>A file that a data set has put into its folder.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Sha256">Its SHA-256.</param>
/// <param name="Url">Where it, or the archive it was in, came from.</param>
public sealed record FetchedFile(string Name, string Sha256, string Url);

/// <summary>Fetches data sets.</summary>
public static class DataFetch
{
    /// <summary>What is written about a folder's files.</summary>
    public const string ManifestFile = "fetched.json";

    private static readonly JsonSerializerOptions s_form = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, WriteIndented = true };

    /// <summary>Fetches what is missing of a data set.</summary>
    /// <param name="entry">The data set.</param>
    /// <param name="folder">Where it goes; made if it is not there.</param>
    /// <param name="options">How long is waited for what.</param>
    /// <param name="say">Called with what happens, line by line.</param>
    /// <param name="cancellation">Ends it; what has come is kept.</param>
    /// <exception cref="FetchException">Something can't be had, or is not what was expected.</exception>
    /// <exception cref="OperationCanceledException">Somebody gave up.</exception>
    public static async Task RunAsync(CatalogueEntry entry, string folder, FetchOptions options, Action<string> say, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(entry);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(say);
        Directory.CreateDirectory(folder);
        string manifest = Path.Combine(folder, ManifestFile);
        Dictionary<string, FetchedFile> fetched = ReadManifest(manifest);
        using var deadline = new CancellationTokenSource(options.Deadline);
        using var download = new Download(options, say);
        foreach (CatalogueFile file in entry.Files)
        {
            if (IsThere(file, folder, fetched))
            {
                say($"{file.Name}: there already");
                continue;
            }

            string target = Path.Combine(folder, file.Name);
            string sha256 = await download.RunAsync(file, target, deadline.Token, cancellation).ConfigureAwait(false);
            say($"{file.Name}: {new FileInfo(target).Length} bytes, SHA-256 {sha256}{(file.Sha256 is not null ? " as pinned" : file.IsPinned ? "" : " (not pinned: compare it with what the source says)")}");
            IReadOnlyList<FetchedFile> made = file.Packing == Packing.None ? [new FetchedFile(file.Name, sha256, file.Url.AbsoluteUri)] : Unpack(file, target, folder, say);
            foreach (FetchedFile each in made)
            {
                fetched[each.Name] = each;
            }

            File.WriteAllBytes(manifest + ".new", JsonSerializer.SerializeToUtf8Bytes(fetched.Values.OrderBy(each => each.Name, StringComparer.Ordinal), s_form));
            File.Move(manifest + ".new", manifest, overwrite: true);
        }
    }

    // What the list pins must have its hash; of what it doesn't, what came last time must still be there as it was.
    private static bool IsThere(CatalogueFile file, string folder, Dictionary<string, FetchedFile> fetched)
    {
        if (file.Packing == Packing.None && file.Sha256 is { } pinned)
        {
            string path = Path.Combine(folder, file.Name);
            return File.Exists(path) && HashOf(path) == pinned;
        }

        FetchedFile[] made = [.. fetched.Values.Where(each => each.Url == file.Url.AbsoluteUri)];
        return made.Length > 0 && made.All(each => File.Exists(Path.Combine(folder, each.Name)) && HashOf(Path.Combine(folder, each.Name)) == each.Sha256);
    }

    private static List<FetchedFile> Unpack(CatalogueFile file, string archive, string folder, Action<string> say)
    {
        string beside = Path.Combine(folder, $".unpacking-{Guid.NewGuid():N}");
        Directory.CreateDirectory(beside);
        try
        {
            IReadOnlyList<string> names = Unpacking.Run(file, archive, beside);
            string sha256 = HashOf([.. names.Select(name => Path.Combine(beside, name))]);
            if (file.UnpackedSha256 is { } pinned && sha256 != pinned)
            {
                throw new FetchException($"{file.Url}: expected contents with SHA-256 {pinned}, found {sha256}. The source has changed, or something on the way changes it; nothing of it was kept");
            }

            File.Delete(archive); // before a file of its own name comes out of it
            List<FetchedFile> made = [.. names.Select(name => new FetchedFile(name, HashOf(Path.Combine(beside, name)), file.Url.AbsoluteUri))];
            foreach (string name in names)
            {
                File.Move(Path.Combine(beside, name), Path.Combine(folder, name), overwrite: true);
            }

            say($"{file.Name}: unpacked {names.Count} file{(names.Count == 1 ? "" : "s")}, SHA-256 of the contents {sha256}{(file.UnpackedSha256 is null ? "" : " as pinned")}");
            return made;
        }
        catch (FetchException)
        {
            File.Delete(archive);
            throw;
        }
        finally
        {
            Directory.Delete(beside, recursive: true);
        }
    }

    private static string HashOf(params IReadOnlyList<string> paths)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 16];
        foreach (string path in paths)
        {
            using FileStream file = File.OpenRead(path);
            for (int read; (read = file.Read(buffer)) > 0;)
            {
                hash.AppendData(buffer, 0, read);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static Dictionary<string, FetchedFile> ReadManifest(string path)
    {
        try
        {
            List<FetchedFile?>? files = File.Exists(path) ? JsonSerializer.Deserialize<List<FetchedFile?>>(File.ReadAllBytes(path), s_form) : [];
            return (files ?? []).OfType<FetchedFile>().ToDictionary(file => file.Name, StringComparer.Ordinal);
        }
        catch (Exception fault) when (fault is JsonException or ArgumentException)
        {
            throw new FetchException($"{path}: expected what an earlier fetch wrote there, found something else: {fault.Message.TrimEnd('.')}. Remove it, and everything is fetched again", fault);
        }
    }
}
