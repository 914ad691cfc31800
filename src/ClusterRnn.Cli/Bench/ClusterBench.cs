// How much faster two worker processes are than one: the tcp engine with real processes, one server, no checkpoints.
//
// Contenders take turns. Each turn starts a cluster anew, lets it run until everyone has joined and code is warm, then counts
// the steps of some seconds; beside the time that passed it reads the processor time of all processes, which other programs on
// the machine disturb less. PyTorch's processes (gloo, one thread each) live on from turn to turn.
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using ClusterRnn.Cli.Commands;
using ClusterRnn.Cli.Output;
using ClusterRnn.Engines.Tcp;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Node;
using ClusterRnn.Training;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Bench;

/// <summary>Measures clusters of processes on this machine.</summary>
internal static class ClusterBench
{
    private const int StepsPerPass = 16;
    private static readonly TimeSpan s_warmUp = TimeSpan.FromSeconds(4); // a process that starts late has joined by then

    /// <summary>Runs all contenders and writes a table a shape.</summary>
    /// <param name="terminal">Where to.</param>
    /// <param name="cells">The cells.</param>
    /// <param name="shapes">The sizes; classes are those of the generated text.</param>
    /// <param name="workers">Numbers of workers; the first is what the others are held against.</param>
    /// <param name="repetitions">Turns of each contender.</param>
    /// <param name="seconds">How long a turn is measured.</param>
    /// <param name="python">The Python with torch, or null.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task RunAsync(
        Terminal terminal, IReadOnlyList<BenchCell> cells, IReadOnlyList<BenchShape> shapes, IReadOnlyList<int> workers, int repetitions, double seconds, string? python, CancellationToken cancellation)
    {
        foreach (BenchCell cell in cells)
        {
            foreach (BenchShape shape in shapes)
            {
                ResolvedJob job = Job(cell, shape);
                int classes = job.Data.InputVocabulary;
                terminal.Say($"{BenchReport.NameOf(cell)} {shape with { Classes = classes }}, {job.Job.Shards} shards, {job.Job.Layout.ParameterCount} parameters");
                List<Contender> contenders = [.. workers.SelectMany(count => Ours(job, count, seconds))];
                using TorchSteps? torch = python is null ? null : await TorchSteps.StartAsync(python, 1, workers[^1], cancellation).ConfigureAwait(false);
                if (torch is not null)
                {
                    await torch.PrepareAsync(cell, shape with { Classes = classes }, cancellation).ConfigureAwait(false);
                    TimedSteps warm = await torch.RunAsync(3, cancellation).ConfigureAwait(false);
                    int steps = (int)Math.Max(1, seconds * warm.Steps / warm.Seconds);
                    contenders.Add(new Contender($"PyTorch {torch.Version}, gloo", workers[^1], async () => Turn.Of(await torch.RunAsync(steps, cancellation).ConfigureAwait(false), shape.Tokens)));
                }

                await MeasureAsync(terminal, contenders, repetitions, cancellation).ConfigureAwait(false);
            }
        }

        IEnumerable<Contender> Ours(ResolvedJob job, int count, double length)
        {
            yield return new Contender("tcp engine", count, () => RunAsync(job, count, ProtocolJob.WorthwhileSegmentBlocks, length, cancellation));
            if (count > 1)
            {
                yield return new Contender("tcp engine, gradients at the end", count, () => RunAsync(job, count, 0, length, cancellation));
            }
        }
    }

    private static async Task MeasureAsync(Terminal terminal, List<Contender> contenders, int repetitions, CancellationToken cancellation)
    {
        for (int repetition = 0; repetition < repetitions; repetition++)
        {
            foreach (Contender contender in contenders)
            {
                cancellation.ThrowIfCancellationRequested();
                contender.Turns.Add(await contender.RunAsync().ConfigureAwait(false));
            }
        }

        Contender first = contenders[0];
        Tables.Write(
            terminal,
            ["engine", "processes", "tokens/s", "times the first", "tokens/processor s", "share of the first"],
            [.. contenders.Select(contender => new[]
            {
                contender.Name,
                contender.Processes.ToString(CultureInfo.InvariantCulture),
                Figures.Short(BenchReport.Median(contender.Turns.Select(turn => turn.TokensPerSecond))),
                BenchReport.Median(contender.Turns.Zip(first.Turns, (turn, one) => turn.TokensPerSecond / one.TokensPerSecond)).ToString("0.00", CultureInfo.InvariantCulture),
                Figures.Short(BenchReport.Median(contender.Turns.Select(turn => turn.TokensPerProcessorSecond))),
                BenchReport.Median(contender.Turns.Zip(first.Turns, (turn, one) => turn.TokensPerProcessorSecond / one.TokensPerProcessorSecond)).ToString("0.00", CultureInfo.InvariantCulture),
            })]);
    }

    private static async Task<Turn> RunAsync(ResolvedJob job, int workers, int leastSegmentBlocks, double seconds, CancellationToken cancellation)
    {
        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var clock = new Clock(TimeSpan.FromSeconds(seconds), enough.Cancel);
        var engine = new TcpEngine(new TcpEngineOptions
        {
            Security = NodeSecurity.OfToken(token),
            Nodes = new LocalNodes(LocalCluster.ThisProgram(), token) { Started = clock.Watch },
            LeastSegmentBlocks = leastSegmentBlocks,
        });
        await engine.RunAsync(new EngineRequest { Job = job, Workers = workers, Servers = 1, Replicas = 1, Observer = clock }, enough.Token).ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        return clock.Turn();
    }

    private static ResolvedJob Job(BenchCell cell, BenchShape shape)
    {
        long characters = (shape.Tokens * StepsPerPass) + 1;
        string text = string.Create(CultureInfo.InvariantCulture, $$"""
            data: { source: sums, characters: {{characters}}, validation: 0 }
            model:
              layers: [{ type: embedding, units: {{shape.Input}} }, { type: {{BenchReport.NameOf(cell)}}, units: {{shape.Hidden}}, layers: {{shape.Layers}} }, dense]
            batch: { size: {{shape.Batch}}, span: {{shape.Span}} }
            clip: { norm: 1 }
            """);
        return ResolvedJob.Open(ConfigLoader.Parse<JobConfig>(text, "bench").Value with { Name = "bench" }, Environment.CurrentDirectory);
    }

    private readonly record struct Turn(double TokensPerSecond, double TokensPerProcessorSecond)
    {
        public static Turn Of(TimedSteps timed, long tokensOfAStep)
            => new(timed.Steps * tokensOfAStep / timed.Seconds, timed.Steps * tokensOfAStep / timed.ProcessorSeconds);
    }

    private sealed record Contender(string Name, int Processes, Func<Task<Turn>> RunAsync)
    {
        public List<Turn> Turns { get; } = [];
    }

    /// <summary>Counts the steps between two moments, and the processor time of everyone who took part.</summary>
    private sealed class Clock(TimeSpan length, Action enough) : IRunObserver
    {
        private readonly Lock _gate = new();
        private readonly List<int> _processes = [Environment.ProcessId];
        private StepReport? _first;
        private StepReport? _begin;
        private StepReport? _end;
        private TimeSpan _processor;
        private long _tokens;

        public void Watch(int process)
        {
            lock (_gate)
            {
                _processes.Add(process);
            }
        }

        public void OnStep(StepReport step)
        {
            _first ??= step;
            if (_end is not null)
            {
                return;
            }

            if (_begin is not { } begin)
            {
                if (step.Elapsed - _first.Elapsed >= s_warmUp)
                {
                    _begin = step;
                    _processor = ProcessorTime();
                }

                return;
            }

            _tokens += step.Tokens;
            if (step.Elapsed - begin.Elapsed >= length)
            {
                _end = step;
                _processor = ProcessorTime() - _processor;
                enough();
            }
        }

        public Turn Turn()
            => _begin is { } begin && _end is { } end
                ? new Turn(_tokens / (end.Elapsed - begin.Elapsed).TotalSeconds, _tokens / _processor.TotalSeconds)
                : throw new TrainingException("The job ended before it was measured: take a larger shape or fewer --seconds.");

        private TimeSpan ProcessorTime()
        {
            lock (_gate)
            {
                TimeSpan total = TimeSpan.Zero;
                foreach (int id in _processes)
                {
                    using var process = Process.GetProcessById(id);
                    total += process.TotalProcessorTime;
                }

                return total;
            }
        }
    }
}
