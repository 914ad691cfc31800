using System.Text;

namespace ClusterRnn.Cli.Report;

/// <summary>A page that opens offline, in light and dark, and prints: style and script lie in it.</summary>
internal static class HtmlPage
{
    /// <summary>Writes a page whole or not at all.</summary>
    /// <param name="path">The file.</param>
    /// <param name="title">Its title.</param>
    /// <param name="body">Writes what stands in it.</param>
    public static void Write(string path, string title, Action<StringBuilder> body)
    {
        var html = new StringBuilder(1 << 16);
        html.Append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
        html.Append(Html.Text(title)).Append("</title>\n<style>\n").Append(HtmlReport.Resource("report.css")).Append("</style>\n</head>\n<body>\n<main>\n");
        body(html);
        html.Append("</main>\n<script>\n").Append(HtmlReport.Resource("report.js")).Append("</script>\n</body>\n</html>\n");
        File.WriteAllText(path + ".new", html.ToString().ReplaceLineEndings("\n"), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        File.Move(path + ".new", path, overwrite: true);
    }

    /// <summary>Writes a table; the first column is words, the others are numbers, or words as well.</summary>
    public static void Table(StringBuilder html, IEnumerable<string> heads, IEnumerable<IReadOnlyList<string>> rows, bool isText = false)
    {
        html.Append(isText ? "<div class=\"wide\"><table class=\"words\">\n<tr>" : "<div class=\"wide\"><table>\n<tr>");
        foreach (string head in heads)
        {
            html.Append("<th>").Append(Html.Text(head)).Append("</th>");
        }

        html.Append("</tr>\n");
        foreach (IReadOnlyList<string> row in rows)
        {
            html.Append("<tr>");
            foreach (string cell in row)
            {
                html.Append("<td>").Append(Html.Text(cell)).Append("</td>");
            }

            html.Append("</tr>\n");
        }

        html.Append("</table></div>\n");
    }
}
