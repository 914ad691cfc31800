// Files by path, folder or glob. Globs know *, ? and ** (any folders); they skip bin, obj, runs and dot folders, which
// hold what programs made. What is found is sorted ordinally by relative path with forward slashes, so that the order
// is the same on every system.
namespace ClusterRnn.Data;

/// <summary>Finds the files a path, a folder or a glob means.</summary>
public static class FileSearch
{
    private static readonly string[] SkippedFolders = ["bin", "obj", "runs"];

    /// <summary>The files, in ordinal order of their relative paths.</summary>
    /// <param name="path">A file, a folder (all files below it) or a glob.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <exception cref="DataException">Nothing is there.</exception>
    public static IReadOnlyList<string> Find(string path, string baseFolder)
    {
        string full = FullPath(path, baseFolder);
        if (File.Exists(full))
        {
            return [full];
        }

        if (Directory.Exists(full))
        {
            return Walk(path, full, ["**", "*"]);
        }

        string[] parts = full.Replace(Path.DirectorySeparatorChar, '/').Split('/');
        int fixedParts = Array.FindIndex(parts, HasWildcard);
        if (fixedParts < 0)
        {
            throw Missing(path, full);
        }

        string root = string.Join(Path.DirectorySeparatorChar, parts[..fixedParts]);
        if (!Directory.Exists(root + Path.DirectorySeparatorChar))
        {
            throw new DataException(path, $"a folder {root}", "nothing there", "Check the pattern's first part");
        }

        return Walk(path, root + Path.DirectorySeparatorChar, parts[fixedParts..]);
    }

    /// <summary>The absolute path that <paramref name="path"/> means.</summary>
    /// <param name="path">A path, absolute or relative.</param>
    /// <param name="baseFolder">Where relative paths start.</param>
    /// <exception cref="DataException">It is empty, or no path.</exception>
    public static string FullPath(string path, string baseFolder)
    {
        ArgumentNullException.ThrowIfNull(path);
        return !string.IsNullOrWhiteSpace(path) && !path.Contains('\0', StringComparison.Ordinal)
            ? Path.GetFullPath(Path.Combine(baseFolder, path))
            : throw new DataException("path", "a file, a folder or a pattern", path.Length == 0 ? "an empty text" : "no path", "Name the data's file");
    }

    /// <summary>Whether <paramref name="name"/> matches a pattern of one path part, with * and ?.</summary>
    public static bool Matches(ReadOnlySpan<char> pattern, ReadOnlySpan<char> name)
    {
        int p = 0, n = 0, star = -1, retry = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                star = p++;
                retry = n;
            }
            else if (p < pattern.Length && (pattern[p] == '?' || pattern[p] == name[n]))
            {
                p++;
                n++;
            }
            else if (star >= 0)
            {
                p = star + 1;
                n = ++retry;
            }
            else
            {
                return false;
            }
        }

        return pattern[p..].TrimStart('*').IsEmpty;
    }

    private static bool HasWildcard(string part) => part.AsSpan().IndexOfAny('*', '?') >= 0;

    private static List<string> Walk(string asked, string root, string[] pattern)
    {
        var found = new List<(string Relative, string Full)>();
        int skipped = 0;
        try
        {
            Descend(root, "", 0);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new DataException(asked, "folders that may be read", fault.Message.TrimEnd('.'), "Check the folder's permissions", inner: fault);
        }

        if (found.Count == 0)
        {
            throw new DataException(
                asked,
                "at least one file",
                skipped == 0 ? $"none under {root}" : $"none under {root} ({skipped} folders named bin, obj, runs or starting with a dot were skipped)",
                "Check the path; * stands for any characters of one name, ** for any folders");
        }

        found.Sort((a, b) => string.CompareOrdinal(a.Relative, b.Relative));
        var files = new List<string>();
        foreach ((string _, string full) in found)
        {
            // "**/**/x" reaches a file on several ways.
            if (files.Count == 0 || files[^1] != full)
            {
                files.Add(full);
            }
        }

        return files;

        void Descend(string folder, string relative, int part)
        {
            if (part == pattern.Length - 1 && pattern[part] != "**")
            {
                foreach (string file in Directory.EnumerateFiles(folder))
                {
                    string name = Path.GetFileName(file);
                    if (name[0] != '.' && Matches(pattern[part], name))
                    {
                        found.Add((relative + name, file));
                    }
                }

                return;
            }

            bool anyDepth = pattern[part] == "**";
            if (anyDepth)
            {
                if (part == pattern.Length - 1)
                {
                    foreach (string file in Directory.EnumerateFiles(folder))
                    {
                        if (Path.GetFileName(file)[0] != '.')
                        {
                            found.Add((relative + Path.GetFileName(file), file));
                        }
                    }
                }
                else
                {
                    Descend(folder, relative, part + 1);
                }
            }

            foreach (string child in Directory.EnumerateDirectories(folder))
            {
                string name = Path.GetFileName(child);
                if (!anyDepth && !Matches(pattern[part], name))
                {
                    continue;
                }

                if (name[0] == '.' || Array.IndexOf(SkippedFolders, name) >= 0)
                {
                    skipped++;
                    continue;
                }

                // A link to a folder above would never end.
                if (new DirectoryInfo(child).LinkTarget is null)
                {
                    Descend(child, relative + name + "/", anyDepth ? part : part + 1);
                }
            }
        }
    }

    private static DataException Missing(string path, string full)
    {
        string? folder = Path.GetDirectoryName(full);
        string found = "nothing there";
        if (folder is not null && Directory.Exists(folder))
        {
            string? near = NearestName.Of(Path.GetFileName(full), Directory.EnumerateFileSystemEntries(folder).Select(entry => Path.GetFileName(entry)!).Order(StringComparer.Ordinal));
            if (near is not null)
            {
                found += $" (the nearest name in {folder} is '{near}')";
            }
        }
        else
        {
            found = $"no folder {folder}";
        }

        return new DataException(path, "a file, a folder or a glob", found, "Check the path; it was looked for as " + full);
    }
}
