// From arguments to an exit code: parse, run the command, turn whatever went wrong into one message. User errors never
// show a stack trace; an internal error says that it is ours and how to report it.
using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;
using ClusterRnn.Data;
using ClusterRnn.Models;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli;

/// <summary>The program's command line.</summary>
public sealed class CommandLine
{
    private readonly Terminal _terminal;
    private readonly Option<bool> _quiet = new("--quiet", "-q") { Description = "Say nothing but results and errors.", Recursive = true, Hidden = true };
    private readonly Option<bool> _verbose = new("--verbose", "-v") { Description = "Say more: every step, and the details of internal errors.", Recursive = true, Hidden = true };
    private readonly RootCommand _root;

    /// <summary>A command line that writes to <paramref name="terminal"/> and trains on <paramref name="engines"/>, the first by default.</summary>
    public CommandLine(Terminal terminal, IReadOnlyList<IEngine> engines)
        : this(terminal, engines, ExperimentCommand.Hosts())
    {
    }

    /// <summary>The same with <paramref name="hosts"/> for experiments, the first by default.</summary>
    public CommandLine(Terminal terminal, IReadOnlyList<IEngine> engines, IReadOnlyList<IExperimentHost> hosts)
    {
        _terminal = terminal;
        _root = new RootCommand("ClusterRnn trains sequence models on CPUs: one program, one config file, one answer.") { _quiet, _verbose };
        _root.Add(TrainCommand.Make(terminal, engines));
        _root.Add(SweepCommand.Make(terminal, engines));
        _root.Add(DataCommand.Make(terminal));
        _root.Add(SchemaCommand.Make(terminal));
        _root.Add(EvaluateCommand.Make(terminal));
        _root.Add(PredictCommand.Make(terminal));
        _root.Add(InspectCommand.Make(terminal));
        _root.Add(ReportCommand.Make(terminal));
        _root.Add(EnginesCommand.Make(terminal, engines));
        _root.Add(NodeCommands.Coordinator(terminal));
        _root.Add(NodeCommands.Worker(terminal));
        _root.Add(NodeCommands.Server(terminal));
        _root.Add(StatusCommand.Make(terminal));
        _root.Add(CertsCommand.Make(terminal));
        _root.Add(BenchCommand.Make(terminal));
        _root.Add(SimulateCommand.Make(terminal));
        _root.Add(VerifyLedgerCommand.Make(terminal));
        _root.Add(ExperimentCommand.Make(terminal, hosts));
        foreach (HelpOption help in _root.Options.OfType<HelpOption>())
        {
            help.Action = new GroupedHelp();
        }
    }

    /// <summary>Every command, for the tests of help and README.</summary>
    public RootCommand Root => _root;

    /// <summary>Runs a command line.</summary>
    /// <returns>An <see cref="ExitCode"/>.</returns>
    public async Task<int> RunAsync(IReadOnlyList<string> args)
    {
        ParseResult parsed = _root.Parse(args.Count == 0 ? ["--help"] : args);
        _terminal.Verbosity = parsed.GetValue(_verbose) ? Verbosity.Verbose : parsed.GetValue(_quiet) ? Verbosity.Quiet : Verbosity.Normal;
        bool clears = parsed.Action is { ClearsParseErrors: true };
        if (parsed.Errors.Count > 0 && !clears)
        {
            return Refuse(parsed);
        }

        if (!clears && parsed.CommandResult.Children.Select(Unnamed).FirstOrDefault(missing => missing is not null) is { } unnamed)
        {
            _terminal.Fail(unnamed);
            return ExitCode.Usage;
        }

        using var interruption = new Interruption(_terminal);
        try
        {
            var invocation = new InvocationConfiguration
            {
                Output = _terminal.Out.Profile.Out.Writer,
                Error = _terminal.Error.Profile.Out.Writer,
                EnableDefaultExceptionHandler = false,
                // Ctrl-C and SIGTERM are Interruption's: they save a checkpoint first.
                ProcessTerminationTimeout = null,
            };
            int code = await parsed.InvokeAsync(invocation, interruption.Token).ConfigureAwait(false);
            return interruption.Token.IsCancellationRequested && code == ExitCode.Success ? ExitCode.Interrupted : code;
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception error) when (error is ConfigException or UsageException or DataException or ModelException)
        {
            _terminal.Fail(error.Message);
            return ExitCode.Usage;
        }
        catch (Exception error) when (error is TrainingException or CheckpointException or IOException or UnauthorizedAccessException)
        {
            _terminal.Fail(error.Message);
            Trace(error);
            return ExitCode.Failed;
        }
        catch (Exception error)
        {
            _terminal.Fail($"internal error: {error.GetType().Name}: {error.Message}");
            _terminal.Error.Profile.Out.Writer.WriteLine(
                "This is a fault in clusterrnn, not in your input. Please report it with the command line, the config file and\n"
                + $"this text: version {Version}, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}."
                + (_terminal.Verbosity == Verbosity.Verbose ? "" : " The same command with --verbose shows where it happened."));
            Trace(error);
            return ExitCode.Failed;
        }
    }

