using System.Globalization;
using System.Security.Cryptography;

namespace ClusterRnn.Data;

/// <summary>Named columns of numbers, one row a time step.</summary>
public sealed class SeriesTable
{
    private const string LabelColumn = "date";
    private const int ShownCharacters = 60; // of a cell, in a message

    private static readonly string[] MissingMarks = ["", "na", "nan", "n/a", "null", "?"];

    /// <summary>A table of finite numbers.</summary>
    /// <param name="name">The file or generator.</param>
    /// <param name="columns">The columns' names.</param>
    /// <param name="values">The columns' values; all of one length.</param>
    /// <param name="sha256">The SHA-256 of what the table was read from.</param>
    public SeriesTable(string name, IReadOnlyList<string> columns, IReadOnlyList<double[]> values, string sha256)
    {
        Name = name;
        Columns = columns;
        FileColumns = columns;
        Values = values;
        Sha256 = sha256;
    }

    /// <summary>The file or generator.</summary>
    public string Name { get; }

    /// <summary>The numeric columns' names.</summary>
    public IReadOnlyList<string> Columns { get; }

    /// <summary>All columns' names, those without numbers as well, as they stand in the file.</summary>
    public IReadOnlyList<string> FileColumns { get; private init; }

    /// <summary>The columns' values.</summary>
    public IReadOnlyList<double[]> Values { get; } // [columns][rows]

    /// <summary>How many rows there are.</summary>
    public int Rows => Values.Count == 0 ? 0 : Values[0].Length;

    /// <summary>The SHA-256 of the file or generated text, lower-case hexadecimal.</summary>
    public string Sha256 { get; }

    /// <summary>Of each column which cells are missing, where windows with them are to be left out; null: none are. What stands in their place is the column's last value.</summary>
    public IReadOnlyList<bool[]>? Gaps { get; private init; } // [columns][rows]

    /// <summary>What was left out or filled in, and why.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>The first label column's text of each row (a date, say), or null.</summary>
    public IReadOnlyList<string>? Labels { get; private init; }

    /// <summary>Reads a CSV text.</summary>
    /// <param name="name">The file, for messages.</param>
    /// <param name="text">The contents.</param>
    /// <param name="sha256">The SHA-256 of the file.</param>
    /// <param name="header">Whether the first line names the columns; otherwise they are called 1, 2, ...</param>
    /// <param name="separator">What stands between cells.</param>
    /// <param name="missing">What happens with missing cells.</param>
    /// <param name="required">The columns that must be numbers, by name, number from 1 or "last".</param>
    /// <param name="takeOthers">Whether every other column whose first cell that is there is a number is taken too.</param>
    /// <exception cref="DataException">A column or a number is missing, or the file is not well formed.</exception>
    public static SeriesTable Parse(
        string name, string text, string sha256, bool header, char separator, MissingValues missing, IReadOnlyList<string> required, bool takeOthers)
    {
        IReadOnlyList<CsvCell[]> rows = CsvReader.Read(name, text, separator);
        int first = header ? 1 : 0;
        if (rows.Count <= first)
        {
            throw new DataException(
                name, "rows of numbers" + (header ? " below a line of column names" : ""), rows.Count == 0 ? "an empty file" : "none", "Name a file that has rows; data.header: false if its first line has numbers");
        }

        string[] names = header
            ? Array.ConvertAll(rows[0], cell => cell.Text.Trim())
            : [.. Enumerable.Range(1, rows[0].Length).Select(number => number.ToString(CultureInfo.InvariantCulture))];
        for (int column = 1; column < names.Length; column++)
        {
            if (Array.IndexOf(names, names[column], 0, column) >= 0)
            {
                throw new DataException(name, "different column names", $"'{names[column]}' twice", "Rename one", rows[0][column].Line, rows[0][column].Column);
            }
        }

        bool[] isNumeric = new bool[names.Length];
        for (int column = 0; column < names.Length; column++)
        {
            isNumeric[column] = takeOthers && LooksNumeric(rows, first, column);
        }

        foreach (string column in required)
        {
            isNumeric[IndexOf(name, names, column, rows[0][0].Line)] = true;
        }

        if (!isNumeric.Contains(true))
        {
            throw new DataException(name, "a column of numbers", $"'{rows[first][0].Text}' and no number beside it", "Set data.separator or data.header", rows[first][0].Line, 1);
        }

        int[] numeric = [.. Enumerable.Range(0, names.Length).Where(column => isNumeric[column])];
        int label = Array.IndexOf(isNumeric, false);
        int[] unread = takeOthers ? [.. Enumerable.Range(1, names.Length - 1).Where(column => !isNumeric[column])] : []; // a first column of text names the rows
        return Fill(name, sha256, rows, first, names, numeric, label, unread, missing);
    }

    /// <summary>Where a column of the file is among <see cref="Columns"/>: by name, by its number in the file from 1, or "last".</summary>
    /// <exception cref="DataException">There is none, or it has no numbers; the message has the nearest name.</exception>
    public int IndexOf(string column)
    {
        string name = FileColumns[IndexOf(Name, FileColumns, column, null)];
        for (int i = 0; i < Columns.Count; i++)
        {
            if (Columns[i] == name)
            {
                return i;
            }
        }

        throw new DataException(Name, $"numbers in column '{name}'", "text", $"Name one of {string.Join(", ", Columns)}");
    }

