// Who is measured: our engine with some workers, and PyTorch in processes of its own that live as long as the benchmark.
// All stay warm and take turns, so that whatever else the machine does meets them alike.
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClusterRnn.Node.InProcess;
using ClusterRnn.Training;

namespace ClusterRnn.Cli.Bench;

/// <summary>Our engine in this process, pausable between steps.</summary>
internal sealed class EngineSteps : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly PacedSource _source;
    private readonly Task<RunResult> _run;

    public EngineSteps(TrainingJob job, int workers, int threads = 1)
    {
        _source = new PacedSource(job.Train, Math.Min(workers * threads, job.Shards));
        var options = new EngineOptions
        {
            Workers = workers,
            WorkerThreads = threads,
            Name = "bench",
            DealsEvenly = true, // the same work each time
            SpeculationFloor = TimeSpan.FromDays(1), // a pause is no delay
        };
        _run = Task.Run(() => InProcessEngine.RunAsync(job with { Train = _source }, options, null, _stop.Token));
        _run.ContinueWith(ended => _source.Fail(ended.Exception!), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
    }

    /// <summary>Runs some steps and waits for them.</summary>
    public TimedSteps Run(int steps) => _source.Run(steps);

    /// <summary>Ends the run.</summary>
    /// <returns>What it allocated on the managed heap: compute threads and actors, bytes a step, first steps left out.</returns>
    public async Task<(double Compute, double Actors)> EndAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _source.Open();
        using RunResult result = await _run.ConfigureAwait(false);
        double steps = Math.Max(1, result.Version - 3);
        return (result.ComputeAllocatedBytes / steps, result.ActorAllocatedBytes / steps);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_run.IsCompleted)
        {
            await EndAsync().ConfigureAwait(false);
        }

        _stop.Dispose();
    }
}

/// <summary>PyTorch with some threads, or some processes of one thread each.</summary>
internal sealed class TorchSteps : IDisposable
{
    private const int AnswerSeconds = 300;

    private readonly List<Process> _processes = [];
    private readonly string? _rendezvous;

