// RFC 4180, strictly: a cell may be quoted, a quote within quotes is doubled, lines end with LF or CRLF. Whatever a
// lenient reader would guess at (a stray quote, a line with another number of cells) is an error with its place.
using System.Text;

namespace ClusterRnn.Data;

/// <summary>One cell with its place.</summary>
/// <param name="Text">The contents, unquoted.</param>
/// <param name="Line">The line it starts on, from 1.</param>
/// <param name="Column">The character of the line it starts at, from 1.</param>
public readonly record struct CsvCell(string Text, int Line, int Column);

/// <summary>Reads comma-separated values.</summary>
public static class CsvReader
{
    /// <summary>The rows of <paramref name="text"/>; empty lines at the end are left out.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="text">The contents; a byte order mark is skipped.</param>
    /// <param name="separator">What stands between cells.</param>
    /// <exception cref="DataException">The text is not well formed.</exception>
    public static IReadOnlyList<CsvCell[]> Read(string name, string text, char separator = ',')
    {
        var rows = new List<CsvCell[]>();
        var row = new List<CsvCell>();
        var cell = new StringBuilder();
        int at = text.StartsWith('\uFEFF') ? 1 : 0, line = 1, lineStart = at, blankLine = 0;
        while (at < text.Length)
        {
            if (row.Count == 0 && LineBreak(text, at) is int blank and > 0)
            {
                blankLine = blankLine == 0 ? line : blankLine;
                at += blank;
                lineStart = at;
                line++;
                continue;
            }

            if (blankLine > 0)
            {
                throw new DataException(name, "a row", "an empty line", "Remove it", blankLine, 1);
            }

            ReadCell();
            int lineBreak = at < text.Length ? LineBreak(text, at) : 0;
            if (at == text.Length || lineBreak > 0)
            {
                EndRow();
                at += lineBreak;
                line += lineBreak > 0 ? 1 : 0;
                lineStart = at;
            }
            else
            {
                at++; // the separator
                if (at == text.Length)
                {
                    row.Add(new CsvCell("", line, at - lineStart + 1));
                    EndRow();
                }
            }
        }

        return rows;

        void ReadCell()
        {
            int startLine = line, startColumn = at - lineStart + 1;
            cell.Clear();
            if (text[at] != '"')
            {
                int start = at;
                while (at < text.Length && text[at] != separator && LineBreak(text, at) == 0)
                {
                    if (text[at] == '"')
                    {
                        throw new DataException(
                            name, "quotes around a whole cell", "a quote within one", "Quote the cell and double the quote within it", line, at - lineStart + 1);
                    }

                    at++;
                }

                row.Add(new CsvCell(text[start..at], startLine, startColumn));
                return;
            }

            at++;
            while (true)
            {
                if (at == text.Length)
                {
                    throw new DataException(name, "a closing quote", "the end of the file", "Close the quote that opens here", startLine, startColumn);
                }

                char value = text[at++];
                if (value == '"')
                {
                    if (at == text.Length || text[at] != '"')
                    {
                        break;
                    }

                    at++;
                }
                else if (value == '\n')
                {
                    line++;
                    lineStart = at;
                }

                cell.Append(value);
            }

            if (at < text.Length && text[at] != separator && LineBreak(text, at) == 0)
            {
                throw new DataException(
                    name, $"'{separator}' or the line's end after a quoted cell", $"'{text[at]}'", "Put the quotes around the whole cell", line, at - lineStart + 1);
            }

            row.Add(new CsvCell(cell.ToString(), startLine, startColumn));
        }

        void EndRow()
        {
            if (rows.Count > 0 && rows[0].Length != row.Count)
            {
                throw new DataException(
                    name, $"{rows[0].Length} cells, as on line {rows[0][0].Line}", $"{row.Count}", $"Complete the line, or set data.separator if '{separator}' is not what stands between cells", row[0].Line);
            }

            rows.Add([.. row]);
            row.Clear();
        }
    }

    /// <summary>The character that the setting <c>data.separator</c> names.</summary>
    /// <exception cref="DataException">It is none that can stand between cells.</exception>
    internal static char SeparatorOf(string setting) => setting is [not ('"' or '\n' or '\r') and char separator]
        ? separator
        : throw new DataException("data.separator", "one character that is no quote and no line break", $"'{setting}'", "Set data.separator to the character between two cells");

    private static int LineBreak(string text, int at) => text[at] switch
    {
        '\n' => 1,
        '\r' when at + 1 < text.Length && text[at + 1] == '\n' => 2,
        _ => 0,
    };
}
