using ClusterRnn.Engines.Simulator.Hosts;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;

namespace ClusterRnn.Engines.Simulator.Checkers;

/// <summary>
/// A step commits with pieces that were reported on, and not while two answers to one of its shards differ: the one that counts is
/// confirmed by another worker, or is finite where the other is not.
/// </summary>
/// <param name="simulation">The run.</param>
internal sealed class AnswerChecker(Simulation simulation) : Checker(simulation, "answers")
{
    private readonly Dictionary<int, Step> _steps = []; // by the coordinator's process
    private readonly HashSet<(long Assignment, int Shard)> _wrong = [];
    private readonly HashSet<ActorId> _faulty = []; // workers that were named: what they say does not count

    /// <inheritdoc/>
    public override void Computing(SimulatedNode node, ComputeShards compute, ShardReport[] reports, bool isWrong)
    {
        if (isWrong)
        {
            foreach (ShardReport report in reports)
            {
                _wrong.Add((compute.Assignment, report.Shard));
            }
        }
    }

    /// <inheritdoc/>
    public override void Decided(SimulatedNode node, NodeEffect effect)
    {
        if (effect is Notice { Kind: NoticeKind.Faulty or NoticeKind.Quarantined } notice)
        {
            _faulty.Add(notice.Actor);
        }
    }

    /// <inheritdoc/>
    public override void Delivered(SimulatedNode node, SimulatedNode? sender, in Envelope envelope)
    {
        if (node is not CoordinatorHost coordinator)
        {
            return;
        }

        switch (envelope.Message)
        {
            case ShardsReported { Kind: WorkKind.Train } reported:
                StepOf(coordinator, reported.Epoch, reported.Version)?.Reports.TryAdd(reported.Assignment, (envelope.From, reported));
                break;
            case Prepared prepared when StepOf(coordinator, prepared.Epoch, prepared.Step) is { } step:
                if (!step.Prepared.TryGetValue(prepared.Range, out Prepared? before) || before.Attempt <= prepared.Attempt)
                {
                    step.Prepared[prepared.Range] = prepared;
                }

                break;
        }
    }

    /// <inheritdoc/>
    public override void Journaled(CoordinatorHost coordinator, JournalRecord record)
    {
        if (record is not VerdictRecord { RowDigests.Length: > 0 } verdict
            || !_steps.TryGetValue(coordinator.Process, out Step? step) || step.Version != verdict.Verdict.Step || step.Epoch != verdict.Verdict.Epoch)
        {
            return;
        }

        bool lone = false;
        foreach (long assignment in step.Prepared.Values.SelectMany(prepared => prepared.Assignments).Distinct())
        {
            if (!step.Reports.TryGetValue(assignment, out (ActorId From, ShardsReported Report) answer))
            {
                throw Fail($"step {step.Version} commits with a piece of assignment {assignment}, of which nobody has reported.");
            }

            foreach (ShardReport report in answer.Report.Shards)
            {
                bool contradicted = false, confirmed = false;
                foreach ((ActorId from, ShardsReported other) in step.Reports.Values)
                {
                    foreach (ShardReport theirs in other.Shards)
                    {
                        if (theirs.Shard == report.Shard && from != answer.From && !_faulty.Contains(from))
                        {
                            bool same = theirs.SameAnswer(report);
                            confirmed |= same;
                            contradicted |= !same && theirs.Finite;
                        }
                    }
                }

                if (contradicted && !confirmed)
                {
                    throw Fail($"step {step.Version} commits with {answer.From}'s answer to shard {report.Shard}, which another worker contradicts and nobody confirms.");
                }

                lone |= !contradicted && _wrong.Contains((assignment, report.Shard));
            }
        }

        if (lone)
        {
            Simulation.Count("lone wrong answers");
            Simulation.EndInconclusive();
        }
    }

    private Step? StepOf(CoordinatorHost coordinator, long epoch, long version)
    {
        if (!_steps.TryGetValue(coordinator.Process, out Step? step) || (epoch, version).CompareTo((step.Epoch, step.Version)) > 0)
        {
            _steps[coordinator.Process] = step = new Step(epoch, version);
        }

        return (step.Epoch, step.Version) == (epoch, version) ? step : null;
    }

    private sealed class Step(long epoch, long version)
    {
        public readonly long Epoch = epoch;
        public readonly long Version = version;
        public readonly SortedDictionary<long, (ActorId From, ShardsReported Report)> Reports = [];
        public readonly SortedDictionary<int, Prepared> Prepared = [];
    }
}