    /// <summary>The program's version.</summary>
    public static string Version => typeof(CommandLine).Assembly.GetName().Version?.ToString(3) ?? "unknown";

    private void Trace(Exception error)
    {
        if (_terminal.Verbosity == Verbosity.Verbose)
        {
            _terminal.Error.Profile.Out.Writer.WriteLine(error.ToString());
        }
    }

    // An empty text can be a prompt, but names no file, folder or address; scripts give one where a variable is not set.
    private static string? Unnamed(SymbolResult given) => given.Tokens.Any(token => token.Value.Length == 0) ? given switch
    {
        OptionResult { Option.HelpName: "FOLDER" or "FILE" or "PATH" or "RUN" or "HOST" or "HOST:PORT" } option => $"{option.Option.Name} '': expected {option.Option.HelpName}, found nothing",
        ArgumentResult { Argument.Name: "CONFIG" or "RUN" or "FILE" } argument => $"'': expected {argument.Argument.Name}, found nothing",
        _ => null,
    } : null;

    private int Refuse(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string[] unmatched = [.. parsed.UnmatchedTokens];
        if (unmatched.Length > 0)
        {
            string word = unmatched[0];
            bool isCommand = command == _root && !word.StartsWith('-');
            IEnumerable<string> candidates = isCommand
                ? _root.Subcommands.Where(c => !c.Hidden).SelectMany(c => c.Aliases.Prepend(c.Name))
                : command.Options.Concat(_root.Options).SelectMany(o => o.Aliases.Prepend(o.Name));
            string what = isCommand ? "command" : word.StartsWith('-') ? "option" : "argument";
            string near = what != "argument" && NearestName.Of(word.Split('=')[0], candidates) is { } name ? $"; did you mean {name}?" : "";
            _terminal.Fail($"unknown {what} '{word}'{near}");
        }
        else
        {
            foreach (ParseError error in parsed.Errors.DistinctBy(e => e.Message))
            {
                _terminal.Fail(error.SymbolResult is ArgumentResult { Tokens.Count: 0, Argument: { Arity.MinimumNumberOfValues: > 0 } missing }
                    ? $"{command.Name} needs {missing.Name}: {missing.Description?.TrimEnd('.')}"
                    : error.Message.TrimEnd('.'));
            }
        }

        string help = command == _root ? "clusterrnn --help" : $"clusterrnn {command.Name} --help";
        _terminal.Error.Profile.Out.Writer.WriteLine($"See: {help}");
        return ExitCode.Usage;
    }
}

/// <summary>Ctrl-C and SIGTERM: the first asks the command to end well, a second Ctrl-C leaves at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly List<PosixSignalRegistration> _registrations = [];

    public Interruption(Terminal terminal)
    {
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Handle(context, terminal)));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Handle(context, terminal)));
    }

    /// <summary>Cancelled at the first signal.</summary>
    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _source.Dispose();
    }

    private void Handle(PosixSignalContext context, Terminal terminal)
    {
        context.Cancel = true;
        if (_source.IsCancellationRequested)
        {
            if (context.Signal == PosixSignal.SIGINT)
            {
                Environment.Exit(ExitCode.Interrupted);
            }

            return;
        }

        terminal.Say("stopping once what is under way is finished or saved; press Ctrl-C again to leave at once");
        _source.Cancel();
    }
}
