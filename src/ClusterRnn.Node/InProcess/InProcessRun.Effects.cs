// What actors decided, performed: messages delivered by reference, work given to hosts, checkpoints, what observers are told.
using System.Diagnostics;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Checkpoints;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Runs;

namespace ClusterRnn.Node.InProcess;

internal sealed partial class InProcessRun
{
    private void Perform(IActor actor)
    {
        // Nothing below makes an actor decide again, so the list doesn't change while it is read.
        for (int i = 0; i < _effects.Count; i++)
        {
            Effect effect = _effects[i];
            if (effect.Message is { } message)
            {
                _local.Enqueue(new Envelope(actor.Id, effect.To, message));
            }
            else
            {
                Do(actor.Id, effect.Action!);
            }
        }

        _effects.Clear();
    }

    private void Do(ActorId from, NodeEffect action)
    {
        switch (action)
        {
            case ComputeShards compute:
                Compute(_workers[from.Number], compute);
                break;
            case SendPiece send:
                _local.Enqueue(new Envelope(from, send.To, new Piece(send.Key, _workers[from.Number].AnswerTo(send.Key.Assignment).Number)));
                break;
            case SendStatePiece send:
                _local.Enqueue(new Envelope(from, send.To, new StatePiece(
                    send.Epoch, send.Step, send.Fence, send.Shard, send.Assignment, _workers[from.Number].AnswerTo(send.Assignment).Number)));
                break;
            case ReleaseAnswer release:
                _workers[from.Number].Release(release.Assignment);
                break;
            case HoldStates hold:
                _workers[from.Number].HoldStates(hold);
                break;
            case ReduceSegment or StoreStates or ApplyVerdict or SnapshotRange:
                Schedule(_servers[from.Number], action);
                break;
            case SendParameters send:
                _local.Enqueue(new Envelope(from, send.To, new ParametersArrived(send.Epoch, send.Range, send.Version)));
                break;
            case SendState send:
                _local.Enqueue(new Envelope(from, send.To, new StateArrived(send.Epoch, send.Version, send.Shards, from.Number)));
                break;
            case SaveCheckpoint save:
                Save(save.Version);
                break;
            case StepCommitted committed:
                OnCommitted(committed.Version);
                break;
            case EvaluationFinished evaluated:
                OnEvaluated(evaluated.Version);
                break;
            case Notice notice:
                OnNotice(notice);
                break;
            case EndJob end:
                End(end);
                break;
            case EndActor when from.Role == ActorRole.Worker:
                _workers[from.Number].IsDead = true;
                _workers[from.Number].Sleeper.Wake();
                EndWithoutWorkers();
                break;
        }
    }

    private void Compute(WorkerHost worker, ComputeShards compute)
    {
        if (_firstStepAt == 0)
        {
            _firstStepAt = Stopwatch.GetTimestamp();
        }

        AnswerBuffers? answer = compute.Kind == WorkKind.Train
            ? _answers.Rent(worker.Number, compute.Version, worker.SubtreesOf(compute.Range))
            : null;
        worker.Give(compute, answer);
        worker.Sleeper.Wake();
    }

    private void LoseWorker(WorkerHost worker, Exception failure)
    {
        worker.IsDead = true;
        _failureOfWorker = failure; // the last one is the one that leaves nobody
        if (failure.InnerException is PlannedFailureException { Fault.Replace: true })
        {
            AddWorker();
        }

        if (worker.IsStarted)
        {
            _local.Enqueue(new Envelope(ActorId.Coordinator, ActorId.Coordinator, new ActorDown(worker.Actor.Id, failure.Message)));
        }
        else
        {
            _coordinator.Counters.NoteLostBeforeJoining();
            _observer.Tell(observer => observer.OnNotice(failure.Message));
        }

        StartWhenReady(null);
        EndWithoutWorkers();
    }

