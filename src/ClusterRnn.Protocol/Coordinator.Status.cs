// What the coordinator tells of itself and the others.
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Protocol;

public sealed partial class Coordinator
{
    private ObservedTime _stepTime;
    private Instant _committedAt = Instant.Never;

    private void NoteStepTime(Instant now)
    {
        if (_committedAt != Instant.Never)
        {
            _stepTime.Add(now - _committedAt);
        }

        _committedAt = now;
    }

    private StatusReply Status(Instant now)
    {
        var nodes = new List<NodeStatus>();
        for (int i = 0; i < _workers.Count; i++)
        {
            nodes.Add(StatusOf(_workers.GetValueAtIndex(i), now));
        }

        for (int i = 0; i < _servers.Count; i++)
        {
            nodes.Add(StatusOf(_servers.GetKeyAtIndex(i), _servers.GetValueAtIndex(i), now));
        }

        for (int i = 0; i < _quarantined.Count; i++)
        {
            nodes.Add(new NodeStatus(_quarantined.GetKeyAtIndex(i), NodeCondition.Quarantined, "", -1, 0, 0, 0, 0, _quarantined.GetValueAtIndex(i)));
        }

        return new StatusReply(_epoch, Version, Activity(), _stepTime.Mean, _phase == Phase.Ended, [.. nodes], Counters.ToNamed());
    }

    private string Activity() => _phase switch
    {
        Phase.Gathering => $"waiting for {WantedServers()} server(s), {AvailableServers()} there",
        Phase.Claiming => $"claiming epoch {_epoch}, waiting for {MissingServers()}",
        Phase.Restoring => "restoring the last checkpoint",
        Phase.Filling => $"waiting for {UnfilledOwner()} to take the content of its range",
        Phase.Snapshotting => $"step {_snapshotVersion}: waiting for {SlowestSnapshot()} to keep a copy",
        Phase.AwaitingSave => $"waiting for the checkpoint of step {_savedVersion}",
        Phase.Ended => $"ended: {_endReason}",
        _ => Working(),
    };

    private string Working()
    {
        if (_work is not { } work)
        {
            return "between steps";
        }

        string what = work.Kind == WorkKind.Train ? $"step {work.Version}" : $"evaluating step {work.Version}";
        if (work.Unsettled > 0)
        {
            return ActiveWorkers == 0 ? $"{what}: no worker" : $"{what}: {work.Unsettled} of {work.Shards} shard(s) being computed";
        }

        foreach (RangeOwner range in _map.Ranges)
        {
            if (work.Kind == WorkKind.Train && work.Prepared[range.Range] is null && _map.TakesPart(range.Range, _shape))
            {
                return $"{what}: waiting for {range.Owner} to reduce range {range.Range}";
            }
        }

        return $"{what}: waiting for the last verdict to be applied";
    }

    private NodeStatus StatusOf(WorkerEntry worker, Instant now)
    {
        NodeCondition condition = NodeCondition.Idle;
        string shards = "", why = "";
        foreach (AssignmentEntry entry in _work?.Entries ?? [])
        {
            if (entry.Worker != worker.Id || !entry.IsOutstanding)
            {
                continue;
            }

            condition = NodeCondition.Active;
            shards = $"shards {entry.Range}";
            long usual = worker.TicksPerShard * entry.Range.Count;
            if (entry.Speculated || now >= LateAt(_work!, entry))
            {
                condition = NodeCondition.Late;
                why = $"asked for {(now - entry.At) / Instant.TicksPerMillisecond} ms ago, usually computes {usual / Instant.TicksPerMillisecond} ms";
            }
        }

        if (worker.Behind >= 0)
        {
            condition = NodeCondition.Late;
            why = "still has shards of a step that is over";
        }

        if (_membership.IsSuspect(worker.Id, now))
        {
            condition = NodeCondition.Suspect;
            why = SilenceOf(worker.Id, now);
        }
        else if (why.Length == 0 && worker.WaitTicks > worker.ComputeTicks && worker.ComputeTicks > 0)
        {
            why = "waits longer than it computes";
        }

        return new NodeStatus(
            worker.Id, worker.Draining ? NodeCondition.Draining : condition, shards, _work is null || shards.Length == 0 ? -1 : _work.Version,
            _membership.Silence(worker.Id, now), worker.ComputeTicks, worker.WaitTicks, worker.TicksPerShard, why);
    }

    private NodeStatus StatusOf(ActorId server, ServerEntry entry, Instant now)
    {
        var owns = new List<int>();
        var copies = new List<int>();
        long version = -1;
        bool filling = false;
        foreach (RangeOwner range in _map.Ranges)
        {
            if (!_unclaimed && range.Owner == server)
            {
                owns.Add(range.Range);
                filling |= _appliedVersion[range.Range] < 0;
                version = Math.Max(version, _appliedVersion[range.Range]);
            }
            else if (!_unclaimed && range.Replica == server)
            {
                copies.Add(range.Range);
                filling |= _replicaVersion[range.Range] < range.ReplicaSince;
                version = Math.Max(version, _replicaVersion[range.Range]);
            }
        }

        string work = string.Join("; ", (string[])[.. owns.Count > 0 ? [$"owns {string.Join(", ", owns)}"] : (string[])[],
            .. copies.Count > 0 ? [$"replica of {string.Join(", ", copies)}"] : (string[])[]]);
        bool suspect = _membership.IsSuspect(server, now);
        NodeCondition condition = suspect ? NodeCondition.Suspect
            : entry.Draining ? NodeCondition.Draining
            : filling ? NodeCondition.Filling
            : work.Length == 0 ? NodeCondition.Idle
            : NodeCondition.Active;
        return new NodeStatus(server, condition, work, version, _membership.Silence(server, now), 0, 0, 0, suspect ? SilenceOf(server, now) : "");
    }

    private string SilenceOf(ActorId actor, Instant now)
        => $"silent for {_membership.Silence(actor, now) / Instant.TicksPerMillisecond} ms, usually less than {_membership.SuspectAfter(actor) / Instant.TicksPerMillisecond} ms";
}
