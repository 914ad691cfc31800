// What becomes of answers: judge, discard the outvoted, decide once, send the verdict until it is applied.
using ClusterRnn.Kernels.Reduction;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private void OnReport(ActorId from, ShardsReported reported, Instant now, EffectList effects)
    {
        if (reported.Epoch != _epoch)
        {
            Counters.RefusedAnswers++;
            return;
        }

        _workers.TryGetValue(from, out WorkerEntry? worker);
        if (worker is not null && worker.Behind == reported.Assignment)
        {
            worker.Behind = -1;
        }

        OpenWork? work = _work;
        AssignmentEntry? entry = work?.Find(reported.Assignment);
        if (entry is null)
        {
            if (!CompareLate(from, reported, now, effects))
            {
                Counters.RefusedAnswers++;
            }

            return;
        }

        if (entry.Worker != from || entry.Report is not null || (entry.Discarded && !entry.GivenUp))
        {
            return;
        }

        if (WhyItDoesNotFit(work!, entry, reported) is { } why)
        {
            Reject(work!, entry, why, now, effects);
            return;
        }

        entry.Report = reported;
        entry.Lost = false;
        Measure(worker, entry, reported, now);
        if (entry.Discarded)
        {
            if (!work!.IsContradicted(entry))
            {
                return; // nobody needs it any more
            }

            entry.Discarded = false;
            work.DiscardedIds.Remove(entry.Id);
        }

        JudgeAndAct(work!, entry.Range, now, effects);
    }

    private void Measure(WorkerEntry? worker, AssignmentEntry entry, ShardsReported reported, Instant now)
    {
        if (reported.Kind == WorkKind.Train)
        {
            worker?.Measure(reported.ComputeTicks, entry.Range.Count);
            worker?.WaitTicks = Math.Max(0, now - entry.At - reported.ComputeTicks);
            _trainUsual.Observe(now - entry.At, entry.Attempts, _times);
        }
        else
        {
            _evaluateUsual.Observe(now - entry.At, entry.Attempts, _times);
        }
    }

    /// <summary>Compares a late answer with the committed one of the step before.</summary>
    /// <returns>Whether it is of that step.</returns>
    private bool CompareLate(ActorId from, ShardsReported reported, Instant now, EffectList effects)
    {
        if (_previous?.Find(reported.Assignment) is not { Report: null, Discarded: false } late || late.Worker != from)
        {
            return false;
        }

        if (WhyItDoesNotFit(_previous, late, reported) is { } why)
        {
            Reject(_previous, late, why, now, effects);
            return true;
        }

        late.Report = reported;
        if (_workers.TryGetValue(from, out WorkerEntry? worker))
        {
            Measure(worker, late, reported, now);
        }

        Counters.ComparedLateAnswers++;
        foreach (AssignmentEntry other in _previous.Entries)
        {
            if (other == late || !other.IsAnswer)
            {
                continue;
            }

            int end = Math.Min(other.Range.End, late.Range.End);
            for (int shard = Math.Max(other.Range.Start, late.Range.Start); shard < end; shard++)
            {
                if (!OpenWork.Agree(other, late, shard))
                {
                    Counters.FaultyAnswers++;
                    if (!_previous.IsFinite(late, shard) && _previous.IsFinite(other, shard))
                    {
                        late.Discarded = true; // nothing is compared with it
                        effects.Do(new Notice(NoticeKind.Faulty, from, $"{from} answered step {_previous.Version} late with values that are not finite, where another found finite ones."));
                        return true;
                    }

                    End(effects, failed: true,
                        $"Step {_previous.Version} is committed, and a late answer to shard {shard} differs: {Evidence(_previous, shard)}. "
                        + "One of the two computes wrong bits; resume from a checkpoint without it.");
                    return true;
                }
            }
        }

        return true;
    }

    /// <summary>What is wrong with an answer that isn't to its assignment: it says which shards it is about, and they must be those that were asked for.</summary>
    private string? WhyItDoesNotFit(OpenWork work, AssignmentEntry entry, ShardsReported reported)
    {
        if (reported.Kind != work.Kind || reported.Version != work.Version)
        {
            return $"it is of another step ({reported.Kind} {reported.Version})";
        }

        ShardReport[] shards = reported.Shards;
        if (shards.Length != entry.Range.Count)
        {
            return $"it has {shards.Length} shard(s) instead of {entry.Range.Count}";
        }

        for (int i = 0; i < shards.Length; i++)
        {
            if (shards[i].Shard != entry.Range.Start + i)
            {
                return $"it has shard {shards[i].Shard} in the place of {entry.Range.Start + i}";
            }
        }

        if (work.Kind != WorkKind.Train)
        {
            return null;
        }

        _subtrees.Clear();
        CanonicalTree.MaximalSubtrees(entry.Range, work.Shards, _subtrees);
        SubtreeReport[] summed = reported.Subtrees;
        for (int i = 0; i < Math.Max(summed.Length, _subtrees.Count); i++)
        {
            if (i >= summed.Length || i >= _subtrees.Count || summed[i].Subtree != _subtrees[i])
            {
                return $"its gradients are of {string.Join(", ", summed.Select(s => s.Subtree))} instead of {string.Join(", ", _subtrees)}";
            }
        }

        return null;
    }

    /// <summary>Takes an answer that doesn't fit for none: its pieces are taken out, and its shards are computed by somebody else if there is anybody.</summary>
    private void Reject(OpenWork work, AssignmentEntry entry, string why, Instant now, EffectList effects)
    {
        bool counted = work == _work && !entry.Discarded; // its pieces did
        entry.GivenUp = false;
        entry.Rejected = true;
        if (!entry.Discarded)
        {
            Discard(work, entry);
        }

        Counters.FaultyAnswers++;
        string what = $"{entry.Worker} answered shards {entry.Range} of step {work.Version} with something else: {why}";
        effects.Do(new Notice(NoticeKind.Faulty, entry.Worker, what + "; its answer is not used."));
        if (_workers.TryGetValue(entry.Worker, out WorkerEntry? worker))
        {
            worker.DistrustThrough = work.Version + 1;
            if (++worker.Faults >= Limits.MaximumFaultsPerWorker)
            {
                foreach (AssignmentEntry other in _work?.Entries ?? [])
                {
                    if (other.Worker == entry.Worker && !other.Discarded)
                    {
                        Discard(_work!, other);
                        counted = true;
                    }
                }

                Quarantine(entry.Worker, $"{what}. It has done so {worker.Faults} times and is not used any more.", now, effects);
            }
        }

        if (counted && _work is { } open)
        {
            StartAttempt(open, effects);
            JudgeAndAct(open, new ShardRange(0, open.Shards), now, effects);
        }

        ReleaseDrained(effects);
    }

    private void OnAbandoned(ActorId from, AssignmentAbandoned abandoned, Instant now, EffectList effects)
    {
        if (abandoned.Epoch != _epoch)
        {
            return;
        }

        Counters.AbandonedAnswers++;
        if (_workers.TryGetValue(from, out WorkerEntry? worker) && worker.Behind == abandoned.Assignment)
        {
            worker.Behind = -1;
        }

        if (_work?.Find(abandoned.Assignment) is { Report: null } entry && entry.Worker == from)
        {
            entry.Lost = true;
            EnsureAwaited(_work, now, effects);
        }
    }

    /// <summary>Judges shards whose answers changed, throws outvoted answers out, and goes on when all are settled.</summary>
    private void JudgeAndAct(OpenWork work, ShardRange range, Instant now, EffectList effects)
    {
        int confirmers = Math.Max(1, ActiveWorkers);
        _odd.Clear();
        work.Judge(range, confirmers, _odd);
        while (_odd.Count > 0)
        {
            foreach (AssignmentEntry entry in _odd.ToArray())
            {
                Outvote(work, entry, now, effects);
            }

            _odd.Clear();
            work.Judge(new ShardRange(0, work.Shards), Math.Max(1, ActiveWorkers), _odd);
            StartAttempt(work, effects);
        }

        if (_work != work || work.Unsettled > 0)
        {
            EnsureAwaited(work, now, effects);
            return;
        }

        if (work.AllSettledAt == Instant.Never)
        {
            work.AllSettledAt = now;
            _coverageAttempts = 0;
            _coverageAt = work.Kind == WorkKind.Train ? now + _prepareUsual.RetryAfter(_times, 0) : Instant.Never;
        }

        Conclude(work, now, effects);
    }

    private void Outvote(OpenWork work, AssignmentEntry entry, Instant now, EffectList effects)
    {
        if (entry.Discarded)
        {
            return;
        }

        Discard(work, entry);
        Counters.FaultyAnswers++;
        if (_workers.TryGetValue(entry.Worker, out WorkerEntry? distrusted))
        {
            distrusted.DistrustThrough = work.Version + 1;
        }

        bool finite = true;
        foreach (ShardReport report in entry.Report!.Shards)
        {
            finite &= report.Finite;
        }

        foreach (SubtreeReport report in entry.Report.Subtrees)
        {
            finite &= report.Finite;
        }

        string what = $"{entry.Worker} answered shards {entry.Range} of step {work.Version} with "
            + (finite ? "bits that two others contradict" : "values that are not finite, where another found finite ones");
        effects.Do(new Notice(NoticeKind.Faulty, entry.Worker, what + "; its answer is not used."));
        if (_workers.TryGetValue(entry.Worker, out WorkerEntry? worker) && (finite || ++worker.Faults >= Limits.MaximumFaultsPerWorker))
        {
            foreach (AssignmentEntry other in work.Entries)
            {
                if (other.Worker == entry.Worker && !other.Discarded)
                {
                    Discard(work, other);
                }
            }

            Quarantine(entry.Worker, what + "; it is not used any more.", now, effects);
        }
    }

    private static void Discard(OpenWork work, AssignmentEntry entry)
    {
        entry.Discarded = true;
        work.DiscardedIds.Add(entry.Id);
    }

    /// <summary>After answers were discarded: owners take their pieces out, and whoever holds good ones sends them again.</summary>
    private void StartAttempt(OpenWork work, EffectList effects)
    {
        work.Attempt++;
        work.AllSettledAt = Instant.Never;
        Array.Clear(work.Prepared);
        if (work.Kind != WorkKind.Train)
        {
            return;
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            SendDiscards(work, range, effects);
        }

        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.IsAnswer && _workers.ContainsKey(entry.Worker))
            {
                SendAssign(work, entry, effects);
            }
        }
    }

    private void SendDiscards(OpenWork work, RangeOwner range, EffectList effects)
        => effects.Send(range.Owner, new DiscardPieces(_epoch, work.Version, work.Attempt, [.. work.DiscardedIds]));

    private void OnPrepared(ActorId from, Prepared prepared, Instant now, EffectList effects)
    {
        if (_work is not { Kind: WorkKind.Train } work || prepared.Epoch != _epoch || prepared.Step != work.Version
            || (uint)prepared.Range >= (uint)_map.Ranges.Length)
        {
            return;
        }

        RangeOwner range = _map.Ranges[prepared.Range];
        if (range.Owner != from || range.Fence != prepared.Fence)
        {
            return; // of an owner that was replaced
        }

        if (range.Replica is { } replica && prepared.Step >= range.ReplicaSince && prepared.Replica != replica)
        {
            effects.Send(from, new ClaimEpoch(_epoch, _map)); // it doesn't know its replica yet, which has to hold the step as well
            return;
        }

        if (prepared.Attempt < work.Attempt)
        {
            SendDiscards(work, _map.Ranges[prepared.Range], effects);
            return;
        }

        if (prepared.Attempt != work.Attempt || work.Prepared[prepared.Range] is not null)
        {
            return;
        }

        work.Prepared[prepared.Range] = prepared;
        if (work.AllSettledAt != Instant.Never && work.Attempt == 0)
        {
            _prepareUsual.Observe(now - work.AllSettledAt, _coverageAttempts, _times);
        }

        Conclude(work, now, effects);
    }

    /// <summary>Decides the step, or ends the evaluation, when nothing is missing any more.</summary>
    private void Conclude(OpenWork work, Instant now, EffectList effects)
    {
        if (work.Unsettled > 0 || _phase != Phase.Working)
        {
            return;
        }

        if (work.Kind == WorkKind.Evaluate)
        {
            _work = null;
            NoteLateWorkers(work);
            _policy.Evaluated(work.Version, work.SettledReports());
            Counters.Evaluations++;
            effects.Do(new EvaluationFinished(work.Version));
            ReleaseDrained(effects);
            Advance(now, effects);
            return;
        }

        for (int range = 0; range < work.Prepared.Length; range++)
        {
            if (work.Prepared[range] is { } prepared && _map.Ranges[range] is { Replica: { } replica } of
                && work.Version >= of.ReplicaSince && prepared.Replica != replica)
            {
                work.Prepared[range] = null;
                return; // asked for again
            }

            bool behind = work.Version > 0 && _verdict is not null && !HasApplied(_map.Ranges[range], work.Version - 1);
            if (behind || (work.Prepared[range] is null && _map.TakesPart(range, _shape)))
            {
                return; // nobody may fall two steps behind: only the last verdict is sent again
            }
        }

        if (!EveryPieceIsVouchedFor(work, now, effects))
        {
            return;
        }

        Decide(work, now, effects);
    }

    /// <summary>
    /// A piece counts only with the report of its assignment: a worker that sent a piece and died before its report could
    /// have sent anything.
    /// </summary>
    private bool EveryPieceIsVouchedFor(OpenWork work, Instant now, EffectList effects)
    {
        if (Planted == PlantedFault.UnvouchedPieceCounted)
        {
            return true;
        }

        bool wait = false, discarded = false;
        foreach (Prepared? prepared in work.Prepared)
        {
            if (prepared is null)
            {
                continue;
            }

            foreach (long id in prepared.Assignments)
            {
                AssignmentEntry? entry = work.Find(id);
                if (entry is { IsAnswer: true })
                {
                    continue;
                }

                if (entry is { IsOutstanding: true } && !(entry.Speculated && _coverageAttempts > 0))
                {
                    wait = true; // its report is on the way; the assignment is sent again if it was lost
                    continue;
                }

                // Late for long, and the answers of others are here: theirs is taken, and its pieces are not waited for.

                discarded = true;
                if (entry is null)
                {
                    if (!work.DiscardedIds.Contains(id))
                    {
                        work.DiscardedIds.Add(id);
                    }
                }
                else if (!entry.Discarded)
                {
                    entry.GivenUp = true; // a worker that counts as lost may still answer
                    Discard(work, entry);
                }
            }
        }

        if (discarded)
        {
            StartAttempt(work, effects);
            work.AllSettledAt = now;
            _coverageAttempts = 0;
            _coverageAt = now + _prepareUsual.RetryAfter(_times, 0);
        }

        return !wait && !discarded;
    }

    private void Decide(OpenWork work, Instant now, EffectList effects)
    {
        var sums = new List<BlockSum>();
        bool finite = !work.AnyPoisoned();
        foreach (Prepared? prepared in work.Prepared)
        {
            if (prepared is not null)
            {
                sums.AddRange(prepared.Squares);
                finite &= prepared.Finite;
            }
        }

        ShardReport[] reports = work.SettledReports();
        double squares = BlockSums.Join(sums, _map.BlockCount);
        Decision decision = _policy.Decide(new StepOutcome(work.Version, reports, squares, finite));
        if (decision.Kind == VerdictKind.Stop && _plan is not null && _policy.GoesBackTo is >= 0 and var back)
        {
            RollBack(decision.Reason ?? $"The policy refused step {work.Version}.", now, effects, back);
            return;
        }

        if (decision.Kind == VerdictKind.Stop)
        {
            End(effects, failed: true, decision.Reason ?? $"The policy stopped the job at step {work.Version}.");
            return;
        }

        // Writing the verdict to the journal, before it is sent, is the commit point.
        _verdict = new Verdict(_epoch, work.Version, decision, _policy.Capture());
        if (Planted == PlantedFault.VerdictSentBeforeWritten)
        {
            SendVerdict(now, effects, again: false);
        }

        if (_plan is null)
        {
            effects.Do(new AppendJournal(new VerdictRecord(_verdict, 0, [])));
        }
        else if (!Record(work, decision, reports, now, effects))
        {
            return;
        }

        Version = work.Version + 1;
        Counters.Steps++;
        NoteStepTime(now);
        if (decision.Kind == VerdictKind.Skip)
        {
            Counters.SkippedSteps++;
            _ignoreStateVersion = Version; // owners may have zeroed rows: what workers hold is not what was committed
        }

        _previous = work;
        _work = null;
        _coverageAt = Instant.Never;
        NoteLateWorkers(work);
        SendVerdict(now, effects, again: false);
        effects.Do(new StepCommitted(Version));
        ReleaseDrained(effects);
        Advance(now, effects);
    }

    /// <summary>Workers that still compute something that is over get nothing new before they have answered.</summary>
    private void NoteLateWorkers(OpenWork work)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry is { Report: null, Lost: false, Rejected: false } && _workers.TryGetValue(entry.Worker, out WorkerEntry? worker))
            {
                worker.Behind = entry.Id;
                worker.DistrustThrough = work.Version + 1;
            }
        }

        for (int i = 0; i < _workers.Count; i++)
        {
            WorkerEntry worker = _workers.GetValueAtIndex(i);
            if (worker.ScaledTicksPerShard > 0 && work.Kind == WorkKind.Train && !WasUsed(work, worker.Id))
            {
                worker.Forgive(); // what was slow may have recovered: it is tried again one day
            }
        }
    }

    private static bool WasUsed(OpenWork work, ActorId worker)
    {
        foreach (AssignmentEntry entry in work.Entries)
        {
            if (entry.Worker == worker)
            {
                return true;
            }
        }

        return false;
    }

    private void SendVerdict(Instant now, EffectList effects, bool again)
    {
        _verdictRetryAt = Instant.Never;
        if (_verdict is not { } verdict)
        {
            return;
        }

        if (!again)
        {
            _verdictAt = now;
            _verdictAttempts = 0;
        }
        else if (now - _verdictAt > _applyUsual.FailAfter(_times))
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                if (!HasApplied(range, verdict.Step))
                {
                    End(effects, failed: true, $"{range.Owner} or its replica did not apply step {verdict.Step} within {(now - _verdictAt) / Instant.TicksPerSecond} s.");
                    return;
                }
            }
        }

        if (verdict.Epoch != _epoch)
        {
            verdict = verdict with { Epoch = _epoch };
            _verdict = verdict;
        }

        bool any = false;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (_appliedVersion[range.Range] <= verdict.Step)
            {
                any = true;
                effects.Send(range.Owner, verdict);
            }

            if (range.Replica is { } replica && verdict.Step >= range.ReplicaSince && _replicaVersion[range.Range] <= verdict.Step)
            {
                any = true;
                effects.Send(replica, verdict);
            }
        }

        if (any)
        {
            _verdictRetryAt = now + _applyUsual.RetryAfter(_times, _verdictAttempts++);
        }
    }

    private void OnApplied(ActorId from, Applied applied, Instant now, EffectList effects)
    {
        if (applied.Epoch != _epoch || (uint)applied.Range >= (uint)_map.Ranges.Length || applied.Fence != _map.Ranges[applied.Range].Fence)
        {
            return;
        }

        RangeOwner of = _map.Ranges[applied.Range];
        if (of.Owner != from && of.Replica != from)
        {
            return;
        }

        long[] versions = of.Owner == from ? _appliedVersion : _replicaVersion;
        if (applied.Version <= versions[applied.Range])
        {
            return;
        }

        Reach(of, from, applied.Version, effects);
        if (_verdict is { } verdict && applied.Version == verdict.Step + 1 && _phase != Phase.Filling)
        {
            _applyUsual.Observe(now - _verdictAt, _verdictAttempts - 1, _times);
        }

        GoOnWhenApplied(now, effects);
    }

    /// <summary>A copy has come to a version, as its server says.</summary>
    private void Reach(RangeOwner of, ActorId from, long version, EffectList effects)
    {
        long[] versions = of.Owner == from ? _appliedVersion : _replicaVersion;
        if (version > versions[of.Range])
        {
            NoteFilled(of, from, versions[of.Range], version, effects);
            versions[of.Range] = version;
        }
    }

    /// <summary>Goes on with what waits for copies to come to a version.</summary>
    private void GoOnWhenApplied(Instant now, EffectList effects)
    {
        if (_phase == Phase.Filling)
        {
            FillRanges(now, effects);
        }
        else if (_verdict is { } verdict && _phase is Phase.Working or Phase.Snapshotting or Phase.AwaitingSave)
        {
            foreach (RangeOwner range in _map.Ranges)
            {
                if (!HasApplied(range, verdict.Step))
                {
                    return;
                }
            }

            _verdictRetryAt = Instant.Never;
            if (_work is { Kind: WorkKind.Train } work)
            {
                Conclude(work, now, effects);
            }
        }
    }

    private bool HasApplied(RangeOwner range, long step)
        => _appliedVersion[range.Range] > step
            && (range.Replica is null || step < range.ReplicaSince || _replicaVersion[range.Range] > step);
}
