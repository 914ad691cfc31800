// What happens at a version: evaluate, save, end, or open the next step.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    /// <summary>At a version: saves, evaluates, ends or opens the next step.</summary>
    private void Advance(Instant now, EffectList effects)
    {
        _phase = Phase.Working;
        NextAction next = _stopReason is null ? _policy.Next(Version) : NextAction.End;
        if (next == NextAction.Save || (next == NextAction.End && _savedVersion != Version))
        {
            if (_saving)
            {
                _phase = Phase.AwaitingSave; // one at a time: the copies of the one before are still being written
                return;
            }

            _phase = Phase.Snapshotting;
            _phaseSince = now;
            _phaseAttempts = 0;
            _snapshotVersion = Version;
            Array.Clear(_snapshotTaken);
            SendSnapshots(now, effects);
            return;
        }

        if (next == NextAction.End)
        {
            if (_saving)
            {
                _phase = Phase.AwaitingSave;
                return;
            }

            string reason = _stopReason ?? _policy.EndReason;
            End(effects, failed: false, _unsaved is null ? reason : $"{reason}, but {_unsaved}");
            return;
        }

        if (next == NextAction.Train)
        {
            ArrangeServers(now, effects);
        }

        Open(next == NextAction.Evaluate ? WorkKind.Evaluate : WorkKind.Train, now, effects);
    }

    private void ContinueAfterSave(Instant now, EffectList effects)
    {
        if (_phase == Phase.AwaitingSave)
        {
            Advance(now, effects);
        }
    }

    private void OnCheckpointFailed(CheckpointFailed failed, Instant now, EffectList effects)
    {
        Counters.FailedCheckpoints++;
        effects.Do(new Notice(NoticeKind.Warning, Id, $"The checkpoint of step {failed.Version} could not be saved: {failed.Reason}"));
        _saving = false;
        if (_savedVersion == failed.Version)
        {
            // The one the job ends with is tried once more; an earlier one only if the job is asked to stop right there.
            bool isLast = _phase == Phase.AwaitingSave && failed.Version == Version;
            if (isLast && _triedAgain)
            {
                _unsaved = $"step {failed.Version} could not be saved: {failed.Reason}";
            }
            else
            {
                _triedAgain |= isLast;
                _savedVersion = -1;
            }
        }

        ContinueAfterSave(now, effects);
    }

    private void SendSnapshots(Instant now, EffectList effects)
    {
        if (now - _phaseSince > _applyUsual.FailAfter(_times))
        {
            End(effects, failed: true, $"{SlowestSnapshot()} did not keep a copy of step {_snapshotVersion} within {(now - _phaseSince) / Instant.TicksPerSecond} s.");
            return;
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            if (!_snapshotTaken[range.Range])
            {
                effects.Send(range.Owner, new TakeSnapshot(_epoch, _snapshotVersion));
            }
        }

        _claimRetryAt = now + _applyUsual.RetryAfter(_times, _phaseAttempts++);
    }

    private ActorId SlowestSnapshot()
    {
        foreach (RangeOwner range in _map.Ranges)
        {
            if (!_snapshotTaken[range.Range])
            {
                return range.Owner;
            }
        }

        return Id;
    }

    private void OnSnapshotTaken(SnapshotTaken taken, Instant now, EffectList effects)
    {
        if (_phase != Phase.Snapshotting || taken.Epoch != _epoch || taken.Version != _snapshotVersion)
        {
            return;
        }

        _snapshotTaken[taken.Range] = true;
        if (Array.IndexOf(_snapshotTaken, false) >= 0)
        {
            return;
        }

        _claimRetryAt = Instant.Never;
        _savedVersion = Version;
        _saving = true;
        _policy.Saved(Version);
        effects.Do(new SaveCheckpoint(Version));
        Advance(now, effects);
    }

    private void OnStop(string reason, Instant now, EffectList effects)
    {
        _stopReason ??= reason;
        if (_phase == Phase.Gathering)
        {
            Version = _contentVersion;
            End(effects, failed: false, reason); // nothing is lost by it: the checkpoint is where it was
            return;
        }

        if (_work is { } work && (work.Kind == WorkKind.Evaluate || ActiveWorkers == 0))
        {
            _work = null; // nothing of it is committed; whoever resumes does it again
            _coverageAt = Instant.Never;
            Advance(now, effects);
        }
    }

    private void End(EffectList effects, bool failed, string reason)
    {
        _phase = Phase.Ended;
        _endReason = reason;
        _work = null;
        _goodbye = new Shutdown(_epoch, failed, reason);
        if (Planted == PlantedFault.OvertakenEndsTheJob)
        {
            SayGoodbye(_goodbye, effects);
        }

        effects.Do(new EndJob(Version, failed, reason));
        SayGoodbye(_goodbye, effects);
    }

    private void SayGoodbye(Shutdown goodbye, EffectList effects)
    {
        foreach (ActorId worker in _workers.Keys)
        {
            effects.Send(worker, goodbye);
        }

        foreach (ActorId server in _servers.Keys)
        {
            effects.Send(server, goodbye);
        }
    }

    /// <summary>Somebody follows a later epoch: this coordinator ends, and tells nobody, because the job goes on under another one.</summary>
    private void EndOvertaken(ActorId witness, long epoch, EffectList effects)
    {
        _phase = Phase.Ended;
        _endReason = $"{witness} follows epoch {epoch}; this coordinator's is {_epoch}. Another coordinator has taken over this job.";
        _work = null;
        effects.Do(new EndActor(Failed: true, _endReason));
    }
}
