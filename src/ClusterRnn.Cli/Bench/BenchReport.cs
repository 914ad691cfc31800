// What a benchmark found, as it stands in the JSON file, and the tables made of it.
using System.Globalization;
using System.Text.Json;
using ClusterRnn.Cli.Output;

namespace ClusterRnn.Cli.Bench;

/// <summary>One cell and shape on some threads. Speeds are medians over the repetitions; tokens are batch x span, or what rows of different lengths have.</summary>
public sealed record BenchCase
{
    /// <summary><c>lstm</c>, <c>gru</c>, <c>rnn</c> (tanh) or <c>transformer</c>.</summary>
    public required string Cell { get; init; }

    /// <summary>Rows.</summary>
    public required int Batch { get; init; }

    /// <summary>Time steps.</summary>
    public required int Span { get; init; }

    /// <summary>Width of the embedding or the features.</summary>
    public required int Input { get; init; }

    /// <summary>Width of the state, or of a Transformer's feed-forward network.</summary>
    public required int Hidden { get; init; }

    /// <summary>Tokens; 0: mean squared error of one value.</summary>
    public required int Classes { get; init; }

    /// <summary>Recurrent layers, or a Transformer's.</summary>
    public required int Layers { get; init; }

    /// <summary>Whether the layers read both ways.</summary>
    public bool Bidirectional { get; init; }

    /// <summary>Whether rows are of different lengths; tokens are then those that rows have.</summary>
    public bool Ragged { get; init; }

    /// <summary>Shards of the batch.</summary>
    public required int Shards { get; init; }

    /// <summary>Ours: workers of one compute thread each. PyTorch: threads, or processes of one thread.</summary>
    public required int Threads { get; init; }

    /// <summary>Our tokens a second.</summary>
    public required double OursTokensPerSecond { get; init; }

    /// <summary>PyTorch's, the better of threads and processes; null without PyTorch.</summary>
    public double? TorchTokensPerSecond { get; init; }

    /// <summary>PyTorch with as many threads.</summary>
    public double? TorchThreadsTokensPerSecond { get; init; }

    /// <summary>PyTorch as DistributedDataParallel over gloo with as many processes; null for one.</summary>
    public double? TorchProcessesTokensPerSecond { get; init; }

    /// <summary>Our speed over PyTorch's.</summary>
    public double? Ratio { get; init; }

    /// <summary>Tokens a second of processor time, which tells more than the clock where other programs run: ours.</summary>
    public required double OursTokensPerProcessorSecond { get; init; }

    /// <summary>Tokens a second of processor time: PyTorch with as many threads.</summary>
    public double? TorchTokensPerProcessorSecond { get; init; }

    /// <summary>Thousands of millions of operations a second, counting the products that the step asks for.</summary>
    public required double AskedGflops { get; init; }

    /// <summary>The same, counting those that are carried out: an embedding is projected once a token.</summary>
    public required double DoneGflops { get; init; }

    /// <summary><see cref="DoneGflops"/> in percent of the measured peak of as many cores.</summary>
    public required double PercentOfPeak { get; init; }

    /// <summary>What the compute threads allocate on the managed heap in a step.</summary>
    public required double BytesAllocatedPerStep { get; init; }

    /// <summary>What the actors and their messages allocate in a step.</summary>
    public required double ActorBytesAllocatedPerStep { get; init; }

    /// <summary>Our seconds a step in each repetition.</summary>
    public required IReadOnlyList<double> OursSecondsPerStep { get; init; }
}

/// <summary>How several workers compare with one on the same shape.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Shape">The shape.</param>
/// <param name="Workers">How many.</param>
/// <param name="Speedup">Their speed over that of one; the median of the ratios within each repetition.</param>
public sealed record BenchScaling(string Cell, string Shape, int Workers, double Speedup);

/// <summary>A geometric mean over shapes with an embedding.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Threads">Threads.</param>
/// <param name="RatioToTorch">Of the ratios to PyTorch, or null.</param>
/// <param name="Speedup">Of the speeds over that of one worker, or null for one.</param>
public sealed record BenchMean(string Cell, int Threads, double? RatioToTorch, double? Speedup);

/// <summary>All of it.</summary>
public sealed record BenchReport
{
    /// <summary>The processor's name.</summary>
    public required string Processor { get; init; }

    /// <summary>Cores in sight.</summary>
    public required int Cores { get; init; }

    /// <summary>The instruction set our kernels used.</summary>
    public required string InstructionSet { get; init; }

    /// <summary>Measured peaks of one core in Gflop/s by instruction set; percentages refer to the largest.</summary>
    public required IReadOnlyDictionary<string, double> PeakGflops { get; init; }

    /// <summary>The runtime.</summary>
    public required string Runtime { get; init; }

