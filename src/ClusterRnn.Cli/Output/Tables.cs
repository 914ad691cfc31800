using Spectre.Console;

namespace ClusterRnn.Cli.Output;

/// <summary>Tables of plain columns; the first is words, the others are numbers. Wide characters are counted as two cells.</summary>
internal static class Tables
{
    /// <summary>Writes a table. Without heads every column is words.</summary>
    /// <param name="terminal">Where it is written.</param>
    /// <param name="heads">The columns' heads, or none.</param>
    /// <param name="rows">The cells of each row.</param>
    /// <param name="isText">Whether every column is words.</param>
    public static void Write(Terminal terminal, IReadOnlyList<string> heads, IReadOnlyList<IReadOnlyList<string>> rows, bool isText = false)
    {
        if (rows.Count == 0)
        {
            return;
        }

        int columns = rows.Max(r => r.Count);
        Table table = new Table().Border(heads.Count == 0 ? TableBorder.None : TableBorder.Simple).LeftAligned();
        table.ShowHeaders = heads.Count > 0;
        for (int i = 0; i < columns; i++)
        {
            var column = new TableColumn(new Text(i < heads.Count ? heads[i] : "", new Style(decoration: Decoration.Bold))) { NoWrap = true };
            column.Alignment = i == 0 || isText || heads.Count == 0 ? Justify.Left : Justify.Right;
            column.Padding = new Padding(0, 0, i == columns - 1 ? 0 : 3, 0);
            table.AddColumn(column);
        }

        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow(row.Select(cell => new Text(cell)));
        }

        if (terminal.Out.Profile.Capabilities.Ansi)
        {
            terminal.Out.Write(table);
            return;
        }

        // A file or a pipe has no width: nothing is wrapped or cut there, and no line ends in spaces.
        var text = new StringWriter();
        IAnsiConsole plain = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(text) });
        plain.Profile.Width = 10_000;
        plain.Write(table);
        foreach (string line in text.ToString().ReplaceLineEndings("\n").TrimEnd('\n').Split('\n'))
        {
            terminal.WriteLine(line.TrimEnd());
        }
    }
}
