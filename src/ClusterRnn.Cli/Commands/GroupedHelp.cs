// Help in the order in which people need it. System.CommandLine's own help lists all commands alike; with a dozen of
// them the first page should say which belong together, and each page should fit a screen.
using System.CommandLine;
using System.CommandLine.Invocation;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Cli.Commands;

/// <summary>To what a command belongs on the first page of help.</summary>
public enum CommandGroup
{
    /// <summary>Making models.</summary>
    Train,

    /// <summary>Using trained models.</summary>
    Use,

    /// <summary>Running on several processes or machines.</summary>
    Cluster,

    /// <summary>Trying what happens when things fail.</summary>
    Experiment,
}

/// <summary>A command with its place in the help.</summary>
internal sealed class GroupedCommand(string name, string description, CommandGroup group) : Command(name, description)
{
    /// <summary>Where the first page lists it.</summary>
    public CommandGroup Group { get; } = group;

    /// <summary>A command line to copy, with what it does.</summary>
    public List<(string Line, string Meaning)> Examples { get; } = [];
}

/// <summary>Prints help.</summary>
internal sealed class GroupedHelp : SynchronousCommandLineAction
{
    public override int Invoke(ParseResult parseResult)
    {
        TextWriter output = parseResult.InvocationConfiguration.Output;
        Command command = parseResult.CommandResult.Command;
        if (command is RootCommand)
        {
            WriteOverview(command, output);
        }
        else
        {
            WriteCommand(command, output);
        }

        return ExitCode.Success;
    }

    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    private static void WriteOverview(Command root, TextWriter output)
    {
        output.WriteLine(root.Description);
        output.WriteLine();
        output.WriteLine("usage: clusterrnn COMMAND [options]");
        GroupedCommand[] commands = [.. root.Subcommands.OfType<GroupedCommand>().Where(c => !c.Hidden)];
        int width = commands.Max(c => TextWidth.Of(Names(c))) + 2;
        foreach (IGrouping<CommandGroup, GroupedCommand> group in commands.GroupBy(c => c.Group).OrderBy(g => g.Key))
        {
            output.WriteLine();
            output.WriteLine(group.Key.ToString().ToLowerInvariant());
            foreach (GroupedCommand command in group)
            {
                output.WriteLine($"  {TextWidth.PadRight(Names(command), width)}{command.Description}");
            }
        }

        output.WriteLine();
        output.WriteLine("clusterrnn COMMAND --help says more about a command, clusterrnn --version which version this is.");
    }

    private static void WriteCommand(Command command, TextWriter output)
    {
        output.WriteLine(command.Description);
        output.WriteLine();
        output.WriteLine($"usage: clusterrnn {command.Name}{Arguments(command)} [options]");
        if (command.Aliases.Count > 0)
        {
            output.WriteLine($"also called: {string.Join(", ", command.Aliases)}");
        }

        List<(string, string)> rows = [.. command.Arguments.Select(a => (a.Name, a.Description ?? ""))];
        Section(output, "arguments", rows);
        rows = [.. command.Options.Where(o => !o.Hidden).Select(o => (Label(o), o.Description ?? ""))];
        rows.Add(("--quiet", "Say nothing but results and errors."));
        rows.Add(("--verbose", "Say more: every step, and the details of internal errors."));
        Section(output, "options", rows);
        if (command is GroupedCommand { Examples.Count: > 0 } grouped)
        {
            output.WriteLine();
            output.WriteLine("examples");
            foreach ((string line, string meaning) in grouped.Examples)
            {
                output.WriteLine($"  clusterrnn {line}");
                output.WriteLine($"      {meaning}");
            }
        }
    }

    private static void Section(TextWriter output, string title, List<(string Label, string Text)> rows)
    {
        if (rows.Count == 0)
        {
            return;
        }

        output.WriteLine();
        output.WriteLine(title);
        int width = rows.Max(r => r.Label.Length) + 2;
        foreach ((string label, string text) in rows)
        {
            output.WriteLine($"  {label.PadRight(width)}{text}");
        }
    }

    private static string Names(GroupedCommand command) => string.Join(", ", [command.Name, .. command.Aliases]) + Arguments(command);

    private static string Arguments(Command command) => string.Concat(command.Arguments.Select(argument =>
    {
        string name = argument.Arity.MaximumNumberOfValues > 1 ? $"{argument.Name} ..." : argument.Name;
        return argument.Arity.MinimumNumberOfValues == 0 ? $" [{name}]" : $" {name}";
    }));

    private static string Label(Option option)
    {
        string names = string.Join(", ", [option.Name, .. option.Aliases]);
        if (option.ValueType == typeof(bool))
        {
            return names;
        }

        string value = option.HelpName ?? "VALUE";
        return option.Arity.MinimumNumberOfValues == 0 ? $"{names} [{value}]" : $"{names} {value}";
    }
}
