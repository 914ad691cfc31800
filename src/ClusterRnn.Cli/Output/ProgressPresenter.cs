using System.Globalization;
using ClusterRnn.Training.Runs;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace ClusterRnn.Cli.Output;

/// <summary>Shows a run while it goes on: a moving line in a terminal, plain lines elsewhere, nothing when quiet.</summary>
public static class ProgressPresenter
{
    /// <summary>Runs <paramref name="run"/> with an observer that shows its progress on <paramref name="terminal"/>.</summary>
    public static async Task<T> ShowAsync<T>(Terminal terminal, Func<IRunObserver, Task<T>> run)
    {
        if (terminal.Verbosity == Verbosity.Quiet)
        {
            return await run(new QuietObserver(terminal)).ConfigureAwait(false);
        }

        if (!terminal.IsInteractive || terminal.Verbosity == Verbosity.Verbose)
        {
            return await run(new LineObserver(terminal)).ConfigureAwait(false);
        }

        return await new MovingLine(terminal).ShowAsync(run).ConfigureAwait(false);
    }

    private sealed class QuietObserver(Terminal terminal) : IRunObserver
    {
        public void OnNotice(string message) => terminal.Warn(message);
    }
}

/// <summary>Plain lines: at most one every two seconds of the run, every step when verbose.</summary>
public sealed class LineObserver(Terminal terminal) : IRunObserver
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);
    private readonly RunProgress _progress = new();
    private TimeSpan _next = TimeSpan.Zero;

    /// <inheritdoc/>
    public void OnStart(RunStart start)
    {
        _progress.Begin(start);
        terminal.Say(Describe(start));
    }

    /// <inheritdoc/>
    public void OnStep(StepReport step)
    {
        _progress.Add(step);
        if (terminal.Verbosity == Verbosity.Verbose || step.Elapsed >= _next || step.Step == _progress.Start?.TotalSteps)
        {
            _next = step.Elapsed + Interval;
            terminal.Say(_progress.Line());
        }
    }

    /// <inheritdoc/>
    public void OnEvaluation(EvaluationReport evaluation)
    {
        _progress.Add(evaluation);
        string metrics = string.Concat(evaluation.Metrics.Select(m => $"  {m.Key} {Figures.Loss(m.Value)}"));
        terminal.Say($"step {evaluation.Step}  validation loss {Figures.Loss(evaluation.Loss)}{metrics}{(evaluation.IsBest ? "  (best)" : "")}");
    }

    /// <inheritdoc/>
    public void OnCheckpoint(long step, string folder)
    {
        if (terminal.Verbosity == Verbosity.Verbose)
        {
            terminal.Say($"step {step}  checkpoint {folder}");
        }
    }

    /// <inheritdoc/>
    public void OnNotice(string message) => terminal.Warn(message);

    /// <inheritdoc/>
    public void OnInformation(string message) => terminal.Say(message);

    /// <summary>The run in one line.</summary>
    internal static string Describe(RunStart start)
    {
        string from = start.FirstStep > 0 ? $", going on from step {start.FirstStep}" : "";
        string workers = start.Workers == 1 ? "1 worker" : $"{start.Workers} workers";
        string servers = start.Servers == 1 ? "1 server" : $"{start.Servers} servers";
        return $"{start.Name}: {Figures.Count(start.Parameters)} parameters, {workers}, {servers}, {start.Shards} shards, {start.Engine} engine{from}";
    }
}

/// <summary>One moving line with a bar.</summary>
internal sealed class MovingLine(Terminal terminal) : IRunObserver
{
    private readonly RunProgress _progress = new();
    private readonly Lock _lock = new();
    private ProgressTask? _task;

    public async Task<T> ShowAsync<T>(Func<IRunObserver, Task<T>> run) =>
        await terminal.Error.Progress()
            .AutoClear(false)
            .HideCompleted(false)
            .Columns(
                new ProgressBarColumn { Width = 24 },
                new FigureColumn(this, p => p.Last is null ? "" : p.Start?.TotalSteps is { } total ? $"step {p.Last.Step}/{total}" : $"step {p.Last.Step}, epoch {p.Last.Epoch.ToString("0.0", CultureInfo.InvariantCulture)}"),
                new FigureColumn(this, p => p.Last is null ? "" : $"loss {Figures.Loss(p.Last.Loss)}"),
                new FigureColumn(this, p => p.Evaluation is null ? "" : $"validation {Figures.Loss(p.Evaluation.Loss)}"),
                new FigureColumn(this, p => p.Last is null ? "" : $"{Figures.Short(p.TokensPerSecond)} tokens/s"),
                new FigureColumn(this, p => p.Remaining is { } left ? $"{Figures.Time(left)} left" : ""))
            .StartAsync(async context =>
            {
                _task = context.AddTask("run", autoStart: true);
                _task.IsIndeterminate = true;
                T result = await run(this).ConfigureAwait(false);
                _task.StopTask();
                return result;
            }).ConfigureAwait(false);

    public void OnStart(RunStart start)
    {
        lock (_lock)
        {
            _progress.Begin(start);
        }

        terminal.Error.WriteLine(LineObserver.Describe(start));
        if (_task is not null && start.TotalSteps is { } total)
        {
            _task.IsIndeterminate = false;
            _task.MaxValue = Math.Max(1, total);
            _task.Value = start.FirstStep;
        }
    }

    public void OnStep(StepReport step)
    {
        lock (_lock)
        {
            _progress.Add(step);
        }

        if (_task is { IsIndeterminate: false })
        {
            _task.Value = step.Step;
        }
    }

    public void OnEvaluation(EvaluationReport evaluation)
    {
        lock (_lock)
        {
            _progress.Add(evaluation);
        }
    }

    public void OnNotice(string message) => terminal.Warn(message);

    public void OnInformation(string message) => terminal.Say(message);

    private string Read(Func<RunProgress, string> figure)
    {
        lock (_lock)
        {
            return figure(_progress);
        }
    }

    private sealed class FigureColumn(MovingLine line, Func<RunProgress, string> figure) : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) => new Text(line.Read(figure));
    }
}