    private TorchSteps(string python, int threads, int processes)
    {
        string script = Script();
        _rendezvous = processes > 1 ? Path.Combine(Path.GetTempPath(), $"clusterrnn-bench-{Guid.NewGuid():N}") : null;
        for (int rank = 0; rank < processes; rank++)
        {
            var start = new ProcessStartInfo(python) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
            string count = threads.ToString(CultureInfo.InvariantCulture);
            foreach (string argument in new[] { "-c", script, count, rank.ToString(CultureInfo.InvariantCulture), processes.ToString(CultureInfo.InvariantCulture), _rendezvous ?? "" })
            {
                start.ArgumentList.Add(argument);
            }

            // OpenBLAS has threads of its own, and threads that spin while they wait would be two to three times slower.
            foreach (string variable in new[] { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS" })
            {
                start.Environment[variable] = count;
            }

            start.Environment["OMP_WAIT_POLICY"] = "PASSIVE";
            Process process = Process.Start(start) ?? throw new IOException($"{python} did not start.");
            process.ErrorDataReceived += static (_, _) => { }; // read, so that it can't fill up
            process.BeginErrorReadLine();
            _processes.Add(process);
        }
    }

    /// <summary>PyTorch's version.</summary>
    public string Version { get; private set; } = "";

    /// <summary>The library behind its products.</summary>
    public string Blas { get; private set; } = "";

    /// <summary>Whether its products are the plain reference implementation, beside which anything looks fast.</summary>
    public bool HasSlowProducts => Blas.Contains("libblas", StringComparison.Ordinal) && !Blas.Contains("openblas", StringComparison.Ordinal) && !Blas.Contains("mkl", StringComparison.Ordinal);

    /// <summary>The first Python that has torch, or null.</summary>
    /// <param name="asked">The only one to try, or null.</param>
    public static string? FindPython(string? asked)
    {
        foreach (string python in asked is null ? new[] { "python3", "/usr/bin/python3", "python" } : [asked])
        {
            try
            {
                using Process? process = Process.Start(new ProcessStartInfo(python, ["-c", "import torch"]) { RedirectStandardError = true, RedirectStandardOutput = true });
                if (process is null)
                {
                    continue;
                }

                process.ErrorDataReceived += static (_, _) => { };
                process.BeginErrorReadLine();
                if (!process.WaitForExit(TimeSpan.FromMinutes(1)))
                {
                    process.Kill();
                }
                else if (process.ExitCode == 0)
                {
                    return python;
                }
            }
            catch (Win32Exception)
            {
                // There is no such program: try the next.
            }
        }

        return null;
    }

    /// <summary>Starts PyTorch.</summary>
    public static async Task<TorchSteps> StartAsync(string python, int threads, int processes, CancellationToken cancellation)
    {
        var torch = new TorchSteps(python, threads, processes);
        try
        {
            foreach (Process process in torch._processes)
            {
                JsonNode hello = await ReadAsync(process, cancellation).ConfigureAwait(false);
                torch.Version = (string?)hello["torch"] ?? "";
                torch.Blas = (string?)hello["blas"] ?? "";
            }

            return torch;
        }
        catch
        {
            torch.Dispose();
            throw;
        }
    }

    /// <summary>Prepares a case.</summary>
    public Task PrepareAsync(BenchCell cell, BenchShape shape, CancellationToken cancellation) => AskAsync(
        new JsonObject
        {
            ["op"] = "case",
            ["cell"] = BenchReport.NameOf(cell),
            ["batch"] = shape.Batch,
            ["span"] = shape.Span,
            ["input"] = shape.Input,
            ["hidden"] = shape.Hidden,
            ["classes"] = shape.Classes,
            ["layers"] = shape.Layers,
            ["bidirectional"] = shape.Bidirectional,
            ["lengths"] = new JsonArray([.. Enumerable.Range(0, shape.Batch).Select(row => JsonValue.Create(shape.LengthOf(row)))]),
        },
        cancellation);

    /// <summary>Runs some steps and waits for them.</summary>
    public async Task<TimedSteps> RunAsync(int steps, CancellationToken cancellation)
    {
        JsonNode[] answers = await AskAsync(new JsonObject { ["op"] = "run", ["steps"] = steps }, cancellation).ConfigureAwait(false);
        return new TimedSteps(answers.Max(a => (double)a["seconds"]!), answers.Sum(a => (double)a["processorSeconds"]!), steps);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited)
            {
                process.StandardInput.Close(); // ends its loop
                if (!process.WaitForExit(TimeSpan.FromSeconds(3)))
                {
                    process.Kill();
                }
            }

            process.Dispose();
        }

        if (_rendezvous is not null)
        {
            File.Delete(_rendezvous);
        }
    }

    private static string Script()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("ClusterRnn.Cli.Bench.torch_step.py")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static async Task<JsonNode> ReadAsync(Process process, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(TimeSpan.FromSeconds(AnswerSeconds));
        try
        {
            string line = await process.StandardOutput.ReadLineAsync(limit.Token).ConfigureAwait(false)
                ?? throw new IOException("PyTorch ended unexpectedly; --no-torch measures without it.");
            return JsonNode.Parse(line)!;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"PyTorch did not answer within {AnswerSeconds} seconds; --no-torch measures without it.");
        }
        catch (JsonException error)
        {
            throw new IOException($"PyTorch answered something else than a result: {error.Message}");
        }
    }

    private async Task<JsonNode[]> AskAsync(JsonObject command, CancellationToken cancellation)
    {
        string line = command.ToJsonString();
        foreach (Process process in _processes)
        {
            await process.StandardInput.WriteLineAsync(line.AsMemory(), cancellation).ConfigureAwait(false);
            await process.StandardInput.FlushAsync(cancellation).ConfigureAwait(false);
        }

        var answers = new JsonNode[_processes.Count];
        for (int i = 0; i < answers.Length; i++)
        {
            answers[i] = await ReadAsync(_processes[i], cancellation).ConfigureAwait(false);
        }

        return answers;
    }
}