    /// <summary>PyTorch's version, or null.</summary>
    public string? Torch { get; init; }

    /// <summary>The library behind PyTorch's products; without OpenBLAS or MKL the ratios mean nothing.</summary>
    public string? TorchBlas { get; init; }

    /// <summary>The command line.</summary>
    public required string Command { get; init; }

    /// <summary>Repetitions.</summary>
    public required int Repetitions { get; init; }

    /// <summary>The cases.</summary>
    public required IReadOnlyList<BenchCase> Cases { get; init; }

    /// <summary>Several workers against one.</summary>
    public required IReadOnlyList<BenchScaling> Scaling { get; init; }

    /// <summary>Geometric means.</summary>
    public required IReadOnlyList<BenchMean> Means { get; init; }

    private static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>A cell's name.</summary>
    public static string NameOf(BenchCell cell) => cell switch { BenchCell.Lstm => "lstm", BenchCell.Gru => "gru", BenchCell.Rnn => "rnn", _ => "transformer" };

    /// <summary>The geometric means of the cases with an embedding.</summary>
    public static IReadOnlyList<BenchMean> MeansOf(IReadOnlyList<BenchCase> cases, IReadOnlyList<BenchScaling> scaling)
        => [.. cases.Where(c => c.Classes > 0).GroupBy(c => (c.Cell, c.Threads)).Select(group => new BenchMean(
            group.Key.Cell,
            group.Key.Threads,
            Geometric(group.Select(c => c.Ratio)),
            Geometric(scaling.Where(s => s.Cell == group.Key.Cell && s.Workers == group.Key.Threads && !s.Shape.Contains(",0,", StringComparison.Ordinal)).Select(s => (double?)s.Speedup))))];

    /// <summary>The middle value, or the mean of the two in the middle.</summary>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>As a JSON text.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json) + "\n";

    /// <summary>Prints the tables.</summary>
    internal void Write(Terminal terminal)
    {
        Tables.Write(terminal, [], [
            ["processor", $"{Processor}, {Cores} cores, {InstructionSet}"],
            ["measured peak of a core", string.Join(", ", PeakGflops.OrderByDescending(p => p.Value).Select(p => $"{p.Key} {p.Value.ToString("0.0", CultureInfo.InvariantCulture)} Gflop/s"))],
            ["PyTorch", Torch is null ? "not measured" : $"{Torch}, {TorchBlas}"],
        ]);
        terminal.WriteLine("");
        Tables.Write(
            terminal,
            ["cell B,T,I,H,V,layers", "threads", "ours tok/s", "torch tok/s", "processes", "ratio", "by CPU time", "asked Gflop/s", "done", "% of peak", "B/step", "actors"],
            [.. Cases.Select(c => new[]
            {
                $"{c.Cell} {new BenchShape(c.Batch, c.Span, c.Input, c.Hidden, c.Classes, c.Layers) { Bidirectional = c.Bidirectional, Ragged = c.Ragged }}",
                Figures.Count(c.Threads),
                Figures.Short(c.OursTokensPerSecond),
                Or(c.TorchThreadsTokensPerSecond, Figures.Short),
                Or(c.TorchProcessesTokensPerSecond, Figures.Short),
                Or(c.Ratio, Two),
                Or(c.OursTokensPerProcessorSecond / c.TorchTokensPerProcessorSecond, Two),
                One(c.AskedGflops),
                One(c.DoneGflops),
                One(c.PercentOfPeak),
                One(c.BytesAllocatedPerStep),
                One(c.ActorBytesAllocatedPerStep),
            })]);
        if (Scaling.Count > 0)
        {
            terminal.WriteLine("");
            Tables.Write(terminal, ["cell B,T,I,H,V,layers", "workers", "speed of one worker x"], [.. Scaling.Select(s => new[] { $"{s.Cell} {s.Shape}", Figures.Count(s.Workers), Two(s.Speedup) })]);
        }

        terminal.WriteLine("");
        Tables.Write(
            terminal,
            ["geometric means, V > 0", "threads", "to PyTorch", "to one worker"],
            [.. Means.Select(m => new[] { m.Cell, Figures.Count(m.Threads), Or(m.RatioToTorch, Two), Or(m.Speedup, Two) })]);
    }

    private static double? Geometric(IEnumerable<double?> values)
    {
        double[] known = [.. values.Where(v => v > 0).Select(v => v!.Value)];
        return known.Length == 0 ? null : Math.Exp(known.Sum(Math.Log) / known.Length);
    }

    private static string Or(double? value, Func<double, string> format) => value is { } known ? format(known) : "-";

    private static string One(double value) => value.ToString("0.0", CultureInfo.InvariantCulture);

    private static string Two(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);
}
