// How a coordinator takes over: gather servers, claim the epoch, hear every owner out, adopt the highest verdict, and see to it
// that every range has its content.
//
// At the start nobody owns anything: when enough servers are there the ranges are dealt to them, and filled from what the
// coordinator's host has read. After a restart the journal says who owns what; whoever of them does not come back within a
// lease counts as lost. After a rollback it is as at the start, with what the checkpoint holds.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void TakeUpJournal(JournalState? journal)
    {
        _unclaimed = journal?.Map is null || journal.WentBackTo >= 0;
        _courses = journal?.Courses ?? _courses;
        if (_courses.At(_contentVersion) is { } course)
        {
            _policy.Restore(course.PolicyState);
        }

        if (journal?.Map is not { } map)
        {
            return;
        }

        if (map.Ranges.Length != _map.Ranges.Length || map.BlockCount != _map.BlockCount)
        {
            throw new ArgumentException(
                $"The journal has {map.Ranges.Length} ranges of {map.BlockCount} blocks, the job {_map.Ranges.Length} of {_map.BlockCount}: go on with the number of servers it began with.",
                nameof(journal));
        }

        if (journal.Epoch >= _epoch)
        {
            throw new ArgumentException($"Epoch {_epoch} was claimed before: the journal is at {journal.Epoch}.", nameof(journal));
        }

        _map = new RangeMap(map.Ranges, _map.Segments, map.Revision, map.Origin); // who owns what is history, how gradients are cut is not
    }

    private void BeginEpoch(Instant now, EffectList effects)
    {
        if (_plan is null)
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                _servers.TryAdd(range.Owner, new ServerEntry());
                if (range.Replica is { } replica)
                {
                    _servers.TryAdd(replica, new ServerEntry());
                }
            }
        }

        if (_unclaimed)
        {
            Gather(now, effects);
        }
        else
        {
            BeginClaim(now, effects);
        }
    }

    /// <summary>Waits for servers to join.</summary>
    private void Gather(Instant now, EffectList effects)
    {
        _phase = Phase.Gathering;
        _phaseSince = now;
        _claimRetryAt = now + _times.NoServersTicks;
        if (AvailableServers() < WantedServers())
        {
            effects.Do(new Notice(NoticeKind.Waiting, Id,
                $"Waiting up to {_times.NoServersTicks / Instant.TicksPerSecond} s for {WantedServers()} server(s); {AvailableServers()} there."));
        }

        DealWhenGathered(now, effects);
    }

    private int WantedServers() => _unclaimed ? _plan!.Servers : 1; // once begun, those that are left will do

    private int AvailableServers()
    {
        int available = 0;
        foreach (ServerEntry server in _servers.Values)
        {
            available += server.Draining ? 0 : 1;
        }

        return available;
    }

    private void DealWhenGathered(Instant now, EffectList effects)
    {
        if (_phase != Phase.Gathering || AvailableServers() < WantedServers())
        {
            return;
        }

        Version = _contentVersion;
        _unclaimed = false;
        _contentOrigin = _epoch;
        DealRanges(effects);
        BeginClaim(now, effects);
    }

    private void BeginClaim(Instant now, EffectList effects)
    {
        _phase = Phase.Claiming;
        _phaseSince = now;
        _phaseAttempts = 0;
        Claim(now, effects);
    }

    private void Claim(Instant now, EffectList effects)
    {
        foreach (ActorId server in _servers.Keys)
        {
            if (!HasAccepted(server))
            {
                effects.Send(server, new ClaimEpoch(_epoch, _map));
            }
        }

        _claimRetryAt = now + Math.Min(_times.RetryCeilingTicks, _times.RetryFloorTicks << Math.Min(_phaseAttempts++, 16));
        if (_plan is not null)
        {
            _claimRetryAt = Instant.Earlier(_claimRetryAt, _phaseSince + (_times.LeaseTicks + 1));
        }
    }

    private bool HasAccepted(ActorId server)
        => _servers.TryGetValue(server, out ServerEntry? entry) && entry.Epoch == _epoch && entry.Revision == _map.Revision;

    private void TickEpoch(Instant now, EffectList effects)
    {
        if (_phase == Phase.Gathering && now >= _claimRetryAt)
        {
            End(effects, failed: true,
                $"{AvailableServers()} of {WantedServers()} server(s) joined within {(now - _phaseSince) / Instant.TicksPerSecond} s."
                + (_restoreReason is null ? " Start the others, or ask for fewer." : $" {_restoreReason} The last checkpoint can be resumed."));
        }
        else if (_phase == Phase.Claiming && now >= _claimRetryAt)
        {
            if (_plan is null && now - _phaseSince > _times.FailureFloorTicks)
            {
                End(effects, failed: true, $"{MissingServers()} did not accept epoch {_epoch} within {(now - _phaseSince) / Instant.TicksPerSecond} s.");
            }
            else if (_plan is not null && now - _phaseSince > _times.LeaseTicks)
            {
                Establish(now, effects); // without those that have not come back
            }
            else
            {
                Claim(now, effects);
            }
        }
        else if (_phase == Phase.Restoring && now - _phaseSince > _times.FirstFailureTicks)
        {
            End(effects, failed: true, $"{_restoreReason} No checkpoint was restored within {(now - _phaseSince) / Instant.TicksPerSecond} s.");
        }

        if (now >= _fillRetryAt && _phase != Phase.Ended)
        {
            Array.Fill(_filledFence, -1);
            FillRanges(now, effects);
        }
    }

    private string MissingServers()
    {
        var names = new List<string>();
        foreach (ActorId server in MappedServers())
        {
            if (!HasAccepted(server))
            {
                names.Add(server.ToString());
            }
        }

        return string.Join(", ", names);
    }

    private List<ActorId> MappedServers()
    {
        var servers = new List<ActorId>();
        foreach (RangeOwner range in _map.Ranges)
        {
            if (!servers.Contains(range.Owner))
            {
                servers.Add(range.Owner);
            }

            if (range.Replica is { } replica && !servers.Contains(replica))
            {
                servers.Add(replica);
            }
        }

        return servers;
    }

    private void OnEpochAccepted(ActorId from, EpochAccepted accepted, Instant now, EffectList effects)
    {
        if (accepted.Epoch != _epoch)
        {
            return;
        }

        if (!_servers.TryGetValue(from, out ServerEntry? server))
        {
            effects.Send(from, new Rejoin(_epoch));
            return;
        }

        if (_plan is null && server.Epoch != _epoch)
        {
            _membership.Add(from, now);
        }

        server.Epoch = _epoch;
        server.Revision = Math.Max(server.Revision, accepted.Revision);
        if (accepted.Revision != _map.Revision)
        {
            return; // the newer map is on its way
        }

        foreach (HeldRange held in accepted.Held)
        {
            if ((uint)held.Range >= (uint)_map.Ranges.Length)
            {
                continue;
            }

            RangeOwner of = _map.Ranges[held.Range];
            bool begun = _phase is Phase.Working or Phase.Snapshotting or Phase.AwaitingSave;
            long filled = of.Owner == from ? _appliedVersion[held.Range]
                : of.Replica == from && _replicaVersion[held.Range] >= of.ReplicaSince ? _replicaVersion[held.Range]
                : -1;
            if (held.Version < 0 && filled >= 0 && begun)
            {
                LoseServer(from, $"it holds nothing of range {held.Range} any more", now, effects);
                return;
            }

            if (of.Owner == from || of.Replica == from)
            {
                Reach(of, from, held.Version, effects);
            }
        }

        if (_phase == Phase.Claiming)
        {
            Adopt(accepted.Last);
            foreach (ActorId mapped in MappedServers())
            {
                if (!HasAccepted(mapped) && !_gone.ContainsKey(mapped))
                {
                    return;
                }
            }

            Establish(now, effects);
        }
        else
        {
            GoOnWhenApplied(now, effects);
        }
    }

    private void Adopt(Verdict? last)
    {
        // One from before the job went back is of a history that doesn't count.
        if (last is not null && last.Epoch >= _map.Origin && (_verdict is null || last.Step > _verdict.Step))
        {
            _verdict = last;
        }
    }

    /// <summary>Everyone was heard who can be: finds out which version the job is at, and whether all of it is there.</summary>
    private void Establish(Instant now, EffectList effects)
    {
        _claimRetryAt = Instant.Never;
        long reached = -1;
        for (int range = 0; range < _appliedVersion.Length; range++)
        {
            reached = Math.Max(reached, Math.Max(_appliedVersion[range], _replicaVersion[range]));
        }

        if (_plan is not null && _verdict is not null && _verdict.Step > (_plan.Journal?.Verdict?.Step ?? -1) && _verdict.Epoch != _epoch)
        {
            effects.Do(new AppendJournal(new VerdictRecord(_verdict, 0, []))); // only servers knew of it: what it came to is not known
        }

        bool decided = _verdict is not null && _verdict.Step + 1 >= reached;
        if (decided)
        {
            reached = _verdict!.Step + 1;
            if (!_verdict.PolicyState.IsEmpty)
            {
                _policy.Restore(_verdict.PolicyState);
            }
        }

        Version = reached < 0 ? Math.Max(0, _contentVersion) : reached;
        if (_plan is null)
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                long lowest = range.Replica is null ? _appliedVersion[range.Range] : Math.Min(_appliedVersion[range.Range], _replicaVersion[range.Range]);
                if (lowest < reached && (_verdict is null || lowest != _verdict.Step))
                {
                    End(effects, failed: true,
                        $"Range {range.Range} ({range.Owner}) is at step {lowest}, others at {reached}: it has to be restored from a checkpoint.");
                    return;
                }
            }
        }
        else if (!decided && Version != _contentVersion)
        {
            RollBack($"The servers are at step {Version}, of which no verdict is known.", now, effects); // and so nobody knows the policy's state there
            return;
        }

        if (_plan is not null && _map.Ranges.Any(range => range.Since > Version))
        {
            // The checkpoint that the ranges were dealt from can't be used any more; they are dealt anew from an older one.
            RollBack($"The job was at a checkpoint later than step {Version}, which can't be read any more.", now, effects);
            return;
        }

        foreach (ActorId mapped in MappedServers())
        {
            if (!HasAccepted(mapped))
            {
                _servers.Remove(mapped);
                _membership.Remove(mapped);
                if (_gone.TryAdd(mapped, true))
                {
                    NoteLostServer(mapped, $"it did not come back within {(now - _phaseSince) / Instant.TicksPerMillisecond} ms", effects);
                }
            }
        }

        _phase = Phase.Filling;
        _phaseSince = now;
        if (RepairMap(now, effects))
        {
            _gone.Clear();
            FillRanges(now, effects);
        }
    }

    /// <summary>Has owners without content sent it; goes on when there are none.</summary>
    private void FillRanges(Instant now, EffectList effects)
    {
        bool missing = false;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_appliedVersion[range.Range] >= 0)
            {
                continue;
            }

            missing = true;
            if (_filledFence[range.Range] != range.Fence && HasAccepted(range.Owner))
            {
                _filledFence[range.Range] = range.Fence;
                effects.Do(new SendRangeCopy(range.Owner, _epoch, range.Range, range.Fence, Version));
            }
        }

        if (!missing)
        {
            _fillRetryAt = Instant.Never;
            _fillAttempts = 0;
            if (_phase == Phase.Filling)
            {
                SendVerdict(now, effects, again: false);
                Advance(now, effects);
            }

            return;
        }

        if (_fillRetryAt <= now || _fillRetryAt == Instant.Never)
        {
            if (_fillAttempts++ == 0)
            {
                _fillSince = now;
            }
            else if (now - _fillSince > _fillUsual.FailAfter(_times))
            {
                End(effects, failed: true, $"{UnfilledOwner()} did not take the content of its range within {(now - _fillSince) / Instant.TicksPerSecond} s.");
                return;
            }

            // A copy is large and is on its way; but who has taken that much longer than the lease is not waited for in silence.
            long usual = _fillUsual.Count == 0 ? 0 : _fillUsual.Expected * Limits.RetryFactor;
            _fillRetryAt = now + Math.Max(_times.RetryCeilingTicks, Math.Min(usual, Math.Max(_fillUsual.Mean * 2, _times.LeaseTicks * 2)));
        }
    }

    private ActorId UnfilledOwner()
    {
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_appliedVersion[range.Range] < 0)
            {
                return range.Owner;
            }
        }

        return Id;
    }
}
