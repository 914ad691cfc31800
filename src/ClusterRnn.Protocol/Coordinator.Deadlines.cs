// What is late: ask again, compute elsewhere as well, give up and say who did not answer.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void TickWork(OpenWork work, Instant now, EffectList effects)
    {
        if (ActiveWorkers == 0 && now - _noWorkersSince >= _times.NoWorkersTicks && work.Unsettled > 0)
        {
            End(effects, failed: true,
                $"No worker has been there for {(now - _noWorkersSince) / Instant.TicksPerSecond} s"
                + (_lastLoss is null ? "" : $" ({_lastLoss})") + ". The last checkpoint can be resumed.");
            return;
        }

        for (int i = 0; i < work.Entries.Count && _work == work; i++)
        {
            AssignmentEntry entry = work.Entries[i];
            if (!entry.IsOutstanding)
            {
                continue;
            }

            ObservedTime usual = Usual(work.Kind);
            if (now - entry.At > usual.FailAfter(_times))
            {
                OnDown(entry.Worker, $"no answer to shards {entry.Range} of step {work.Version} for {(now - entry.At) / Instant.TicksPerSecond} s", now, effects);
                continue;
            }

            if (now >= entry.RetryAt)
            {
                entry.RetryAt = now + usual.RetryAfter(_times, ++entry.Attempts);
                SendAssign(work, entry, effects);
            }

            if (now >= LateAt(work, entry))
            {
                Speculate(work, entry, now, effects);
            }
        }

        if (_work == work && now >= _coverageAt)
        {
            AskCoverage(work, now, effects);
        }
    }

    /// <summary>When an assignment counts as late, against what the others and its own worker took so far.</summary>
    private Instant LateAt(OpenWork work, AssignmentEntry entry)
    {
        if (entry.Speculated || ActiveWorkers < 2)
        {
            return Instant.Never;
        }

        long perShard = 0;
        foreach (AssignmentEntry other in work.Entries)
        {
            if (other.Report is not null && other.Worker != entry.Worker)
            {
                perShard = Math.Max(perShard, Math.Max(1, other.Report.ComputeTicks / Math.Max(1, other.Range.Count)));
            }
        }

        if (_membership.IsSuspect(entry.Worker, _now))
        {
            return entry.NotLateBefore; // suspicion is enough
        }

        if (perShard == 0)
        {
            // Nobody else has answered, as when one worker was given everything: it is held against what steps take as a rule.
            ObservedTime usual = Usual(work.Kind);
            Instant unusual = entry.At + (_times.SpeculationFloorTicks + (Limits.LateFactor * usual.Expected));
            return usual.Count < Limits.LeastObservations ? Instant.Never : unusual > entry.NotLateBefore ? unusual : entry.NotLateBefore;
        }

        if (work.Kind == WorkKind.Train && _workers.TryGetValue(entry.Worker, out WorkerEntry? worker))
        {
            perShard = Math.Max(perShard, worker.TicksPerShard);
        }

        Instant late = entry.At + (_times.SpeculationFloorTicks + (Limits.LateFactor * perShard * entry.Range.Count));
        return late > entry.NotLateBefore ? late : entry.NotLateBefore;
    }

    private void Speculate(OpenWork work, AssignmentEntry late, Instant now, EffectList effects)
    {
        FindTargets(work, now, idleOnly: true);
        for (int i = _targets.Count - 1; i >= 0; i--)
        {
            if (work.HasWorker(late.Range.Start, _targets[i].Id))
            {
                _targets.RemoveAt(i);
            }
        }

        if (_targets.Count == 0)
        {
            late.NotLateBefore = now + Math.Max(Instant.TicksPerMillisecond, _times.SpeculationFloorTicks);
            return;
        }

        late.Speculated = true;
        Counters.Speculations++;
        effects.Do(new Notice(NoticeKind.Speculated, late.Worker,
            $"{late.Worker} is late with shards {late.Range} of step {work.Version} ({(now - late.At) / Instant.TicksPerMillisecond} ms); they are computed elsewhere as well."));
        Deal(work, late.Range, AssignmentCause.Late, now, effects);
    }

    private void AskCoverage(OpenWork work, Instant now, EffectList effects)
    {
        _coverageAt = Instant.Never;
        if (work.Unsettled > 0 || work.AllSettledAt == Instant.Never)
        {
            return;
        }

        bool failed = now - work.AllSettledAt > _prepareUsual.FailAfter(_times);
        foreach (RangeOwner range in _map.Ranges)
        {
            if (work.Prepared[range.Range] is null && _map.TakesPart(range.Range, _shape))
            {
                if (failed)
                {
                    End(effects, failed: true,
                        $"{range.Owner} has not prepared step {work.Version} within {(now - work.AllSettledAt) / Instant.TicksPerSecond} s of the last answer.");
                    return;
                }

                effects.Send(range.Owner, new CoverageRequest(_epoch, work.Version));
            }
        }

        _coverageAt = now + _prepareUsual.RetryAfter(_times, ++_coverageAttempts);
        Conclude(work, now, effects); // a late worker's report may be all that is missing
    }

    private void OnCoverage(Coverage coverage, Instant now, EffectList effects)
    {
        if (_work is not { Kind: WorkKind.Train } work || coverage.Epoch != _epoch || coverage.Step != work.Version
            || (uint)coverage.Range >= (uint)_map.Ranges.Length)
        {
            return;
        }

        if (coverage.Attempt < work.Attempt)
        {
            SendDiscards(work, _map.Ranges[coverage.Range], effects);
        }

        foreach (ShardRange missing in coverage.Missing)
        {
            for (int shard = Math.Max(0, missing.Start); shard < Math.Min(missing.End, work.Shards);)
            {
                if (work.IsAwaited(shard))
                {
                    shard++;
                }
                else if (Holder(work, shard) is { } holder)
                {
                    SendAssign(work, holder, effects); // it sends the pieces again
                    shard = holder.Range.End;
                }
                else
                {
                    int start = shard;
                    while (shard < Math.Min(missing.End, work.Shards) && !work.IsAwaited(shard) && Holder(work, shard) is null)
                    {
                        shard++;
                    }

                    FindTargets(work, now, start);
                    if (_targets.Count > 0)
                    {
                        Deal(work, new ShardRange(start, shard), AssignmentCause.Lost, now, effects);
                    }
                }
            }
        }
    }

    /// <summary>An answer to this shard whose worker is still there to send it again.</summary>
    private AssignmentEntry? Holder(OpenWork work, int shard)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.IsAnswer && entry.Range.Start <= shard && shard < entry.Range.End && _workers.ContainsKey(entry.Worker))
            {
                return entry;
            }
        }

        return null;
    }
}
