using System.Net;

namespace ClusterRnn.Cli.Report;

/// <summary>Text that is safe inside HTML.</summary>
internal static class Html
{
    /// <summary>Text between tags. What a model writes may hold control characters, which HTML forbids: they are shown as pictures.</summary>
    public static string Text(string text)
    {
        string shown = string.Concat(text.Select(c => c switch
        {
            '\n' or '\t' => c.ToString(),
            < ' ' => ((char)(0x2400 + c)).ToString(),
            '\u007f' => "\u2421",
            _ => c.ToString(),
        }));
        return WebUtility.HtmlEncode(shown);
    }

    /// <summary>Text inside a quoted attribute.</summary>
    public static string Attribute(string text) => WebUtility.HtmlEncode(text).Replace("\n", " ", StringComparison.Ordinal);
}
