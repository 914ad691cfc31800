// Who can be given work: workers that join, leave, are lost or are no longer trusted.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void OnWorkerHello(ActorId from, WorkerHello hello, Instant now, EffectList effects)
    {
        if (_quarantined.TryGetValue(from, out string? reason))
        {
            effects.Send(from, new Refused(reason));
            return;
        }

        if (hello.ProtocolVersion != Limits.ProtocolVersion || hello.JobId != _shape.JobId)
        {
            effects.Send(from, new Refused(
                $"The coordinator runs job {_shape.JobId} with protocol {Limits.ProtocolVersion}, this worker job {hello.JobId} with protocol {hello.ProtocolVersion}."));
            return;
        }

        if (hello.DataSha256 != _shape.DataSha256)
        {
            effects.Send(from, new Refused(
                $"The job's data has SHA-256 {_shape.DataSha256}, this worker reads data with {hello.DataSha256}. Give it the same files."));
            return;
        }

        if (!_workers.ContainsKey(from))
        {
            if (_workers.Count >= Limits.MaximumWorkers)
            {
                effects.Send(from, new Refused($"The job has {Limits.MaximumWorkers} workers already."));
                return;
            }

            _workers.Add(from, new WorkerEntry(from) { DistrustThrough = Version + 1 });
            _membership.Add(from, now);
            Counters.LateJoins += Counters.AssignedShards > 0 ? 1 : 0;
            MembersChanged(now);
            effects.Do(new Notice(NoticeKind.Joined, from, $"{from} joined."));
        }

        effects.Send(from, new Welcome(_epoch, _map));
        if (_work is not null)
        {
            EnsureAwaited(_work, now, effects);
        }
    }

    private void SayAlive(ActorId to, EffectList effects)
    {
        _alive = _alive?.Epoch == _epoch ? _alive : new Alive(_epoch);
        effects.Send(to, _alive);
    }

    private void OnHeartbeat(ActorId from, Heartbeat heartbeat, EffectList effects)
    {
        if (!_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            effects.Send(from, new Rejoin(_epoch));
            return;
        }

        SayAlive(from, effects);
        if (heartbeat.Epoch < _epoch)
        {
            effects.Send(from, new Welcome(_epoch, _map)); // the one of this epoch was lost
        }

        if (worker.Behind >= 0 && heartbeat.Epoch == _epoch && heartbeat.Running != worker.Behind)
        {
            worker.Behind = -1; // it is through with what it was late with; the answer was lost on the way
        }
    }

    private void OnLeave(ActorId from, Instant now, EffectList effects)
    {
        if (!_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            effects.Send(from, new Released(_epoch));
            return;
        }

        SayAlive(from, effects);
        if (!worker.Draining)
        {
            worker.Draining = true;
            MembersChanged(now);
        }

        ReleaseDrained(effects);
    }

    /// <summary>Lets go of workers that leave and on whose held answers nothing depends.</summary>
    private void ReleaseDrained(EffectList effects)
    {
        for (int i = _workers.Count - 1; i >= 0; i--)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (worker.Draining && !IsInvolved(worker.Id))
            {
                _workers.RemoveAt(i);
                _membership.Remove(worker.Id);
                Counters.Leaves++;
                effects.Do(new Notice(NoticeKind.Left, worker.Id, $"{worker.Id} left."));
                effects.Send(worker.Id, new Released(_epoch));
            }
        }
    }

    private bool IsInvolved(ActorId worker)
    {
        if (_work is not null)
        {
            foreach (AssignmentEntry entry in _work.Entries)
            {
                if (entry.Worker == worker && !entry.Lost && !entry.Discarded)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void OnDown(ActorId actor, string reason, Instant now, EffectList effects)
    {
        if (actor.Role == ActorRole.Server)
        {
            LoseServer(actor, reason, now, effects);
            return;
        }

        if (!_workers.Remove(actor))
        {
            return;
        }

        _membership.Remove(actor);
        Counters.LostWorkers++;
        _lastLoss = $"{actor} is lost: {reason}{WhatItHeld(actor)}";
        effects.Do(new Notice(NoticeKind.Lost, actor, _lastLoss));
        MembersChanged(now);
        if (_work is { } work)
        {
            ForgetOutstanding(work, actor);
            JudgeAndAct(work, new ShardRange(0, work.Shards), now, effects);
        }
    }

    /// <summary>What a worker was given of the open step: the most that has to be computed again.</summary>
    private string WhatItHeld(ActorId actor)
    {
        int shards = 0;
        foreach (AssignmentEntry entry in _work?.Entries ?? [])
        {
            shards += entry.Worker == actor && !entry.Lost && !entry.Discarded ? entry.Range.Count : 0;
        }

        return shards == 0 ? "" : $"; it had {shards} shard(s) of step {_work!.Version}";
    }

    private void ForgetOutstanding(OpenWork work, ActorId actor)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == actor && entry.Report is null)
            {
                entry.Lost = true;
            }
        }
    }

    private void MembersChanged(Instant now)
    {
        int before = ActiveWorkers;
        ActiveWorkers = 0;
        foreach (WorkerEntry worker in _workers.Values)
        {
            ActiveWorkers += worker.Draining ? 0 : 1;
        }

        if (ActiveWorkers == 0 && before > 0)
        {
            _noWorkersSince = now;
        }

        _cutIsStale = true;
    }

    private void EvictSilent(Instant now, EffectList effects)
    {
        for (int i = _workers.Count - 1; i >= 0 && i < _workers.Count; i--)
        {
            ActorId worker = _workers.GetKeyAtIndex(i);
            if (_membership.IsExpired(worker, now))
            {
                Counters.Evictions++;
                OnDown(worker, $"silent for {_membership.Silence(worker, now) / Instant.TicksPerMillisecond} ms, longer than its lease", now, effects);
            }
        }

        for (int i = _servers.Count - 1; i >= 0 && i < _servers.Count; i--)
        {
            ActorId server = _servers.GetKeyAtIndex(i);
            if (_phase != Phase.Ended && _membership.IsExpired(server, now))
            {
                Counters.Evictions++;
                OnDown(server, $"silent for {_membership.Silence(server, now) / Instant.TicksPerMillisecond} ms, longer than its lease", now, effects);
            }
        }
    }

    private void Quarantine(ActorId worker, string reason, Instant now, EffectList effects)
    {
        if (!_workers.Remove(worker))
        {
            return;
        }

        _membership.Remove(worker);
        _quarantined[worker] = reason;
        _lastLoss = reason;
        Counters.Quarantined++;
        effects.Do(new Notice(NoticeKind.Quarantined, worker, reason));
        effects.Send(worker, new Refused(reason));
        MembersChanged(now);
    }

    /// <summary>What is known of a worker.</summary>
    private sealed class WorkerEntry(ActorId id)
    {
        private const int Scale = 16;

        public readonly ActorId Id = id;
        public bool Draining;
        public int Faults;
        public long Behind = -1; // an assignment of work that is over and that it has not answered
        public long DistrustThrough = -1; // up to this version it may hold states that nobody has vouched for

        /// <summary>Sixteen times the smoothed time a shard takes, 0 before the first answer.</summary>
        public long ScaledTicksPerShard { get; private set; }

        public long TicksPerShard => ScaledTicksPerShard / Scale;

        public long ComputeTicks { get; private set; }

        public long WaitTicks { get; set; }

        public void Measure(long ticks, int shards)
        {
            ComputeTicks = ticks;
            long measured = Math.Max(1, ticks * Scale / Math.Max(1, shards));
            ScaledTicksPerShard = ScaledTicksPerShard == 0 ? measured : Math.Max(1, ScaledTicksPerShard + ((measured - ScaledTicksPerShard) / 8));
        }

        public void Forgive() => ScaledTicksPerShard = Math.Max(1, ScaledTicksPerShard - (ScaledTicksPerShard / 64));
    }
}
