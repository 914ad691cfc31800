// Runs cases: every contender of a case is made ready, then they take turns, A B C A B C, each for about the same time.
using System.Diagnostics;
using ClusterRnn.Cli.Output;
using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Training;

namespace ClusterRnn.Cli.Bench;

/// <summary>What is asked for.</summary>
internal sealed record BenchRequest
{
    public required IReadOnlyList<BenchCell> Cells { get; init; }

    /// <summary>The shapes, or null for each cell's own.</summary>
    public IReadOnlyList<BenchShape>? Shapes { get; init; }

    /// <summary>Numbers of workers, and of PyTorch's threads and processes.</summary>
    public required IReadOnlyList<int> Workers { get; init; }

    /// <summary>Whether there is one worker with so many threads instead.</summary>
    public bool OneWorker { get; init; }

    public required int Repetitions { get; init; }

    /// <summary>How long a contender's turn takes at least.</summary>
    public required double Seconds { get; init; }

    /// <summary>The Python with torch, or null to measure ours alone.</summary>
    public string? Python { get; init; }

    public required string Command { get; init; }
}

/// <summary>Runs a request.</summary>
internal sealed class Benchmark(Terminal terminal, BenchRequest request) : IDisposable
{
    private readonly List<Contender> _torch = [];
    private string? _version;
    private string? _blas;

    public async Task<BenchReport> RunAsync(CancellationToken cancellation)
    {
        SortedDictionary<string, double> peaks = FusedMultiplyAddPeak.Measure();
        if (request.Python is { } python)
        {
            foreach (int workers in request.Workers)
            {
                await StartAsync(python, workers, 1, cancellation).ConfigureAwait(false);
                if (workers > 1)
                {
                    await StartAsync(python, workers, workers, cancellation).ConfigureAwait(false);
                }
            }
        }

        var cases = new List<BenchCase>();
        var scaling = new List<BenchScaling>();
        foreach (BenchCell cell in request.Cells)
        {
            foreach (BenchShape shape in request.Shapes ?? BenchShape.StandardOf(cell))
            {
                cancellation.ThrowIfCancellationRequested();
                terminal.Say($"{BenchReport.NameOf(cell)} {shape}");
                await MeasureAsync(cell, shape, peaks, cases, scaling, cancellation).ConfigureAwait(false);
            }
        }

        foreach ((string set, double peak) in FusedMultiplyAddPeak.Measure())
        {
            peaks[set] = Math.Max(peaks[set], peak); // the machine may have been busy the first time
        }

        double best = peaks.Values.Max();
        return new BenchReport
        {
            Processor = ProcessorName.Read(),
            Cores = Environment.ProcessorCount,
            InstructionSet = InstructionSets.Current.ToString().ToLowerInvariant(),
            PeakGflops = peaks.ToDictionary(p => p.Key, p => p.Value / 1e9),
            Runtime = System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription,
            Torch = _version,
            TorchBlas = _blas,
            Command = request.Command,
            Repetitions = request.Repetitions,
            Cases = [.. cases.Select(c => c with { PercentOfPeak = 100 * c.DoneGflops * 1e9 / (best * Math.Min(c.Threads, Environment.ProcessorCount)) })],
            Scaling = scaling,
            Means = BenchReport.MeansOf(cases, scaling),
        };
    }

    public void Dispose() => _torch.ForEach(torch => torch.Torch!.Dispose());

    private async Task StartAsync(string python, int workers, int processes, CancellationToken cancellation)
    {
        TorchSteps torch = await TorchSteps.StartAsync(python, processes > 1 ? 1 : workers, processes, cancellation).ConfigureAwait(false);
        if (_version is null && torch.HasSlowProducts)
        {
            terminal.Warn($"this PyTorch multiplies with the plain reference BLAS ({torch.Blas}): install OpenBLAS, or the ratios mean nothing");
        }

        _version = torch.Version;
        _blas = torch.Blas;
        _torch.Add(new Contender(workers, processes > 1) { Torch = torch });
    }

