// Who owns what: servers that join, leave and are lost; promotion, refill, handover.
//
// The map changes only here. It is written to the journal, then told to servers (as a claim) and workers (as a welcome).
// Nobody waits for them to hear of it: whoever acts by the old map is refused by its fence, and asks.
using System.Collections.Immutable;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private readonly SortedList<ActorId, bool> _gone = []; // lost while the epoch was being claimed
    private readonly long[] _filledFence;
    private readonly bool[] _refilling;
    private Instant _fillSince;
    private string? _lastServerLoss;

    private void OnServerHello(ActorId from, ServerHello hello, Instant now, EffectList effects)
    {
        if (hello.ProtocolVersion != Limits.ProtocolVersion || hello.JobId != _shape.JobId)
        {
            effects.Send(from, new Refused(
                $"The coordinator runs job {_shape.JobId} with protocol {Limits.ProtocolVersion}, this server job {hello.JobId} with protocol {hello.ProtocolVersion}."));
            return;
        }

        if (_plan is null)
        {
            effects.Send(from, new ClaimEpoch(_epoch, _map));
            return;
        }

        if (!_servers.ContainsKey(from))
        {
            if (_servers.Count >= Limits.MaximumRanges)
            {
                effects.Send(from, new Refused($"The job has {Limits.MaximumRanges} servers already."));
                return;
            }

            _servers.Add(from, new ServerEntry());
            _gone.Remove(from);
            _membership.Add(from, now);
            effects.Do(new Notice(NoticeKind.Joined, from, $"{from} joined."));
        }

        if (_phase is Phase.Gathering or Phase.Restoring)
        {
            SayAlive(from, effects); // claimed when there is something to give
            DealWhenGathered(now, effects);
        }
        else
        {
            effects.Send(from, new ClaimEpoch(_epoch, _map));
        }
    }

    private void OnServerHeartbeat(ActorId from, Heartbeat heartbeat, EffectList effects)
    {
        if (!_servers.TryGetValue(from, out ServerEntry? server))
        {
            if (_plan is not null)
            {
                effects.Send(from, new Rejoin(_epoch));
            }

            return;
        }

        Counters.RefusedMessages += Math.Max(0, heartbeat.Refused - server.Refused);
        server.Refused = Math.Max(server.Refused, heartbeat.Refused);
        SayAlive(from, effects);
        if (!HasAccepted(from) && _phase is not (Phase.Gathering or Phase.Restoring))
        {
            effects.Send(from, new ClaimEpoch(_epoch, _map));
        }
    }

    private void OnServerLeave(ActorId from, Instant now, EffectList effects)
    {
        if (!_servers.TryGetValue(from, out ServerEntry? server))
        {
            effects.Send(from, new Released(_epoch));
            return;
        }

        if (_plan is null)
        {
            return; // a fixed map needs it
        }

        if (!server.Draining)
        {
            server.Draining = true;
            effects.Do(new Notice(NoticeKind.Waiting, from, AvailableServers() > 0
                ? $"{from} leaves when others have its ranges."
                : $"{from} is to leave, and there is no other server: it is waited for until one joins."));
        }

        SayAlive(from, effects);
        if (!HasAccepted(from) && _phase is not (Phase.Gathering or Phase.Restoring))
        {
            effects.Send(from, new ClaimEpoch(_epoch, _map));
        }

        ReleaseDrainedServers(effects);
        _ = now;
    }

    private void ReleaseDrainedServers(EffectList effects)
    {
        for (int i = _servers.Count - 1; i >= 0; i--)
        {
            ActorId server = _servers.GetKeyAtIndex(i);
            if (_servers.GetValueAtIndex(i).Draining && CopiesOf(server, ownedOnly: false) == 0)
            {
                _servers.RemoveAt(i);
                _membership.Remove(server);
                Counters.Leaves++;
                effects.Do(new Notice(NoticeKind.Left, server, $"{server} left."));
                effects.Send(server, new Released(_epoch));
            }
        }
    }

    private void NoteLostServer(ActorId server, string reason, EffectList effects)
    {
        Counters.LostServers++;
        _lastServerLoss = $"{server} is lost: {reason}";
        effects.Do(new Notice(NoticeKind.Lost, server, _lastServerLoss));
    }

    private void LoseServer(ActorId server, string reason, Instant now, EffectList effects)
    {
        // One that is waited for and will not come back need not have come: its lease is not waited for either.
        bool isAwaited = _phase == Phase.Claiming && _plan is not null && !_gone.ContainsKey(server) && MappedServers().Contains(server);
        if (!_servers.Remove(server) && !isAwaited)
        {
            return;
        }

        _membership.Remove(server);
        NoteLostServer(server, reason, effects);
        switch (_phase)
        {
            case Phase.Gathering or Phase.Restoring or Phase.Ended:
                break;
            case Phase.Claiming when _plan is not null:
                _gone[server] = true;
                foreach (ActorId mapped in MappedServers())
                {
                    if (!HasAccepted(mapped) && !_gone.ContainsKey(mapped))
                    {
                        return;
                    }
                }

                Establish(now, effects);
                break;
            default:
                if (RepairMap(now, effects) && _phase != Phase.Ended)
                {
                    FillRanges(now, effects);
                }

                break;
        }
    }

    /// <summary>
    /// Gives ranges whose owner is not there any more to their replica, or, where nothing was lost by it, to another server.
    /// </summary>
    /// <returns>False when the job goes back, ends, or waits for servers.</returns>
    private bool RepairMap(Instant now, EffectList effects)
    {
        ImmutableArray<RangeOwner>.Builder ranges = _map.Ranges.ToBuilder();
        bool changed = false, promoted = false;
        for (int r = 0; r < ranges.Count; r++)
        {
            RangeOwner of = ranges[r];
            if (of.Replica is { } replica && !_servers.ContainsKey(replica))
            {
                of = of with { Replica = null };
                _replicaVersion[r] = -1;
                changed = true;
            }

            bool there = _servers.ContainsKey(of.Owner);
            bool fillable = (_plan is not null && _phase == Phase.Filling && _contentVersion == Version) || !_map.TakesPart(r, _shape);
            if (there && (IsUsable(_appliedVersion[r]) || (_appliedVersion[r] < 0 && fillable)))
            {
                ranges[r] = of;
                continue;
            }

            if (of.Replica is { } successor && _replicaVersion[r] >= of.ReplicaSince && IsUsable(_replicaVersion[r]))
            {
                effects.Do(new Notice(NoticeKind.Promoted, successor, $"{successor} takes over range {r} from {of.Owner}."));
                Counters.Promotions++;
                promoted = true;
                of = Promote(of, successor);
            }
            else if (_plan is not null && fillable)
            {
                if (AvailableServers() == 0)
                {
                    if (_phase == Phase.Filling && _contentVersion == Version)
                    {
                        Gather(now, effects);
                    }
                    else
                    {
                        RollBack($"{_lastServerLoss ?? "A server is lost"}, and there is no other.", now, effects);
                    }

                    return false;
                }

                ActorId another = LeastLoaded(ranges, except: null);
                of = of with { Owner = another, Fence = of.Fence + 1, Since = Version, Replica = of.Replica == another ? null : of.Replica };
                _appliedVersion[r] = -1;
                _replicaVersion[r] = of.Replica is null ? -1 : _replicaVersion[r];
            }
            else
            {
                string lost = $"{_lastServerLoss ?? $"{of.Owner} has lost its content"}, and range {r} has no other live copy.";
                if (_plan is null)
                {
                    End(effects, failed: true, lost);
                }
                else
                {
                    RollBack(lost, now, effects);
                }

                return false;
            }

            changed = true;
            ranges[r] = of;
        }

        if (!changed)
        {
            return true;
        }

        ChangeMap(ranges.ToImmutable(), _map.Origin, effects);
        if (promoted || _phase == Phase.Working)
        {
            AfterRepair(now, effects);
        }

        return _phase != Phase.Ended;
    }

    /// <summary>Whether a copy at this version can go on: it is where the job is, or is about to hear the last verdict.</summary>
    private bool IsUsable(long version)
        => version >= 0 && (version == Version || (version == Version - 1 && _verdict?.Step == version));

    private RangeOwner Promote(RangeOwner of, ActorId successor)
    {
        _appliedVersion[of.Range] = _replicaVersion[of.Range];
        _replicaVersion[of.Range] = -1;
        _snapshotTaken[of.Range] = false;
        if (_work is { Kind: WorkKind.Train } work)
        {
            work.Prepared[of.Range] = null;
        }

        return of with { Owner = successor, Fence = Planted == PlantedFault.PromotionKeepsFence ? of.Fence : of.Fence + 1, Replica = null, Since = Version };
    }

    /// <summary>The open step goes on with the new owners.</summary>
    private void AfterRepair(Instant now, EffectList effects)
    {
        if (_phase == Phase.Filling)
        {
            return;
        }

        SendVerdict(now, effects, again: true);
        if (_phase == Phase.Working && _work is { Kind: WorkKind.Train } work)
        {
            if (work.AllSettledAt != Instant.Never)
            {
                work.AllSettledAt = now;
                _coverageAttempts = 0;
                _coverageAt = now + _prepareUsual.RetryAfter(_times, 0);
            }

            Conclude(work, now, effects);
        }
    }

    private void ChangeMap(ImmutableArray<RangeOwner> ranges, long origin, EffectList effects)
    {
        _map = _map.Next(ranges, origin);
        effects.Do(new AppendJournal(new MapRecord(_epoch, _map)));
        foreach (ActorId server in _servers.Keys)
        {
            effects.Send(server, new ClaimEpoch(_epoch, _map));
        }

        var welcome = new Welcome(_epoch, _map);
        foreach (ActorId worker in _workers.Keys)
        {
            effects.Send(worker, welcome);
        }
    }

    /// <summary>Gives every range an owner, and a replica where there shall be one, to be filled from the coordinator.</summary>
    private void DealRanges(EffectList effects)
    {
        Array.Fill(_appliedVersion, -1);
        Array.Fill(_replicaVersion, -1);
        Array.Fill(_filledFence, -1);
        Array.Clear(_refilling);
        ImmutableArray<RangeOwner>.Builder ranges = _map.Ranges.ToBuilder();
        var nobody = new ActorId(ActorRole.Server, int.MinValue);
        for (int r = 0; r < ranges.Count; r++)
        {
            bool stays = _servers.TryGetValue(ranges[r].Owner, out ServerEntry? server) && !server.Draining && server.Epoch > 0;
            ranges[r] = ranges[r] with
            {
                Owner = stays ? ranges[r].Owner : nobody,
                Fence = ranges[r].Fence + 1,
                Since = Version,
                Replica = null,
                ReplicaSince = Version,
            };
        }

        for (int r = 0; r < ranges.Count; r++)
        {
            if (ranges[r].Owner == nobody)
            {
                ranges[r] = ranges[r] with { Owner = LeastLoaded(ranges, except: null) };
            }
        }

        for (int r = 0; r < ranges.Count && _plan!.Replicas > 1 && AvailableServers() > 1; r++)
        {
            if (_map.TakesPart(r, _shape))
            {
                ranges[r] = ranges[r] with { Replica = LeastLoaded(ranges, ranges[r].Owner) };
            }
        }

        if (_plan!.Replicas > 1 && AvailableServers() == 1)
        {
            effects.Do(new Notice(NoticeKind.Warning, Id, "There is one server only: its ranges have no replica until another one joins."));
        }

        ChangeMap(ranges.ToImmutable(), _contentOrigin, effects);
    }

    /// <summary>At a version boundary: names new replicas where one is missing, and hands over what leaving servers own.</summary>
    private void ArrangeServers(Instant now, EffectList effects)
    {
        if (_plan is null)
        {
            return;
        }

        ImmutableArray<RangeOwner>.Builder ranges = _map.Ranges.ToBuilder();
        bool changed = false;
        for (int r = 0; r < ranges.Count; r++)
        {
            RangeOwner of = ranges[r];
            if (of.Replica is { } leaving && _servers[leaving].Draining)
            {
                of = of with { Replica = null };
                _replicaVersion[r] = -1;
            }

            bool handOver = _servers[of.Owner].Draining;
            if (handOver && !_map.TakesPart(r, _shape) && AvailableServers() > 0)
            {
                of = of with { Owner = LeastLoaded(ranges, of.Owner), Fence = of.Fence + 1, Since = Version };
                _appliedVersion[r] = -1;
            }
            else if (handOver && of.Replica is { } successor && _replicaVersion[r] >= of.ReplicaSince && IsUsable(_replicaVersion[r]))
            {
                effects.Do(new Notice(NoticeKind.Promoted, successor, $"{successor} takes over range {r} from {of.Owner}, which leaves."));
                Counters.Promotions++;
                of = Promote(of, successor);
            }
            else if (of.Replica is null && (handOver || _plan.Replicas > 1) && _map.TakesPart(r, _shape) && AnotherServer(of.Owner))
            {
                of = of with { Replica = LeastLoaded(ranges, of.Owner), ReplicaSince = Version };
                _replicaVersion[r] = -1;
                _refilling[r] = true;
            }

            changed |= of != ranges[r];
            ranges[r] = of;
        }

        if (changed)
        {
            ChangeMap(ranges.ToImmutable(), _map.Origin, effects);
            AfterRepair(now, effects);
            FillRanges(now, effects);
        }

        ReleaseDrainedServers(effects);
    }

    private bool AnotherServer(ActorId except)
    {
        for (int i = 0; i < _servers.Count; i++)
        {
            if (_servers.GetKeyAtIndex(i) != except && !_servers.GetValueAtIndex(i).Draining && _servers.GetValueAtIndex(i).Epoch == _epoch)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The server with the fewest copies, of those that don't leave; of equals the one that owns fewest, then the lowest number.</summary>
    private ActorId LeastLoaded(ImmutableArray<RangeOwner>.Builder ranges, ActorId? except)
    {
        ActorId best = default;
        (int Copies, int Owned) least = (int.MaxValue, 0);
        for (int i = 0; i < _servers.Count; i++)
        {
            ActorId server = _servers.GetKeyAtIndex(i);
            if (server == except || _servers.GetValueAtIndex(i).Draining)
            {
                continue;
            }

            (int Copies, int Owned) load = default;
            for (int r = 0; r < ranges.Count; r++)
            {
                load.Owned += ranges[r].Owner == server ? 1 : 0;
                load.Copies += ranges[r].Owner == server || ranges[r].Replica == server ? 1 : 0;
            }

            if (load.CompareTo(least) < 0)
            {
                (best, least) = (server, load);
            }
        }

        return best;
    }

    private int CopiesOf(ActorId server, bool ownedOnly)
    {
        int copies = 0;
        foreach (RangeOwner range in _map.Ranges)
        {
            copies += range.Owner == server || (!ownedOnly && range.Replica == server) ? 1 : 0;
        }

        return _unclaimed ? 0 : copies;
    }

    /// <summary>A copy says that it has come further: it may have been filled.</summary>
    private void NoteFilled(RangeOwner of, ActorId from, long before, long after, EffectList effects)
    {
        if (of.Owner == from)
        {
            if (before < 0 && _phase != Phase.Claiming)
            {
                Counters.FilledRanges++;
                _fillUsual.Observe(_now - _fillSince, _fillAttempts - 1, _times);
            }
        }
        else if (_refilling[of.Range] && after >= of.ReplicaSince)
        {
            _refilling[of.Range] = false;
            Counters.Refills++;
            effects.Do(new Notice(NoticeKind.Refilled, from, $"{from} is the replica of range {of.Range} from step {after} on."));
        }
    }

    /// <summary>What is known of a server.</summary>
    private sealed class ServerEntry
    {
        public long Epoch = -1; // the last one it accepted
        public long Revision = -1; // of the map it accepted
        public bool Draining;
        public long Refused;
    }
}
