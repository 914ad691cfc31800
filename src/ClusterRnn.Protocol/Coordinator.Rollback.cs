// A range has no live copy left: the whole job goes back to the newest whole checkpoint, in the next epoch.
//
// The host claims that epoch and reads the checkpoint; then it is as at the start. Nothing of the old epoch counts any more, and
// no range keeps its content. The steps since the checkpoint are executed again and must come to what was recorded of them.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private long _abandonedShards; // of the step that was open when the job went back
    private const int MostAttempts = 4; // to go back to a checkpoint that can't be used

    private long _courseFrom = -1; // where the policy wants another course to begin
    private int _courseAttempts;
    private CourseHistory _courses = new();

    private void RollBack(string reason, Instant now, EffectList effects, long toVersion = -1)
    {
        _phase = Phase.Restoring;
        _phaseSince = now;
        _restoreReason = reason;
        if (_work is { Kind: WorkKind.Train } work)
        {
            foreach (AssignmentEntry entry in work.Entries)
            {
                _abandonedShards += entry.Cause == AssignmentCause.First ? entry.Range.Count : 0;
            }
        }

        _work = null;
        _previous = null;
        _claimRetryAt = Instant.Never;
        _verdictRetryAt = Instant.Never;
        _coverageAt = Instant.Never;
        _fillRetryAt = Instant.Never;
        _fillAttempts = 0; // or the next filling would seem to have begun with this one
        _courseFrom = toVersion;
        effects.Do(new Notice(NoticeKind.Warning, Id, toVersion >= 0
            ? $"{reason} The job goes back to step {toVersion}, to go on from there with half the learning rate."
            : $"{reason} The job goes back to its last checkpoint."));
        effects.Do(new RestoreCheckpoint(_epoch + 1, toVersion));
    }

    private void OnRestored(CheckpointRestored restored, Instant now, EffectList effects)
    {
        if (_phase != Phase.Restoring || restored.Epoch != _epoch + 1)
        {
            return;
        }

        effects.Do(new AppendJournal(new EpochRecord(restored.Epoch, _epoch, restored.AdoptedBytes)));
        bool beginsCourse = _courseFrom >= 0 && restored.Version == _courseFrom;
        if (_courseFrom >= 0 && !beginsCourse && ++_courseAttempts == MostAttempts)
        {
            End(effects, failed: true, $"{_restoreReason} The checkpoint of step {_courseFrom}, to which the job has to go back, could not be used {MostAttempts} times.");
            return;
        }

        // From an older checkpoint the steps up to the one that is missing are executed again, and it is saved again.
        if (beginsCourse)
        {
            _courseAttempts = 0;
            _policy.GoBack(restored.PolicyState);
            _digests.RemoveFrom(_courses.Begin(new Course(restored.Version, _policy.Capture())));
        }
        else
        {
            _digests.RemoveFrom(_courses.GoBackTo(restored.Version));
            _policy.Restore(_courses.At(restored.Version)?.PolicyState ?? restored.PolicyState); // the course's may not have been saved yet
        }

        effects.Do(new AppendJournal(new RollbackRecord(
            restored.Epoch, restored.Version, _restoreReason!, beginsCourse ? _courses.At(restored.Version)!.PolicyState : default)));
        _courseFrom = -1;
        long steps = Math.Max(0, Version - restored.Version);
        Counters.NoteRollbackTo(steps, _abandonedShards, _shape.Shards);
        effects.Do(new Notice(NoticeKind.RolledBack, Id, $"Back at step {restored.Version}; {steps} step(s) are executed again, in epoch {restored.Epoch}."));
        _abandonedShards = 0;
        _epoch = Planted == PlantedFault.RollbackKeepsEpoch ? _epoch : restored.Epoch;
        _nextAssignment = Math.Max(_nextAssignment, _epoch << 40);
        Version = restored.Version;
        _contentVersion = restored.Version;
        _contentOrigin = restored.Epoch;
        _verdict = null;
        _savedVersion = restored.Version;
        _ignoreStateVersion = -1;
        _lastCutVersion = restored.Version;
        _cutIsStale = true;
        _gone.Clear();
        foreach (WorkerEntry worker in _workers.Values)
        {
            worker.Behind = -1; // they forget what they have with the welcome of the new epoch
            worker.DistrustThrough = -1;
        }

        Gather(now, effects);
    }

    /// <summary>Writes the verdict, with what the step came to, to the journal; before that compares it with what it came to the last time.</summary>
    /// <returns>False when it differs and the job has ended.</returns>
    private bool Record(OpenWork work, in Decision decision, ShardReport[] reports, Instant now, EffectList effects)
    {
        ulong digest = DigestOf(work, decision, reports);
        if (_digests.TryGet(work.Version, out ulong before))
        {
            if (before != digest)
            {
                End(effects, failed: true,
                    $"Step {work.Version} was executed again and came to {digest:x16}; the first time it was {before:x16}. "
                    + "The same step must give the same bits: a machine computes wrong, or the checkpoint is not of this job.");
                return false;
            }

            Counters.ReproducedSteps++;
        }

        _digests.Add(work.Version, digest);
        var rows = new ulong[reports.Length];
        for (int shard = 0; shard < rows.Length; shard++)
        {
            rows[shard] = reports[shard].RowsDigest;
        }

        effects.Do(new AppendJournal(new VerdictRecord(_verdict!, digest, rows)));
        return true;
    }

    /// <summary>Over everything that a step came to and that does not depend on who computed it: FNV-1a, 64 bits at a time.</summary>
    private static ulong DigestOf(OpenWork work, in Decision decision, ShardReport[] reports)
    {
        ulong digest = 14695981039346656037;
        void Add(ulong value) => digest = (digest ^ value) * 1099511628211;
        void AddNumber(double value) => Add(double.IsNaN(value) ? 0x7FF8_0000_0000_0000 : BitConverter.DoubleToUInt64Bits(value));
        Add((ulong)decision.Kind);
        Add((ulong)decision.Count);
        Add((ulong)decision.Update);
        AddNumber(decision.ClipScale);
        AddNumber(decision.LearningRate);
        bool finite = true;
        foreach (ShardReport report in reports)
        {
            Add(report.RowsDigest);
            Add(report.StateDigest);
            finite &= report.Finite;
            foreach (double sum in report.Sums)
            {
                AddNumber(sum);
            }

            foreach (long count in report.Counts)
            {
                Add((ulong)count);
            }
        }

        foreach (Prepared? prepared in work.Prepared)
        {
            if (prepared is not null && finite)
            {
                Add(prepared.Digest);
            }
        }

        return digest;
    }
}
