// Decides what becomes of each step and when a training is evaluated, saved and ended.
//
// Pure and serialisable: Decide changes nothing, so a coordinator that asks again gets the same bits; Advance and
// Observe are the only changes, and what they change travels as bytes with the step (checkpoint, new coordinator).
//
//     StepDecision decision = policy.Decide(sums);      // journal and send it, then
//     policy.Advance(decision);
//     if (policy.EvaluationDue) policy.Observe(result); // before the next step
//     if (policy.CheckpointDue) ...save(policy.Save())
//     if (policy.StopReason != StopReason.None) ...end
using System.Numerics;
using System.Text;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Training.Policy;

/// <summary>Why a training ends.</summary>
public enum StopReason
{
    /// <summary>It goes on.</summary>
    None,

    /// <summary>It has done its steps.</summary>
    Steps,

    /// <summary>It has done its passes.</summary>
    Epochs,

    /// <summary>The loss reached its threshold.</summary>
    Loss,

    /// <summary>The loss has stopped falling.</summary>
    Patience,

    /// <summary>A step was not finite.</summary>
    NonFinite,
}

/// <summary>Loss and metrics of the evaluation data at a version, merged in the canonical order.</summary>
/// <param name="Version">The version that was evaluated.</param>
/// <param name="Sums">The sums of all targets, as the model's metric schema orders them: the loss first.</param>
/// <param name="Counts">The counts of all targets, as the model's metric schema orders them: the targets first.</param>
public sealed record EvaluationSums(long Version, IReadOnlyList<double> Sums, IReadOnlyList<long> Counts)
{
    /// <summary>The mean loss, NaN without targets.</summary>
    public double Loss => Counts[0] == 0 ? double.NaN : Sums[0] / Counts[0];
}

/// <summary>The decisions of a training.</summary>
public sealed class TrainingPolicy
{
    /// <summary>After so many rollbacks a step that is not finite ends the training.</summary>
    public const int MaximumRollbacks = 8;

    private const byte Format = 1;

    private readonly LearningRateSchedule schedule;
    private State state = new();
    private long finalEvaluation = -1;
    private long saved = -1;
    private bool stoppedNonFinite;

