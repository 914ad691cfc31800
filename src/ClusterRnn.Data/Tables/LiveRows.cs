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
    private readonly string[] _names; // of the needed columns
    private readonly IReadOnlyList<string> _fileColumns;
    private readonly char _separator;
    private string[]? _header; // the cells of the last line of names

    /// <summary>Reads rows like those that a model was trained on.</summary>
    /// <param name="fileColumns">All columns of the training file, in order.</param>
    /// <param name="names">Those that are needed.</param>
    /// <param name="separator">What stands between cells.</param>
    /// <exception cref="DataException">No such separator can stand between cells.</exception>
    public LiveRows(IReadOnlyList<string> fileColumns, IEnumerable<string> names, string separator)
    {
        (_fileColumns, _names, _separator) = (fileColumns, [.. names], CsvReader.SeparatorOf(separator));
    }

    /// <summary>Reads a line.</summary>
    /// <param name="line">The line, without its end.</param>
    /// <param name="values">[names] Of a row a value for each needed column, NaN where a cell says that it is missing.</param>
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

        if (_names.All(cells.Contains) && !cells.Any(cell => SeriesTable.TryNumber(cell, out _)))
        {
            _header = cells;
            return LiveLine.Header;
        }

        // Of the last line of names, of the training file, or of what is needed and nothing else.
        IReadOnlyList<string> layout = _header ?? (cells.Length == _fileColumns.Count ? _fileColumns : _names);
        if (cells.Length != layout.Count)
        {
            fault = string.Create(CultureInfo.InvariantCulture, $"expected {(layout.Count == 1 ? "a value" : $"{layout.Count} values")} ({string.Join(_separator, layout)}), found {cells.Length} {(cells.Length == 1 ? "cell" : "cells")}");
            return LiveLine.Malformed;
        }

        for (int i = 0; i < _names.Length; i++)
        {
            int place = SeriesTable.IndexOf("line", layout, _names[i], null);
            bool isNumber = SeriesTable.TryNumber(cells[place], out values[i]);
            if (!isNumber && !SeriesTable.IsMissing(cells[place]))
            {
                fault = $"expected a finite number for '{_names[i]}', found '{(cells[place].Length > 40 ? $"{cells[place][..40]}…" : cells[place])}'";
                return LiveLine.Malformed;
            }

            values[i] = isNumber ? values[i] : double.NaN;
        }

        return LiveLine.Row;
    }
}
