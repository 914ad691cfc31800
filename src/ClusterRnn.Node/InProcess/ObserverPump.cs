using System.Collections.Concurrent;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node.InProcess;

/// <summary>
/// Calls an observer from one thread of its own, in order. It looks for news every few milliseconds, so a step of a small
/// model doesn't pay for waking it. An observer that throws ends the run with its exception.
/// </summary>
internal sealed class ObserverPump : IDisposable
{
    private const int PauseMs = 15;
    private const int LongestBacklog = 4096;

    private readonly IRunObserver _observer;
    private readonly Action<Exception> _failed;
    private readonly ConcurrentQueue<Action<IRunObserver>> _news = new();
    private readonly ManualResetEventSlim _ending = new();
    private readonly ManualResetEventSlim _caughtUp = new(true);
    private readonly Thread _thread;
    private bool _broken;

    public ObserverPump(IRunObserver observer, Action<Exception> failed)
    {
        _observer = observer;
        _failed = failed;
        _thread = new Thread(Run) { IsBackground = true, Name = "observer" };
        _thread.Start();
    }

    /// <summary>Tells the observer something, soon. Waits when it is thousands of steps behind.</summary>
    public void Tell(Action<IRunObserver> news)
    {
        if (_broken)
        {
            return;
        }

        _news.Enqueue(news);
        if (_news.Count > LongestBacklog)
        {
            _caughtUp.Reset();
            _caughtUp.Wait(TimeSpan.FromSeconds(10));
        }
    }

    /// <summary>Tells what is left and ends the thread.</summary>
    public void Dispose()
    {
        _ending.Set();
        _thread.Join();
        _ending.Dispose();
        _caughtUp.Dispose();
    }

    private void Run()
    {
        bool last;
        do
        {
            last = _ending.Wait(PauseMs);
            while (!_broken && _news.TryDequeue(out Action<IRunObserver>? news))
            {
                try
                {
                    news(_observer);
                }
                catch (Exception e)
                {
                    _broken = true;
                    _news.Clear();
                    _failed(e);
                }
            }

            _caughtUp.Set();
        }
        while (!last);
    }
}
