// The ledger: the journal's verdicts say which rows each shard of each committed step read. Here they are held against the
// data, without a cluster: every step once, every shard the rows that the permutation prescribes, every row once a pass.
//
//     records → what counts after the rollbacks → step by step: rows from the data, digests beside the journal's
using ClusterRnn.Data;
using ClusterRnn.Kernels.Memory;
using ClusterRnn.Protocol;
using ClusterRnn.Protocol.Messages;
using ClusterRnn.Training;
using ClusterRnn.Training.Computing;

namespace ClusterRnn.Node.Journals;

/// <summary>What holding a ledger against its data came to.</summary>
public sealed record LedgerReport
{
    /// <summary>Steps that are committed and count.</summary>
    public long Steps { get; init; }

    /// <summary>Rows that these steps read: one for each row of the batch that is not empty.</summary>
    public long Samples { get; init; }

    /// <summary>Targets in them.</summary>
    public long Targets { get; init; }

    /// <summary>Passes over the data of which every step is committed.</summary>
    public long WholePasses { get; init; }

    /// <summary>Steps that should be there and are not.</summary>
    public long LostSteps { get; init; }

    /// <summary>Rows that the lost steps should have read.</summary>
    public long LostSamples { get; init; }

    /// <summary>Steps that count more than once.</summary>
    public long RepeatedSteps { get; init; }

    /// <summary>Rows that count more than once: those of repeated steps, and rows that come twice in a pass.</summary>
    public long RepeatedSamples { get; init; }

    /// <summary>Shards that read other rows than the permutation prescribes.</summary>
    public long DifferingShards { get; init; }

    /// <summary>Steps that came to something else when they were executed again after a rollback.</summary>
    public long DifferingAgain { get; init; }

    /// <summary>Whole passes whose targets are not those of the data.</summary>
    public long UnevenPasses { get; init; }

    /// <summary>Steps of which only that they were committed is known: their coordinator died before it wrote them, and a server knew.</summary>
    public long UnrecordedSteps { get; init; }

    /// <summary>How often the job went back to a checkpoint.</summary>
    public long Rollbacks { get; init; }

    /// <summary>Steps that were executed again after a rollback.</summary>
    public long StepsAgain { get; init; }

    /// <summary>What is wrong at the lowest step at which something is; null when nothing is.</summary>
    public string? FirstOffence { get; init; }

    /// <summary>Whether nothing is wrong.</summary>
    public bool IsClean => FirstOffence is null;
}

/// <summary>Holds the ledger of a run against its data.</summary>
public sealed unsafe class Ledger
{
    private readonly TrainingJob _job;
    private readonly SortedDictionary<long, VerdictRecord> _committed = [];
    private readonly SortedDictionary<long, ulong> _undone = []; // what a step came to before a rollback
    private readonly SortedDictionary<long, int> _repetitions = [];
    private readonly CourseHistory _courses = new();
    private long _rollbacks;
    private long _stepsAgain;
    private long _differingAgain;
    private long _offendingStep = long.MaxValue;
    private string? _offence;

    private Ledger(TrainingJob job) => _job = job;

    /// <summary>Holds <paramref name="records"/> against the rows of <paramref name="job"/>.</summary>
    /// <param name="records">The journal's records that count, oldest first.</param>
    /// <param name="job">The job, with its data.</param>
    /// <param name="firstStep">The first step that should be there.</param>
    /// <param name="endStep">The step after the last that should be there; null takes what the journal has.</param>
    /// <param name="cancellation">Ends it between two steps.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static LedgerReport Verify(
        IEnumerable<JournalRecord> records, TrainingJob job, long firstStep = 0, long? endStep = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(records);
        ArgumentNullException.ThrowIfNull(job);
        var ledger = new Ledger(job);
        foreach (JournalRecord record in records)
        {
            ledger.Add(record);
        }

