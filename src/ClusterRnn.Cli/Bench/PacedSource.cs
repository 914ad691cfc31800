// Makes a running engine pausable from outside: workers that read a step which is not permitted yet wait. So several
// engines, and PyTorch, can stay warm side by side and be measured in turn.
using System.Diagnostics;
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;

namespace ClusterRnn.Cli.Bench;

/// <summary>How long some steps took.</summary>
/// <param name="Seconds">By the clock.</param>
/// <param name="ProcessorSeconds">On all cores together.</param>
/// <param name="Steps">How many.</param>
public readonly record struct TimedSteps(double Seconds, double ProcessorSeconds, int Steps);

/// <summary>A source whose readers wait for steps to be permitted.</summary>
/// <param name="inner">Where rows come from.</param>
/// <param name="readers">Who reads each step, once.</param>
internal sealed class PacedSource(IBatchSource inner, int readers) : IBatchSource
{
    private readonly object _gate = new();
    private long _permitted; // steps below it may be read
    private int _waiting;
    private Exception? _failure;

    public int BatchRows => inner.BatchRows;

    public long StepsPerPass => inner.StepsPerPass;

    public long TargetsPerPass => inner.TargetsPerPass;

    public int MaximumTime => inner.MaximumTime;

    public int MaximumTargetTime => inner.MaximumTargetTime;

    public int FeatureWidth => inner.FeatureWidth;

    public int TargetWidth => inner.TargetWidth;

    public bool CarriesState => inner.CarriesState;

    public string DatasetSha256 => inner.DatasetSha256;

    public StepPlan Plan(long version) => inner.Plan(version);

    public void Fill(StepPlan plan, int firstRow, int rows, SpanBatch into)
    {
        if (plan.Version >= Volatile.Read(ref _permitted))
        {
            Wait(plan.Version);
        }

        inner.Fill(plan, firstRow, rows, into);
    }

    /// <summary>Lets so many steps run and waits until all readers ask for the one after. From asking to asking lie whole steps: whatever belongs to a step is in it once.</summary>
    /// <exception cref="InvalidOperationException">The engine failed.</exception>
    public TimedSteps Run(int steps)
    {
        lock (_gate)
        {
            WaitForReaders();
            TimeSpan processor = Environment.CpuUsage.TotalTime;
            long started = Stopwatch.GetTimestamp();
            _waiting = 0;
            Volatile.Write(ref _permitted, _permitted + steps);
            Monitor.PulseAll(_gate);
            WaitForReaders();
            double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            return new TimedSteps(seconds, (Environment.CpuUsage.TotalTime - processor).TotalSeconds, steps);
        }
    }

    /// <summary>Lets everything run from now on.</summary>
    public void Open()
    {
        lock (_gate)
        {
            Volatile.Write(ref _permitted, long.MaxValue);
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Tells whoever waits for readers that there will be none.</summary>
    public void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure = failure;
            Monitor.PulseAll(_gate);
        }
    }

    private void WaitForReaders()
    {
        while (_waiting < readers)
        {
            if (_failure is not null)
            {
                throw new InvalidOperationException("The engine stopped while it was measured.", _failure);
            }

            Monitor.Wait(_gate);
        }
    }

    private void Wait(long version)
    {
        lock (_gate)
        {
            if (version < _permitted)
            {
                return;
            }

            _waiting++;
            Monitor.PulseAll(_gate);
            while (version >= _permitted)
            {
                Monitor.Wait(_gate);
            }
        }
    }
}
