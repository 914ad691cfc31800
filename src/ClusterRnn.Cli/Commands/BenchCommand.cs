// `clusterrnn bench`: whole training steps on this machine, beside PyTorch where there is one.
using System.CommandLine;
using System.Globalization;
using ClusterRnn.Cli.Bench;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp;

namespace ClusterRnn.Cli.Commands;

/// <summary><c>clusterrnn bench</c>.</summary>
internal static class BenchCommand
{
    public static Command Make(Terminal terminal)
    {
        var cells = new Option<string?>("--cells") { Description = "Cells, apart by commas: lstm, gru, rnn, transformer. Default: all.", HelpName = "CELLS" };
        var shapes = new Option<string[]>("--shape") { Description = "A shape, as often as needed: B,T,I,H[,V[,LAYERS]], or 1 to 5, with ,bidirectional or ,ragged (rows of different lengths) behind it; H is a Transformer's feed-forward width. Default: 1 to 5, for a Transformer 16,128,256,1024,96,2.", HelpName = "SHAPE" };
        var sweep = new Option<bool>("--sweep") { Description = "Instead: batch 8..256, hidden 32..1024, span 16..512, one at a time." };
        var workers = new Option<string?>("--workers") { Description = "Numbers of workers (one thread each, or see --one-worker) and of PyTorch's threads. Default: 1,2 on two cores and more.", HelpName = "N,N" };
        var oneWorker = new Option<bool>("--one-worker") { Description = "One worker with so many threads instead of so many workers." };
        Option<int?> repetitions = NumberOption.Of("--repetitions", "Turns of each contender; medians are shown. Default: 5.", 1, (int?)1000);
        Option<double?> seconds = NumberOption.Of("--seconds", "How long a turn takes, at least a step. Default: 1.", 0.0, (double?)3600, "S");
        var json = new Option<string?>("--json") { Description = "Write everything to FILE as well.", HelpName = "FILE" };
        var noTorch = new Option<bool>("--no-torch") { Description = "Don't look for PyTorch." };
        var python = new Option<string?>("--python") { Description = "The Python whose PyTorch is measured. Default: the first that has one.", HelpName = "PROGRAM" };
        var engine = new Option<string?>("--engine") { Description = "Instead: tcp, worker processes beside one and beside PyTorch's over gloo. Default shape: 1.", HelpName = "NAME" };
        engine.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } name && name != TcpEngine.EngineName)
            {
                result.AddError($"--engine {name}: expected {TcpEngine.EngineName}");
            }
        });
        var network = new Option<bool>("--network") { Description = "Instead: blocks over loopback, beside a bare socket and a bare SslStream." };
        var command = new GroupedCommand("bench", "Measure whole training steps, beside PyTorch where it is found.", CommandGroup.Experiment) { cells, shapes, sweep, workers, oneWorker, repetitions, seconds, json, noTorch, python, engine, network };
        command.Examples.Add(("bench --cells lstm --shape 1 --shape 2", "Two shapes of the LSTM, about a minute."));
        command.Examples.Add(("bench --cells lstm --shape 1,bidirectional --shape 1,ragged", "Both directions, and rows of different lengths."));
        command.Examples.Add(("bench --network", "The tcp engine's bulk path, half a minute."));
        command.Examples.Add(("bench --engine tcp --cells lstm --seconds 5", "Two worker processes beside one, two minutes."));
        command.Examples.Add(("bench --json results.json", "Everything; ten minutes and more."));
        command.SetAction((parsed, cancellation) =>
        {
            if (parsed.GetValue(network))
            {
                return Task.Run(() => RunNetworkAsync(terminal, parsed.GetValue(repetitions) ?? 9, cancellation), CancellationToken.None);
            }

            if (parsed.GetValue(engine) is not null)
            {
                string? torch = parsed.GetValue(noTorch) ? null : TorchSteps.FindPython(parsed.GetValue(python));
                IReadOnlyList<BenchShape> sizes = parsed.GetValue(shapes) is { Length: > 0 } named ? [.. named.Select(BenchShape.Parse)] : [BenchShape.Standard[0]];
                IReadOnlyList<BenchCell> kinds = ReadCells(parsed.GetValue(cells));
                IReadOnlyList<int> counts = ReadWorkers(parsed.GetValue(workers));
                return Task.Run(() => RunClusterAsync(terminal, kinds, sizes, counts, parsed.GetValue(repetitions) ?? 5, parsed.GetValue(seconds) ?? 5, torch, cancellation), CancellationToken.None);
            }

            BenchRequest request = new()
            {
                Cells = ReadCells(parsed.GetValue(cells)),
                Shapes = parsed.GetValue(sweep) ? BenchShape.Sweep : parsed.GetValue(shapes) is { Length: > 0 } asked ? [.. asked.Select(BenchShape.Parse)] : null,
                Workers = ReadWorkers(parsed.GetValue(workers)),
                OneWorker = parsed.GetValue(oneWorker),
                Repetitions = parsed.GetValue(repetitions) ?? 5,
                Seconds = parsed.GetValue(seconds) ?? 1,
                Command = "clusterrnn " + string.Join(' ', parsed.Tokens.Select(t => t.Value)),
            };
            if (request.Shapes?.FirstOrDefault(shape => shape.Bidirectional || shape.Ragged) is { } recurrent && request.Cells.Contains(BenchCell.Transformer))
            {
                throw new UsageException($"--shape {recurrent}: for recurrent cells alone; leave transformer out of --cells");
            }

            if (request.Shapes?.FirstOrDefault(shape => shape.Classes == 0) is { } valued && request.Cells.Contains(BenchCell.Transformer))
            {
                throw new UsageException($"--shape {valued}: a Transformer is measured with tokens; give V, or leave it out of --cells");
            }

            return Task.Run(() => RunAsync(terminal, request, parsed.GetValue(noTorch), parsed.GetValue(python), parsed.GetValue(json), cancellation), CancellationToken.None);
        });
        return command;
    }

    private static async Task<int> RunNetworkAsync(Terminal terminal, int repetitions, CancellationToken cancellation)
    {
        await NetworkBench.RunAsync(terminal, [1, 8, 32], repetitions, 256L << 20, cancellation).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static async Task<int> RunClusterAsync(
        Terminal terminal, IReadOnlyList<BenchCell> cells, IReadOnlyList<BenchShape> shapes, IReadOnlyList<int> workers, int repetitions, double seconds, string? python, CancellationToken cancellation)
    {
        await ClusterBench.RunAsync(terminal, cells, shapes, workers, repetitions, seconds, python, cancellation).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static async Task<int> RunAsync(Terminal terminal, BenchRequest request, bool withoutTorch, string? asked, string? json, CancellationToken cancellation)
    {
        string? python = withoutTorch ? null : TorchSteps.FindPython(asked);
        if (python is null && asked is not null && !withoutTorch)
        {
            throw new UsageException($"--python {asked}: it does not run, or has no torch");
        }

        if (python is null)
        {
            terminal.Say(withoutTorch ? "PyTorch is not asked for: ours alone" : "no python3 with torch was found: ours alone");
        }

        using var benchmark = new Benchmark(terminal, request with { Python = python });
        BenchReport report = await benchmark.RunAsync(cancellation).ConfigureAwait(false);
        if (json is not null)
        {
            await File.WriteAllTextAsync(json, report.ToJson(), CancellationToken.None).ConfigureAwait(false);
        }

        report.Write(terminal);
        return ExitCode.Success;
    }

    private static IReadOnlyList<BenchCell> ReadCells(string? text)
        => text is null
            ? Enum.GetValues<BenchCell>()
            : [.. text.Split(',', StringSplitOptions.TrimEntries).Select(name => Enum.GetValues<BenchCell>().Where(c => BenchReport.NameOf(c) == name) is var found && found.Any()
                ? found.First()
                : throw new UsageException($"--cells {name}: expected lstm, gru, rnn or transformer"))];

    private static IReadOnlyList<int> ReadWorkers(string? text)
        => text is null
            ? Environment.ProcessorCount > 1 ? [1, 2] : [1]
            : [.. text.Split(',', StringSplitOptions.TrimEntries).Select(number => int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int workers) && workers is >= 1 and <= 64
                ? workers
                : throw new UsageException($"--workers {number}: expected whole numbers from 1 to 64, apart by commas")).Distinct().Order()];
}
