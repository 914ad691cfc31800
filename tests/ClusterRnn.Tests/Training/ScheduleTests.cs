using ClusterRnn.Training;
using ClusterRnn.Training.Optimizers;
using ClusterRnn.Training.Policy;
using ClusterRnn.Training.Schedules;

namespace ClusterRnn.Tests.Training;

public sealed class ScheduleTests
{
    private static readonly TrainingSettings Settings = new()
    {
        Optimizer = new SgdConfig { LearningRate = 0.8 },
        BatchRows = 64,
        StepsPerPass = 10,
    };

    [Fact]
    public void ConstantStays() => Check(new ConstantScheduleConfig(), (0, 0, 0.8), (1000, 100, 0.8));

    [Fact]
    public void StepFallsAtIntervals()
    {
        Check(new StepScheduleConfig { Every = 3, Factor = 0.5 }, (0, 0, 0.8), (29, 2, 0.8), (30, 3, 0.4), (59, 5, 0.4), (60, 6, 0.2), (90, 9, 0.1));
        Check(new StepScheduleConfig { Every = 3, Factor = 0.5, Unit = ScheduleUnit.Steps }, (2, 0, 0.8), (3, 0, 0.4), (8, 0, 0.2), (9, 0, 0.1));
    }

    [Fact]
    public void ExponentialFallsAtEachUnit()
    {
        Check(new ExponentialScheduleConfig { Factor = 0.5 }, (9, 0, 0.8), (10, 1, 0.4), (29, 2, 0.2), (100, 10, 0.8 / 1024));
        Check(new ExponentialScheduleConfig { Factor = 0.5, Unit = ScheduleUnit.Steps }, (0, 0, 0.8), (1, 0, 0.4), (3, 0, 0.1));
    }

    [Fact]
    public void CosineFallsToItsMinimumAndStays()
    {
        Check(
            new CosineScheduleConfig { Length = 100, Minimum = 0.2 },
            (0, 0, 0.8), (50, 5, 0.5), (25, 2, 0.5 + 0.3 * Math.Sqrt(0.5)), (75, 7, 0.5 - 0.3 * Math.Sqrt(0.5)), (100, 10, 0.2), (1000, 100, 0.2));
        Check(new CosineScheduleConfig { Length = 4, Unit = ScheduleUnit.Epochs }, (9, 0, 0.8), (20, 2, 0.4), (40, 4, 0));
    }

    [Fact]
    public void CosineTakesTheLengthOfTheTraining()
    {
        TrainingSettings settings = Settings with { Schedule = new CosineScheduleConfig(), Stop = new StopConfig { Epochs = 4 } };
        Assert.Equal(0.4, new LearningRateSchedule(settings).At(20, 2, 0), 1e-12);
        settings = settings with { Stop = new StopConfig { Epochs = 4, Steps = 20 } };
        Assert.Equal(0.4, new LearningRateSchedule(settings).At(10, 1, 0), 1e-12);
        settings = settings with { Accumulate = 4, Stop = new StopConfig { Epochs = 4 } };
        Assert.Equal(12, settings.MaximumUpdates); // 4 passes of 10 steps make 3 updates each, the last of two steps
        Assert.Equal(0.4, new LearningRateSchedule(settings).At(6, 2, 0), 1e-12);
        var error = Assert.Throws<TrainingException>(() => new LearningRateSchedule(settings with { Stop = new StopConfig() }));
        Assert.Contains("schedule.length", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WarmupRisesLinearlyAndMultiplies()
    {
        var warmup = new WarmupConfig { Steps = 4 };
        Check(new ConstantScheduleConfig { Warmup = warmup }, (0, 0, 0.2), (1, 0, 0.4), (2, 0, 0.6), (3, 0, 0.8), (4, 0, 0.8));
        Check(new StepScheduleConfig { Every = 2, Factor = 0.5, Unit = ScheduleUnit.Steps, Warmup = warmup }, (0, 0, 0.2), (2, 0, 0.3), (3, 0, 0.4), (4, 0, 0.2));
        Check(new ConstantScheduleConfig { Warmup = new WarmupConfig { Epochs = 0.5 } }, (0, 0, 0.16), (4, 0, 0.8));
    }

    [Fact]
    public void LegwLengthensTheWarmupAndScalesWithTheRoot()
    {
        var schedule = new ConstantScheduleConfig
        {
            BaseBatch = 16,
            Scaling = BatchScaling.SquareRoot,
            Warmup = new WarmupConfig { Epochs = 0.5, ScaleWithBatch = true },
        };
        var resolved = new LearningRateSchedule(Settings with { Schedule = schedule });
        Assert.Equal(20, resolved.WarmupUpdates); // 0.5 epochs of 10 updates, times 64 / 16
        Assert.Equal(1.6, resolved.PeakRate, 1e-12);
        Assert.Equal(0.08, resolved.At(0, 0, 0), 1e-12);
        Assert.Equal(1.6, resolved.At(19, 1, 0), 1e-12);
        Assert.Equal(3.2, new LearningRateSchedule(Settings with { Schedule = schedule with { Scaling = BatchScaling.Linear } }).PeakRate, 1e-12);
    }

    [Fact]
    public void PlateauFallsAsPyTorchs()
    {
        var schedule = new PlateauScheduleConfig { Factor = 0.5, Patience = 1, Threshold = 0.1, Cooldown = 1, Minimum = 0.15 };
        var policy = new TrainingPolicy(Settings with { Schedule = schedule, HasValidation = true, Evaluate = new EvaluateConfig { Every = 1 } });
        // torch 1.13 ReduceLROnPlateau(factor=0.5, patience=1, threshold=0.1, cooldown=1, min_lr=0.15) from 0.8.
        double[] losses = [1, 0.95, 0.92, 0.8, 0.79, 0.78, 0.77, 0.76, 0.75, 0.74, 0.73, 0.72, 0.71];
        double[] expected = [0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.15, 0.15, 0.15, 0.15, 0.15];
        for (int i = 0; i < losses.Length; i++)
        {
            policy.Advance(policy.Decide(new StepSums { Sums = new[] { 1.0 }, Counts = new[] { 1L }, SumOfSquares = 1 }));
            policy.Observe(new EvaluationSums(policy.Version, [losses[i]], [1]));
            Assert.Equal(expected[i], policy.LearningRate, 1e-12);
        }
    }

    private static void Check(ScheduleConfig schedule, params (long Update, long Pass, double Rate)[] expected)
    {
        var resolved = new LearningRateSchedule(Settings with { Schedule = schedule });
        foreach ((long update, long pass, double rate) in expected)
        {
            Assert.Equal(rate, resolved.At(update, pass, 0), 1e-12);
        }
    }
}
