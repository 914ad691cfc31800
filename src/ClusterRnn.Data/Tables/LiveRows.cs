// Rows of a series one by one, as they come in: the cells of a training file's line, or of a few of its columns that a first line
// names, or the values that the model needs and nothing else. A line that is none of these is said to be so, and is no row.
using System.Globalization;

namespace ClusterRnn.Data;

/// <summary>What a line of a live series is.</summary>
public enum LiveLine
{
    /// <summary>Values.</summary>
    Row,

    /// <summary>The names of columns.</summary>
    Header,

    /// <summary>Nothing is on it.</summary>
    Empty,

    /// <summary>Neither.</summary>
    Malformed,
}

/// <summary>Reads lines of a live series.</summary>
public sealed class LiveRows
{
    private readonly SeriesTable _table;
    private readonly IReadOnlyList<int> _columns;
    private readonly char _separator;
    private string[]? _header; // the cells of the last line of names

    /// <summary>Reads rows like those of a table.</summary>
    /// <param name="table">What the model was trained on.</param>
    /// <param name="columns">The table's columns that are needed, ascending.</param>
    /// <param name="separator">What stands between cells.</param>
    public LiveRows(SeriesTable table, IReadOnlyList<int> columns, string separator)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(columns);
        (_table, _columns, _separator) = (table, columns, CsvReader.SeparatorOf(separator));
    }

    /// <summary>Reads a line.</summary>
    /// <param name="line">The line, without its end.</param>
    /// <param name="values">Of a row a value for each needed column, NaN where a cell says that it is missing.</param>
    /// <param name="fault">Of a malformed line what was expected and found.</param>
    public LiveLine Read(string line, Span<double> values, out string fault)
    {
        ArgumentNullException.ThrowIfNull(line);
        fault = "";
        if (string.IsNullOrWhiteSpace(line))
        {
            return LiveLine.Empty;
        }

        string[] cells;
        try
        {
            cells = [.. CsvReader.Read("line", line, _separator)[0].Select(cell => cell.Text.Trim())];
        }
        catch (DataException error)
        {
            fault = $"expected {error.Expected}, found {error.Found}";
            return LiveLine.Malformed;
        }

        string[] names = [.. _columns.Select(column => _table.Columns[column])];
        if (names.All(cells.Contains) && !cells.Any(cell => SeriesTable.TryNumber(cell, out _)))
        {
            _header = cells;
            return LiveLine.Header;
        }

        // Of the last line of names, of the training file, or of what is needed and nothing else.
        IReadOnlyList<string> layout = _header ?? (cells.Length == _table.FileColumns.Count ? _table.FileColumns : names);
        if (cells.Length != layout.Count)
        {
            fault = string.Create(CultureInfo.InvariantCulture, $"expected {(layout.Count == 1 ? "a value" : $"{layout.Count} values")} ({string.Join(_separator, layout)}), found {cells.Length} {(cells.Length == 1 ? "cell" : "cells")}");
            return LiveLine.Malformed;
        }

        for (int i = 0; i < names.Length; i++)
        {
            int place = SeriesTable.IndexOf("line", layout, names[i], null);
            bool isNumber = SeriesTable.TryNumber(cells[place], out values[i]);
            if (!isNumber && !SeriesTable.IsMissing(cells[place]))
            {
                fault = $"expected a finite number for '{names[i]}', found '{(cells[place].Length > 40 ? $"{cells[place][..40]}…" : cells[place])}'";
                return LiveLine.Malformed;
            }

            values[i] = isNumber ? values[i] : double.NaN;
        }

        return LiveLine.Row;
    }
}
