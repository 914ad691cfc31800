// What is known about a running job at this moment: the numbers a progress line shows. It has no clock and writes
// nothing, so that both presenters (a moving line, plain lines) show the same, and tests need no terminal.
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Cli.Output;

/// <summary>The state of a run as its observer sees it.</summary>
public sealed class RunProgress
{
    // The rate is taken over the last few seconds: a run that slows down should show it.
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(5);
    private readonly Queue<(TimeSpan Elapsed, long Tokens, long Step)> _recent = new();
    private long _tokens;

    /// <summary>The run, once it began.</summary>
    public RunStart? Start { get; private set; }

    /// <summary>The last step.</summary>
    public StepReport? Last { get; private set; }

    /// <summary>The last evaluation.</summary>
    public EvaluationReport? Evaluation { get; private set; }

    /// <summary>Targets a second over the last few seconds, 0 before there are two steps.</summary>
    public double TokensPerSecond { get; private set; }

    /// <summary>Time left at the rate of the last few seconds, or null when the end isn't known.</summary>
    public TimeSpan? Remaining { get; private set; }

    /// <summary>The run begins.</summary>
    public void Begin(RunStart start)
    {
        Start = start;
        _recent.Clear();
        _recent.Enqueue((TimeSpan.Zero, 0, start.FirstStep));
        _tokens = 0;
    }

    /// <summary>A step was committed.</summary>
    public void Add(StepReport step)
    {
        Last = step;
        _tokens += step.Tokens;
        _recent.Enqueue((step.Elapsed, _tokens, step.Step));
        while (_recent.Count > 2 && step.Elapsed - _recent.Peek().Elapsed > Window)
        {
            _recent.Dequeue();
        }

        (TimeSpan elapsed, long tokens, long first) = _recent.Peek();
        double seconds = (step.Elapsed - elapsed).TotalSeconds;
        TokensPerSecond = seconds > 0 ? (_tokens - tokens) / seconds : 0;
        Remaining = Start?.TotalSteps is { } total && step.Step > first && seconds > 0
            ? TimeSpan.FromSeconds(Math.Min((total - step.Step) * seconds / (step.Step - first), TimeSpan.MaxValue.TotalSeconds / 2))
            : null;
    }

    /// <summary>The validation data was evaluated.</summary>
    public void Add(EvaluationReport evaluation) => Evaluation = evaluation;

    /// <summary>The line that plain output shows.</summary>
    public string Line()
    {
        if (Last is null)
        {
            return "";
        }

        string step = Start?.TotalSteps is { } total ? $"{Last.Step}/{total}" : $"{Last.Step}";
        string line = $"step {step}  epoch {Last.Epoch.ToString("0.00", System.Globalization.CultureInfo.InvariantCulture)}  loss {Figures.Loss(Last.Loss)}";
        if (Evaluation is not null)
        {
            line += $"  validation {Figures.Loss(Evaluation.Loss)}";
        }

        line += $"  lr {Figures.Rate(Last.LearningRate)}  {Figures.Short(TokensPerSecond)} tokens/s";
        return Remaining is { } left ? line + $"  {Figures.Time(left)} left" : line;
    }
}
