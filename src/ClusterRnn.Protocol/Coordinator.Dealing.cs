// Who computes which shards: the cut of a step, and shards that are given out again.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Assignment;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void Open(WorkKind kind, Instant now, EffectList effects)
    {
        int shards = _shape.ShardsOf(kind);
        var work = new OpenWork(kind, Version, shards, _map.Ranges.Length, now, Planted);
        _work = work;
        _coverageAt = Instant.Never;
        _coverageAttempts = 0;
        FindTargets(work, now);
        if (_targets.Count == 0)
        {
            return;
        }

        if (kind == WorkKind.Evaluate)
        {
            Deal(work, new ShardRange(0, shards), AssignmentCause.First, now, effects);
        }
        else
        {
            PlanCut(shards);
            for (int i = 0; i < _planned.Count; i++)
            {
                Assign(work, _planned[i], _cut[i], AssignmentCause.First, now, effects);
            }
        }
    }

    /// <summary>Keeps the cut of the step before unless members changed or a clearly better one exists.</summary>
    private void PlanCut(int shards)
    {
        bool sameMembers = !_cutIsStale && _planned.Count == _targets.Count;
        for (int i = 0; sameMembers && i < _planned.Count; i++)
        {
            sameMembers = _planned[i] == _targets[i];
        }

        if (sameMembers && Version - _lastCutVersion < Limits.RecutInterval)
        {
            return;
        }

        _lastCutVersion = Version;
        Span<long> ticks = _targets.Count <= 256 ? stackalloc long[_targets.Count] : new long[_targets.Count];
        Speeds(ticks);
        AssignmentCutter.Cut(new ShardRange(0, shards), shards, ticks, _newCut);
        if (sameMembers)
        {
            long before = AssignmentCutter.Makespan(_cut, ticks);
            long after = AssignmentCutter.Makespan(_newCut, ticks);
            if (before - after <= before / Limits.RecutGain)
            {
                return;
            }
        }

        _cut.Clear();
        _cut.AddRange(_newCut);
        _planned.Clear();
        _planned.AddRange(_targets);
        _cutIsStale = false;
    }

    /// <summary>How long each target takes for a shard; those not measured yet count as the mean of the others.</summary>
    private void Speeds(Span<long> ticks)
    {
        long sum = 0;
        int known = 0;
        foreach (WorkerEntry worker in _targets)
        {
            if (worker.ScaledTicksPerShard > 0)
            {
                sum += worker.ScaledTicksPerShard;
                known++;
            }
        }

        long mean = known == 0 ? 1 : Math.Max(1, sum / known);
        for (int i = 0; i < ticks.Length; i++)
        {
            ticks[i] = _targets[i].ScaledTicksPerShard > 0 ? _targets[i].ScaledTicksPerShard : mean;
        }
    }

    /// <summary>
    /// Who can be given work now: the idle, else all who are not behind, else anyone. Who answered <paramref name="shard"/> with something
    /// else comes last.
    /// </summary>
    private void FindTargets(OpenWork work, Instant now, int shard = -1)
    {
        if (FindTargets(work, now, idleOnly: true, shard) || FindTargets(work, now, idleOnly: false, shard)
            || (shard >= 0 && (FindTargets(work, now, idleOnly: true) || FindTargets(work, now, idleOnly: false))))
        {
            return;
        }

        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining)
            {
                _targets.Add(worker);
            }
        }

        // Nobody stays: who leaves finishes the step that it has begun, or it would wait for the others and they for it.
        for (int i = 0; i < _workers.Count && ActiveWorkers == 0; i++)
        {
            WorkerEntry leaving = _workers.GetValueAtIndex(i);
            if (IsInvolved(leaving.Id))
            {
                _targets.Add(leaving);
            }
        }
    }

    private bool FindTargets(OpenWork work, Instant now, bool idleOnly, int shard = -1)
    {
        _targets.Clear();
        for (int i = 0; i < _workers.Count; i++)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (!worker.Draining && worker.Behind < 0 && !_membership.IsSuspect(worker.Id, now) && !(idleOnly && IsBusy(work, worker.Id))
                && (shard < 0 || !work.WasRejected(shard, worker.Id)))
            {
                _targets.Add(worker);
            }
        }

        return _targets.Count > 0;
    }

    private static bool IsBusy(OpenWork work, ActorId worker)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == worker && entry.IsOutstanding)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Cuts a run of shards over <see cref="_targets"/>.</summary>
    private void Deal(OpenWork work, ShardRange run, AssignmentCause cause, Instant now, EffectList effects)
    {
        Span<long> ticks = _targets.Count <= 256 ? stackalloc long[_targets.Count] : new long[_targets.Count];
        Speeds(ticks);
        AssignmentCutter.Cut(run, work.Shards, ticks, _newCut);
        for (int i = 0; i < _newCut.Count; i++)
        {
            Assign(work, _targets[i], _newCut[i], cause, now, effects);
        }
    }

    private void Assign(OpenWork work, WorkerEntry worker, ShardRange range, AssignmentCause cause, Instant now, EffectList effects)
    {
        if (range.Count <= 0)
        {
            return;
        }

        var entry = new AssignmentEntry
        {
            Id = _nextAssignment++,
            Worker = worker.Id,
            Range = range,
            Cause = cause,
            At = now,
            RetryAt = now + Usual(work.Kind).RetryAfter(_times, 0),
            IgnoresCachedState = work.Version <= worker.DistrustThrough || work.Version == _ignoreStateVersion,
        };
        work.Entries.Add(entry);
        if (work.Kind == WorkKind.Train)
        {
            Counters.AssignedShards += range.Count;
            Counters.LostShards += cause == AssignmentCause.Lost ? range.Count : 0;
            Counters.SpeculativeShards += cause == AssignmentCause.Late ? range.Count : 0;
            Counters.DisputedShards += cause == AssignmentCause.Dispute ? range.Count : 0;
        }

        SendAssign(work, entry, effects);
    }

    private void SendAssign(OpenWork work, AssignmentEntry entry, EffectList effects)
        => effects.Send(entry.Worker, new Assign(_epoch, work.Version, work.Kind, entry.Id, entry.Range, entry.IgnoresCachedState, _map.Revision));

    private ObservedTime Usual(WorkKind kind) => kind == WorkKind.Train ? _trainUsual : _evaluateUsual;

    /// <summary>Gives every shard that is not settled, and not awaited from anyone, to somebody.</summary>
    private void EnsureAwaited(OpenWork work, Instant now, EffectList effects)
    {
        if (work.Unsettled == 0 || _phase != Phase.Working || _work != work)
        {
            return;
        }

        for (int shard = 0; shard < work.Shards;)
        {
            Standing standing = work[shard];
            if (standing is Standing.Settled or Standing.Poisoned || work.IsAwaited(shard))
            {
                shard++;
                continue;
            }

            int start = shard;
            bool again = WasGiven(work, start);
            while (shard < work.Shards && work[shard] == standing && !work.IsAwaited(shard) && WasGiven(work, shard) == again)
            {
                shard++;
            }

            var run = new ShardRange(start, shard);
            if (standing == Standing.Open)
            {
                FindTargets(work, now, start);
                if (_targets.Count > 0)
                {
                    Deal(work, run, !again ? AssignmentCause.First : WasDiscarded(work, start) ? AssignmentCause.Dispute : AssignmentCause.Lost, now, effects);
                }
            }
            else if (!Arbitrate(work, run, now, effects))
            {
                return;
            }
        }
    }

    private static bool WasGiven(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    private static bool WasDiscarded(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Discarded && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Has shards whose answers differ, or are not finite, computed by a worker that has not answered; by all again when there is none.</summary>
    /// <returns>False when the job has ended because nobody agrees.</returns>
    private bool Arbitrate(OpenWork work, ShardRange run, Instant now, EffectList effects)
    {
        if (work.AnswersOf(run.Start) >= Limits.MaximumAnswersPerShard)
        {
            End(effects, failed: true, $"Shards {run} of step {work.Version} have no two answers that agree: {Evidence(work, run.Start)}.");
            return false;
        }

        WorkerEntry? fresh = null;
        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining && !work.HasWorker(run.Start, worker.Id) && (fresh is null || (IsBusy(work, fresh.Id) && !IsBusy(work, worker.Id))))
            {
                fresh = worker;
            }
        }

        if (fresh is not null)
        {
            Assign(work, fresh, run, AssignmentCause.Dispute, now, effects);
            return true;
        }

        foreach (WorkerEntry worker in _workers.Values)
        {
            if (!worker.Draining || (ActiveWorkers == 0 && IsInvolved(worker.Id)))
            {
                Assign(work, worker, run, AssignmentCause.Dispute, now, effects);
            }
        }

        return true;
    }

    private static string Evidence(OpenWork work, int shard)
    {
        var lines = new List<string>();
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Report is not null && entry.Range.Start <= shard && shard < entry.Range.End)
            {
                ShardReport report = entry.ReportOf(shard);
                lines.Add($"{entry.Worker} says loss {(report.Sums.Length > 0 ? report.Sums[0] : 0):R}, rows {report.RowsDigest:x}, state {report.StateDigest:x}");
            }
        }

        return string.Join("; ", lines);
    }
}
