namespace ClusterRnn.Protocol;

/// <summary>
/// Who has been heard from. Silence beyond what was observed makes an actor suspect (its work is given to others as
/// well), silence beyond the lease evicts it. Neither is needed for safety: receivers refuse what is stale.
/// </summary>
public sealed class Membership
{
    private readonly ProtocolTimes _times;
    private readonly SortedList<ActorId, Entry> _entries = [];

    /// <summary>Nobody is there yet.</summary>
    public Membership(ProtocolTimes times) => _times = times;

    /// <summary>Whether silence means anything: a host that sees losses itself needs no heartbeats.</summary>
    public bool Watches => _times.HeartbeatTicks > 0;

    /// <summary>An actor is there from now on.</summary>
    public void Add(ActorId actor, Instant now) => _entries[actor] = new Entry { LastHeard = now };

    /// <summary>An actor is no longer watched.</summary>
    public void Remove(ActorId actor) => _entries.Remove(actor);

    /// <summary>Something came from the actor.</summary>
    public void Heard(ActorId actor, Instant now)
    {
        if (_entries.TryGetValue(actor, out Entry? entry))
        {
            entry.Gap.Add(now - entry.LastHeard);
            entry.LastHeard = now;
        }
    }

    /// <summary>Whether the actor is silent for longer than its usual gaps.</summary>
    public bool IsSuspect(ActorId actor, Instant now)
        => Watches && _entries.TryGetValue(actor, out Entry? entry) && now > SuspectAt(entry);

    /// <summary>Whether the actor's lease is over.</summary>
    public bool IsExpired(ActorId actor, Instant now)
        => Watches && _entries.TryGetValue(actor, out Entry? entry) && now - entry.LastHeard > _times.LeaseTicks;

    /// <summary>How long the actor has been silent, in ticks.</summary>
    public long Silence(ActorId actor, Instant now)
        => _entries.TryGetValue(actor, out Entry? entry) ? now - entry.LastHeard : 0;

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
                Instant due = suspect >= now ? suspect : entry.LastHeard + _times.LeaseTicks;
                next = Instant.Earlier(next, due + 1);
            }
        }

        return next;
    }

    private Instant SuspectAt(Entry entry)
    {
        long usual = Math.Max(2 * _times.HeartbeatTicks, entry.Gap.Count == 0 ? 0 : 2 * entry.Gap.Expected);
        return entry.LastHeard + Math.Min(usual, _times.LeaseTicks / 2);
    }

    private sealed class Entry
    {
        public Instant LastHeard;
        public ObservedTime Gap;
    }
}
