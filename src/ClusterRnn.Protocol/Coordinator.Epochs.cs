// How a coordinator takes over: claim the epoch, hear every owner out, adopt the highest verdict.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void Claim(Instant now, EffectList effects)
    {
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is null)
            {
                effects.Send(range.Owner, new ClaimEpoch(_epoch, _map));
            }

            if (range.Replica is { } replica && _replicaAccepted[range.Range] is null)
            {
                effects.Send(replica, new ClaimEpoch(_epoch, _map));
            }
        }

        _claimRetryAt = now + Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_phaseAttempts++, 16));
    }

    private string MissingOwners()
    {
        var names = new List<string>();
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is null)
            {
                names.Add(range.Owner.ToString());
            }

            if (range.Replica is { } replica && _replicaAccepted[range.Range] is null)
            {
                names.Add(replica.ToString());
            }
        }

        return string.Join(", ", names);
    }

    private void OnServerHello(ActorId from, ServerHello hello, EffectList effects)
    {
        if (hello.ProtocolVersion != Limits.ProtocolVersion || hello.JobId != _shape.JobId)
        {
            effects.Send(from, new Refused(
                $"The coordinator runs job {_shape.JobId} with protocol {Limits.ProtocolVersion}, this server job {hello.JobId} with protocol {hello.ProtocolVersion}."));
            return;
        }

        effects.Send(from, new ClaimEpoch(_epoch, _map));
    }

    private void OnEpochAccepted(ActorId from, EpochAccepted accepted, Instant now, EffectList effects)
    {
        if (accepted.Epoch != _epoch || _phase != Phase.Claiming)
        {
            return;
        }

        foreach (HeldRange held in accepted.Held)
        {
            RangeOwner of = _map.Ranges[held.Range];
            if (of.Owner == from)
            {
                _accepted[held.Range] = accepted;
                _appliedVersion[held.Range] = held.Version;
                _membership.Add(from, now);
            }
            else if (of.Replica == from)
            {
                _replicaAccepted[held.Range] = accepted;
                _replicaVersion[held.Range] = held.Version;
            }
        }

        long reached = 0;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_accepted[range.Range] is null || (range.Replica is not null && _replicaAccepted[range.Range] is null))
            {
                return;
            }

            reached = Math.Max(reached, Math.Max(_appliedVersion[range.Range], _replicaVersion[range.Range]));
            Adopt(_accepted[range.Range]!.Last);
            Adopt(_replicaAccepted[range.Range]?.Last);
        }

        if (_verdict is { } adopted && adopted.Step + 1 >= reached)
        {
            reached = adopted.Step + 1;
            if (!adopted.PolicyState.IsEmpty)
            {
                _policy.Restore(adopted.PolicyState);
            }
        }

        Version = reached;
        foreach (RangeOwner range in _map.Ranges)
        {
            long lowest = range.Replica is null ? _appliedVersion[range.Range] : Math.Min(_appliedVersion[range.Range], _replicaVersion[range.Range]);
            if (lowest < reached && (_verdict is null || lowest != _verdict.Step))
            {
                End(now, effects, failed: true,
                    $"Range {range.Range} ({range.Owner}) is at step {lowest}, others at {reached}: it has to be restored from a checkpoint.");
                return;
            }
        }

        _claimRetryAt = Instant.Never;
        SendVerdict(now, effects, again: false);
        Advance(now, effects);
    }

    private void Adopt(Verdict? last)
    {
        if (last is not null && (_verdict is null || last.Step > _verdict.Step))
        {
            _verdict = last;
        }
    }
}
