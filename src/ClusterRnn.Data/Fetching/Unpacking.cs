// Archives from strangers. Taken are plain files that the list asks for; they lose their folders, so that no name leads out of the
// target; links and devices, names that are none, the same name twice, and more bytes than the list allows are refused.
using System.Formats.Tar;
using System.IO.Compression;

namespace ClusterRnn.Data.Fetching;

/// <summary>Unpacks archives.</summary>
internal static class Unpacking
{
    private const int MostEntries = 1_000_000;
    private const int UnixKind = 0xF000, UnixLink = 0xA000; // of a mode

    /// <summary>Unpacks what a file asks for into an empty folder, and returns the names.</summary>
    /// <exception cref="FetchException">The archive is damaged, or holds what it must not.</exception>
    public static IReadOnlyList<string> Run(CatalogueFile file, string archive, string folder)
    {
        var names = new SortedSet<string>(StringComparer.Ordinal);
        long left = file.UnpackedBytes;
        try
        {
            using FileStream packed = File.OpenRead(archive);
            switch (file.Packing)
            {
                case Packing.Gzip:
                    Take(file.Name.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? file.Name[..^3] : file.Name, () => new GZipStream(packed, CompressionMode.Decompress));
                    break;
                case Packing.Zip:
                    Zip(packed);
                    break;
                default:
                    Tar(packed);
                    break;
            }
        }
        catch (Exception fault) when (fault is InvalidDataException or EndOfStreamException or FormatException)
        {
            throw new FetchException($"{file.Url}: expected a whole {file.Packing.ToString().ToLowerInvariant()} archive, found one that is damaged: {fault.Message.TrimEnd('.')}", fault);
        }

        return names.Count > 0 ? [.. names] : throw Refused($"files that fit '{file.Pick}'", "none");

        void Zip(Stream packed)
        {
            using var zip = new ZipArchive(packed, ZipArchiveMode.Read);
            foreach (ZipArchiveEntry entry in zip.Entries)
            {
                if (Fits(entry.FullName))
                {
                    if (((entry.ExternalAttributes >> 16) & UnixKind) == UnixLink)
                    {
                        throw Refused("plain files", $"the link '{entry.FullName}'");
                    }

                    Take(entry.FullName, entry.Open);
                }
            }
        }

        void Tar(Stream packed)
        {
            bool isGzip = packed.ReadByte() == 0x1F && packed.ReadByte() == 0x8B;
            packed.Position = 0;
            using Stream plain = isGzip ? new GZipStream(packed, CompressionMode.Decompress) : packed;
            using var tar = new TarReader(plain);
            for (int count = 0; tar.GetNextEntry() is { } entry; count++)
            {
                if (count >= MostEntries)
                {
                    throw Refused($"at most {MostEntries} entries", "more");
                }

                if (entry.EntryType is TarEntryType.Directory or TarEntryType.GlobalExtendedAttributes || !Fits(entry.Name))
                {
                    continue;
                }

                if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile))
                {
                    throw Refused("plain files", $"'{entry.Name}', a {entry.EntryType}");
                }

                Take(entry.Name, () => entry.DataStream ?? Stream.Null);
            }
        }

        bool Fits(string path)
        {
            string[] parts = path.Replace('\\', '/').Split('/'), pattern = (file.Pick ?? "*").Split('/');
            return parts.Length == pattern.Length && parts.Zip(pattern).All(pair => FileSearch.Matches(pair.Second, pair.First)) && parts[^1].Length > 0;
        }

        void Take(string path, Func<Stream> open)
        {
            string name = path.Replace('\\', '/').Split('/')[^1];
            if (!Catalogue.IsFileName(name) || names.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                throw Refused("files of different names", Catalogue.IsFileName(name) ? $"'{name}' twice" : $"'{name}'");
            }

            names.Add(name);
            using Stream content = open();
            using FileStream into = new(Path.Combine(folder, name), FileMode.CreateNew);
            byte[] buffer = new byte[1 << 16];
            for (int read; (read = content.Read(buffer)) > 0;)
            {
                left -= read;
                if (left < 0)
                {
                    throw Refused($"at most {file.UnpackedBytes} bytes unpacked", "more");
                }

                into.Write(buffer, 0, read);
            }
        }

        FetchException Refused(string expected, string found) => new($"{file.Url}: expected {expected} in the archive, found {found}. Nothing of it was kept");
    }
}