    /// <summary>The rows as CSV with a header, the way generated series are saved and hashed: invariant, shortest round-trip numbers.</summary>
    public string ToCsv()
    {
        var text = new System.Text.StringBuilder();
        text.AppendJoin(',', Labels is null ? Columns : Columns.Prepend(LabelColumn)).Append('\n');
        for (int row = 0; row < Rows; row++)
        {
            if (Labels is not null)
            {
                text.Append(Labels[row]).Append(',');
            }

            for (int column = 0; column < Values.Count; column++)
            {
                text.Append(column > 0 ? "," : "").Append(Values[column][row].ToString("R", CultureInfo.InvariantCulture));
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>A generated table, hashed by its CSV text.</summary>
    internal static SeriesTable Generated(string name, IReadOnlyList<string> columns, IReadOnlyList<double[]> values, IReadOnlyList<string>? labels = null)
    {
        var table = new SeriesTable(name, columns, values, "") { Labels = labels };
        string sha256 = Convert.ToHexStringLower(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(table.ToCsv())));
        return new SeriesTable(name, columns, values, sha256)
        {
            Labels = labels,
            FileColumns = labels is null ? columns : [LabelColumn, .. columns],
        };
    }

    /// <summary>Where a column is among names: by name, by its number from 1, or "last".</summary>
    internal static int IndexOf(string file, IReadOnlyList<string> names, string column, int? line)
    {
        for (int i = 0; i < names.Count; i++)
        {
            if (names[i] == column)
            {
                return i;
            }
        }

        if (column == "last")
        {
            return names.Count - 1;
        }

        if (int.TryParse(column, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 1 && number <= names.Count)
        {
            return number - 1;
        }

        string? near = NearestName.Of(column, names);
        throw new DataException(
            file,
            $"a column '{column}'",
            $"the columns {string.Join(", ", names)}",
            near is null ? "Name one of them, its number from 1, or last" : $"Did you mean '{near}'",
            line);
    }

    private static bool LooksNumeric(IReadOnlyList<CsvCell[]> rows, int first, int column)
    {
        for (int row = first; row < rows.Count; row++)
        {
            string text = rows[row][column].Text.Trim();
            if (!IsMissing(text))
            {
                return TryNumber(text, out _);
            }
        }

        return false;
    }

    /// <summary>Whether a cell says that its value is not there.</summary>
    internal static bool IsMissing(string text) => Array.IndexOf(MissingMarks, text.ToLowerInvariant()) >= 0;

    /// <summary>Reads a finite number.</summary>
    internal static bool TryNumber(string text, out double value) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value) && float.IsFinite((float)value);

    private static SeriesTable Fill(
        string name, string sha256, IReadOnlyList<CsvCell[]> rows, int first, string[] names, int[] numeric, int label, int[] unread, MissingValues missing)
    {
        int count = rows.Count - first;
        var values = Array.ConvertAll(numeric, _ => new double[count]);
        int[] filled = new int[numeric.Length];
        int[] leading = new int[numeric.Length];
        for (int i = 0; i < numeric.Length; i++)
        {
            bool known = false;
            for (int row = 0; row < count; row++)
            {
                CsvCell cell = rows[first + row][numeric[i]];
                string text = cell.Text.Trim();
                if (TryNumber(text, out double value))
                {
                    values[i][row] = value;
                    known = true;
                }
                else if (IsMissing(text) && missing != MissingValues.Error)
                {
                    values[i][row] = known ? values[i][row - 1] : 0;
                    filled[i] += known ? 1 : 0;
                    leading[i] += known ? 0 : 1;
                }
                else
                {
                    throw new DataException(
                        name,
                        $"a finite number in column '{names[numeric[i]]}'",
                        text.Length == 0 ? "an empty cell" : text.Length <= ShownCharacters ? $"'{text}'" : $"'{text[..ShownCharacters]}…' ({text.Length} characters)",
                        IsMissing(text)
                            ? "Fill it in, or set data.missing: previous to take the column's last value, or drop to leave out windows with such cells"
                            : "Correct it, or leave the column out of data.features",
                        cell.Line,
                        cell.Column);
                }
            }
        }

        int dropped = leading.Max();
        if (dropped == count)
        {
            int empty = Array.IndexOf(leading, count);
            throw new DataException(name, $"a number in column '{names[numeric[empty]]}'", "none in any row", "Leave the column out of data.features");
        }

        var notes = new List<string>();
        if (unread.Length > 0)
        {
            notes.Add($"{name}: not read, for they hold no numbers: {string.Join(", ", unread.Select(column => $"column '{names[column]}'"))}");
        }

        for (int i = 0; i < numeric.Length; i++)
        {
            // What was filled in before the first whole row is dropped with it.
            int kept = 0;
            for (int row = dropped; row < count && filled[i] > 0; row++)
            {
                kept += IsMissing(rows[first + row][numeric[i]].Text.Trim()) ? 1 : 0;
            }

            if (kept > 0)
            {
                notes.Add($"{name}: {kept} missing cells of column '{names[numeric[i]]}' {(missing == MissingValues.Drop ? "are left out, with every window that reads or predicts them" : "took the column's last value")}");
            }
        }

        if (dropped > 0)
        {
            notes.Insert(0, $"{name}: the first {dropped} rows were dropped: column '{names[numeric[Array.IndexOf(leading, dropped)]]}' has no value there");
        }

        return new SeriesTable(
            name, Array.ConvertAll(numeric, column => names[column]), Array.ConvertAll(values, column => column[dropped..]), sha256)
        {
            Notes = notes,
            Gaps = missing != MissingValues.Drop ? null : Array.ConvertAll(numeric, column => rows.Skip(first + dropped).Select(row => IsMissing(row[column].Text.Trim())).ToArray()),
            FileColumns = names,
            Labels = label < 0 ? null : [.. rows.Skip(first + dropped).Select(row => row[label].Text)],
        };
    }
}
