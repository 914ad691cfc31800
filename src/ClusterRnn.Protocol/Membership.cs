// Who has been heard from.
//
// Suspicion is phi accrual (Hayashibara, Défago, Yared, Katayama, "The phi accrual failure detector", SRDS 2004): the gaps
// between arrivals are taken as normally distributed, and an actor is suspect when a gap as long as the present silence would
// have a probability of 10^-8. For a normal distribution phi = 8 is 5.612 deviations above the mean, whatever these are, so that
// no logarithm has to be computed: whole numbers only.
//
// A suspect's work is given to others as well; silence beyond the lease evicts it. Neither is needed for safety: receivers
// refuse what is stale.
namespace ClusterRnn.Protocol;

/// <summary>Watches actors by the times at which something came from them.</summary>
public sealed class Membership
{
    private const int Window = 128; // gaps that are remembered
    private const long LongestGap = 1L << 26; // 67 s: the sums below stay far from overflowing
    private const long PhiThousandths = 5_612; // deviations above the mean at phi = 8

    private readonly ProtocolTimes _times;
    private readonly SortedList<ActorId, Entry> _entries = [];
    private Instant _lookAt = Instant.Never; // when the host was asked to look again

    /// <summary>Nobody is there yet.</summary>
    public Membership(ProtocolTimes times) => _times = times;

    /// <summary>Whether silence means anything: a host that sees losses itself needs no heartbeats.</summary>
    public bool Watches => _times.HeartbeatTicks > 0;

    /// <summary>An actor is there from now on.</summary>
    public void Add(ActorId actor, Instant now) => _entries[actor] = new Entry(_times.HeartbeatTicks) { LastHeard = now };

    /// <summary>An actor is no longer watched.</summary>
    public void Remove(ActorId actor) => _entries.Remove(actor);

    /// <summary>Something came from the actor.</summary>
    public void Heard(ActorId actor, Instant now)
    {
        if (Watches && _entries.TryGetValue(actor, out Entry? entry))
        {
            // A gap shorter than that of heartbeats says that it was busy sending, not that it will always be.
            // Several messages at once are one arrival.
            long gap = now - entry.LastHeard;
            if (gap >= _times.HeartbeatTicks / 2)
            {
                entry.Add(Math.Clamp(gap, _times.HeartbeatTicks, LongestGap));
            }

            entry.LastHeard = now;
        }
    }

    /// <summary>
    /// Whoever watches was itself not running: it looks later than it asked to. What the others sent meanwhile may still lie in
    /// its mailbox, so the time it lost counts for nobody.
    /// </summary>
    public void Wake(Instant now)
    {
        if (_lookAt < now && now - _lookAt > _times.HeartbeatTicks)
        {
            long lost = now - _lookAt;
            for (int i = 0; i < _entries.Count; i++)
            {
                Entry entry = _entries.GetValueAtIndex(i);
                entry.LastHeard = Instant.Earlier(now, entry.LastHeard + lost);
            }
        }

        _lookAt = Instant.Never;
    }

    /// <summary>Whether the actor is silent for longer than its usual gaps.</summary>
    public bool IsSuspect(ActorId actor, Instant now)
        => Watches && _entries.TryGetValue(actor, out Entry? entry) && now > SuspectAt(entry);

    /// <summary>Whether the actor's lease is over.</summary>
    public bool IsExpired(ActorId actor, Instant now)
        => Watches && _entries.TryGetValue(actor, out Entry? entry) && now > ExpiresAt(entry);

    /// <summary>How long the actor has been silent, in ticks.</summary>
    public long Silence(ActorId actor, Instant now)
        => _entries.TryGetValue(actor, out Entry? entry) ? now - entry.LastHeard : 0;

    /// <summary>After how much silence the actor becomes suspect, in ticks; <see cref="long.MaxValue"/> when it is not watched.</summary>
    public long SuspectAfter(ActorId actor)
        => Watches && _entries.TryGetValue(actor, out Entry? entry) ? SuspectAt(entry) - entry.LastHeard : long.MaxValue;

    /// <summary>When somebody becomes suspect or expires next.</summary>
    public Instant NextTick(Instant now)
    {
        Instant next = Instant.Never;
        if (Watches)
        {
            for (int i = 0; i < _entries.Count; i++)
            {
                Entry entry = _entries.GetValueAtIndex(i);
                Instant suspect = SuspectAt(entry);
                Instant due = suspect >= now ? suspect : ExpiresAt(entry);
                next = Instant.Earlier(next, due + 1);
            }

            _lookAt = next;
        }

        return next;
    }

    /// <summary>Mean + 5.6 deviations, a deviation counting as an eighth of a heartbeat at least, and one heartbeat that may be lost.</summary>
    private Instant SuspectAt(Entry entry)
    {
        long deviation = Math.Max(entry.Deviation, _times.HeartbeatTicks / 8);
        return entry.LastHeard + Math.Min(entry.Mean + (deviation * PhiThousandths / 1000) + _times.HeartbeatTicks, LongestGap);
    }

    /// <summary>The lease, or twice the silence that makes suspect where heartbeats come that irregularly.</summary>
    private Instant ExpiresAt(Entry entry)
    {
        long suspect = SuspectAt(entry) - entry.LastHeard;
        return entry.LastHeard + Math.Max(_times.LeaseTicks, 2 * suspect);
    }

    private sealed class Entry
    {
        private readonly long[] _gaps = new long[Window];
        private int _next;
        private int _count;
        private long _sum;
        private long _squares; // of gaps / 16: at most 2^44 each

        public Entry(long heartbeat)
        {
            Mean = heartbeat;
            Deviation = heartbeat / 4; // before anything is observed
        }

        public Instant LastHeard { get; set; }

        public long Mean { get; private set; }

        public long Deviation { get; private set; }

        public void Add(long gap)
        {
            if (_count == Window)
            {
                long old = _gaps[_next];
                _sum -= old;
                _squares -= (old >> 4) * (old >> 4);
            }
            else
            {
                _count++;
            }

            _gaps[_next] = gap;
            _next = (_next + 1) % Window;
            _sum += gap;
            _squares += (gap >> 4) * (gap >> 4);
            if (_count >= 4)
            {
                long mean = _sum / _count;
                long variance = (_squares / _count) - ((mean >> 4) * (mean >> 4));
                Mean = mean;
                Deviation = SquareRoot(Math.Max(0, variance)) << 4;
            }
        }

        /// <summary>The largest whole number whose square does not exceed <paramref name="value"/>.</summary>
        private static long SquareRoot(long value)
        {
            long root = 0;
            for (long bit = 1L << 30; bit > 0; bit >>= 1)
            {
                long candidate = root + bit;
                if (candidate * candidate <= value)
                {
                    root = candidate;
                }
            }

            return root;
        }
    }
}
