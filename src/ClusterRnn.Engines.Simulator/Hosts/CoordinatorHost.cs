// A simulated coordinator: what its host does with journal, checkpoints and first contents, on a simulated disk.
//
// It does what the host of a coordinator process does, in the same order: read the journals, load the newest whole checkpoint, claim
// the next epoch, keep what servers push, write it beside the work and say so when it is on the disk.
using System.Globalization;
using ClusterRnn.Engines.Simulator.Disks;
using ClusterRnn.Engines.Simulator.Model;
using ClusterRnn.Node;
using ClusterRnn.Node.Experiments;
using ClusterRnn.Node.Journals;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training.Policy;

namespace ClusterRnn.Engines.Simulator.Hosts;

/// <summary>Hosts a coordinator.</summary>
internal sealed class CoordinatorHost : SimulatedNode
{
    private const long PushTimeoutTicks = 3 * Instant.TicksPerSecond;

    private readonly SimulatedJob _job;
    private readonly SimulatedJournal _journal;
    private readonly SimulatedCheckpoints _checkpoints;
    private readonly TrainingVerdictPolicy _policy;
    private readonly Block?[] _pushed;
    private (long Epoch, long Version) _pushedOf = (-1, -1);
    private SavedState _source; // what servers are filled from
    private Saving? _saving;
    private RestoreCheckpoint? _restore;

    private CoordinatorHost(
        Simulation simulation, NodeName place, Coordinator actor, SimulatedJournal journal, SimulatedCheckpoints checkpoints, TrainingVerdictPolicy policy, SavedState source)
        : base(simulation, place, actor, place.Place == 0 ? "coordinator" : "standby")
    {
        _job = simulation.Plan.Job;
        _journal = journal;
        _checkpoints = checkpoints;
        _policy = policy;
        _source = source;
        _pushed = new Block?[_job.Cut.Ranges.Length];
    }

    /// <summary>The actor.</summary>
    public Coordinator Coordinator => (Coordinator)Actor;

    /// <summary>The policy it decides by.</summary>
    public TrainingVerdictPolicy Policy => _policy;

    /// <summary>Starts a process: it reads what its predecessors left.</summary>
    /// <exception cref="IOException">Somebody else claimed the epoch.</exception>
    public static CoordinatorHost Create(Simulation simulation, NodeName place)
    {
        SimulatedJob job = simulation.Plan.Job;
        var journal = new SimulatedJournal(simulation.Disk, simulation.Plan.Planted);
        var checkpoints = new SimulatedCheckpoints(simulation.Disk, job);
        JournalReading read = JournalChain.Read(journal);
        SavedState source = checkpoints.Newest() ?? SavedState.StartOf(job);
        simulation.Checkers.Restored(source.Version);
        TrainingPolicy course = job.Job.CreatePolicy();
        course.Load(source.Policy);
        var policy = new TrainingVerdictPolicy(course, job.Job, saves: true, captures: true);
        long epoch = read.Epoch + 1;
        if (!journal.TryClaim(epoch))
        {
            throw new IOException($"epoch {epoch} is claimed");
        }

        var plan = new ServerPlan(job.Servers, simulation.Plan.Replicas, course.Version, read.State, read.Predecessor, read.Bytes);
        var actor = new Coordinator(ActorId.Coordinator, job.Shape, job.Cut, policy, simulation.Plan.Times, epoch, plan: plan) { Planted = simulation.Plan.Planted };
        var host = new CoordinatorHost(simulation, place, actor, journal, checkpoints, policy, source);
        simulation.NoteClaim(epoch, host);
        return host;
    }

    /// <inheritdoc/>
    protected override Message? Arrived(Message message, Block[]? blocks)
    {
        if (message is not RangePushed pushed)
        {
            return message;
        }

        (long Epoch, long Version) of = (pushed.Epoch, pushed.Version);
        if (of.CompareTo(_pushedOf) > 0)
        {
            _pushedOf = of;
            Array.Clear(_pushed);
        }

        if (of == _pushedOf)
        {
            _pushed[pushed.Range] = blocks![0];
            WriteWhenComplete();
        }

        return null;
    }

    /// <inheritdoc/>
    protected override void Do(NodeEffect effect)
    {
        switch (effect)
        {
            case AppendJournal append:
                Append(append.Record);
                break;
            case SendRangeCopy send:
                Send(send.To, new RangeCopy(send.Epoch, send.Range, send.Fence, send.Version, 0), _source.Contents[send.Range]);
                break;
            case RestoreCheckpoint restore:
                _restore = restore;
                RestoreWhenSaved();
                break;
            case SaveCheckpoint save:
                Save(save.Version);
                break;
            case StepCommitted committed:
                Simulation.Committed(this, committed.Version);
                break;
            case EvaluationFinished:
                break;
            case Notice notice:
                Simulation.Noticed(this, notice);
                break;
            case EndJob end:
                Simulation.JobEnded(this, end);
                break;
            case EndActor end:
                Simulation.ProcessEnded(this, end.Reason, end.Failed);
                break;
        }
    }