    /// <summary>Starts the policy of a training at version 0.</summary>
    /// <exception cref="TrainingException">The settings contradict each other.</exception>
    public TrainingPolicy(TrainingSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(settings.Accumulate, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(settings.StepsPerPass, 1);
        Settings = settings;
        schedule = new LearningRateSchedule(settings);
    }

    /// <summary>What the policy decides by.</summary>
    public TrainingSettings Settings { get; }

    /// <summary>How many steps are committed or skipped: the version of the parameters.</summary>
    public long Version => state.Version;

    /// <summary>How many passes over the training data are complete.</summary>
    public long Pass => state.Version / Settings.StepsPerPass;

    /// <summary>How many updates of the parameters were made.</summary>
    public long Updates => state.Updates;

    /// <summary>How many steps were skipped.</summary>
    public long SkippedSteps => state.Skipped;

    /// <summary>How often the training went back to a checkpoint because of a step that was not finite.</summary>
    public int Rollbacks => state.Rollbacks;

    /// <summary>How many targets the committed steps had.</summary>
    public long Targets => state.Targets;

    /// <summary>The lowest loss watched so far, infinite before the first.</summary>
    public double BestLoss => state.Best;

    /// <summary>The version with the lowest loss, -1 before the first.</summary>
    public long BestVersion => state.BestVersion;

    /// <summary>Evaluations since the last improvement.</summary>
    public int EvaluationsWithoutImprovement => state.Bad;

    /// <summary>The last evaluation, or null.</summary>
    public EvaluationSums? LastEvaluation { get; private set; }

    /// <summary>The last validation loss, also after resuming; NaN before the first and without validation.</summary>
    public double ValidationLoss => LastEvaluation?.Loss ?? (Settings.HasValidation ? state.LastWatched : double.NaN);

    /// <summary>The mean training loss of the last complete pass, NaN before its end.</summary>
    public double LastPassLoss => Mean(state.LastPassSums, state.LastPassCounts);

    /// <summary>The mean training loss of the pass so far; right after the end of a pass, of that pass. NaN before the first step.</summary>
    public double TrainLoss => Mean(PassSums, PassCounts);

    /// <summary>The sums of the pass so far (right after its end, of all of it), the loss first; empty before the first step.</summary>
    public IReadOnlyList<double> PassSums => state.PassCounts.Length > 0 ? state.PassSums : state.LastPassSums;

    /// <summary>The counts of the pass so far (right after its end, of all of it), the targets first; empty before the first step.</summary>
    public IReadOnlyList<long> PassCounts => state.PassCounts.Length > 0 ? state.PassCounts : state.LastPassCounts;

    /// <summary>The learning rate of the next update.</summary>
    public double LearningRate => schedule.At(state.Updates, Pass, state.Reductions) * state.RollbackScale;

    /// <summary>Why the training ends, or <see cref="StopReason.None"/>.</summary>
    public StopReason StopReason =>
        stoppedNonFinite ? StopReason.NonFinite
        : Settings.Stop.Loss is { } threshold && state.LastWatched <= threshold ? StopReason.Loss
        : Settings.Stop.Patience is { } patience && state.Bad >= patience ? StopReason.Patience
        : state.Version < Settings.MaximumSteps ? StopReason.None
        : Settings.Stop.Steps is { } steps && steps <= state.Version ? StopReason.Steps
        : StopReason.Epochs;

    /// <summary>
    /// Whether this version must be evaluated before the next step. An evaluation that is due only because the training
    /// ends here is reported but doesn't enter plateau, patience or best: the same training with more steps would not have made it.
    /// </summary>
    public bool EvaluationDue =>
        Settings.HasValidation && state.Version > 0 && state.LastEvaluated != state.Version && finalEvaluation != state.Version
        && (RegularEvaluation || StopReason != StopReason.None);

    /// <summary>Whether this version is saved (after its evaluation).</summary>
    public bool CheckpointDue =>
        state.Version > 0 && saved != state.Version
        && (StopReason != StopReason.None
            || state.Version == LastScheduledCheckpoint
            || (Settings.Checkpoint.KeepBest && Settings.HasValidation && state.BestVersion == state.Version));

    /// <summary>
    /// The newest version up to this one that the config's schedule saves; 0, the start, before the first. A function of
    /// config and version alone: what an interruption or a best loss saved besides doesn't count.
    /// </summary>
    public long LastScheduledCheckpoint
    {
        get
        {
            long every = Settings.Checkpoint.Every > 0 ? Settings.Checkpoint.Every : Settings.StepsPerPass;
            return state.Version / every * every;
        }
    }

    /// <summary>Where a step from this version that is not finite sends the training back to, so that a run that was interrupted goes back as far as an unbroken one; -1 when such a step is skipped or ends the training.</summary>
    public long RollbackVersion => Settings.NonFinite == NonFinitePolicy.Rollback ? LastScheduledCheckpoint : -1;

    /// <summary>Whether a pass over the data ends with this version.</summary>
    public bool EndsPass => state.Version > 0 && state.Version % Settings.StepsPerPass == 0;

    private bool RegularEvaluation => Settings.Evaluate.Every > 0 ? state.Version % Settings.Evaluate.Every == 0 : EndsPass;

    /// <summary>The verdict on the step from <see cref="Version"/>. Changes nothing; the same sums give the same bits.</summary>
    public StepDecision Decide(StepSums sums)
    {
        var decision = new StepDecision
        {
            Kind = DecisionKind.Commit,
            Version = state.Version,
            Sums = sums.Sums.ToArray(),
            Counts = sums.Counts.ToArray(),
        };
        if (!sums.Finite || !double.IsFinite(sums.Sums.Span[0]) || !double.IsFinite(sums.SumOfSquares))
        {
            return decision with
            {
                Kind = Settings.NonFinite switch
                {
                    NonFinitePolicy.Skip => DecisionKind.Skip,
                    NonFinitePolicy.Rollback when state.Rollbacks < MaximumRollbacks => DecisionKind.Rollback,
                    _ => DecisionKind.Stop,
                },
                // What is not a number must not reach the accumulators of the pass.
                Sums = [],
                Counts = [],
            };
        }

        long count = state.AccumulatedCount + decision.Count;
        long stepInPass = state.Version % Settings.StepsPerPass;
        bool groupEnds = (stepInPass + 1) % Settings.Accumulate == 0 || stepInPass + 1 == Settings.StepsPerPass;
        if (!groupEnds || count == 0)
        {
            return decision with { Update = new UpdateNumbers(false, count, 1, 0, state.Updates) };
        }

        double norm = Math.Sqrt(sums.SumOfSquares) / count;
        double clip = Settings.Clip.Norm is { } largest ? Math.Min(1.0, largest / (norm + 1e-6)) : 1.0;
        return decision with
        {
            Update = new UpdateNumbers(true, count, (float)clip, LearningRate, state.Updates + 1),
            GradientNorm = norm,
        };
    }

    /// <summary>Takes a decision over: the step is committed, skipped, or the training ends. A rollback changes nothing here; see <see cref="RollBackTo"/>.</summary>
    /// <exception cref="InvalidOperationException">The decision is about another version.</exception>
    public void Advance(StepDecision decision)
    {
        if (decision.Version != state.Version)
        {
            throw new InvalidOperationException($"Expected a decision on version {state.Version}, found one on {decision.Version}.");
        }

        if (!decision.Advances)
        {
            stoppedNonFinite = decision.Kind == DecisionKind.Stop;
            return;
        }

        if (decision.Kind == DecisionKind.Skip)
        {
            state.Skipped++;
        }
        else
        {
            Accumulate(decision);
        }

        state.Version++;
        if (EndsPass)
        {
            state.LastPassSums = state.PassSums;
            state.LastPassCounts = state.PassCounts;
            state.PassSums = [];
            state.PassCounts = [];
            if (!Settings.HasValidation)
            {
                Watch(LastPassLoss);
            }
        }
    }

    /// <summary>Takes the result of the evaluation of this version into plateau, patience and best.</summary>
    /// <exception cref="InvalidOperationException">The result is of another version.</exception>
    public void Observe(EvaluationSums result)
    {
        if (result.Version != state.Version)
        {
            throw new InvalidOperationException($"Expected the evaluation of version {state.Version}, found that of {result.Version}.");
        }

        LastEvaluation = result;
        if (!RegularEvaluation)
        {
            finalEvaluation = result.Version;
        }
        else if (state.LastEvaluated != result.Version)
        {
            state.LastEvaluated = result.Version;
            Watch(result.Loss);
        }
    }

    /// <summary>This version is saved, or could not be: <see cref="CheckpointDue"/> no longer asks for it.</summary>
    public void MarkSaved() => saved = state.Version;

    /// <summary>Goes back to the state of a checkpoint after a step that was not finite, with half the learning rate.</summary>
    /// <exception cref="TrainingException">The bytes are not a policy's state.</exception>
    public void RollBackTo(ReadOnlySpan<byte> checkpoint)
    {
        int rollbacks = state.Rollbacks + 1;
        double scale = state.RollbackScale * 0.5;
        Load(checkpoint);
        state.Rollbacks = rollbacks;
        state.RollbackScale = scale;
    }

    /// <summary>The policy's state as bytes, little-endian.</summary>
    public byte[] Save()
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8))
        {
            writer.Write(Format);
            writer.Write(state.Version);
            writer.Write(state.Updates);
            writer.Write(state.Skipped);
            writer.Write(state.Rollbacks);
            writer.Write(state.RollbackScale);
            writer.Write(state.Targets);
            writer.Write(state.AccumulatedCount);
            writer.WriteArray(state.PassSums);
            writer.WriteArray(state.PassCounts);
            writer.WriteArray(state.LastPassSums);
            writer.WriteArray(state.LastPassCounts);
            writer.Write(state.LastEvaluated);
            writer.Write(state.LastWatched);
            writer.Write(state.Best);
            writer.Write(state.BestVersion);
            writer.Write(state.Bad);
            writer.Write(state.PlateauBest);
            writer.Write(state.PlateauBad);
            writer.Write(state.Cooldown);
            writer.Write(state.Reductions);
        }

        return stream.ToArray();
    }

    /// <summary>Takes over what <see cref="Save"/> wrote.</summary>
    /// <exception cref="TrainingException">The bytes are not a policy's state.</exception>
    public void Load(ReadOnlySpan<byte> bytes)
    {
        using var reader = new StateReader(bytes, "state of the training policy");
        reader.ExpectFormat(Format);
        var loaded = new State
        {
            Version = reader.Long(),
            Updates = reader.Long(),
            Skipped = reader.Long(),
            Rollbacks = reader.Int(),
            RollbackScale = reader.Double(),
            Targets = reader.Long(),
            AccumulatedCount = reader.Long(),
            PassSums = reader.Doubles(),
            PassCounts = reader.Longs(),
            LastPassSums = reader.Doubles(),
            LastPassCounts = reader.Longs(),
            LastEvaluated = reader.Long(),
            LastWatched = reader.Double(),
            Best = reader.Double(),
            BestVersion = reader.Long(),
            Bad = reader.Int(),
            PlateauBest = reader.Double(),
            PlateauBad = reader.Int(),
            Cooldown = reader.Int(),
            Reductions = reader.Int(),
        };
        reader.ExpectEnd();
        if (loaded.Version < 0 || loaded.Updates < 0 || loaded.Updates > loaded.Version)
        {
            throw new TrainingException($"The state of the training policy names version {loaded.Version} and {loaded.Updates} updates, which can't be.");
        }

        state = loaded;
        LastEvaluation = null;
        finalEvaluation = -1;
        saved = -1;
        stoppedNonFinite = false;
    }

    private void Accumulate(StepDecision decision)
    {
        state.Targets += decision.Count;
        state.PassSums = Sum(state.PassSums, decision.Sums);
        state.PassCounts = Sum(state.PassCounts, decision.Counts);
        if (decision.Update.Apply)
        {
            state.Updates++;
            state.AccumulatedCount = 0;
        }
        else
        {
            state.AccumulatedCount += decision.Count;
        }
    }

    private static T[] Sum<T>(T[] total, IReadOnlyList<T> step)
        where T : INumber<T>
    {
        if (total.Length == 0)
        {
            return [.. step];
        }

        for (int i = 0; i < total.Length; i++)
        {
            total[i] += step[i];
        }

        return total;
    }

    private static double Mean(IReadOnlyList<double> sums, IReadOnlyList<long> counts) =>
        counts.Count == 0 || counts[0] == 0 ? double.NaN : sums[0] / counts[0];

    private void Watch(double loss)
    {
        state.LastWatched = double.IsNaN(loss) ? double.NaN : loss; // one NaN: its bits go into the state's hash
        if (loss < state.Best - Settings.Stop.MinimumDelta || state.BestVersion < 0)
        {
            state.Best = double.IsNaN(loss) ? double.PositiveInfinity : loss;
            state.BestVersion = state.Version;
            state.Bad = 0;
        }
        else
        {
            state.Bad++;
        }

        if (Settings.Schedule is not PlateauScheduleConfig plateau)
        {
            return;
        }

        // torch.optim.lr_scheduler.ReduceLROnPlateau.step, mode min, relative threshold.
        if (loss < state.PlateauBest * (1.0 - plateau.Threshold))
        {
            state.PlateauBest = loss;
            state.PlateauBad = 0;
        }
        else
        {
            state.PlateauBad++;
        }

        if (state.Cooldown > 0)
        {
            state.Cooldown--;
            state.PlateauBad = 0;
        }

        if (state.PlateauBad > plateau.Patience)
        {
            state.Reductions++;
            state.Cooldown = plateau.Cooldown;
            state.PlateauBad = 0;
        }
    }

    private sealed class State
    {
        public long Version;
        public long Updates;
        public long Skipped;
        public int Rollbacks;
        public double RollbackScale = 1;
        public long Targets;
        public long AccumulatedCount;
        public double[] PassSums = [];
        public long[] PassCounts = [];
        public double[] LastPassSums = [];
        public long[] LastPassCounts = [];
        public long LastEvaluated = -1;
        public double LastWatched = double.NaN;
        public double Best = double.PositiveInfinity;
        public long BestVersion = -1;
        public int Bad;
        public double PlateauBest = double.PositiveInfinity;
        public int PlateauBad;
        public int Cooldown;
        public int Reductions;
    }
}