        long last = ledger._committed.Count == 0 ? -1 : ledger._committed.Keys.Last();
        return ledger.Compare(firstStep, Math.Max(endStep ?? 0, last + 1), cancellation);
    }

    private void Add(JournalRecord record)
    {
        switch (record)
        {
            case RollbackRecord rollback:
                _rollbacks++;
                foreach ((long step, VerdictRecord undone) in _committed.Where(pair => pair.Key >= rollback.Version).ToArray())
                {
                    _committed.Remove(step);
                    _repetitions.Remove(step);
                    _undone[step] = undone.Digest;
                }

                long otherwise = rollback.PolicyState.IsEmpty
                    ? _courses.GoBackTo(rollback.Version)
                    : _courses.Begin(new Course(rollback.Version, rollback.PolicyState));
                foreach (long step in _undone.Keys.Where(step => step >= otherwise).ToArray())
                {
                    _undone[step] = 0; // another course comes to something else
                }

                break;
            case VerdictRecord { Verdict.Decision.Kind: not VerdictKind.Stop } verdict: // a stop commits nothing
                long at = verdict.Verdict.Step;
                if (!_committed.TryAdd(at, verdict))
                {
                    _repetitions[at] = _repetitions.GetValueOrDefault(at) + 1;
                    break;
                }

                if (_undone.TryGetValue(at, out ulong before))
                {
                    _stepsAgain++;
                    if (before != 0 && verdict.Digest != 0 && before != verdict.Digest)
                    {
                        _differingAgain++;
                        Offend(at, $"step {at} came to {before:x16}, and to {verdict.Digest:x16} when it was executed again after a rollback");
                    }
                }

                break;
        }
    }

    private LedgerReport Compare(long firstStep, long endStep, CancellationToken cancellation)
    {
        IBatchSource source = _job.Train;
        using var batch = new SpanBatch(source.MaximumTime, source.BatchRows, source.FeatureWidth, source.TargetWidth);
        long steps = 0, samples = 0, targets = 0, lostSteps = 0, lostSamples = 0, repeatedSteps = 0, repeatedSamples = 0, differing = 0, unrecorded = 0;
        long wholePasses = 0, unevenPasses = 0, pass = -1, stepsOfPass = 0, targetsOfPass = 0;
        var seen = new HashSet<(long Row, long FirstTarget)>();
        for (long step = Math.Min(firstStep, _committed.Count == 0 ? firstStep : _committed.Keys.First()); step < endStep; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            StepPlan plan = source.Plan(step);
            source.Fill(plan, 0, source.BatchRows, batch);
            if (plan.Pass != pass)
            {
                (pass, stepsOfPass, targetsOfPass) = (plan.Pass, 0, 0);
                seen.Clear();
            }

            int rows = RowsOf(batch);
            if (!_committed.TryGetValue(step, out VerdictRecord? verdict))
            {
                lostSteps++;
                lostSamples += rows;
                Offend(step, $"step {step} is lost: it should have read {rows} rows of pass {plan.Pass + 1}, and no verdict in the journal commits it");
                continue;
            }

            steps++;
            stepsOfPass++;
            samples += rows;
            long inStep = TargetsOf(batch);
            targets += inStep;
            targetsOfPass += inStep;
            if (_repetitions.TryGetValue(step, out int times))
            {
                repeatedSteps++;
                repeatedSamples += (long)times * rows;
                Offend(step, $"step {step} is repeated: {times + 1} verdicts commit it, and no rollback lies between them");
            }

            repeatedSamples += RepeatedRows(step, plan, batch, seen);
            unrecorded += verdict.RowDigests.Length == 0 ? 1 : 0;
            differing += verdict.RowDigests.Length == 0 ? 0 : DifferingShards(step, verdict.RowDigests, batch);
            if (stepsOfPass == source.StepsPerPass)
            {
                wholePasses++;
                if (targetsOfPass != source.TargetsPerPass)
                {
                    unevenPasses++;
                    Offend(step, $"pass {plan.Pass + 1}, which ends with step {step}, has {targetsOfPass} targets; the data has {source.TargetsPerPass}");
                }
            }
        }

        return new LedgerReport
        {
            Steps = steps,
            Samples = samples,
            Targets = targets,
            WholePasses = wholePasses,
            LostSteps = lostSteps,
            LostSamples = lostSamples,
            RepeatedSteps = repeatedSteps,
            RepeatedSamples = repeatedSamples,
            DifferingShards = differing,
            DifferingAgain = _differingAgain,
            UnevenPasses = unevenPasses,
            UnrecordedSteps = unrecorded,
            Rollbacks = _rollbacks,
            StepsAgain = _stepsAgain,
            FirstOffence = _offence,
        };
    }

    private long DifferingShards(long step, ulong[] recorded, SpanBatch batch)
    {
        if (recorded.Length != _job.Shards)
        {
            Offend(step, $"step {step} has the digests of {recorded.Length} shards; the job has {_job.Shards} shards");
            return Math.Max(recorded.Length, _job.Shards);
        }

        long differing = 0;
        for (int shard = 0; shard < recorded.Length; shard++)
        {
            (int first, int count) = Dealing.RowsOf(shard, _job.Shards, _job.Train.BatchRows);
            ulong prescribed = ShardComputer.RowsDigest(batch, first, count);
            if (prescribed != recorded[shard])
            {
                differing++;
                Offend(step, $"step {step}, shard {shard} read other rows than its own: the journal has {recorded[shard]:x16}, the data gives {prescribed:x16}");
            }
        }

        return differing;
    }

    // A row is what the data calls it, from its first target on: a stream comes again in the next step, further on.
    private long RepeatedRows(long step, StepPlan plan, SpanBatch batch, HashSet<(long Row, long FirstTarget)> seen)
    {
        long repeated = 0, firstTarget = plan.StartTime + plan.Time - plan.TargetTime;
        for (int row = 0; row < batch.Rows; row++)
        {
            if (batch.Lengths[row] > 0 && !seen.Add((batch.RowIds[row], firstTarget)))
            {
                repeated++;
                Offend(step, $"step {step} reads row {batch.RowIds[row]} from time {firstTarget} on, which has been read in pass {plan.Pass + 1}");
            }
        }

        return repeated;
    }

    private static int RowsOf(SpanBatch batch)
    {
        int rows = 0;
        for (int row = 0; row < batch.Rows; row++)
        {
            rows += batch.Lengths[row] > 0 ? 1 : 0;
        }

        return rows;
    }

    private static long TargetsOf(SpanBatch batch)
    {
        long targets = 0;
        int context = batch.Time - batch.TargetTime;
        for (int time = 0; time < batch.TargetTime; time++)
        {
            for (int row = 0; row < batch.Rows; row++)
            {
                bool isThere = context + time < batch.Lengths[row] && (batch.TargetTokens is null || batch.TargetTokens[((long)time * batch.Rows) + row] >= 0);
                targets += isThere ? 1 : 0;
            }
        }

        return targets;
    }

    private void Offend(long step, string text)
    {
        if (step < _offendingStep)
        {
            (_offendingStep, _offence) = (step, text);
        }
    }
}
