namespace ClusterRnn.Training.Configuration;

/// <summary>Where the text of a configuration came from: a file with its lines, or a command-line option.</summary>
/// <param name="Name">The file's name as the user gave it, or the option (<c>--set batch.size=0</c>).</param>
/// <param name="Lines">The file's lines; empty for an option.</param>
public sealed record ConfigSource(string Name, IReadOnlyList<string> Lines)
{
    /// <summary>Whether the text came from the command line.</summary>
    public bool IsOption => Lines.Count == 0;
}

/// <summary>A place in a configuration.</summary>
/// <param name="Source">Where the text came from.</param>
/// <param name="Line">The line, from 1.</param>
/// <param name="Column">The column, from 1.</param>
/// <param name="Length">How many characters of the line are meant; at least 1.</param>
public sealed record ConfigMark(ConfigSource Source, int Line, int Column, int Length)
{
    /// <inheritdoc/>
    public override string ToString() => Source.IsOption ? Source.Name : $"{Source.Name}:{Line}:{Column}";

    /// <summary>The line with a caret under the place, or null when there is no line.</summary>
    public string? Excerpt()
    {
        if (Source.IsOption || Line > Source.Lines.Count)
        {
            return null;
        }

        string line = Source.Lines[Line - 1];
        int start = Math.Clamp(Column - 1, 0, line.Length);
        int length = Math.Clamp(Length, 1, Math.Max(1, line.Length - start));
        string number = Line.ToString(System.Globalization.CultureInfo.InvariantCulture);
        string margin = new(' ', number.Length);
        // Wide characters take two cells; a caret that ignores them points at the wrong place.
        string before = new(' ', TextWidth.Of(line.AsSpan(0, start)));
        string carets = new('^', Math.Max(1, start < line.Length ? TextWidth.Of(line.AsSpan(start, length)) : 1));
        return $"  {number} | {line}{Environment.NewLine}  {margin} | {before}{carets}";
    }
}
