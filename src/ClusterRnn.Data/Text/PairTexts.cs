// Parallel text: line i of one file is line i of the other in another language; or one file with both sides of a line, a tab
// between them. Lines are UTF-8; a pair with an empty side is dropped, and how many were is said.
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ClusterRnn.Data;

/// <summary>Pairs of texts in their order.</summary>
/// <param name="Name">What they are called in messages.</param>
/// <param name="Sources">The first text of each pair.</param>
/// <param name="Targets">The second.</param>
/// <param name="Sha256">The SHA-256 of the data, lower-case hexadecimal.</param>
/// <param name="Notes">What was dropped and why.</param>
public sealed record PairTexts(string Name, IReadOnlyList<string> Sources, IReadOnlyList<string> Targets, string Sha256, IReadOnlyList<string> Notes)
{
    /// <summary>Reads pairs from files.</summary>
    /// <param name="path">The file with the sources, or with both sides where <paramref name="targetPath"/> is null.</param>
    /// <param name="targetPath">The file with the targets, line by line, or null.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <param name="lowercase">Whether texts are put in lower case.</param>
    /// <exception cref="DataException">A file can't be read, is not UTF-8, or its lines are no pairs.</exception>
    public static PairTexts Read(string path, string? targetPath, string baseFolder, bool lowercase)
    {
        CorpusFile first = OneFile(path, baseFolder);
        if (targetPath is null)
        {
            string[] lines = Lines(first);
            return Of(path, lines.Select((line, index) => Sides(first.Name, line, index + 1)), lowercase, [first]);
        }

        CorpusFile second = OneFile(targetPath, baseFolder);
        string[] sources = Lines(first), targets = Lines(second);
        if (sources.Length != targets.Length)
        {
            CorpusFile longer = sources.Length > targets.Length ? first : second, shorter = longer == first ? second : first;
            int lines = Math.Min(sources.Length, targets.Length);
            throw new DataException(
                longer.Name, $"{lines} lines, as {shorter.Name} has", $"{Math.Max(sources.Length, targets.Length)}", "Give both files one line for each pair", line: lines + 1);
        }

        return Of($"{path}, {targetPath}", sources.Zip(targets), lowercase, [first, second]);
    }

    /// <summary>The pairs [first, first + count).</summary>
    public PairTexts Part(int first, int count) => this with { Sources = [.. Sources.Skip(first).Take(count)], Targets = [.. Targets.Skip(first).Take(count)] };

    /// <summary>The lines of a file, as UTF-8.</summary>
    /// <exception cref="DataException">The file can't be read, or a line is not UTF-8.</exception>
    public static IReadOnlyList<string> LinesOf(string file) => Lines(new CorpusFile(file, Corpus.ReadFile(file)));

    /// <summary>The lines of a file; the last one may lack its end.</summary>
    /// <exception cref="DataException">A line is not UTF-8.</exception>
    internal static string[] Lines(CorpusFile file)
    {
        TokenizedText.RefuseNul(file);
        var lines = new List<string>();
        ReadOnlySpan<byte> rest = file.Bytes.Span;
        if (rest.StartsWith("\uFEFF"u8))
        {
            rest = rest[3..];
        }

        while (!rest.IsEmpty)
        {
            int end = rest.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[(end + 1)..];
            line = line.EndsWith("\r"u8) ? line[..^1] : line;
            if (!System.Text.Unicode.Utf8.IsValid(line))
            {
                int column = 0;
                for (ReadOnlySpan<byte> valid = line; Rune.DecodeFromUtf8(valid, out _, out int used) == System.Buffers.OperationStatus.Done; valid = valid[used..])
                {
                    column += used;
                }

                throw new DataException(file.Name, "UTF-8", $"the byte 0x{line[column]:X2}", "Save the file as UTF-8", line: lines.Count + 1, column: column + 1);
            }

            lines.Add(Encoding.UTF8.GetString(line));
        }

        return [.. lines];
    }

    private static CorpusFile OneFile(string path, string baseFolder) => Corpus.OpenOne(path, baseFolder, "file").Files[0];

    private static (string Source, string Target) Sides(string file, string line, int number)
    {
        if (string.IsNullOrWhiteSpace(line))
        {
            return ("", "");
        }

        string[] sides = line.Split('\t');
        return sides.Length == 2 ? (sides[0], sides[1]) : throw new DataException(
            file,
            "two texts with a tab between them",
            sides.Length == 1 ? "no tab" : $"{sides.Length - 1} tabs",
            sides.Length == 1 ? "Put a tab between source and target, or name the file with the targets as data.target" : "Remove the others",
            line: number);
    }

    private static PairTexts Of(string name, IEnumerable<(string Source, string Target)> pairs, bool lowercase, IReadOnlyList<CorpusFile> files)
    {
        var sources = new List<string>();
        var targets = new List<string>();
        int dropped = 0, firstDropped = 0, number = 0;
        foreach ((string source, string target) in pairs)
        {
            number++;
            if (string.IsNullOrWhiteSpace(source) || string.IsNullOrWhiteSpace(target))
            {
                firstDropped = dropped++ == 0 ? number : firstDropped;
                continue;
            }

            sources.Add(lowercase ? source.Trim().ToLowerInvariant() : source.Trim());
            targets.Add(lowercase ? target.Trim().ToLowerInvariant() : target.Trim());
        }

        if (sources.Count == 0)
        {
            throw new DataException(name, "pairs of texts", number == 0 ? "no line" : $"{number} lines, each with an empty side", "Name files with text in them");
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (CorpusFile file in files)
        {
            hash.AppendData(file.Bytes.Span);
        }

        string[] notes = dropped == 0 ? [] : [string.Create(CultureInfo.InvariantCulture, $"{name}: {dropped} of {number} pairs were dropped because a side is empty, the first in line {firstDropped}")];
        return new PairTexts(name, sources, targets, Convert.ToHexStringLower(hash.GetHashAndReset()), notes);
    }
}
