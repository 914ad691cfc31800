using ClusterRnn.Training;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;
using FsCheck;
using FsCheck.Fluent;

namespace ClusterRnn.Tests.Training;

public sealed class TrainingPolicyTests
{
    [Fact]
    public void TheNormIsOfTheAverageAndTheClipScaleIsPyTorchs()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { Clip = new() { Norm = 1 } });
        StepDecision decision = policy.Decide(Sums(loss: 8, count: 4, squares: 400));
        Assert.Equal(5.0, decision.GradientNorm);
        Assert.Equal((float)(1 / (5.0 + 1e-6)), decision.Update.ClipScale);
        Assert.Equal(2.0, decision.Loss);
        Assert.Equal(1, decision.Update.Number);
        Assert.Equal(1f, policy.Decide(Sums(8, 4, 1)).Update.ClipScale);
    }

    [Fact]
    public void DecidingAgainChangesNothing()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { Accumulate = 3 });
        policy.Advance(policy.Decide(Sums(1, 2, 3)));
        byte[] before = policy.Save();
        byte[] first = policy.Decide(Sums(1, 2, 3)).ToBytes();
        Assert.Equal(first, policy.Decide(Sums(1, 2, 3)).ToBytes());
        Assert.Equal(before, policy.Save());
    }

    [Fact]
    public void ADecisionSurvivesItsBytesAndAdvancesAnotherCoordinator()
    {
        TrainingSettings settings = TrainingFixtures.Settings() with { Accumulate = 2, Clip = new() { Norm = 0.1 } };
        TrainingPolicy one = Create(settings), other = Create(settings);
        for (int step = 0; step < 25; step++)
        {
            StepDecision decision = one.Decide(Sums(step, 5, step % 7 == 3 ? double.NaN : step));
            StepDecision adopted = StepDecision.FromBytes(decision.ToBytes());
            Assert.Equal(decision.Update, adopted.Update);
            Assert.Equal(decision.Kind, adopted.Kind);
            one.Advance(decision);
            other.Advance(adopted);
            Assert.Equal(one.Save(), other.Save());
        }

        Assert.Equal(25, one.Version);
        Assert.Equal(4, one.SkippedSteps);
    }

    [Fact]
    public void BytesThatAreNoDecisionAreRefused()
    {
        byte[] bytes = Create(TrainingFixtures.Settings()).Decide(Sums(1, 2, 3)).ToBytes();
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.Throws<TrainingException>(() => StepDecision.FromBytes(bytes.AsSpan(0, length)));
        }

        Assert.Throws<TrainingException>(() => StepDecision.FromBytes([.. bytes, 0]));
        Assert.Throws<TrainingException>(() => StepDecision.FromBytes([9, .. bytes.AsSpan(1)]));
        Assert.Throws<TrainingException>(() => StepDecision.FromBytes([bytes[0], 77, .. bytes.AsSpan(2)]));
    }

    [Fact]
    public void BytesThatAreNoStateAreRefusedAndChangeNothing()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings());
        policy.Advance(policy.Decide(Sums(1, 2, 3)));
        byte[] bytes = policy.Save();
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.Throws<TrainingException>(() => policy.Load(bytes.AsSpan(0, length)));
        }

        byte[] negative = [.. bytes];
        negative[8] = 0x80;
        Assert.Throws<TrainingException>(() => policy.Load(negative));
        Assert.Equal(bytes, policy.Save());
    }

    [Fact]
    public void AResumedPolicyGoesOnBitForBit()
    {
        Prop.ForAll(
            Gen.Choose(0, 1000).Select(seed => seed).ToArbitrary(),
            Gen.Choose(1, 39).ToArbitrary(),
            (seed, cut) =>
            {
                byte[] straight = Run(seed, 40, -1);
                return straight.AsSpan().SequenceEqual(Run(seed, 40, cut)) && !straight.AsSpan().SequenceEqual(Run(seed + 1, 40, cut));
            }).QuickCheckThrowOnFailure();

        static byte[] Run(int seed, int steps, int cut)
        {
            var random = new Random(seed);
            TrainingSettings settings = TrainingFixtures.Settings() with
            {
                Accumulate = 3,
                HasValidation = true,
                Evaluate = new() { Every = 2 },
                Schedule = new PlateauScheduleConfig { Patience = 1, Factor = 0.5, Cooldown = 1, Warmup = new() { Steps = 3 } },
                Stop = new() { Patience = 1000 },
            };
            TrainingPolicy policy = Create(settings);
            for (int step = 0; step < steps; step++)
            {
                policy.Advance(policy.Decide(Sums(random.NextDouble(), random.Next(1, 9), random.Next(8) == 0 ? double.NaN : random.NextDouble())));
                if (policy.EvaluationDue)
                {
                    policy.Observe(new EvaluationSums(policy.Version, [random.NextDouble()], [1]));
                }

                if (step == cut)
                {
                    byte[] state = policy.Save();
                    policy = Create(settings);
                    policy.Load(state);
                }
            }

            return policy.Save();
        }
    }

    [Theory]
    [InlineData(NonFinitePolicy.Skip, DecisionKind.Skip)]
    [InlineData(NonFinitePolicy.Stop, DecisionKind.Stop)]
    [InlineData(NonFinitePolicy.Rollback, DecisionKind.Rollback)]
    public void WhatIsNotFiniteNeverReachesTheTotals(NonFinitePolicy what, DecisionKind expected)
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { NonFinite = what });
        policy.Advance(policy.Decide(Sums(2, 1, 1)));
        foreach (StepSums bad in new[] { Sums(double.NaN, 1, 1), Sums(1, 1, double.PositiveInfinity), Sums(1, 1, 1, finite: false) })
        {
            StepDecision decision = policy.Decide(bad);
            Assert.Equal(expected, decision.Kind);
            Assert.False(decision.Update.Apply);
        }

        StepDecision last = policy.Decide(Sums(double.NaN, 1, 1));
        policy.Advance(last);
        Assert.Equal(what == NonFinitePolicy.Skip ? 2 : 1, policy.Version);
        Assert.Equal(1, policy.Updates);
        Assert.Equal(2.0, policy.TrainLoss);
        Assert.Equal(what == NonFinitePolicy.Stop ? StopReason.NonFinite : StopReason.None, policy.StopReason);
    }

    [Fact]
    public void ARollbackHalvesTheRateAndInTheEndStops()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { NonFinite = NonFinitePolicy.Rollback });
        byte[] checkpoint = policy.Save();
        double rate = policy.LearningRate;
        for (int rollback = 1; rollback <= TrainingPolicy.MaximumRollbacks; rollback++)
        {
            policy.Advance(policy.Decide(Sums(1, 1, 1)));
            StepDecision decision = policy.Decide(Sums(1, 1, double.NaN));
            Assert.Equal(DecisionKind.Rollback, decision.Kind);
            policy.Advance(decision);
            policy.RollBackTo(checkpoint);
            rate *= 0.5;
            Assert.Equal(rate, policy.LearningRate);
            Assert.Equal(0, policy.Version);
        }

        Assert.Equal(DecisionKind.Stop, policy.Decide(Sums(1, 1, double.NaN)).Kind);
    }

    [Fact]
    public void ARollbackGoesToTheLastScheduledCheckpointWhateverElseWasSaved()
    {
        TrainingSettings settings = TrainingFixtures.Settings() with
        {
            NonFinite = NonFinitePolicy.Rollback,
            HasValidation = true,
            Evaluate = new() { Every = 3 },
            Checkpoint = new CheckpointConfig { Every = 4 },
        };
        var unbroken = Create(settings);
        byte[] saved = unbroken.Save();
        for (int step = 0; step < 30; step++)
        {
            Assert.Equal(step / 4 * 4, unbroken.RollbackVersion);
            var resumed = Create(settings);
            resumed.Load(saved);
            Assert.Equal(unbroken.RollbackVersion, resumed.RollbackVersion);
            resumed.MarkSaved();
            Assert.Equal(unbroken.RollbackVersion, resumed.RollbackVersion);
            unbroken.Advance(unbroken.Decide(Sums(1, 1, 1)));
            if (unbroken.EvaluationDue)
            {
                unbroken.Observe(new EvaluationSums(unbroken.Version, [1.0 / unbroken.Version], [1])); // each the best so far, saved as such
            }

            saved = unbroken.Save();
        }

        Assert.Equal(-1, Create(settings with { NonFinite = NonFinitePolicy.Skip }).RollbackVersion);
        var byPass = Create(settings with { Checkpoint = new CheckpointConfig() });
        byPass.Load(saved);
        Assert.Equal(30, byPass.RollbackVersion); // a pass of ten steps
    }

    [Fact]
    public void AnArrayThatClaimsMoreThanThereIsEndsInAMessage()
    {
        byte[] state = Create(TrainingFixtures.Settings()).Save();
        int at = 1 + 3 * 8 + 4 + 3 * 8; // the length of the first array
        Assert.Equal(0, BitConverter.ToInt32(state, at));
        foreach (int length in new[] { 1 << 20, int.MaxValue, -1 })
        {
            BitConverter.TryWriteBytes(state.AsSpan(at), length);
            Assert.Contains($"an array of {length} numbers", Assert.Throws<TrainingException>(() => Create(TrainingFixtures.Settings()).Load(state)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void EveryNaNIsSavedAsTheSame()
    {
        TrainingSettings settings = TrainingFixtures.Settings() with { HasValidation = true, Evaluate = new() { Every = 1 } };
        byte[][] states = [.. new[] { 0x7FF8000000000000L, unchecked((long)0xFFF8000000000000), 0x7FF800000000BEEF }.Select(bits =>
        {
            TrainingPolicy policy = Create(settings);
            policy.Advance(policy.Decide(Sums(1, 1, 1)));
            policy.Observe(new EvaluationSums(1, [BitConverter.Int64BitsToDouble(bits)], [1]));
            return policy.Save();
        })];
        Assert.Equal(states[0], states[1]);
        Assert.Equal(states[0], states[2]);
    }

    [Fact]
    public void MicroBatchesAreGroupedWithinAPass()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { Accumulate = 4 });
        var applied = new List<long>();
        var counts = new List<long>();
        for (int step = 0; step < 20; step++)
        {
            StepDecision decision = policy.Decide(Sums(1, step + 1, 1));
            if (decision.Update.Apply)
            {
                applied.Add(step);
                counts.Add(decision.Update.Count);
            }

            policy.Advance(decision);
        }

        Assert.Equal([3, 7, 9, 13, 17, 19], applied); // a pass of ten steps: groups of 4, 4, 2
        Assert.Equal([1 + 2 + 3 + 4, 5 + 6 + 7 + 8, 9 + 10, 11 + 12 + 13 + 14, 15 + 16 + 17 + 18, 19 + 20], counts);
        Assert.Equal(6, policy.Updates);
    }

    [Fact]
    public void AStepWithoutTargetsUpdatesNothing()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings());
        StepDecision decision = policy.Decide(Sums(0, 0, 0));
        Assert.False(decision.Update.Apply);
        policy.Advance(decision);
        Assert.Equal((1, 0), (policy.Version, policy.Updates));
    }

    [Fact]
    public void TheLossOfAPassIsAMeanOverItsTargets()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings());
        Assert.True(double.IsNaN(policy.TrainLoss));
        for (int step = 0; step < 10; step++)
        {
            policy.Advance(policy.Decide(Sums(step, step + 1, 1)));
        }

        Assert.Equal(45.0 / 55.0, policy.LastPassLoss);
        Assert.Equal(45.0 / 55.0, policy.TrainLoss);
        policy.Advance(policy.Decide(Sums(6, 3, 1)));
        Assert.Equal(2.0, policy.TrainLoss);
        Assert.Equal(45.0 / 55.0, policy.LastPassLoss);
    }

    [Fact]
    public void ItStopsForEachReason()
    {
        Assert.Equal((StopReason.Steps, 7), RunToEnd(new StopConfig { Steps = 7, Epochs = 3 }, _ => 1));
        Assert.Equal((StopReason.Epochs, 30), RunToEnd(new StopConfig { Steps = 70, Epochs = 3 }, _ => 1));
        Assert.Equal((StopReason.Loss, 40), RunToEnd(new StopConfig { Loss = 0.25 }, pass => 1.0 / pass));
        Assert.Equal((StopReason.Patience, 50), RunToEnd(new StopConfig { Patience = 3 }, pass => pass == 2 ? 0.5 : 1));
        Assert.Equal((StopReason.Patience, 60), RunToEnd(new StopConfig { Patience = 5, MinimumDelta = 0.2 }, pass => 1 - 0.01 * pass));

        static (StopReason, long) RunToEnd(StopConfig stop, Func<long, double> validation)
        {
            TrainingPolicy policy = Create(TrainingFixtures.Settings() with { Stop = stop, HasValidation = true });
            while (policy.StopReason == StopReason.None && policy.Version < 1000)
            {
                policy.Advance(policy.Decide(Sums(1, 1, 1)));
                if (policy.EvaluationDue)
                {
                    policy.Observe(new EvaluationSums(policy.Version, [validation(policy.Pass)], [1]));
                }
            }

            return (policy.StopReason, policy.Version);
        }
    }

    [Fact]
    public void WithoutValidationTheTrainingLossIsWatched()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with { Stop = new StopConfig { Loss = 0.5 } });
        for (int step = 0; step < 19; step++)
        {
            policy.Advance(policy.Decide(Sums(step < 10 ? 1 : 0.4, 1, 1)));
            Assert.Equal(StopReason.None, policy.StopReason);
        }

        policy.Advance(policy.Decide(Sums(0.4, 1, 1)));
        Assert.Equal(StopReason.Loss, policy.StopReason);
        Assert.Equal(20, policy.BestVersion);
        Assert.False(policy.EvaluationDue);
    }

    [Fact]
    public void AnEvaluationThatIsDueOnlyAtTheEndLeavesNoTrace()
    {
        TrainingSettings settings = TrainingFixtures.Settings() with
        {
            HasValidation = true,
            Stop = new StopConfig { Steps = 15, Patience = 2 },
            Schedule = new PlateauScheduleConfig { Patience = 0 },
        };
        TrainingPolicy policy = Create(settings), longer = Create(settings with { Stop = new StopConfig { Steps = 40, Patience = 2 } });
        for (int step = 0; step < 15; step++)
        {
            foreach (TrainingPolicy each in new[] { policy, longer })
            {
                each.Advance(each.Decide(Sums(1, 1, 1)));
                if (each.EvaluationDue)
                {
                    each.Observe(new EvaluationSums(each.Version, [each.Version], [1]));
                }
            }
        }

        Assert.Equal(StopReason.Steps, policy.StopReason);
        Assert.Equal(15, policy.LastEvaluation!.Version);
        Assert.Equal(10, longer.LastEvaluation!.Version);
        Assert.Equal(longer.Save(), policy.Save());
        Assert.False(policy.EvaluationDue);
        Assert.Equal(15, policy.ValidationLoss);
        policy.Load(policy.Save());
        Assert.Equal(10, policy.ValidationLoss);
        Assert.True(policy.EvaluationDue);
    }

    [Fact]
    public void CheckpointsAreDueAtPassesAtTheBestAndAtTheEnd()
    {
        TrainingPolicy policy = Create(TrainingFixtures.Settings() with
        {
            HasValidation = true,
            Evaluate = new() { Every = 3 },
            Stop = new StopConfig { Steps = 23 },
        });
        var due = new List<long>();
        while (policy.StopReason == StopReason.None)
        {
            policy.Advance(policy.Decide(Sums(1, 1, 1)));
            if (policy.EvaluationDue)
            {
                policy.Observe(new EvaluationSums(policy.Version, [policy.Version <= 6 ? 1.0 / policy.Version : 1], [1]));
            }

            if (policy.CheckpointDue)
            {
                due.Add(policy.Version);
                policy.MarkSaved();
                Assert.False(policy.CheckpointDue);
            }
        }

        Assert.Equal([3, 6, 10, 20, 23], due);
        Assert.Equal(6, policy.BestVersion);
    }

    private static TrainingPolicy Create(TrainingSettings settings) => new(settings);

    private static StepSums Sums(double loss, long count, double squares, bool finite = true) =>
        new() { Sums = new[] { loss }, Counts = new[] { count }, SumOfSquares = squares, Finite = finite };
}
