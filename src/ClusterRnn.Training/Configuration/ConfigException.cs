namespace ClusterRnn.Training.Configuration;

/// <summary>One thing that is wrong with a configuration, and where.</summary>
/// <param name="Mark">Where it stands.</param>
/// <param name="Path">The key path, such as <c>model.layers[1].units</c>; empty for the whole document.</param>
/// <param name="Message">What was found and what was expected.</param>
/// <param name="Hint">What to do about it, or null.</param>
public sealed record ConfigProblem(ConfigMark Mark, string Path, string Message, string? Hint = null)
{
    /// <summary>The problem as a compiler would print it: place, message, the line with a caret, the hint.</summary>
    public override string ToString()
    {
        var text = new System.Text.StringBuilder();
        text.Append(Mark).Append(": ").Append(Message);
        if (Mark.Excerpt() is { } excerpt)
        {
            text.AppendLine().Append(excerpt);
        }

        if (Hint is not null)
        {
            text.AppendLine().Append("  ").Append(Hint);
        }

        return text.ToString();
    }
}

/// <summary>
/// A configuration that can't be used. The message names file, line and column (or the command-line option), what was
/// expected, what was found and the nearest valid key; it is meant for the user as it stands.
/// </summary>
public sealed class ConfigException : Exception
{
    /// <summary>A configuration with these problems.</summary>
    public ConfigException(IReadOnlyList<ConfigProblem> problems)
        : base(string.Join(Environment.NewLine, problems))
    {
        Problems = problems;
    }

    /// <summary>A configuration with one problem that has no place in a file.</summary>
    public ConfigException(string message)
        : base(message)
    {
        Problems = [];
    }

    /// <summary>What is wrong, in the order of the file.</summary>
    public IReadOnlyList<ConfigProblem> Problems { get; }
}
