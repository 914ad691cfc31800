using System.Collections.Concurrent;
using ClusterRnn.Training;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node;

/// <summary>
/// Calls an observer from one thread of its own, in order. It looks for news every few milliseconds, so a step of a small
/// model doesn't pay for waking it. An observer that throws ends the run, and so does one that doesn't come back.
/// </summary>
public sealed class ObserverPump : IDisposable
{
    private const int PauseMs = 15;
    private const int LongestBacklog = 4096;

    private static readonly TimeSpan s_longestCall = TimeSpan.FromSeconds(60);

    private readonly IRunObserver _observer;
    private readonly Action<Exception> _failed;
    private readonly ConcurrentQueue<Action<IRunObserver>> _news = new();
    private readonly ManualResetEventSlim _wanted = new(); // sooner than it would look by itself
    private readonly ManualResetEventSlim _caughtUp = new(true);
    private readonly Thread _thread;
    private long _told;
    private volatile bool _broken;
    private volatile bool _ending;

    /// <summary>Starts the thread.</summary>
    /// <param name="observer">Is told.</param>
    /// <param name="failed">Is told what the observer threw, or that it does not come back.</param>
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
            long told = Volatile.Read(ref _told);
            if (!_caughtUp.Wait(s_longestCall) && Volatile.Read(ref _told) == told)
            {
                GiveUp();
            }
        }
    }

    /// <summary>Tells the observer something and waits until it has heard that and everything before.</summary>
    public void TellNow(Action<IRunObserver> news)
    {
        var heard = new ManualResetEventSlim(); // never disposed of: Set may still be returning when this goes on
        Tell(observer =>
        {
            try
            {
                news(observer);
            }
            finally
            {
                heard.Set();
            }
        });
        _wanted.Set();
        // An observer that throws ends the run; nobody hears anything after it.
        long told = Volatile.Read(ref _told);
        for (long since = Environment.TickCount64; !_broken && !heard.Wait(PauseMs);)
        {
            if (Volatile.Read(ref _told) != told)
            {
                told = Volatile.Read(ref _told);
                since = Environment.TickCount64;
            }
            else if (Environment.TickCount64 - since > s_longestCall.TotalMilliseconds)
            {
                GiveUp();
            }
        }
    }

    /// <summary>Tells what is left and ends the thread.</summary>
    public void Dispose()
    {
        _ending = true;
        _wanted.Set();
        for (long told = -1; !_thread.Join(s_longestCall);)
        {
            if (Volatile.Read(ref _told) == told)
            {
                GiveUp();
                return; // what its thread may still touch is left to it
            }

            told = Volatile.Read(ref _told);
        }

        _wanted.Dispose();
        _caughtUp.Dispose();
    }

    private void GiveUp()
    {
        if (!_broken)
        {
            _broken = true;
            _failed(new TrainingException($"An observer ({_observer.GetType().Name}) has not come back for {s_longestCall.TotalSeconds} s."));
        }
    }

    private void Run()
    {
        bool last;
        do
        {
            _wanted.Wait(PauseMs);
            last = _ending;
            _wanted.Reset();
            while (!_broken && _news.TryDequeue(out Action<IRunObserver>? news))
            {
                try
                {
                    news(_observer);
                    _told++;
                }
                catch (Exception e)
                {
                    _broken = true;
                    _news.Clear();
                    _failed(new TrainingException($"An observer failed: {e.Message}", e));
                }
            }

            _caughtUp.Set();
        }
        while (!last);
    }
}
