using System.Text;

namespace ClusterRnn.Tests.Tidy;

/// <summary>The repository's own text files, and C# without its comments and texts.</summary>
internal static class SourceText
{
    private static readonly string[] SkippedFolders = ["bin", "obj", "runs", "artifacts", "TestResults", "BenchmarkDotNet.Artifacts", "__pycache__", "out", "publish"];
    private static readonly string[] TextEndings = [".cs", ".csproj", ".props", ".sln", ".json", ".md", ".yaml", ".yml", ".py", ".css", ".js", ".html", ".sh", ".cmd", ".txt", ".editorconfig", ".gitattributes", ".gitignore"];

    /// <summary>Every file of the repository, by path relative to the root with forward slashes.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. Walk(Repository.Root).Order(StringComparer.Ordinal)];

    /// <summary>The files that hold text.</summary>
    public static IEnumerable<string> TextFiles => Files.Where(f => TextEndings.Contains(Path.GetExtension(f)) || f is "clusterrnn" or ".ci/run" or "LICENSE");

    /// <summary>The C# files below <paramref name="folder"/>.</summary>
    public static IEnumerable<string> CSharp(string folder) => Files.Where(f => f.StartsWith(folder, StringComparison.Ordinal) && f.EndsWith(".cs", StringComparison.Ordinal));

    /// <summary>A file's text.</summary>
    public static string Read(string file) => File.ReadAllText(Path.Combine(Repository.Root, file));

    /// <summary>
    /// C# with comments and the contents of texts blanked out; line breaks stay. Interpolations are blanked with their
    /// texts, which can hide a call inside one: none of the rules below is about what is written in a message.
    /// </summary>
    public static string CodeOf(string text)
    {
        var code = new StringBuilder(text.Length);
        int i = 0;
        while (i < text.Length)
        {
            if (At("//"))
            {
                SkipTo(text.IndexOf('\n', i));
            }
            else if (At("/*"))
            {
                int end = text.IndexOf("*/", i + 2, StringComparison.Ordinal);
                SkipTo(end < 0 ? -1 : end + 2);
            }
            else if (text[i] == '\'' && i + 2 < text.Length)
            {
                int end = text.IndexOf('\'', i + (text[i + 1] == '\\' ? 3 : 2));
                SkipTo(end < 0 ? -1 : end + 1);
            }
            else if (text[i] == '"')
            {
                int quotes = 1;
                while (i + quotes < text.Length && text[i + quotes] == '"')
                {
                    quotes++;
                }

                bool isVerbatim = (i > 0 && text[i - 1] == '@') || (i > 1 && text[i - 1] == '$' && text[i - 2] == '@');
                if (quotes >= 3 && !isVerbatim)
                {
                    int end = text.IndexOf(new string('"', quotes), i + quotes, StringComparison.Ordinal);
                    SkipTo(end < 0 ? -1 : end + quotes);
                }
                else
                {
                    int at = i + 1;
                    while (at < text.Length && (text[at] != '"' || (isVerbatim && at + 1 < text.Length && text[at + 1] == '"')))
                    {
                        at += (!isVerbatim && text[at] == '\\') || (isVerbatim && text[at] == '"') ? 2 : 1;
                    }

                    SkipTo(at + 1);
                }
            }
            else
            {
                code.Append(text[i++]);
            }
        }

        return code.ToString();

        bool At(string mark) => string.CompareOrdinal(text, i, mark, 0, mark.Length) == 0;

        void SkipTo(int end)
        {
            end = end < 0 || end > text.Length ? text.Length : end;
            for (; i < end; i++)
            {
                code.Append(text[i] == '\n' ? '\n' : ' ');
            }
        }
    }

    /// <summary>The line, from 1, of a place in a text.</summary>
    public static int LineOf(string text, int at) => 1 + text.AsSpan(0, at).Count('\n');

    private static IEnumerable<string> Walk(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder))
        {
            yield return Path.GetRelativePath(Repository.Root, file).Replace('\\', '/');
        }

        foreach (string child in Directory.EnumerateDirectories(folder))
        {
            string name = Path.GetFileName(child);
            // .git and tools' caches are not the project's; .ci and .github are.
            if (SkippedFolders.Contains(name) || (name.StartsWith('.') && name is not (".ci" or ".github")))
            {
                continue;
            }

            foreach (string file in Walk(child))
            {
                yield return file;
            }
        }
    }
}
