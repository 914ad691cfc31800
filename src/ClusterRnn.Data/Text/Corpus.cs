// A corpus is bytes with names: the files in ordinal order of their relative paths, exactly as stored (gzip unpacked).
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace ClusterRnn.Data;

/// <summary>One file of a corpus.</summary>
/// <param name="Name">The path as given, or the generator's name.</param>
/// <param name="Bytes">The contents, unpacked.</param>
public sealed record CorpusFile(string Name, ReadOnlyMemory<byte> Bytes);

/// <summary>The bytes a text job trains on.</summary>
public sealed class Corpus
{
    private const int ShortestGzip = 18; // bytes: a header of 10, a checksum and a length of 4 each

    /// <summary>Takes files that are in order.</summary>
    /// <exception cref="DataException">There is no byte in them, or more than an array holds.</exception>
    public Corpus(string name, IReadOnlyList<CorpusFile> files)
    {
        Name = name;
        Files = files;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (CorpusFile file in files)
        {
            hash.AppendData(file.Bytes.Span);
            Length += file.Bytes.Length;
        }

        Sha256 = Convert.ToHexStringLower(hash.GetHashAndReset());
        if (Length == 0)
        {
            throw new DataException(
                name, "data", files.Count == 1 ? "an empty file" : $"{files.Count} empty files", "Name a file that has something in it");
        }

        if (Length > Array.MaxLength)
        {
            throw new DataException(
                name, $"at most {Array.MaxLength} bytes", $"{Length} bytes", "Train on a part of the files, by a narrower glob");
        }
    }

    /// <summary>What the corpus is called in messages: its path or generator.</summary>
    public string Name { get; }

    /// <summary>The files, in order.</summary>
    public IReadOnlyList<CorpusFile> Files { get; }

    /// <summary>Bytes in all.</summary>
    public long Length { get; }

    /// <summary>The SHA-256 of all bytes in order, lower-case hexadecimal; for one plain file what <c>sha256sum</c> says.</summary>
    public string Sha256 { get; }

    /// <summary>A corpus of one text in memory.</summary>
    public static Corpus FromText(string name, string text) => new(name, [new CorpusFile(name, Encoding.UTF8.GetBytes(text))]);

    /// <summary>Reads a file, a folder or a glob.</summary>
    /// <param name="path">The path or pattern, relative to <paramref name="baseFolder"/> or absolute.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <exception cref="DataException">Nothing is there, a file can't be read or unpacked, or there is no text.</exception>
    public static Corpus Open(string path, string baseFolder)
    {
        IReadOnlyList<string> paths = FileSearch.Find(path, baseFolder);
        var files = new List<CorpusFile>(paths.Count);
        foreach (string file in paths)
        {
            files.Add(new CorpusFile(file, ReadFile(file)));
        }

        return new Corpus(path, files);
    }

    /// <summary>Reads one file.</summary>
    /// <param name="path">The path or pattern, relative to <paramref name="baseFolder"/> or absolute.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <param name="what">What it is called in messages: "CSV file".</param>
    /// <exception cref="DataException">It can't be read or unpacked, it is empty, or several are there.</exception>
    public static Corpus OpenOne(string path, string baseFolder, string what)
    {
        Corpus corpus = Open(path, baseFolder);
        return corpus.Files.Count == 1 ? corpus : throw new DataException(path, $"one {what}", $"{corpus.Files.Count} files", "Name one of them");
    }

    /// <summary>Reads one file whole, unpacking gzip (told by its first two bytes).</summary>
    /// <exception cref="DataException">The file can't be read or its gzip stream is damaged.</exception>
    public static byte[] ReadFile(string file)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(file);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new DataException(file, "a readable file", fault.Message.TrimEnd('.'), "Check that it exists and may be read", inner: fault);
        }

        if (bytes.Length < 2 || bytes[0] != 0x1F || bytes[1] != 0x8B)
        {
            return bytes;
        }

        // A gzip file that ends early unpacks without complaint, so its own length field is compared.
        using var unpacked = new MemoryStream();
        try
        {
            using var gzip = new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress);
            gzip.CopyTo(unpacked);
        }
        catch (InvalidDataException fault)
        {
            throw new DataException(
                file, "a whole gzip file", $"damage after {unpacked.Length} unpacked bytes ({fault.Message.TrimEnd('.')})", "Fetch or pack the file again", inner: fault);
        }

        catch (IOException fault)
        {
            throw new DataException(
                file, $"a gzip file of at most {Array.MaxLength} bytes unpacked", $"more ({fault.Message.TrimEnd('.')})", "Split the file", inner: fault);
        }

        if (bytes.Length < ShortestGzip || (BitConverter.ToUInt32(bytes, bytes.Length - 4) != (uint)unpacked.Length && !EndsWithWholeMember(bytes)))
        {
            throw new DataException(
                file, "a whole gzip file", $"one that breaks off after {unpacked.Length} unpacked bytes", "Fetch or pack the file again");
        }

        return unpacked.ToArray();
    }

    // Members may be concatenated; the last four bytes then state the length of the last one, which begins somewhere behind the first.
    private static bool EndsWithWholeMember(byte[] bytes)
    {
        ReadOnlySpan<byte> mark = [0x1F, 0x8B, 8];
        uint stated = BitConverter.ToUInt32(bytes, bytes.Length - 4);
        for (int at = bytes.AsSpan(0, bytes.Length - ShortestGzip + mark.Length).LastIndexOf(mark); at >= ShortestGzip; at = bytes.AsSpan(0, at).LastIndexOf(mark))
        {
            try
            {
                using var gzip = new GZipStream(new MemoryStream(bytes, at, bytes.Length - at), CompressionMode.Decompress);
                using var last = new MemoryStream();
                gzip.CopyTo(last);
                if (last.Length == stated)
                {
                    return true;
                }
            }
            catch (InvalidDataException)
            {
                // The mark stands within packed data by chance.
            }
        }

        return false;
    }
}