    private void EndWithoutWorkers()
    {
        if (_started && !_coordinator.NeedsWorkers)
        {
            return; // what is left to do, they are not needed for
        }

        foreach (WorkerHost worker in _workers)
        {
            if (!worker.IsDead && (worker.IsStarted || !_started || worker.Number >= _firstWorkers))
            {
                return;
            }
        }

        if (!_over)
        {
            Fail(_failureOfWorker is { } last
                ? new TrainingException($"No worker is left: {last.Message}", last)
                : new TrainingException($"No worker is left at step {_coordinator.Version}."));
        }
    }

    /// <summary>Says where a checkpoint is written that takes very long; each time after twice as long.</summary>
    private void WatchSaving(Instant now)
    {
        if (!_saving.IsCompleted && now >= _savingIsLongAt)
        {
            long seconds = (now - _savingSince) / Instant.TicksPerSecond;
            _savingIsLongAt = now + (seconds * Instant.TicksPerSecond);
            string text = $"A checkpoint has been written for {seconds} s and is not finished yet: {_options.Checkpoints!.Folder}";
            _observer.Tell(observer => observer.OnNotice(text));
        }
    }

    private void Save(long version)
    {
        if (Volatile.Read(ref _over))
        {
            return; // nobody waits for it, and the copy is about to go
        }

        _copy.Policy = _policy.Policy.Save();
        if (_options.Checkpoints is not { } store)
        {
            _local.Enqueue(new Envelope(ActorId.Coordinator, ActorId.Coordinator, new CheckpointSaved(version)));
            return;
        }

        CheckpointInfo info = _reports.Checkpoint(version);
        _savingSince = Now();
        _savingIsLongAt = _savingSince + (60 * Instant.TicksPerSecond);
        _saving = Task.Run(() =>
        {
            Message result;
            try
            {
                // Whoever resumes from the checkpoint has only what the observers keep of the steps before it.
                _observer.TellNow(observer => observer.OnSaving(version));
                CheckpointWrite written = store.Save(_copy, info, _options.Artefacts);
                result = written.Path is { } path ? new CheckpointSaved(version) : new CheckpointFailed(version, written.Warning ?? "");
                if (written.Path is { } folder)
                {
                    _checkpoint = folder;
                    _checkpointStep = version;
                    _observer.Tell(observer => observer.OnCheckpoint(version, folder));
                    if (written.Warning is { } warning)
                    {
                        _observer.Tell(observer => observer.OnNotice(warning));
                    }
                }
            }
            catch (Exception e)
            {
                Fail(new TrainingException($"The checkpoint of step {version} in {store.Folder} failed: {e.Message}", e));
                return;
            }

            Post(new Arrival(new Envelope(ActorId.Coordinator, ActorId.Coordinator, result), null, null));
        });
    }

    private void OnCommitted(long version)
    {
        StepReport report = _reports.Step(version, Elapsed());
        _targets += report.Tokens;
        _observer.Tell(observer => observer.OnStep(report));
        if (version == _firstStep + WarmUpSteps)
        {
            _actorBytesAtWarmUp = _actorBytes;
            _computeBytesAtWarmUp = [.. _workers.Select(worker => worker.AllocatedBytes)];
        }

        foreach (Fault fault in _options.Faults.Faults)
        {
            if (fault is JoinWorker join && join.Step == version)
            {
                _joining.Enqueue(_workers[_nextJoiner++]); // not here: effects are being performed
            }
            else if (fault is LeaveWorker leave && leave.Step == version && leave.Worker < _workers.Count)
            {
                ActorId worker = ActorId.Worker(leave.Worker);
                _local.Enqueue(new Envelope(worker, worker, new Drain()));
            }
        }
    }

    private void OnEvaluated(long version)
    {
        EvaluationReport report = _reports.Evaluation(version, Elapsed());
        _observer.Tell(observer => observer.OnEvaluation(report));
    }

    private void OnNotice(Notice notice)
    {
        if (notice.Kind != NoticeKind.Joined || _coordinator.Counters.Steps > 0)
        {
            _observer.Tell(observer =>
            {
                if (notice.IsWarning)
                {
                    observer.OnNotice(notice.Text);
                }
                else
                {
                    observer.OnInformation(notice.Text);
                }
            });
        }
    }

    private TimeSpan Elapsed() => Stopwatch.GetElapsedTime(_startedAt);
}
