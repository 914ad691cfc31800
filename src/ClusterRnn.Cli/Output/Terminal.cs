// Where the program writes. Results go to the standard output; progress, notices and errors go to the standard error,
// so that `clusterrnn predict ... > file` holds the result alone. Colours and a moving progress line appear only in a
// terminal; redirected output gets plain lines.
using Spectre.Console;

namespace ClusterRnn.Cli.Output;

/// <summary>How much the program says.</summary>
public enum Verbosity
{
    /// <summary>Results and errors.</summary>
    Quiet,

    /// <summary>Progress as well.</summary>
    Normal,

    /// <summary>Every step, and stack traces of internal errors.</summary>
    Verbose,
}

/// <summary>The program's two outputs.</summary>
public sealed class Terminal
{
    private const int RedirectedWidth = 120;

    private Terminal(IAnsiConsole output, IAnsiConsole error, bool isInteractive)
    {
        Out = output;
        Error = error;
        IsInteractive = isInteractive;
    }

    /// <summary>Results.</summary>
    public IAnsiConsole Out { get; }

    /// <summary>Progress, notices and errors.</summary>
    public IAnsiConsole Error { get; }

    /// <summary>Whether a person watches the standard error, so that a progress line may move.</summary>
    public bool IsInteractive { get; }

    /// <summary>How much is said.</summary>
    public Verbosity Verbosity { get; set; } = Verbosity.Normal;

    /// <summary>The process's own standard output and error.</summary>
    public static Terminal Standard()
    {
        bool noColor = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        bool isDumb = Environment.GetEnvironmentVariable("TERM") is "dumb";
        bool outputMoves = !Console.IsOutputRedirected && !isDumb;
        bool errorMoves = !Console.IsErrorRedirected && !isDumb;
        return new Terminal(Make(Console.Out, outputMoves, noColor), Make(Console.Error, errorMoves, noColor), errorMoves);
    }

    /// <summary>Plain output to these writers, as when redirected.</summary>
    public static Terminal To(TextWriter output, TextWriter error) => new(Make(output, false, true), Make(error, false, true), false);

    /// <summary>Writes a line of plain text to the standard output, as it is and unwrapped.</summary>
    public void WriteLine(string text) => Out.Profile.Out.Writer.WriteLine(text);

    /// <summary>Writes plain text to the standard output, as it is and unwrapped.</summary>
    public void Write(string text) => Out.Profile.Out.Writer.Write(text);

    /// <summary>Writes a line of plain text to the standard error, unless quiet.</summary>
    public void Say(string text)
    {
        if (Verbosity == Verbosity.Quiet)
        {
            return;
        }

        if (IsInteractive)
        {
            // Through the console, which puts the line above a progress line that moves.
            Error.WriteLine(text);
        }
        else
        {
            Error.Profile.Out.Writer.WriteLine(text);
        }
    }

    /// <summary>Writes a warning to the standard error, quiet or not.</summary>
    public void Warn(string text)
    {
        if (IsInteractive)
        {
            Error.MarkupLineInterpolated($"[bold yellow]warning:[/] {text}");
        }
        else
        {
            Error.Profile.Out.Writer.WriteLine("warning: " + text);
        }
    }

    /// <summary>Writes an error to the standard error.</summary>
    public void Fail(string text)
    {
        // The text itself is written as it is: wrapping would break paths and the carets under a line.
        if (IsInteractive)
        {
            Error.Markup("[bold red]error:[/] ");
        }
        else
        {
            Error.Profile.Out.Writer.Write("error: ");
        }

        Error.Profile.Out.Writer.WriteLine(text);
    }

    private static IAnsiConsole Make(TextWriter writer, bool moves, bool noColor)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = moves ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = moves && !noColor ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = moves ? InteractionSupport.Yes : InteractionSupport.No,
        });
        if (!moves)
        {
            console.Profile.Width = RedirectedWidth;
        }

        return console;
    }
}
