// Tab-separated values: a cell is what stands between tabs, as it is; lines end with LF or CRLF. There are no quotes, so that
// a review may have one.
namespace ClusterRnn.Data;

/// <summary>Reads tab-separated values.</summary>
public static class TsvReader
{
    /// <summary>The lines of a text that have anything on them, with their numbers from 1.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="text">The contents; a byte order mark is skipped.</param>
    /// <param name="columns">The fewest cells that a line must have; all lines must have as many as the first.</param>
    /// <param name="emptyLines">How many lines had nothing on them.</param>
    /// <exception cref="DataException">A line has too few cells, or another number than the first.</exception>
    public static IReadOnlyList<(int Line, string[] Cells)> Read(string name, string text, int columns, out int emptyLines)
    {
        ArgumentNullException.ThrowIfNull(text);
        var rows = new List<(int, string[])>();
        emptyLines = 0;
        int line = 0, at = text.StartsWith('\uFEFF') ? 1 : 0;
        while (at < text.Length)
        {
            int end = text.IndexOf('\n', at);
            end = end < 0 ? text.Length : end;
            string content = text[at..end].TrimEnd('\r');
            at = end + 1;
            line++;
            if (content.Length == 0)
            {
                emptyLines++;
                continue;
            }

            string[] cells = content.Split('\t');
            if (cells.Length < columns)
            {
                throw new DataException(name, $"at least {columns} cells with a tab between them", $"{cells.Length}", "Complete the line, or set the columns to those that there are", line);
            }

            if (rows.Count > 0 && cells.Length != rows[0].Item2.Length)
            {
                throw new DataException(name, $"{rows[0].Item2.Length} cells, as on line {rows[0].Item1}", $"{cells.Length}", "Remove the tabs within the text, or complete the line", line);
            }

            rows.Add((line, cells));
        }

        return rows;
    }
}