    /// <summary>What the job has come to, if all of it was pushed.</summary>
    public SavedState? Final(long version)
        => _pushedOf.Version == version && !_pushed.Contains(null) ? new SavedState(version, _policy.Policy.Save(), [.. _pushed.Select(block => block!)]) : null;

    private void Append(JournalRecord record)
    {
        try
        {
            _journal.Append(record);
        }
        catch (IOException error)
        {
            Simulation.ProcessEnded(this, $"the journal can't be written: {error.Message}", failed: true);
            return;
        }

        Simulation.Checkers.Journaled(this, record);
    }

    private void Save(long version)
    {
        // Copies of the same version from before the job went back may be of another course.
        var saving = new Saving(Coordinator.Epoch, version, _policy.Policy.Save());
        _saving = saving;
        Later(PushTimeoutTicks, () =>
        {
            if (_saving == saving && !saving.IsWriting)
            {
                Finish(saving, new CheckpointFailed(version, "a server's copy did not arrive"));
            }
        });
        if (Simulation.Plan.Planted == PlantedFault.CheckpointAcknowledgedBeforeWritten)
        {
            Later(1, () => Tell(new CheckpointSaved(version)));
        }

        WriteWhenComplete();
    }

    private void WriteWhenComplete()
    {
        if (_saving is not { IsWriting: false } saving || _pushedOf != (saving.Epoch, saving.Version) || _pushed.Contains(null))
        {
            return;
        }

        saving.IsWriting = true;
        var state = new SavedState(saving.Version, saving.Policy, [.. _pushed.Select(block => block!)]);
        string? name = null;
        string? failure = null;
        try
        {
            name = _checkpoints.Begin(state, Process);
        }
        catch (IOException error)
        {
            failure = error.Message;
        }

        Later(Simulation.WorkDice.Between(1, 20_000), () =>
        {
            if (_journal.IsOvertaken)
            {
                // The other one may be on another course by now, which this checkpoint is not of.
                Simulation.ProcessEnded(this, "another coordinator has taken over before a checkpoint was written", failed: true);
                return;
            }

            if (failure is null && !Simulation.Disk.IsFull)
            {
                _checkpoints.Finish(name!, saving.Version);
                Finish(saving, new CheckpointSaved(saving.Version));
            }
            else
            {
                Finish(saving, new CheckpointFailed(saving.Version, failure ?? "no space left on device"));
            }
        });
    }

    private void Finish(Saving saving, Message result)
    {
        if (_saving == saving)
        {
            _saving = null;
        }

        if (!(result is CheckpointSaved && Simulation.Plan.Planted == PlantedFault.CheckpointAcknowledgedBeforeWritten))
        {
            Tell(result);
        }

        RestoreWhenSaved();
    }

    /// <summary>A checkpoint that is being written must be finished, or given up, before the newest one is chosen.</summary>
    private void RestoreWhenSaved()
    {
        if (_restore is not { } restore || _saving is { IsWriting: true })
        {
            return;
        }

        if (_saving is { } saving)
        {
            _saving = null; // its copies are still on their way, from servers that may be gone
            Later(1, () => Tell(new CheckpointFailed(saving.Version, "it was given up")));
        }

        _restore = null;
        Later(Simulation.WorkDice.Between(2, 50_000), () =>
        {
            long adopted = _journal.Bytes;
            if (!_journal.TryClaim(restore.Epoch))
            {
                Tell(new RestoreFailed(restore.Epoch, $"epoch {restore.Epoch} is claimed"));
                return;
            }

            Simulation.NoteClaim(restore.Epoch, this);
            _source = _checkpoints.Newest(restore.Version < 0 ? long.MaxValue : restore.Version) ?? SavedState.StartOf(_job);
            if (restore.Version == _source.Version)
            {
                _checkpoints.RemoveAfter(restore.Version);
            }
            else if (restore.Version < 0)
            {
                Simulation.Checkers.Restored(_source.Version);
            }

            Tell(new CheckpointRestored(restore.Epoch, _source.Version, _source.Policy, adopted));
        });
    }

    private sealed class Saving(long epoch, long version, byte[] policy)
    {
        public readonly long Epoch = epoch;
        public readonly long Version = version;
        public readonly byte[] Policy = policy;
        public bool IsWriting;
    }
}
