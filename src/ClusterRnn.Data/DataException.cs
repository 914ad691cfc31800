using System.Globalization;

namespace ClusterRnn.Data;

/// <summary>
/// The data cannot be used as asked. The message says where, what was expected, what was found and what to do; the
/// properties hold the same for programs.
/// </summary>
public sealed class DataException : Exception
{
    /// <summary>Describes one fault.</summary>
    /// <param name="source">The file, folder, pattern or generator.</param>
    /// <param name="expected">What was expected, as a phrase.</param>
    /// <param name="found">What was found, as a phrase.</param>
    /// <param name="remedy">What to do, as a sentence without its full stop.</param>
    /// <param name="line">The line, from 1, or null.</param>
    /// <param name="column">The column, from 1, or null.</param>
    /// <param name="position">The byte offset, from 0, or null.</param>
    /// <param name="inner">The cause, if another exception brought the fault to light.</param>
    public DataException(
        string source,
        string expected,
        string found,
        string remedy,
        long? line = null,
        long? column = null,
        long? position = null,
        Exception? inner = null)
        : base(Describe(source, expected, found, remedy, line, column, position), inner)
    {
        DataSource = source;
        Expected = expected;
        Found = found;
        Remedy = remedy;
        Line = line;
        Column = column;
        Position = position;
    }

    /// <summary>The file, folder, pattern or generator.</summary>
    public string DataSource { get; }

    /// <summary>What was expected.</summary>
    public string Expected { get; }

    /// <summary>What was found.</summary>
    public string Found { get; }

    /// <summary>What to do.</summary>
    public string Remedy { get; }

    /// <summary>The line, from 1, or null.</summary>
    public long? Line { get; }

    /// <summary>The column, from 1, or null.</summary>
    public long? Column { get; }

    /// <summary>The byte offset, from 0, or null.</summary>
    public long? Position { get; }

    private static string Describe(
        string source, string expected, string found, string remedy, long? line, long? column, long? position)
    {
        string place = source;
        if (line is not null)
        {
            place += string.Create(CultureInfo.InvariantCulture, $":{line}");
            if (column is not null)
            {
                place += string.Create(CultureInfo.InvariantCulture, $":{column}");
            }
        }
        else if (position is not null)
        {
            place += string.Create(CultureInfo.InvariantCulture, $" at byte {position}");
        }

        return $"{place}: expected {expected}, found {found}. {remedy}.";
    }
}
