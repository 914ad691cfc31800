// How long a node's heartbeats took to the coordinator and back: the delay that a control message meets, whatever blocks
// and products go on beside it. Said when the node ends.
using System.Diagnostics;
using System.Globalization;

namespace ClusterRnn.Engines.Tcp.Nodes;

/// <summary>The times of a node's heartbeats, each until its answer.</summary>
internal sealed class HeartbeatTimes
{
    private const int Kept = 4096;

    private readonly long[] _times = new long[Kept]; // stopwatch ticks, of the last ones
    private readonly Lock _gate = new();
    private long _count;
    private long _sentAt; // 0: no heartbeat awaits its answer

    /// <summary>A heartbeat goes out.</summary>
    public void Sent()
    {
        lock (_gate)
        {
            _sentAt = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>An answer is here.</summary>
    public void Answered()
    {
        lock (_gate)
        {
            if (_sentAt != 0)
            {
                _times[_count++ % Kept] = Stopwatch.GetTimestamp() - _sentAt;
                _sentAt = 0;
            }
        }
    }

    /// <summary>What to say of them; null if there were none.</summary>
    public string? Summary()
    {
        lock (_gate)
        {
            if (_count == 0)
            {
                return null;
            }

            long[] ordered = [.. _times.AsSpan(0, (int)Math.Min(_count, Kept))];
            Array.Sort(ordered);
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{_count} heartbeats were answered, half within {Milliseconds(50)} ms, 99 % within {Milliseconds(99)} ms, the slowest after {Milliseconds(100)} ms");

            string Milliseconds(int percent)
            {
                long ticks = ordered[Math.Max(0, ((ordered.Length * percent) + 99) / 100 - 1)];
                return (ticks * 1000.0 / Stopwatch.Frequency).ToString("0.0", CultureInfo.InvariantCulture);
            }
        }
    }
}
