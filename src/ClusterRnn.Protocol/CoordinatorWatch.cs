// What a worker or a server does while there is no coordinator: it says so once, says hello again and again, and gives up
// after a while. It goes on with what it has; whatever comes of it under an old epoch is refused by those who know better.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

/// <summary>Watches the coordinator from the other side.</summary>
internal sealed class CoordinatorWatch
{
    private readonly ActorId _self;
    private readonly ProtocolTimes _times;
    private Instant _heardAt;
    private Instant _waitingSince;
    private bool _said;

    public CoordinatorWatch(ActorId self, ProtocolTimes times)
    {
        _self = self;
        _times = times;
    }

    /// <summary>Whether it has been asked for and has not answered yet.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>When silence has to be noticed, or the wait is over; never where the host sees who is lost.</summary>
    public Instant NextTick
        => _times.HeartbeatTicks == 0 ? Instant.Never : IsWaiting ? _waitingSince + _times.NoCoordinatorTicks : _heardAt + _times.LeaseTicks;

    /// <summary>Nothing has been heard yet.</summary>
    public void Start(Instant now)
    {
        IsWaiting = true;
        _said = true; // the first hello is nothing to talk about
        _heardAt = now;
        _waitingSince = now;
    }

    /// <summary>Something came from the coordinator.</summary>
    public void Heard(Instant now)
    {
        _heardAt = now;
        IsWaiting = false;
        _said = false;
    }

    /// <summary>It is gone, or has been silent for too long.</summary>
    public void Lose(Instant now, string why, EffectList effects)
    {
        if (!IsWaiting)
        {
            IsWaiting = true;
            _waitingSince = now;
        }

        if (!_said)
        {
            _said = true;
            effects.Do(new Notice(NoticeKind.Waiting, _self,
                $"{_self} has no coordinator ({why}) and waits up to {_times.NoCoordinatorTicks / Instant.TicksPerSecond} s for one."));
        }
    }

    /// <summary>Looks at the deadlines.</summary>
    /// <returns>Why to give up, or null.</returns>
    public string? Tick(Instant now, EffectList effects, out bool lostNow)
    {
        lostNow = false;
        if (now < NextTick)
        {
            return null;
        }

        if (IsWaiting)
        {
            return $"No coordinator has answered {_self} for {(now - _waitingSince) / Instant.TicksPerSecond} s. "
                + "Is it running, and does its address lead there? Start it again, then this one.";
        }

        lostNow = true;
        Lose(now, $"silent for {(now - _heardAt) / Instant.TicksPerMillisecond} ms", effects);
        return null;
    }
}