    private async Task MeasureAsync(BenchCell cell, BenchShape shape, SortedDictionary<string, double> peaks, List<BenchCase> cases, List<BenchScaling> scaling, CancellationToken cancellation)
    {
        TrainingJob job = BenchJob.Of(cell, shape);
        var ours = new List<Contender>();
        try
        {
            foreach (int workers in request.Workers)
            {
                ours.Add(new Contender(workers, false) { Engine = new EngineSteps(job, request.OneWorker ? 1 : workers, request.OneWorker ? workers : 1) });
            }

            Contender[] torch = [.. _torch.Where(t => !t.InProcesses || shape.Batch % t.Workers == 0)];
            Contender[] all = [.. ours, .. torch];
            foreach (Contender contender in all)
            {
                await WarmUpAsync(contender, cell, shape, cancellation).ConfigureAwait(false);
            }

            for (int repetition = 0; repetition < request.Repetitions; repetition++)
            {
                foreach (Contender contender in all)
                {
                    cancellation.ThrowIfCancellationRequested();
                    contender.Turns.Add(await contender.RunAsync(contender.StepsATurn, cancellation).ConfigureAwait(false));
                }
            }

            foreach (Contender contender in ours)
            {
                Contender? threads = torch.FirstOrDefault(t => t.Workers == contender.Workers && !t.InProcesses);
                Contender? processes = torch.FirstOrDefault(t => t.Workers == contender.Workers && t.InProcesses);
                (double compute, double actors) = await contender.Engine!.EndAsync().ConfigureAwait(false);
                StepOperations operations = StepOperations.Of(cell, shape, job.Shards, contender.Workers);
                double speed = contender.TokensPerSecond(shape);
                double? threadSpeed = threads?.TokensPerSecond(shape), processSpeed = processes?.TokensPerSecond(shape);
                double? torchSpeed = threadSpeed > processSpeed ? threadSpeed : processSpeed ?? threadSpeed;
                double stepsPerSecond = speed / shape.Tokens;
                cases.Add(new BenchCase
                {
                    Cell = BenchReport.NameOf(cell),
                    Batch = shape.Batch,
                    Span = shape.Span,
                    Input = shape.Input,
                    Hidden = shape.Hidden,
                    Classes = shape.Classes,
                    Layers = shape.Layers,
                    Bidirectional = shape.Bidirectional,
                    Ragged = shape.Ragged,
                    Shards = job.Shards,
                    Threads = contender.Workers,
                    OursTokensPerSecond = speed,
                    TorchTokensPerSecond = torchSpeed,
                    TorchThreadsTokensPerSecond = threadSpeed,
                    TorchProcessesTokensPerSecond = processSpeed,
                    Ratio = speed / torchSpeed,
                    OursTokensPerProcessorSecond = contender.TokensPerProcessorSecond(shape),
                    TorchTokensPerProcessorSecond = threads?.TokensPerProcessorSecond(shape),
                    AskedGflops = operations.Asked * stepsPerSecond / 1e9,
                    DoneGflops = operations.Done * stepsPerSecond / 1e9,
                    PercentOfPeak = 100 * operations.Done * stepsPerSecond / peaks.Values.Max(),
                    BytesAllocatedPerStep = compute,
                    ActorBytesAllocatedPerStep = actors,
                    OursSecondsPerStep = [.. contender.Turns.Select(t => t.Seconds / t.Steps)],
                });
                if (contender.Workers > 1 && ours.FirstOrDefault(o => o.Workers == 1) is { } one)
                {
                    double speedup = BenchReport.Median(one.Turns.Zip(contender.Turns, (a, b) => a.Seconds / a.Steps * b.Steps / b.Seconds));
                    scaling.Add(new BenchScaling(BenchReport.NameOf(cell), shape.ToString(), contender.Workers, speedup));
                }
            }
        }
        finally
        {
            foreach (Contender contender in ours)
            {
                await contender.Engine!.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Runs until code and buffers are warm, and finds how many steps fill a turn.</summary>
    private async Task WarmUpAsync(Contender contender, BenchCell cell, BenchShape shape, CancellationToken cancellation)
    {
        contender.Turns.Clear(); // PyTorch's processes outlive a case
        if (contender.Torch is { } torch)
        {
            await torch.PrepareAsync(cell, shape, cancellation).ConfigureAwait(false);
        }

        long started = Stopwatch.GetTimestamp();
        TimedSteps timed;
        int steps = 1;
        do
        {
            timed = await contender.RunAsync(steps, cancellation).ConfigureAwait(false);
            steps *= 2;
        }
        while ((steps <= 4 && timed.Seconds < request.Seconds) || (timed.Seconds < request.Seconds / 4 && Stopwatch.GetElapsedTime(started).TotalSeconds < request.Seconds));
        contender.StepsATurn = (int)Math.Clamp(Math.Ceiling(request.Seconds * timed.Steps / timed.Seconds), 1, 1_000_000);
    }

    private sealed class Contender(int workers, bool inProcesses)
    {
        public int Workers { get; } = workers;

        public bool InProcesses { get; } = inProcesses;

        public EngineSteps? Engine { get; init; }

        public TorchSteps? Torch { get; init; }

        public int StepsATurn { get; set; }

        public List<TimedSteps> Turns { get; } = [];

        public Task<TimedSteps> RunAsync(int steps, CancellationToken cancellation)
            => Engine is { } engine ? Task.FromResult(engine.Run(steps)) : Torch!.RunAsync(steps, cancellation);

        public double TokensPerSecond(BenchShape shape) => BenchReport.Median(Turns.Select(t => t.Steps * shape.Tokens / t.Seconds));

        public double TokensPerProcessorSecond(BenchShape shape) => BenchReport.Median(Turns.Select(t => t.Steps * shape.Tokens / t.ProcessorSeconds));
    }
}

/// <summary>What the processor calls itself.</summary>
internal static class ProcessorName
{
    private const string ProcessorInformation = "/proc/cpuinfo";

    /// <summary>Its name, or the architecture where the system doesn't tell.</summary>
    public static string Read()
    {
        if (File.Exists(ProcessorInformation))
        {
            foreach (string line in File.ReadLines(ProcessorInformation))
            {
                if (line.StartsWith("model name", StringComparison.Ordinal))
                {
                    return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
                }
            }
        }

        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
    }
}
